/* The urn: each row as often as its weight says, whatever was changed before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/draw.h"
#include "lib/model/urn.h"

/* The row that a walk over all weights finds, with the same part of the total. */
static uint32_t naive_draw(const uint64_t *weights, uint32_t n, uint64_t total, uint64_t bits) {
    uint64_t left = (uint64_t)((long double)bits / 0x1p64L * (long double)total);
    for (uint32_t k = 0; k < n; k++) {
        if (left < weights[k]) return k;
        left -= weights[k];
    }
    return n;
}

static void test_draws_as_a_walk_over_the_weights(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 7, 8, 9, 64, 1000};
    static uint64_t weights[1000];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint32_t n = sizes[s];
        uint64_t total = 0;
        struct urn *u = urn_new(n);
        assert_non_null(u);
        for (uint32_t k = 0; k < n; k++) weights[k] = 0;
        for (uint64_t k = 0; k < 3000; k++) { /* raised, lowered and emptied */
            uint64_t bits = draw_bits(s, k);
            uint32_t row = draw_below(bits, n);
            weights[row] = bits >> 60 ? bits >> 40 : 0;
            urn_set(u, row, weights[row]);
        }
        urn_set(u, n / 2, weights[n / 2] = 5);
        for (uint32_t k = 0; k < n; k++) {
            assert_true(urn_weight(u, k) == weights[k]);
            total += weights[k];
        }
        assert_true(urn_total(u) == total);
        for (uint64_t k = 0; k < 2000; k++) {
            uint64_t bits = draw_bits(100 + s, k) & ~UINT64_C(0xFFF); /* what a long double holds exactly */
            uint32_t row = urn_draw(u, bits);
            assert_true(weights[row] > 0);
            assert_int_equal(row, naive_draw(weights, n, total, bits));
        }
        assert_true(weights[urn_draw(u, 0)] > 0);
        assert_true(weights[urn_draw(u, UINT64_MAX)] > 0);
        urn_free(u);
    }
}

static void test_large_weights(void **state) {
    (void)state;
    struct urn *u = urn_new(3);
    unsigned counts[3] = {0};
    urn_set(u, 0, UINT64_C(1) << 61);
    urn_set(u, 2, UINT64_C(3) << 60);
    for (uint64_t k = 0; k < 10000; k++) counts[urn_draw(u, draw_bits(2, k))]++;
    assert_int_equal(counts[1], 0);
    assert_in_range(counts[0], 3850, 4150); /* two of five */
    urn_free(u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws_as_a_walk_over_the_weights),
        cmocka_unit_test(test_large_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
