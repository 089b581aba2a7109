/* Small random logs for the tests of lib/eval, and histories read off them the slow way. */
#ifndef RANKD_TESTS_UNIT_EVAL_LOG_H
#define RANKD_TESTS_UNIT_EVAL_LOG_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/eval/baseline.h"
#include "lib/eval/ranking.h"

enum { LOG_EVENTS = 400, LOG_USERS = 12, LOG_ITEMS = 40, LOG_BASKET = 5 };

struct eval_log {
    struct past_event events[LOG_EVENTS];
    uint32_t items[LOG_EVENTS][LOG_BASKET];
    uint32_t n;
};

static inline uint32_t log_below(uint64_t *at, uint32_t n) { return draw_below(draw_bits(77, (*at)++), n); }

/* Users who come back after pauses short and long, baskets, repeats, an item twice in a basket, stamps that run
 * backwards now and then, and weights of 0, 1 and 2.5. */
static inline void log_fill(struct eval_log *log, uint64_t seed) {
    static const float weights[] = {1, 1, 1, 1, 1, 2.5f, 0};
    uint64_t at = seed * 1000000;
    int64_t ts_ms = INT64_C(1700000000000);
    memset(log, 0, sizeof *log);
    for (log->n = 0; log->n < LOG_EVENTS; log->n++) {
        struct past_event *ev = &log->events[log->n];
        ts_ms += log_below(&at, 10) ? (int64_t)log_below(&at, 600000) : (int64_t)log_below(&at, 100000000);
        *ev = (struct past_event){
            .ts_ms = ts_ms - (log_below(&at, 20) ? 0 : 5000000),
            .user = log_below(&at, 2) && log->n > 0 ? log->events[log->n - 1].user : log_below(&at, LOG_USERS),
            .items = log->items[log->n],
            .n_items = log_below(&at, 4) ? 1 : 1 + log_below(&at, LOG_BASKET),
            .weight = weights[log_below(&at, 7)],
        };
        for (uint32_t k = 0; k < ev->n_items; k++) {
            uint32_t a = log_below(&at, LOG_ITEMS), b = log_below(&at, LOG_ITEMS);
            log->items[log->n][k] = a < b ? a : b;
        }
    }
}

/* The distinct items that user took in the first n events, the newest first, at most PAST_HISTORY. */
static inline uint32_t log_history(const struct eval_log *log, uint32_t n, uint32_t user, uint32_t *items) {
    uint32_t kept = 0;
    for (uint32_t e = n; e-- > 0;) {
        const struct past_event *ev = &log->events[e];
        for (uint32_t k = ev->n_items; ev->user == user && k-- > 0;) {
            bool met = false;
            for (uint32_t o = 0; o < kept; o++) met = met || items[o] == ev->items[k];
            if (!met && kept < PAST_HISTORY) items[kept++] = ev->items[k];
        }
    }
    return kept;
}

static inline bool log_used(const struct eval_log *log, uint32_t n, uint32_t user, uint32_t item) {
    for (uint32_t e = 0; e < n; e++) {
        for (uint32_t k = 0; log->events[e].user == user && k < log->events[e].n_items; k++) {
            if (log->events[e].items[k] == item) return true;
        }
    }
    return false;
}

/* Whether item k of an event stands in it before k. */
static inline bool log_again(const struct past_event *ev, uint32_t k) {
    for (uint32_t o = 0; o < k; o++) {
        if (ev->items[o] == ev->items[k]) return true;
    }
    return false;
}

/* One baseline and the past that it lives by. */
struct eval_run {
    struct past *past;
    struct baseline *b;
    struct scores *scores;
};

static inline void run_begin(struct eval_run *r) {
    assert_int_equal(past_new(LOG_USERS, LOG_ITEMS, &r->past, NULL), 0);
    assert_int_equal(scores_new(LOG_ITEMS, &r->scores, NULL), 0);
    r->b = NULL;
}

static inline void run_end(struct eval_run *r) {
    baseline_free(r->b);
    past_free(r->past);
    scores_free(r->scores);
}

static inline void run_learn(struct eval_run *r, const struct past_event *ev) {
    assert_int_equal(baseline_learn(r->b, ev, NULL), 0);
    assert_int_equal(past_learn(r->past, ev, NULL), 0);
}

static inline void run_score(struct eval_run *r, uint32_t user, int64_t ts_ms) {
    scores_clear(r->scores);
    baseline_score(r->b, user, ts_ms, r->scores);
}

/* Scores equal those of a slow twin; 0 there is none here. Returns how many there are. */
static inline uint32_t run_compare(const struct eval_run *r, const double *expected, double tolerance) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < LOG_ITEMS; i++) {
        double got = r->scores->of[i] == SCORES_NONE ? 0 : (double)r->scores->of[i];
        if (fabs(got - expected[i]) > tolerance * (fabs(expected[i]) + 1e-3))
            fail_msg("item %u: %.9g, the twin says %.9g", i, got, expected[i]);
        n += expected[i] != 0;
    }
    return n;
}

#endif
