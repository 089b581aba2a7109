/* What the dimensions of the embeddings are about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/model/factors.h"
#include "tests/unit/model_shop.h"

static struct model *learned(struct recommend **r) {
    const struct user_backing none = {NULL, NULL};
    struct model_params p = shop_params();
    struct model *m;
    struct err e;
    assert_int_equal(model_new(&p, kernel_pick("auto"), UINT64_C(1) << 30, &none, 1, &m, &e), 0);
    assert_int_equal(recommend_new(m, 0, r, &e), 0);
    for (uint64_t n = 0; n < 3000; n++) assert_int_equal(shop_learn(m, n, &e), 0);
    model_publish(m);
    return m;
}

/* The extremes of each dimension, against a look at every item. */
static void factors_are_the_extremes(void **state) {
    (void)state;
    struct recommend_answer a;
    struct factors f;
    struct recommend *r;
    struct model *m = learned(&r);
    assert_int_equal(recommend_popular(r, TOPK_MAX, 0, &a, NULL), 0);
    assert_int_equal(factors_find(m->items, &a, 0, &f, NULL), ERR_RANGE);
    assert_int_equal(factors_find(m->items, &a, FACTORS_MAX + 1, &f, NULL), ERR_RANGE);
    assert_int_equal(factors_find(m->items, &a, 3, &f, NULL), 0);
    assert_int_equal(f.dim, m->params.dim);
    assert_true(a.n > 100 && f.n_items == a.n);
    for (uint32_t d = 0; d < m->params.dim; d++) {
        const struct factor *one = &f.factor[d];
        double sum = 0, squares = 0;
        unsigned above = 0, below = 0;
        assert_int_equal(one->n, 3);
        assert_true(d == 0 || one->deviation <= f.factor[d - 1].deviation);
        for (size_t i = 0; i < a.n; i++) {
            float value = item_q(m->items, items_find(m->items, a.hits[i].id))[one->dimension];
            sum += (double)value;
            squares += (double)value * (double)value;
            above += value > one->highest[2].value;
            below += value < one->lowest[2].value;
        }
        for (int k = 0; k < 3; k++) {
            uint32_t high = items_find(m->items, one->highest[k].id), low = items_find(m->items, one->lowest[k].id);
            assert_true(item_q(m->items, high)[one->dimension] == one->highest[k].value);
            assert_true(item_q(m->items, low)[one->dimension] == one->lowest[k].value);
            assert_true(k == 0 || one->highest[k].value <= one->highest[k - 1].value);
            assert_true(k == 0 || one->lowest[k].value >= one->lowest[k - 1].value);
        }
        assert_true(above == 2 && below == 2); /* no two values are the same */
        assert_true(fabs(one->mean - sum / (double)a.n) < 1e-9);
        assert_true(fabs(one->deviation * one->deviation - (squares / (double)a.n - one->mean * one->mean)) < 1e-9);
    }
    factors_free(&f);
    assert_int_equal(factors_find(m->items, &a, FACTORS_MAX, &f, NULL), 0);
    assert_int_equal(f.factor[0].n, FACTORS_MAX);
    factors_free(&f);
    recommend_done(r);
    recommend_free(r);
    model_free(m);
}

/* An item that never learned has values, but says nothing; nothing at all is an answer too. */
static void items_that_have_not_learned_are_left_out(void **state) {
    (void)state;
    struct recommend *r;
    struct model *m = learned(&r);
    struct recommend_hit hits[2] = {{.row = ITEM_NONE}, {.row = 0}};
    struct recommend_answer a = {.hits = hits, .n = 2};
    struct factors f;
    struct err e;
    assert_int_equal(items_add(m->items, slice_str("new"), &hits[0].row, &e), 0);
    hits[1].id = items_id(m->items, 0);
    assert_int_equal(factors_find(m->items, &a, 2, &f, &e), 0);
    assert_int_equal(f.n_items, 1);
    assert_int_equal(f.factor[0].n, 1);
    assert_true(slice_equal(f.factor[0].highest[0].id, hits[1].id));
    assert_true(f.factor[0].deviation == 0);
    factors_free(&f);
    a.n = 1;
    assert_int_equal(factors_find(m->items, &a, 2, &f, &e), 0);
    assert_int_equal(f.n_items, 0);
    assert_int_equal(f.factor[0].n, 0);
    factors_free(&f);
    recommend_free(r);
    model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_are_the_extremes),
        cmocka_unit_test(items_that_have_not_learned_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
