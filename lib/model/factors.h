/* What each dimension of the item embeddings is about: the items that lie furthest out along it.
 *
 * The dimensions of a factorisation have no names and no order; their extremes show people what they separate. Items
 * whose q has not learned say nothing and are left out. Dimensions come with the widest first, by the standard
 * deviation of the items looked at; a narrow one hardly matters to any score. */
#ifndef RANKD_MODEL_FACTORS_H
#define RANKD_MODEL_FACTORS_H

#include <stdint.h>

#include "lib/model/recommend.h"

#define FACTORS_MAX 100 /* extremes of a dimension at each end */

struct factor_item {
    struct slice id;
    float value; /* q of the item in this dimension */
};

struct factor {
    uint32_t dimension; /* 0 to dim - 1 */
    double mean, deviation;
    struct factor_item *highest, *lowest; /* (n) furthest out first */
    uint32_t n;
};

struct factors {
    uint32_t dim, n_items;        /* items looked at: they have learned */
    struct factor *factor;        /* (dim) widest first */
    struct factor_item *extremes; /* (dim, 2, k) what they point to */
};

/* Of the items of an answer, whose epoch section is still open and with it the ids; k is 1 to FACTORS_MAX, of which
 * there are fewer when fewer items have learned. Any thread. ERR_RANGE, ERR_NOMEM. */
int factors_find(const struct items *t, const struct recommend_answer *a, uint32_t k, struct factors *out,
                 struct err *e) ERR_MUST_CHECK;
void factors_free(struct factors *f);

#endif
