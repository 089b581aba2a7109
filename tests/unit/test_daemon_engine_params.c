/* Options of the model reach it: each one named here changes the parameter that it is for, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/engine.h"
#include "tests/unit/store_tmp.h"

static struct store *store;

static struct model_params params_of(char *option) {
    char *options[] = {"model.max_items=64", option};
    struct config config;
    struct engine *g;
    struct err e;
    if (config_load(&config, NULL, options, option ? 2 : 1, &e) != 0) fail_msg("%s", e.text);
    assert_int_equal(engine_new(&config, store, 2, &g, &e), 0);
    struct model_params p = g->model->params;
    engine_free(g);
    config_free(&config);
    return p;
}

#define AT(member) offsetof(struct model_params, member), sizeof(((struct model_params *)0)->member)

static const struct {
    const char *option;
    size_t at, size; /* of the parameter */
} options[] = {
    {"model.loss=warp", AT(loss.kind)},
    {"model.temperature=0.5", AT(loss.temperature)},
    {"model.margin=2", AT(loss.margin)},
    {"model.score_l2=2", AT(loss.score_l2)},
    {"model.confidence=linear", AT(loss.log_count)},
    {"model.confidence_alpha=3", AT(loss.alpha)},
    {"model.entropy=0.1", AT(loss.entropy)},
    {"model.log_correction=no", AT(loss.ignore_often)},
    {"model.recent_share=0.2", AT(recent_share)},
    {"model.popular_share=0.2", AT(popular_share)},
    {"model.popular_exponent=0.2", AT(popular_exponent)},
    {"model.hard_share=0.2", AT(hard_share)},
    {"model.hard_pool=20", AT(hard_pool)},
    {"model.hard_skip=0.2", AT(hard_skip)},
    {"model.normalise=yes", AT(unit_scale)},
    {"model.l2_user=0.1", AT(l2_user)},
    {"model.l2_item=0.1", AT(l2_item)},
    {"model.l2_history=0.1", AT(l2_history)},
    {"model.history_dropout=0.1", AT(history_dropout)},
    {"model.popularity_penalty=0.1", AT(popularity_penalty)},
    {"model.row_half_life=3d", AT(row_half_life_ms)},
    {"model.sum_half_life=3d", AT(sum_half_life_ms)},
    {"drift.tolerance=0.2", AT(drift_tolerance)},
    {"drift.threshold=30", AT(drift_threshold)},
    {"drift.age=2", AT(drift_age)},
    {"drift.sums=0.5", AT(drift_sums)},
    {"drift.action=step", AT(drift_age)},
    {"drift.action=half_lives", AT(drift_sums)},
};

static void test_each_option_reaches_its_parameter(void **state) {
    (void)state;
    struct model_params plain = params_of(NULL);
    for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
        char text[64];
        snprintf(text, sizeof text, "%s", options[k].option);
        struct model_params p = params_of(text);
        unsigned char *a = (unsigned char *)&plain + options[k].at, *b = (unsigned char *)&p + options[k].at;
        if (memcmp(a, b, options[k].size) == 0) fail_msg("%s does not reach the model", text);
        memcpy(b, a, options[k].size);
        if (memcmp(&plain, &p, sizeof p) != 0) fail_msg("%s changes more than its parameter", text);
    }
}

static void test_the_loss_by_name(void **state) {
    (void)state;
    struct model_params plain = params_of(NULL);
    assert_int_equal(plain.loss.kind, LOSS_WBPR);
    for (int kind = 0; kind < LOSS_KINDS; kind++) {
        char text[64];
        snprintf(text, sizeof text, "model.loss=%s", loss_name((enum loss_kind)kind));
        assert_int_equal(params_of(text).loss.kind, kind);
    }
}

static int open_store(void **state) {
    static char dir[256];
    struct err e;
    tmp_make(dir);
    struct store_options o = {.dir = dir, .map_size = 64u << 20, .max_readers = 8, .create = true};
    *state = dir;
    return store_open(&o, &store, &e);
}

static int close_store(void **state) {
    store_close(store);
    tmp_remove(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_option_reaches_its_parameter),
        cmocka_unit_test(test_the_loss_by_name),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
