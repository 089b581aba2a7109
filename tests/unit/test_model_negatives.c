/* Negatives: each share draws what it is for, as often as it says, and never what the user has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "lib/model/negatives.h"
#include "lib/model/urn.h"
#include "tests/unit/model_taste.h"

#define PAIRS 4000u

static struct model_params mixed(float recent, float popular, float hard) {
    struct model_params p = taste_params();
    p.recent_share = recent;
    p.popular_share = popular;
    p.popular_exponent = 0.5f;
    p.hard_share = hard;
    p.hard_pool = 64;
    p.recent_events = 300;
    return p;
}

static struct negatives drawn;

static void draw(const struct model *m, uint64_t n, uint32_t item, const float *x) {
    const struct draw_place place = {.source = 3, .offset = n};
    negatives_draw(&drawn, m, &place, item);
    for (uint32_t k = 0; k < drawn.n && x; k++)
        drawn.r[k] = m->kernel->dot(x, item_q(m->items, drawn.rows[k]), m->params.dim) +
                     item_head(m->items, drawn.rows[k])->bias;
    if (x) negatives_add_hard(&drawn, m, &place, item, x);
}

/* How often each item is drawn, against what `often` says of it and what the mixture ought to be. */
static void check_frequencies(float recent, float popular) {
    struct model_params p = mixed(recent, popular, 0);
    struct model *m = taste_new(&p);
    double counts[TASTE_ALL] = {0}, often[TASTE_ALL] = {0}, roots = 0, n = 0;
    taste_learn(m, 0, 2000);
    used_set(m->used, m->items, NULL, 0);
    uint32_t n_live = m->items->n_live;
    for (uint64_t k = 0; k < PAIRS; k++) {
        draw(m, k, ITEM_NONE, NULL);
        assert_int_equal(drawn.n, p.negatives);
        for (uint32_t j = 0; j < drawn.n; j++) {
            counts[drawn.rows[j]]++;
            often[drawn.rows[j]] = (double)drawn.often[j];
            n++;
        }
    }
    for (uint32_t i = 0; i < n_live; i++) roots += sqrt(m->recent->often[i]);
    for (uint32_t i = 0; i < n_live; i++) {
        double ring = (double)m->recent->often[i] / recent_size(m->recent), root = sqrt(m->recent->often[i]) / roots;
        double part = (double)recent * ring + (double)popular * root + (1 - (double)(recent + popular)) / n_live;
        double deviation = sqrt(part / n);
        assert_true(fabs(counts[i] / n - part) < 5 * deviation + 1e-9);
        if (counts[i] > 0) assert_true(fabs(often[i] / (part * n_live) - 1) < 1e-4);
    }
    model_free(m);
}

static void test_each_share_draws_as_often_as_it_says(void **state) {
    (void)state;
    check_frequencies(0, 0);
    check_frequencies(0.6f, 0);
    check_frequencies(0, 0.6f);
    check_frequencies(0.3f, 0.5f);
    check_frequencies(0, 1);
}

/* Hard ones take their share of all draws; the others keep theirs among what is left. */
static void test_hard_share_leaves_the_other_shares(void **state) {
    (void)state;
    struct model_params p = mixed(0.5f, 0, 0.5f); /* all that is not hard comes from the ring */
    struct model *m = taste_new(&p);
    float x[MODEL_MAX_DIM] = {0};
    taste_learn(m, 0, 2000);
    used_set(m->used, m->items, NULL, 0);
    for (uint64_t k = 0; k < 200; k++) {
        draw(m, k, 0, NULL);
        assert_int_equal(drawn.n, p.negatives / 2);
        draw(m, k, 0, x);
        assert_int_equal(drawn.n, p.negatives);
        for (uint32_t j = 0; j < drawn.n; j++) assert_true(m->recent->often[drawn.rows[j]] > 0);
    }
    model_free(m);
}

/* With a pool that holds every item: the very best ones, without the first of them where these are skipped. */
static void test_hard_ones_are_the_best_of_the_pool(void **state) {
    (void)state;
    for (int skipping = 0; skipping < 2; skipping++) {
        struct model_params p = mixed(0, 0, 0.5f);
        p.hard_pool = 4096;
        p.hard_skip = skipping ? 0.1f : 0;
        struct model *m = taste_new(&p);
        float x[MODEL_MAX_DIM], scores[TASTE_ALL];
        taste_learn(m, 0, 2000);
        used_set(m->used, m->items, NULL, 0);
        for (uint32_t k = 0; k < p.dim; k++) x[k] = draw_unit(draw_bits(4, k)) - 0.5f;
        for (uint32_t i = 0; i < m->items->n_live; i++)
            scores[i] = m->kernel->dot(x, item_q(m->items, i), p.dim) + item_head(m->items, i)->bias;
        draw(m, 1, 7, x);
        assert_int_equal(drawn.n, p.negatives);
        for (uint32_t j = p.negatives / 2; j < drawn.n; j++) {
            uint32_t above = 0;
            assert_true(drawn.r[j] == scores[drawn.rows[j]]);
            assert_int_not_equal(drawn.rows[j], 7);
            for (uint32_t i = 0; i < m->items->n_live; i++) above += i != 7 && scores[i] > drawn.r[j];
            uint32_t place = j - p.negatives / 2;
            if (!skipping) assert_int_equal(above, place);
            if (skipping) assert_in_range(above, place + 6, place + 14); /* a tenth of the pool is some ten items */
        }
        model_free(m);
    }
}

static void test_what_the_user_has_is_no_negative(void **state) {
    (void)state;
    struct model_params p = mixed(0.3f, 0.3f, 0.3f);
    struct model *m = taste_new(&p);
    struct err e;
    struct user_entry used[60];
    float x[MODEL_MAX_DIM] = {0};
    taste_learn(m, 0, 2000);
    used_set(m->used, m->items, NULL, 0);
    for (uint32_t k = 0; k < 60; k++)
        used[k] =
            (struct user_entry){.row = k & USER_ROW_BITS, .generation = (uint16_t)item_head(m->items, k)->generation};
    assert_int_equal(model_describe_item(m, items_id(m->items, 70), -1, TASTE_T0, slice_str("{}"), &e),
                     0); /* expired */
    used_set(m->used, m->items, used, 59);
    used_add(m->used, 59);
    assert_true(used_has(m->used, 30) && used_has(m->used, 59) && !used_has(m->used, 60));
    for (uint64_t k = 0; k < 500; k++) {
        draw(m, k, 65, x);
        assert_true(drawn.n > p.negatives / 2);
        for (uint32_t j = 0; j < drawn.n; j++)
            assert_true(drawn.rows[j] >= 60 && drawn.rows[j] != 65 && drawn.rows[j] != 70);
    }
    model_free(m);
}

/* The ring as it is loaded draws what the ring that grew draws. */
static void test_popular_draws_outlast_a_restart(void **state) {
    (void)state;
    struct recent *grown, *loaded;
    struct err e;
    assert_int_equal(recent_new(500, 100, &grown, &e), 0);
    assert_int_equal(recent_new(500, 100, &loaded, &e), 0);
    assert_int_equal(recent_weigh(grown, 0.75f, &e), 0);
    assert_int_equal(recent_weigh(loaded, 0.75f, &e), 0);
    for (uint64_t k = 0; k < 1300; k++) {
        recent_add(grown, draw_below(draw_bits(1, k), 10) * draw_below(draw_bits(2, k), 10));
        if (k == 700) recent_remove(grown, 12);
    }
    assert_int_equal(recent_load(loaded, 0, recent_take(grown, 0), &e), 0);
    assert_int_equal(recent_load_end(loaded, grown->n, &e), 0);
    assert_true(urn_total(grown->urn) == urn_total(loaded->urn));
    for (uint64_t k = 0; k < 500; k++)
        assert_int_equal(recent_draw_popular(grown, draw_bits(3, k)), recent_draw_popular(loaded, draw_bits(3, k)));
    recent_free(grown);
    recent_free(loaded);
}

/* Each kind of negatives learns the taste, and none the bits of another. */
static void test_every_mixture_learns_a_taste(void **state) {
    (void)state;
    static const float shares[][3] = {{0.6f, 0, 0}, {0, 0, 0}, {0, 0.6f, 0}, {0.3f, 0, 0.3f}, {0.2f, 0.2f, 0.6f}};
    uint64_t hashes[5];
    for (int k = 0; k < 5; k++) {
        struct model_params p = mixed(shares[k][0], shares[k][1], shares[k][2]);
        p.hard_skip = 0.1f;
        struct model *m = taste_new(&p);
        taste_learn(m, 0, 6000);
        hashes[k] = shop_hash(m);
        assert_true(taste_auc(m) > 0.9);
        for (int other = 0; other < k; other++) assert_true(hashes[k] != hashes[other]);
        model_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_share_draws_as_often_as_it_says),
        cmocka_unit_test(test_hard_share_leaves_the_other_shares),
        cmocka_unit_test(test_hard_ones_are_the_best_of_the_pool),
        cmocka_unit_test(test_what_the_user_has_is_no_negative),
        cmocka_unit_test(test_popular_draws_outlast_a_restart),
        cmocka_unit_test(test_every_mixture_learns_a_taste),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
