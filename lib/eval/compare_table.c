/* Sums of two models by cluster and by part of the cases. */
#include <math.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/eval/compare_priv.h"

static int no_memory(struct err *e) { return err_set(e, ERR_NOMEM, "", "no memory for comparing models"); }

/* Adds the kind with those of its parts that have at least `least` cases, and fewer than all unless whole. */
static int add_kind(const struct outcome_set *s, enum cohort kind, uint64_t least, bool whole, struct cells *c,
                    struct err *e) {
    size_t n = c->to - c->from, parts = cohort_parts(s, kind, c->from, c->to);
    uint16_t *part = mem_alloc((n > 0 ? n : 1) * sizeof *part), *at = mem_alloc(parts * sizeof *at);
    uint64_t *cases = mem_zalloc(parts * sizeof *cases);
    c->part[kind] = part;
    c->at[kind] = at;
    if (!part || !at || !cases) {
        mem_free(cases);
        return no_memory(e);
    }
    cohort_of(s, kind, c->from, c->to, part);
    for (size_t i = 0; i < n; i++) cases[part[i]]++;
    for (size_t k = 0; k < parts; k++) {
        at[k] = CELLS_MOST;
        if (cases[k] < least || (cases[k] == n && !whole)) continue;
        CHECK(c->n < CELLS_MOST);
        at[k] = (uint16_t)c->n;
        c->cell[c->n++] = (struct cell){kind, (uint16_t)k, cases[k]};
    }
    mem_free(cases);
    return 0;
}

int cells_whole(const struct outcome_set *s, size_t from, size_t to, struct cells *out, struct err *e) {
    struct cells c = {.from = from, .to = to};
    int rc = add_kind(s, COHORT_ALL, 0, true, &c, e);
    if (rc)
        cells_free(&c);
    else
        *out = c;
    return rc;
}

int cells_parts(const struct outcome_set *s, size_t from, size_t to, struct cells *out, struct err *e) {
    struct cells c = {.from = from, .to = to};
    double share = COMPARE_SHARE * (double)(to - from);
    uint64_t least = (uint64_t)share + ((double)(uint64_t)share < share);
    int rc = 0;
    for (int kind = COHORT_ALL + 1; !rc && kind < COHORT_WINDOW; kind++)
        rc = add_kind(s, (enum cohort)kind, kind == COHORT_QUARTER ? 1 : least, false, &c, e);
    if (rc)
        cells_free(&c);
    else
        *out = c;
    return rc;
}

void cells_free(struct cells *c) {
    for (int kind = 0; kind < COHORT_KINDS; kind++) {
        mem_free(c->part[kind]);
        mem_free(c->at[kind]);
    }
    *c = (struct cells){.n = 0};
}

static const struct outcome_run *run_of(const struct compare *c, size_t k) {
    return k < c->a.n ? c->a.runs[k] : c->b.runs[k - c->a.n];
}

/* The weighted value of case i in every run; false when one has none. */
static bool values(const struct compare *c, const struct figure_gain *g, size_t n_runs, size_t i, double weight,
                   double *out) {
    for (size_t k = 0; k < n_runs; k++) {
        out[k] = weight * figure_case(c->figure, g, run_of(c, k), i);
        if (isnan(out[k])) return false;
    }
    return true;
}

static void add_case(struct table *t, const struct cells *cells, size_t i, uint32_t cluster, double weight,
                     const double *value) {
    for (int kind = 0; kind < COHORT_KINDS; kind++) {
        if (!cells->part[kind]) continue;
        size_t cell = cells->at[kind][cells->part[kind][i - cells->from]];
        if (cell == CELLS_MOST) continue;
        size_t at = cluster * t->n_cells + cell;
        t->cases[at]++;
        t->weight[cell] += weight;
        for (size_t k = 0; k < t->n_runs; k++) t->sum[at * t->n_runs + k] += value[k];
    }
}

int table_fill(const struct outcome_set *s, const struct cells *cells, const struct boot_clusters *clusters,
               uint32_t clusters_most, const struct compare *c, struct table *out, struct err *e) {
    struct table t = {.n_clusters = clusters->n < clusters_most ? clusters->n : clusters_most,
                      .n_cells = cells->n,
                      .n_runs = (size_t)c->a.n + c->b.n};
    size_t n = t.n_clusters * t.n_cells;
    CHECK(n > 0 && c->a.n > 0 && c->b.n > 0);
    double *value = mem_alloc(t.n_runs * sizeof *value);
    t.sum = mem_zalloc(n * t.n_runs * sizeof *t.sum);
    t.cases = mem_zalloc(n * sizeof *t.cases);
    t.weight = mem_zalloc(t.n_cells * sizeof *t.weight);
    if (!value || !t.sum || !t.cases || !t.weight) {
        mem_free(value);
        table_free(&t);
        return no_memory(e);
    }
    struct figure_gain g;
    figure_gain(c->figure, &g);
    for (size_t i = cells->from; i < cells->to; i++) {
        double weight = figure_weight(c->figure, &s->cases[i]);
        if (values(c, &g, t.n_runs, i, weight, value))
            add_case(&t, cells, i, clusters->of[i - cells->from] % t.n_clusters, weight, value);
    }
    mem_free(value);
    *out = t;
    return 0;
}

void table_free(struct table *t) {
    mem_free(t->sum);
    mem_free(t->cases);
    mem_free(t->weight);
    *t = (struct table){.n_cells = 0};
}
