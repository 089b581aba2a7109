/* The result: a report for people, the same for machines, and a table on the terminal. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/backtest_course.h"
#include "daemon/ctl.h"
#include "lib/base/mem.h"
#include "lib/eval/report.h"
#include "lib/eval/summary.h"

#define BOOTSTRAP_SEED 1

/* In the order of the report. */
static const enum outcome_role order[] = {OUTCOME_TESTED,    OUTCOME_BASELINE, OUTCOME_ABLATION,
                                          OUTCOME_HINDSIGHT, OUTCOME_VARIANT,  OUTCOME_TRIED};

static size_t gather(const struct backtest_course *b, const struct outcome_run **out) {
    size_t n = 0;
    for (size_t role = 0; role < sizeof order / sizeof *order; role++)
        for (size_t k = 0; k < b->n_runs; k++)
            if (b->runs[k].listed && b->runs[k].outcome.role == order[role]) out[n++] = &b->runs[k].outcome;
    return n;
}

static int write_file(const struct backtest_course *b, const char *name, const struct buf *text, struct err *e) {
    char path[4200];
    snprintf(path, sizeof path, "%.4000s/%s", b->world.dir, name);
    FILE *f = fopen(path, "we");
    bool ok = f && fwrite(text->p, 1, text->n, f) == text->n;
    if (f && fclose(f) != 0) ok = false;
    return ok ? 0 : err_set(e, ERR_IO, "report", "%s: %s", path, strerror(errno));
}

static void add_number(struct ctl_table *t, const char *fmt, double v) {
    char text[CTL_TEXT] = "-";
    if (!isnan(v)) snprintf(text, sizeof text, fmt, v);
    ctl_table_add(t, text);
}

static void print_model(struct ctl_table *t, const struct summary *s, const struct summary_model *m) {
    const struct compare *c = m->comparison == SUMMARY_NONE ? NULL : &s->comparisons[m->comparison];
    char rate[CTL_TEXT], verdict[96] = "";
    const struct metrics *all = summary_all(m);
    if (c && !isnan(c->ratio))
        snprintf(verdict, sizeof verdict, "%s, x%.3f (%.3f to %.3f)", compare_verdict_key(c->verdict), c->ratio,
                 c->by[c->wider].low, c->by[c->wider].high);
    ctl_table_add(t, m->name);
    ctl_table_add(t, m->role == OUTCOME_HINDSIGHT ? "best in hindsight" : "");
    add_number(t, "%.4f", all->ndcg[METRICS_AT_20]);
    add_number(t, "%.4f", all->recall[METRICS_AT_20]);
    add_number(t, "%.4f", all->mrr[METRICS_AT_20]);
    add_number(t, "%.3f", m->lists.coverage);
    ctl_table_add(t, ctl_rate(rate, m->events_per_s));
    ctl_table_add(t, verdict);
}

static void print_table(const struct backtest_course *b, const struct summary *s) {
    static const char *const head[] = {"model",  "",         "NDCG@20", "recall@20",
                                       "MRR@20", "coverage", "events",  "rankd against it"};
    struct ctl_table t;
    char n[CTL_TEXT];
    ctl_table_init(&t, "<<>>>>><");
    for (size_t k = 0; k < sizeof head / sizeof *head; k++) ctl_table_add(&t, head[k]);
    for (size_t k = 0; k < s->n_models; k++)
        if (s->models[k].listed) print_model(&t, s, &s->models[k]);
    ctl_table_print(&t);
    printf("\n%s targets judged", ctl_count(n, s->to - s->from));
    if (b->n_tried > 1) printf("; chosen among %zu configurations on the first part of the log", b->n_tried);
    if (b->jobs.stopped) printf("; stopped early");
    if (b->o->report) printf("; %s/report.html tells more", b->o->report);
    printf("\n");
}

static int write_report(const struct backtest_course *b, const struct summary *s, struct err *e) {
    struct buf html, json;
    buf_init(&html, REPORT_BYTES_MOST);
    buf_init(&json, REPORT_BYTES_MOST);
    report_json(s, &json);
    if (b->o->report) report_html(s, &html);
    int rc = html.failed || json.failed ? err_set(e, ERR_NOMEM, "report", "no memory for the report") : 0;
    if (rc == 0 && b->o->report) rc = write_file(b, "report.html", &html, e);
    if (rc == 0 && b->o->report) rc = write_file(b, "report.json", &json, e);
    if (rc == 0 && b->o->json) fwrite(json.p, 1, json.n, stdout);
    if (rc == 0 && !b->o->json) print_table(b, s);
    buf_free(&html);
    buf_free(&json);
    return rc;
}

/* What was judged, by the names of its files. */
static void name_log(const struct backtest_course *b, char *out, size_t size) {
    const struct backtest_input *in = &b->o->input;
    const char *first = in->n_files ? in->files[0] : in->topics[0], *slash = strrchr(first, '/');
    size_t n = in->n_files + in->n_topics;
    if (slash && slash[1]) first = slash + 1;
    if (n > 1)
        snprintf(out, size, "%s and %zu more", first, n - 1);
    else
        snprintf(out, size, "%s", first);
}

int backtest_result(const struct backtest_course *b, struct err *e) {
    struct summary s;
    char title[512];
    const struct outcome_run **runs = mem_alloc((b->n_runs + 1) * sizeof *runs);
    if (!runs) return err_set(e, ERR_NOMEM, "report", "no memory for the report");
    name_log(b, title, sizeof title);
    struct summary_input in = {.set = &b->world.cases.set,
                               .runs = runs,
                               .n_runs = gather(b, runs),
                               .figure = b->o->wish.preset->figure,
                               .objective = b->o->wish.preset->name,
                               .title = title,
                               .n_choosing = b->world.cases.n_choosing,
                               .seed = BOOTSTRAP_SEED,
                               .ended_early = b->jobs.stopped};
    int rc = summary_make(&in, &s, e);
    if (rc == 0) {
        rc = write_report(b, &s, e);
        summary_free(&s);
    }
    mem_free(runs);
    return rc;
}
