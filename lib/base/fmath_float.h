/* exp and log of one float, for fmath*.c alone: one body without branches, which every instruction set compiles to the
 * same bits (-ffp-contract=off). Ranges are clamped before anything is turned into an integer. */
#ifndef RANKD_BASE_FMATH_FLOAT_H
#define RANKD_BASE_FMATH_FLOAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t bits_of_float(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Adding it rounds a small number to an integer, ties to even, and leaves that integer in the low bits. */
#define ROUND_F 0x1.8p23f

/* Cases are told apart by masks over the bits, since comparisons may be compiled to branches and end the vectors. */
static inline uint32_t mask_less(int32_t a, int32_t b) { return 0 - ((uint32_t)(a - b) >> 31); } /* a, b >= 0 */

static inline uint32_t pick(uint32_t mask, uint32_t set, uint32_t clear) { return clear ^ ((set ^ clear) & mask); }

/* Bits of the floats that bound and end the cases. */
#define SIGN            UINT32_C(0x80000000)
#define INF             INT32_C(0x7F800000)
#define QUIET_NAN       UINT32_C(0x7FC00000)
#define SMALLEST_NORMAL 0x00800000
#define ONE             UINT32_C(0x3F800000)
#define TWO_24          UINT32_C(0x4B800000)
#define SQRT_HALF       UINT32_C(0x3F3504F3)
#define EXP_HIGHEST     0x42B20000 /* 89 */
#define EXP_LOWEST      0x42D00000 /* 104, of -104 */

/* e^x = 2^k e^r, |r| <= ln 2 / 2. e^r = 1 + r + r^2 Q(r), Q interpolated at the five Chebyshev nodes: 1.1e-8 off. */
static inline float expf_one(float x) {
    const float log2_e = 0x1.715476p+0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
    uint32_t u = bits_of_float(x);
    int32_t size = (int32_t)(u & ~SIGN), most = (int32_t)pick(0 - (u >> 31), EXP_LOWEST, EXP_HIGHEST);
    float y = float_of_bits(pick(mask_less(most, size), (uint32_t)most, (uint32_t)size) | (u & SIGN));
    float shifted = y * log2_e + ROUND_F;
    float k = shifted - ROUND_F;
    float r = (y - k * ln2_high) - k * ln2_low; /* k * ln2_high is exact: 8 and 15 bits */
    float q = 0x1.6d113cp-10f;
    q = q * r + 0x1.120ba2p-7f;
    q = q * r + 0x1.55551ap-5f;
    q = q * r + 0x1.5554dcp-3f;
    q = q * r + 0.5f;
    float e = 1.0f + (r + r * r * q);
    /* 2^k as two factors: k from -150 to 128 has no single one. The result is rounded once, at the second. */
    uint32_t biased = bits_of_float(shifted) - bits_of_float(ROUND_F) + 256; /* k + 256 */
    uint32_t half = biased >> 1, rest = biased - half;                       /* each its part of k, + 128 */
    float result = e * float_of_bits((half - 1) << 23) * float_of_bits((rest - 1) << 23);
    return float_of_bits(pick(mask_less(INF, size), QUIET_NAN, bits_of_float(result)));
}

/* ln x = k ln 2 + ln m, sqrt(1/2) <= m < sqrt(2). ln m = 2 atanh s = 2 s (1 + s^2/3 + s^4/5 + ...), s = (m-1)/(m+1). */
static inline float logf_one(float x) {
    const float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
    uint32_t u = bits_of_float(x);
    int32_t size = (int32_t)(u & ~SIGN);
    uint32_t denormal = mask_less(size, SMALLEST_NORMAL);
    float scaled = x * float_of_bits(pick(denormal, TWO_24, ONE));
    uint32_t v = bits_of_float(scaled) - SQRT_HALF + (UINT32_C(256) << 23);
    float k = (float)((int32_t)(v >> 23) - (int32_t)pick(denormal, 256 + 24, 256));
    float m = float_of_bits((v & 0x007FFFFF) + SQRT_HALF);
    float f = m - 1.0f; /* exact */
    float s = f / (2.0f + f), z = s * s;
    float p = z * (1.0f / 3.0f + z * (1.0f / 5.0f + z * (1.0f / 7.0f + z * (1.0f / 9.0f))));
    /* 2 s = f - s f keeps f exact, where 2 s alone would carry the rounding of the division */
    float ln_m = f - s * (f - 2.0f * p);
    uint32_t result = bits_of_float(k * ln2_high + (ln_m + k * ln2_low));
    result = pick(mask_less(size, INF), result, INF);
    result = pick((0 - (u >> 31)) | mask_less(INF, size), QUIET_NAN, result);
    result = pick(mask_less(size, 1), SIGN | INF, result);
    return float_of_bits(result);
}

/* fm_expf_n and fm_logf_n for CPUs that have these instructions: fmath_avx2.c, fmath_avx512.c. */
void fm_expf_n_avx2(float *x, size_t n);
void fm_logf_n_avx2(float *x, size_t n);
void fm_expf_n_avx512(float *x, size_t n);
void fm_logf_n_avx512(float *x, size_t n);

#endif
