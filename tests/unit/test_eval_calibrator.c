/* Probabilities of places: they become true, sum to one, and use scores where these tell something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "lib/base/draw.h"
#include "lib/eval/calibrator.h"

static int setup(void **state) {
    struct err e;
    return calibrator_new((struct calibrator **)state, &e);
}

static int teardown(void **state) {
    calibrator_free(*state);
    return 0;
}

static void probabilities_sum_to_one(void **state) {
    struct calibrator *c = *state;
    float scores[50];
    for (int i = 0; i < 50; i++) scores[i] = 10 - 0.1f * (float)i;
    for (uint32_t step = 0; step < 200; step++) {
        double sum = 0;
        calibrator_ask(c, 3, step % 2 ? scores : NULL, 50, 200);
        for (uint32_t i = 0; i < 50; i++) {
            assert_true(calibrator_p(c, i) > 0);
            sum += (double)calibrator_p(c, i);
        }
        sum += 200.0 * (double)calibrator_p(c, 50);
        assert_true(fabs(sum - 1) < 1e-5);
        calibrator_learn(c, step % 60);
    }
}

static void without_others_a_miss_has_no_probability(void **state) {
    struct calibrator *c = *state;
    calibrator_ask(c, 0, NULL, 0, 0);
    assert_true(calibrator_p(c, 0) == 0);
    calibrator_learn(c, 0); /* nothing to learn from, nothing broken */
    calibrator_ask(c, 0, NULL, 1, 0);
    assert_true(calibrator_p(c, 0) > 0 && calibrator_p(c, 0) < 1);
}

/* Targets come at place i with a share that falls like (i + 2)^-2, 70 % of them in the list: learned by place alone. */
static void places_become_true(void **state) {
    struct calibrator *c = *state;
    double weight[100], sum = 0;
    for (int i = 0; i < 100; i++) sum += weight[i] = pow(i + 2, -2);
    for (uint64_t step = 0; step < 20000; step++) {
        double u = (double)draw_unit(draw_bits(1, 2 * step)) * sum;
        uint32_t place = 0;
        while (place < 99 && u > weight[place]) u -= weight[place++];
        if (draw_unit(draw_bits(1, 2 * step + 1)) >= 0.7f) place = 100;
        calibrator_ask(c, 1, NULL, 100, 900);
        calibrator_learn(c, place);
    }
    calibrator_ask(c, 1, NULL, 100, 900);
    for (uint32_t i = 0; i < 20; i++) {
        double truth = 0.7 * weight[i] / sum;
        assert_true(fabs((double)calibrator_p(c, i) - truth) < 0.12 * truth + 0.001);
    }
    assert_true(fabs((double)calibrator_p(c, 100) - 0.3 / 900) < 0.05 / 900);
    calibrator_ask(c, 2, NULL, 100, 900); /* another bucket has learned nothing */
    assert_true(fabs((double)calibrator_p(c, 100) - 0.5 / 900) < 1e-6);
}

/* The target is drawn by softmax of scores that are far apart now and close then: places alone could not tell. */
static void scores_tell_how_sure_to_be(void **state) {
    struct calibrator *c = *state;
    double sure = 0, unsure = 0;
    for (uint64_t step = 0; step < 40000; step++) {
        float scores[10];
        double p[10], sum = 0, u = (double)draw_unit(draw_bits(2, step));
        for (int i = 0; i < 10; i++) scores[i] = (step % 2 ? -1.0f : -0.1f) * (float)i;
        for (int i = 0; i < 10; i++) sum += p[i] = exp(1.5 * (double)scores[i]);
        uint32_t place = 0;
        for (u *= sum; place < 9 && u > p[place]; place++) u -= p[place];
        calibrator_ask(c, 5, scores, 10, 0);
        if (step >= 30000) *(step % 2 ? &sure : &unsure) += ((double)calibrator_p(c, 0) - p[0] / sum) / 5000;
        calibrator_learn(c, place);
    }
    assert_true(fabs(sure) < 0.03);
    assert_true(fabs(unsure) < 0.03);
}

static void scores_that_are_none_do_no_harm(void **state) {
    struct calibrator *c = *state;
    float bad[4] = {INFINITY, 1, 0, -INFINITY}, same[4] = {1, 1, 1, 1}, nan[4] = {NAN, 1, 1, 0};
    float *lists[] = {bad, same, nan};
    for (int k = 0; k < 30; k++) {
        calibrator_ask(c, 0, lists[k % 3], 4, 4);
        for (uint32_t i = 0; i < 5; i++) assert_true(calibrator_p(c, i) >= 0 && calibrator_p(c, i) <= 1);
        calibrator_learn(c, (uint32_t)k % 5);
    }
}

static void buckets_follow_history_and_pause(void **state) {
    (void)state;
    static const uint32_t history[] = {0, 1, 2, 3, 4, 5, 10, 11, 5000};
    static const unsigned bucket[] = {0, 1, 2, 3, 3, 4, 4, 5, 5};
    for (int k = 0; k < 9; k++) {
        assert_int_equal(calibrator_bucket(history[k], 1), bucket[k]);
        assert_int_equal(calibrator_bucket(history[k], 0), bucket[k] + 6);
    }
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(probabilities_sum_to_one),
        T(without_others_a_miss_has_no_probability),
        T(places_become_true),
        T(scores_tell_how_sure_to_be),
        T(scores_that_are_none_do_no_harm),
        cmocka_unit_test(buckets_follow_history_and_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
