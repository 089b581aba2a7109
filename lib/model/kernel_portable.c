/* The vector kernel in plain C: the definition the others are tested against. */
#include <string.h>

#include "lib/model/kernel_sets.h"

static inline uint32_t abs_bits(float v) {
    uint32_t b;
    memcpy(&b, &v, sizeof b);
    return b & 0x7fffffffu;
}

static float portable_dot(const float *a, const float *b, size_t d) {
    float lane[KERNEL_LANES];
    for (size_t l = 0; l < KERNEL_LANES; l++) lane[l] = a[l] * b[l];
    for (size_t k = KERNEL_LANES; k < d; k += KERNEL_LANES) {
        for (size_t l = 0; l < KERNEL_LANES; l++) lane[l] += a[k + l] * b[k + l];
    }
    for (size_t half = KERNEL_LANES / 2; half > 0; half /= 2) {
        for (size_t l = 0; l < half; l++) lane[l] += lane[l + half];
    }
    return lane[0];
}

static void portable_axpy(float *y, float a, const float *x, size_t d) {
    for (size_t k = 0; k < d; k++) y[k] += a * x[k];
}

static bool portable_pair_step(float *restrict out, const float *q, const float *x, float *gx, float step, float g,
                               size_t d) {
    uint32_t top = 0;
    for (size_t k = 0; k < d; k++) {
        float before = q[k], after = before + step * x[k];
        uint32_t bits = abs_bits(after);
        top = bits > top ? bits : top;
        out[k] = after;
        gx[k] += g * before;
    }
    return top < KERNEL_INF_BITS;
}

static bool portable_step(float *out, const float *y, float a, const float *x, size_t d) {
    uint32_t top = 0;
    for (size_t k = 0; k < d; k++) {
        float after = y[k] + a * x[k];
        uint32_t bits = abs_bits(after);
        top = bits > top ? bits : top;
        out[k] = after;
    }
    return top < KERNEL_INF_BITS;
}

static void portable_quantise(const float *row, size_t d, int8_t *codes, float *scale) {
    const float even = 12582912.0f; /* 1.5 * 2^23: adding it leaves no bits below 1, rounded half to even */
    uint32_t top = 0;
    for (size_t k = 0; k < d; k++) {
        uint32_t bits = abs_bits(row[k]);
        top = bits > top ? bits : top;
    }
    float s = kernel_scale(top);
    *scale = s;
    if (!(s > 0)) {
        memset(codes, 0, d);
        return;
    }
    for (size_t k = 0; k < d; k++) {
        float v = row[k] / s;
        v = v > 127.0f ? 127.0f : v;
        v = v < -127.0f ? -127.0f : v;
        codes[k] = (int8_t)(int32_t)((v + even) - even);
    }
}

static void portable_dot_codes(const int8_t *codes, const int8_t *x, size_t d, size_t n, int32_t *out) {
    for (size_t r = 0; r < n; r++, codes += d) {
        int32_t sum = 0;
        for (size_t k = 0; k < d; k++) sum += codes[k] * x[k];
        out[r] = sum;
    }
}

const struct kernel kernel_portable = {
    .name = "portable",
    .dot = portable_dot,
    .axpy = portable_axpy,
    .pair_step = portable_pair_step,
    .step = portable_step,
    .quantise = portable_quantise,
    .dot_codes = portable_dot_codes,
};
