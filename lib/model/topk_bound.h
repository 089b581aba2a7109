/* Bounds of the scores of a block of rows, from their 8-bit codes; for topk.c alone. */
#ifndef RANKD_MODEL_TOPK_BOUND_H
#define RANKD_MODEL_TOPK_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/scan.h"
#include "lib/model/topk.h"

/* A query made ready. Values with a sign of their own already carry that of tau or mu. */
struct bound {
    const struct scan *scan;
    const struct topk_query *query;
    int8_t codes[MODEL_MAX_DIM];      /* of x */
    float scale;                      /* of x */
    float per_norm, per_error, least; /* slack of x . q = per_norm * norm + per_error * error + least */
    float inverse_norm;               /* 1 / |x| for cosines */
    bool flat;                        /* a cosine with zero: every score is 0 */
    uint32_t n_trends;
    struct bound_trend {
        const float *of; /* scan->trend[h] */
        float mu, shift, slack, relative;
    } trends[MODEL_TRENDS]; /* those with mu != 0 */
};

struct bounded {
    float low, high; /* low <= score <= high, infinite where undecided; never NaN */
    uint32_t row;
};

/* False when the query's values are too large or not finite: score everything. */
bool bound_prepare(struct bound *b, const struct model_params *p, const struct scan *s, const struct topk_query *q);

/* Rows first to first + n - 1 (first a multiple of SCAN_ROWS, n <= SCAN_ROWS) that are live and whose score may be
 * above the threshold, ascending, into out (SCAN_ROWS). Rows the learner keeps replacing meanwhile are returned
 * undecided. */
uint32_t bound_block(const struct bound *b, uint32_t first, uint32_t n, float threshold, struct bounded *out);

#endif
