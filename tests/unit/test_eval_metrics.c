/* Figures against hand-computed ones and against twins that follow the definitions word by word. */
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
#include "lib/eval/cohort.h"
#include "lib/eval/figure.h"
#include "lib/eval/metrics.h"
#include "lib/eval/trust.h"
#include "tests/unit/eval_world.h"

static void add(struct outcome_set *s, struct outcome_run *r, uint32_t rank, uint32_t flags) {
    world_case(s, &(struct outcome_case){.flags = flags, .item_events = 3});
    assert_int_equal(outcome_run_add(r, rank, NAN, NAN, NULL), 0);
}

/* Places 0, 2, 4, 7, 25 and a miss, each a moment of its own. */
static void by_hand(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r;
    struct metrics m;
    world_begin(&s, &r);
    const uint32_t ranks[] = {0, 2, 4, 7, 25, OUTCOME_MISS};
    for (size_t i = 0; i < 6; i++) add(&s, &r, ranks[i], 0);
    assert_int_equal(metrics_of(&s, &r, 0, 6, NULL, 1, &m, NULL), 0);
    assert_true(m.n == 6 && m.moments == 6);
    /* 1, 1/2, 1/log2 6 = 0.3868528072, 1/log2 9 = 0.3154648768, 1/log2 27 = 0.2103099178 */
    assert_near(m.ndcg[0], 1.8868528072 / 6, 1e-10);
    assert_near(m.ndcg[1], 2.2023176840 / 6, 1e-10);
    assert_near(m.ndcg[2], 2.2023176840 / 6, 1e-10);
    assert_near(m.ndcg[3], 2.4126276018 / 6, 1e-10);
    assert_near(m.recall[0], 3.0 / 6, 1e-15);
    assert_near(m.recall[2], 4.0 / 6, 1e-15);
    assert_near(m.recall[4], 5.0 / 6, 1e-15);
    assert_near(m.mrr[0], (1 + 1.0 / 3 + 1.0 / 5) / 6, 1e-15);
    assert_near(m.mrr[2], (1 + 1.0 / 3 + 1.0 / 5 + 1.0 / 8) / 6, 1e-15);
    assert_near(m.hit[0], 3.0 / 6, 1e-15);
    struct figure mrr = {FIGURE_MRR, 5}, odd = {FIGURE_NDCG, 3};
    assert_near(figure_value(mrr, &s, &r, 0, 6), m.mrr[0], 1e-15);
    assert_near(figure_value(odd, &s, &r, 0, 6), 1.5 / 6, 1e-15);
    assert_near(figure_value(odd, &s, &r, 1, 3), 0.25, 1e-15);
    assert_true(isnan(figure_value(odd, &s, &r, 3, 3)));
    world_end(&s, &r);
}

/* Two baskets and a single: hit rate looks at moments, recall at targets. */
static void baskets_hit_once(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r;
    struct metrics m;
    world_begin(&s, &r);
    const uint32_t same = OUTCOME_BASKET | OUTCOME_SAME_MOMENT;
    add(&s, &r, 3, OUTCOME_BASKET);
    add(&s, &r, 1, same);
    add(&s, &r, 40, same);
    add(&s, &r, 60, OUTCOME_BASKET);
    add(&s, &r, 15, same);
    add(&s, &r, 200, 0);
    assert_int_equal(metrics_of(&s, &r, 0, 6, NULL, 1, &m, NULL), 0);
    assert_true(m.n == 6 && m.moments == 3);
    assert_near(m.recall[0], 2.0 / 6, 1e-15);
    assert_near(m.hit[0], 1.0 / 3, 1e-15);
    assert_near(m.hit[2], 2.0 / 3, 1e-15);
    assert_near(m.hit[4], 2.0 / 3, 1e-15);
    /* Only the second target of each basket: a moment counts in a part when a target of it lies there. */
    const uint16_t part[] = {0, 1, 0, 0, 1, 0};
    struct metrics parts[2];
    assert_int_equal(metrics_of(&s, &r, 0, 6, part, 2, parts, NULL), 0);
    assert_true(parts[0].n == 4 && parts[0].moments == 3 && parts[1].n == 2 && parts[1].moments == 2);
    assert_near(parts[0].hit[0], 1.0 / 3, 1e-15);
    assert_near(parts[0].hit[4], 2.0 / 3, 1e-15);
    assert_near(parts[1].hit[0], 1.0 / 2, 1e-15);
    assert_near(parts[1].hit[2], 2.0 / 2, 1e-15);
    world_end(&s, &r);
}

/* The definitions, one case after the other. */
static void check_twin(const struct outcome_set *s, const struct outcome_run *r, size_t from, size_t to,
                       const uint16_t *part, uint16_t which, const struct metrics *m) {
    for (int at = 0; at < METRICS_KS; at++) {
        uint32_t k = metrics_ks[at];
        double ndcg = 0, recall = 0, mrr = 0, hits = 0;
        uint64_t n = 0, moments = 0;
        bool in_moment = false, hit = false;
        for (size_t i = from; i < to; i++) {
            if (i == from || (s->cases[i].flags & OUTCOME_SAME_MOMENT) == 0) in_moment = hit = false;
            if (part[i - from] != which) continue;
            double rank = r->rank[i];
            bool found = r->rank[i] < k;
            n++;
            moments += !in_moment;
            in_moment = true;
            ndcg += found ? 1 / log2(rank + 2) : 0;
            recall += found;
            mrr += found ? 1 / (rank + 1) : 0;
            hits += found && !hit;
            hit = hit || found;
        }
        assert_true(m->n == n && m->moments == moments);
        double all = n > 0 ? (double)n : 1, all_moments = moments > 0 ? (double)moments : 1;
        assert_near(m->ndcg[at], ndcg / all, 1e-12);
        assert_near(m->recall[at], recall / all, 1e-12);
        assert_near(m->mrr[at], mrr / all, 1e-12);
        assert_near(m->hit[at], hits / all_moments, 1e-12);
    }
}

static void parts_equal_their_definition(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r;
    world_begin(&s, &r);
    world_random(&s, 3000, 11);
    world_ranks(&s, &r, 12, 120);
    for (int kind = 0; kind < COHORT_KINDS; kind++) {
        size_t from = 333, to = 2900;
        static uint16_t part[3000];
        cohort_of(&s, (enum cohort)kind, from, to, part);
        size_t n = cohort_parts(&s, (enum cohort)kind, from, to);
        struct metrics m[64], sum = {.n = 0};
        assert_in_range(n, 1, 64);
        assert_int_equal(metrics_of(&s, &r, from, to, part, n, m, NULL), 0);
        for (size_t k = 0; k < n; k++) {
            check_twin(&s, &r, from, to, part, (uint16_t)k, &m[k]);
            sum.n += m[k].n;
            assert_true(strlen(cohort_label(&s, (enum cohort)kind, k)) > 0 || kind == COHORT_WINDOW);
        }
        assert_int_equal(sum.n, to - from);
    }
    world_end(&s, &r);
}

static uint16_t one_part(enum cohort kind, struct outcome_case c) {
    struct outcome_set s;
    uint16_t part;
    world_set(&s);
    world_case(&s, &c);
    cohort_of(&s, kind, 0, 1, &part);
    outcome_set_free(&s);
    return part;
}

static void parts_begin_where_they_say(void **state) {
    (void)state;
    const int64_t hour = 3600000;
    assert_int_equal(one_part(COHORT_WARMTH, (struct outcome_case){.item_events = 0}), 1);
    assert_int_equal(one_part(COHORT_WARMTH, (struct outcome_case){.item_events = 1}), 0);
    static const uint16_t by_history[] = {0, 1, 2, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5};
    for (uint32_t h = 0; h < 13; h++)
        assert_int_equal(one_part(COHORT_HISTORY, (struct outcome_case){.history = h}), by_history[h]);
    assert_int_equal(one_part(COHORT_ITEM_AGE, (struct outcome_case){.item_age_ms = -1}), 0);
    assert_int_equal(one_part(COHORT_ITEM_AGE, (struct outcome_case){.item_age_ms = 0}), 1);
    assert_int_equal(one_part(COHORT_ITEM_AGE, (struct outcome_case){.item_age_ms = hour}), 1);
    assert_int_equal(one_part(COHORT_ITEM_AGE, (struct outcome_case){.item_age_ms = hour + 1}), 2);
    assert_int_equal(one_part(COHORT_ITEM_AGE, (struct outcome_case){.item_age_ms = INT64_MAX}), 5);
    assert_int_equal(one_part(COHORT_POPULARITY, (struct outcome_case){.item_events = 9}), 1);
    assert_int_equal(one_part(COHORT_POPULARITY, (struct outcome_case){.item_events = 10}), 2);
    assert_int_equal(one_part(COHORT_POPULARITY, (struct outcome_case){.item_events = UINT32_MAX}), 4);
    assert_int_equal(one_part(COHORT_HOUR, (struct outcome_case){.ts_ms = 24 * hour - 1}), 5);
    assert_int_equal(one_part(COHORT_HOUR, (struct outcome_case){.ts_ms = 24 * hour}), 0);
    assert_int_equal(one_part(COHORT_HOUR, (struct outcome_case){.ts_ms = -1}), 5);
    assert_int_equal(one_part(COHORT_PAUSE, (struct outcome_case){.flags = OUTCOME_RECENT}), 0);
    assert_int_equal(one_part(COHORT_REPEAT, (struct outcome_case){.flags = OUTCOME_REPEAT}), 1);
    assert_int_equal(cohort_windows(15), 1);
    assert_int_equal(cohort_windows(16), 8);
    assert_int_equal(cohort_windows(10000), 20);
    assert_int_equal(cohort_windows(1000000), 40);
}

/* Parts by order have the same size, and no moment is cut. */
static void quarters_keep_moments_whole(void **state) {
    (void)state;
    struct outcome_set s;
    uint16_t part[100];
    world_set(&s);
    for (uint32_t i = 0; i < 100; i++)
        world_case(&s, &(struct outcome_case){.flags = i > 20 && i < 30 ? OUTCOME_SAME_MOMENT : 0});
    cohort_of(&s, COHORT_QUARTER, 0, 100, part);
    for (int i = 0; i < 100; i++) assert_int_equal(part[i], i < 30 ? 0 : i / 25);
    outcome_set_free(&s);
}

static void figures_have_names(void **state) {
    (void)state;
    struct figure f = {FIGURE_RECALL, 50}, g = {FIGURE_MRR, 1};
    char key[32], title[64];
    figure_key(f, key);
    assert_string_equal(key, "recall@50");
    assert_int_equal(figure_parse(slice_str(key), &g, NULL), 0);
    assert_true(g.kind == FIGURE_RECALL && g.k == 50);
    figure_title((struct figure){FIGURE_TAIL_NDCG, 20}, title);
    assert_string_equal(title, "NDCG@20 of the long tail");
    figure_title((struct figure){FIGURE_LOG_LOSS, 0}, title);
    assert_string_equal(title, "log loss");
    assert_int_equal(figure_parse(slice_str("log-loss"), &g, NULL), 0);
    assert_int_equal(g.kind, FIGURE_LOG_LOSS);
    static const char *const bad[] = {"", "ndcg", "ndcg@", "ndcg@0", "ndcg@101", "ndcg@020", "log-loss@20", "NDCG@20"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(figure_parse(slice_str(bad[i]), &g, NULL), ERR_SYNTAX);
}

/* Weights 1 / sqrt(1), 1 / sqrt(4), 1 / sqrt(100): the rare targets decide. */
static void the_tail_weighs_more(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r;
    world_begin(&s, &r);
    const uint32_t events[] = {0, 3, 99}, ranks[] = {OUTCOME_MISS, 0, 2};
    for (int i = 0; i < 3; i++) {
        world_case(&s, &(struct outcome_case){.item_events = events[i]});
        assert_int_equal(outcome_run_add(&r, ranks[i], NAN, NAN, NULL), 0);
    }
    struct figure tail = {FIGURE_TAIL_NDCG, 20}, plain = {FIGURE_NDCG, 20};
    assert_near(figure_value(plain, &s, &r, 0, 3), 0.5, 1e-15);
    assert_near(figure_value(tail, &s, &r, 0, 3), (0.5 + 0.05) / 1.6, 1e-14);
    world_end(&s, &r);
}

/* Of five items, three were listed 1, 1 and 4 times. */
static void lists_by_hand(void **state) {
    (void)state;
    struct outcome_run r;
    struct metrics_lists l;
    assert_int_equal(outcome_run_init(&r, "m", OUTCOME_TESTED, 1, "", NULL), 0);
    assert_int_equal(metrics_lists(&r, &l, NULL), 0);
    assert_true(l.lists == 0 && l.coverage == 0);
    const uint32_t a[] = {4, 1}, b[] = {4, 3}, c[] = {4}, events[] = {1, 4};
    assert_int_equal(outcome_run_list(&r, a, events, 2, 16, NULL), 0);
    assert_int_equal(outcome_run_list(&r, b, events, 2, 16, NULL), 0);
    assert_int_equal(outcome_run_list(&r, c, events, 1, 16, NULL), 0);
    assert_int_equal(outcome_run_list(&r, c, events, 1, 16, NULL), 0);
    r.n_candidates = 5;
    assert_int_equal(metrics_lists(&r, &l, NULL), 0);
    assert_true(l.k == 2 && l.lists == 4 && l.items == 5);
    assert_near(l.coverage, 0.6, 1e-15);
    /* counts 0 0 1 1 4: 2 (3 + 4 + 20) / (5 * 6) - 6 / 5 */
    assert_near(l.gini, 0.6, 1e-15);
    assert_near(l.novelty, (4 + 2 + 4 + 2 + 4 + 4) / 6.0, 1e-12);
    outcome_run_free(&r);
}

/* Gini as the mean difference between two items, over twice the mean. */
static void gini_equals_its_definition(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct outcome_run r;
        struct metrics_lists l;
        double x[40] = {0}, differences = 0, sum = 0;
        assert_int_equal(outcome_run_init(&r, "m", OUTCOME_TESTED, 1, "", NULL), 0);
        for (uint64_t i = 0; i < 300; i++) {
            uint32_t one = 1, item = draw_below(draw_bits(seed, i), 1 + draw_below(draw_bits(seed + 99, i), 40));
            assert_int_equal(outcome_run_list(&r, &item, &one, 1, 2, NULL), 0);
            x[item]++;
        }
        r.n_candidates = 40;
        for (int i = 0; i < 40; i++) {
            sum += x[i];
            for (int j = 0; j < 40; j++) differences += fabs(x[i] - x[j]);
        }
        assert_int_equal(metrics_lists(&r, &l, NULL), 0);
        assert_near(l.gini, differences / (40.0 * 40) / (2 * sum / 40), 1e-12);
        outcome_run_free(&r);
    }
}

static void add_p(struct outcome_run *r, uint32_t rank, float p_target, float p_top) {
    assert_int_equal(outcome_run_add(r, rank, p_target, p_top, NULL), 0);
}

/* Ten cases at 0.2 with 4 hits, ten at 0.5 with 5, and the mean of the loss. */
static void trust_by_hand(void **state) {
    (void)state;
    struct outcome_run r;
    struct trust t;
    assert_int_equal(outcome_run_init(&r, "m", OUTCOME_TESTED, 1, "", NULL), 0);
    for (uint32_t i = 0; i < 20; i++) {
        bool sure = i % 2, hit = sure ? i < 10 : i < 8;
        add_p(&r, hit ? 0 : 5, hit ? 0.5f : NAN, sure ? 0.5f : 0.25f);
    }
    add_p(&r, 3, 0, NAN);
    const struct outcome_run *runs[] = {&r};
    assert_int_equal(trust_of(runs, 1, 0, 21, &t, NULL), 0);
    assert_true(t.n == 20 && t.n_bins == 2 && t.bins[0].n == 10 && t.bins[1].n == 10);
    assert_near(t.bins[0].p, 0.25, 1e-15);
    assert_near(t.bins[0].rate, 0.4, 1e-15);
    assert_near(t.bins[1].rate, 0.5, 1e-15);
    assert_near(t.ece, (10 * 0.15 + 10 * 0) / 20, 1e-15);
    assert_near(t.brier, (4 * 0.5625 + 6 * 0.0625 + 10 * 0.25) / 20, 1e-15);
    assert_near(t.log_loss_top, (4 * log(4) + 6 * log(4.0 / 3) + 10 * log(2)) / 20, 1e-12);
    assert_int_equal(t.n_target, 10);
    assert_near(t.log_loss, (9 * log(2) + log(1e9)) / 10, 1e-12);
    assert_near(t.bins[1].low, 0.236593, 1e-6); /* Wilson's 5 of 10 */
    assert_near(t.bins[1].high, 0.763407, 1e-6);
    outcome_run_free(&r);
}

/* What is drawn with the probability that was said has little error; said twice as large, it has much. */
static void trust_tells_true_from_untrue(void **state) {
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        struct outcome_run r[2];
        struct trust t;
        double sum = 0;
        for (uint64_t j = 0; j < 2; j++) {
            assert_int_equal(outcome_run_init(&r[j], "m", OUTCOME_TESTED, j, "", NULL), 0);
            for (uint64_t i = 0; i < 10000; i++) {
                float p = 0.4f * draw_unit(draw_bits(40 + j, i)) + 0.05f;
                bool hit = draw_unit(draw_bits(50 + j, i)) < p;
                sum += (double)p / 20000;
                add_p(&r[j], hit ? 0 : 1, NAN, twice ? 2 * p : p);
            }
        }
        const struct outcome_run *runs[] = {&r[0], &r[1]};
        assert_int_equal(trust_of(runs, 2, 0, 10000, &t, NULL), 0);
        assert_true(t.n == 20000 && t.n_bins == TRUST_BINS && t.n_target == 0);
        uint64_t n = 0;
        for (unsigned b = 0; b < t.n_bins; b++) {
            n += t.bins[b].n;
            assert_in_range(t.bins[b].n, 1999, 2001);
            assert_true(t.bins[b].low < t.bins[b].rate && t.bins[b].rate < t.bins[b].high);
            assert_true(b == 0 || t.bins[b].p > t.bins[b - 1].p);
        }
        assert_int_equal(n, 20000);
        if (twice)
            assert_near(t.ece, sum, 0.01);
        else
            assert_true(t.ece < 0.012);
        for (int j = 0; j < 2; j++) outcome_run_free(&r[j]);
    }
}

static void refused_memory_is_an_error(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r;
    struct metrics m;
    struct metrics_lists l;
    struct trust t;
    struct err e;
    world_begin(&s, &r);
    world_random(&s, 100, 1);
    world_ranks(&s, &r, 2, 50);
    const struct outcome_run *runs[] = {&r};
    const uint32_t item = 3, one = 1;
    assert_int_equal(outcome_run_list(&r, &item, &one, 1, 4, &e), 0);
    mem_fail_at(1);
    assert_int_equal(metrics_of(&s, &r, 0, 100, NULL, 1, &m, &e), ERR_NOMEM);
    mem_fail_at(1);
    assert_int_equal(metrics_lists(&r, &l, &e), ERR_NOMEM);
    mem_fail_at(1);
    assert_int_equal(trust_of(runs, 1, 0, 100, &t, &e), ERR_NOMEM);
    mem_fail_at(0);
    r.n = 99;
    assert_int_equal(metrics_of(&s, &r, 0, 100, NULL, 1, &m, &e), ERR_RANGE);
    world_end(&s, &r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(baskets_hit_once),
        cmocka_unit_test(parts_equal_their_definition),
        cmocka_unit_test(parts_begin_where_they_say),
        cmocka_unit_test(quarters_keep_moments_whole),
        cmocka_unit_test(figures_have_names),
        cmocka_unit_test(the_tail_weighs_more),
        cmocka_unit_test(lists_by_hand),
        cmocka_unit_test(gini_equals_its_definition),
        cmocka_unit_test(trust_by_hand),
        cmocka_unit_test(trust_tells_true_from_untrue),
        cmocka_unit_test(refused_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
