/* The serving copy of the items: 8-bit codes and what is needed to bound every item's dense score.
 *
 * Written by the learner at each publish (scan_put), read by everybody under a sequence word per row. A bound made from
 * one whole version of a row holds for that version. */
#ifndef RANKD_MODEL_SCAN_H
#define RANKD_MODEL_SCAN_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/item.h"
#include "lib/model/kernel.h"

struct scan {
    uint32_t dim, max_items;
    const struct kernel *kernel;
    _Atomic uint32_t n_rows;
    _Atomic uint32_t *seq; /* (max_items) */
    int8_t *codes;         /* (max_items, dim) */
    float *scale;          /* (max_items) q_k is about scale * code_k */
    float *error;          /* (max_items) at least the norm of q - scale * codes */
    float *norm;           /* (max_items) at least the norm of q */
    float *bias;           /* (max_items) -inf for rows that are not live: they never win */
    float *trend[MODEL_TRENDS]; /* (max_items) head.trend rounded to float; -inf for none */
};

int scan_new(const struct model_params *p, const struct kernel *kernel, struct scan **out, struct err *e) ERR_MUST_CHECK;
void scan_free(struct scan *s);

/* Learner: refreshes one row from the table (plain reads of its own rows). */
void scan_put(struct scan *s, const struct items *t, uint32_t row);

#endif
