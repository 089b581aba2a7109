/* rankd backtest: what its parts share. A log is learned by the daemon's own code, and before each event of it the
 * model ranks all candidates for its user: where does what comes next stand? */
#ifndef RANKD_DAEMON_BACKTEST_H
#define RANKD_DAEMON_BACKTEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/backtest_log.h"
#include "daemon/backtest_table.h"
#include "daemon/config.h"
#include "lib/base/err.h"

#define BACKTEST_MAX_CUTS 16

struct backtest_protocol {            /* what is judged and how; the same for every model */
    uint64_t every;                   /* of the lines of behaviour, every how many one is judged */
    double skip;                      /* share of the lines at the start that give no figures */
    const char *targets;              /* names of types, comma-separated; NULL: all whose weight is positive */
    bool repeats;                     /* judge items, too, that the user has had before */
    bool keep_used;                   /* let the ranking hold items that the user has had */
    bool skip_cold;                   /* do not judge targets never seen before; else they are misses */
    uint32_t cuts[BACKTEST_MAX_CUTS]; /* (n_cuts) ascending: lengths of the list that figures are about */
    size_t n_cuts;
};

struct backtest_case { /* one target to be predicted */
    size_t event;      /* in table.events */
    size_t line;       /* of all behaviour lines, from 0 */
    uint32_t item;     /* number of the target */
    bool cold;         /* never touched before its moment */
};

struct backtest_cases {
    struct backtest_case *cases; /* (n), in the order of the log */
    size_t n, cap;
    size_t figures_from; /* those before are for choosing */
};

/* Chooses what is judged. ERR_RANGE: an unknown name among the targets; ERR_NOMEM. */
int backtest_cases_make(const struct backtest_table *t, const struct backtest_protocol *p, struct backtest_cases *out,
                        struct err *e) ERR_MUST_CHECK;
void backtest_cases_free(struct backtest_cases *c);

struct backtest_figures { /* of one run through the log */
    uint32_t *rank;       /* (cases.n) place of the target, 0 = first; the longest cut or more: not in the list */
    uint64_t events;      /* records applied */
    uint64_t learned;
    uint64_t cpu_ns, wall_ns;
    uint64_t peak_bytes;
    char digest[65];
};

/* Runs the log through an engine of its own in this process: before each moment that is judged one ranking, then its
 * events are learned. done: raised as records are applied, may be NULL. dir: where a directory for the state may be
 * made and removed. */
int backtest_run_model(const struct config *c, const struct backtest_log *l, const struct backtest_input *in,
                       const struct backtest_table *t, const struct backtest_cases *cases,
                       const struct backtest_protocol *p, const char *dir, _Atomic uint64_t *done,
                       struct backtest_figures *out, struct err *e) ERR_MUST_CHECK;
void backtest_figures_free(struct backtest_figures *f);

#endif
