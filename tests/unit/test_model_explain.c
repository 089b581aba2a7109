/* Explaining answers while the rows that they came from change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/model/explain.h"
#include "lib/model/terms.h"
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_that_changed_meanwhile_are_no_matter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
