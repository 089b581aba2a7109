/* The report of a backtest as a page: the verdict first, then what it rests on. */
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/eval/page.h"
#include "lib/eval/report_priv.h"
#include "lib/eval/words.h"

static const char *const tones[] = {
    [WORDS_GOOD] = "good", [WORDS_CAREFUL] = "careful", [WORDS_OPEN] = "open", [WORDS_BAD] = "bad"};

void report_section(struct buf *b, const char *title, const char *about) {
    buf_printf(b, "<section><h2>%s</h2>\n", title);
    if (about) buf_printf(b, "<p class=\"about\">%s</p>\n", about);
}

void report_section_end(struct buf *b) { buf_add_str(b, "</section>\n"); }

/* Whether model a stands before b in a table. */
static bool before(const struct summary *s, size_t a, size_t b) {
    static const int places[OUTCOME_ROLES] = {[OUTCOME_TESTED] = 0, [OUTCOME_BASELINE] = 1, [OUTCOME_ABLATION] = 2};
    const struct summary_model *x = &s->models[a], *y = &s->models[b];
    if (places[x->role] != places[y->role]) return places[x->role] < places[y->role];
    if (x->role != OUTCOME_BASELINE || isnan(y->value)) return false;
    return isnan(x->value) || figure_less_is_better(s->in.figure) ? x->value < y->value : x->value > y->value;
}

size_t report_order(const struct summary *s, size_t *order) {
    size_t n = 0, all = 0;
    for (size_t i = 0; i < s->n_models; i++) {
        if (!s->models[i].listed || s->models[i].role == OUTCOME_HINDSIGHT) continue;
        size_t k = n++;
        for (; k > 0 && before(s, i, order[k - 1]); k--) order[k] = order[k - 1];
        order[k] = i;
    }
    /* each model that is only the best in hindsight goes behind the one of its name, or to the end */
    all = n;
    for (size_t i = 0; i < s->n_models; i++) {
        if (s->models[i].role != OUTCOME_HINDSIGHT) continue;
        size_t at = 0;
        while (at < all && strcmp(s->models[order[at]].name, s->models[i].name) != 0) at++;
        at = at < all ? at + 1 : all;
        memmove(order + at + 1, order + at, (all - at) * sizeof *order);
        order[at] = i;
        all++;
    }
    return all;
}

static void add_verdict(struct buf *b, const struct summary *s) {
    struct buf said;
    buf_init(&said, 1u << 20);
    enum words_tone tone = words_verdict(s, &said);
    buf_printf(b, "<div class=\"verdict %s\"><p class=\"lead\">", tones[tone]);
    page_escape(b, said.p);
    buf_add_str(b, "</p>\n<ul>\n");
    buf_clear(&said);
    words_findings(s, &said);
    for (char *line = said.p; line && *line;) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = '\0';
        buf_add_str(b, "<li>");
        page_escape(b, line);
        buf_add_str(b, "</li>\n");
        line = next;
    }
    buf_add_str(b, "</ul></div>\n");
    if (said.failed) b->failed = true;
    buf_free(&said);
}

static void fact(struct buf *b, const char *title) {
    buf_add_str(b, "<div><dt>");
    page_escape(b, title);
    buf_add_str(b, "</dt><dd>");
}

/* What one looks for first, in large figures. */
static void add_facts(struct buf *b, const struct summary *s) {
    if (s->tested == SUMMARY_NONE) return;
    const struct summary_model *m = &s->models[s->tested];
    char title[64];
    figure_title(s->in.figure, title);
    buf_add_str(b, "<dl class=\"facts\">\n");
    fact(b, title);
    page_fixed(b, m->value, 4);
    buf_printf(b, "<small>%u seed%s", m->n_runs, m->n_runs == 1 ? "" : "s, deviation ");
    if (m->n_runs > 1) page_fixed(b, m->deviation, 4);
    buf_add_str(b, "</small></dd></div>\n");
    if (s->best_baseline != SUMMARY_NONE) {
        const struct summary_model *best = &s->models[s->best_baseline];
        const struct compare *c = &s->comparisons[best->comparison];
        fact(b, "the best baseline");
        page_fixed(b, best->value, 4);
        buf_add_str(b, "<small>");
        page_escape(b, best->name);
        buf_add_str(b, "</small></dd></div>\n");
        fact(b, "difference to it");
        page_change(b, c->ratio);
        buf_add_str(b, "<small>95" PAGE_PERCENT ": ");
        page_range(b, c->by[c->wider].low, c->by[c->wider].high);
        buf_add_str(b, "</small></dd></div>\n");
        fact(b, "smallest visible difference");
        page_share(b, c->detectable);
        buf_printf(b, "<small>by %u comparison%s, at power 0.8</small></dd></div>\n", s->n_comparisons,
                   s->n_comparisons == 1 ? "" : "s");
    }
    fact(b, "targets judged");
    page_count(b, s->to - s->from);
    buf_add_str(b, "<small>");
    if (summary_all(m)->moments < s->to - s->from) {
        buf_add_str(b, "in ");
        page_count(b, summary_all(m)->moments);
        buf_add_str(b, " baskets, ");
    }
    if (s->to > s->from) {
        const struct summary_window *first = s->windows, *last = s->windows + s->n_parts[COHORT_WINDOW] - 1;
        page_date(b, first->from_ms);
        buf_add_str(b, " to<br>");
        page_date(b, last->to_ms);
    }
    buf_add_str(b, "</small></dd></div>\n</dl>\n");
}

static void add_head(struct buf *b, const struct summary *s) {
    buf_add_str(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                   "'unsafe-inline'\">\n<title>Backtest: ");
    page_escape(b, s->in.title);
    buf_add_str(b, "</title>\n<style>");
    report_style(b);
    buf_add_str(b, "</style></head>\n<body><main>\n<p class=\"kicker\">rankd backtest</p>\n<h1>");
    page_escape(b, s->in.title);
    buf_add_str(b, "</h1>\n");
}

void report_html(const struct summary *s, struct buf *b) {
    size_t *order = mem_alloc((s->n_models > 0 ? s->n_models : 1) * sizeof *order);
    if (!order) {
        b->failed = true;
        return;
    }
    size_t n = report_order(s, order);
    add_head(b, s);
    add_verdict(b, s);
    add_facts(b, s);
    if (n > 0 && s->to > s->from) {
        report_models(b, s, order, n);
        report_over_time(b, s, order, n);
        if (s->tested != SUMMARY_NONE) report_cohorts(b, s);
        report_trust(b, s, order, n);
        report_breadth(b, s, order, n);
        report_figures(b, s, order, n);
    }
    report_tried(b, s);
    report_protocol(b, s);
    report_types(b, s);
    report_settings(b, s);
    buf_add_str(b, "<footer>Every figure here stands in the JSON of the same backtest; how each is made is told in "
                   "docs/backtest.md.</footer>\n</main></body></html>\n");
    mem_free(order);
}
