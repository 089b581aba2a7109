/* Everything a report of a backtest says, computed from its outcomes: figures of each model, comparisons, what was
 * tried.
 *
 * A model is all runs of one name, role and settings; they differ in the seed, and figures are means over them. */
#ifndef RANKD_EVAL_SUMMARY_H
#define RANKD_EVAL_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/cohort.h"
#include "lib/eval/compare.h"
#include "lib/eval/figure.h"
#include "lib/eval/metrics.h"
#include "lib/eval/outcome.h"
#include "lib/eval/trust.h"

#define SUMMARY_NONE SIZE_MAX

struct summary_input {
    const struct outcome_set *set;
    const struct outcome_run *const *runs; /* (n_runs), in the order of the report; those that have no case behind
                                              figures_from are left out */
    size_t n_runs;
    struct figure figure;  /* what decides; usually ndcg@20 */
    const char *objective; /* the preset that chose the figure, "accuracy"; NULL: none was named */
    const char *title;     /* what was judged: names of logs. Borrowed, as all the rest, for as long as the summary */
    size_t n_choosing;     /* cases [0, n_choosing) chose among configurations */
    uint64_t seed;         /* of the bootstrap's draws */
    bool ended_early;      /* somebody stopped it */
};

struct summary_model {
    const char *name, *settings;
    enum outcome_role role;
    const struct outcome_run **runs; /* (n_runs) */
    unsigned n_runs;
    double value;                     /* of the deciding figure, mean over runs; NaN: it has none */
    double lowest, highest;           /* of it among runs */
    double deviation;                 /* standard deviation over runs (n - 1); 0 for one */
    double choosing;                  /* the same on the cases for choosing; NaN without any */
    struct metrics *by[COHORT_KINDS]; /* (summary.n_parts[kind]) mean over runs; NULL unless listed */
    struct metrics_lists lists;       /* mean over runs; likewise */
    struct trust trust;               /* of all runs together; likewise */
    double events_per_s; /* learned, by processor time (one run is one thread), mean over runs; 0: not measured */
    double cpu_us_an_event;
    uint64_t peak_bytes; /* most of any run */
    uint64_t learned;    /* events */
    bool listed;         /* in tables of figures: the tested model, baselines, ablations, best in hindsight */
    size_t comparison;   /* the tested model against this one; SUMMARY_NONE */
};

struct summary_window {     /* a part of COHORT_WINDOW */
    int64_t from_ms, to_ms; /* times of its first and its last case, by time */
};

struct summary {
    struct summary_input in;
    size_t from, to; /* cases that the figures are of; to is that of the shortest run */
    size_t n_parts[COHORT_KINDS];
    struct summary_window *windows; /* (n_parts[COHORT_WINDOW]) */
    struct summary_model *models;   /* (n_models) in the order of their first run */
    size_t n_models;
    size_t tested;               /* the model under test; SUMMARY_NONE */
    size_t best_baseline;        /* by the deciding figure; SUMMARY_NONE */
    struct compare *comparisons; /* (n_comparisons) the tested model against each baseline, then each ablation */
    unsigned n_comparisons;
    const struct outcome_run **runs; /* what the models point into */
};

/* ERR_NOMEM. *out is to be freed; untouched on failure. */
int summary_make(const struct summary_input *in, struct summary *out, struct err *e) ERR_MUST_CHECK;
void summary_free(struct summary *s);

/* The first listed model that the comparison is about, other than the tested one. */
const struct summary_model *summary_against(const struct summary *s, const struct compare *c);
/* Figures over all cases, and for warm (0) or cold (1) targets, of a listed model. */
static inline const struct metrics *summary_all(const struct summary_model *m) { return &m->by[COHORT_ALL][0]; }
static inline const struct metrics *summary_warmth(const struct summary_model *m, int cold) {
    return &m->by[COHORT_WARMTH][cold];
}

#endif
