/* Vector arithmetic, once per instruction set, with the same bits from each.
 *
 * A sum over an embedding has 16 lanes: lane l adds the products of elements l, l + 16, l + 32, ... in that order,
 * starting from the first product; the lanes are then added as a tree: l + (l + 8), then + 4, + 2, + 1. A product is
 * rounded before it is added (no fused operation). The portable kernel is this definition written out; the others are
 * tested against it on random rows, denormals, infinities and NaN. Lengths d are multiples of 16, at least 16; pointers
 * need no alignment beyond that of their element. Pure functions, any thread. */
#ifndef RANKD_MODEL_KERNEL_H
#define RANKD_MODEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel {
    const char *name; /* "portable", "avx2", "avx512" */

    float (*dot)(const float *a, const float *b, size_t d); /* sum of a_k b_k */

    void (*axpy)(float *y, float a, const float *x, size_t d); /* y_k += a x_k */

    /* One side of a BPR step: out_k = q_k + step x_k, and then gx_k += g q_k (q before the step).
     * out may not overlap the others. True when every out_k is finite. */
    bool (*pair_step)(float *out, const float *q, const float *x, float *gx, float step, float g, size_t d);

    /* out_k = y_k + a x_k; true when every out_k is finite. */
    bool (*step)(float *out, const float *y, float a, const float *x, size_t d);

    /* 8-bit codes of a row: codes_k = round-half-even(row_k / scale) in [-127, 127], scale = max |row_k| / 127 (0 for a
     * row of zeros or so near it that the quotient underflows: all codes are then 0). A row that is not finite gives
     * scale NaN and codes 0. Codes serve bounds only and never enter the model. */
    void (*quantise)(const float *row, size_t d, int8_t *codes, float *scale);

    /* out[r] = exact integer dot product of x with row r of codes (n, d); all in [-127, 127]. */
    void (*dot_codes)(const int8_t *codes, const int8_t *x, size_t d, size_t n, int32_t *out);
};

/* By name ("auto" = the best this CPU has). NULL when the CPU lacks it or the name is unknown. */
const struct kernel *kernel_pick(const char *name);

#endif
