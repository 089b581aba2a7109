/* The course of a backtest: plan, log, runs, choice, ablations, result. */
#include "daemon/backtest_course.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backtest_order.h"
#include "daemon/config_priv.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

/* --- what all runs share --- */

/* The program itself: outcomes of another one are not trusted to be those of this. */
static int hash_program(uint64_t *out, struct err *e) {
    static char part[1u << 16];
    FILE *f = fopen("/proc/self/exe", "rbe");
    if (!f) return err_set(e, ERR_IO, "program", "/proc/self/exe: %s", strerror(errno));
    uint64_t h = 0;
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) h = hash64(part, n, h);
    (void)fclose(f);
    *out = h;
    return 0;
}

static int name_world(struct backtest_world *w, struct err *e) {
    const struct backtest_protocol *p = &w->protocol;
    uint64_t program = 0;
    int rc = hash_program(&program, e);
    if (rc < 0) return rc;
    /* What is judged is in the cases; how, is this. */
    uint64_t parts[] = {program, backtest_log_hash(&w->log), outcome_set_id(&w->cases.set), w->cases.figures_event,

                        (uint64_t)p->keep_used | (uint64_t)p->freeze << 1};
    w->id = hash64(parts, sizeof parts, hash64(w->cases.target, w->cases.set.n * sizeof *w->cases.target, 0));
    if (w->input.type) w->id = hash64(w->input.type, strlen(w->input.type), w->id);
    return 0;
}

/* Cases that give figures are wanted before anything is run. */
static int check_cases(const struct backtest_world *w, struct err *e) {
    if (w->cases.set.n > w->cases.set.figures_from) return 0;
    if (w->cases.figures_line >= w->table.lines)
        return err_set(
            e, ERR_RANGE, "cases",
            "figures would begin behind the last of %llu lines: --skip, --train-until or --choose leaves none",
            (unsigned long long)w->table.lines);
    return err_set(
        e, ERR_RANGE, "cases",
        "none of the %llu lines from number %llu on is judged: no target of those types, no pair that is new, "
        "or none that --every meets",
        (unsigned long long)(w->table.lines - w->cases.figures_line), (unsigned long long)w->cases.figures_line);
}

/* The table of the log in its final order. */
static int decode(struct backtest_course *b, struct err *e) {
    struct backtest_world *w = &b->world;
    struct backtest_input again = w->input;
    bool moments = w->log.foreign && !w->input.serial;
    again.reject = NULL; /* every line is told about once */
    int rc = backtest_table_make(&w->log, &w->input, moments, &w->table, e);
    if (rc == 0) memcpy(w->skipped, w->table.reasons, sizeof w->skipped);
    for (int step = 0; step < 2 && rc == 0; step++) {
        if (step == 0 && w->log.json && moments) rc = backtest_order_baskets(&w->log, &w->input, &w->table, e);
        if (step == 1 && b->o->shuffle) rc = backtest_order_shuffle(&w->log, &w->table, b->o->shuffle_seed, e);
        if (rc <= 0) continue;
        backtest_table_free(&w->table);
        rc = backtest_table_make(&w->log, &again, moments, &w->table, e);
    }
    if (rc == 0) w->n_late = backtest_late_lines(&w->table);
    if (rc == 0 && moments) rc = backtest_apart_lines(&w->table, &w->n_apart, e);
    return rc;
}

static int no_event(const struct backtest_log *l, struct err *e) {
    if (l->lines == 0) return err_set(e, ERR_RANGE, "log", "the log has no line");
    return err_set(e, ERR_RANGE, "log",
                   "none of the %llu lines of log, items and users is an event to learn: %llu cannot be read, the "
                   "others are of no "
                   "type or time that counts or outside --from and --to",
                   (unsigned long long)l->lines, (unsigned long long)l->rejected);
}

static int make_world(struct backtest_course *b, struct err *e) {
    struct backtest_world *w = &b->world;
    w->input = b->o->input;
    w->input.config = &b->plan.points[0]->config;
    w->protocol = b->o->protocol;
    bool beside = !b->o->baselines || strcmp(b->o->baselines, "none") != 0;
    w->protocol.choosing = b->plan.n_points > 1 || beside;
    int rc = backtest_log_read(&w->log, &w->input, e);
    if (rc == 0) rc = decode(b, e);
    if (rc == 0 && w->table.lines == 0) rc = no_event(&w->log, e);
    if (rc == 0) rc = backtest_cases_make(&w->log, &w->table, &w->protocol, &w->cases, e);
    if (rc == 0) rc = check_cases(w, e);
    if (rc == 0) rc = name_world(w, e);
    for (size_t k = 0; k < b->plan.n_points && rc == 0; k++)
        rc = backtest_table_add_types(&w->table, &b->plan.points[k]->config, e);
    return rc;
}

static int open_dir(struct backtest_course *b, struct err *e) {
    b->world.dir = b->o->report;
    if (!b->o->report) {
        const char *base = getenv("TMPDIR");
        if (!base || !*base) base = "/tmp";
        snprintf(b->made_dir, sizeof b->made_dir, "%.3900s/rankd-backtest-XXXXXX", base);
        if (!mkdtemp(b->made_dir)) {
            b->made_dir[0] = '\0';
            return err_set(e, ERR_IO, "report", "no directory can be made in %.200s: %s", base, strerror(errno));
        }
        b->world.dir = b->made_dir;
    }
    return backtest_dir_open(b->world.dir, e);
}

/* --- runs --- */

static int add_run(struct backtest_course *b, const struct backtest_run *run, const char *name, const char *settings,
                   uint64_t of, struct err *e) {
    struct backtest_run *to;
    uint64_t parts[] = {b->world.id, of, run->seed, run->kind != NULL};
    uint64_t id = hash64(parts, sizeof parts, hash64(name, strlen(name), 0));
    id = hash64(settings, strlen(settings), id);
    for (size_t k = 0; k < b->n_runs; k++)
        if (b->runs[k].id == id) return 0; /* a grid may have the same point twice */
    if (b->n_runs == b->cap_runs) {
        size_t cap = b->cap_runs ? 2 * b->cap_runs : 64;
        struct backtest_run *runs = mem_realloc(b->runs, cap * sizeof *runs);
        if (!runs) return err_set(e, ERR_NOMEM, "plan", "no memory for %zu runs", cap);
        b->runs = runs;
        b->cap_runs = cap;
    }
    to = &b->runs[b->n_runs];
    *to = *run;
    to->id = id;
    int rc =
        outcome_run_init(&to->outcome, name, run->kind ? OUTCOME_BASELINE : OUTCOME_VARIANT, run->seed, settings, e);
    if (rc == 0) b->n_runs++;
    return rc;
}

static uint64_t hash_config(const struct config *c) {
    struct buf text;
    buf_init(&text, 1u << 20);
    config_learning_text(c, &text);
    buf_printf(&text, "user_cache=%llu\n", (unsigned long long)c->user_cache_bytes);
    uint64_t h = hash64(text.p, text.n, 0);
    buf_free(&text);
    return h;
}

/* A point with each of its seeds. */
static int add_point_runs(struct backtest_course *b, size_t point, const char *name, struct err *e) {
    const struct backtest_point *p = b->plan.points[point];
    int rc = 0;
    for (uint64_t k = 0; k < b->o->wish.seeds && rc == 0; k++) {
        struct backtest_run run = {
            .point = (uint32_t)point, .config = &p->config, .seed = (uint64_t)p->config.seed + k};
        rc = add_run(b, &run, name, p->settings, hash_config(&p->config), e);
    }
    return rc;
}

static int add_baselines(struct backtest_course *b, struct err *e) {
    const char *rest = b->o->baselines;
    char name[64], text[BASELINE_TEXT];
    struct slice given;
    bool wanted[64] = {false};
    for (uint32_t k = 0; !rest && k < baseline_n_kinds && k < 64; k++) wanted[k] = true;
    while (rest && strcmp(rest, "none") != 0 && config_list_next(&rest, &given)) {
        uint32_t k = 0;
        snprintf(name, sizeof name, "%.*s", (int)given.n, given.p);
        while (k < baseline_n_kinds && strcmp(baseline_kinds[k]->name, name) != 0) k++;
        if (k == baseline_n_kinds) return err_set(e, ERR_RANGE, "baselines", "no baseline is called \"%s\"", name);
        wanted[k] = true;
    }
    int rc = 0;
    for (uint32_t k = 0; k < baseline_n_kinds && k < 64; k++)
        for (uint32_t point = 0; wanted[k] && point < baseline_kinds[k]->n_configs && rc == 0; point++) {
            struct backtest_run run = {.kind = baseline_kinds[k], .point = point, .seed = 1};
            baseline_describe(baseline_kinds[k], point, text);
            rc = add_run(b, &run, baseline_kinds[k]->name, text, 0, e);
        }
    return rc;
}

static int run_ablations(struct backtest_course *b, struct err *e) {
    size_t first = b->n_runs;
    char name[96];
    int rc = 0;
    for (size_t k = 0; k < backtest_n_ablations && rc == 0; k++) {
        const struct backtest_ablation *a = &backtest_ablations[k];
        size_t n = 0;
        if (a->needs != EVENT_BEHAVIOUR && b->world.table.featured[a->needs] == 0) continue;
        while (n < sizeof a->options / sizeof *a->options && a->options[n]) n++;
        rc = backtest_plan_add(&b->plan, b->plan.points[b->best], a->options, n, e);
        if (rc < 0) break;
        rc = backtest_table_add_types(&b->world.table, &b->plan.points[b->plan.n_points - 1]->config, e);
        snprintf(name, sizeof name, "rankd %s", a->name);
        if (rc == 0) rc = add_point_runs(b, b->plan.n_points - 1, name, e);
    }
    if (rc == 0) rc = backtest_jobs_run(&b->jobs, b->runs + first, b->n_runs - first, e);
    for (size_t k = first; k < b->n_runs; k++) {
        b->runs[k].outcome.role = OUTCOME_ABLATION;
        b->runs[k].listed = b->runs[k].state == BACKTEST_DONE;
    }
    return rc;
}

static int write_best(const struct backtest_course *b, struct err *e) {
    char path[4200];
    struct buf text;
    buf_init(&text, 16u << 20);
    buf_printf(&text, "# The configuration that a backtest chose among %zu.\n\n", b->n_tried);
    int rc = backtest_point_file(b->plan.points[b->best], &text, e);
    snprintf(path, sizeof path, "%.4000s/best.conf", b->o->report);
    FILE *f = rc == 0 ? fopen(path, "we") : NULL;
    if (f && (fwrite(text.p, 1, text.n, f) != text.n || fclose(f) != 0)) f = NULL;
    if (rc == 0 && !f) rc = err_set(e, ERR_IO, "report", "%s: %s", path, strerror(errno));
    buf_free(&text);
    return rc;
}

static int run_all(struct backtest_course *b, struct err *e) {
    int rc = 0;
    b->jobs = (struct backtest_jobs){.w = &b->world, .at_once = b->o->jobs, .quiet = b->o->quiet};
    for (size_t k = 0; k < b->plan.n_points && rc == 0; k++) rc = add_point_runs(b, k, "rankd", e);
    if (rc == 0) rc = add_baselines(b, e);
    if (rc < 0) return rc;
    b->n_tried = b->plan.n_points;
    backtest_jobs_begin(&b->jobs);
    backtest_progress_world(&b->jobs, b->n_runs);
    rc = backtest_jobs_run(&b->jobs, b->runs, b->n_runs, e);
    backtest_settle(b);
    if (rc == 0 && b->n_cases <= b->world.cases.set.figures_from)
        rc = err_set(e, ERR_MISSING, "backtest", "%s",
                     b->jobs.stopped ? "stopped before anything was done that gives figures"
                                     : "no run of the model came to an end");
    if (rc == 0) backtest_choose(b);
    if (rc == 0 && b->o->ablations && !b->jobs.stopped) rc = run_ablations(b, e);
    return rc;
}

int backtest_course(const struct backtest_options *o, struct err *e) {
    struct backtest_course b = {.o = o};
    backtest_log_init(&b.world.log);
    int rc = backtest_plan_make(&o->wish, &b.plan, e);
    if (rc == 0) rc = open_dir(&b, e);
    if (rc == 0) rc = make_world(&b, e);
    if (rc == 0) rc = run_all(&b, e);
    if (rc == 0) rc = backtest_notes(&b, e);
    if (rc == 0) rc = backtest_result(&b, e);
    if (rc == 0 && o->report) rc = write_best(&b, e);
    if (b.made_dir[0]) backtest_dir_remove(b.made_dir);
    for (size_t k = 0; k < b.n_runs; k++) outcome_run_free(&b.runs[k].outcome);
    mem_free(b.runs);
    backtest_cases_free(&b.world.cases);
    backtest_table_free(&b.world.table);
    backtest_log_free(&b.world.log);
    backtest_plan_free(&b.plan);
    return rc;
}
