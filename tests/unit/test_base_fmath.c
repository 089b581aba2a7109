/* exp and log: the accuracy that the header promises, the ends of the ranges, and vectors of the same bits. */
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
#include "lib/base/fmath.h"

static uint32_t float_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static double double_of(uint64_t u) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static void assert_exp(float x) {
    double want = exp((double)x), got = (double)fm_expf(x);
    if (isnan(x)) {
        assert_true(isnan(got));
    } else if (want < (double)FLT_MIN) { /* denormal: to its spacing */
        if (fabs(got - want) > 0x1p-149) fail_msg("exp(%a) = %a, want %a", (double)x, got, want);
    } else if (want > (double)FLT_MAX) {
        if (got < (double)FLT_MAX) fail_msg("exp(%a) = %a", (double)x, got);
    } else if (fabs(got - want) > 3e-7 * want) {
        fail_msg("exp(%a) = %a, want %a", (double)x, got, want);
    }
}

static void assert_log(float x) {
    double want = log((double)x), got = (double)fm_logf(x);
    if (isnan(x) || x < 0) {
        assert_true(isnan(got));
    } else if (isinf(want)) {
        assert_true(got == want);
    } else if (fabs(got - want) > 3e-7 * fabs(want)) {
        fail_msg("log(%a) = %a, want %a", (double)x, got, want);
    }
}

static void floats_are_accurate_everywhere(void **state) {
    (void)state;
    for (uint64_t u = 0; u <= UINT32_MAX; u += 1009) { /* all signs and exponents, denormals and NaN among them */
        assert_exp(float_of((uint32_t)u));
        assert_log(float_of((uint32_t)u));
    }
    for (int i = -1100000; i <= 1100000; i++) assert_exp((float)i * 1e-4f);
    for (uint32_t u = float_bits(0.25f); u < float_bits(4.0f); u += 31) assert_log(float_of(u));
    for (uint32_t i = 0; i < 5000; i++) { /* neighbours of 1, and the smallest and largest numbers */
        assert_log(float_of(float_bits(1.0f) - i));
        assert_log(float_of(float_bits(1.0f) + i));
        assert_log(float_of(1 + i));
        assert_log(float_of(float_bits(FLT_MIN) - i));
        assert_log(float_of(float_bits(FLT_MAX) - i));
        assert_exp(float_of(i));
        assert_exp(-float_of(i));
    }
}

static void floats_end_as_promised(void **state) {
    (void)state;
    assert_true(fm_expf(0.0f) == 1.0f && fm_expf(-0.0f) == 1.0f);
    assert_true(fm_expf(88.7f) < INFINITY);
    assert_true(fm_expf(nextafterf(88.8f, 100)) == INFINITY && fm_expf(FLT_MAX) == INFINITY);
    assert_true(fm_expf(INFINITY) == INFINITY);
    assert_true(fm_expf(-103.0f) > 0);
    assert_true(fm_expf(nextafterf(-104.0f, -200)) == 0 && fm_expf(-FLT_MAX) == 0 && fm_expf(-INFINITY) == 0);
    assert_true(isnan(fm_expf(NAN)) && isnan(fm_expf(-NAN)));
    assert_true(fm_logf(1.0f) == 0 && !signbit(fm_logf(1.0f)));
    assert_true(fm_logf(0.0f) == -INFINITY && fm_logf(-0.0f) == -INFINITY);
    assert_true(fm_logf(INFINITY) == INFINITY);
    assert_true(isnan(fm_logf(-FLT_TRUE_MIN)) && isnan(fm_logf(-INFINITY)) && isnan(fm_logf(NAN)));
    /* NaN of one pattern only, so that a state of NaNs would still have one digest */
    assert_int_equal(float_bits(fm_logf(-1.0f)), float_bits(fm_expf(-NAN)));
}

static void exp_rises(void **state) {
    (void)state;
    for (uint32_t u = float_bits(0.01f); u < float_bits(100.0f); u += 101) {
        float x = float_of(u), next = nextafterf(x, INFINITY);
        /* an approximation may step back by a rounding at most */
        assert_true((double)fm_expf(next) >= (double)fm_expf(x) * (1 - 1.3e-7));
    }
}

static void vectors_have_the_bits_of_scalars(void **state) {
    (void)state;
    enum { MOST = 67 };
    uint64_t number = 0;
    for (int round = 0; round < 4000; round++) {
        size_t n = (size_t)round % MOST;
        float x[MOST + 1], e[MOST + 1], l[MOST + 1];
        for (size_t i = 0; i <= n; i++) {
            uint64_t bits = draw_bits(1, number++);
            /* any bits, or a usual size */
            x[i] = round & 1 ? float_of((uint32_t)bits) : (draw_unit(bits) - 0.5f) * 220.0f;
        }
        memcpy(e, x, sizeof e);
        memcpy(l, x, sizeof l);
        fm_expf_n(e, n);
        fm_logf_n(l, n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(float_bits(e[i]), float_bits(fm_expf(x[i])));
            assert_int_equal(float_bits(l[i]), float_bits(fm_logf(x[i])));
        }
        assert_int_equal(float_bits(e[n]), float_bits(x[n])); /* one past the end stays */
        assert_int_equal(float_bits(l[n]), float_bits(x[n]));
    }
}

static void special_values_in_vectors(void **state) {
    (void)state;
    const float special[] = {0.0f,         -0.0f,         INFINITY, -INFINITY, NAN,      -NAN,
                             FLT_TRUE_MIN, -FLT_TRUE_MIN, FLT_MIN,  -FLT_MIN,  -FLT_MAX, FLT_MAX,
                             89.0f,        88.8f,         88.7f,    -103.97f,  -104.0f,  -104.1f};
    enum { N = sizeof special / sizeof special[0] };
    float e[N], l[N];
    memcpy(e, special, sizeof e);
    memcpy(l, special, sizeof l);
    fm_expf_n(e, N);
    fm_logf_n(l, N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(float_bits(e[i]), float_bits(fm_expf(special[i])));
        assert_int_equal(float_bits(l[i]), float_bits(fm_logf(special[i])));
    }
}

static void assert_exp2(double x) {
    long double want = exp2l((long double)x), got = (long double)fm_exp2(x);
    if (x < -1074.0) {
        assert_true(got == 0);
    } else if (want < (long double)DBL_MIN) {
        if (fabsl(got - want) > (long double)0x1p-1074) fail_msg("exp2(%a) = %La, want %La", x, got, want);
    } else if (x >= 1024.0) {
        assert_true(isinf(got) && got > 0);
    } else if (fabsl(got - want) > 2e-15L * want) {
        fail_msg("exp2(%a) = %La, want %La", x, got, want);
    }
}

static void assert_log2(double x) {
    long double want = log2l((long double)x), got = (long double)fm_log2(x);
    if (fabsl(got - want) > 1e-14L * fmaxl(1, fabsl(want))) fail_msg("log2(%a) = %La, want %La", x, got, want);
}

static void doubles_are_accurate_everywhere(void **state) {
    (void)state;
    for (int i = -1090000; i <= 1030000; i += 3) assert_exp2(i * 1e-3);
    for (int i = -100000; i <= 100000; i++) assert_exp2(i * 1e-5);
    for (uint64_t i = 0; i < 300000; i++) {
        uint64_t bits = draw_bits(2, i);
        double any = double_of(bits);
        if (isfinite(any)) {
            assert_exp2(any);
            if (any != 0) assert_log2(fabs(any));
            assert_log2(double_of((bits & UINT64_C(0x000FFFFFFFFFFFFF)) | 1));   /* denormal */
            assert_log2(double_of((bits >> 11) + (UINT64_C(0x3FD0) << 48)));     /* around 1 */
            assert_log2(1.0 + ((double)(bits >> 11) - 0x1p52) * 0x1p-52 * 1e-3); /* close to 1 */
        }
    }
    for (int i = 0; i < 100; i++) assert_log2(1.0 - i * 0x1p-53);
    for (int i = 0; i < 100; i++) assert_log2(1.0 + i * 0x1p-52);
}

static void powers_of_two_are_exact(void **state) {
    (void)state;
    for (int k = -1074; k <= 1023; k++) {
        assert_true(fm_exp2(k) == ldexp(1.0, k));
        assert_true(fm_log2(ldexp(1.0, k)) == k);
    }
}

static void doubles_end_as_promised(void **state) {
    (void)state;
    assert_true(fm_exp2(1024.0) == (double)INFINITY && fm_exp2((double)INFINITY) == (double)INFINITY);
    assert_true(fm_exp2(DBL_MAX) == (double)INFINITY && fm_exp2(nextafter(1024.0, 0)) < (double)INFINITY);
    assert_true(fm_exp2(-1074.0) == 0x1p-1074 && fm_exp2(nextafter(-1074.0, -2000)) == 0);
    assert_true(fm_exp2(-(double)INFINITY) == 0 && fm_exp2(-DBL_MAX) == 0);
    assert_true(isnan(fm_exp2((double)NAN)) && isnan(fm_log2((double)NAN)));
    assert_true(fm_log2(0.0) == -(double)INFINITY && fm_log2(-0.0) == -(double)INFINITY);
    assert_true(fm_log2((double)INFINITY) == (double)INFINITY);
    assert_true(isnan(fm_log2(-1.0)) && isnan(fm_log2(-(double)INFINITY)) && isnan(fm_log2(-0x1p-1074)));
}

static void roots_are_exact(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        float x = float_of((uint32_t)draw_bits(3, i) & 0x7FFFFFFF);
        double y = double_of(draw_bits(4, i) & INT64_MAX);
        if (isfinite(x)) assert_true(fm_sqrtf(x) == sqrtf(x));
        if (isfinite(y)) assert_true(fm_sqrt(y) == sqrt(y));
    }
    assert_true(isnan(fm_sqrtf(-1.0f)) && isnan(fm_sqrt(-1.0)));
    assert_true(fm_sqrtf(INFINITY) == INFINITY && signbit(fm_sqrt(-0.0)));
}

static void sigmoid_stays_between_0_and_1(void **state) {
    (void)state;
    assert_true(fm_sigmoidf(0.0f) == 0.5f);
    assert_true(fm_sigmoidf(INFINITY) == 1.0f && fm_sigmoidf(-INFINITY) == 0.0f);
    assert_true(fm_sigmoidf(FLT_MAX) == 1.0f && fm_sigmoidf(-FLT_MAX) == 0.0f);
    assert_true(isnan(fm_sigmoidf(NAN)));
    for (float x = -87.0f; x < 87.0f; x += 0.01f) {
        double want = 1 / (1 + exp(-(double)x));
        assert_true(fabs((double)fm_sigmoidf(x) - want) <= 4e-7 * want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_are_accurate_everywhere),
        cmocka_unit_test(floats_end_as_promised),
        cmocka_unit_test(exp_rises),
        cmocka_unit_test(vectors_have_the_bits_of_scalars),
        cmocka_unit_test(special_values_in_vectors),
        cmocka_unit_test(doubles_are_accurate_everywhere),
        cmocka_unit_test(powers_of_two_are_exact),
        cmocka_unit_test(doubles_end_as_promised),
        cmocka_unit_test(roots_are_exact),
        cmocka_unit_test(sigmoid_stays_between_0_and_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
