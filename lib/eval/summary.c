/* Everything a report of a backtest says, computed from its outcomes. */
#include "lib/eval/summary.h"

#include <math.h>
#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/mem.h"

static int no_memory(struct err *e) { return err_set(e, ERR_NOMEM, "", "no memory for the summary of a backtest"); }

static bool same_model(const struct summary_model *m, const struct outcome_run *r) {
    return m->role == r->role && strcmp(m->name, r->name) == 0 && strcmp(m->settings, r->settings) == 0;
}

static bool is_listed(enum outcome_role role) { return role != OUTCOME_VARIANT && role != OUTCOME_TRIED; }

/* A run that was stopped before the figures began says nothing; one of many that were tried must be whole. */
static bool left_out(const struct summary *s, const struct outcome_run *r) {
    return r->n <= s->from || (!is_listed(r->role) && r->n < s->in.set->n);
}

/* Groups the runs; each model's stand together in s->runs. */
static int gather(struct summary *s, struct err *e) {
    size_t n = s->in.n_runs > 0 ? s->in.n_runs : 1, used = 0;
    s->models = mem_zalloc(n * sizeof *s->models);
    s->runs = mem_alloc(n * sizeof *s->runs);
    if (!s->models || !s->runs) return no_memory(e);
    for (size_t i = 0; i < s->in.n_runs; i++) {
        const struct outcome_run *first = s->in.runs[i];
        size_t known = 0;
        while (known < s->n_models && !same_model(&s->models[known], first)) known++;
        if (known < s->n_models || left_out(s, first)) continue;
        struct summary_model *m = &s->models[s->n_models++];
        *m = (struct summary_model){.name = first->name,
                                    .settings = first->settings,
                                    .role = first->role,
                                    .runs = s->runs + used,
                                    .listed = is_listed(first->role),
                                    .comparison = SUMMARY_NONE};
        for (size_t k = i; k < s->in.n_runs; k++) {
            const struct outcome_run *r = s->in.runs[k];
            if (!same_model(m, r) || left_out(s, r)) continue;
            s->runs[used++] = r;
            m->n_runs++;
            if (r->n < s->to) s->to = r->n;
        }
    }
    return 0;
}

/* The deciding figure of the model's runs. */
static void decide(const struct summary *s, struct summary_model *m) {
    double sum = 0, squares = 0, choosing = 0, n = (double)m->n_runs;
    size_t choosing_to = s->in.n_choosing < s->to ? s->in.n_choosing : s->to;
    for (unsigned k = 0; k < m->n_runs; k++) {
        double v = figure_value(s->in.figure, s->in.set, m->runs[k], s->from, s->to);
        if (k == 0 || v < m->lowest) m->lowest = v;
        if (k == 0 || v > m->highest) m->highest = v;
        sum += v;
        choosing += figure_value(s->in.figure, s->in.set, m->runs[k], 0, choosing_to);
    }
    m->value = sum / n;
    m->choosing = choosing / n;
    for (unsigned k = 0; k < m->n_runs; k++) {
        double off = figure_value(s->in.figure, s->in.set, m->runs[k], s->from, s->to) - m->value;
        squares += off * off;
    }
    m->deviation = m->n_runs > 1 ? fm_sqrt(squares / (n - 1)) : 0;
}

static void add_cost(struct summary_model *m) {
    double n = (double)m->n_runs;
    for (unsigned k = 0; k < m->n_runs; k++) {
        const struct outcome_run *r = m->runs[k];
        if (r->cpu_ns > 0) m->events_per_s += (double)r->events * 1e9 / (double)r->cpu_ns / n;
        if (r->events > 0) m->cpu_us_an_event += (double)r->cpu_ns / 1e3 / (double)r->events / n;
        if (r->peak_bytes > m->peak_bytes) m->peak_bytes = r->peak_bytes;
        if (r->events > m->learned) m->learned = r->events;
    }
}

static int add_lists(struct summary_model *m, struct err *e) {
    double n = (double)m->n_runs;
    for (unsigned k = 0; k < m->n_runs; k++) {
        struct metrics_lists l;
        int rc = metrics_lists(m->runs[k], &l, e);
        if (rc) return rc;
        if (k == 0) m->lists = (struct metrics_lists){.k = l.k, .lists = l.lists, .items = l.items};
        m->lists.coverage += l.coverage / n;
        m->lists.gini += l.gini / n;
        m->lists.novelty += l.novelty / n;
    }
    return 0;
}

/* Figures of every listed model in the parts of one kind; part (to - from) and scratch (parts) are working space. */
static int add_kind(struct summary *s, enum cohort kind, const uint16_t *part, struct metrics *scratch, struct err *e) {
    size_t parts = s->n_parts[kind];
    for (size_t i = 0; i < s->n_models; i++) {
        struct summary_model *m = &s->models[i];
        if (!m->listed) continue;
        m->by[kind] = mem_zalloc(parts * sizeof *m->by[kind]);
        if (!m->by[kind]) return no_memory(e);
        for (unsigned k = 0; k < m->n_runs; k++) {
            int rc = metrics_of(s->in.set, m->runs[k], s->from, s->to, part, parts, scratch, e);
            if (rc) return rc;
            for (size_t p = 0; p < parts; p++) metrics_mean_add(&m->by[kind][p], &scratch[p], m->n_runs);
        }
    }
    return 0;
}

static int add_windows(struct summary *s, const uint16_t *part, struct err *e) {
    size_t n = s->n_parts[COHORT_WINDOW];
    s->windows = mem_zalloc(n * sizeof *s->windows);
    if (!s->windows) return no_memory(e);
    for (size_t p = 0; p < n; p++) s->windows[p] = (struct summary_window){INT64_MAX, INT64_MIN};
    for (size_t i = s->from; i < s->to; i++) {
        struct summary_window *w = &s->windows[part[i - s->from]];
        int64_t ts = s->in.set->cases[i].ts_ms;
        if (ts < w->from_ms) w->from_ms = ts;
        if (ts > w->to_ms) w->to_ms = ts;
    }
    return 0;
}

static int add_kinds(struct summary *s, struct err *e) {
    size_t n = s->to - s->from, most = 1;
    for (int kind = 0; kind < COHORT_KINDS; kind++) {
        s->n_parts[kind] = cohort_parts(s->in.set, (enum cohort)kind, s->from, s->to);
        if (s->n_parts[kind] > most) most = s->n_parts[kind];
    }
    uint16_t *part = mem_alloc((n > 0 ? n : 1) * sizeof *part);
    struct metrics *scratch = mem_alloc(most * sizeof *scratch);
    int rc = part && scratch ? 0 : no_memory(e);
    for (int kind = 0; !rc && kind < COHORT_KINDS; kind++) {
        cohort_of(s->in.set, (enum cohort)kind, s->from, s->to, part);
        rc = add_kind(s, (enum cohort)kind, part, scratch, e);
        if (!rc && kind == COHORT_WINDOW) rc = add_windows(s, part, e);
    }
    mem_free(part);
    mem_free(scratch);
    return rc;
}

static void find_models(struct summary *s) {
    bool less = figure_less_is_better(s->in.figure);
    s->tested = s->best_baseline = SUMMARY_NONE;
    for (size_t i = s->n_models; i-- > 0;) {
        const struct summary_model *m = &s->models[i];
        if (m->role == OUTCOME_TESTED) s->tested = i;
        if (m->role != OUTCOME_BASELINE || isnan(m->value)) continue;
        double best = s->best_baseline == SUMMARY_NONE ? (double)NAN : s->models[s->best_baseline].value;
        if (!(less ? m->value > best : m->value < best)) s->best_baseline = i;
    }
}

static int add_comparisons(struct summary *s, struct err *e) {
    if (s->tested == SUMMARY_NONE) return 0;
    const struct summary_model *a = &s->models[s->tested];
    s->comparisons = mem_zalloc(s->n_models * sizeof *s->comparisons);
    if (!s->comparisons) return no_memory(e);
    for (int role = OUTCOME_BASELINE; role <= OUTCOME_ABLATION; role++) {
        for (size_t i = 0; i < s->n_models; i++) {
            struct summary_model *b = &s->models[i];
            if (b->role != (enum outcome_role)role) continue;
            b->comparison = s->n_comparisons;
            s->comparisons[s->n_comparisons++] =
                (struct compare){.a = {a->runs, a->n_runs}, .b = {b->runs, b->n_runs}, .figure = s->in.figure};
        }
    }
    return compare_all(s->in.set, s->from, s->to, s->in.seed, s->comparisons, s->n_comparisons, e);
}

int summary_make(const struct summary_input *in, struct summary *out, struct err *e) {
    struct summary s = {.in = *in, .from = in->set->figures_from, .to = in->set->n};
    int rc = gather(&s, e);
    for (size_t i = 0; !rc && i < s.n_models; i++) {
        struct summary_model *m = &s.models[i];
        decide(&s, m);
        add_cost(m);
        if (m->listed) rc = add_lists(m, e);
        if (!rc && m->listed) rc = trust_of(m->runs, m->n_runs, s.from, s.to, &m->trust, e);
    }
    if (!rc) rc = add_kinds(&s, e);
    if (!rc) find_models(&s);
    if (!rc) rc = add_comparisons(&s, e);
    if (rc)
        summary_free(&s);
    else
        *out = s;
    return rc;
}

void summary_free(struct summary *s) {
    for (size_t i = 0; i < s->n_models; i++)
        for (int kind = 0; kind < COHORT_KINDS; kind++) mem_free(s->models[i].by[kind]);
    mem_free(s->models);
    mem_free(s->windows);
    mem_free(s->comparisons);
    mem_free(s->runs);
    *s = (struct summary){.n_models = 0};
}

const struct summary_model *summary_against(const struct summary *s, const struct compare *c) {
    size_t i = 0;
    while (i + 1 < s->n_models && s->models[i].comparison != (size_t)(c - s->comparisons)) i++;
    return &s->models[i];
}
