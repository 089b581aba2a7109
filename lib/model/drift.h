/* Notices that tastes have changed: the Page-Hinkley test (Page 1954; Hinkley 1971; as a drift detector: Gama et al.
 * 2014) on how far the model is ahead of popularity.
 *
 * Judged events (lib/model/judge.h) give d, the gain of the model less that of popularity on the same target: what
 * makes all rankings easier or harder changes d little. Events of one user without another's in between are one moment,
 * with the mean of their d: a long basket is one witness. Moment n of hour h of the day (UTC) gives
 *
 *     e_n = (S_h + DRIFT_SHRINK * S / N) / (N_h + DRIFT_SHRINK)       expected: the mean of that hour, of all where few
 *     U_n = max(0, U_{n-1} + (e_n - d_n) / sigma - tolerance)         an alarm when U_n > threshold
 *
 * with S, N decayed sums of d and of moments (S_h, N_h: of the hour), sigma^2 the decayed mean of (e - d)^2. Expecting
 * by the hour takes the daily cycle out. Everything is counted in moments; an alarm lets the expectation start anew.
 *
 * After an alarm at which less than DRIFT_KEEPS of what was expected is left, the model forgets, as configured: what
 * users did before leaves their histories and may teach again (drift_history_from), neighbours are aged at once
 * (neighbours_set_aged), and counts and AdaGrad sums when a row is next touched (lib/model/forget.h). When more is left
 * it learns the new faster than it would without the old (docs/model.md). All this is a function of the events learned,
 * in their order.
 *
 * Learner, but drift_read. */
#ifndef RANKD_MODEL_DRIFT_H
#define RANKD_MODEL_DRIFT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/model/params.h"

#define DRIFT_HOURS  24u
#define DRIFT_KINDS  6 /* NEIGHBOUR_KINDS */
#define DRIFT_SHRINK 10.0
#define DRIFT_KEEPS  0.5
#define DRIFT_NEVER  INT64_MIN

struct drift_sum {
    double sum, n;
};

struct drift_view {           /* for people */
    uint64_t moments, alarms; /* ever */
    uint64_t forgot;          /* alarms after which the model forgot */
    double evidence;          /* U / threshold, at most 1; 0 when the test is off */
    int64_t alarm_ms;         /* model clock of the last alarm; DRIFT_NEVER */
    double expected, found;   /* at the last alarm: means of e and d of the last 100 or so moments */
};
#define DRIFT_VIEW (sizeof(struct drift_view) / sizeof(uint64_t))

struct drift {
    const struct model_params *params;
    struct drift_sum hour[DRIFT_HOURS], all, square;
    struct drift_sum lately; /* d of the last 100 or so moments since the evidence was 0 */
    double expected;         /* sum of e of the same moments */
    double evidence;         /* U */
    uint64_t since;          /* moments since the last alarm */
    int64_t since_ms;        /* model clock of the first of them */
    struct {                 /* the moment under way; n = 0: none */
        struct drift_sum d;
        uint64_t user;
        int64_t clock_ms;
    } open;
    int64_t aged_ms[DRIFT_KINDS]; /* by how much alarms have aged neighbour rows, by kind: neighbours_set_aged */
    int64_t forget_before_ms;     /* rows whose newest event is older have not forgotten yet; DRIFT_NEVER */
    struct drift_view now;
    bool changed;         /* since the last publish */
    _Atomic uint32_t seq; /* of what follows: odd while it is being replaced */
    _Atomic uint64_t published[DRIFT_VIEW];
    _Atomic int64_t published_from_ms;
};

void drift_init(struct drift *d, const struct model_params *p);

/* An event of a user (by a hash of his id) at clock_ms was judged: sum of n differences of gain. True when this raised
 * an alarm. */
bool drift_note(struct drift *d, uint64_t user, int64_t clock_ms, double sum, uint32_t n);

/* Whether a row whose newest event before was at last_ms forgets with an event at t_ms: it had none since the model
 * forgot, and this one came after that. */
static inline bool drift_forgets(const struct drift *d, int64_t last_ms, int64_t t_ms) {
    return last_ms < d->forget_before_ms && t_ms >= d->forget_before_ms;
}

/* What users did before this is in no history; DRIFT_NEVER. Learner. */
static inline int64_t drift_history_from(const struct drift *d) {
    return d->params->drift_age > 0 ? d->forget_before_ms : DRIFT_NEVER;
}
/* The same for other threads, as of the last drift_publish. */
int64_t drift_history_from_read(const struct drift *d);

void drift_publish(struct drift *d);
struct drift_view drift_read(const struct drift *d); /* any thread: as of the last publish */

/* Stored form (little-endian), and back. ERR_CORRUPT. */
void drift_encode(const struct drift *d, struct buf *out);
int drift_decode(struct drift *d, struct slice bytes, struct err *e) ERR_MUST_CHECK;

#endif
