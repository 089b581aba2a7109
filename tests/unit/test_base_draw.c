/* Draws: the published generator, keys without collisions, and distributions within their errors of chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"

static void is_split_mix_64(void **state) {
    (void)state;
    /* the first outputs of the published generator with seed 1234567 */
    assert_true(draw_bits(1234567, 0) == UINT64_C(6457827717110365317));
    assert_true(draw_bits(1234567, 1) == UINT64_C(3203168211198807973));
    assert_true(draw_bits(1234567, 2) == UINT64_C(9817491932198370423));
    assert_true(draw_bits(1234567, 3) == UINT64_C(4593380528125082431));
    assert_true(draw_bits(1234567, 4) == UINT64_C(16408922859458223821));
}

static int by_value(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void keys_differ_in_every_part(void **state) {
    (void)state;
    enum { MOST = 3 * 3 * 4 * 40 * 4 * 6 };
    static uint64_t keys[MOST];
    size_t n = 0;
    for (uint64_t seed = 0; seed < 3; seed++) {
        for (uint64_t source = 0; source < 3; source++) {
            for (uint32_t partition = 0; partition < 4; partition++) {
                for (uint64_t offset = 0; offset < 40; offset++) {
                    for (uint32_t index = 0; index < 4; index++) {
                        for (int purpose = DRAW_NEGATIVES; purpose <= DRAW_SWAP; purpose++) {
                            struct draw_place at = {source, partition, offset, index};
                            keys[n++] = draw_key(seed, &at, (enum draw_purpose)purpose);
                        }
                    }
                }
            }
        }
    }
    assert_int_equal(n, MOST);
    qsort(keys, n, sizeof keys[0], by_value);
    for (size_t i = 1; i < n; i++) assert_true(keys[i] != keys[i - 1]);
}

static void keys_depend_on_nothing_else(void **state) {
    (void)state;
    struct draw_place a, b;
    memset(&a, 0x55, sizeof a); /* padding differs */
    memset(&b, 0xAA, sizeof b);
    a.source = b.source = 7;
    a.partition = b.partition = 1;
    a.offset = b.offset = UINT64_MAX;
    a.index = b.index = 3;
    assert_true(draw_key(1, &a, DRAW_BLEND) == draw_key(1, &b, DRAW_BLEND));
}

static void draws_of_neighbouring_events_are_independent(void **state) {
    (void)state;
    /* 64 draws for each of 4,000 neighbouring offsets: each bit is set half the time, and agrees with the same draw
     * of the event before half the time. 256,000 trials: the deviation is 253; 6 of them allowed. */
    enum { EVENTS = 4000, DRAWS = 64, N = EVENTS * DRAWS };
    int set[64] = {0}, same[64] = {0};
    static uint64_t before[DRAWS];
    for (uint64_t offset = 0; offset < EVENTS; offset++) {
        uint64_t key = draw_key(42, &(struct draw_place){.source = 9, .offset = offset}, DRAW_NEGATIVES);
        for (uint64_t i = 0; i < DRAWS; i++) {
            uint64_t bits = draw_bits(key, i), agree = ~(bits ^ before[i]);
            before[i] = bits;
            for (int k = 0; k < 64; k++) {
                set[k] += (int)(bits >> k & 1);
                same[k] += (int)(agree >> k & 1);
            }
        }
    }
    for (int k = 0; k < 64; k++) {
        if (abs(set[k] - N / 2) > 1518 || abs(same[k] - N / 2) > 1518) fail_msg("bit %d: %d %d", k, set[k], same[k]);
    }
}

static void unit_lies_below_one(void **state) {
    (void)state;
    assert_true(draw_unit(0) == 0.0f);
    assert_true(draw_unit(UINT64_MAX) < 1.0f && draw_unit(UINT64_MAX) > 0.9999999f);
    assert_true(draw_unit(UINT64_C(1) << 63) == 0.5f);
}

static void below_is_uniform(void **state) {
    (void)state;
    assert_int_equal(draw_below(UINT64_MAX, 1), 0);
    assert_int_equal(draw_below(UINT64_MAX, UINT32_MAX), UINT32_MAX - 1);
    assert_int_equal(draw_below(UINT64_C(0xFFFFFFFF00000000), 1000), 0); /* the low half alone */
    static int count[1000];
    for (uint64_t i = 0; i < 1000000; i++) {
        uint32_t r = draw_below(draw_bits(5, i), 1000);
        assert_true(r < 1000);
        count[r]++;
    }
    double chi = 0;
    for (int i = 0; i < 1000; i++) chi += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000.0;
    assert_true(chi > 999 - 5 * 44.7 && chi < 999 + 5 * 44.7); /* 999 degrees of freedom, deviation sqrt(2 * 999) */
}

static void start_rows_have_mean_and_deviation(void **state) {
    (void)state;
    enum { D = 64, ROWS = 5000 };
    const double n = (double)D * ROWS;
    double sum = 0, squares = 0, fourth = 0, most = 0;
    for (int i = 0; i < ROWS; i++) {
        char id[2] = {(char)(i & 127), (char)(i >> 7)};
        float row[D];
        draw_start_row(1, DRAW_START_ITEM, slice_of(id, 2), 0.04f, row, D);
        for (int k = 0; k < D; k++) {
            double x = (double)row[k] / 0.04;
            sum += x;
            squares += x * x;
            fourth += x * x * x * x;
            most = fmax(most, fabs(x));
        }
    }
    assert_true(fabs(sum / n) < 5 / sqrt(n));
    assert_true(fabs(squares / n - 1) < 5 * sqrt(1.7 / n)); /* the square's variance is kurtosis - 1 */
    assert_true(fabs(fourth / n - 2.7) < 0.05);             /* 3 minus 0.3 */
    assert_true(most > 3.0 && most <= 3.4642);              /* at most 2 sqrt 3 */
}

static void start_rows_depend_on_seed_purpose_and_id_alone(void **state) {
    (void)state;
    float a[64], b[64];
    draw_start_row(1, DRAW_START_ITEM, slice_str("shoe"), 0.04f, a, 64);
    char copy[] = "xshoe";
    draw_start_row(1, DRAW_START_ITEM, slice_of(copy + 1, 4), 0.04f, b, 64);
    assert_memory_equal(a, b, sizeof a);
    draw_start_row(1, DRAW_START_ITEM, slice_str("shoe"), 0.04f, b,
                   16); /* a shorter row is the front of a longer one */
    assert_memory_equal(a, b, sizeof a);
    for (int which = 0; which < 4; which++) {
        draw_start_row(which == 0 ? 2 : 1, which == 1 ? DRAW_START_HISTORY : DRAW_START_ITEM,
                       slice_str(which == 2 ? "shoes" : "shoe"), which == 3 ? 0.08f : 0.04f, b, 64);
        for (int k = 0; k < 64; k++) {
            if (which == 3) {
                assert_true(fabsf(b[k] - 2 * a[k]) <= 1e-6f * fabsf(b[k]));
            } else {
                assert_true(a[k] != b[k]);
            }
        }
    }
    float one = 7;
    draw_start_row(1, DRAW_START_ITEM, slice_of(NULL, 0), 0.04f, &one, 0);
    assert_true(one == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_split_mix_64),
        cmocka_unit_test(keys_differ_in_every_part),
        cmocka_unit_test(keys_depend_on_nothing_else),
        cmocka_unit_test(draws_of_neighbouring_events_are_independent),
        cmocka_unit_test(unit_lies_below_one),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(start_rows_have_mean_and_deviation),
        cmocka_unit_test(start_rows_depend_on_seed_purpose_and_id_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
