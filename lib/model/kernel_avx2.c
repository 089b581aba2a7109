/* The vector kernel for AVX2: two registers hold the 16 lanes. */
#include <immintrin.h>
#include <string.h>

#include "lib/model/kernel_sets.h"

/* Lanes 0-7 in lo, 8-15 in hi: the tree of kernel.h. */
static inline float sum_lanes(__m256 lo, __m256 hi) {
    __m256 s8 = _mm256_add_ps(lo, hi);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

static float avx2_dot(const float *a, const float *b, size_t d) {
    __m256 lo = _mm256_mul_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b));
    __m256 hi = _mm256_mul_ps(_mm256_loadu_ps(a + 8), _mm256_loadu_ps(b + 8));
    for (size_t k = KERNEL_LANES; k < d; k += KERNEL_LANES) {
        lo = _mm256_add_ps(lo, _mm256_mul_ps(_mm256_loadu_ps(a + k), _mm256_loadu_ps(b + k)));
        hi = _mm256_add_ps(hi, _mm256_mul_ps(_mm256_loadu_ps(a + k + 8), _mm256_loadu_ps(b + k + 8)));
    }
    return sum_lanes(lo, hi);
}

static void avx2_axpy(float *y, float a, const float *x, size_t d) {
    __m256 av = _mm256_set1_ps(a);
    for (size_t k = 0; k < d; k += 8) {
        __m256 v = _mm256_add_ps(_mm256_loadu_ps(y + k), _mm256_mul_ps(av, _mm256_loadu_ps(x + k)));
        _mm256_storeu_ps(y + k, v);
    }
}

static inline __m256i abs_bits(__m256 v) {
    return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
}

static inline uint32_t largest(__m256i v) {
    uint32_t lane[8], top = 0;
    _mm256_storeu_si256((__m256i *)(void *)lane, v);
    for (size_t l = 0; l < 8; l++) top = lane[l] > top ? lane[l] : top;
    return top;
}

static bool avx2_pair_step(float *restrict out, const float *q, const float *x, float *gx, float step, float g,
                           size_t d) {
    __m256 sv = _mm256_set1_ps(step), gv = _mm256_set1_ps(g);
    __m256i top = _mm256_setzero_si256();
    for (size_t k = 0; k < d; k += 8) {
        __m256 before = _mm256_loadu_ps(q + k);
        __m256 after = _mm256_add_ps(before, _mm256_mul_ps(sv, _mm256_loadu_ps(x + k)));
        __m256 grad = _mm256_add_ps(_mm256_loadu_ps(gx + k), _mm256_mul_ps(gv, before));
        top = _mm256_max_epu32(top, abs_bits(after));
        _mm256_storeu_ps(out + k, after);
        _mm256_storeu_ps(gx + k, grad);
    }
    return largest(top) < KERNEL_INF_BITS;
}

static bool avx2_step(float *out, const float *y, float a, const float *x, size_t d) {
    __m256 av = _mm256_set1_ps(a);
    __m256i top = _mm256_setzero_si256();
    for (size_t k = 0; k < d; k += 8) {
        __m256 after = _mm256_add_ps(_mm256_loadu_ps(y + k), _mm256_mul_ps(av, _mm256_loadu_ps(x + k)));
        top = _mm256_max_epu32(top, abs_bits(after));
        _mm256_storeu_ps(out + k, after);
    }
    return largest(top) < KERNEL_INF_BITS;
}

static inline __m256i round_codes(const float *row, __m256 scale) {
    __m256 v = _mm256_div_ps(_mm256_loadu_ps(row), scale);
    v = _mm256_max_ps(_mm256_min_ps(v, _mm256_set1_ps(127.0f)), _mm256_set1_ps(-127.0f));
    return _mm256_cvtps_epi32(v);
}

static void avx2_quantise(const float *row, size_t d, int8_t *codes, float *scale) {
    __m256i top = _mm256_setzero_si256();
    for (size_t k = 0; k < d; k += 8) top = _mm256_max_epu32(top, abs_bits(_mm256_loadu_ps(row + k)));
    float s = kernel_scale(largest(top));
    *scale = s;
    if (!(s > 0)) {
        memset(codes, 0, d);
        return;
    }
    __m256 sv = _mm256_set1_ps(s);
    for (size_t k = 0; k < d; k += 16) {
        __m256i w = _mm256_packs_epi32(round_codes(row + k, sv), round_codes(row + k + 8, sv));
        w = _mm256_permute4x64_epi64(w, 0xd8); /* packing works within halves */
        __m128i b = _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
        _mm_storeu_si128((__m128i *)(void *)(codes + k), b);
    }
}

/* Codes lie in [-127, 127]: |x| * (c sign x) summed in pairs is at most 32258 and does not saturate. */
static inline __m256i madd_codes(__m256i c, __m256i x) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(c, x));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

static inline __m256i row_sums(const int8_t *c, const int8_t *x, size_t d) {
    __m256i sum = _mm256_setzero_si256();
    size_t k = 0;
    for (; k + 32 <= d; k += 32) {
        __m256i cv = _mm256_loadu_si256((const __m256i *)(const void *)(c + k));
        __m256i xv = _mm256_loadu_si256((const __m256i *)(const void *)(x + k));
        sum = _mm256_add_epi32(sum, madd_codes(cv, xv));
    }
    if (k < d) {
        __m128i cv = _mm_loadu_si128((const __m128i *)(const void *)(c + k));
        __m128i xv = _mm_loadu_si128((const __m128i *)(const void *)(x + k));
        sum = _mm256_add_epi32(sum, madd_codes(_mm256_zextsi128_si256(cv), _mm256_zextsi128_si256(xv)));
    }
    return sum;
}

static inline __m128i fold(__m256i v) {
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

static void avx2_dot_codes(const int8_t *codes, const int8_t *x, size_t d, size_t n, int32_t *out) {
    size_t r = 0;
    for (; r + 4 <= n; r += 4, codes += 4 * d) {
        __m256i ab = _mm256_hadd_epi32(row_sums(codes, x, d), row_sums(codes + d, x, d));
        __m256i cd = _mm256_hadd_epi32(row_sums(codes + 2 * d, x, d), row_sums(codes + 3 * d, x, d));
        _mm_storeu_si128((__m128i *)(void *)(out + r), fold(_mm256_hadd_epi32(ab, cd)));
    }
    for (; r < n; r++, codes += d) {
        __m128i s = fold(row_sums(codes, x, d));
        s = _mm_hadd_epi32(s, s);
        out[r] = _mm_cvtsi128_si32(_mm_hadd_epi32(s, s));
    }
}

const struct kernel kernel_avx2 = {
    .name = "avx2",
    .dot = avx2_dot,
    .axpy = avx2_axpy,
    .pair_step = avx2_pair_step,
    .step = avx2_step,
    .quantise = avx2_quantise,
    .dot_codes = avx2_dot_codes,
};
