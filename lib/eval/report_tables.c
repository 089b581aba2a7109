/* The report's tables of models. */
#include <math.h>
#include <string.h>

#include "lib/eval/page.h"
#include "lib/eval/plot.h"
#include "lib/eval/report_priv.h"
#include "lib/eval/words.h"

#define LIMIT_LEAST 0.05 /* of the axis of differences */
#define LIMIT_MOST  0.5
#define NAME_BRIEF  16 /* bytes of a name that fit a head of a column */

static bool is_default_figure(const struct summary *s) {
    return s->in.figure.kind == FIGURE_NDCG && s->in.figure.k == metrics_ks[METRICS_AT_20];
}

static void open_table(struct buf *b, const char *what) {
    buf_printf(b, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table>\n", what);
}

static void close_table(struct buf *b) { buf_add_str(b, "</tbody></table></div>\n"); }

static void cell(struct buf *b, double v, int decimals) {
    buf_add_str(b, "<td>");
    page_fixed(b, v, decimals);
    buf_add_str(b, "</td>");
}

/* Heads of the groups of rows, where a new one begins. */
static void add_group(struct buf *b, const struct summary *s, const size_t *order, size_t i, unsigned columns) {
    static const char *const heads[OUTCOME_ROLES] = {[OUTCOME_BASELINE] =
                                                         "baselines, each as chosen on the first part of the log",
                                                     [OUTCOME_ABLATION] = "the model without a part of it",
                                                     [OUTCOME_HINDSIGHT] = "best in hindsight"};
    enum outcome_role role = s->models[order[i]].role;
    if (!heads[role] || (i > 0 && s->models[order[i - 1]].role == role)) return;
    if (i > 0 && (role == OUTCOME_HINDSIGHT || s->models[order[i - 1]].role == OUTCOME_HINDSIGHT)) {
        bool same_group = role != OUTCOME_ABLATION;
        if (same_group) return;
    }
    buf_printf(b, "<tr class=\"group\"><th colspan=\"%u\" scope=\"rowgroup\">%s</th></tr>\n", columns, heads[role]);
}

void report_row(struct buf *b, const struct summary *s, const struct summary_model *m) {
    buf_printf(b, "<tr%s><th scope=\"row\">",
               m->role == OUTCOME_TESTED      ? " class=\"tested\""
               : m->role == OUTCOME_HINDSIGHT ? " class=\"aside\""
                                              : "");
    page_escape(b, words_name(s, m));
    buf_add_str(b, m->role == OUTCOME_HINDSIGHT ? ", best in hindsight</th>" : "</th>");
}

/* Half the width of the axis of differences: what the intervals of the best baseline and of all near models need. */
static double limit_of(const struct summary *s) {
    double most = LIMIT_LEAST;
    for (unsigned i = 0; i < s->n_comparisons; i++) {
        const struct compare *c = &s->comparisons[i];
        const struct compare_interval *x = &c->by[c->wider];
        bool best = s->best_baseline != SUMMARY_NONE && s->models[s->best_baseline].comparison == i;
        if (isnan(c->ratio) || (!best && !(c->ratio > 0.75 && c->ratio < 1.25))) continue;
        if (x->high - 1 > most) most = x->high - 1;
        if (1 - x->low > most) most = 1 - x->low;
    }
    if (most > LIMIT_MOST) return LIMIT_MOST;
    double step = plot_step(most, 1);
    return step < LIMIT_MOST ? step : LIMIT_MOST;
}

static const char *tone_of(const struct compare *c) {
    static const char *const tones[] = {"open", "good", "careful", "open", "bad"};
    return tones[c->verdict];
}

/* Four cells: the interval drawn, the change, its interval, the verdict. */
static void add_comparison(struct buf *b, const struct compare *c, double limit) {
    const struct compare_interval *x = &c->by[c->wider];
    buf_add_str(b, "<td class=\"plotcell\">");
    if (!isnan(c->ratio)) plot_interval(b, c->ratio, x->low, x->high, limit, tone_of(c));
    buf_add_str(b, "</td><td>");
    page_change(b, c->ratio);
    buf_add_str(b, "</td><td class=\"left\"><small>");
    if (!isnan(c->ratio)) page_range(b, x->low, x->high);
    buf_printf(b, "</small></td><td class=\"left\"><span class=\"chip %s\">%s</span></td>", tone_of(c),
               words_verdict_of(c));
}

static void add_head(struct buf *b, const struct summary *s, double limit) {
    char title[64];
    figure_title(s->in.figure, title);
    bool brief = s->tested != SUMMARY_NONE && strlen(s->models[s->tested].name) <= NAME_BRIEF;
    buf_printf(b,
               "<thead><tr><th scope=\"col\">model</th><th scope=\"col\">%s</th><th scope=\"col\" class=\"plotcell\">",
               title);
    buf_add_str(b, "<span class=\"ends\"><span>");
    page_fixed(b, -100 * limit, 0);
    buf_add_str(b, PAGE_PERCENT "</span><span>0</span><span>+");
    page_fixed(b, 100 * limit, 0);
    buf_add_str(b, PAGE_PERCENT "</span></span></th><th scope=\"col\">");
    page_escape(b, brief ? s->models[s->tested].name : "tested");
    buf_add_str(b, " is at</th><th scope=\"col\" class=\"left\">95" PAGE_PERCENT
                   " interval</th><th scope=\"col\" class=\"left\">it is</th>");
    if (!is_default_figure(s)) buf_add_str(b, "<th scope=\"col\">NDCG@20</th>");
    buf_add_str(b, "<th scope=\"col\">recall@20</th><th scope=\"col\">MRR@20</th><th scope=\"col\">NDCG@20<br>warm</th>"
                   "<th scope=\"col\">NDCG@20<br>cold</th></tr></thead>\n<tbody>\n");
}

void report_models(struct buf *b, const struct summary *s, const size_t *order, size_t n) {
    bool other = !is_default_figure(s);
    double limit = limit_of(s);
    report_section(
        b, "Models",
        "How high each model put what came next, on the same events; how much better the tested model is than "
        "the one in that row, with a 95 % interval (on the dashed line there is no difference); and what "
        "follows. A difference counts when it holds for other users and for other days, and after correction "
        "for the number of comparisons.");
    open_table(b, "models");
    add_head(b, s, limit);
    for (size_t i = 0; i < n; i++) {
        const struct summary_model *m = &s->models[order[i]];
        add_group(b, s, order, i, other ? 11 : 10);
        report_row(b, s, m);
        cell(b, m->value, 4);
        if (m->comparison != SUMMARY_NONE)
            add_comparison(b, &s->comparisons[m->comparison], limit);
        else
            buf_add_str(b, "<td></td><td></td><td></td><td></td>");
        if (other) cell(b, summary_all(m)->ndcg[METRICS_AT_20], 4);
        cell(b, summary_all(m)->recall[METRICS_AT_20], 4);
        cell(b, summary_all(m)->mrr[METRICS_AT_20], 4);
        for (int cold = 0; cold < 2; cold++) {
            const struct metrics *part = summary_warmth(m, cold);
            cell(b, part->n > 0 ? part->ndcg[METRICS_AT_20] : (double)NAN, 4);
        }
        buf_add_str(b, "</tr>\n");
    }
    close_table(b);
    report_section_end(b);
}

void report_breadth(struct buf *b, const struct summary *s, const size_t *order, size_t n) {
    report_section(
        b, "Breadth and cost",
        "Coverage: the share of all items that were recommended at least once. Gini: 0 when all items are "
        "recommended equally often, near 1 when few take all places. Novelty: how rare a recommended item is, "
        "in bits. Events/s are per second of processor time, on this machine.");
    open_table(b, "breadth and cost");
    buf_add_str(b,
                "<thead><tr><th scope=\"col\">model</th><th scope=\"col\">coverage</th><th scope=\"col\">Gini</th>"
                "<th scope=\"col\">novelty, bits</th><th scope=\"col\">events/s</th>"
                "<th scope=\"col\">CPU \xC2\xB5s an event</th><th scope=\"col\">memory</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n; i++) {
        const struct summary_model *m = &s->models[order[i]];
        bool lists = m->lists.lists > 0;
        add_group(b, s, order, i, 7);
        report_row(b, s, m);
        buf_add_str(b, "<td>");
        page_share(b, lists ? m->lists.coverage : (double)NAN);
        buf_add_str(b, "</td>");
        cell(b, lists ? m->lists.gini : (double)NAN, 3);
        cell(b, lists ? m->lists.novelty : (double)NAN, 2);
        buf_add_str(b, "<td>");
        if (m->events_per_s > 0) page_count(b, (uint64_t)(m->events_per_s + 0.5));
        buf_add_str(b, "</td>");
        cell(b, m->cpu_us_an_event > 0 ? m->cpu_us_an_event : (double)NAN, 1);
        buf_add_str(b, "<td>");
        if (m->peak_bytes > 0) page_bytes(b, m->peak_bytes);
        buf_add_str(b, "</td></tr>\n");
    }
    close_table(b);
    report_section_end(b);
}

static void add_all_figures(struct buf *b, const struct summary *s, const size_t *order, size_t n, const char *name,
                            size_t offset) {
    buf_printf(b, "<details><summary>%s at several lengths, warm and cold targets apart</summary>\n", name);
    open_table(b, name);
    buf_add_str(b, "<thead><tr><th scope=\"col\">model</th>");
    static const char *const parts[] = {"", "warm", "cold"};
    for (int part = 0; part < 3; part++)
        for (int k = 0; k < METRICS_KS; k++)
            buf_printf(b, "<th scope=\"col\">@%u%s%s</th>", metrics_ks[k], part ? "<br>" : "", parts[part]);
    buf_add_str(b, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n; i++) {
        const struct summary_model *m = &s->models[order[i]];
        const struct metrics *of[] = {summary_all(m), summary_warmth(m, 0), summary_warmth(m, 1)};
        report_row(b, s, m);
        for (int part = 0; part < 3; part++) {
            const double *values = (const double *)(const void *)((const char *)of[part] + offset);
            for (int k = 0; k < METRICS_KS; k++) cell(b, of[part]->n > 0 ? values[k] : (double)NAN, 4);
        }
        buf_add_str(b, "</tr>\n");
    }
    close_table(b);
    buf_add_str(b, "</details>\n");
}

void report_figures(struct buf *b, const struct summary *s, const size_t *order, size_t n) {
    report_section(b, "More figures", NULL);
    add_all_figures(b, s, order, n, "NDCG", offsetof(struct metrics, ndcg));
    add_all_figures(b, s, order, n, "Recall", offsetof(struct metrics, recall));
    add_all_figures(b, s, order, n, "MRR", offsetof(struct metrics, mrr));
    add_all_figures(b, s, order, n, "Hit rate", offsetof(struct metrics, hit));
    report_section_end(b);
}

void report_tried(struct buf *b, const struct summary *s) {
    static const char *const what[OUTCOME_ROLES] = {"chosen", "chosen", "ablation", "", "best in hindsight", ""};
    char title[64];
    figure_title(s->in.figure, title);
    report_section(b, "What was tried",
                   "Configurations are chosen by the first part of the log alone, the figures are of "
                   "the rest. The best in hindsight shows what better choosing could have gained.");
    buf_printf(b, "<details><summary>%zu configurations with their %s</summary>\n", s->n_models, title);
    open_table(b, "what was tried");
    buf_add_str(
        b, "<thead><tr><th scope=\"col\">model</th><th scope=\"col\">first part</th><th scope=\"col\">the rest</th>"
           "<th scope=\"col\" class=\"left\"></th><th scope=\"col\" class=\"left\">configuration</th></tr></thead>"
           "\n<tbody>\n");
    for (size_t i = 0; i < s->n_models; i++) {
        const struct summary_model *m = &s->models[i];
        buf_add_str(b, "<tr><th scope=\"row\">");
        page_escape(b, words_name(s, m));
        buf_add_str(b, "</th>");
        cell(b, m->choosing, 4);
        cell(b, m->value, 4);
        buf_printf(b, "<td class=\"left\">%s</td><td class=\"wrap\">", what[m->role]);
        page_escape(b, m->settings[0] ? m->settings : "defaults");
        buf_add_str(b, "</td></tr>\n");
    }
    close_table(b);
    buf_add_str(b, "</details>\n");
    report_section_end(b);
}
