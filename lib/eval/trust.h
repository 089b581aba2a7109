/* How true the probabilities of a model are: calibration of what it put first, and what it gave the target. */
#ifndef RANKD_EVAL_TRUST_H
#define RANKD_EVAL_TRUST_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/outcome.h"

#define TRUST_BINS  10
#define TRUST_LEAST 1e-9 /* a smaller probability counts as this, so that one case cannot decide a mean */

double trust_surprise(double p); /* -ln max(p, TRUST_LEAST) */

struct trust_bin {
    uint64_t n;
    double p;         /* mean probability given to the first item */
    double rate;      /* share of cases in which it was the target */
    double low, high; /* 95 % interval of rate (Wilson 1927), as if cases were independent */
};
/* How true the probabilities of the first item of each list are, and how much was given to the target. */
struct trust {
    uint64_t n;          /* cases with a probability of the first item; 0: none, and the figures up to bins are 0 */
    double ece;          /* expected calibration error: sum over bins of n_b / n |p_b - rate_b| (Naeini et al. 2015) */
    double brier;        /* mean of (p - hit)^2 (Brier 1950) */
    double log_loss_top; /* mean of -ln p where it was the target, -ln (1 - p) where not */
    unsigned n_bins;
    struct trust_bin bins[TRUST_BINS]; /* of the same number of cases, equal p never parted; p rising */
    uint64_t n_target;                 /* cases with a probability of the target */
    double log_loss;                   /* mean of -ln p of the target, as FIGURE_LOG_LOSS */
};
/* Over cases [from, to) of all n_runs runs together. ERR_NOMEM. */
int trust_of(const struct outcome_run *const *runs, size_t n_runs, size_t from, size_t to, struct trust *out,
             struct err *e) ERR_MUST_CHECK;

#endif
