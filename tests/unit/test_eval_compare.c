/* Comparisons on simulated shops, where the truth is known: noise is called noise, and a difference is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/eval/boot.h"
#include "lib/eval/compare.h"
#include "tests/unit/eval_world.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

static void users_and_groups(void **state) {
    (void)state;
    struct outcome_set s;
    struct boot_clusters c;
    world_set(&s);
    for (uint64_t i = 0; i < 20000; i++) world_case(&s, &(struct outcome_case){.user = i * i * i % 5003});
    assert_int_equal(boot_by_user(&s, 100, 1100, &c, NULL), 0);
    uint32_t next = 0;
    for (size_t i = 0; i < 1000; i++) { /* numbers by first appearance, equal exactly when the users are */
        assert_true(c.of[i] <= next);
        next += c.of[i] == next;
        for (size_t j = 0; j < i; j++)
            assert_true((c.of[i] == c.of[j]) == (s.cases[100 + i].user == s.cases[100 + j].user));
    }
    assert_int_equal(c.n, next);
    boot_clusters_free(&c);
    assert_int_equal(boot_by_user(&s, 0, 20000, &c, NULL), 0);
    assert_in_range(c.n, 2500, BOOT_CLUSTERS_MOST);
    static uint32_t of_user[5003];
    for (size_t i = 0; i < 20000; i++) {
        uint32_t *of = &of_user[s.cases[i].user];
        assert_true(*of == 0 || *of == c.of[i] + 1);
        *of = c.of[i] + 1;
    }
    boot_clusters_free(&c);
    assert_int_equal(boot_by_user(&s, 5, 5, &c, NULL), 0);
    assert_int_equal(c.n, 0);
    boot_clusters_free(&c);
    outcome_set_free(&s);
}

static void days_or_blocks(void **state) {
    (void)state;
    for (int64_t days = 9; days <= 10; days++) {
        struct outcome_set s;
        struct boot_clusters c;
        world_set(&s);
        for (int64_t i = 0; i < 1000; i++)
            world_case(&s, &(struct outcome_case){.ts_ms = -5 * DAY + i * days * DAY / 1000,
                                                  .flags = i % 20 == 1 ? OUTCOME_SAME_MOMENT : 0});
        assert_int_equal(boot_by_time(&s, 0, 1000, &c, NULL), 0);
        assert_int_equal(c.n, days < 10 ? 50 : 10);
        for (uint32_t i = 0; i < 1000; i++) assert_int_equal(c.of[i], days < 10 ? i / 20 : i / 100);
        boot_clusters_free(&c);
        assert_int_equal(boot_by_time(&s, 0, 100, &c, NULL), 0);
        assert_int_equal(c.n, 10);
        boot_clusters_free(&c);
        outcome_set_free(&s);
    }
    struct outcome_set s;
    struct boot_clusters c;
    world_set(&s);
    for (int i = 0; i < 1000; i++) /* one basket of 40 at the start: the first block is larger, none is empty */
        world_case(&s, &(struct outcome_case){.flags = i > 0 && i < 40 ? OUTCOME_SAME_MOMENT : 0});
    assert_int_equal(boot_by_time(&s, 0, 1000, &c, NULL), 0);
    assert_int_equal(c.n, 49);
    assert_true(c.of[39] == 0 && c.of[40] == 1 && c.of[60] == 2 && c.of[999] == 48);
    boot_clusters_free(&c);
    outcome_set_free(&s);
}

/* n - 1 drawn of n: the mean is (n - 1) / n of the sum, the variance (n - 1)^2 / n times that of the clusters. */
static void draws_have_the_right_spread(void **state) {
    (void)state;
    enum { N = 30, DRAWS = 20000 };
    double sums[N][2], mean = 0, variance = 0, *out = malloc(sizeof(double) * DRAWS * 2);
    for (uint64_t i = 0; i < N; i++) {
        sums[i][0] = (double)draw_unit(draw_bits(3, i));
        sums[i][1] = 1;
        mean += sums[i][0] / N;
    }
    for (int i = 0; i < N; i++) variance += (sums[i][0] - mean) * (sums[i][0] - mean) / N;
    assert_int_equal(boot_draw(&sums[0][0], N, 2, DRAWS, 9, out, NULL), 0);
    double drawn = 0, spread = 0;
    for (int d = 0; d < DRAWS; d++) {
        assert_near(out[2 * d + 1], N - 1, 1e-9);
        drawn += out[2 * d] / DRAWS;
    }
    for (int d = 0; d < DRAWS; d++) spread += (out[2 * d] - drawn) * (out[2 * d] - drawn) / DRAWS;
    assert_near(drawn / (mean * (N - 1)), 1, 0.005);
    assert_near(spread / (variance * (N - 1)), 1, 0.04);
    free(out);
}

/* A shop: users who are easy or hard to predict, days that are; the two models' difference moves with the day too. */
struct shop {
    size_t n;
    uint32_t users;
    int64_t days;
    double user_effect, day_effect, day_difference;
    double quality[2]; /* share of targets found */
};

static double draw_of(uint64_t seed, uint64_t purpose, uint64_t i) {
    return (double)draw_unit(draw_bits(draw_mix(seed * 64 + purpose), i));
}

static void open_shop(const struct shop *x, uint64_t seed, struct outcome_set *s, struct outcome_run *r) {
    world_set(s);
    for (int m = 0; m < 2; m++)
        assert_int_equal(outcome_run_init(&r[m], m ? "other" : "rankd", OUTCOME_TESTED, seed, "", NULL), 0);
    for (uint64_t i = 0; i < x->n; i++) {
        uint64_t user = (uint64_t)(draw_of(seed, 1, i) * draw_of(seed, 2, i) * x->users); /* some come often */
        int64_t ts = (int64_t)i * x->days * DAY / (int64_t)x->n;
        uint64_t day = (uint64_t)(ts / DAY);
        world_case(s, &(struct outcome_case){.ts_ms = ts, .user = user, .history = (uint32_t)(user % 12)});
        double p =
            1 + x->user_effect * (2 * draw_of(seed, 3, user) - 1) + x->day_effect * (2 * draw_of(seed, 4, day) - 1);
        for (uint64_t m = 0; m < 2; m++) {
            double off = (m ? 1 : -1) * x->day_difference * (draw_of(seed, 5, day) - 0.5);
            bool found = draw_of(seed, 6 + m, i) < x->quality[m] * (p + off);
            assert_int_equal(outcome_run_add(&r[m], found ? 3 : OUTCOME_MISS, NAN, NAN, NULL), 0);
        }
    }
}

static void close_shop(struct outcome_set *s, struct outcome_run *r) {
    outcome_set_free(s);
    outcome_run_free(&r[0]);
    outcome_run_free(&r[1]);
}

static struct compare judge_shop(const struct shop *x, uint64_t seed) {
    struct outcome_set s;
    struct outcome_run r[2];
    open_shop(x, seed, &s, r);
    const struct outcome_run *a[] = {&r[0]}, *b[] = {&r[1]};
    struct compare c = {.a = {a, 1}, .b = {b, 1}, .figure = {FIGURE_NDCG, 20}};
    assert_int_equal(compare_all(&s, 0, s.n, 1, &c, 1, NULL), 0);
    close_shop(&s, r);
    return c;
}

enum { SHOPS = 100 };

struct count {
    int better, worse, noise, covered, missed_low, missed_high;
    double detectable; /* mean */
};

static struct count judge_shops(const struct shop *x, double truth) {
    struct count k = {.noise = 0};
    for (uint64_t seed = 1; seed <= SHOPS; seed++) {
        struct compare c = judge_shop(x, seed);
        const struct compare_interval *i = &c.by[c.wider];
        k.better += c.verdict == COMPARE_BETTER || c.verdict == COMPARE_NOT_STEADY;
        k.worse += c.verdict == COMPARE_WORSE;
        k.noise += c.verdict == COMPARE_NOISE;
        k.covered += i->low <= truth && truth <= i->high;
        k.detectable += c.detectable / SHOPS;
        assert_true(i->low <= c.ratio && c.ratio <= i->high);
        assert_true((c.p <= 0.05) == (c.verdict != COMPARE_NOISE) && c.p_holm == c.p);
    }
    return k;
}

/* Two models of the same quality, in shops with few users, with few days, and where days favour one or the other. */
static void noise_is_called_noise(void **state) {
    (void)state;
    static const struct shop shops[] = {
        {.n = 2000, .users = 300, .days = 3, .user_effect = 0.9, .day_effect = 0.1, .quality = {0.3, 0.3}},
        {.n = 2000, .users = 400, .days = 20, .user_effect = 0.3, .day_effect = 0.6, .quality = {0.3, 0.3}},
        {.n = 3000, .users = 400, .days = 30, .day_difference = 0.6, .quality = {0.3, 0.3}},
        {.n = 600, .users = 60, .days = 12, .user_effect = 0.5, .quality = {0.1, 0.1}},
    };
    for (size_t i = 0; i < sizeof shops / sizeof *shops; i++) {
        struct count k = judge_shops(&shops[i], 1.0);
        assert_in_range(k.noise, SHOPS * 90 / 100, SHOPS);
        assert_in_range(k.covered, SHOPS * 90 / 100, SHOPS);
        assert_true(k.better + k.worse + k.noise == SHOPS);
        assert_in_range(k.better, 0, SHOPS * 8 / 100);
        assert_in_range(k.worse, 0, SHOPS * 8 / 100);
    }
}

/* The same shop in which days favour one model or the other, looked at by users alone: far too sure of itself. */
static void time_must_be_looked_at_too(void **state) {
    (void)state;
    const struct shop x = {.n = 3000, .users = 400, .days = 30, .day_difference = 0.6, .quality = {0.3, 0.3}};
    int sure_by_user = 0;
    for (uint64_t seed = 1; seed <= SHOPS; seed++) {
        struct compare c = judge_shop(&x, seed);
        sure_by_user += c.by[COMPARE_BY_USER].p <= 0.05;
    }
    assert_in_range(sure_by_user, SHOPS * 15 / 100, SHOPS);
}

static void a_tenth_is_found(void **state) {
    (void)state;
    const struct shop x = {
        .n = 20000, .users = 3000, .days = 30, .user_effect = 0.5, .day_effect = 0.2, .quality = {0.33, 0.30}};
    struct count k = judge_shops(&x, 1.1);
    assert_in_range(k.better, SHOPS * 98 / 100, SHOPS);
    assert_in_range(k.covered, SHOPS * 90 / 100, SHOPS);
    assert_true(k.detectable < 0.06);
}

/* A difference of the size called detectable is found in about 80 % of logs, half of it much less often. */
static void detectable_is_what_is_detected(void **state) {
    (void)state;
    struct shop x = {.n = 4000, .users = 300, .days = 20, .user_effect = 0.5, .quality = {0.3, 0.3}};
    double size = judge_shops(&x, 1).detectable;
    x.quality[0] = 0.3 * (1 + size);
    struct count k = judge_shops(&x, 1 + size);
    x.quality[0] = 0.3 * (1 + size / 2);
    struct count half = judge_shops(&x, 1 + size / 2);
    assert_in_range(k.better, SHOPS * 70 / 100, SHOPS * 92 / 100);
    assert_in_range(half.better, 0, SHOPS * 45 / 100);
}

static void equal_and_empty_models(void **state) {
    (void)state;
    const struct shop x = {.n = 1000, .users = 100, .days = 20, .quality = {0.3, 0}};
    struct outcome_set s;
    struct outcome_run r[2];
    open_shop(&x, 1, &s, r);
    const struct outcome_run *a[] = {&r[0]}, *b[] = {&r[1]};
    struct figure ndcg = {FIGURE_NDCG, 20}, loss = {FIGURE_LOG_LOSS, 0};
    struct compare c[] = {{.a = {a, 1}, .b = {a, 1}, .figure = ndcg},
                          {.a = {b, 1}, .b = {b, 1}, .figure = ndcg},
                          {.a = {a, 1}, .b = {b, 1}, .figure = ndcg},
                          {.a = {b, 1}, .b = {a, 1}, .figure = ndcg},
                          {.a = {a, 1}, .b = {b, 1}, .figure = loss}};
    assert_int_equal(compare_all(&s, 0, s.n, 1, c, 5, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_true(c[i].ratio == 1 && c[i].p == 1 && c[i].verdict == COMPARE_NOISE);
        assert_true(c[i].by[0].low == 1 && c[i].by[0].high == 1);
    }
    assert_true(isinf(c[2].ratio) && c[2].verdict == COMPARE_BETTER && isnan(c[2].detectable));
    assert_true(c[3].ratio == 0 && c[3].verdict == COMPARE_WORSE);
    assert_true(isnan(c[4].ratio) && c[4].verdict == COMPARE_UNKNOWN && c[4].n == 0);
    assert_int_equal(compare_all(&s, 7, 7 + COMPARE_CASES - 1, 1, c, 5, NULL), 0);
    for (int i = 0; i < 5; i++) assert_true(c[i].verdict == COMPARE_UNKNOWN && isnan(c[i].p));
    assert_int_equal(compare_all(&s, 3, 3, 1, c, 5, NULL), 0);
    assert_int_equal(compare_all(&s, 0, s.n, 1, NULL, 0, NULL), 0);
    r[0].n--;
    assert_int_equal(compare_all(&s, 0, s.n, 1, c, 1, NULL), ERR_RANGE);
    close_shop(&s, r);
}

/* Better on the whole, but worse for users without history. */
static void a_weak_part_is_named(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r[2];
    const struct shop x = {.n = 12000, .users = 2000, .days = 30, .quality = {0.33, 0.30}};
    open_shop(&x, 5, &s, r);
    for (size_t i = 0; i < s.n; i++) {
        s.cases[i].history = i % 5 ? 1 : 0;
        if (i % 5 == 0 && i % 2) r[0].rank[i] = OUTCOME_MISS;
        if (i % 5 != 0 && i % 4 == 0) r[0].rank[i] = 0;
    }
    const struct outcome_run *a[] = {&r[0]}, *b[] = {&r[1]};
    struct compare c = {.a = {a, 1}, .b = {b, 1}, .figure = {FIGURE_NDCG, 20}};
    assert_int_equal(compare_all(&s, 0, s.n, 1, &c, 1, NULL), 0);
    assert_int_equal(c.verdict, COMPARE_NOT_STEADY);
    assert_true(c.n_parts > 10 && c.n_weak == 1);
    assert_true(c.weak[0].kind == COHORT_HISTORY && c.weak[0].part == 0);
    assert_near(c.weak[0].share, 0.2, 1e-3);
    assert_true(c.weak[0].high < 1 && c.weak[0].low < c.weak[0].ratio && c.weak[0].ratio < c.weak[0].high);
    /* the last quarter alone: worse there */
    for (size_t i = 0; i < s.n; i++) {
        s.cases[i].history = 1;
        if (i >= s.n / 4 * 3) r[0].rank[i] = i % 2 ? OUTCOME_MISS : r[1].rank[i];
        if (i < s.n / 2 && i % 3 == 0) r[0].rank[i] = 0;
    }
    assert_int_equal(compare_all(&s, 0, s.n, 1, &c, 1, NULL), 0);
    assert_int_equal(c.verdict, COMPARE_NOT_STEADY);
    assert_true(c.n_weak == 1 && c.weak[0].kind == COHORT_QUARTER && c.weak[0].part == 3);
    close_shop(&s, r);
}

/* Seeds: the mean counts, and their spread widens the interval. */
static void seeds_are_averaged(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r[2], seeds[4];
    const struct shop x = {.n = 6000, .users = 1000, .days = 30, .quality = {0.3, 0.3}};
    open_shop(&x, 9, &s, r);
    const struct outcome_run *steady[4], *shaky[4], *b[] = {&r[1]};
    for (uint64_t k = 0; k < 4; k++) {
        assert_int_equal(outcome_run_init(&seeds[k], "shaky", OUTCOME_TESTED, k, "", NULL), 0);
        for (size_t i = 0; i < s.n; i++) /* one seed loses a half, one gains as much */
            assert_int_equal(outcome_run_add(&seeds[k],
                                             k == 0 && i % 2        ? OUTCOME_MISS
                                             : k == 1 && i % 6 == 0 ? 3
                                                                    : r[0].rank[i],
                                             NAN, NAN, NULL),
                             0);
        steady[k] = &r[0];
        shaky[k] = &seeds[k];
    }
    struct compare c[] = {{.a = {steady, 1}, .b = {b, 1}, .figure = {FIGURE_NDCG, 20}},
                          {.a = {steady, 4}, .b = {b, 1}, .figure = {FIGURE_NDCG, 20}},
                          {.a = {shaky, 4}, .b = {b, 1}, .figure = {FIGURE_NDCG, 20}}};
    assert_int_equal(compare_all(&s, 0, s.n, 1, c, 3, NULL), 0);
    assert_near(c[1].ratio, c[0].ratio, 1e-12);
    assert_near(c[1].by[0].low, c[0].by[0].low, 1e-12);
    double mean = 0;
    for (int k = 0; k < 4; k++) mean += figure_value(c[0].figure, &s, &seeds[k], 0, s.n) / 4;
    assert_near(c[2].a_value, mean, 1e-12);
    assert_near(c[2].ratio, mean / c[2].b_value, 1e-12);
    assert_true(c[2].by[0].se_log > 3 * c[0].by[0].se_log);
    for (int k = 0; k < 4; k++) outcome_run_free(&seeds[k]);
    close_shop(&s, r);
}

static void less_loss_is_better(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r[2];
    world_set(&s);
    for (uint64_t m = 0; m < 2; m++) assert_int_equal(outcome_run_init(&r[m], "m", OUTCOME_TESTED, m, "", NULL), 0);
    for (uint64_t i = 0; i < 2000; i++) {
        world_case(&s, &(struct outcome_case){.user = i % 300, .ts_ms = (int64_t)i * HOUR});
        float p = 0.2f + 0.5f * draw_unit(draw_bits(1, i));
        assert_int_equal(outcome_run_add(&r[0], 1, i % 9 ? p : NAN, NAN, NULL), 0);
        assert_int_equal(outcome_run_add(&r[1], 1, i % 7 ? p * 0.9f : NAN, NAN, NULL), 0);
    }
    const struct outcome_run *a[] = {&r[0]}, *b[] = {&r[1]};
    struct compare c[] = {{.a = {a, 1}, .b = {b, 1}, .figure = {FIGURE_LOG_LOSS, 0}},
                          {.a = {b, 1}, .b = {a, 1}, .figure = {FIGURE_LOG_LOSS, 0}}};
    assert_int_equal(compare_all(&s, 0, s.n, 1, c, 2, NULL), 0);
    assert_int_equal(c[0].n, 2000 - 223 - 286 + 32); /* neither a multiple of 9 nor of 7 */
    assert_near(c[0].b_value - c[0].a_value, -log(0.9), 1e-6);
    assert_true(c[0].verdict == COMPARE_BETTER && c[0].ratio > 1 && c[1].verdict == COMPARE_WORSE && c[1].ratio < 1);
    assert_near(c[0].ratio, c[0].b_value / c[0].a_value, 1e-12);
    close_shop(&s, r);
}

static void the_draws_are_the_seeds(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r[2];
    const struct shop x = {.n = 2000, .users = 300, .days = 30, .quality = {0.31, 0.30}};
    open_shop(&x, 2, &s, r);
    const struct outcome_run *a[] = {&r[0]}, *b[] = {&r[1]};
    struct compare c[3];
    for (int k = 0; k < 3; k++) {
        c[k] = (struct compare){.a = {a, 1}, .b = {b, 1}, .figure = {FIGURE_NDCG, 20}};
        assert_int_equal(compare_all(&s, 0, s.n, k == 2 ? 8 : 7, &c[k], 1, NULL), 0);
    }
    assert_memory_equal(&c[0], &c[1], sizeof c[0]);
    assert_true(c[0].by[0].low != c[2].by[0].low);
    assert_near(c[0].by[0].se_log / c[2].by[0].se_log, 1, 0.1);
    close_shop(&s, r);
}

static void refused_memory_is_an_error(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r[2];
    struct err e;
    const struct shop x = {.n = 400, .users = 50, .days = 12, .quality = {0.6, 0.2}};
    open_shop(&x, 2, &s, r);
    const struct outcome_run *a[] = {&r[0]}, *b[] = {&r[1]};
    struct compare c = {.a = {a, 1}, .b = {b, 1}, .figure = {FIGURE_NDCG, 20}};
    int rc = ERR_NOMEM;
    uint64_t nth = 1;
    for (; rc; nth++) {
        mem_fail_at(nth);
        rc = compare_all(&s, 0, s.n, 1, &c, 1, &e);
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
    }
    assert_true(nth > 20 && c.verdict == COMPARE_BETTER && c.n_parts > 0);
    close_shop(&s, r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_and_groups),
        cmocka_unit_test(days_or_blocks),
        cmocka_unit_test(draws_have_the_right_spread),
        cmocka_unit_test(noise_is_called_noise),
        cmocka_unit_test(time_must_be_looked_at_too),
        cmocka_unit_test(a_tenth_is_found),
        cmocka_unit_test(detectable_is_what_is_detected),
        cmocka_unit_test(equal_and_empty_models),
        cmocka_unit_test(a_weak_part_is_named),
        cmocka_unit_test(seeds_are_averaged),
        cmocka_unit_test(less_loss_is_better),
        cmocka_unit_test(the_draws_are_the_seeds),
        cmocka_unit_test(refused_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
