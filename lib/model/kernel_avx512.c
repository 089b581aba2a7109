/* The vector kernel for AVX-512 (F, BW, DQ, VL, VNNI): one register holds the 16 lanes. */
#include <immintrin.h>
#include <string.h>

#include "lib/model/kernel_sets.h"

static inline float sum_lanes(__m512 v) {
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

static float avx512_dot(const float *a, const float *b, size_t d) {
    __m512 sum = _mm512_mul_ps(_mm512_loadu_ps(a), _mm512_loadu_ps(b));
    for (size_t k = KERNEL_LANES; k < d; k += KERNEL_LANES)
        sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_loadu_ps(a + k), _mm512_loadu_ps(b + k)));
    return sum_lanes(sum);
}

static void avx512_axpy(float *y, float a, const float *x, size_t d) {
    __m512 av = _mm512_set1_ps(a);
    for (size_t k = 0; k < d; k += KERNEL_LANES) {
        __m512 v = _mm512_add_ps(_mm512_loadu_ps(y + k), _mm512_mul_ps(av, _mm512_loadu_ps(x + k)));
        _mm512_storeu_ps(y + k, v);
    }
}

static inline __m512i abs_bits(__m512 v) {
    return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}

static inline bool all_finite(__m512i top_bits) {
    return _mm512_cmplt_epu32_mask(top_bits, _mm512_set1_epi32(KERNEL_INF_BITS)) == 0xffff;
}

static bool avx512_pair_step(float *restrict out, const float *q, const float *x, float *gx, float step, float g,
                             size_t d) {
    __m512 sv = _mm512_set1_ps(step), gv = _mm512_set1_ps(g);
    __m512i top = _mm512_setzero_si512();
    for (size_t k = 0; k < d; k += KERNEL_LANES) {
        __m512 before = _mm512_loadu_ps(q + k);
        __m512 after = _mm512_add_ps(before, _mm512_mul_ps(sv, _mm512_loadu_ps(x + k)));
        __m512 grad = _mm512_add_ps(_mm512_loadu_ps(gx + k), _mm512_mul_ps(gv, before));
        top = _mm512_max_epu32(top, abs_bits(after));
        _mm512_storeu_ps(out + k, after);
        _mm512_storeu_ps(gx + k, grad);
    }
    return all_finite(top);
}

static bool avx512_step(float *out, const float *y, float a, const float *x, size_t d) {
    __m512 av = _mm512_set1_ps(a);
    __m512i top = _mm512_setzero_si512();
    for (size_t k = 0; k < d; k += KERNEL_LANES) {
        __m512 after = _mm512_add_ps(_mm512_loadu_ps(y + k), _mm512_mul_ps(av, _mm512_loadu_ps(x + k)));
        top = _mm512_max_epu32(top, abs_bits(after));
        _mm512_storeu_ps(out + k, after);
    }
    return all_finite(top);
}

static void avx512_quantise(const float *row, size_t d, int8_t *codes, float *scale) {
    __m512i top = _mm512_setzero_si512();
    for (size_t k = 0; k < d; k += KERNEL_LANES) top = _mm512_max_epu32(top, abs_bits(_mm512_loadu_ps(row + k)));
    float s = kernel_scale(_mm512_reduce_max_epu32(top));
    *scale = s;
    if (!(s > 0)) {
        memset(codes, 0, d);
        return;
    }
    __m512 sv = _mm512_set1_ps(s), most = _mm512_set1_ps(127.0f), least = _mm512_set1_ps(-127.0f);
    for (size_t k = 0; k < d; k += KERNEL_LANES) {
        __m512 v = _mm512_div_ps(_mm512_loadu_ps(row + k), sv);
        __m512i w = _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(v, most), least));
        _mm_storeu_si128((__m128i *)(void *)(codes + k), _mm512_cvtepi32_epi8(w));
    }
}

static inline __m256i load32(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
static inline __m256i load16(const int8_t *p) {
    return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* 8 partial sums of (c + 128) x: the instruction wants one side unsigned; the caller takes 128 sum(x) off. 256-bit
 * registers on purpose: 512-bit ones take the same 0.8 ns a row in cache, but twice the time of a scan from memory,
 * where their bursts of loads outran the prefetcher (measured on Zen). */
static inline __m256i row_sums(const int8_t *c, const int8_t *x, size_t d) {
    __m256i flip = _mm256_set1_epi8((char)-128), sum = _mm256_setzero_si256();
    size_t k = 0;
    for (; k + 32 <= d; k += 32) sum = _mm256_dpbusd_epi32(sum, _mm256_xor_si256(load32(c + k), flip), load32(x + k));
    if (k < d) sum = _mm256_dpbusd_epi32(sum, _mm256_xor_si256(load16(c + k), flip), load16(x + k));
    return sum;
}

static inline __m128i fold(__m256i v) {
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

static inline void dot_codes(const int8_t *codes, const int8_t *x, size_t d, size_t n, int32_t *out) {
    __m256i ones = _mm256_set1_epi8(1), total = _mm256_setzero_si256();
    for (size_t k = 0; k < d; k += 16) total = _mm256_dpbusd_epi32(total, ones, load16(x + k));
    __m128i off = fold(total);
    off = _mm_hadd_epi32(off, off);
    off = _mm_slli_epi32(_mm_hadd_epi32(off, off), 7); /* 128 sum(x) in each lane */

    size_t r = 0;
    for (; r + 4 <= n; r += 4, codes += 4 * d) {
        __m256i ab = _mm256_hadd_epi32(row_sums(codes, x, d), row_sums(codes + d, x, d));
        __m256i cd = _mm256_hadd_epi32(row_sums(codes + 2 * d, x, d), row_sums(codes + 3 * d, x, d));
        __m128i sum = _mm_sub_epi32(fold(_mm256_hadd_epi32(ab, cd)), off);
        _mm_storeu_si128((__m128i *)(void *)(out + r), sum);
    }
    for (; r < n; r++, codes += d) {
        __m128i sum = fold(row_sums(codes, x, d));
        sum = _mm_hadd_epi32(sum, sum);
        out[r] = _mm_cvtsi128_si32(_mm_sub_epi32(_mm_hadd_epi32(sum, sum), off));
    }
}

static void avx512_dot_codes(const int8_t *codes, const int8_t *x, size_t d, size_t n, int32_t *out) {
    if (d == 64) /* the default: with the length known, x stays in a register */
        dot_codes(codes, x, 64, n, out);
    else
        dot_codes(codes, x, d, n, out);
}

const struct kernel kernel_avx512 = {
    .name = "avx512",
    .dot = avx512_dot,
    .axpy = avx512_axpy,
    .pair_step = avx512_pair_step,
    .step = avx512_step,
    .quantise = avx512_quantise,
    .dot_codes = avx512_dot_codes,
};
