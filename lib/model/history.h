/* The user vector: long-term taste plus the recent history. */
#ifndef RANKD_MODEL_HISTORY_H
#define RANKD_MODEL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/model/item.h"
#include "lib/model/kernel.h"
#include "lib/model/params.h"
#include "lib/model/user.h"

struct history_part {
    uint32_t row;
    float weight; /* of y in x, normalised */
    float near;   /* of its neighbours in terms and pairs; 0 from params.neighbour_history on */
};

struct history {
    struct history_part parts[MODEL_MAX_HISTORY]; /* (n_known) newest first; the first n are in the user vector */
    size_t n, n_known;
    uint32_t n_near, n_newest; /* those with near; of these, that came with the newest event */
    uint32_t n_lately;         /* those asked for what baskets had lately, each of which counts near_lately */
    float near_lately;
    uint32_t n_segments; /* features of the user that count */
    uint16_t segments[MODEL_MAX_FEATURES];
};

static inline void history_clear(struct history *h) {
    h->n = h->n_known = 0;
    h->n_near = h->n_newest = h->n_lately = h->n_segments = 0;
}

/* As many as the user vector (params.history), the neighbour terms (params.neighbour_history and, where there were
 * baskets, params.lately_history) or, where items have features, the content terms (params.affinity_history) want. Any
 * thread. */
uint32_t history_most(const struct items *t);

/* The newest of the n entries whose item still exists, newest first: as many as history_most says. Weights w_j =
 * history_weight(types_j) * history_decay^rank_j / sqrt(sum w) for those of the user vector; a type's history_half_life
 * fades its weight by the time since the entry, as of at_ms. near_j = neighbour_decay^(events
 * newer than that of j) / sqrt(items of the event of j), both of the newest params.neighbour_history: a basket is one
 * moment, in no order. Where there were baskets the newest params.lately_history count 1 / sqrt(their number) each for
 * what these had lately. Entries of a negative type are left out. Any thread. */
void history_of(struct history *h, const struct items *t, const struct user_entry *entries, uint32_t n, int64_t at_ms);

/* After history_of: the segments that the user belongs to, of the first params.user_features features of his. */
void history_add_segments(struct history *h, const struct model_params *p, const struct user_row *user);

/* x = p + sum of weight_j y_j, newest first; p may be NULL (zeros). x (dim). The learner reads its rows plainly
 * (shared = false); other threads pass shared = true and read whole rows. With params.unit_scale = s > 0 the sum is
 * then brought to length s (a sum of zeros stays). Returns the factor that took it there, 1 without. */
float history_vector(const struct history *h, const struct items *t, const struct kernel *k, const float *p,
                     bool shared, float *x);

/* Turns gx (dim), a gradient by x, into the gradient by the sum that x was made of: with u = x / s and the factor f of
 * history_vector, f (gx - (gx . u) u). */
void history_gradient(const struct kernel *k, const float *x, float factor, float unit_scale, float *gx, size_t dim);

#endif
