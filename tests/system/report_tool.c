/* Writes the report of an invented backtest: report_tool SCENARIO DIRECTORY makes report.html and report.json there. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/draw.h"
#include "lib/eval/outcome.h"
#include "lib/eval/report.h"
#include "lib/eval/summary.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)
#define MOST 64 /* runs */

struct shop {
    struct outcome_set set;
    struct outcome_run runs[MOST];
    const struct outcome_run *list[MOST];
    size_t n;
};

static uint64_t bits_of(uint64_t purpose, uint64_t i) { return draw_bits(draw_mix(purpose), i); }
static double unit_of(uint64_t purpose, uint64_t i) { return (double)draw_unit(bits_of(purpose, i)); }

static void add_types(struct outcome_set *s, const char *const *names, const uint64_t *events, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint16_t index;
        CHECK(outcome_set_type(s, slice_str(names[i]), &index, NULL) == 0);
        s->types[index].events = events[i];
        s->types[index].configured = i < 2;
    }
}

/* Targets over a number of days, more by day than by night; a fifth of them choose. */
static void add_cases(struct outcome_set *s, size_t n, int64_t days) {
    for (uint64_t i = 0; i < n; i++) {
        double progress = (double)i / (double)n * (double)days, hour = progress - floor(progress);
        int64_t ts =
            INT64_C(1396310400000) + (int64_t)(floor(progress) * (double)DAY) + (int64_t)(sqrt(hour) * (double)DAY);
        uint32_t popular = (uint32_t)(unit_of(2, i) * unit_of(3, i) * unit_of(4, i) * 3000);
        struct outcome_case c = {.ts_ms = ts,
                                 .user = bits_of(1, i / 3) % (n / 4 + 1),
                                 .item_age_ms = popular ? (int64_t)(unit_of(5, i) * (double)(ts - 1396310000000)) : -1,
                                 .item_events = popular,
                                 .history = (uint32_t)(i % 3 ? i % 3 + 6 * (bits_of(6, i) % 3) : 0),
                                 .type = unit_of(7, i) < 0.8 ? 0 : (uint16_t)(bits_of(8, i) % s->n_types),
                                 .feature = s->n_features ? (uint16_t)(bits_of(9, i) % s->n_features) : 0,
                                 .flags = i % 3 ? OUTCOME_RECENT : 0};
        if (i == n / 5) outcome_set_figures_begin(s);
        CHECK(outcome_set_add(s, &c, NULL) == 0);
    }
}

/* A model that finds a share of the targets, fewer without history and of rare items; good: what share, early and late.
 */
static void add_run(struct shop *x, const char *name, enum outcome_role role, uint64_t seed, const char *settings,
                    double early, double late, bool probabilities) {
    CHECK(x->n < MOST);
    struct outcome_run *r = &x->runs[x->n];
    x->list[x->n++] = r;
    CHECK(outcome_run_init(r, name, role, seed, settings, NULL) == 0);
    for (uint64_t i = 0; i < x->set.n; i++) {
        const struct outcome_case *c = &x->set.cases[i];
        double ease = (c->history ? 1.2 : 0.5) * (c->item_events > 20 ? 1.1 : 0.7) * (outcome_cold(c) ? 0 : 1);
        double share = (early + (late - early) * (double)i / (double)x->set.n) * ease;
        double luck =
            0.85 * unit_of(20, i) + 0.15 * unit_of(21 + seed + 100 * strlen(name) + (unsigned char)name[1], i);
        bool found = luck < share;
        uint32_t rank = found ? (uint32_t)(luck / share * luck / share * 30) : (uint32_t)(25 + bits_of(22, i) % 2000);
        float p = (float)(share * 0.3);
        CHECK(outcome_run_add(r, rank, probabilities ? (found ? p : p / 50) : NAN, probabilities ? p : NAN, NULL) == 0);
        uint32_t items[20], events[20];
        for (uint32_t k = 0; k < 20; k++) {
            items[k] = (uint32_t)(pow(unit_of(30 + k, i), 1 + 2 * early) * 4000);
            events[k] = 4000 - items[k];
        }
        if (i % 4 == 0) CHECK(outcome_run_list(r, items, events, 20, 1 + 40 * i + 8000000, NULL) == 0);
    }
    r->n_candidates = 4100;
    r->events = 2 * x->set.n;
    r->cpu_ns = (uint64_t)(early * 1e10);
    r->wall_ns = r->cpu_ns + 1000000;
    r->peak_bytes = (uint64_t)(early * 4e8);
}

static const char settings[] = "model.dim = 64\nmodel.history = 20\nlearn.negatives = 64\n";

/* The usual baselines around a level, with their grids. */
static void add_baselines(struct shop *x, double level) {
    static const struct {
        const char *name;
        double of_level;
    } baselines[] = {{"popularity", 0.25}, {"bpr", 0.26},    {"sequential-rules", 0.93},
                     {"item-knn", 0.96},   {"v-sknn", 0.95}, {"stan", 0.96},
                     {"vstan", 0.98}};
    for (size_t i = 0; i < sizeof baselines / sizeof *baselines; i++) {
        double share = level * baselines[i].of_level;
        add_run(x, baselines[i].name, OUTCOME_BASELINE, 1, "half-life = 1 day, neighbours = 100", share, share, false);
        add_run(x, baselines[i].name, OUTCOME_TRIED, 1, "half-life = 6 hours, neighbours = 100", share * 0.9,
                share * 0.9, false);
    }
    add_run(x, "item-knn", OUTCOME_HINDSIGHT, 1, "half-life = 7 days, neighbours = 500", level * 0.97, level * 0.97,
            false);
}

static void add_ablations(struct shop *x, double level) {
    static const struct {
        const char *name;
        double of_level;
    } ablations[] = {{"rankd without embeddings", 0.95},       {"rankd without forward neighbours", 0.9},
                     {"rankd without backward neighbours", 1}, {"rankd without direct successors", 0.99},
                     {"rankd without trends", 0.97},           {"rankd without blend learning", 0.98}};
    for (size_t i = 0; i < sizeof ablations / sizeof *ablations; i++)
        add_run(x, ablations[i].name, OUTCOME_ABLATION, 1, settings, level * ablations[i].of_level,
                level * ablations[i].of_level, false);
}

static void note(struct shop *x, const char *key, enum outcome_note_kind kind, const char *value) {
    CHECK(outcome_set_note(&x->set, key, kind, value, NULL) == 0);
}

/* rankd with `seeds` seeds and shares, among baselines. */
static void fill(struct shop *x, int64_t days, double early, double late, uint64_t seeds, bool probabilities) {
    static const char *const types[] = {"click", "purchase", "view"};
    static const uint64_t events[] = {71250, 9876, 2720};
    add_types(&x->set, types, events, 3);
    add_cases(&x->set, 24000, days);
    note(x, "log", OUTCOME_TEXT, "shop-2014.tsv.gz");
    note(x, "baskets", OUTCOME_TEXT, "whole");
    note(x, "repeats", OUTCOME_BOOL, "false");
    note(x, "every", OUTCOME_NUMBER, "2");
    note(x, "skip", OUTCOME_NUMBER, "0.2");
    for (uint64_t seed = 1; seed <= seeds; seed++)
        add_run(x, "rankd", OUTCOME_TESTED, seed, settings, early, late, probabilities);
    for (int k = 0; k < 6; k++) {
        char text[64];
        (void)snprintf(text, sizeof text, "model.dim = %d\n", 16 << k);
        add_run(x, "rankd", OUTCOME_VARIANT, 1, text, early * (0.9 + 0.01 * k), late * (0.9 + 0.01 * k), false);
    }
    add_baselines(x, 0.42);
    add_ablations(x, early);
}

#define HOSTILE "<script>alert('x')</script>&amp;\"><img src=x onerror=alert(1)>"

/* Names of every unpleasant kind, one baseline, a feature of many values, stopped early. */
static void fill_wild(struct shop *x) {
    static const char *const types[] = {HOSTILE, "click\x01\xFF\xC3",
                                        "an event type whose name goes on and on and on and on"};
    static const uint64_t events[] = {40000, 1, 123456789};
    uint16_t index;
    char value[64];
    add_types(&x->set, types, events, 3);
    CHECK(outcome_set_feature_name(&x->set, slice_str("brand" HOSTILE), NULL) == 0);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(value, sizeof value,
                       i == 3 ? HOSTILE "%d" : "Marke-ohne-Leerzeichen-%d-\xC3\xA4\xC3\xB6\xC3\xBC", i);
        CHECK(outcome_set_feature(&x->set, slice_str(value), &index, NULL) == 0);
    }
    add_cases(&x->set, 6000, 2);
    note(x, "log" HOSTILE, OUTCOME_TEXT, HOSTILE);
    note(x, "key", OUTCOME_TEXT,
         "a-very-long-value-without-any-space-in-it-that-would-break-a-page-that-does-not-care-about-it");
    add_run(x, "rankd" HOSTILE, OUTCOME_TESTED, 1, "model." HOSTILE " = 1\n", 0.4, 0.4, true);
    add_run(x, "baseline \xE2\x82\xAC" HOSTILE, OUTCOME_BASELINE, 1, HOSTILE, 0.41, 0.41, false);
    x->runs[1].n -= 1000;
}

int main(int argc, char **argv) {
    static struct shop x;
    struct summary s;
    struct err e;
    if (argc != 3) {
        fputs("usage: report_tool better|loses|fades|wild|empty DIRECTORY\n", stderr);
        return 2;
    }
    const char *scenario = argv[1];
    outcome_set_init(&x.set);
    if (strcmp(scenario, "better") == 0) fill(&x, 7, 0.5, 0.5, 5, true);
    if (strcmp(scenario, "loses") == 0) fill(&x, 7, 0.40, 0.40, 1, false);
    if (strcmp(scenario, "fades") == 0) fill(&x, 365, 0.62, 0.36, 2, false);
    if (strcmp(scenario, "wild") == 0) fill_wild(&x);
    struct summary_input in = {.set = &x.set,
                               .runs = x.list,
                               .n_runs = x.n,
                               .figure = {FIGURE_NDCG, 20},
                               .title = strcmp(scenario, "wild") == 0 ? HOSTILE "/logs" : "shop-2014.tsv.gz",
                               .n_choosing = x.set.figures_from,
                               .seed = 1,
                               .ended_early = strcmp(scenario, "wild") == 0};
    if (summary_make(&in, &s, &e) != 0) {
        fprintf(stderr, "report_tool: %s\n", e.text);
        return 1;
    }
    int rc = 0;
    for (int json = 0; json < 2; json++) {
        struct buf out;
        char path[4096];
        buf_init(&out, REPORT_BYTES_MOST);
        if (json)
            report_json(&s, &out);
        else
            report_html(&s, &out);
        (void)snprintf(path, sizeof path, "%s/report.%s", argv[2], json ? "json" : "html");
        FILE *f = fopen(path, "wb");
        if (out.failed || !f || fwrite(out.p, 1, out.n, f) != out.n || fclose(f) != 0) rc = 1;
        buf_free(&out);
    }
    summary_free(&s);
    for (size_t i = 0; i < x.n; i++) outcome_run_free(&x.runs[i]);
    outcome_set_free(&x.set);
    return rc;
}
