/* What is shown while runs are computed: one line that changes on a terminal, plain lines otherwise. */
#include <stdio.h>

#include "daemon/backtest_jobs.h"
#include "daemon/ctl.h"
#include "lib/base/clock.h"

#define TERMINAL_NS UINT64_C(200000000)
#define PLAIN_NS    UINT64_C(10000000000)

void backtest_progress_clear(struct backtest_jobs *j) {
    if (j->line_open) fputs("\r\033[K", stderr);
    j->line_open = false;
}

void backtest_progress_world(struct backtest_jobs *j, size_t n_runs) {
    const struct backtest_world *w = j->w;
    char a[CTL_TEXT], b[CTL_TEXT], c[CTL_TEXT], d[CTL_TEXT];
    if (j->quiet) return;
    fprintf(stderr, "%s%s lines of behaviour, %s users, %s items, %s targets to judge; %zu runs, %u at once\n",
            j->terminal ? "\r\033[K" : "", ctl_count(a, w->table.lines),
            ctl_count(b, backtest_ids_count(w->table.user_ids)), ctl_count(c, backtest_ids_count(w->table.item_ids)),
            ctl_count(d, w->cases.set.n), n_runs, j->at_once);
    if (w->n_late)
        fprintf(stderr, "%s lines are older by more than an hour than a line before them; is the log in order?\n",
                ctl_count(a, w->n_late));
    if (w->n_apart)
        fprintf(stderr, "%s lines stand apart from others of their user and stamp; should they be one basket?\n",
                ctl_count(a, w->n_apart));
}

void backtest_progress_show(struct backtest_jobs *j, const struct backtest_progress *p) {
    uint64_t now = clock_steady_ns();
    char n[CTL_TEXT], rate[CTL_TEXT], rest[CTL_TEXT];
    if (j->quiet || now - j->shown_ns < (j->terminal ? TERMINAL_NS : PLAIN_NS)) return;
    j->shown_ns = now;
    double seconds = (double)(now - j->start_ns) / 1e9, done = (double)p->done, all = (double)p->all;
    if (p->done == 0 || p->done > p->all) return;
    fprintf(stderr, "%s%5.1f %%  %zu of %zu runs  %s records  %s  %s left%s", j->terminal ? "\r\033[K" : "",
            100 * done / all, p->runs_done, p->runs, ctl_count(n, p->done), ctl_rate(rate, done / seconds),
            ctl_seconds(rest, seconds * (all - done) / done), j->terminal ? "" : "\n");
    j->line_open = j->terminal;
    fflush(stderr);
}

void backtest_progress_run(struct backtest_jobs *j, const struct backtest_run *run) {
    static const char *const states[] = {"waiting", "running", "done", "in part", "failed"};
    char took[CTL_TEXT];
    if (j->quiet) return;
    backtest_progress_clear(j);
    fprintf(stderr, "%s", run->outcome.name);
    if (!run->kind) fprintf(stderr, ", seed %llu", (unsigned long long)run->seed);
    for (const char *s = run->outcome.settings; *s; s++) {
        if (s == run->outcome.settings) fputs(", ", stderr);
        if (*s != '\n')
            fputc(*s, stderr);
        else if (s[1])
            fputs(", ", stderr);
    }
    if (run->reused)
        fputs(": from an earlier backtest\n", stderr);
    else
        fprintf(stderr, ": %s in %s\n", states[run->state], ctl_seconds(took, (double)run->outcome.wall_ns / 1e9));
}
