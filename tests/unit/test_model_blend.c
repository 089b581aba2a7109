/* Blend weights: they learn what ranks targets higher, the guard stands by, stored and published forms agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/model/blend.h"

static const struct model_params params = {.blend_start = {1, 0.5f, 0.1f, 0.5f, 1, 1, 0.3f, 0.02f, 0.01f, 0},
                                           .blend_step = 0.015f,
                                           .blend_step_neighbours = 0.05f};

static float score_of(const float *term, const float *weight) {
    float s = 0;
    for (int f = 0; f < TERMS; f++) s += weight[f] * term[f];
    return s;
}

/* One ranking of a target whose term `good` is higher than that of 30 others, all else noise. Returns its rank. */
static uint32_t one_ranking(struct blend *b, uint32_t bucket, uint64_t n, int good, bool teach) {
    struct blend_example all[31], target, others[30];
    uint32_t rank = 0, k = 0;
    for (int i = 0; i < 31; i++) {
        for (int f = 0; f < TERMS; f++)
            all[i].term[f] =
                draw_unit(draw_bits(n, (uint64_t)i * TERMS + (uint64_t)f)) + (f == good && i == 0 ? 0.5f : 0);
        all[i].score = score_of(all[i].term, b->bucket[bucket].weight);
    }
    target = all[0];
    for (int i = 1; i < 31; i++) rank += all[i].score > target.score;
    bool taken[31] = {true};
    for (; k < 30; k++) { /* best first */
        int best = -1;
        for (int i = 1; i < 31; i++)
            if (!taken[i] && (best < 0 || all[i].score > all[best].score)) best = i;
        taken[best] = true;
        others[k] = all[best];
    }
    if (teach) blend_learn(b, bucket, rank, &target, others, 30);
    return rank;
}

static double mean_gain(struct blend *b, uint32_t bucket, uint64_t first, int good, bool teach) {
    double sum = 0;
    for (uint64_t n = 0; n < 400; n++) sum += blend_gain(b, one_ranking(b, bucket, first + n, good, teach));
    return sum / 400;
}

static void learns_the_term_that_tells(void **state) {
    (void)state;
    static struct blend b;
    blend_init(&b, &params);
    for (int good = 0; good < TERMS; good += 2) {
        uint32_t bucket = (uint32_t)good;
        double before = mean_gain(&b, bucket, 1000000, good, false);
        for (int round = 0; round < 10; round++) mean_gain(&b, bucket, (uint64_t)round * 1000, good, true);
        assert_true(mean_gain(&b, bucket, 1000000, good, false) > before);
        assert_true(b.bucket[bucket].weight[good] > params.blend_start[good]);
    }
    assert_memory_equal(b.bucket[11].weight, params.blend_start, sizeof params.blend_start); /* buckets are apart */
    for (int f = 0; f <= TERM_EMBEDDING; f++)
        for (uint32_t k = 0; k < BLEND_BUCKETS; k++) assert_true(b.bucket[k].weight[f] >= 0);
}

static void a_term_that_is_off_stays_off(void **state) {
    (void)state;
    static struct blend b;
    struct model_params without = params;
    without.terms_off = 1u << TERM_FORWARD | 1u << TERM_TREND;
    without.blend_start[TERM_FORWARD] = without.blend_start[TERM_TREND] = 0;
    blend_init(&b, &without);
    for (int round = 0; round < 10; round++) mean_gain(&b, 0, (uint64_t)round * 1000, TERM_FORWARD, true);
    assert_true(b.bucket[0].weight[TERM_FORWARD] == 0 && b.bucket[0].weight[TERM_TREND] == 0);
    assert_true(b.bucket[0].weight[TERM_BACKWARD] != params.blend_start[TERM_BACKWARD]);
}

/* The step is that of the derivative of sum |swap| sigmoid((s_o - s_t) / T) along each weight, times T. */
static void gradient_by_finite_differences(void **state) {
    (void)state;
    struct blend_example target = {0, {0.3f, 1.2f, 0, 0.4f, -2, 1, 0.1f}},
                         others[3] = {{0, {1, 0.1f, 0.5f, 0.9f, -1, 0.2f, 0.3f}},
                                      {0, {0.2f, 0.9f, 0, 0.1f, -3, 1, 0.7f}},
                                      {0, {0, 0, 0, 0.2f, -8, 0, 0}}};
    static struct blend b;
    blend_init(&b, &params);
    target.score = score_of(target.term, params.blend_start);
    for (int o = 0; o < 3; o++) others[o].score = score_of(others[o].term, params.blend_start);
    const uint32_t rank = 2;
    double width = 0.1 * ((double)others[0].score - (double)others[2].score);
    blend_learn(&b, 4, rank, &target, others, 3);
    for (int f = 0; f < TERMS; f++) {
        double loss[2], h = 1e-4;
        for (int side = 0; side < 2; side++) {
            double shift = side ? h : -h;
            loss[side] = 0;
            for (uint32_t o = 0; o < 3; o++) {
                double swap = fabs(1 / log2((o < rank ? o : o + 1) + 2.0) - 1 / log2(rank + 2.0));
                double d = (double)others[o].score - (double)target.score +
                           shift * ((double)others[o].term[f] - (double)target.term[f]);
                loss[side] += swap / (1 + exp(-d / width));
            }
        }
        double gradient = -width * (loss[1] - loss[0]) / (2 * h);
        double step = f < TERMS_SPARSE ? 0.05 : 0.015;
        double want = (double)params.blend_start[f] + step * gradient / sqrt(0.1 + gradient * gradient);
        if (f <= TERM_EMBEDDING && want < 0) want = 0;
        assert_true(fabs((double)b.bucket[4].weight[f] - want) < 1e-5);
    }
}

static void the_guard(void **state) {
    (void)state;
    static struct blend b;
    blend_init(&b, &params);
    for (int n = 0; n < 20; n++) mean_gain(&b, 2, (uint64_t)n * 1000, 0, true);
    assert_memory_not_equal(blend_weights(&b, 2), params.blend_start, sizeof params.blend_start);
    const double low = blend_gain(&b, 5), high = blend_gain(&b, 3);
    blend_judge(&b, 2, 1, low, high); /* the start weights were better: they serve */
    assert_memory_equal(blend_weights(&b, 2), params.blend_start, sizeof params.blend_start);
    blend_judge(&b, 2, 1, 1, 0);
    assert_memory_not_equal(blend_weights(&b, 2), params.blend_start, sizeof params.blend_start);
    assert_int_equal(b.bucket[2].restarts, 0);
    for (int n = 0; n < 400; n++) blend_judge(&b, 2, 1, low, high);
    assert_true(b.bucket[2].restarts >= 1);
    assert_true(b.bucket[2].step <= 0.5f);
    assert_memory_equal(b.bucket[2].weight, params.blend_start, sizeof params.blend_start);
}

/* Events on which now one and now the other is better say nothing, even when one is ahead on the whole; that one is
 * always better by as much does, and twenty targets of one event say no more than that event. */
static void the_guard_knows_noise(void **state) {
    (void)state;
    static struct blend b;
    blend_init(&b, &params);
    for (int n = 0; n < 3000; n++) blend_judge(&b, 1, 1, n % 2 ? 0.95 : 0, n % 2 ? 0 : 1);
    assert_true(b.bucket[1].learned < 0.97 * b.bucket[1].start);
    assert_int_equal(b.bucket[1].restarts, 0);
    for (int n = 0; n < 3000; n++) blend_judge(&b, 2, 1, 0.475, 0.5);
    assert_true(b.bucket[2].restarts >= 1);
    for (int n = 0; n < 20; n++) blend_judge(&b, 3, 20, n % 2 ? 0 : 19, n % 2 ? 20 : 0);
    assert_true(b.bucket[3].learned < 0.97 * b.bucket[3].start);
    assert_int_equal(b.bucket[3].restarts, 0);
}

static void stored_and_published(void **state) {
    (void)state;
    static struct blend b, loaded;
    struct buf bytes;
    float served[TERMS];
    buf_init(&bytes, 1 << 16);
    blend_init(&b, &params);
    blend_init(&loaded, &params);
    for (int n = 0; n < 300; n++) {
        double learned = blend_gain(&b, one_ranking(&b, 3, (uint64_t)n, 1, true));
        blend_judge(&b, (uint32_t)n % BLEND_BUCKETS, 1, learned, blend_gain(&b, 7));
    }
    blend_encode(&b, &bytes);
    assert_int_equal(blend_decode(&loaded, slice_of(bytes.p, bytes.n), NULL), 0);
    assert_memory_equal(loaded.bucket, b.bucket, sizeof b.bucket);
    for (size_t cut = 0; cut < bytes.n; cut++)
        assert_int_equal(blend_decode(&loaded, slice_of(bytes.p, cut), NULL), ERR_CORRUPT);
    blend_read(&b, 3, served);
    assert_memory_equal(served, params.blend_start, sizeof served); /* as of the last publish */
    blend_publish(&b);
    blend_read(&b, 3, served);
    assert_memory_equal(served, blend_weights(&b, 3), sizeof served);
    buf_free(&bytes);
}

static void buckets(void **state) {
    (void)state;
    const uint32_t lengths[] = {0, 1, 2, 3, 4, 5, 10, 11, 1000}, want[] = {0, 1, 2, 3, 3, 4, 4, 5, 5};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        assert_int_equal(blend_bucket(lengths[k], BLEND_AWAY_MS), want[k]);
        assert_int_equal(blend_bucket(lengths[k], BLEND_AWAY_MS + 1), lengths[k] ? want[k] + 6 : 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_the_term_that_tells),
        cmocka_unit_test(a_term_that_is_off_stays_off),
        cmocka_unit_test(gradient_by_finite_differences),
        cmocka_unit_test(the_guard),
        cmocka_unit_test(the_guard_knows_noise),
        cmocka_unit_test(stored_and_published),
        cmocka_unit_test(buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
