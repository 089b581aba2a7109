/* Figures of a run, from counts of the places its targets took. */
#include "lib/eval/metrics.h"

#include <stdlib.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"

const uint32_t metrics_ks[METRICS_KS] = {5, 10, 20, 50, METRICS_PLACES};

struct tally { /* of one part */
    uint64_t n, moments;
    uint64_t places[METRICS_PLACES]; /* targets that stood there */
    uint64_t hits[METRICS_KS];       /* moments with a target below each k */
    size_t moment;                   /* first case of the moment seen last, + 1 */
    uint32_t best;                   /* the best rank in it so far */
};

static void count(struct tally *t, uint32_t rank, size_t moment) {
    t->n++;
    if (rank < METRICS_PLACES) t->places[rank]++;
    if (t->moment != moment) {
        t->moment = moment;
        t->moments++;
        t->best = OUTCOME_MISS;
    }
    for (int k = 0; k < METRICS_KS; k++)
        if (rank < metrics_ks[k] && t->best >= metrics_ks[k]) t->hits[k]++;
    if (rank < t->best) t->best = rank;
}

static void figures_of(const struct tally *t, struct metrics *out) {
    *out = (struct metrics){.n = t->n, .moments = t->moments};
    if (t->n == 0) return;
    double n = (double)t->n, ndcg = 0, mrr = 0;
    uint64_t found = 0;
    uint32_t rank = 0;
    for (int k = 0; k < METRICS_KS; k++) {
        for (; rank < metrics_ks[k]; rank++) {
            double at = (double)t->places[rank];
            ndcg += at / fm_log2((double)rank + 2.0);
            mrr += at / ((double)rank + 1.0);
            found += t->places[rank];
        }
        out->ndcg[k] = ndcg / n;
        out->mrr[k] = mrr / n;
        out->recall[k] = (double)found / n;
        out->hit[k] = (double)t->hits[k] / (double)t->moments;
    }
}

int metrics_of(const struct outcome_set *s, const struct outcome_run *r, size_t from, size_t to, const uint16_t *part,
               size_t n_parts, struct metrics *out, struct err *e) {
    CHECK(from <= to && to <= s->n && n_parts > 0);
    if (r->n < to) return err_set(e, ERR_RANGE, "run", "%s has outcomes of %zu cases and needs %zu", r->name, r->n, to);
    struct tally *tallies = mem_zalloc(n_parts * sizeof *tallies);
    if (!tallies) return err_set(e, ERR_NOMEM, "run", "no memory for figures in %zu parts", n_parts);
    size_t moment = 0;
    for (size_t i = from; i < to; i++) {
        if (i == from || (s->cases[i].flags & OUTCOME_SAME_MOMENT) == 0) moment = i + 1;
        size_t at = part ? part[i - from] : 0;
        CHECK(at < n_parts);
        count(&tallies[at], r->rank[i], moment);
    }
    for (size_t i = 0; i < n_parts; i++) figures_of(&tallies[i], &out[i]);
    mem_free(tallies);
    return 0;
}

void metrics_mean_add(struct metrics *mean, const struct metrics *of_run, unsigned n) {
    mean->n = of_run->n;
    mean->moments = of_run->moments;
    for (int k = 0; k < METRICS_KS; k++) {
        mean->ndcg[k] += of_run->ndcg[k] / (double)n;
        mean->recall[k] += of_run->recall[k] / (double)n;
        mean->mrr[k] += of_run->mrr[k] / (double)n;
        mean->hit[k] += of_run->hit[k] / (double)n;
    }
}

static int rising(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int metrics_lists(const struct outcome_run *r, struct metrics_lists *out, struct err *e) {
    *out = (struct metrics_lists){.k = r->list_k, .lists = r->lists, .items = r->n_candidates};
    uint32_t *x = r->listed_cap > 0 ? mem_alloc(r->listed_cap * sizeof *x) : NULL;
    if (r->lists == 0 || !x) {
        mem_free(x);
        return r->listed_cap > 0 && !x ? err_set(e, ERR_NOMEM, "run", "no memory for %zu items", r->listed_cap) : 0;
    }
    size_t n = 0;
    for (size_t i = 0; i < r->listed_cap; i++)
        if (r->listed[i] > 0) x[n++] = r->listed[i];
    if (out->items < n) out->items = n;
    qsort(x, n, sizeof *x, rising);
    uint64_t sum = 0, ranked = 0, never = out->items - n; /* those come first and add nothing */
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        ranked += (never + i + 1) * x[i];
    }
    mem_free(x);
    double items = (double)out->items;
    out->coverage = (double)n / items;
    out->gini = 2.0 * (double)ranked / (items * (double)sum) - (items + 1.0) / items;
    out->novelty = r->surprise_bits / (double)sum;
    return 0;
}
