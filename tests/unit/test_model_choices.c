/* What can be chosen of the learning step: each loss learns a taste, and each option does what it is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/model_taste.h"

#define EVENTS 6000

struct outcome {
    uint64_t hash;
    double auc, gini;
};

static struct outcome learn(const struct model_params *p) {
    struct model *m = taste_new(p);
    taste_learn(m, 0, EVENTS);
    struct outcome o = {shop_hash(m), taste_auc(m), taste_gini(m)};
    model_free(m);
    return o;
}

static void test_every_loss_learns_a_taste(void **state) {
    (void)state;
    uint64_t hashes[LOSS_KINDS];
    struct model_params p = taste_params();
    struct model *untaught = taste_new(&p);
    taste_learn(untaught, 0, 50);
    assert_true(taste_auc(untaught) < 0.75);
    model_free(untaught);
    for (int kind = 0; kind < LOSS_KINDS; kind++) {
        p.loss.kind = (enum loss_kind)kind;
        struct outcome o = learn(&p);
        if (o.auc < 0.9) fail_msg("%s: %.3f of the pairs in order", loss_name(p.loss.kind), o.auc);
        hashes[kind] = o.hash;
        for (int other = 0; other < kind; other++) assert_true(hashes[other] != o.hash);
    }
}

/* Options of a loss change what is learned where they apply, and nothing where they do not. */
static void test_options_of_losses(void **state) {
    (void)state;
    static const struct {
        enum loss_kind kind, blind; /* a kind that the option must change, and one that it must not */
        struct loss_params with;
    } cases[] = {
        {LOSS_WBPR, LOSS_BPR, {.temperature = 0.5f, .margin = 1, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_WBPR, LOSS_BPR, {.ignore_often = true, .margin = 1, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_HINGE, LOSS_WBPR, {.margin = 0.2f, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_WARP, LOSS_WBPR, {.margin = 0.2f, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_SAMPLED_SOFTMAX, LOSS_WBPR, {.smoothing = 0.2f, .margin = 1, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_BPR_MAX, LOSS_WBPR, {.score_l2 = 1, .margin = 1, .alpha = 1}},
        {LOSS_LOGISTIC, LOSS_WBPR, {.alpha = 5, .margin = 1, .score_l2 = 0.01f}},
        {LOSS_LOGISTIC, LOSS_WBPR, {.log_count = true, .alpha = 1, .margin = 1, .score_l2 = 0.01f}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint64_t hash[2][2];
        for (int with = 0; with < 2; with++)
            for (int blind = 0; blind < 2; blind++) {
                struct model_params p = taste_params();
                if (with) p.loss = cases[k].with;
                p.loss.kind = blind ? cases[k].blind : cases[k].kind;
                struct model *m = taste_new(&p);
                taste_learn(m, 0, 400);
                hash[with][blind] = shop_hash(m);
                model_free(m);
            }
        assert_true(hash[0][0] != hash[1][0]);
        assert_true(hash[0][1] == hash[1][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_loss_learns_a_taste),
        cmocka_unit_test(test_options_of_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
