/* The report of a backtest as one object of JSON. */
#include <math.h>

#include "lib/eval/report.h"
#include "lib/eval/words.h"

static const char *const roles[OUTCOME_ROLES] = {"tested", "baseline", "ablation", "variant", "hindsight", "tried"};

/* ,"key":  -- every object starts with a member of its own, so that a comma always fits. */
static void key(struct buf *b, const char *name) {
    buf_add_char(b, ',');
    buf_add_json(b, slice_str(name));
    buf_add_char(b, ':');
}

static void text(struct buf *b, const char *name, const char *value) {
    key(b, name);
    buf_add_json(b, slice_str(value));
}

static void number(struct buf *b, const char *name, double value) {
    key(b, name);
    buf_add_double(b, value);
}

static void whole(struct buf *b, const char *name, uint64_t value) {
    key(b, name);
    buf_add_u64(b, value);
}

static void at_k(struct buf *b, const char *name, const double *values) {
    for (int k = 0; k < METRICS_KS; k++) {
        buf_printf(b, ",\"%s@%u\":", name, metrics_ks[k]);
        buf_add_double(b, values[k]);
    }
}

/* The members of an object with its figures, "events" first. */
static void add_metrics(struct buf *b, const struct metrics *m) {
    buf_add_str(b, "\"events\":");
    buf_add_u64(b, m->n);
    at_k(b, "ndcg", m->ndcg);
    at_k(b, "recall", m->recall);
    at_k(b, "mrr", m->mrr);
    at_k(b, "hit", m->hit);
}

static void add_time(struct buf *b, const char *name, int64_t ms) {
    key(b, name);
    buf_add_i64(b, ms);
}

static void add_parts(struct buf *b, const struct summary *s, const struct summary_model *m) {
    key(b, "cohorts");
    buf_add_char(b, '{');
    for (int kind = COHORT_TYPE; kind <= COHORT_QUARTER; kind++) {
        if (kind > COHORT_TYPE) buf_add_char(b, ',');
        buf_add_json(b, slice_str(cohort_key((enum cohort)kind)));
        buf_add_str(b, ":[");
        const char *separator = "";
        for (size_t p = 0; p < s->n_parts[kind]; p++) {
            if (m->by[kind][p].n == 0) continue;
            buf_printf(b, "%s{\"part\":", separator);
            buf_add_json(b, slice_str(cohort_label(s->in.set, (enum cohort)kind, p)));
            buf_add_char(b, ',');
            add_metrics(b, &m->by[kind][p]);
            buf_add_char(b, '}');
            separator = ",";
        }
        buf_add_char(b, ']');
    }
    buf_add_char(b, '}');
    key(b, "windows");
    buf_add_char(b, '[');
    const char *separator = "";
    for (size_t p = 0; p < s->n_parts[COHORT_WINDOW]; p++) {
        const struct metrics *w = &m->by[COHORT_WINDOW][p];
        if (w->n == 0) continue;
        buf_printf(b, "%s{\"events\":%llu", separator, (unsigned long long)w->n);
        add_time(b, "from_ms", s->windows[p].from_ms);
        add_time(b, "to_ms", s->windows[p].to_ms);
        number(b, "ndcg@20", w->ndcg[METRICS_AT_20]);
        number(b, "recall@20", w->recall[METRICS_AT_20]);
        number(b, "mrr@20", w->mrr[METRICS_AT_20]);
        buf_add_char(b, '}');
        separator = ",";
    }
    buf_add_char(b, ']');
}

static void add_trust(struct buf *b, const struct trust *t) {
    if (t->n == 0 && t->n_target == 0) return;
    key(b, "calibration");
    buf_printf(b, "{\"events\":%llu", (unsigned long long)t->n);
    if (t->n > 0) {
        number(b, "ece", t->ece);
        number(b, "brier", t->brier);
        number(b, "log_loss_top", t->log_loss_top);
    }
    if (t->n_target > 0) {
        whole(b, "events_target", t->n_target);
        number(b, "log_loss", t->log_loss);
    }
    key(b, "bins");
    buf_add_char(b, '[');
    for (unsigned i = 0; i < t->n_bins; i++) {
        buf_printf(b, "%s{\"events\":%llu", i > 0 ? "," : "", (unsigned long long)t->bins[i].n);
        number(b, "p", t->bins[i].p);
        number(b, "rate", t->bins[i].rate);
        number(b, "low", t->bins[i].low);
        number(b, "high", t->bins[i].high);
        buf_add_char(b, '}');
    }
    buf_add_str(b, "]}");
}

static void add_seeds(struct buf *b, const struct summary *s, const struct summary_model *m) {
    key(b, "seeds");
    buf_add_char(b, '[');
    for (unsigned k = 0; k < m->n_runs; k++) {
        buf_printf(b, "%s{\"seed\":%llu", k > 0 ? "," : "", (unsigned long long)m->runs[k]->seed);
        number(b, "value", figure_value(s->in.figure, s->in.set, m->runs[k], s->from, s->to));
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

static void add_model(struct buf *b, const struct summary *s, const struct summary_model *m) {
    buf_add_str(b, "{\"name\":");
    buf_add_json(b, slice_str(m->name));
    text(b, "role", roles[m->role]);
    buf_add_char(b, ',');
    add_metrics(b, summary_all(m));
    whole(b, "moments", summary_all(m)->moments);
    number(b, "value", m->value);
    number(b, "value_choosing", m->choosing);
    number(b, "deviation", m->deviation);
    add_seeds(b, s, m);
    number(b, "events_per_s", m->events_per_s);
    number(b, "cpu_us_per_event", m->cpu_us_an_event);
    whole(b, "peak_bytes", m->peak_bytes);
    whole(b, "learned", m->learned);
    if (m->lists.lists > 0) {
        whole(b, "list_length", m->lists.k);
        number(b, "coverage", m->lists.coverage);
        number(b, "gini", m->lists.gini);
        number(b, "novelty_bits", m->lists.novelty);
    }
    add_trust(b, &m->trust);
    for (int cold = 0; cold < 2; cold++) {
        key(b, cold ? "cold" : "warm");
        buf_add_char(b, '{');
        add_metrics(b, summary_warmth(m, cold));
        buf_add_char(b, '}');
    }
    add_parts(b, s, m);
    text(b, "settings", m->settings);
    buf_add_char(b, '}');
}

static void add_interval(struct buf *b, const char *name, const struct compare_interval *i) {
    key(b, name);
    buf_printf(b, "{\"clusters\":%u", i->clusters);
    number(b, "low", i->low);
    number(b, "high", i->high);
    number(b, "se_log", i->se_log);
    number(b, "p", i->p);
    buf_add_char(b, '}');
}

static void add_weak(struct buf *b, const struct summary *s, const struct compare *c) {
    key(b, "worse_in");
    buf_add_char(b, '[');
    for (unsigned k = 0; k < c->n_weak; k++) {
        const struct compare_part *w = &c->weak[k];
        buf_printf(b, "%s{\"cohort\":\"%s\"", k > 0 ? "," : "", cohort_key(w->kind));
        text(b, "part", cohort_label(s->in.set, w->kind, w->part));
        number(b, "share", w->share);
        number(b, "ratio", w->ratio);
        number(b, "low", w->low);
        number(b, "high", w->high);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

static void add_comparison(struct buf *b, const struct summary *s, const struct compare *c) {
    char figure[32];
    struct buf sentence;
    figure_key(c->figure, figure);
    buf_add_str(b, "{\"model\":");
    buf_add_json(b, slice_str(s->models[s->tested].name));
    text(b, "against", summary_against(s, c)->name);
    text(b, "role", roles[summary_against(s, c)->role]);
    text(b, "figure", figure);
    text(b, "verdict", compare_verdict_key(c->verdict));
    whole(b, "events", c->n);
    number(b, "ratio", c->ratio);
    number(b, "low", c->by[c->wider].low);
    number(b, "high", c->by[c->wider].high);
    text(b, "clusters_of", c->wider == COMPARE_BY_USER ? "users" : "time");
    number(b, "p", c->p);
    number(b, "p_holm", c->p_holm);
    number(b, "detectable", c->detectable);
    add_interval(b, "users", &c->by[COMPARE_BY_USER]);
    add_interval(b, "time", &c->by[COMPARE_BY_TIME]);
    whole(b, "parts", c->n_parts);
    add_weak(b, s, c);
    buf_init(&sentence, 1u << 16);
    words_comparison(s, c, &sentence);
    text(b, "text", sentence.n > 0 ? sentence.p : "");
    if (sentence.failed) b->failed = true;
    buf_free(&sentence);
    buf_add_char(b, '}');
}

static void add_protocol(struct buf *b, const struct summary *s) {
    char figure[32];
    figure_key(s->in.figure, figure);
    key(b, "protocol");
    buf_add_str(b, "{\"decides\":");
    buf_add_json(b, slice_str(figure));
    if (s->in.objective) text(b, "objective", s->in.objective);
    whole(b, "judged", s->to - s->from);
    whole(b, "for_choosing", s->in.n_choosing);
    key(b, "ended_early");
    buf_add_str(b, s->in.ended_early ? "true" : "false");
    for (size_t i = 0; i < s->in.set->n_notes; i++) {
        const struct outcome_note *n = &s->in.set->notes[i];
        key(b, n->key);
        if (n->kind == OUTCOME_TEXT)
            buf_add_json(b, slice_str(n->value));
        else
            buf_add_str(b, n->value);
    }
    buf_add_char(b, '}');
}

/* The verdict, and the findings as an array, one for each line. */
static void add_verdict(struct buf *b, const struct summary *s) {
    struct buf lines;
    buf_init(&lines, 1u << 20);
    words_verdict(s, &lines);
    text(b, "verdict", lines.n > 0 ? lines.p : "");
    buf_clear(&lines);
    words_findings(s, &lines);
    key(b, "findings");
    buf_add_char(b, '[');
    const char *separator = "";
    for (const char *at = lines.n > 0 ? lines.p : ""; *at != '\0';) {
        size_t n = strcspn(at, "\n");
        buf_add_str(b, separator);
        buf_add_json(b, slice_of(at, n));
        separator = ",";
        at += n + (at[n] == '\n');
    }
    buf_add_char(b, ']');
    if (lines.failed) b->failed = true;
    buf_free(&lines);
}

/* Every configuration that was run, with its figure on either part of the log. */
static void add_tried(struct buf *b, const struct summary *s) {
    key(b, "tried");
    buf_add_char(b, '[');
    for (size_t i = 0; i < s->n_models; i++) {
        const struct summary_model *m = &s->models[i];
        buf_add_str(b, i > 0 ? ",\n{\"name\":" : "\n{\"name\":");
        buf_add_json(b, slice_str(m->name));
        text(b, "role", roles[m->role]);
        whole(b, "seeds", m->n_runs);
        number(b, "value_choosing", m->choosing);
        number(b, "value", m->value);
        text(b, "settings", m->settings);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

static void add_types(struct buf *b, const struct summary *s) {
    key(b, "types");
    buf_add_char(b, '[');
    for (size_t i = 0; i < s->in.set->n_types; i++) {
        const struct outcome_type *t = &s->in.set->types[i];
        buf_add_str(b, i > 0 ? ",{\"name\":" : "{\"name\":");
        buf_add_json(b, slice_str(t->name));
        whole(b, "events", t->events);
        key(b, "configured");
        buf_add_str(b, t->configured ? "true}" : "false}");
    }
    buf_add_char(b, ']');
}

void report_json(const struct summary *s, struct buf *out) {
    buf_add_str(out, "{\"title\":");
    buf_add_json(out, slice_str(s->in.title));
    add_protocol(out, s);
    add_verdict(out, s);
    key(out, "models");
    buf_add_char(out, '[');
    const char *separator = "\n";
    for (size_t i = 0; i < s->n_models; i++) {
        if (!s->models[i].listed) continue;
        buf_add_str(out, separator);
        add_model(out, s, &s->models[i]);
        separator = ",\n";
    }
    buf_add_str(out, "]");
    key(out, "comparisons");
    buf_add_char(out, '[');
    for (unsigned i = 0; i < s->n_comparisons; i++) {
        buf_add_str(out, i > 0 ? ",\n" : "\n");
        add_comparison(out, s, &s->comparisons[i]);
    }
    buf_add_char(out, ']');
    add_tried(out, s);
    add_types(out, s);
    buf_add_str(out, "}\n");
}
