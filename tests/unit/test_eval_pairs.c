/* Decayed counts of items and pairs, and the two baselines made of them against slow twins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/eval/baseline_priv.h"
#include "lib/eval/counts.h"
#include "lib/eval/pairs.h"
#include "tests/unit/eval_log.h"

#define HOUR INT64_C(3600000)

static double faded(int64_t from_ms, int64_t to_ms, int64_t half_life_ms) {
    return half_life_ms > 0 ? exp2(-(double)(to_ms - from_ms) / (double)half_life_ms) : 1;
}

static float count_of(const struct pairs *p, uint32_t from, uint32_t to, int64_t ts_ms) {
    const struct pairs_row *row = pairs_row(p, from);
    for (uint32_t k = 0; k < row->n; k++) {
        if (row->items[k] == to) return row->counts[k] * pairs_fade(p, ts_ms);
    }
    return 0;
}

/* Over many times FORWARD_MOST half-lives, so that everything is scaled now and then. */
static void counts_decay(void **state) {
    (void)state;
    enum { TIMES = 3000 };
    struct pairs *p = NULL;
    struct counts *c = NULL;
    assert_int_equal(pairs_new(8, 8, HOUR, &p, NULL), 0);
    assert_int_equal(counts_new(8, HOUR, &c, NULL), 0);
    double pairs[8][8] = {{0}}, counts[8] = {0};
    int64_t ts_ms = INT64_C(1700000000000), last = ts_ms;
    uint64_t at = 0;
    for (int n = 0; n < TIMES; n++, last = ts_ms) {
        ts_ms += log_below(&at, 20) ? (int64_t)log_below(&at, 600000) : 10 * HOUR;
        uint32_t from = log_below(&at, 8), to = log_below(&at, 8);
        for (uint32_t a = 0; a < 8; a++) {
            counts[a] *= faded(last, ts_ms, HOUR);
            for (uint32_t b = 0; b < 8; b++) pairs[a][b] *= faded(last, ts_ms, HOUR);
        }
        pairs[from][to] += 0.5;
        counts[from] += 2;
        assert_int_equal(pairs_add(p, from, to, 0.5f, ts_ms, NULL), 0);
        counts_add(c, from, 2, ts_ms);
        for (uint32_t a = 0; a < 8; a++) {
            assert_true(fabs((double)(c->of[a] * counts_fade(c, ts_ms)) - counts[a]) <= 1e-5 * counts[a] + 1e-9);
            for (uint32_t b = 0; b < 8; b++)
                assert_true(fabs((double)count_of(p, a, b, ts_ms) - pairs[a][b]) <= 1e-5 * pairs[a][b] + 1e-9);
        }
    }
    assert_true(ts_ms - INT64_C(1700000000000) > 10 * FORWARD_MOST * HOUR);
    pairs_free(p);
    counts_free(c);
}

static void a_full_row_gives_up_its_least(void **state) {
    (void)state;
    struct pairs *p = NULL;
    assert_int_equal(pairs_new(100, 6, 0, &p, NULL), 0);
    for (uint32_t to = 0; to < 6; to++)
        assert_int_equal(pairs_add(p, 9, to, (float)(to == 4 ? 1 : 2 + to), 0, NULL), 0);
    assert_int_equal(pairs_add(p, 9, 50, 1.5f, 0, NULL), 0);
    assert_int_equal(pairs_row(p, 9)->n, 6);
    assert_true(count_of(p, 9, 4, 0) == 0 && count_of(p, 9, 50, 0) == 1.5f && count_of(p, 9, 0, 0) == 2);
    assert_int_equal(pairs_row(p, 8)->n, 0);
    assert_true(pairs_size_bytes(p) >= 6 * 8);
    pairs_free(p);
}

static void refused_memory_leaves_counts(void **state) {
    (void)state;
    struct pairs *p = NULL;
    assert_int_equal(pairs_new(10, 100, 0, &p, NULL), 0);
    for (uint32_t to = 0; to < 4; to++) assert_int_equal(pairs_add(p, 1, to, 1, 0, NULL), 0);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        mem_fail_at(nth);
        assert_int_equal(pairs_add(p, 1, 7, 1, 0, NULL), ERR_NOMEM);
        assert_int_equal(pairs_row(p, 1)->n, 4);
    }
    mem_fail_at(0);
    assert_int_equal(pairs_add(p, 1, 7, 1, 0, NULL), 0);
    assert_true(count_of(p, 1, 7, 0) == 1 && count_of(p, 1, 3, 0) == 1);
    pairs_free(p);
    pairs_free(NULL);
    counts_free(NULL);
}

/* item-kNN from its definition: all counts anew for each question. */
static void itemknn_twin(const struct eval_log *log, uint32_t n, const struct itemknn_config *c, uint32_t user,
                         int64_t ts_ms, double *scores) {
    static double pairs[LOG_ITEMS][LOG_ITEMS], counts[LOG_ITEMS];
    uint32_t history[PAST_HISTORY];
    memset(pairs, 0, sizeof pairs);
    memset(counts, 0, sizeof counts);
    for (uint32_t e = 0; e < n; e++) {
        const struct past_event *ev = &log->events[e];
        uint32_t length = log_history(log, e, ev->user, history);
        double w = (double)ev->weight * faded(ev->ts_ms, ts_ms, c->half_life_ms);
        for (uint32_t k = 0; k < ev->n_items; k++) {
            uint32_t i = ev->items[k];
            if (log_used(log, e, ev->user, i) || log_again(ev, k)) continue;
            counts[i] += w;
            for (uint32_t r = 0; r < length && r < c->history; r++) {
                pairs[i][history[r]] += w * pow((double)c->pair_decay, r);
                pairs[history[r]][i] += w * pow((double)c->pair_decay, r);
            }
            for (uint32_t o = 0; o < k; o++) {
                if (log_again(ev, o) || o + c->history < k) continue;
                pairs[i][ev->items[o]] += w;
                pairs[ev->items[o]][i] += w;
            }
        }
    }
    uint32_t length = log_history(log, n, user, history);
    double alpha = c->alpha_quarters / 4.0, shrink = (double)c->shrink;
    for (uint32_t i = 0; i < LOG_ITEMS; i++) {
        scores[i] = 0;
        for (uint32_t r = 0; r < length && r < c->history; r++) {
            double norm = pow(counts[history[r]] + shrink, 1 - alpha) * pow(counts[i] + shrink, alpha);
            scores[i] += pow((double)c->query_decay, r) * pairs[history[r]][i] / norm;
        }
    }
}

static void itemknn_equals_its_twin(void **state) {
    (void)state;
    static const struct itemknn_config configs[] = {
        {90 * 24 * HOUR, 20, 0.8f, 0.4f, 5, 1, PAST_6_HOURS},
        {24 * HOUR, 6, 1, 1, 20, 0, PAST_7_DAYS},
        {0, 3, 0.5f, 0.9f, 0.5f, 2, PAST_1_DAY},
    };
    static struct eval_log log;
    uint32_t compared = 0;
    for (size_t q = 0; q < sizeof configs / sizeof *configs; q++) {
        struct eval_run r;
        log_fill(&log, 1 + q);
        run_begin(&r);
        assert_int_equal(base_itemknn_new(&configs[q], r.past, &r.b, NULL), 0);
        assert_ptr_equal(baseline_fallback(r.b), past_popularity(r.past, configs[q].fallback));
        for (uint32_t e = 0; e < log.n; e++) {
            const struct past_event *ev = &log.events[e];
            if (e % 7 == 0) {
                double expected[LOG_ITEMS];
                itemknn_twin(&log, e, &configs[q], ev->user, ev->ts_ms, expected);
                run_score(&r, ev->user, ev->ts_ms);
                compared += run_compare(&r, expected, 1e-4);
            }
            run_learn(&r, ev);
        }
        run_end(&r);
    }
    assert_true(compared > 3000);
}

static void rules_twin(const struct eval_log *log, uint32_t n, const struct rules_config *c, uint32_t user,
                       int64_t ts_ms, double *scores) {
    static double rules[LOG_ITEMS][LOG_ITEMS];
    uint32_t history[PAST_HISTORY];
    memset(rules, 0, sizeof rules);
    for (uint32_t e = 0; e < n; e++) {
        const struct past_event *ev = &log->events[e];
        uint32_t length = log_history(log, e, ev->user, history);
        double w = (double)ev->weight * faded(ev->ts_ms, ts_ms, c->half_life_ms);
        for (uint32_t k = 0; k < ev->n_items; k++) {
            uint32_t i = ev->items[k];
            if (log_again(ev, k)) continue;
            for (uint32_t r = 0; r < length && r < 10; r++) rules[history[r]][i] += history[r] != i ? w / (r + 1) : 0;
            for (uint32_t o = 0; o < k; o++) {
                if (log_again(ev, o)) continue;
                rules[i][ev->items[o]] += w;
                rules[ev->items[o]][i] += w;
            }
        }
    }
    uint32_t length = log_history(log, n, user, history);
    memset(scores, 0, LOG_ITEMS * sizeof *scores);
    for (uint32_t r = 0; r < length && r < 10; r++) {
        double sum = 10;
        for (uint32_t i = 0; i < LOG_ITEMS; i++) sum += rules[history[r]][i];
        for (uint32_t i = 0; i < LOG_ITEMS; i++)
            scores[i] += pow((double)c->query_decay, r) * rules[history[r]][i] / sum;
    }
}

static void rules_equal_their_twin(void **state) {
    (void)state;
    static const struct rules_config configs[] = {{0, 0, PAST_1_DAY}, {7 * 24 * HOUR, 0.6f, PAST_6_HOURS}};
    static struct eval_log log;
    uint32_t compared = 0;
    for (size_t q = 0; q < sizeof configs / sizeof *configs; q++) {
        struct eval_run r;
        log_fill(&log, 11 + q);
        run_begin(&r);
        assert_int_equal(base_rules_new(&configs[q], r.past, &r.b, NULL), 0);
        for (uint32_t e = 0; e < log.n; e++) {
            const struct past_event *ev = &log.events[e];
            if (e % 7 == 0) {
                double expected[LOG_ITEMS];
                rules_twin(&log, e, &configs[q], ev->user, ev->ts_ms, expected);
                run_score(&r, ev->user, ev->ts_ms);
                compared += run_compare(&r, expected, 1e-4);
            }
            run_learn(&r, ev);
        }
        run_end(&r);
    }
    assert_true(compared > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_decay),
        cmocka_unit_test(a_full_row_gives_up_its_least),
        cmocka_unit_test(refused_memory_leaves_counts),
        cmocka_unit_test(itemknn_equals_its_twin),
        cmocka_unit_test(rules_equal_their_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
