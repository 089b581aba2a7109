/* What holds for every baseline at every point of its grid: the same bits again, questions without traces, planted
 * structure found, used items left out of lists, and refused memory. BPR against a slow twin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/eval/baseline_priv.h"
#include "tests/unit/eval_log.h"

static void begin(struct eval_run *r, const struct baseline_kind *kind, uint32_t config, uint64_t seed) {
    run_begin(r);
    assert_int_equal(baseline_new(kind, config, r->past, seed, &r->b, NULL), 0);
}

static void the_table_is_sound(void **state) {
    (void)state;
    for (uint32_t k = 0; k < baseline_n_kinds; k++) {
        const struct baseline_kind *kind = baseline_kinds[k];
        assert_ptr_equal(baseline_find(kind->name), kind);
        assert_true(kind->n_configs >= 1 && kind->n_configs <= 16 && strlen(kind->paper) > 5);
        char texts[16][BASELINE_TEXT];
        for (uint32_t c = 0; c < kind->n_configs; c++) {
            baseline_describe(kind, c, texts[c]);
            assert_true(strlen(texts[c]) > 5 && strlen(texts[c]) < BASELINE_TEXT - 1);
            for (uint32_t o = 0; o < c; o++) assert_string_not_equal(texts[o], texts[c]);
        }
    }
    assert_null(baseline_find("no such"));
    baseline_free(NULL);
}

/* Scores at the end of a log, of each user; ask: questions between the events, which must leave no trace. */
static void scores_at_end(const struct baseline_kind *kind, uint32_t config, uint64_t seed, bool ask,
                          float (*scores)[LOG_ITEMS]) {
    static struct eval_log log;
    struct eval_run r;
    log_fill(&log, 31);
    begin(&r, kind, config, seed);
    for (uint32_t e = 0; e < log.n; e++) {
        if (ask) run_score(&r, log.events[e].user, log.events[e].ts_ms);
        run_learn(&r, &log.events[e]);
    }
    for (uint32_t u = 0; u < LOG_USERS; u++) {
        run_score(&r, u, log.events[log.n - 1].ts_ms + 1000);
        memcpy(scores[u], r.scores->of, sizeof scores[u]);
    }
    assert_true(baseline_size_bytes(r.b) > 0);
    run_end(&r);
}

static void the_same_again_and_questions_leave_no_trace(void **state) {
    (void)state;
    static float scores[3][LOG_USERS][LOG_ITEMS];
    for (uint32_t k = 0; k < baseline_n_kinds; k++) {
        const struct baseline_kind *kind = baseline_kinds[k];
        for (uint32_t c = 0; c < kind->n_configs; c++) {
            scores_at_end(kind, c, 7, false, scores[0]);
            scores_at_end(kind, c, 7, true, scores[1]);
            scores_at_end(kind, c, 8, false, scores[2]);
            assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
            bool draws = memcmp(scores[0], scores[2], sizeof scores[0]) != 0;
            assert_int_equal(draws, kind == &base_bpr);
        }
    }
}

static void without_history_the_order_is_popularity(void **state) {
    (void)state;
    static const uint32_t basket[] = {4, 9};
    for (uint32_t k = 0; k < baseline_n_kinds; k++) {
        struct eval_run r;
        begin(&r, baseline_kinds[k], 0, 1);
        for (int n = 0; n < 3; n++) run_learn(&r, &(struct past_event){1000 + n, 0, basket, 2, 1});
        run_score(&r, 1, 2000);
        assert_int_equal(r.scores->n, 0);
        assert_true(baseline_fallback(r.b)[9] > 0);
        run_end(&r);
    }
}

/* Asks as a backtest does. */
static uint32_t best_items(struct eval_run *r, struct ranking *ranking, uint32_t user, int64_t ts_ms, uint32_t *best,
                           uint32_t k) {
    run_score(r, user, ts_ms);
    struct ranking_question q = {.scores = r->scores, .fallback = baseline_fallback(r->b), .k = k};
    q.candidates = past_candidates(r->past, &q.n_candidates);
    q.is_candidate = past_is_candidate(r->past);
    q.excluded = past_used_items(r->past, user, &q.n_excluded);
    uint32_t n;
    ranking_ask(ranking, &q, NULL, best, &n);
    return n;
}

static void used_items_are_left_out_and_places_filled(void **state) {
    (void)state;
    static struct eval_log log;
    struct ranking *ranking = NULL;
    log_fill(&log, 32);
    assert_int_equal(ranking_new(LOG_ITEMS, &ranking, NULL), 0);
    for (uint32_t k = 0; k < baseline_n_kinds; k++) {
        struct eval_run r;
        begin(&r, baseline_kinds[k], 0, 1);
        for (uint32_t e = 0; e < log.n; e++) {
            const struct past_event *ev = &log.events[e];
            uint32_t best[LOG_ITEMS], n_candidates, n_used;
            uint32_t n = best_items(&r, ranking, ev->user, ev->ts_ms, best, LOG_ITEMS);
            past_candidates(r.past, &n_candidates);
            past_used_items(r.past, ev->user, &n_used);
            assert_int_equal(n, n_candidates - n_used);
            for (uint32_t q = 0; q < n; q++) assert_false(past_used(r.past, ev->user, best[q]));
            run_learn(&r, ev);
        }
        run_end(&r);
    }
    ranking_free(ranking);
}

/* Items 2k and 2k + 1 always come together, one after the other, the pairs in any order; the last user has taken one.
 */
static void planted_pairs_are_found(void **state) {
    (void)state;
    struct ranking *ranking = NULL;
    assert_int_equal(ranking_new(LOG_ITEMS, &ranking, NULL), 0);
    for (uint32_t k = 0; k < baseline_n_kinds; k++) {
        const struct baseline_kind *kind = baseline_kinds[k];
        for (uint32_t c = 0; c < kind->n_configs && kind != &base_popularity && kind != &base_bpr; c++) {
            struct eval_run r;
            begin(&r, kind, c, 1);
            int64_t ts_ms = INT64_C(1700000000000);
            uint64_t at = 0;
            for (uint32_t user = 0; user < LOG_USERS - 1; user++) {
                for (uint32_t n = 0; n < 8; n++, ts_ms += 7200000) {
                    uint32_t first = 2 * log_below(&at, LOG_ITEMS / 2), second = first + 1;
                    run_learn(&r, &(struct past_event){ts_ms, user, &first, 1, 1});
                    run_learn(&r, &(struct past_event){ts_ms + 60000, user, &second, 1, 1});
                }
            }
            uint32_t first = 8, best;
            run_learn(&r, &(struct past_event){ts_ms, LOG_USERS - 1, &first, 1, 1});
            assert_int_equal(best_items(&r, ranking, LOG_USERS - 1, ts_ms + 60000, &best, 1), 1);
            if (best != first + 1) fail_msg("%s, point %u: item %u", kind->name, c, best);
            run_end(&r);
        }
    }
    ranking_free(ranking);
}

/* Even users take even items: an item of the own kind that the user has not met scores higher, in the mean. */
static void planted_tastes_are_found(void **state) {
    (void)state;
    static const struct bpr_config configs[] = {{0.2f, 0.02f, PAST_1_DAY}, {0.5f, 0, PAST_1_DAY}};
    for (int c = 0; c < 2; c++) {
        struct eval_run r;
        run_begin(&r);
        assert_int_equal(base_bpr_new(&configs[c], r.past, 1, &r.b, NULL), 0);
        uint64_t at = 0;
        for (int n = 0; n < 20000; n++) {
            uint32_t user = log_below(&at, LOG_USERS), item = 2 * log_below(&at, LOG_ITEMS / 2) + user % 2;
            /* each user lacks 8 items of the own kind */
            if ((item / 2 + user / 2) % 5 < 2) continue;
            run_learn(&r, &(struct past_event){1000 + n, user, &item, 1, 1});
        }
        double sum[2] = {0};
        uint32_t count[2] = {0};
        for (uint32_t user = 0; user < LOG_USERS; user++) {
            run_score(&r, user, 100000);
            for (uint32_t i = 0; i < LOG_ITEMS; i++) {
                if (past_used(r.past, user, i)) continue;
                bool own = i % 2 == user % 2;
                sum[own] += (double)r.scores->of[i];
                count[own]++;
            }
        }
        assert_true(count[0] == LOG_USERS * LOG_ITEMS / 2 && count[1] >= LOG_USERS * 6);
        assert_true(sum[1] / count[1] > sum[0] / count[0] + 0.02);
        run_end(&r);
    }
}

/* BPR step by step, from the formulas, in double. */
enum { DIM = 64 };

static void twin_start(uint64_t seed, enum draw_purpose purpose, uint32_t row, double *out) {
    float values[DIM];
    draw_start_row(seed, purpose, (struct slice){(const char *)&row, sizeof row}, 0.05f, values, DIM);
    for (int d = 0; d < DIM; d++) out[d] = (double)values[d];
}

struct bpr_twin {
    double p[LOG_USERS][DIM], q[LOG_ITEMS][DIM], bias[LOG_ITEMS];
    bool learned[LOG_ITEMS];
};

static double twin_x(const struct bpr_twin *t, uint32_t u, uint32_t i) {
    double x = t->bias[i];
    for (int d = 0; d < DIM; d++) x += t->p[u][d] * t->q[i][d];
    return x;
}

static void twin_step(struct bpr_twin *t, uint32_t u, uint32_t i, uint32_t j, double w, double rate, double reg) {
    double g = w / (1 + exp(twin_x(t, u, i) - twin_x(t, u, j)));
    for (int d = 0; d < DIM; d++) {
        double p = t->p[u][d], qi = t->q[i][d], qj = t->q[j][d];
        t->p[u][d] += rate * (g * (qi - qj) - reg * p);
        t->q[i][d] += rate * (g * p - reg * qi);
        t->q[j][d] += rate * (-g * p - reg * qj);
    }
    t->bias[i] += rate * (g - reg * t->bias[i]);
    t->bias[j] += rate * (-g - reg * t->bias[j]);
}

static void twin_learn(struct bpr_twin *t, const struct eval_log *log, uint32_t e, const struct past *past,
                       uint64_t seed, const struct bpr_config *c) {
    const struct past_event *ev = &log->events[e];
    uint32_t n;
    const uint32_t *candidates = past_candidates(past, &n);
    for (uint32_t k = 0; k < ev->n_items && ev->weight > 0; t->learned[ev->items[k++]] = true) {
        if (log_used(log, e, ev->user, ev->items[k]) || log_again(ev, k)) continue;
        struct draw_place at = {.offset = e, .index = k};
        uint64_t key = draw_key(seed, &at, DRAW_NEGATIVES);
        for (uint32_t m = 0; m < 8 && n > 0; m++) {
            uint32_t try = 0, j = UINT32_MAX;
            for (; try < 10; try++) {
                j = candidates[draw_below(draw_bits(key, m * 10 + try), n)];
                if (t->learned[j] && j != ev->items[k] && !log_used(log, e, ev->user, j)) break;
            }
            if (try < 10) twin_step(t, ev->user, ev->items[k], j, (double)ev->weight, (double)c->rate, (double)c->reg);
        }
    }
}

static void bpr_equals_its_twin(void **state) {
    (void)state;
    static struct eval_log log;
    static struct bpr_twin twin;
    static const struct bpr_config config = {0.1f, 0.02f, PAST_1_DAY};
    const uint64_t seed = 99;
    struct eval_run r;
    uint32_t compared = 0;
    log_fill(&log, 41);
    memset(&twin, 0, sizeof twin);
    for (uint32_t u = 0; u < LOG_USERS; u++) twin_start(seed, DRAW_START_USER, u, twin.p[u]);
    for (uint32_t i = 0; i < LOG_ITEMS; i++) twin_start(seed, DRAW_START_ITEM, i, twin.q[i]);
    run_begin(&r);
    assert_int_equal(base_bpr_new(&config, r.past, seed, &r.b, NULL), 0);
    for (uint32_t e = 0; e < log.n; e++) {
        const struct past_event *ev = &log.events[e];
        double expected[LOG_ITEMS] = {0};
        uint32_t history[PAST_HISTORY];
        for (uint32_t i = 0; i < LOG_ITEMS && log_history(&log, e, ev->user, history) > 0; i++)
            expected[i] = twin.learned[i] ? twin_x(&twin, ev->user, i) : 0;
        run_score(&r, ev->user, ev->ts_ms);
        compared += run_compare(&r, expected, 1e-3);
        twin_learn(&twin, &log, e, r.past, seed, &config);
        run_learn(&r, ev);
    }
    assert_true(compared > 5000);
    run_end(&r);
}

static void memory_may_be_refused(void **state) {
    (void)state;
    static struct eval_log log;
    log_fill(&log, 51);
    for (uint32_t k = 0; k < baseline_n_kinds; k++) {
        struct eval_run r;
        run_begin(&r);
        int rc = ERR_NOMEM;
        uint64_t nth = 0;
        while (rc == ERR_NOMEM) {
            mem_fail_at(++nth);
            rc = baseline_new(baseline_kinds[k], 0, r.past, 1, &r.b, NULL);
            mem_fail_at(0);
            if (rc == ERR_NOMEM) assert_null(r.b);
        }
        assert_true(rc == 0 && nth > 1);
        uint32_t refused = 0;
        for (uint32_t e = 0; e < log.n && refused == 0; e++) {
            mem_fail_at(3);
            rc = baseline_learn(r.b, &log.events[e], NULL);
            mem_fail_at(0);
            refused += rc == ERR_NOMEM;
            if (rc == 0) assert_int_equal(past_learn(r.past, &log.events[e], NULL), 0);
        }
        bool grows = baseline_kinds[k] != &base_popularity && baseline_kinds[k] != &base_bpr;
        assert_int_equal(refused, grows);
        run_end(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(the_same_again_and_questions_leave_no_trace),
        cmocka_unit_test(without_history_the_order_is_popularity),
        cmocka_unit_test(used_items_are_left_out_and_places_filled),
        cmocka_unit_test(planted_pairs_are_found),
        cmocka_unit_test(planted_tastes_are_found),
        cmocka_unit_test(bpr_equals_its_twin),
        cmocka_unit_test(memory_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
