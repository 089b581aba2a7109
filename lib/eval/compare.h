/* Whether one model is better than another on the same cases, or whether the difference is inside the noise.
 *
 * The ratio of the two means is bootstrapped by clusters (lib/eval/boot.h), once over users and once over time; the
 * wider of the two intervals counts. With several seeds a side is the mean over its runs, and each draw takes other
 * runs, so that the spread of the seeds is in the interval too. Comparisons are named beforehand and corrected together
 * (Holm 1979). A model that is better on the whole must also not be worse anywhere: in no part of the cases that holds
 * a tenth of them, and in no quarter of the log.
 *
 * All arithmetic is that of lib/eval/stat.h and plain sums in a fixed order: the same log gives the same digits. */
#ifndef RANKD_EVAL_COMPARE_H
#define RANKD_EVAL_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/cohort.h"
#include "lib/eval/figure.h"
#include "lib/eval/outcome.h"

#define COMPARE_DRAWS      2000
#define COMPARE_PART_DRAWS 1000 /* for parts of the cases */
#define COMPARE_LEVEL      0.05 /* a corrected p-value up to this is a difference; intervals have 1 - this */
#define COMPARE_POWER      0.8
#define COMPARE_SHARE      0.1 /* parts with at least this share of the cases are looked at */
#define COMPARE_WEAK_MOST  8
#define COMPARE_CASES      20 /* fewer cannot be compared */

struct compare_side {
    const struct outcome_run *const *runs; /* (n) of one model, differing in the seed */
    unsigned n;                            /* at least 1 */
};

enum compare_by { COMPARE_BY_USER, COMPARE_BY_TIME, COMPARE_BYS };

struct compare_interval {
    uint32_t clusters; /* with cases */
    double low, high;  /* of the ratio; INFINITY and 0 can occur where a model finds next to nothing */
    double se_log;     /* standard error of ln ratio; NaN where draws gave 0 or no ratio */
    double p;          /* two-sided, that the ratio is 1; NaN when there are too few clusters */
};

enum compare_verdict {
    COMPARE_UNKNOWN,    /* too few cases or clusters, or a model has no such figure */
    COMPARE_BETTER,     /* and in no part worse */
    COMPARE_NOT_STEADY, /* better on the whole, worse in the parts listed */
    COMPARE_NOISE,
    COMPARE_WORSE,
};
/* "better", "better-not-everywhere", "inside-the-noise", "worse", "unknown" */
const char *compare_verdict_key(enum compare_verdict v);

struct compare_part { /* a part of the cases in which the better model is significantly worse */
    enum cohort kind;
    uint16_t part;
    double share; /* of the cases */
    double ratio, low, high;
};

struct compare {
    /* set by the caller: is a better than b? */
    struct compare_side a, b;
    struct figure figure;
    /* set by compare_all */
    uint64_t n;              /* cases that count */
    double a_value, b_value; /* weighted means over them */
    double ratio;            /* above 1: a is better; a / b, or b / a where less is better; NaN: unknown */
    struct compare_interval by[COMPARE_BYS];
    enum compare_by wider; /* the one that is shown */
    double p;              /* the larger of both; corrected in p_holm */
    double p_holm;
    double detectable; /* the smallest ratio that would have been found with COMPARE_POWER among these comparisons,
                          minus 1; NaN: unknown */
    enum compare_verdict verdict;
    unsigned n_parts; /* parts looked at; 0 unless a is better on the whole */
    unsigned n_weak;
    struct compare_part weak[COMPARE_WEAK_MOST]; /* the first n_weak, at most so many */
};

/* All comparisons of a backtest, on cases [from, to). The seed is that of the draws. ERR_NOMEM; ERR_RANGE: a run has
 * fewer cases than to. */
int compare_all(const struct outcome_set *s, size_t from, size_t to, uint64_t seed, struct compare *c, unsigned n,
                struct err *e) ERR_MUST_CHECK;

#endif
