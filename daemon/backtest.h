/* rankd backtest: what its parts share. A log is learned by the daemon's own code, and before each event of it the
 * model ranks all candidates for its user: where does what comes next stand?
 *
 * The process that was started reads the log, decides what is judged and forks one process for each run; a run hands
 * its outcome over in a file. No thread and no LMDB environment exists when a process is forked. */
#ifndef RANKD_DAEMON_BACKTEST_H
#define RANKD_DAEMON_BACKTEST_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/backtest_log.h"
#include "daemon/backtest_table.h"
#include "daemon/config.h"
#include "lib/base/err.h"
#include "lib/eval/baseline.h"
#include "lib/eval/calibrator.h"
#include "lib/eval/metrics.h"
#include "lib/eval/outcome.h"
#include "lib/model/recommend.h"

#define BACKTEST_RANKED METRICS_PLACES /* length of the rankings: figures look no further */
#define BACKTEST_LIST   20             /* length of the lists that coverage and novelty are about */

struct backtest_protocol { /* what is judged and how; the same for every model */
    uint64_t every;        /* of the lines of behaviour, every how many one is judged */
    double skip;           /* share of the lines at the start that gives no figures */
    int64_t until_ms;      /* figures from the first line at or after this time on, not by skip; EVENT_NO_TIME */
    bool choosing;         /* judge targets of the first part, too, to choose configurations by */
    double choose;         /* its share of the lines; negative: up to where the figures begin */
    const char *targets;   /* names of types, comma-separated; NULL: all whose weight is positive */
    const char *cohort;    /* a feature that figures are divided by, see backtest_feature_new; NULL */
    bool repeats;          /* judge items, too, that the user has had before */
    bool keep_used;        /* let the ranking hold items that the user has had */
    bool skip_cold;        /* do not judge targets never touched before; else they are misses */
    bool freeze;           /* learn nothing from where the figures begin */
};

struct backtest_cases { /* the targets to be predicted, in the order of the log */
    struct outcome_set set;
    size_t *event;     /* (set.n) in table.events */
    uint32_t *target;  /* (set.n) number of the item */
    size_t cap;        /* room in both */
    size_t n_choosing; /* the cases before are for choosing; some of them give figures, too, where skip is 0 */
    uint64_t choose_from, choose_to, figures_line; /* lines of behaviour, from 0 */
    size_t figures_event;                          /* the first event whose lines give figures; table.n: none */
};

/* Chooses what is judged. ERR_RANGE: an unknown name among the targets; ERR_NOMEM. */
int backtest_cases_make(const struct backtest_log *l, const struct backtest_table *t, const struct backtest_protocol *p,
                        struct backtest_cases *out, struct err *e) ERR_MUST_CHECK;
void backtest_cases_free(struct backtest_cases *c);

struct backtest_world { /* made before the first run, not changed by any */
    struct backtest_input input;
    struct backtest_log log;
    struct backtest_table table;
    uint64_t skipped[EVENT_REASONS]; /* records of the log as it came, by verdict */
    uint64_t n_late, n_apart;        /* lines that are out of order, and that stand apart from their moment */
    struct backtest_protocol protocol;
    struct backtest_cases cases;
    uint64_t id;     /* of program, log, cases and protocol: outcomes of another are of no use */
    const char *dir; /* for outcomes and for states while they are computed */
};

struct backtest_run {                 /* one model, one configuration, one seed */
    const struct baseline_kind *kind; /* NULL: rankd */
    uint32_t point;                   /* of the baseline's grid, or of the plan */
    const struct config *config;      /* rankd's; borrowed */
    uint64_t seed;
    uint64_t id; /* of world and configuration */
    enum { BACKTEST_WAITING, BACKTEST_RUNNING, BACKTEST_DONE, BACKTEST_PARTLY, BACKTEST_FAILED } state;
    bool listed;                /* in the result: it has all cases that the result is about */
    bool reused;                /* an outcome of an earlier backtest was there */
    struct outcome_run outcome; /* DONE and PARTLY; name, role and settings were given before */
    char digest[65];            /* of rankd's state at the end; empty when it was not reached */
};

/* Set by a signal: runs end at the next event and keep what they have. */
extern volatile sig_atomic_t backtest_stop;

/* Runs the log through an engine, in this process: before each moment that is judged one ranking, then its events are
 * learned. Fills run->outcome and digest. done: raised to the number of records applied. */
int backtest_run_rankd(const struct backtest_world *w, struct backtest_run *run, _Atomic uint64_t *done,
                       struct err *e) ERR_MUST_CHECK;
/* The same by a baseline. */
int backtest_run_baseline(const struct backtest_world *w, struct backtest_run *run, _Atomic uint64_t *done,
                          struct err *e) ERR_MUST_CHECK;

/* What users did since nothing is learned any more (--freeze): it goes with each question, as a frontend would send the
 * items of the visit. Where the daemon knows the user, it keeps to what it knows of him. */
struct backtest_frozen;
int backtest_frozen_new(const struct backtest_table *t, struct backtest_frozen **out, struct err *e) ERR_MUST_CHECK;
void backtest_frozen_free(struct backtest_frozen *f); /* NULL is fine */
int backtest_frozen_add(struct backtest_frozen *f, const struct backtest_event *ev, struct err *e) ERR_MUST_CHECK;
/* Fills history and exclude of q; valid until the next call. */
void backtest_frozen_ask(struct backtest_frozen *f, uint32_t user, struct recommend_request *q);

/* Probabilities: no model has any of its own, so that each is asked how sure it could be (lib/eval/calibrator.h); rankd
 * by its scores and places, baselines by places. ask: for the moment of this case, once; scores (n) may be NULL;
 * n_candidates: with those that the user has used. add: the outcome of the next case, then it is learned. */
void backtest_ask_calibrator(struct calibrator *c, const struct backtest_world *w, size_t at, const float *scores,
                             uint32_t n, uint64_t n_candidates);
int backtest_add_outcome(struct outcome_run *out, struct calibrator *c, uint32_t place, struct err *e) ERR_MUST_CHECK;

/* What a run of either kind measures of itself. */
struct backtest_meter {
    uint64_t cpu_ns, wall_ns, held_bytes;
};
void backtest_meter_begin(struct backtest_meter *m);
void backtest_meter_end(const struct backtest_meter *m, struct outcome_run *out);

#endif
