/* Configurations of a backtest: grids, random search, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backtest_plan.h"
#include "tests/unit/store_tmp.h"

#define MAX 8

/* A plan from options up to NULL. */
static int make(struct backtest_plan *p, uint64_t random, struct err *e, ...) {
    char copies[MAX][128], *options[MAX];
    size_t n = 0;
    va_list args;
    va_start(args, e);
    for (const char *o; (o = va_arg(args, const char *)) != NULL; n++) {
        snprintf(copies[n], sizeof copies[n], "%s", o);
        options[n] = copies[n];
    }
    va_end(args);
    struct backtest_wish w = {.options = options, .n_options = n, .random = random, .seeds = 1};
    memset(e, 0, sizeof *e);
    return backtest_plan_make(&w, p, e);
}

static void without_options_there_is_the_default(void **state) {
    struct backtest_plan p;
    struct err e;
    (void)state;
    assert_int_equal(make(&p, 0, &e, NULL), 0);
    assert_int_equal(p.n_points, 1);
    assert_string_equal(p.points[0]->settings, "");
    assert_int_equal(p.points[0]->config.max_clock_step_ms, -1);
    backtest_plan_free(&p);
}

static void a_grid_has_every_pair(void **state) {
    static const char *const settings[] = {
        "model.negatives = 16\nmodel.step = 0.2", "model.negatives = 16\nmodel.step = 0.4",
        "model.negatives = 32\nmodel.step = 0.2", "model.negatives = 32\nmodel.step = 0.4"};
    struct backtest_plan p;
    struct err e;
    (void)state;
    assert_int_equal(make(&p, 0, &e, "rule.a.attributes=x=1..2,y=3", "rule.a.weight=0,1", NULL), 0);
    assert_int_equal(p.n_points, 2);
    for (size_t k = 0; k < 2; k++) {
        assert_string_equal(p.points[k]->config.rules[0].attributes, "x=1..2,y=3");
        assert_true(p.points[k]->config.rules[0].weight == (double)k);
    }
    backtest_plan_free(&p);
    assert_int_equal(make(&p, 0, &e, "rule.a.attributes=x=1,y=3;z", NULL), 0);
    assert_int_equal(p.n_points, 2);
    assert_string_equal(p.points[1]->config.rules[0].attributes, "z");
    backtest_plan_free(&p);
    assert_int_equal(make(&p, 0, &e, "model.negatives=16, 32", "model.step=0.2,0.4", "model.seed=7", NULL), 0);
    assert_int_equal(p.n_points, 4);
    for (size_t k = 0; k < 4; k++) {
        assert_string_equal(p.points[k]->settings, settings[k]);
        assert_int_equal(p.points[k]->config.seed, 7); /* which is no setting: runs of one point differ by it */
    }
    backtest_plan_free(&p);
}

static void the_later_option_of_a_name_counts(void **state) {
    struct backtest_plan p;
    struct err e;
    (void)state;
    assert_int_equal(
        make(&p, 0, &e, "model.step=0.2,0.4", "model.step=0.5", "model.negatives=8", "model.negatives=16,32", NULL), 0);
    assert_int_equal(p.n_points, 2);
    assert_string_equal(p.points[1]->settings, "model.negatives = 32\nmodel.step = 0.5");
    backtest_plan_free(&p);
}

static void values_of_a_list_are_between_semicolons(void **state) {
    struct backtest_plan p;
    struct err e;
    (void)state;
    assert_int_equal(make(&p, 0, &e, "events.user=user,uid", NULL), 0);
    assert_int_equal(p.n_points, 1);
    assert_string_equal(p.points[0]->config.field_user, "user,uid");
    backtest_plan_free(&p);
    assert_int_equal(make(&p, 0, &e, "log.allowed_types=all;click,item", NULL), 0);
    assert_int_equal(p.n_points, 2);
    assert_string_equal(p.points[1]->config.log_allowed_types, "click,item");
    backtest_plan_free(&p);
}

static void what_is_wrong_is_said(void **state) {
    struct backtest_plan p;
    struct err e;
    (void)state;
    assert_true(make(&p, 0, &e, "model.nothing=1,2", NULL) < 0);
    assert_non_null(strstr(e.text, "nothing"));
    assert_true(make(&p, 0, &e, "model.step=0.1,fast", NULL) < 0);
    assert_non_null(strstr(e.text, "fast"));
    assert_int_equal(make(&p, 0, &e, "model.step", NULL), ERR_SYNTAX);
    assert_int_equal(make(&p, 0, &e, "model.step=0.1..0.4", NULL), ERR_RANGE); /* ranges are for random search */
    assert_int_equal(make(&p, 3, &e, NULL), ERR_RANGE);                        /* nothing to draw from */
    assert_int_equal(make(&p, 3, &e, "model.step=0.4..0.1", NULL), ERR_SYNTAX);
    assert_int_equal(make(&p, 3, &e, "model.pair_half_life=20d..90h", NULL), ERR_SYNTAX);
    assert_int_equal(make(&p, 3, &e, "model.pair_half_life=d..90d", NULL), ERR_SYNTAX);
    assert_int_equal(make(&p, 0, &e, "events.max_basket=10,20", NULL), ERR_RANGE);
    assert_non_null(strstr(e.text, "events.max_basket=20"));
}

static void random_search_draws_the_same_points_each_time(void **state) {
    struct backtest_plan p, q;
    struct err e;
    size_t other = 0;
    (void)state;
    assert_int_equal(make(&p, 20, &e, "model.step=0.05..0.8", "model.negatives=16..64", "model.history=5,10",
                          "model.pair_half_life=20d..90d", NULL),
                     0);
    assert_int_equal(make(&q, 20, &e, "model.step=0.05..0.8", "model.negatives=16..64", "model.history=5,10",
                          "model.pair_half_life=20d..90d", NULL),
                     0);
    assert_int_equal(p.n_points, 20);
    for (size_t k = 0; k < 20; k++) {
        const struct config *c = &p.points[k]->config;
        assert_string_equal(p.points[k]->settings, q.points[k]->settings);
        assert_true(c->step >= 0.05 && c->step <= 0.8);
        assert_in_range(c->negatives, 16, 64);
        assert_in_range(c->pair_half_life_ms, INT64_C(20) * 86400000, INT64_C(90) * 86400000);
        assert_true(c->history == 5 || c->history == 10);
        other += k > 0 && strcmp(p.points[k]->settings, p.points[k - 1]->settings) != 0;
    }
    assert_int_equal(other, 19);
    backtest_plan_free(&p);
    backtest_plan_free(&q);
}

static void presets_go_before_options(void **state) {
    char option[] = "model.temperature=2", *options[] = {option};
    struct backtest_wish w = {.seeds = 1};
    struct backtest_plan p;
    struct err e;
    (void)state;
    for (size_t k = 0; k < backtest_n_presets; k++) {
        w.preset = &backtest_presets[k];
        w.n_options = 0;
        assert_int_equal(backtest_plan_make(&w, &p, &e), 0);
        backtest_plan_free(&p);
        w.options = options;
        w.n_options = 1;
        assert_int_equal(backtest_plan_make(&w, &p, &e), 0);
        assert_non_null(strstr(p.points[0]->settings, "model.temperature = 2"));
        backtest_plan_free(&p);
    }
    assert_string_equal(backtest_presets[0].name, "accuracy");
}

static void every_ablation_is_a_configuration_of_its_own(void **state) {
    struct backtest_plan p;
    struct err e;
    (void)state;
    assert_int_equal(make(&p, 0, &e, "model.step=0.2", NULL), 0);
    for (size_t k = 0; k < backtest_n_ablations; k++) {
        const struct backtest_ablation *a = &backtest_ablations[k];
        size_t n = 0;
        while (n < 4 && a->options[n]) n++;
        assert_int_equal(backtest_plan_add(&p, p.points[0], a->options, n, &e), 0);
        assert_non_null(strstr(p.points[k + 1]->settings, "model.step = 0.2"));
        for (size_t other = 0; other <= k; other++)
            assert_string_not_equal(p.points[other]->settings, p.points[k + 1]->settings);
    }
    assert_true(backtest_n_ablations > 0);
    backtest_plan_free(&p);
}

/* What is written reads back as the same configuration, without what only backtests do. */
static void the_file_is_the_configuration(void **state) {
    char dir[256], path[512], *none[1] = {NULL};
    struct backtest_plan p;
    struct config c;
    struct err e;
    struct buf text;
    (void)state;
    tmp_make(dir);
    snprintf(path, sizeof path, "%s/best.conf", dir);
    buf_init(&text, 1u << 20);
    assert_int_equal(make(&p, 0, &e, "model.step=0.2,0.4", "type.like.weight=3", NULL), 0);
    assert_int_equal(backtest_point_file(p.points[1], &text, &e), 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(config_load(&c, path, none, 0, &e), 0);
    assert_true(c.step == 0.4);
    assert_int_equal(c.n_types, 5);
    assert_int_equal(c.max_clock_step_ms, 24 * 60 * 60 * 1000);
    config_free(&c);
    backtest_plan_free(&p);
    buf_free(&text);
    tmp_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_there_is_the_default),
        cmocka_unit_test(a_grid_has_every_pair),
        cmocka_unit_test(the_later_option_of_a_name_counts),
        cmocka_unit_test(values_of_a_list_are_between_semicolons),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(random_search_draws_the_same_points_each_time),
        cmocka_unit_test(presets_go_before_options),
        cmocka_unit_test(every_ablation_is_a_configuration_of_its_own),
        cmocka_unit_test(the_file_is_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
