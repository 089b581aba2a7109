/* exp and log by IEEE additions, multiplications and divisions alone.
 *
 * Each function has one body without branches, so that the element-wise forms can be turned into vectors and give the
 * bits of the scalar ones. Ranges are clamped before anything is turned into an integer. */
#include "lib/base/fmath.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/fmath_float.h"

#if FLT_EVAL_METHOD != 0
#error "float and double must be computed in their own precision (on x86: SSE2, not x87)"
#endif

static inline uint64_t bits_of_double(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline double double_of_bits(uint64_t u) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Adding it rounds a small number to an integer, ties to even, and leaves that integer in the low bits. */
#define ROUND_D 0x1.8p52

float fm_expf(float x) { return expf_one(x); }

float fm_logf(float x) { return logf_one(x); }

static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

void fm_expf_n(float *x, size_t n) {
    if (has_avx512())
        fm_expf_n_avx512(x, n);
    else if (__builtin_cpu_supports("avx2"))
        fm_expf_n_avx2(x, n);
    else
        for (size_t i = 0; i < n; i++) x[i] = expf_one(x[i]);
}

void fm_logf_n(float *x, size_t n) {
    if (has_avx512())
        fm_logf_n_avx512(x, n);
    else if (__builtin_cpu_supports("avx2"))
        fm_logf_n_avx2(x, n);
    else
        for (size_t i = 0; i < n; i++) x[i] = logf_one(x[i]);
}

float fm_sqrtf(float x) { return __builtin_sqrtf(x); }

double fm_sqrt(double x) { return __builtin_sqrt(x); }

/* 2^x = 2^k e^t, t = r ln 2, |r| <= 1/2: the exponential series to t^13 (the rest is below 5e-18), its even and its
 * odd terms apart so that the two halves can be computed side by side. */
double fm_exp2(double x) {
    double y = x > 1024.0 ? 1024.0 : x;
    y = y < -1075.0 ? -1075.0 : y;
    double shifted = y + ROUND_D;
    double k = shifted - ROUND_D;
    double t = (y - k) * 0x1.62e42fefa39efp-1; /* y - k is exact */
    double z = t * t;
    double even = 1.0 / 479001600.0;
    even = even * z + 1.0 / 3628800.0;
    even = even * z + 1.0 / 40320.0;
    even = even * z + 1.0 / 720.0;
    even = even * z + 1.0 / 24.0;
    even = even * z + 0.5;
    double odd = 1.0 / 6227020800.0;
    odd = odd * z + 1.0 / 39916800.0;
    odd = odd * z + 1.0 / 362880.0;
    odd = odd * z + 1.0 / 5040.0;
    odd = odd * z + 1.0 / 120.0;
    odd = odd * z + 1.0 / 6.0;
    double e = 1.0 + (t + z * (even + t * odd));
    uint64_t biased = bits_of_double(shifted) - bits_of_double(ROUND_D) + 2048; /* k + 2048 */
    uint64_t half = biased >> 1, rest = biased - half;                          /* each its part of k, + 1024 */
    double result = e * double_of_bits((half - 1) << 52) * double_of_bits((rest - 1) << 52);
    result = x < -1074.0 ? 0.0 : result;
    return x != x ? (double)NAN : result;
}

/* As logf_one, the series to s^18 (the rest is below 3e-17), then times 2 / ln 2. Powers of two come out exact. */
double fm_log2(double x) {
    const uint64_t sqrt_half = 0x3FE6A09E667F3BCD;
    double scale = x < DBL_MIN ? 0x1p54 : 1.0, shift = x < DBL_MIN ? -54.0 : 0.0;
    uint64_t u = bits_of_double(x * scale) - sqrt_half + (UINT64_C(2048) << 52);
    double k = (double)(int64_t)(u >> 52) - 2048.0 + shift;
    double m = double_of_bits((u & UINT64_C(0x000FFFFFFFFFFFFF)) + sqrt_half);
    double f = m - 1.0;
    double s = f / (2.0 + f), z = s * s;
    double p = 1.0 / 19.0;
    p = p * z + 1.0 / 17.0;
    p = p * z + 1.0 / 15.0;
    p = p * z + 1.0 / 13.0;
    p = p * z + 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    double result = k + (s + s * z * p) * 0x1.71547652b82fep+1;
    result = x == (double)INFINITY ? (double)INFINITY : result;
    result = x == 0.0 ? (double)-INFINITY : result;
    return x >= 0.0 ? result : (double)NAN;
}
