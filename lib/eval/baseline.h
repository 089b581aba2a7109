/* Baselines: simple published methods that every backtest runs beside the model, each over a small grid.
 *
 * All are online: an event is judged from the state before it, then learned as one moment. All see the same past
 * (lib/eval/past.h), forget by half-lives, and fall back on decayed popularity for places they cannot fill. A pair
 * (user, item) is counted at its first use; a repeat refreshes the history and the popularity.
 *
 *     baseline_new(kind, config, past, seed, &b, e)
 *     for each event, in order:
 *         scores_clear(s); baseline_score(b, user, ts_ms, s);
 *         ranking_ask with s, baseline_fallback(b) and the past's candidates      (judge)
 *         baseline_learn(b, event, e)                                              (every baseline)
 *         past_learn(past, event, e)                                               (once)
 *
 * The same events, configuration and seed give the same bits. One baseline belongs to one thread at a time. */
#ifndef RANKD_EVAL_BASELINE_H
#define RANKD_EVAL_BASELINE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/past.h"
#include "lib/eval/scores.h"

#define BASELINE_TEXT 160 /* bytes that hold any description */

struct baseline;

/* A method and its grid. Callers use name, paper, n_configs and the functions below; the rest is for those functions.
 */
struct baseline_kind {
    const char *name;   /* "popularity", "item-knn": lower case, stable */
    const char *paper;  /* "author, author year" */
    uint32_t n_configs; /* points of the grid */
    int (*make)(uint32_t config, const struct past *past, uint64_t seed, struct baseline **out, struct err *e);
    void (*free)(struct baseline *b);
    void (*describe)(uint32_t config, char text[BASELINE_TEXT]);
    void (*score)(struct baseline *b, uint32_t user, int64_t ts_ms, struct scores *out);
    int (*learn)(struct baseline *b, const struct past_event *ev, struct err *e);
    size_t (*size_bytes)(const struct baseline *b);
};

extern const struct baseline_kind *const baseline_kinds[]; /* (baseline_n_kinds) */
extern const uint32_t baseline_n_kinds;
const struct baseline_kind *baseline_find(const char *name); /* NULL when there is none of that name */

/* What each kind's own structure begins with. */
struct baseline {
    const struct baseline_kind *kind;
    const struct past *past;
    enum past_popularity fallback;
};

/* Point config (below n_configs) of a grid, its options as "name=value name=value". */
void baseline_describe(const struct baseline_kind *kind, uint32_t config, char text[BASELINE_TEXT]);

/* A fresh one; past (borrowed, must outlive it) has learned nothing yet. Memory grows with what is learned, bounded by
 * past_n_users and past_n_items as each base_*.c says. ERR_NOMEM. */
int baseline_new(const struct baseline_kind *kind, uint32_t config, const struct past *past, uint64_t seed,
                 struct baseline **out, struct err *e) ERR_MUST_CHECK;
void baseline_free(struct baseline *b); /* NULL is fine */

/* Scores candidates for a user at a moment, higher is better, into cleared scores; it may leave any of them out and may
 * score what the user has used. Changes nothing that is learned. */
void baseline_score(struct baseline *b, uint32_t user, int64_t ts_ms, struct scores *out);
/* The order of equals and of what has no score: (n_items), as past_popularity. */
const double *baseline_fallback(const struct baseline *b);

/* Learns an event that the past has not taken yet. ERR_NOMEM: the baseline is of no more use than to be freed. */
int baseline_learn(struct baseline *b, const struct past_event *ev, struct err *e) ERR_MUST_CHECK;

size_t baseline_size_bytes(const struct baseline *b); /* memory in use, about, without the past */

#endif
