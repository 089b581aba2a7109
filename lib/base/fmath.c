/* exp and log by IEEE additions, multiplications and divisions alone.
 *
 * Each function has one body without branches, so that the element-wise forms can be turned into vectors and give the
 * bits of the scalar ones. Ranges are clamped before anything is turned into an integer. */
#include "lib/base/fmath.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "float and double must be computed in their own precision (on x86: SSE2, not x87)"
#endif

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
#define ROUND_F 0x1.8p23f
#define ROUND_D 0x1.8p52

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

float fm_expf(float x) { return expf_one(x); }

float fm_logf(float x) { return logf_one(x); }

void fm_expf_n(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = expf_one(x[i]);
}

void fm_logf_n(float *x, size_t n) {
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
