/* The kinds of baselines, each in a file of its own, and what a point of each grid says. */
#ifndef RANKD_EVAL_BASELINE_PRIV_H
#define RANKD_EVAL_BASELINE_PRIV_H

#include <stdbool.h>

#include "lib/eval/baseline.h"

extern const struct baseline_kind base_popularity, base_itemknn, base_rules, base_vsknn, base_stan, base_vstan,
    base_bpr;

struct itemknn_config {
    int64_t half_life_ms;    /* of pair and item counts; 0: no decay */
    uint32_t history;        /* newest items of a history taken, at most PAST_HISTORY */
    float pair_decay;        /* weight of a pair by rank of its older item, when counted: pair_decay^rank */
    float query_decay;       /* weight of a history item by rank, when asked */
    float shrink;            /* added to item counts, above 0 */
    uint32_t alpha_quarters; /* alpha * 4, 0 to 2: 2 = cosine, 0 = conditional probability */
    enum past_popularity fallback;
};
int base_itemknn_new(const struct itemknn_config *c, const struct past *past, struct baseline **out,
                     struct err *e) ERR_MUST_CHECK;

struct rules_config {
    int64_t half_life_ms; /* of rule counts; 0: no decay */
    float query_decay;    /* weight of a history item by rank; 0: the newest alone */
    enum past_popularity fallback;
};
int base_rules_new(const struct rules_config *c, const struct past *past, struct baseline **out,
                   struct err *e) ERR_MUST_CHECK;

struct sessions_config {
    int64_t gap_ms;           /* a longer pause ends a session; 0: none does */
    uint32_t query;           /* newest items of the history that ask, at most PAST_HISTORY */
    float query_decay;        /* 0: linear */
    int64_t age_half_life_ms; /* 0: age does not matter */
    bool normalise, idf;
    float place_decay;   /* 1: the place does not matter */
    float match_decay;   /* 1: the match does not matter; 0: 1 / (rank + 1) */
    uint32_t neighbours; /* at least 1 */
    enum past_popularity fallback;
};
int base_sessions_new(const struct baseline_kind *kind, const struct sessions_config *c, const struct past *past,
                      struct baseline **out, struct err *e) ERR_MUST_CHECK;

struct bpr_config {
    float rate, reg;
    enum past_popularity fallback;
};
int base_bpr_new(const struct bpr_config *c, const struct past *past, uint64_t seed, struct baseline **out,
                 struct err *e) ERR_MUST_CHECK;

/* Whether item k of an event stands in it before k. */
static inline bool base_is_again(const struct past_event *ev, uint32_t k) {
    for (uint32_t o = 0; o < k; o++) {
        if (ev->items[o] == ev->items[k]) return true;
    }
    return false;
}

#endif
