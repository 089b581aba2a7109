/* Start values of untouched items: which live items are drawn does not depend on how they are found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/model/item.h"
#include "lib/model/kin.h"
#include "tests/unit/model_shop.h"

#define EVENTS    3000
#define UNTOUCHED 8000u

static void set_features(struct model *m, const char *id, const char *feature) {
    struct slice text = slice_str(feature ? feature : "");
    assert_int_equal(model_describe_item(m, slice_str(id), -1, INT64_MIN, slice_str("{}"), NULL), 0);
    assert_int_equal(model_set_features(m, slice_str(id), &text, feature ? 1 : 0, NULL), 0);
}

static struct model *open_shop(struct shop_backing *backing) {
    struct model_params p = shop_params();
    struct user_backing b = {shop_get, backing};
    struct model *m;
    p.max_items = 20000;
    p.max_features = 100;
    p.item_features = 8;
    assert_int_equal(model_new(&p, kernel_pick("auto"), 64 << 20, &b, 2, &m, NULL), 0);
    for (uint64_t n = 0; n < EVENTS; n++) assert_int_equal(shop_learn(m, n, NULL), 0);
    return m;
}

/* Among few others the live items are found by the feature, among very many by themselves. */
static void test_the_sample_does_not_depend_on_the_way_to_it(void **state) {
    (void)state;
    static struct shop_backing backing;
    struct model *m = open_shop(&backing);
    uint32_t n_live = m->items->n_live, with = 0;
    char id[24];
    assert_true(n_live > 2 * KIN_SAMPLE && n_live < UNTOUCHED / 20);
    for (uint32_t k = 0; k < n_live; k++) {
        struct slice name = items_id(m->items, m->items->live[k]);
        snprintf(id, sizeof id, "%.*s", (int)name.n, name.p);
        if (k % 3) set_features(m, id, "f:x"), with++;
    }
    assert_true(with > KIN_SAMPLE);
    set_features(m, "new", "f:x");
    uint32_t row = items_find(m->items, slice_str("new"));
    float q[16], mean[16] = {0};
    memcpy(q, item_q(m->items, row), sizeof q);
    assert_true(item_head(m->items, row)->q_sum > 0);
    for (uint32_t k = 0; k < UNTOUCHED; k++) {
        snprintf(id, sizeof id, "untouched%u", k);
        set_features(m, id, "f:x");
    }
    set_features(m, "new", NULL);
    set_features(m, "new", "f:x");
    for (int d = 0; d < 16; d++) {
        assert_true(fabsf(item_q(m->items, row)[d] - q[d]) < 1e-5f);
        for (uint32_t k = 0; k < n_live; k++)
            if (k % 3) mean[d] += item_q(m->items, m->items->live[k])[d] / (float)with;
    }
    float apart = 0; /* the test can fail: the mean of all is another one */
    for (int d = 0; d < 16; d++) apart = fmaxf(apart, fabsf(mean[d] - q[d]));
    assert_true(apart > 1e-3f);
    model_free(m);
    shop_free(&backing);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_sample_does_not_depend_on_the_way_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
