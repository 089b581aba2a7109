/* Whether one model is better than another: draws, intervals, verdicts. */
#include "lib/eval/compare.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/check.h"
#include "lib/base/draw.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/eval/boot.h"
#include "lib/eval/compare_priv.h"
#include "lib/eval/stat.h"

#define PART_CLUSTERS 1024 /* more are folded into as many for parts of the cases */
#define SURE_DRAWS    10   /* fewer draws beyond 1 are too few to count: then the standard error decides */
#define SEED_KEY      UINT64_C(0x73656564) /* "seed" */

const char *compare_verdict_key(enum compare_verdict v) {
    static const char *const keys[] = {"unknown", "better", "better-not-everywhere", "inside-the-noise", "worse"};
    return keys[v];
}

/* What a comparison finds in one cell. */
struct finding {
    uint64_t n;
    double a, b, ratio; /* weighted means, oriented ratio */
    struct compare_interval by[COMPARE_BYS];
    enum compare_by wider;
    double p; /* the larger one; NaN: unknown */
};

/* Above 1 when a is better. Two models that find nothing are equal. */
static double ratio_of(double a, double b, bool less_is_better) {
    double over = less_is_better ? b : a, under = less_is_better ? a : b;
    if (over == under) return 1.0;
    return under == 0 ? (double)INFINITY : over / under;
}

static double mean_of(const double *v, unsigned n) {
    double sum = 0;
    for (unsigned i = 0; i < n; i++) sum += v[i];
    return sum / (double)n;
}

/* The mean of n - 1 runs drawn from n. */
static double drawn_mean(const double *v, unsigned n, uint64_t key) {
    if (n == 1) return v[0];
    double sum = 0;
    for (unsigned i = 0; i + 1 < n; i++) sum += v[draw_below(draw_bits(key, i), n)];
    return sum / (double)(n - 1);
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value that a share q of the sorted draws lies below. */
static double quantile(const double *sorted, unsigned n, double q) {
    double place = q * (double)(n - 1);
    unsigned at = (unsigned)place;
    if (at + 1 >= n || sorted[at] == sorted[at + 1]) return sorted[at < n ? at : n - 1];
    return sorted[at] + (place - (double)at) * (sorted[at + 1] - sorted[at]);
}

/* Standard deviation of the logarithms; NaN when more than one in a hundred has none. */
static double deviation_log(const double *ratio, unsigned n) {
    double sum = 0, squares = 0, used = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!(ratio[i] > 0) || isinf(ratio[i])) continue;
        sum += stat_log(ratio[i]);
        used++;
    }
    if (used < 0.99 * (double)n) return (double)NAN;
    for (unsigned i = 0; i < n; i++) {
        if (!(ratio[i] > 0) || isinf(ratio[i])) continue;
        double off = stat_log(ratio[i]) - sum / used;
        squares += off * off;
    }
    return fm_sqrt(squares / (used - 1));
}

/* How many deviations of a normal distribution 1 lies from the middle of the sorted draws. */
static double distance_of_one(const double *sorted, unsigned n, double ratio, double se_log) {
    double below = 0;
    for (unsigned i = 0; i < n; i++) below += sorted[i] < 1.0 ? 1.0 : sorted[i] == 1.0 ? 0.5 : 0.0;
    double beyond = below < (double)n - below ? below : (double)n - below;
    if (beyond >= SURE_DRAWS) return -stat_normal_quantile(beyond / (double)n);
    if (!(ratio > 0) || isinf(ratio) || !(se_log > 0)) return -stat_normal_quantile((beyond + 0.5) / (double)n);
    double least = -stat_normal_quantile((double)SURE_DRAWS / (double)n), by_error = fabs(stat_log(ratio)) / se_log;
    return by_error > least ? by_error : least;
}

/* Percentiles of the draws, moved out as Student's distribution asks for when clusters are few (Hesterberg 2015, "What
 * teachers should know about the bootstrap", expanded percentiles); p is the level at which the interval would touch 1.
 * ratio (n) is sorted. */
static void interval_of(double *draws, unsigned n, double ratio, struct compare_interval *out) {
    double dof = (double)out->clusters - 1.0;
    double tail = stat_normal(-stat_t_quantile(1.0 - COMPARE_LEVEL / 2.0, dof));
    out->se_log = deviation_log(draws, n);
    qsort(draws, n, sizeof *draws, rising);
    out->low = quantile(draws, n, tail);
    out->high = quantile(draws, n, 1.0 - tail);
    out->p = stat_t_two_sided(distance_of_one(draws, n, ratio, out->se_log), dof);
}

static double width(const struct compare_interval *i) {
    if (isnan(i->p)) return -1.0;
    return i->low > 0 && !isinf(i->high) ? stat_log(i->high / i->low) : (double)INFINITY;
}

/* Means and clusters of one cell; the interval is open. */
static void means_of(const struct table *t, size_t cell, const struct compare *c, enum compare_by by, double *total,
                     struct finding *f) {
    struct compare_interval *x = &f->by[by];
    *x = (struct compare_interval){.low = 0, .high = (double)INFINITY, .se_log = (double)NAN, .p = (double)NAN};
    f->n = 0;
    for (size_t k = 0; k < t->n_runs; k++) total[k] = 0;
    for (uint32_t i = 0; i < t->n_clusters; i++) {
        size_t at = i * t->n_cells + cell;
        f->n += t->cases[at];
        x->clusters += t->cases[at] > 0;
        for (size_t k = 0; k < t->n_runs; k++) total[k] += t->sum[at * t->n_runs + k];
    }
    f->a = mean_of(total, c->a.n) / t->weight[cell];
    f->b = mean_of(total + c->a.n, c->b.n) / t->weight[cell];
    f->ratio = ratio_of(f->a, f->b, figure_less_is_better(c->figure));
}

/* Findings of all cells over one kind of clusters. */
static int find_by(const struct table *t, const struct compare *c, enum compare_by by, unsigned draws, uint64_t seed,
                   struct finding *found, struct err *e) {
    size_t columns = t->n_cells * t->n_runs;
    double *drawn = mem_alloc(draws * columns * sizeof *drawn), *ratio = mem_alloc(draws * sizeof *ratio);
    double *total = mem_alloc(t->n_runs * sizeof *total);
    int rc = drawn && ratio && total ? 0 : err_set(e, ERR_NOMEM, "", "no memory for %u draws", draws);
    if (!rc && t->n_clusters >= 2) rc = boot_draw(t->sum, t->n_clusters, columns, draws, seed, drawn, e);
    for (size_t cell = 0; !rc && cell < t->n_cells; cell++) {
        struct finding *f = &found[cell];
        means_of(t, cell, c, by, total, f);
        if (f->by[by].clusters < BOOT_CLUSTERS_LEAST || f->n < COMPARE_CASES) continue;
        for (unsigned d = 0; d < draws; d++) {
            const double *row = drawn + d * columns + cell * t->n_runs;
            uint64_t key = draw_mix(seed ^ SEED_KEY) + d;
            ratio[d] = ratio_of(drawn_mean(row, c->a.n, draw_mix(key)),
                                drawn_mean(row + c->a.n, c->b.n, draw_mix(~key)), figure_less_is_better(c->figure));
        }
        interval_of(ratio, draws, f->ratio, &f->by[by]);
    }
    mem_free(drawn);
    mem_free(ratio);
    mem_free(total);
    return rc;
}

struct grounds { /* what all comparisons share */
    const struct outcome_set *set;
    struct boot_clusters clusters[COMPARE_BYS];
    struct cells whole, parts;
    uint64_t seed;
};

/* Findings (cells->n) of one comparison, over users and over time. */
static int find(const struct grounds *g, const struct cells *cells, uint32_t clusters_most, unsigned draws,
                const struct compare *c, struct finding *found, struct err *e) {
    for (size_t i = 0; i < cells->n; i++) found[i] = (struct finding){.n = 0};
    for (int by = 0; by < COMPARE_BYS; by++) {
        struct table t;
        int rc = table_fill(g->set, cells, &g->clusters[by], clusters_most, c, &t, e);
        if (rc) return rc;
        rc = find_by(&t, c, (enum compare_by)by, draws, draw_mix(g->seed + (uint64_t)by), found, e);
        table_free(&t);
        if (rc) return rc;
    }
    for (size_t i = 0; i < cells->n; i++) {
        struct finding *f = &found[i];
        double user = f->by[COMPARE_BY_USER].p, time = f->by[COMPARE_BY_TIME].p;
        f->wider = width(&f->by[COMPARE_BY_TIME]) > width(&f->by[COMPARE_BY_USER]) ? COMPARE_BY_TIME : COMPARE_BY_USER;
        f->p = isnan(user) || time > user ? time : user;
    }
    return 0;
}

static void set_unknown(struct compare *c, uint64_t cases) {
    *c = (struct compare){.a = c->a, .b = c->b, .figure = c->figure, .n = cases};
    for (int by = 0; by < COMPARE_BYS; by++)
        c->by[by] = (struct compare_interval){.high = (double)INFINITY, .se_log = (double)NAN, .p = (double)NAN};
    c->a_value = c->b_value = c->ratio = c->p = c->p_holm = c->detectable = (double)NAN;
}

static int compare_whole(const struct grounds *g, struct compare *c, struct err *e) {
    struct finding f = {.n = 0};
    set_unknown(c, 0);
    int rc = find(g, &g->whole, BOOT_CLUSTERS_MOST, COMPARE_DRAWS, c, &f, e);
    if (rc) return rc;
    c->n = f.n;
    c->a_value = f.a;
    c->b_value = f.b;
    c->ratio = isnan(f.p) ? (double)NAN : f.ratio;
    for (int by = 0; by < COMPARE_BYS; by++) c->by[by] = f.by[by];
    c->wider = f.wider;
    c->p = c->p_holm = f.p;
    return 0;
}

/* The ratio that a comparison finds with COMPARE_POWER at the strictest of Holm's levels, minus 1. */
static double detectable(const struct compare_interval *x, unsigned n) {
    double level = COMPARE_LEVEL / (double)n;
    double t = stat_t_quantile(1.0 - level / 2.0, (double)x->clusters - 1.0);
    return stat_exp((t + stat_normal_quantile(COMPARE_POWER)) * x->se_log) - 1.0;
}

/* Looks at the parts of the cases: where is a worse? */
static int look_at_parts(const struct grounds *g, struct compare *c, struct err *e) {
    struct finding found[CELLS_MOST];
    double p[CELLS_MOST], corrected[CELLS_MOST];
    size_t n = g->parts.n;
    if (n == 0) return 0;
    int rc = find(g, &g->parts, PART_CLUSTERS, COMPARE_PART_DRAWS, c, found, e);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) {
        p[i] = found[i].p;
        if (!isnan(p[i])) c->n_parts++;
    }
    stat_holm(p, corrected, (unsigned)n);
    for (size_t i = 0; i < n && c->n_weak < COMPARE_WEAK_MOST; i++) {
        const struct finding *f = &found[i];
        const struct compare_interval *x = &f->by[f->wider];
        if (isnan(f->p) || corrected[i] > COMPARE_LEVEL || f->ratio >= 1.0) continue;
        c->weak[c->n_weak++] = (struct compare_part){.kind = g->parts.cell[i].kind,
                                                     .part = g->parts.cell[i].part,
                                                     .share = (double)f->n / (double)c->n,
                                                     .ratio = f->ratio,
                                                     .low = x->low,
                                                     .high = x->high};
    }
    if (c->n_weak > 0) c->verdict = COMPARE_NOT_STEADY;
    return 0;
}

/* Corrects the known p-values together and says what follows. */
static int judge(struct compare *c, unsigned n, struct err *e) {
    double *p = mem_alloc((size_t)n * sizeof *p), *corrected = mem_alloc((size_t)n * sizeof *p);
    unsigned known = 0;
    if (!p || !corrected) {
        mem_free(p);
        mem_free(corrected);
        return err_set(e, ERR_NOMEM, "", "no memory for %u comparisons", n);
    }
    for (unsigned i = 0; i < n; i++)
        if (!isnan(c[i].p)) p[known++] = c[i].p;
    stat_holm(p, corrected, known);
    unsigned at = 0;
    for (unsigned i = 0; i < n; i++) {
        if (isnan(c[i].p)) continue;
        c[i].p_holm = corrected[at++];
        c[i].detectable = detectable(&c[i].by[c[i].wider], known);
        c[i].verdict = c[i].p_holm > COMPARE_LEVEL ? COMPARE_NOISE : c[i].ratio > 1.0 ? COMPARE_BETTER : COMPARE_WORSE;
    }
    mem_free(p);
    mem_free(corrected);
    return 0;
}

static int compare_on(struct grounds *g, struct compare *c, unsigned n, struct err *e) {
    int rc = 0;
    bool better = false;
    for (unsigned i = 0; !rc && i < n; i++) rc = compare_whole(g, &c[i], e);
    if (!rc) rc = judge(c, n, e);
    for (unsigned i = 0; i < n; i++) better = better || c[i].verdict == COMPARE_BETTER;
    if (!rc && better) rc = cells_parts(g->set, g->whole.from, g->whole.to, &g->parts, e);
    for (unsigned i = 0; !rc && i < n; i++)
        if (c[i].verdict == COMPARE_BETTER) rc = look_at_parts(g, &c[i], e);
    return rc;
}

static int check_runs(const struct compare *c, unsigned n, size_t to, struct err *e) {
    for (unsigned i = 0; i < n; i++) {
        CHECK(c[i].a.n > 0 && c[i].b.n > 0);
        for (unsigned k = 0; k < c[i].a.n + c[i].b.n; k++) {
            const struct outcome_run *r = k < c[i].a.n ? c[i].a.runs[k] : c[i].b.runs[k - c[i].a.n];
            if (r->n < to)
                return err_set(e, ERR_RANGE, "run", "%s has outcomes of %zu cases and needs %zu", r->name, r->n, to);
        }
    }
    return 0;
}

int compare_all(const struct outcome_set *s, size_t from, size_t to, uint64_t seed, struct compare *c, unsigned n,
                struct err *e) {
    CHECK(from <= to && to <= s->n);
    struct grounds g = {.set = s, .seed = seed};
    int rc = check_runs(c, n, to, e);
    if (rc || n == 0) return rc;
    if (to - from < COMPARE_CASES) {
        for (unsigned i = 0; i < n; i++) set_unknown(&c[i], to - from);
        return 0;
    }
    rc = cells_whole(s, from, to, &g.whole, e);
    if (!rc) rc = boot_by_user(s, from, to, &g.clusters[COMPARE_BY_USER], e);
    if (!rc) rc = boot_by_time(s, from, to, &g.clusters[COMPARE_BY_TIME], e);
    if (!rc) rc = compare_on(&g, c, n, e);
    cells_free(&g.whole);
    cells_free(&g.parts);
    for (int by = 0; by < COMPARE_BYS; by++) boot_clusters_free(&g.clusters[by]);
    return rc;
}
