/* Runs in processes of their own, as many at once as are wanted; what each found out is kept in a file, so that a
 * backtest that was interrupted goes on where it was. */
#ifndef RANKD_DAEMON_BACKTEST_JOBS_H
#define RANKD_DAEMON_BACKTEST_JOBS_H

#include "daemon/backtest.h"

/* Below w->dir: makes runs/, removes what a killed backtest left. ERR_IO. */
int backtest_dir_open(const char *dir, struct err *e) ERR_MUST_CHECK;
/* Removes the outcomes, too, and the directory itself if nothing else is in it. */
void backtest_dir_remove(const char *dir);
/* Removes the directory of one run's state. */
void backtest_remove_state(const char *dir);

struct backtest_jobs {
    const struct backtest_world *w;
    unsigned at_once;
    bool quiet;
    /* all calls together */
    bool stopped; /* by a signal: what was running ended early, what waited was not begun */
    size_t failed;
    /* progress */
    bool terminal, line_open;
    uint64_t start_ns, shown_ns;
    uint64_t done_before; /* records of runs that have ended */
};

/* From here on signals end the runs and not the process: call it before the first runs. */
void backtest_jobs_begin(struct backtest_jobs *j);
/* Every waiting run is looked up or computed: afterwards it is DONE, PARTLY, FAILED (said on stderr), or WAITING when
 * the backtest was stopped before its turn. ERR_NOMEM, ERR_IO: processes cannot be made. */
int backtest_jobs_run(struct backtest_jobs *j, struct backtest_run *runs, size_t n, struct err *e) ERR_MUST_CHECK;

/* backtest_progress.c: on stderr. */
struct backtest_progress {
    uint64_t done, all; /* records, of this call's runs that are computed */
    size_t runs_done, runs;
};
void backtest_progress_show(struct backtest_jobs *j, const struct backtest_progress *p);
void backtest_progress_world(struct backtest_jobs *j, size_t n_runs); /* what is about to be run */
void backtest_progress_clear(struct backtest_jobs *j);                /* before anything else is written to stderr */
void backtest_progress_run(struct backtest_jobs *j, const struct backtest_run *run); /* one has ended */

#endif
