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

#define SCAN_QUAD 4u /* rows whose values stand together: a cache line, which vectors of four can still read */
struct scan_quad {
    float scale[SCAN_QUAD]; /* q_k is about scale * code_k; NaN where q cannot be bounded */
    float error[SCAN_QUAD]; /* at least the norm of q - scale * codes */
    float norm[SCAN_QUAD];  /* at least the norm of q, and at most 1 + 2^-18 times that */
    float bias[SCAN_QUAD];  /* -inf for rows that are no candidates: they never win */
};

struct scan {
    uint32_t dim, max_items;
    const struct kernel *kernel;
    _Atomic uint32_t n_rows;
    _Atomic uint32_t *seq;      /* (max_items / SCAN_ROWS) odd while a row of the block is being replaced */
    int8_t *codes;              /* (max_items, dim) */
    struct scan_quad *quads;    /* (max_items / SCAN_QUAD) */
    float *trend[MODEL_TRENDS]; /* (max_items) head.trend rounded to float; SCAN_NO_TREND for none or less */
};

/* Row counts are rounded up to whole blocks. ERR_NOMEM. */
int scan_new(const struct model_params *p, const struct kernel *kernel, struct scan **out,
             struct err *e) ERR_MUST_CHECK;
void scan_free(struct scan *s);

/* Learner: refreshes one row from the table (plain reads of its own rows). */
void scan_put(struct scan *s, const struct items *t, uint32_t row);
/* The same for a row that was put before and has the trends of then. */
void scan_put_dense(struct scan *s, const struct items *t, uint32_t row);

/* Starts bringing what scan_put_dense will write of a row from memory. */
static inline void scan_prefetch(const struct scan *s, uint32_t row) {
    for (size_t at = 0; at < s->dim; at += 64) __builtin_prefetch(s->codes + (size_t)row * s->dim + at, 1);
    __builtin_prefetch(&s->quads[row / SCAN_QUAD], 1);
}

/* Norms rounded up, for bounds: of v, and of v - scale * codes; whole is at most 1 + 2^-18 times the norm, or 2^-125
 * more. v (d) must be finite. */
struct scan_norms {
    double whole, error;
};
struct scan_norms scan_measure(const struct kernel *kernel, const float *v, const int8_t *codes, float scale, size_t d);

#endif
