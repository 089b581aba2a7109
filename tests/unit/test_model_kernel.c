/* Every kernel this CPU runs gives the bits of the portable one, which gives those of the definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/model/kernel.h"

#define MAX_DIM 256
#define ROWS    37
#define N_MIXES 6
#define ROUNDS  40

static const char *const names[] = {"portable", "avx2", "avx512"};
static uint64_t draws;

static uint64_t bits64(void) { return draw_mix(++draws * 0x9E3779B97F4A7C15u); }

static float from_bits(uint32_t b) {
    float v;
    memcpy(&v, &b, sizeof v);
    return v;
}

static bool same(float a, float b) { return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0; }

static float ordinary(void) { return (float)(int32_t)bits64() * 0x1p-31f; }

/* Mix 0: ordinary; 1: any bits; 2: denormals; 3: huge; 4: ordinary with rare specials; 5: few values, many zeros. */
static float value(int mix) {
    static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, FLT_MAX, -FLT_MAX, FLT_MIN, 0x1p-149f};
    uint64_t b = bits64();
    switch (mix) {
    case 1:
        return from_bits((uint32_t)b);
    case 2:
        return from_bits((uint32_t)b & 0x807fffffu);
    case 3:
        return ordinary() * 0x1.8p127f;
    case 4:
        return b % 50 == 0 ? special[(b >> 8) % (sizeof special / sizeof *special)] : ordinary();
    case 5:
        return (float)((int)(b % 5) - 2) * ((b >> 8) % 3 == 0 ? 0.0f : 0.25f);
    default:
        return ordinary();
    }
}

static void fill(float *v, size_t n, int mix) {
    for (size_t k = 0; k < n; k++) v[k] = value(mix);
}

static void assert_rows(const float *got, const float *want, size_t d, const char *what, const char *name) {
    for (size_t k = 0; k < d; k++) {
        if (!same(got[k], want[k]))
            fail_msg("%s of %s: element %zu of %zu is %a, not %a", what, name, k, d, (double)got[k], (double)want[k]);
    }
}

static bool finite_row(const float *v, size_t d) {
    for (size_t k = 0; k < d; k++) {
        if (!isfinite(v[k])) return false;
    }
    return true;
}

/* The words of kernel.h, element by element in variables the compiler must not reorder. */
static float defined_dot(const float *a, const float *b, size_t d) {
    volatile float lane[16];
    for (size_t l = 0; l < 16; l++) {
        volatile float first = a[l] * b[l];
        lane[l] = first;
        for (size_t k = l + 16; k < d; k += 16) {
            volatile float product = a[k] * b[k];
            lane[l] = lane[l] + product;
        }
    }
    for (size_t step = 8; step > 0; step /= 2) {
        for (size_t l = 0; l < step; l++) lane[l] = lane[l] + lane[l + step];
    }
    return lane[0];
}

struct rows {
    float a[MAX_DIM + 4], b[MAX_DIM + 4], c[MAX_DIM + 4];
};

static void check_vectors(const struct kernel *k, const struct rows *in, size_t off, size_t d, int mix) {
    const float *a = in->a + off, *b = in->b + off, *c = in->c + off;
    float s = value(mix), g = value(mix), got[MAX_DIM], got2[MAX_DIM], want[MAX_DIM], want2[MAX_DIM];

    float dot = k->dot(a, b, d), defined = defined_dot(a, b, d);
    if (!same(dot, defined))
        fail_msg("dot of %s, d %zu, mix %d: %a, not %a", k->name, d, mix, (double)dot, (double)defined);

    for (size_t i = 0; i < d; i++) {
        volatile float p = s * b[i], p2 = g * a[i];
        want[i] = a[i] + p;
        want2[i] = c[i] + p2;
    }
    memcpy(got, a, d * sizeof *got);
    k->axpy(got, s, b, d);
    assert_rows(got, want, d, "axpy", k->name);

    bool finite = k->step(got, a, s, b, d);
    assert_rows(got, want, d, "step", k->name);
    assert_int_equal(finite, finite_row(want, d));

    memcpy(got2, c, d * sizeof *got2);
    finite = k->pair_step(got, a, b, got2, s, g, d);
    assert_rows(got, want, d, "pair_step out", k->name);
    assert_rows(got2, want2, d, "pair_step gx", k->name);
    assert_int_equal(finite, finite_row(want, d));
}

static void check_quantise(const struct kernel *k, const float *row, size_t d) {
    float top = 0, scale = -1;
    bool finite = finite_row(row, d);
    int8_t got[MAX_DIM + 1];
    got[d] = 99;
    k->quantise(row, d, got, &scale);
    for (size_t i = 0; i < d; i++) top = fabsf(row[i]) > top ? fabsf(row[i]) : top;
    assert_true(same(scale, finite ? top / 127.0f : NAN));
    for (size_t i = 0; i < d; i++) {
        float v = scale > 0 ? rintf(row[i] / scale) : 0;
        assert_int_equal(got[i], (int)fmaxf(-127, fminf(127, v)));
    }
    assert_int_equal(got[d], 99);
}

static void vectors_have_the_defined_bits(void **state) {
    (void)state;
    static struct rows in;
    unsigned checked = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct kernel *k = kernel_pick(names[i]);
        if (!k) continue;
        draws = 7; /* each kernel sees the same rows */
        for (size_t d = 16; d <= MAX_DIM; d += 16) {
            for (int n = 0; n < ROUNDS; n++) {
                int mix = n % N_MIXES;
                fill(in.a, MAX_DIM + 4, mix);
                fill(in.b, MAX_DIM + 4, n % 7 == 0 ? 0 : mix);
                fill(in.c, MAX_DIM + 4, mix);
                check_vectors(k, &in, (size_t)n % 4, d, mix);
                check_quantise(k, in.a + (size_t)n % 4, d);
                checked++;
            }
        }
    }
    assert_true(checked >= 16 * ROUNDS);
}

static void check_codes(const struct kernel *k, size_t d, size_t n, const int8_t *codes, const int8_t *x) {
    int32_t out[ROWS + 1];
    out[n] = 4711;
    k->dot_codes(codes, x, d, n, out);
    for (size_t r = 0; r < n; r++) {
        int32_t want = 0;
        for (size_t i = 0; i < d; i++) want += codes[r * d + i] * x[i];
        if (out[r] != want)
            fail_msg("dot_codes of %s, d %zu, row %zu of %zu: %d, not %d", k->name, d, r, n, out[r], want);
    }
    assert_int_equal(out[n], 4711);
}

static void codes_have_exact_products(void **state) {
    (void)state;
    static int8_t codes[ROWS * MAX_DIM + 3], x[MAX_DIM + 3];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct kernel *k = kernel_pick(names[i]);
        if (!k) continue;
        for (size_t d = 16; d <= MAX_DIM; d += 16) {
            for (size_t n = 0; n <= ROWS; n += n < 5 ? 1 : 16) {
                for (int fullest = 0; fullest < 2; fullest++) {
                    for (size_t e = 0; e < sizeof codes; e++)
                        codes[e] = (int8_t)(fullest ? (bits64() & 1 ? 127 : -127) : (int)(bits64() % 255) - 127);
                    for (size_t e = 0; e < sizeof x; e++)
                        x[e] = (int8_t)(fullest ? codes[e] : (int)(bits64() % 255) - 127);
                    check_codes(k, d, n, codes + d % 3, x + d % 3);
                }
            }
        }
    }
}

static void quantise_at_the_edges(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct kernel *k = kernel_pick(names[i]);
        if (!k) continue;
        float row[16] = {0};
        check_quantise(k, row, 16);
        for (uint32_t m = 1; m < 1000; m++) { /* scales of a few denormal steps: large codes need the clamp */
            row[3] = (float)m * 0x1p-149f;
            row[5] = -row[3];
            check_quantise(k, row, 16);
        }
        for (int h = 0; h < 16; h++) /* halves: to even */
            row[h] = (float)h - 7.5f;
        row[15] = 127.0f;
        check_quantise(k, row, 16);
        row[2] = FLT_MAX;
        check_quantise(k, row, 16);
        row[15] = NAN;
        check_quantise(k, row, 16);
        row[15] = -INFINITY;
        check_quantise(k, row, 16);
    }
}

static void picks_by_name(void **state) {
    (void)state;
    const struct kernel *best = kernel_pick("auto");
    assert_non_null(best);
    assert_ptr_equal(kernel_pick(best->name), best);
    assert_non_null(kernel_pick("portable"));
    assert_string_equal(kernel_pick("portable")->name, "portable");
    assert_null(kernel_pick("sse9"));
    assert_null(kernel_pick(""));
    if (kernel_pick("avx512")) assert_string_equal(best->name, "avx512");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picks_by_name),
        cmocka_unit_test(vectors_have_the_defined_bits),
        cmocka_unit_test(codes_have_exact_products),
        cmocka_unit_test(quantise_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
