/* What was given to the backtest, as the report repeats it: protocol, event types, configuration. */
#include "lib/eval/page.h"
#include "lib/eval/report_priv.h"

static void row(struct buf *b, const char *key) {
    buf_add_str(b, "<tr><th scope=\"row\">");
    page_escape(b, key);
    buf_add_str(b, "</th><td class=\"wrap\">");
}

static void row_end(struct buf *b) { buf_add_str(b, "</td></tr>\n"); }

void report_protocol(struct buf *b, const struct summary *s) {
    char title[64];
    figure_title(s->in.figure, title);
    report_section(b, "Protocol", "What was judged, and how. The same for every model.");
    buf_add_str(b, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"protocol\"><table "
                   "class=\"given\"><tbody>\n");
    row(b, "the figure that decides");
    buf_add_str(b, title);
    row_end(b);
    if (s->in.objective) {
        row(b, "objective");
        page_escape(b, s->in.objective);
        row_end(b);
    }
    row(b, "targets for choosing configurations");
    page_count(b, s->in.n_choosing);
    row_end(b);
    row(b, "targets for the figures");
    page_count(b, s->to - s->from);
    row_end(b);
    for (size_t i = 0; i < s->in.set->n_notes; i++) {
        row(b, s->in.set->notes[i].key);
        page_escape(b, s->in.set->notes[i].value);
        row_end(b);
    }
    buf_add_str(b, "</tbody></table></div>\n");
    report_section_end(b);
}

void report_types(struct buf *b, const struct summary *s) {
    if (s->in.set->n_types == 0) return;
    report_section(b, "Event types",
                   "A type that the configuration does not name counts, in a backtest only, as a "
                   "positive type of weight 1.");
    buf_add_str(b,
                "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"event types\"><table><thead><tr><th "
                "scope=\"col\">type</th><th scope=\"col\">events</th><th scope=\"col\" class=\"left\">in the "
                "configuration</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < s->in.set->n_types; i++) {
        const struct outcome_type *t = &s->in.set->types[i];
        buf_add_str(b, "<tr><th scope=\"row\">");
        page_escape(b, t->name);
        buf_add_str(b, "</th><td>");
        page_count(b, t->events);
        buf_printf(b, "</td><td class=\"left\">%s</td></tr>\n",
                   t->configured ? "yes" : "<span class=\"chip careful\">no, taken as weight 1</span>");
    }
    buf_add_str(b, "</tbody></table></div>\n");
    report_section_end(b);
}

void report_settings(struct buf *b, const struct summary *s) {
    if (s->tested == SUMMARY_NONE) return;
    const struct summary_model *m = &s->models[s->tested];
    report_section(b, "Configuration", "Of the tested model, where it differs from the defaults.");
    buf_add_str(b, "<div class=\"card\" style=\"padding:0\"><pre>");
    page_escape(b, m->settings[0] ? m->settings : "the defaults");
    buf_add_str(b, "</pre></div>\n");
    report_section_end(b);
}
