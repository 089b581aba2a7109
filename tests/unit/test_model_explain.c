/* Explaining answers: what carts add, and rows that change meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "lib/model/blend.h"
#include "lib/model/explain.h"
#include "lib/model/recommend.h"
#include "lib/model/terms.h"
#include "tests/unit/model_oracle.h"
#include "tests/unit/neighbour_world.h"

/* The ranking filled the scratch to its bound; since then both rows of the cart got another item each. */
static void test_rows_that_changed_meanwhile_are_no_matter(void **state) {
    (void)state;
    struct model *m = world_new(1, 1u << 20, NULL);
    struct model_params p = m->params;
    struct err e;
    p.neighbour_history = 0;
    struct terms *terms = terms_new(&p);
    struct explain *x = explain_new();
    assert_non_null(terms);
    assert_non_null(x);
    uint32_t cart[3] = {36, 37, 38};
    for (uint32_t k = 0; k < 3; k++) world_add(m, NEIGHBOUR_TOGETHER, cart[k], terms->cap + k, 1, T0);
    model_publish(m);
    terms_begin(terms, T0);
    for (uint32_t row = 0; row < terms->cap; row++) terms_at(terms, row)->value[TERM_TOGETHER] = 1;
    float weight[TERMS] = {0}, none[MODEL_MAX_DIM] = {0};
    weight[TERM_TOGETHER] = 1;
    terms_weigh(terms, weight);

    struct history history = {.n = 0};
    struct topk_query query = {.x = none, .terms = terms, .clock_ms = T0, .k = 1};
    struct topk_hit hit = {.score = 1, .row = 3};
    struct explain_moment at = {m, 0, &history, terms, &query, weight, cart, 3};
    epoch_enter(m->epoch, 0);
    assert_int_equal(explain_rows(x, &at, &hit, 1, &e), 0);
    struct recommend_reason why;
    explain_name(x, m->items, 0, &why);
    epoch_leave(m->epoch, 0);
    assert_true(why.share[TERM_TOGETHER] == 1);
    assert_int_equal(why.n, 0);
    terms_begin(terms, T0); /* and the scratch is whole for the next answer */
    assert_null(terms_find(terms, terms->cap));
    explain_free(x);
    terms_free(terms);
    model_free(m);
}

/* A cart is asked for what baskets had lately in place of the history, each of its items with weight 1. */
static void test_a_cart_is_asked_in_place_of_the_history(void **state) {
    (void)state;
    struct model_params p = shop_params();
    const struct user_backing none = {NULL, NULL};
    struct slice cart[] = {slice_str("i0"), slice_str("i9"), slice_str("i40")};
    struct user_entry in_cart[3];
    struct model *m;
    struct recommend *r;
    struct recommend_answer a;
    struct err e;
    float blend[TERMS];
    unsigned lately = 0;
    assert_int_equal(model_new(&p, kernel_pick("portable"), 1u << 20, &none, 2, &m, &e), 0);
    for (uint64_t n = 0; n < 3000; n++) assert_int_equal(shop_learn(m, n, &e), 0);
    model_publish(m);
    assert_int_equal(recommend_new(m, 1, &r, &e), 0);
    for (int k = 0; k < 3; k++) {
        uint32_t row = items_find(m->items, cart[k]);
        assert_int_not_equal(row, ITEM_NONE);
        in_cart[k] = (struct user_entry){.row = row & USER_ROW_BITS};
    }
    struct recommend_request q = {.user = slice_str("u3"), .cart = cart, .n_cart = 3, .k = 50, .explain = true};
    q.wall_ms = m->clock_ms;
    assert_int_equal(recommend_rank(r, &q, &a, &e), 0);
    assert_int_equal(a.basis, RECOMMEND_PERSONAL);
    blend_read(&m->blend, BLEND_CART, blend);
    for (size_t i = 0; i < a.n; i++) {
        const float *share = a.reasons[i].share;
        double sum = 0, of_cart = oracle_neighbours(m, NEIGHBOUR_LATELY, in_cart, 3, a.hits[i].row) * sqrt(3);
        for (int f = 0; f < TERMS; f++) sum += (double)share[f];
        assert_true(fabs(sum - (double)a.hits[i].score) < 1e-5);
        assert_true(fabs((double)blend[TERM_LATELY] * of_cart - (double)share[TERM_LATELY]) < 1e-5);
        lately += share[TERM_LATELY] > 0;
    }
    assert_true(lately > 0);
    recommend_done(r);
    recommend_free(r);
    model_free(m);
}

/* With affinity as the only term, three items of a history are the reasons of all there is, each for its part of it. */
static void test_affinity_comes_from_the_items_that_share_features(void **state) {
    (void)state;
    static const char *const features[][2] = {{"f:red", "f:shoe"}, {"f:red", "f:hat"}, {"f:blue", "f:hat"}};
    struct model_params p = shop_params();
    const struct user_backing none = {NULL, NULL};
    struct slice history[] = {slice_str("i0"), slice_str("i1"), slice_str("i2")};
    struct model *m;
    struct recommend *r;
    struct recommend_answer a;
    char id[16];
    p.max_features = 100;
    p.item_features = p.affinity_history = 8;
    p.feature_scale = 100;
    p.blend_step = p.blend_step_neighbours = 0;
    for (int f = 0; f < TERMS; f++) p.blend_start[f] = f == TERM_AFFINITY;
    assert_int_equal(model_new(&p, kernel_pick("portable"), 1u << 20, &none, 2, &m, NULL), 0);
    for (unsigned i = 0; i < 30; i++) {
        struct slice text[2] = {slice_str(features[i % 3][0]), slice_str(features[i % 3][1])};
        assert_int_equal(model_describe_item(m, world_id(i, id), -1, INT64_MIN, slice_str("{}"), NULL), 0);
        assert_int_equal(model_set_features(m, world_id(i, id), text, 2, NULL), 0);
    }
    model_publish(m);
    assert_int_equal(recommend_new(m, 1, &r, NULL), 0);
    struct recommend_request q = {.history = history, .n_history = 3, .k = 27, .explain = true, .wall_ms = T0};
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    assert_int_equal(a.n, 27);
    for (size_t i = 0; i < a.n; i++) {
        const struct recommend_reason *why = &a.reasons[i];
        char text_of[16];
        snprintf(text_of, sizeof text_of, "%.*s", (int)a.hits[i].id.n, a.hits[i].id.p);
        unsigned item = (unsigned)atoi(text_of + 1);
        double sum = 0;
        for (uint32_t k = 0; k < why->n; k++) sum += (double)why->because[k].share;
        assert_true(why->share[TERM_AFFINITY] > 0 && fabs(sum - (double)why->share[TERM_AFFINITY]) < 1e-5);
        assert_int_equal(why->n, item % 3 == 1 ? 3 : 2); /* red hats share with all */
        if (item % 3 == 0) assert_true(slice_equal(why->because[1].item, slice_str("i1"))); /* a shoe, and red */
        if (item % 3 != 1) continue;
        double red = 1 / 1.5 + 1 / 2.5, hat = 1 / 0.5 + 1 / 1.5; /* i2 is the newest; of each feature 20 items */
        double of_i1 = 0.5 / 1.5 * (log2(1 + 5 * red) / red + log2(1 + 5 * hat) / hat);
        assert_true(slice_equal(why->because[0].item, slice_str("i2")) &&
                    slice_equal(why->because[1].item, slice_str("i1")));
        assert_true(fabs((double)why->because[1].share - of_i1) < 1e-5);
    }
    recommend_done(r);
    recommend_free(r);
    model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_that_changed_meanwhile_are_no_matter),
                                       cmocka_unit_test(test_a_cart_is_asked_in_place_of_the_history),
                                       cmocka_unit_test(test_affinity_comes_from_the_items_that_share_features)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
