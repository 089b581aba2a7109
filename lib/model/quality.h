/* How well the model ranks, live: NDCG, recall and MRR at 20 of judged rankings beside those of decayed popularity.
 *
 * The rankings are those of lib/model/judge.h, made before the event is learned, with the weights that serve;
 * popularity orders the same candidates by the middle trend. Sums fade by QUALITY_FADE with each judged event of their
 * cohort: they tell of the last 2,000 or so. A cohort is everything, or one basis, length of history or type of event.
 *
 * Judged items of one event are one cluster. With c_n of them in event n, S_n the sum of their figures and w_n =
 * fade^age,
 *
 *     mean = sum w S / sum w c,      band = 1.96 sqrt(sum w^2 (S - mean c)^2) / sum w c
 *
 * (a ratio of two sums and its variance: Cochran 1977, section 6.4), and the same for the difference of model and
 * popularity, which is paired. Events of one user count as independent.
 *
 * Learner, but quality_read. */
#ifndef RANKD_MODEL_QUALITY_H
#define RANKD_MODEL_QUALITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/model/params.h"

#define QUALITY_CUT     20u
#define QUALITY_FADE    0.9995
#define QUALITY_LENGTHS 6u /* of the history: those of blend_bucket */

enum quality_figure { QUALITY_NDCG, QUALITY_RECALL, QUALITY_MRR, QUALITY_FIGURES };
const char *quality_figure_name(enum quality_figure f); /* "ndcg", "recall", "mrr" */

enum { /* cohorts */
       QUALITY_ALL,
       QUALITY_PERSONAL, /* users with a history; learning knows no other basis than this and the next */
       QUALITY_POPULAR,  /* without one */
       QUALITY_LENGTH,   /* and those behind it: by the history's length */
       QUALITY_TYPE = QUALITY_LENGTH + QUALITY_LENGTHS, /* and those behind it: by the bit of the event type */
       QUALITY_COHORTS = QUALITY_TYPE + MODEL_MAX_TYPES,
};

struct quality_event { /* the judged items of one event */
    uint32_t cases;
    double model[QUALITY_FIGURES], popular[QUALITY_FIGURES]; /* sums over them */
};
/* One more item: 0-based ranks of the target (QUALITY_CUT or more: beyond), and what they gain in NDCG. */
void quality_case(struct quality_event *ev, uint32_t model_rank, double model_gain, uint32_t popular_rank,
                  double popular_gain);

struct quality_sums {
    double model, popular;     /* sum w S of either */
    double mm, pp, mp, mc, pc; /* sums of w^2 times a product of two of S of the model, S of popularity, and c */
};
struct quality_cohort {
    double cases, cc; /* sum w c, sum w^2 c^2 */
    struct quality_sums of[QUALITY_FIGURES];
};
#define QUALITY_NUMBERS (sizeof(struct quality_cohort) / sizeof(double))

struct quality {
    struct quality_cohort cohort[QUALITY_COHORTS];
    uint64_t cases, events; /* judged, ever */
    uint32_t changed;       /* cohorts changed since the last publish, by bit */
    _Atomic uint32_t seq;   /* of what follows: odd while it is being replaced */
    _Atomic double published[QUALITY_COHORTS][QUALITY_NUMBERS];
    _Atomic uint64_t published_cases, published_events;
};

void quality_init(struct quality *q);
/* An event of a type (its bit) of a user whose history is of this length (0: none). */
void quality_note(struct quality *q, const struct quality_event *ev, uint32_t length, uint32_t type);
void quality_publish(struct quality *q);

struct quality_mean {
    double value, band; /* half the width of the 95 % band; NaN below 30 cases */
};
struct quality_view {
    double cases; /* decayed; 0: nothing was judged, and the means are NaN */
    struct {
        struct quality_mean model, popular, difference;
    } of[QUALITY_FIGURES];
};
/* Any thread, as of the last publish. */
void quality_read(const struct quality *q, uint32_t cohort, struct quality_view *out);
uint64_t quality_cases(const struct quality *q);
uint64_t quality_events(const struct quality *q);

/* Stored form (little-endian), and back. ERR_CORRUPT. */
void quality_encode(const struct quality *q, struct buf *out);
int quality_decode(struct quality *q, struct slice bytes, struct err *e) ERR_MUST_CHECK;

#endif
