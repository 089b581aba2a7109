/* Figures of a run: how high the targets stood, how wide the lists were, how true the probabilities.
 *
 * Each target has a ranking of its own in which it is the one relevant item. With r its place (0 = first):
 *
 *     NDCG@k   = 1 / log2(r + 2) when r < k, else 0     (Jarvelin and Kekalainen 2002; the ideal DCG is 1)
 *     recall@k = 1 when r < k, else 0
 *     MRR@k    = 1 / (r + 1) when r < k, else 0
 *
 * averaged over the cases; hit rate@k is the share of moments (baskets) that had at least one of their targets below k.
 * NDCG, recall and MRR are computed from counts of places, so that no order of summing enters. */
#ifndef RANKD_EVAL_METRICS_H
#define RANKD_EVAL_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/outcome.h"

#define METRICS_KS     5
#define METRICS_AT_20  2   /* index of 20 in metrics_ks */
#define METRICS_PLACES 100 /* the largest k */

extern const uint32_t metrics_ks[METRICS_KS]; /* 5, 10, 20, 50, 100 */

/* What cases have in common: of one run, or the mean over runs. All 0 without cases. */
struct metrics {
    uint64_t n;       /* cases */
    uint64_t moments; /* with at least one of the cases */
    double ndcg[METRICS_KS], recall[METRICS_KS], mrr[METRICS_KS], hit[METRICS_KS];
};

/* Of cases [from, to), apart for each part: part (to - from) as of cohort_of, out (n_parts). NULL for part: all are in
 * part 0. ERR_NOMEM; ERR_RANGE: the run has fewer cases than to. */
int metrics_of(const struct outcome_set *s, const struct outcome_run *r, size_t from, size_t to, const uint16_t *part,
               size_t n_parts, struct metrics *out, struct err *e) ERR_MUST_CHECK;
/* Adds one run of n to a mean that started as zeros; n and moments are those of the run. */
void metrics_mean_add(struct metrics *mean, const struct metrics *of_run, unsigned n);

/* The lists a run answered. */
struct metrics_lists {
    uint32_t k;      /* items a list */
    uint64_t lists;  /* 0: none were recorded, the rest is 0 */
    uint64_t items;  /* candidates */
    double coverage; /* share of the candidates that stood in a list at least once */
    double gini;     /* of how often each candidate stood in a list: 0 all the same, towards 1 few items take all */
    double novelty;  /* mean over listed items of -log2(share of all events so far): bits (Zhou et al. 2010) */
};
/* Gini = (2 sum_i i x_i) / (n sum_i x_i) - (n + 1) / n, x rising, i from 1. ERR_NOMEM. */
int metrics_lists(const struct outcome_run *r, struct metrics_lists *out, struct err *e) ERR_MUST_CHECK;

#endif
