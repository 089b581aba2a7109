/* The report's plots: over time, by cohort, and how true the probabilities are. */
#include <math.h>

#include "lib/base/mem.h"
#include "lib/eval/page.h"
#include "lib/eval/plot.h"
#include "lib/eval/report_priv.h"
#include "lib/eval/words.h"

#define PARTS_SHOWN 12 /* of a cohort, those with most targets */

/* The tested model and those of one role, over time. */
static void add_chart(struct buf *b, const struct summary *s, const size_t *order, size_t n, enum outcome_role role,
                      const char *title) {
    size_t points = s->n_parts[COHORT_WINDOW], lines = 0;
    double *y = mem_alloc((n * points + 1) * sizeof *y);
    int64_t *ts = mem_alloc((points + 1) * sizeof *ts);
    struct plot_line *line = mem_alloc(n * sizeof *line);
    if (!y || !ts || !line) b->failed = true;
    for (size_t p = 0; !b->failed && p < points; p++) {
        const struct summary_window *w = &s->windows[p];
        ts[p] = w->from_ms + (w->to_ms - w->from_ms) / 2;
        if (p > 0 && ts[p] < ts[p - 1]) ts[p] = ts[p - 1];
    }
    for (size_t i = 0; !b->failed && i < n; i++) {
        const struct summary_model *m = &s->models[order[i]];
        if (m->role != OUTCOME_TESTED && m->role != role) continue;
        const struct metrics *w = m->by[COHORT_WINDOW];
        for (size_t p = 0; p < points; p++) y[lines * points + p] = w[p].n > 0 ? w[p].ndcg[METRICS_AT_20] : (double)NAN;
        line[lines] = (struct plot_line){words_name(s, m), y + lines * points};
        lines++;
    }
    if (!b->failed) {
        struct plot_lines p = {.name = title, .ts_ms = ts, .n_points = points, .lines = line, .n_lines = lines};
        buf_printf(b, "<h3>%s</h3>\n", title);
        p.width = 1010, p.height = 340, p.css_class = "wide", p.labels = true;
        plot_lines(b, &p);
        p.width = 360, p.height = 280, p.css_class = "narrow", p.labels = false;
        plot_lines(b, &p);
        buf_add_str(b, "<ul class=\"legend narrow-only\">");
        for (size_t i = 0; i < lines; i++) {
            buf_add_str(b, "<li>");
            plot_swatch(b, i);
            page_escape(b, line[i].label);
            buf_add_str(b, "</li>");
        }
        buf_add_str(b, "</ul>\n");
    }
    mem_free(y);
    mem_free(ts);
    mem_free(line);
}

static bool has_role(const struct summary *s, enum outcome_role role) {
    for (size_t i = 0; i < s->n_models; i++)
        if (s->models[i].role == role) return true;
    return false;
}

void report_over_time(struct buf *b, const struct summary *s, const size_t *order, size_t n) {
    report_section(b, "Over time", "NDCG@20 in parts of the log with the same number of targets (UTC).");
    buf_add_str(b, "<div class=\"card plots\">\n");
    if (has_role(s, OUTCOME_BASELINE) || !has_role(s, OUTCOME_ABLATION))
        add_chart(b, s, order, n, OUTCOME_BASELINE, "The model and the baselines");
    if (has_role(s, OUTCOME_ABLATION)) add_chart(b, s, order, n, OUTCOME_ABLATION, "The model and its ablations");
    buf_add_str(b, "</div>\n");
    report_section_end(b);
}

/* The part with the most targets among those below (n, part) in that order; n_parts when none is left. */
static size_t next_part(const struct metrics *by, size_t n_parts, size_t before) {
    size_t best = n_parts;
    for (size_t p = 0; p < n_parts; p++) {
        bool later = before == n_parts || by[p].n < by[before].n || (by[p].n == by[before].n && p > before);
        if (by[p].n > 0 && later && (best == n_parts || by[p].n > by[best].n)) best = p;
    }
    return best;
}

static void add_part(struct buf *b, const struct summary *s, enum cohort kind, size_t p, double most) {
    const struct summary_model *m = &s->models[s->tested];
    const struct metrics *part = &m->by[kind][p];
    double other =
        s->best_baseline == SUMMARY_NONE ? (double)NAN : s->models[s->best_baseline].by[kind][p].ndcg[METRICS_AT_20];
    buf_add_str(b, "<tr><td>");
    page_escape(b, cohort_label(s->in.set, kind, p));
    buf_add_str(b, "</td><td class=\"share\">");
    page_share(b, (double)part->n / (double)(s->to - s->from));
    buf_add_str(b, "</td><td>");
    plot_bar(b, part->ndcg[METRICS_AT_20], other, most);
    buf_add_str(b, "</td><td>");
    page_fixed(b, part->ndcg[METRICS_AT_20], 3);
    buf_add_str(b, "</td></tr>\n");
}

static unsigned filled(const struct summary *s, enum cohort kind) {
    unsigned n = 0;
    for (size_t p = 0; p < s->n_parts[kind]; p++) n += s->models[s->tested].by[kind][p].n > 0;
    return n;
}

static void add_cohort(struct buf *b, const struct summary *s, enum cohort kind, double most) {
    const struct metrics *by = s->models[s->tested].by[kind];
    unsigned n = filled(s, kind), shown = 0;
    buf_add_str(b, "<div class=\"card\"><h3>");
    page_escape(b, cohort_title(s->in.set, kind));
    buf_add_str(b, "</h3><table><tbody>\n");
    if (n <= PARTS_SHOWN) {
        for (size_t p = 0; p < s->n_parts[kind]; p++)
            if (by[p].n > 0) add_part(b, s, kind, p, most);
    } else {
        for (size_t p = s->n_parts[kind]; shown < PARTS_SHOWN; shown++) {
            p = next_part(by, s->n_parts[kind], p);
            add_part(b, s, kind, p, most);
        }
    }
    buf_add_str(b, "</tbody></table>");
    if (n > PARTS_SHOWN) buf_printf(b, "<p class=\"about\">and %u with fewer targets</p>", n - PARTS_SHOWN);
    buf_add_str(b, "</div>\n");
}

/* The end of all bars: the best figure in a part that is no rarity. */
static double most_of(const struct summary *s) {
    double most = summary_all(&s->models[s->tested])->ndcg[METRICS_AT_20];
    const size_t models[] = {s->tested, s->best_baseline};
    for (int which = 0; which < 2; which++) {
        for (int kind = COHORT_WARMTH; kind <= COHORT_QUARTER && models[which] != SUMMARY_NONE; kind++) {
            const struct metrics *by = s->models[models[which]].by[kind];
            for (size_t p = 0; p < s->n_parts[kind]; p++)
                if (by[p].n * 50 >= s->to - s->from && by[p].ndcg[METRICS_AT_20] > most)
                    most = by[p].ndcg[METRICS_AT_20];
        }
    }
    return most;
}

void report_cohorts(struct buf *b, const struct summary *s) {
    double most = most_of(s);
    report_section(b, "For whom and for what",
                   "NDCG@20 in parts of the targets, each with its share of them. All bars have the same scale; those "
                   "of rare parts may reach beyond it.");
    buf_add_str(b, "<ul class=\"legend\"><li><span class=\"key\"></span>");
    page_escape(b, s->models[s->tested].name);
    buf_add_str(b, "</li>");
    if (s->best_baseline != SUMMARY_NONE) {
        buf_add_str(b, "<li><span class=\"key mark\"></span>");
        page_escape(b, s->models[s->best_baseline].name);
        buf_add_str(b, ", the best baseline</li>");
    }
    buf_add_str(b, "</ul>\n<div class=\"cards\" style=\"margin-top:12px\">\n");
    for (int kind = COHORT_WARMTH; kind <= COHORT_QUARTER; kind++)
        if (filled(s, (enum cohort)kind) > 1) add_cohort(b, s, (enum cohort)kind, most);
    buf_add_str(b, "</div>\n");
    report_section_end(b);
}

static void add_trust_row(struct buf *b, const struct summary *s, const struct summary_model *m) {
    const struct trust *t = &m->trust;
    const double figures[] = {t->n > 0 ? t->ece : (double)NAN, t->n > 0 ? t->brier : (double)NAN,
                              t->n > 0 ? t->log_loss_top : (double)NAN, t->n_target > 0 ? t->log_loss : (double)NAN};
    report_row(b, s, m);
    for (int i = 0; i < 4; i++) {
        buf_add_str(b, "<td>");
        page_fixed(b, figures[i], 4);
        buf_add_str(b, "</td>");
    }
    buf_add_str(b, "</tr>\n");
}

void report_trust(struct buf *b, const struct summary *s, const size_t *order, size_t n) {
    size_t given = 0;
    for (size_t i = 0; i < n; i++) given += s->models[order[i]].trust.n + s->models[order[i]].trust.n_target > 0;
    if (given == 0) {
        report_section(b, "Are the probabilities true?",
                       "No model of this backtest gave probabilities, so there is nothing to hold them against.");
        report_section_end(b);
        return;
    }
    report_section(
        b, "Are the probabilities true?",
        "Each point is a tenth of the targets: how often the item in the first place was the one that came, "
        "against the probability that the model gave it. On the dashed line the two are the same. ECE is the "
        "mean distance from it; for all four figures less is better.");
    buf_add_str(b, "<div class=\"side\">");
    if (s->tested != SUMMARY_NONE && s->models[s->tested].trust.n > 0) {
        buf_add_str(b, "<div class=\"card\">\n");
        plot_reliability(b, &s->models[s->tested].trust);
        buf_add_str(b, "</div>\n");
    }
    buf_add_str(
        b, "<div><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"calibration\"><table><thead><tr>"
           "<th scope=\"col\">model</th><th scope=\"col\">ECE</th><th scope=\"col\">Brier</th><th scope=\"col\">"
           "log loss,<br>first item</th><th scope=\"col\">log loss,<br>target</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n; i++) {
        const struct summary_model *m = &s->models[order[i]];
        if (m->trust.n + m->trust.n_target > 0) add_trust_row(b, s, m);
    }
    buf_add_str(b, "</tbody></table></div></div></div>\n");
    report_section_end(b);
}
