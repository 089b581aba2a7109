/* A whole backtest: from what was asked for to the report. */
#ifndef RANKD_DAEMON_BACKTEST_COURSE_H
#define RANKD_DAEMON_BACKTEST_COURSE_H

#include "daemon/backtest_jobs.h"
#include "daemon/backtest_plan.h"

struct backtest_options {
    struct backtest_wish wish;
    struct backtest_input input; /* config is set here */
    struct backtest_protocol protocol;
    const char *report; /* directory, or NULL: outcomes are not kept */
    bool shuffle;       /* records of equal stamps, by a seed */
    uint64_t shuffle_seed;
    const char *baselines; /* names, comma-separated; NULL: all; "none" */
    bool ablations, json, quiet;
    unsigned jobs; /* processes at once; at least 1 */
};

struct backtest_course {
    const struct backtest_options *o;
    struct backtest_world world;
    struct backtest_plan plan;
    struct backtest_jobs jobs;
    struct backtest_run *runs; /* (n_runs) */
    size_t n_runs, cap_runs;
    size_t n_cases;      /* the first ones, that every run of the result has; all, unless it was stopped */
    size_t best;         /* the chosen point of the plan */
    size_t n_tried;      /* points that were chosen from: the ones behind are ablations */
    char made_dir[4000]; /* for outcomes that are not kept */
};

/* Runs everything that was asked for and prints the result. 0 also when it was stopped and tells about what was done.
 * ERR_MISSING: no run of the model came to an end. Errors of the parts. */
int backtest_course(const struct backtest_options *o, struct err *e) ERR_MUST_CHECK;

/* backtest_choose.c: the deciding figure of a run on the cases for choosing, or on those of the figures; NaN when there
 * is none. */
double backtest_figure(const struct backtest_course *b, const struct backtest_run *run, bool for_choice);
/* Which runs are in the result, and how many cases: all of them when a run of rankd came to its end; else as many as
 * the farthest one has, and no run that has less. */
void backtest_settle(struct backtest_course *b);
/* Chooses among the points of the plan by the mean over their seeds, and among the points of each baseline; gives every
 * run its role. */
void backtest_choose(struct backtest_course *b);

/* backtest_notes.c: writes down the protocol. ERR_NOMEM. */
int backtest_notes(struct backtest_course *b, struct err *e) ERR_MUST_CHECK;

/* backtest_result.c */
int backtest_result(const struct backtest_course *b, struct err *e) ERR_MUST_CHECK;

#endif
