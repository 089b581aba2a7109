/* The serving copy: norms that bound, rows that are not live, rows that cannot be bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/base/mem.h"
#include "lib/model/scan.h"
#include "tests/unit/item_table.h"

static const struct kernel *kernel(void) { return kernel_pick("auto"); }

static const struct scan_quad *quad_of(const struct scan *s, uint32_t r) { return &s->quads[r / SCAN_QUAD]; }

static void row_of(struct table *t, uint32_t r, float size) {
    for (uint32_t k = 0; k < t->params.dim; k++) item_q(&t->items, r)[k] = table_value(t) * size;
}

static void norms_are_bounds(void **state) {
    (void)state;
    static const float sizes[] = {1, 1e-3f, 1e10f, 1e-20f, 0x1p-126f, 0x1p-140f, 0x1p-148f, 0};
    for (uint32_t dim = 16; dim <= MODEL_MAX_DIM; dim += 80) {
        struct table t;
        struct scan *s;
        table_new(&t, dim, 400, dim);
        assert_int_equal(scan_new(&t.params, kernel(), &s, NULL), 0);
        for (uint32_t r = 0; r < 400; r++) {
            row_of(&t, r, sizes[r % (sizeof sizes / sizeof *sizes)]);
            scan_put(s, &t.items, r);
            long double whole = 0, error = 0;
            for (uint32_t k = 0; k < dim; k++) {
                long double q = (long double)item_q(&t.items, r)[k];
                long double rest =
                    q - (long double)quad_of(s, r)->scale[r % SCAN_QUAD] * (long double)s->codes[(size_t)r * dim + k];
                whole += q * q;
                error += rest * rest;
            }
            assert_true((long double)quad_of(s, r)->norm[r % SCAN_QUAD] >= sqrtl(whole));
            assert_true((long double)quad_of(s, r)->norm[r % SCAN_QUAD] <= sqrtl(whole) * (1 + 0x1p-18L) + 0x1p-125L);
            assert_true((long double)quad_of(s, r)->error[r % SCAN_QUAD] >= sqrtl(error));
            assert_true(quad_of(s, r)->error[r % SCAN_QUAD] <= quad_of(s, r)->norm[r % SCAN_QUAD] ||
                        quad_of(s, r)->norm[r % SCAN_QUAD] < 0x1p-120f);
        }
        assert_int_equal(atomic_load(&s->n_rows), 400);
        scan_free(s);
        table_free(&t);
    }
}

static void rows_that_never_win(void **state) {
    (void)state;
    struct table t;
    struct scan *s;
    table_new(&t, 32, 100, 3);
    assert_int_equal(scan_new(&t.params, kernel(), &s, NULL), 0);
    item_head(&t.items, 70)->bias = 0.25f;
    item_head(&t.items, 70)->trend[1] = 1234.5;
    scan_put(s, &t.items, 70);
    for (uint32_t r = 0; r < 70; r++) assert_true(quad_of(s, r)->bias[r % SCAN_QUAD] == -INFINITY); /* not put yet */
    assert_true(quad_of(s, 70)->bias[70 % SCAN_QUAD] == 0.25f);
    assert_true(s->trend[0][70] == SCAN_NO_TREND);
    assert_true(s->trend[1][70] == 1234.5f);
    item_head(&t.items, 70)->live = 0;
    scan_put(s, &t.items, 70);
    assert_true(quad_of(s, 70)->bias[70 % SCAN_QUAD] == -INFINITY);
    assert_int_equal(atomic_load(&s->seq[1]), 4);
    scan_put(s, &t.items, 3);
    assert_true(quad_of(s, 3)->bias[3 % SCAN_QUAD] == 0);
    assert_int_equal(atomic_load(&s->n_rows), 71);
    scan_free(s);
    table_free(&t);
}

static void rows_beyond_bounds_hold_nan(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 0x1p61f, 3e38f};
    struct table t;
    struct scan *s;
    table_new(&t, 16, 5, 4);
    assert_int_equal(scan_new(&t.params, kernel(), &s, NULL), 0);
    for (uint32_t r = 0; r < 5; r++) {
        item_q(&t.items, r)[9] = bad[r];
        item_head(&t.items, r)->trend[2] = r == 0 ? (double)NAN : r == 1 ? 1e300 : -1e299;
        scan_put(s, &t.items, r);
        assert_true(isnan(quad_of(s, r)->scale[r % SCAN_QUAD]));
        assert_true(r < 2 ? isnan(s->trend[2][r]) : s->trend[2][r] == SCAN_NO_TREND);
    }
    scan_free(s);
    table_free(&t);
}

static void memory_refused(void **state) {
    (void)state;
    struct table t;
    struct err e = {0};
    struct scan *s = NULL;
    table_new(&t, 16, 1000, 5);
    for (uint64_t nth = 1; nth <= 8; nth++) {
        mem_fail_at(nth);
        int rc = scan_new(&t.params, kernel(), &s, &e);
        mem_fail_at(0);
        if (rc == 0) {
            assert_true(nth == 8);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
        assert_null(s);
    }
    assert_non_null(s);
    scan_free(s);
    scan_free(NULL);
    table_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_bounds),
        cmocka_unit_test(rows_that_never_win),
        cmocka_unit_test(rows_beyond_bounds_hold_nan),
        cmocka_unit_test(memory_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
