/* What compare.c and compare_table.c share: sums of two models by cluster and by part of the cases. */
#ifndef RANKD_EVAL_COMPARE_PRIV_H
#define RANKD_EVAL_COMPARE_PRIV_H

#include "lib/eval/boot.h"
#include "lib/eval/compare.h"

#define CELLS_MOST 128

struct cell { /* all cases, or a part of them */
    enum cohort kind;
    uint16_t part;
    uint64_t n; /* its cases */
};

struct cells {
    size_t from, to; /* of the set's cases */
    struct cell cell[CELLS_MOST];
    size_t n;
    uint16_t *part[COHORT_KINDS]; /* (to - from) the part of each case; NULL: the kind has no cell */
    uint16_t *at[COHORT_KINDS];   /* (parts of the kind) the number of its cell, CELLS_MOST: none */
};

/* One cell with all cases. ERR_NOMEM. */
int cells_whole(const struct outcome_set *s, size_t from, size_t to, struct cells *out, struct err *e) ERR_MUST_CHECK;
/* The parts that hold COMPARE_SHARE of the cases but not all, and the quarters. ERR_NOMEM. */
int cells_parts(const struct outcome_set *s, size_t from, size_t to, struct cells *out, struct err *e) ERR_MUST_CHECK;
void cells_free(struct cells *c);

/* Sums of the weighted values of runs: those of a, then those of b. */
struct table {
    uint32_t n_clusters;
    size_t n_cells, n_runs;
    double *sum;     /* (n_clusters, n_cells, n_runs) */
    uint64_t *cases; /* (n_clusters, n_cells) cases that have a value in every run */
    double *weight;  /* (n_cells) of these cases */
};

/* Cluster numbers are folded (modulo) to at most clusters_most. ERR_NOMEM. */
int table_fill(const struct outcome_set *s, const struct cells *cells, const struct boot_clusters *clusters,
               uint32_t clusters_most, const struct compare *c, struct table *out, struct err *e) ERR_MUST_CHECK;
void table_free(struct table *t);

#endif
