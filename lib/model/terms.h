/* The terms of a score beside the embeddings, for the few items that have any: neighbours of a user's recent items.
 *
 *   f_u(i) = sum_j near_j * log(1 + c * F_ji(t) / ((N_j(t) + s) * (1 + N_i(t))^a))
 *
 * over the newest params.neighbour_history items j of the user, near_j = kappa^(his events since) / sqrt(items of that
 * event), with F the decayed count of i after j (forward), G of i before j (backward), D of i right after j
 * (successor), N the decayed count of an item's events, kappa = params.neighbour_decay, c = params.neighbour_scale, s =
 * params.neighbour_shrink, a = params.neighbour_popularity.
 *
 * What baskets had lately beside his newest params.lately_history items j is a term too,
 *
 *   l_u(i) = sum_j near_j * log(1 + c' * L_ji(t) / (1 + N_i(t))^a),    near_j = 1 / sqrt(number of j),
 *
 * as if all j had come with one event, with L the decayed count of baskets that held both (half-life
 * params.lately_half_life_ms), c' = params.lately_scale. N_j does not divide: it remembers for months, L for days.
 *
 * What users take who share a feature v with the user (lib/model/segment.h) is one more:
 *
 *   e_u(i) = sum_v I_v * log(1 + c" * P_vi(t) / ((N_v(t) + s) * (1 + N_i(t))^a)),
 *   I_v    = max(0, sum_i P_vi / N_v * log((P_vi + m pi_i) / ((N_v + m) pi_i))),    pi_i = N_i / N
 *
 * with c" = params.segment_scale. I_v is how many nats the feature tells of the next item, from the items in the row,
 * of which m = TERMS_PRIOR events are taken to be as everybody's: half of the features that shops know of their users
 * tell nothing, and they must not drown those that do.
 *
 * A request's cart has a term of its own, the same sum over its items j, in no order (kappa = 1), with the count T of
 * baskets that held both; and it is the cart that is then asked for what baskets had lately, with near_j = 1.
 *
 * A struct terms is the scratch of one thread: term values, found by item row. What an entry needs of its item,
 * (1 + N_i)^-a, is computed when the row first comes up and kept to the next terms_begin: an item stands in several
 * lists. */
#ifndef RANKD_MODEL_TERMS_H
#define RANKD_MODEL_TERMS_H

#include <assert.h>
#include <stdint.h>

#include "lib/model/history.h"
#include "lib/model/item.h"
#include "lib/model/neighbour.h"
#include "lib/model/params.h"

enum { /* of terms, in the order of blend weights; those below TERMS_SPARSE are kept here */
       TERM_FORWARD = NEIGHBOUR_FORWARD,
       TERM_BACKWARD = NEIGHBOUR_BACKWARD,
       TERM_SUCCESSOR = NEIGHBOUR_SUCCESSOR,
       TERM_SEGMENT = NEIGHBOUR_SEGMENT,
       TERM_TOGETHER = NEIGHBOUR_TOGETHER,
       TERM_LATELY = NEIGHBOUR_LATELY,
       TERMS_SPARSE,
       TERMS_OF_CART = TERM_TOGETHER, /* from here to TERMS_SPARSE: for each item of a cart */
       TERM_EMBEDDING = TERMS_SPARSE,
       TERM_TREND,
       TERM_CONTENT = TERM_TREND + MODEL_TRENDS, /* lib/model/content.h */
       TERM_AFFINITY = TERM_CONTENT,
       TERM_SUCCESSION,
       TERM_FEATURE_TREND,
       TERM_UNTOUCHED,
       TERMS,
};

#define TERMS_PRIOR 300.0f /* m */
#define TERMS_CART  30u    /* most items of a cart that are asked for what goes with them */

static_assert(TERMS == MODEL_TERMS, "params.h counts the terms");

const char *terms_name(int term); /* "forward", "embedding", "trend_short", ... */

struct terms_row {
    uint32_t row;
    uint16_t generation;
    float factor; /* (1 + N_i)^-a */
    float value[TERMS_SPARSE];
};

struct terms {
    struct terms_row *rows; /* (n) in order of first addition */
    uint32_t n, cap;
    uint32_t *place; /* (max_rows) 1 + index into rows, by item row; 0 = the row has no terms */
    float *sum;      /* (n) of weight * value of rows[k], after terms_weigh */
    float *sums;     /* (max_rows) the same by item row; 0 for those without terms */
    size_t max_rows;
    int64_t clock_ms;                                           /* the moment of all counts and weights */
    struct neighbour_list list;                                 /* scratch of whoever fills */
    float numbers[NEIGHBOUR_MAX + 1], fresh[NEIGHBOUR_MAX + 1]; /* scratch of those who measure */
    uint32_t at[NEIGHBOUR_MAX + 1];                             /* the place in rows of each entry of its list */
};

/* One neighbour row that a history asks for: that of its part, which counts near. */
struct terms_ask {
    enum neighbour_kind kind;
    uint32_t part;
    float near;
};
static inline uint32_t terms_n_asks(const struct history *h) { return h->n_near * NEIGHBOUR_BY_ORDER + h->n_lately; }
static inline struct terms_ask terms_ask(const struct history *h, uint32_t k) { /* k-th of terms_n_asks */
    uint32_t ordered = h->n_near * NEIGHBOUR_BY_ORDER, part = k / NEIGHBOUR_BY_ORDER;
    if (k >= ordered) return (struct terms_ask){NEIGHBOUR_LATELY, k - ordered, h->near_lately};
    return (struct terms_ask){(enum neighbour_kind)(k % NEIGHBOUR_BY_ORDER), part, h->parts[part].near};
}

struct terms *terms_new(const struct model_params *p); /* NULL when memory is refused */
void terms_free(struct terms *s);
/* No row has terms; those to come are of this moment. */
void terms_begin(struct terms *s, int64_t clock_ms);
/* The term is 0 for all rows. */
void terms_clear(struct terms *s, int term);
/* The row's terms, zeros when it had none; at most cap rows between two terms_begin. */
struct terms_row *terms_at(struct terms *s, uint32_t row);

/* What list (row `kind` of history item j, which counts near) says: the share of entry k in the term of item
 * list->row[k] goes into s->numbers[k], 0 for items that are gone, and its place in s->rows into s->at[k]. Any thread.
 */
void terms_measure(struct terms *s, const struct items *t, enum neighbour_kind kind, const struct neighbour_list *list,
                   uint32_t j, float near);
/* The same, added to the terms of the items. */
void terms_add_list(struct terms *s, const struct items *t, enum neighbour_kind kind, const struct neighbour_list *list,
                    uint32_t j, float near);

/* What list (row SEGMENT of a feature of the user) says, added to the terms of the items; n_segment and n_all: N_v and
 * N at the moment. Any thread. */
void terms_add_segment(struct terms *s, const struct items *t, const struct neighbour_list *list, float n_segment,
                       float n_all);

/* Sets the sums: weight (TERMS) times value, added in the order of the terms. */
void terms_weigh(struct terms *s, const float *weight);

/* The row's terms, or NULL. */
static inline const struct terms_row *terms_find(const struct terms *s, uint32_t row) {
    return s->place[row] ? &s->rows[s->place[row] - 1] : NULL;
}

#endif
