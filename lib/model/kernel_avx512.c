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

/* 16 partial sums of (c + 128) x: the instruction wants one side unsigned; the caller takes 128 sum(x) off. */
static inline __m512i row_sums(const int8_t *c, const int8_t *x, size_t d) {
    __m512i flip = _mm512_set1_epi8((char)-128), sum = _mm512_setzero_si512();
    size_t k = 0;
    for (; k + 64 <= d; k += 64) {
        __m512i cv = _mm512_xor_si512(_mm512_loadu_si512(c + k), flip);
        sum = _mm512_dpbusd_epi32(sum, cv, _mm512_loadu_si512(x + k));
    }
    if (k < d) {
        __mmask64 m = ((__mmask64)1 << (d - k)) - 1;
        __m512i cv = _mm512_xor_si512(_mm512_maskz_loadu_epi8(m, c + k), flip);
        sum = _mm512_dpbusd_epi32(sum, cv, _mm512_maskz_loadu_epi8(m, x + k));
    }
    return sum;
}

/* Four rows: every 128-bit quarter of the result holds a part of the sums of rows 0, 1, 2, 3. */
static inline __m512i sum_four(const int8_t *c, const int8_t *x, size_t d) {
    __m512i r0 = row_sums(c, x, d), r1 = row_sums(c + d, x, d);
    __m512i r2 = row_sums(c + 2 * d, x, d), r3 = row_sums(c + 3 * d, x, d);
    __m512i u0 = _mm512_add_epi32(_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
    __m512i u1 = _mm512_add_epi32(_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(u0, u1), _mm512_unpackhi_epi64(u0, u1));
}

/* Quarters of (a, b) added: a.0 + a.2, a.1 + a.3, b.0 + b.2, b.1 + b.3. */
static inline __m512i add_far_quarters(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee));
}

static inline void dot_codes(const int8_t *codes, const int8_t *x, size_t d, size_t n, int32_t *out) {
    int32_t off = 0;
    for (size_t k = 0; k < d; k++) off += x[k] * 128;
    size_t r = 0;
    for (; r + 16 <= n; r += 16, codes += 16 * d) {
        __m512i s01 = add_far_quarters(sum_four(codes, x, d), sum_four(codes + 4 * d, x, d));
        __m512i s23 = add_far_quarters(sum_four(codes + 8 * d, x, d), sum_four(codes + 12 * d, x, d));
        __m512i sum = _mm512_add_epi32(_mm512_shuffle_i32x4(s01, s23, 0x88), _mm512_shuffle_i32x4(s01, s23, 0xdd));
        _mm512_storeu_si512(out + r, _mm512_sub_epi32(sum, _mm512_set1_epi32(off)));
    }
    for (; r < n; r++, codes += d) out[r] = _mm512_reduce_add_epi32(row_sums(codes, x, d)) - off;
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
