/* The set of marks: each row once, in ascending order, in portions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/model/marks.h"

static void what_was_put_is_taken_in_order(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 64, 65, 4096, 4097, 100000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (uint32_t often = 1; often <= 100000; often *= 10) {
            uint32_t n = sizes[s], out[100], at = 0, taken = 0, below = 0, expected = 0;
            struct marks m = {0};
            bool *in = calloc(n, sizeof *in);
            if (!in || !marks_new(&m, n)) {
                free(in);
                fail_msg("no memory for %u rows", n);
                return;
            }
            for (uint32_t k = 0; k < often; k++) {
                uint32_t row = draw_below(draw_bits(s, k), n);
                assert_int_equal(marks_put(&m, row), !in[row]);
                assert_true(marks_has(&m, row));
                expected += !in[row];
                in[row] = true;
            }
            assert_int_equal(m.n, expected);
            for (uint32_t got; (got = marks_take(&m, &at, out, 100)) > 0; taken += got)
                for (uint32_t k = 0; k < got; k++) {
                    assert_true(out[k] >= below && out[k] < n && in[out[k]]);
                    below = out[k] + 1;
                }
            assert_int_equal(taken, expected);
            assert_int_equal(m.n, 0);
            at = 0;
            assert_int_equal(marks_take(&m, &at, out, 100), 0);
            for (uint32_t r = 0; r < n; r++) assert_false(marks_has(&m, r));
            marks_free(&m);
            free(in);
        }
}

static void memory_refused(void **state) {
    (void)state;
    struct marks m;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        mem_fail_at(nth);
        assert_false(marks_new(&m, 1000));
        assert_null(m.rows);
    }
    mem_fail_at(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_taken_in_order),
        cmocka_unit_test(memory_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
