/* The summary of a backtest and what is written from it: figures, words, numbers, axes, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/eval/page.h"
#include "lib/eval/plot_priv.h"
#include "lib/eval/report.h"
#include "lib/eval/summary.h"
#include "lib/eval/words.h"
#include "tests/unit/eval_world.h"

enum { RUNS = 8, CASES = 3000, FROM = 600 };

struct backtest {
    struct outcome_set set;
    struct outcome_run run[RUNS];
    const struct outcome_run *list[RUNS];
    struct summary_input in;
};

/* Each model finds what is below its share; of 600 cases for choosing and 2400 for the figures. */
static void begin(struct backtest *x) {
    static const struct {
        const char *name, *settings;
        enum outcome_role role;
        uint64_t seed;
        uint32_t found_below;
    } models[RUNS] = {{"rankd", "a = 1\n", OUTCOME_TESTED, 1, 60},
                      {"knn", "k = 5", OUTCOME_BASELINE, 1, 50},
                      {"rankd", "a = 1\n", OUTCOME_TESTED, 2, 64},
                      {"pop", "", OUTCOME_BASELINE, 1, 10},
                      {"knn", "k = 9", OUTCOME_HINDSIGHT, 1, 52},
                      {"knn", "k = 1", OUTCOME_TRIED, 1, 30},
                      {"rankd without it", "a = 0\n", OUTCOME_ABLATION, 1, 62},
                      {"rankd", "a = 2\n", OUTCOME_VARIANT, 1, 58}};
    *x = (struct backtest){.in.n_runs = RUNS};
    world_set(&x->set);
    world_random(&x->set, CASES, 4);
    for (size_t i = 0; i < CASES; i++) x->set.cases[i].user = i % 500;
    x->set.figures_from = FROM;
    assert_int_equal(outcome_set_note(&x->set, "every", OUTCOME_NUMBER, "2", NULL), 0);
    assert_int_equal(outcome_set_note(&x->set, "log", OUTCOME_TEXT, "a \"b\"\x01", NULL), 0);
    assert_int_equal(outcome_set_note(&x->set, "repeats", OUTCOME_BOOL, "false", NULL), 0);
    for (int m = 0; m < RUNS; m++) {
        struct outcome_run *r = &x->run[m];
        x->list[m] = r;
        assert_int_equal(outcome_run_init(r, models[m].name, models[m].role, models[m].seed, models[m].settings, NULL),
                         0);
        for (uint64_t i = 0; i < CASES; i++) {
            uint32_t luck = draw_below(draw_bits(77, i), 100);
            bool found = luck < models[m].found_below;
            float p = m == 0 ? 0.5f : NAN;
            assert_int_equal(outcome_run_add(r, found ? luck % 30 : OUTCOME_MISS, p, p, NULL), 0);
        }
        r->events = 9000;
        r->wall_ns = 3000000000;
        r->cpu_ns = 1800000000;
        r->peak_bytes = (uint64_t)(m + 1) << 20;
    }
    x->in.set = &x->set;
    x->in.runs = x->list;
    x->in.figure = (struct figure){FIGURE_NDCG, 20};
    x->in.title = "a <log>";
    x->in.n_choosing = FROM;
    x->in.seed = 1;
}

static void end(struct backtest *x) {
    for (int m = 0; m < RUNS; m++) outcome_run_free(&x->run[m]);
    outcome_set_free(&x->set);
}

static void models_are_gathered(void **state) {
    (void)state;
    struct backtest x;
    struct summary s;
    struct metrics one, two;
    begin(&x);
    assert_int_equal(summary_make(&x.in, &s, NULL), 0);
    assert_true(s.from == FROM && s.to == CASES && s.n_models == RUNS - 1 && s.n_comparisons == 3);
    const struct summary_model *m = &s.models[s.tested];
    assert_true(s.tested == 0 && m->n_runs == 2 && m->runs[0] == &x.run[0] && m->runs[1] == &x.run[2]);
    assert_int_equal(metrics_of(&x.set, &x.run[0], FROM, CASES, NULL, 1, &one, NULL), 0);
    assert_int_equal(metrics_of(&x.set, &x.run[2], FROM, CASES, NULL, 1, &two, NULL), 0);
    double mean = (one.ndcg[METRICS_AT_20] + two.ndcg[METRICS_AT_20]) / 2;
    assert_near(summary_all(m)->ndcg[METRICS_AT_20], mean, 1e-12);
    assert_near(m->value, mean, 1e-12);
    assert_near(m->highest - m->lowest, two.ndcg[METRICS_AT_20] - one.ndcg[METRICS_AT_20], 1e-12);
    assert_near(m->deviation, (m->highest - m->lowest) / sqrt(2), 1e-12);
    assert_near(m->choosing,
                (figure_value(x.in.figure, &x.set, &x.run[0], 0, FROM) +
                 figure_value(x.in.figure, &x.set, &x.run[2], 0, FROM)) /
                    2,
                1e-12);
    assert_int_equal(summary_warmth(m, 0)->n + summary_warmth(m, 1)->n, CASES - FROM);
    assert_near(m->events_per_s, 5000, 1e-9);
    assert_near(m->cpu_us_an_event, 200, 1e-9);
    assert_true(m->peak_bytes == 3 << 20 && m->trust.n == CASES - FROM && m->learned == 9000);
    assert_string_equal(s.models[s.best_baseline].name, "knn");
    assert_string_equal(s.models[s.best_baseline].settings, "k = 5");
    static const char *const against[] = {"knn", "pop", "rankd without it"};
    for (unsigned i = 0; i < 3; i++) assert_string_equal(summary_against(&s, &s.comparisons[i])->name, against[i]);
    assert_true(s.comparisons[0].a.n == 2 && s.comparisons[1].verdict == COMPARE_BETTER);
    for (size_t i = 0; i < s.n_models; i++) {
        const struct summary_model *k = &s.models[i];
        assert_true(k->listed == (k->role != OUTCOME_TRIED && k->role != OUTCOME_VARIANT));
        assert_true(k->listed == (k->by[COHORT_HISTORY] != NULL) && !isnan(k->value) && !isnan(k->choosing));
    }
    for (size_t p = 1; p < s.n_parts[COHORT_WINDOW]; p++) assert_true(s.windows[p].from_ms >= s.windows[p - 1].to_ms);
    summary_free(&s);
    end(&x);
}

/* A run that was cut short cuts the figures of all, one that never came to figures is left out. */
static void stopped_runs(void **state) {
    (void)state;
    struct backtest x;
    struct summary s;
    begin(&x);
    x.run[1].n = 2000;
    x.run[5].n = 2900; /* was only tried */
    x.run[3].n = FROM;
    x.in.ended_early = true;
    assert_int_equal(summary_make(&x.in, &s, NULL), 0);
    assert_true(s.to == 2000 && s.n_models == RUNS - 3 && s.n_comparisons == 2);
    assert_int_equal(summary_all(&s.models[s.tested])->n, 2000 - FROM);
    struct buf b;
    buf_init(&b, 100000);
    words_findings(&s, &b);
    assert_non_null(strstr(b.p, "first 58\xC2\xA0% of the targets"));
    buf_free(&b);
    summary_free(&s);
    x.in.n_runs = 0;
    assert_int_equal(summary_make(&x.in, &s, NULL), 0);
    assert_true(s.n_models == 0 && s.tested == SUMMARY_NONE);
    summary_free(&s);
    end(&x);
}

static void check_verdict(const struct summary *s, enum words_tone tone, const char *expected) {
    struct buf b;
    buf_init(&b, 100000);
    assert_int_equal(words_verdict(s, &b), tone);
    assert_string_equal(b.p, expected);
    buf_free(&b);
}

static void verdicts_in_words(void **state) {
    (void)state;
    struct backtest x;
    struct summary s;
    begin(&x);
    assert_int_equal(summary_make(&x.in, &s, NULL), 0);
    struct compare *knn = &s.comparisons[0], *pop = &s.comparisons[1], *part = &s.comparisons[2];
    knn->verdict = pop->verdict = part->verdict = COMPARE_BETTER;
    check_verdict(&s, WORDS_GOOD, "rankd is better than every baseline.");
    part->verdict = COMPARE_WORSE;
    check_verdict(&s, WORDS_CAREFUL, "rankd is better than every baseline, but worse than itself without it.");
    pop->verdict = COMPARE_NOT_STEADY;
    check_verdict(&s, WORDS_CAREFUL,
                  "rankd is better than every baseline on the whole, but not in every part of the log, "
                  "and worse than itself without it.");
    pop->verdict = COMPARE_UNKNOWN;
    check_verdict(&s, WORDS_OPEN, "rankd cannot be told from pop: there is too little to compare.");
    knn->verdict = COMPARE_NOISE;
    check_verdict(&s, WORDS_OPEN, "rankd is not shown to be better than knn: the difference is inside the noise.");
    pop->verdict = COMPARE_WORSE;
    check_verdict(&s, WORDS_BAD, "rankd loses to pop.");
    knn->verdict = COMPARE_WORSE;
    check_verdict(&s, WORDS_BAD, "rankd loses to knn and pop.");
    s.tested = SUMMARY_NONE;
    check_verdict(&s, WORDS_BAD, "There is nothing to judge: no run of the model under test has come to its figures.");
    summary_free(&s);
    x.in.n_runs = 1;
    assert_int_equal(summary_make(&x.in, &s, NULL), 0);
    check_verdict(&s, WORDS_OPEN, "rankd stands alone: there is no baseline to judge it by.");
    summary_free(&s);
    end(&x);
}

static void comparisons_in_words(void **state) {
    (void)state;
    struct backtest x;
    struct summary s;
    struct buf b;
    begin(&x);
    buf_init(&b, 100000);
    assert_int_equal(summary_make(&x.in, &s, NULL), 0);
    struct compare *c = &s.comparisons[0];
    c->verdict = COMPARE_NOISE;
    c->ratio = 0.994;
    c->by[c->wider].low = 0.968;
    c->by[c->wider].high = 1.021;
    c->detectable = 0.0371;
    words_comparison(&s, c, &b);
    assert_string_equal(b.p, "Against knn, rankd is at " PAGE_MINUS "0.6" PAGE_PERCENT " (95" PAGE_PERCENT
                             " interval " PAGE_MINUS "3.2 to +2.1" PAGE_PERCENT "): inside the noise; this log could "
                             "have shown a difference of 3.7" PAGE_PERCENT ".");
    buf_clear(&b);
    c->verdict = COMPARE_NOT_STEADY;
    c->n_weak = 1;
    c->weak[0] = (struct compare_part){.kind = COHORT_HISTORY, .part = 0, .share = 0.25, .ratio = 0.9};
    s.comparisons[1].n_weak = 1;
    s.comparisons[1].weak[0] = (struct compare_part){.kind = COHORT_HISTORY, .part = 0, .share = 0.25, .ratio = 0.8};
    words_findings(&s, &b);
    assert_non_null(strstr(b.p, "Worse in a part (items in the user's history: none, 25" PAGE_PERCENT
                                " of the targets) than knn (" PAGE_MINUS "10.0" PAGE_PERCENT "), pop (" PAGE_MINUS
                                "20.0" PAGE_PERCENT ").\n"));
    assert_null(strstr(strstr(b.p, "Worse in a part") + 1, "Worse in a part"));
    buf_free(&b);
    summary_free(&s);
    end(&x);
}

static double at(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    if (!v) fail_msg("no %s", key);
    return json_number_value(v);
}

static const char *word(const json_t *o, const char *key) {
    const char *v = json_string_value(json_object_get(o, key));
    if (!v) fail_msg("no %s", key);
    return v;
}

static json_t *report_of(const struct summary *s) {
    struct buf b;
    json_error_t e;
    buf_init(&b, REPORT_BYTES_MOST);
    report_json(s, &b);
    assert_false(b.failed);
    json_t *root = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES, &e);
    if (!root) fail_msg("%s at %d", e.text, e.position);
    buf_free(&b);
    return root;
}

static void json_holds_the_figures(void **state) {
    (void)state;
    struct backtest x;
    struct summary s;
    begin(&x);
    assert_int_equal(summary_make(&x.in, &s, NULL), 0);
    json_t *root = report_of(&s);
    const json_t *protocol = json_object_get(root, "protocol"), *models = json_object_get(root, "models");
    assert_true(at(protocol, "every") == 2 && at(protocol, "judged") == CASES - FROM);
    assert_string_equal(word(protocol, "log"), "a \"b\"\x01");
    assert_string_equal(word(protocol, "decides"), "ndcg@20");
    assert_true(json_is_false(json_object_get(protocol, "repeats")));
    assert_string_equal(word(root, "title"), "a <log>");
    assert_int_equal(json_array_size(models), 5);
    assert_int_equal(json_array_size(json_object_get(root, "tried")), s.n_models);
    assert_int_equal(json_array_size(json_object_get(root, "types")), 2);
    const json_t *m = json_array_get(models, 0);
    const struct metrics *all = summary_all(&s.models[0]);
    assert_string_equal(word(m, "name"), "rankd");
    assert_string_equal(word(m, "role"), "tested");
    assert_true(at(m, "events") == CASES - FROM && at(m, "events_per_s") == s.models[0].events_per_s);
    assert_true(at(m, "ndcg@20") == all->ndcg[2] && at(m, "recall@20") == all->recall[2] &&
                at(m, "mrr@20") == all->mrr[2]);
    assert_true(at(m, "ndcg@100") == all->ndcg[4] && at(m, "hit@5") == all->hit[0]);
    assert_true(at(json_object_get(m, "cold"), "events") == (double)summary_warmth(&s.models[0], 1)->n);
    assert_true(at(json_object_get(m, "calibration"), "ece") == s.models[0].trust.ece);
    assert_int_equal(json_array_size(json_object_get(m, "seeds")), 2);
    assert_int_equal(json_array_size(json_object_get(m, "windows")), s.n_parts[COHORT_WINDOW]);
    const json_t *types = json_object_get(json_object_get(m, "cohorts"), "type");
    assert_string_equal(word(json_array_get(types, 1), "part"), "purchase");
    assert_true(at(json_array_get(types, 1), "ndcg@20") == s.models[0].by[COHORT_TYPE][1].ndcg[2]);
    const json_t *c = json_array_get(json_object_get(root, "comparisons"), 0);
    assert_string_equal(word(c, "against"), "knn");
    assert_string_equal(word(c, "verdict"), compare_verdict_key(s.comparisons[0].verdict));
    assert_true(at(c, "ratio") == s.comparisons[0].ratio && at(c, "p_holm") == s.comparisons[0].p_holm);
    assert_true(at(json_object_get(c, "time"), "low") == s.comparisons[0].by[COMPARE_BY_TIME].low);
    json_decref(root);
    summary_free(&s);
    x.in.n_runs = 0;
    assert_int_equal(summary_make(&x.in, &s, NULL), 0);
    json_decref(report_of(&s));
    summary_free(&s);
    end(&x);
}

static void refused_memory_is_an_error(void **state) {
    (void)state;
    struct backtest x;
    struct summary s = {.n_models = 99};
    struct err e;
    begin(&x);
    int rc = ERR_NOMEM;
    uint64_t nth = 1;
    for (; rc; nth++) {
        mem_fail_at(nth);
        rc = summary_make(&x.in, &s, &e);
        mem_fail_at(0);
        assert_true(rc == 0 || (rc == ERR_NOMEM && s.n_models == 99));
    }
    assert_true(nth > 100);
    bool failed = true;
    for (nth = 1; failed; nth++) {
        struct buf b;
        buf_init(&b, REPORT_BYTES_MOST);
        mem_fail_at(nth);
        if (nth % 2)
            report_html(&s, &b);
        else
            report_json(&s, &b);
        mem_fail_at(0);
        failed = b.failed || nth < 40;
        buf_free(&b);
    }
    summary_free(&s);
    end(&x);
}

#define check_page(call, expected)                                                                                     \
    do {                                                                                                               \
        struct buf b;                                                                                                  \
        buf_init(&b, 1000);                                                                                            \
        call;                                                                                                          \
        assert_string_equal(b.p, expected);                                                                            \
        buf_free(&b);                                                                                                  \
    } while (0)

static void numbers_for_people(void **state) {
    (void)state;
    check_page(page_fixed(&b, 0.24756, 4), "0.2476");
    check_page(page_fixed(&b, 0.0001, 4), "0.0001");
    check_page(page_fixed(&b, 0.0100, 4), "0.0100");
    check_page(page_fixed(&b, 1.99996, 4), "2.0000");
    check_page(page_fixed(&b, -0.00001, 4), "0.0000");
    check_page(page_fixed(&b, -12.345, 1), PAGE_MINUS "12.3");
    check_page(page_fixed(&b, 12.6, 0), "13");
    check_page(page_fixed(&b, NAN, 2), PAGE_DASH);
    check_page(page_fixed(&b, INFINITY, 0), "1000000000");
    check_page(page_coordinate(&b, -3.25), "-3.3");
    check_page(page_coordinate(&b, 100), "100.0");
    check_page(page_count(&b, 0), "0");
    check_page(page_count(&b, 999), "999");
    check_page(page_count(&b, 1234567), "1,234,567");
    check_page(page_share(&b, 0.123), "12" PAGE_PERCENT);
    check_page(page_share(&b, 0.0123), "1.2" PAGE_PERCENT);
    check_page(page_share(&b, 0), "0" PAGE_PERCENT);
    check_page(page_change(&b, 1.0234), "+2.3" PAGE_PERCENT);
    check_page(page_change(&b, 1.0002), "0.0" PAGE_PERCENT);
    check_page(page_change(&b, 0.4), PAGE_MINUS "60.0" PAGE_PERCENT);
    check_page(page_change(&b, 3.21), "3.2\xC2\xA0times");
    check_page(page_change(&b, INFINITY), "endlessly");
    check_page(page_range(&b, 0.99, 1.05), PAGE_MINUS "1.0 to +5.0" PAGE_PERCENT);
    check_page(page_range(&b, 1.5, 2.5), "+50.0" PAGE_PERCENT " to 2.5\xC2\xA0times");
    check_page(page_range(&b, 11, 13.4), "11 to 13\xC2\xA0times");
    check_page(page_bytes(&b, 999), "999\xC2\xA0"
                                    "bytes");
    check_page(page_bytes(&b, 55099392), "55.1\xC2\xA0MB");
    check_page(page_bytes(&b, 200000000), "200\xC2\xA0MB");
    check_page(page_date(&b, INT64_C(1396310400000)), "2014-04-01");
    check_page(page_time(&b, INT64_C(1396310400000)), "2014-04-01 00:00");
    check_page(page_date(&b, -1), PAGE_DASH);
    check_page(page_escape(&b, "<a href=\"x\">&'\n\t\x01\x7F\xFF\xC3\xA4</a>"),
               "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\n\t\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA4&lt;/a&gt;");
}

static void steps_of_an_axis(void **state) {
    (void)state;
    assert_near(plot_step(1, 5), 0.2, 1e-12);
    assert_near(plot_step(0.18, 5), 0.05, 1e-12);
    assert_near(plot_step(0.26, 5), 0.1, 1e-12);
    assert_near(plot_step(12.5, 5), 2.5, 1e-12);
    assert_near(plot_step(0.05, 1), 0.05, 1e-12);
    assert_near(plot_step(1e-9, 5) / 2e-10, 1, 1e-9);
}

static void check_ticks(const char *from, const char *to, unsigned most, const char *expected) {
    struct plot_tick ticks[PLOT_TICKS_MOST];
    struct buf b;
    int64_t a = 0, z = 0, before = -1;
    assert_true(clock_parse(slice_str(from), &a) && clock_parse(slice_str(to), &z));
    unsigned n = plot_time_ticks(a, z, most, ticks);
    buf_init(&b, 1000);
    buf_add_str(&b, "");
    for (unsigned i = 0; i < n; i++) {
        assert_true(ticks[i].ts_ms >= a && ticks[i].ts_ms <= z && ticks[i].ts_ms > before);
        before = ticks[i].ts_ms;
        buf_printf(&b, "%s%s", i > 0 ? "|" : "", ticks[i].label);
    }
    assert_string_equal(b.p, expected);
    buf_free(&b);
}

static void ticks_of_time(void **state) {
    (void)state;
    check_ticks("2014-04-01T03:10:00Z", "2014-04-01T08:10:00Z", 6, "04:00|05:00|06:00|07:00|08:00");
    check_ticks("2014-04-01T13:10:00Z", "2014-04-02T13:10:00Z", 5, "18:00|2 Apr|06:00|12:00");
    check_ticks("2014-04-01T03:10:00Z", "2014-04-07T23:10:00Z", 8, "2 Apr|3 Apr|4 Apr|5 Apr|6 Apr|7 Apr");
    check_ticks("2010-12-01T08:26:00Z", "2011-12-09T12:50:00Z", 8, "Jan 2011|Mar|May|Jul|Sep|Nov");
    check_ticks("2010-12-01T00:00:00Z", "2011-12-09T12:50:00Z", 16,
                "Dec 2010|Jan 2011|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec");
    check_ticks("1971-06-01T00:00:00Z", "2031-12-09T12:50:00Z", 8,
                "Jan 1980|Jan 1990|Jan 2000|Jan 2010|Jan 2020|Jan 2030");
    check_ticks("2014-04-01T03:10:00Z", "2014-04-01T03:10:00Z", 8, "");
    struct plot_tick ticks[PLOT_TICKS_MOST];
    assert_int_equal(plot_time_ticks(-5, 5, 8, ticks), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_gathered),    cmocka_unit_test(stopped_runs),
        cmocka_unit_test(verdicts_in_words),      cmocka_unit_test(comparisons_in_words),
        cmocka_unit_test(json_holds_the_figures), cmocka_unit_test(refused_memory_is_an_error),
        cmocka_unit_test(numbers_for_people),     cmocka_unit_test(steps_of_an_axis),
        cmocka_unit_test(ticks_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
