/* Figures and comparisons of an invented backtest, to the last digit: the same on every machine and compiler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "lib/eval/compare.h"
#include "lib/eval/metrics.h"
#include "lib/eval/trust.h"
#include "tests/unit/eval_world.h"

/* One line for each figure, as its exact value. */
static void same(const char *expected, double value) {
    char got[64];
    (void)snprintf(got, sizeof got, "%a", value);
    assert_string_equal(got, expected);
}

static void digits(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r[3];
    struct metrics m;
    struct trust t;
    world_set(&s);
    world_random(&s, 5000, 1);
    for (uint64_t k = 0; k < 3; k++) {
        assert_int_equal(outcome_run_init(&r[k], "m", OUTCOME_TESTED, k, "", NULL), 0);
        world_ranks(&s, &r[k], 2 + k, k < 2 ? 60 : 70);
    }
    const struct outcome_run *a[] = {&r[0], &r[1]}, *b[] = {&r[2]};
    assert_int_equal(metrics_of(&s, &r[0], 1000, 5000, NULL, 1, &m, NULL), 0);
    assert_int_equal(trust_of(a, 2, 1000, 5000, &t, NULL), 0);
    same("0x1.9d3e583dc450cp-4", m.ndcg[METRICS_AT_20]);
    same("0x1.1347ccd335112p-4", m.mrr[METRICS_KS - 1]);
    same("0x1.eeb9653189375p-2", t.ece);
    same("0x1.01931c1a5b632p+0", t.log_loss);
    struct compare c = {.a = {a, 2}, .b = {b, 1}, .figure = {FIGURE_NDCG, 20}};
    assert_int_equal(compare_all(&s, 1000, 5000, 1, &c, 1, NULL), 0);
    same("0x1.25c1f4fb58441p+0", c.ratio);
    same("0x1.0db23bde35b42p+0", c.by[COMPARE_BY_USER].low);
    same("0x1.483a7998c56p-10", c.by[COMPARE_BY_USER].p);
    same("0x1.41da856f37a1bp+0", c.by[COMPARE_BY_TIME].high);
    same("0x1.554c24c8d3114p-5", c.by[COMPARE_BY_TIME].se_log);
    same("0x1.078ca887562b8p-3", c.detectable);
    for (int k = 0; k < 3; k++) outcome_run_free(&r[k]);
    outcome_set_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(digits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
