/* The serving copy of the items: 8-bit codes and what is needed to bound every item's dense score.
 *
 * Written by the learner at each publish (scan_put), read by everybody under a sequence word per SCAN_ROWS rows (one
 * word a block keeps the check off the reader's memory traffic). A bound made from one whole version of a row holds for
 * that version. */
#ifndef RANKD_MODEL_SCAN_H
#define RANKD_MODEL_SCAN_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/item.h"
#include "lib/model/kernel.h"

#define SCAN_ROWS     64u
#define SCAN_NO_TREND (-1e38f)
#define SCAN_MOST                                                                                                      \
    0x1p60f /* largest norm or trend that is bounded; beyond it the row holds NaN and is always scored                 \
             */

struct scan {
    uint32_t dim, max_items;
    const struct kernel *kernel;
    _Atomic uint32_t n_rows;
    _Atomic uint32_t *seq;      /* (max_items / SCAN_ROWS) odd while a row of the block is being replaced */
    int8_t *codes;              /* (max_items, dim) */
    float *scale;               /* (max_items) q_k is about scale * code_k; NaN where q cannot be bounded */
    float *error;               /* (max_items) at least the norm of q - scale * codes */
    float *norm;                /* (max_items) at least the norm of q, and at most 1 + 2^-18 times that */
    float *bias;                /* (max_items) -inf for rows that are not live: they never win */
    float *trend[MODEL_TRENDS]; /* (max_items) head.trend rounded to float; SCAN_NO_TREND for none or less */
};

/* Row counts are rounded up to whole blocks. ERR_NOMEM. */
int scan_new(const struct model_params *p, const struct kernel *kernel, struct scan **out,
             struct err *e) ERR_MUST_CHECK;
void scan_free(struct scan *s);

/* Learner: refreshes one row from the table (plain reads of its own rows). */
void scan_put(struct scan *s, const struct items *t, uint32_t row);

/* Starts bringing what scan_put will write of a row from memory. */
static inline void scan_prefetch(const struct scan *s, uint32_t row) {
    __builtin_prefetch(s->codes + (size_t)row * s->dim, 1);
    __builtin_prefetch(s->scale + row, 1);
    __builtin_prefetch(s->error + row, 1);
    __builtin_prefetch(s->norm + row, 1);
    __builtin_prefetch(s->bias + row, 1);
    for (int h = 0; h < MODEL_TRENDS; h++) __builtin_prefetch(s->trend[h] + row, 1);
}

/* Norms rounded up, for bounds: of v, and of v - scale * codes; whole is at most 1 + 2^-18 times the norm, or 2^-125
 * more. v (d) must be finite. */
struct scan_norms {
    double whole, error;
};
struct scan_norms scan_measure(const struct kernel *kernel, const float *v, const int8_t *codes, float scale, size_t d);

#endif
