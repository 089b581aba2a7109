/* The terms of a score that come from what items have in common: features of an item against those of a user's items.
 *
 * With n_v the items that have feature v, N those that have any, idf_v = max(1/2, log2((N + 1) / n_v) + 1/2), and
 * c = params.feature_scale:
 *
 *   affinity_v   = log2(1 + c A_u(v) / n_v),   A_u(v) = sum of 1 / (rank_j + 1/2) over those of the newest
 *                  params.affinity_history items j of the user that have v, newest first (rank 0)
 *   succession_v = log2(1 + c S_u(v) / n_v),   S_u(v) = sum over the newest params.succession_history items j of
 *                  kappa^rank_j sum_a idf_a F_av(t) / (N_a(t) + s) / sum_a idf_a,   a: the first
 *                  params.succession_features features of j
 *   trend_v      = max(0, 8 + log2 of the decayed events of items with v - log2 n_v)
 *
 * with F and N_a of lib/model/feature.h, kappa = params.neighbour_decay, s = params.neighbour_shrink. A term of item i
 * is the mean of its features' values, weighted by idf_v; an item without features has none of the three. Dividing by
 * n_v makes the value of a feature that of one item among those that have it: with one category an item, a mean
 * weighted by idf alone cannot tell a small category from a large one.
 *
 * An item that no event has touched has no trends of its own. It gets those of an item of its kind: with T the third
 * term, trend_h = -8 + T + log2(h / h_middle) where T > 0 and that is above -8, as a steady stream of events gives the
 * half-lives h; -8 otherwise. What is above -8 is its lift. A fourth term tells such items from others: whether they
 * are taken up at all is a matter of the shop, and its weight learns it.
 *
 * A struct content is the scratch of one thread. */
#ifndef RANKD_MODEL_CONTENT_H
#define RANKD_MODEL_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/feature.h"
#include "lib/model/history.h"
#include "lib/model/model.h"
#include "lib/model/terms.h"

#define CONTENT_TERMS   (TERMS - TERM_CONTENT)
#define CONTENT_LEARNER UINT32_MAX /* in place of a reader's number */

struct content_value {
    float affinity, succession;
};

#define CONTENT_IDF_LEAST 0.5f
#define CONTENT_UNTOUCHED 8.0f /* the fourth term of an item that nobody has touched; 0 of others */

/* idf of a feature by log2 of the items that have it, and what it has in common with those of others. A feature that
 * comes and goes meanwhile must not make it less than it can be. */
float content_idf_base(uint32_t n_described);
static inline float content_idf(float base, float log_n) {
    float idf = base - log_n;
    return idf > CONTENT_IDF_LEAST ? idf : CONTENT_IDF_LEAST;
}

struct content_terms {
    float term[CONTENT_TERMS];
    float lift[MODEL_TRENDS]; /* added to the trends of an item that nobody has touched */
};

struct content {
    const struct features *of;   /* NULL: no item has features */
    struct content_value *value; /* (max_features) zeros but for the rows of touched */
    uint32_t *touched;           /* (n_touched of cap) */
    uint32_t n_touched, cap;
    float base;   /* of idf */
    double shift; /* of trends */
    const struct items *items;
    float ratio[MODEL_TRENDS]; /* log2 of half-lives over that of features */
    float weight[TERMS];
    float rest;      /* at least what a row that is not listed gets from content */
    float most_lift; /* and, when it is untouched, at least what it gets more */
    uint32_t *rows;  /* (n_rows) item rows of the strongest features, each once, in no order: listed */
    uint32_t n_rows, max_features, max_items;
    uint64_t *listed; /* (max_items) bits */
    uint64_t *heap;   /* (cap) scratch */
    float *number;    /* (2 cap) scratch */
    struct neighbour_list list;
};

struct content *content_new(const struct model_params *p); /* NULL when memory is refused */
void content_free(struct content *c);

/* What the items of h say of every feature at clock_ms. Inside an epoch section of `reader`, which is left while a row
 * of pairs is read from the backing; or on the learner (CONTENT_LEARNER). Errors of neighbours_read. */
int content_fill(struct content *c, const struct model *m, const struct history *h, int64_t clock_ms, unsigned reader,
                 struct err *e) ERR_MUST_CHECK;
/* With these weights (TERMS) from now on; lists the rows of the strongest features, some n_rows / 32 of them. */
void content_weigh(struct content *c, const float *weight, uint32_t n_rows);

/* What an item gets; false, and zeros, when it has no features. Inside the section. */
bool content_terms(const struct content *c, uint32_t row, struct content_terms *out);
/* Which items of h, which c was filled from, the item's affinity comes from: weight times their parts of it onto part
 * (n_known of h), in proportion to what each is in A_u(v). Inside the section. */
void content_affinity_parts(const struct content *c, const struct history *h, uint32_t row, float weight, float *part);
/* weight (TERMS) . terms and lifts, in their order. */
static inline float content_sum(const float *weight, const struct content_terms *t) {
    float sum = 0;
    for (int f = 0; f < CONTENT_TERMS; f++) sum += weight[TERM_CONTENT + f] * t->term[f];
    for (int h = 0; h < MODEL_TRENDS; h++) sum += weight[TERM_TREND + h] * t->lift[h];
    return sum;
}
/* The same with the weights of c; false, and 0, when the item has no features. */
static inline bool content_part(const struct content *c, uint32_t row, float *part) {
    struct content_terms t;
    bool some = c->of && content_terms(c, row, &t);
    *part = some ? content_sum(c->weight, &t) : 0;
    return some;
}
static inline bool content_lists(const struct content *c, uint32_t row) {
    return c && c->listed[row / 64] >> row % 64 & 1;
}
/* What one of the rows first to first + SCAN_ROWS - 1 that is not listed must reach without content, to reach `least`
 * with it. */
float content_reach(const struct content *c, uint32_t first, float least);

#endif
