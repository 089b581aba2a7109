/* How true the probabilities of a model are. */
#include "lib/eval/trust.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/eval/stat.h"

double trust_surprise(double p) { return -stat_log(p > TRUST_LEAST ? p : TRUST_LEAST); }

static int rising(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Wilson's interval of k of n at 95 %. */
static void wilson(struct trust_bin *b) {
    const double z = 1.959963984540054, n = (double)b->n, z2 = z * z;
    double middle = b->rate + z2 / (2.0 * n);
    double reach = z * fm_sqrt(b->rate * (1.0 - b->rate) / n + z2 / (4.0 * n * n));
    b->low = (middle - reach) / (1.0 + z2 / n);
    b->high = (middle + reach) / (1.0 + z2 / n);
    if (b->low < 0.0) b->low = 0.0;
    if (b->high > 1.0) b->high = 1.0;
}

/* A probability and whether the first item was the target, as one number that sorts by the probability: floats of [0,
 * 1] have the order of their bits and leave the upper two unused. */
static uint32_t pair_of(float p, bool hit) {
    uint32_t bits;
    memcpy(&bits, &p, sizeof bits);
    return bits << 1 | hit;
}

static double pair_p(uint32_t pair) {
    uint32_t bits = pair >> 1;
    float p;
    memcpy(&p, &bits, sizeof p);
    return (double)p;
}

/* One bin of pairs [from, to), added to the figures. */
static void add_bin(const uint32_t *pairs, size_t from, size_t to, struct trust *out) {
    struct trust_bin b = {.n = to - from};
    uint64_t hits = 0;
    for (size_t i = from; i < to; i++) {
        double p = pair_p(pairs[i]);
        bool hit = pairs[i] & 1;
        hits += hit;
        b.p += p;
        out->brier += (p - hit) * (p - hit);
        out->log_loss_top += trust_surprise(hit ? p : 1.0 - p);
    }
    b.p /= (double)b.n;
    b.rate = (double)hits / (double)b.n;
    wilson(&b);
    out->ece += (double)b.n * fabs(b.p - b.rate);
    out->bins[out->n_bins++] = b;
}

static void fill_bins(uint32_t *pairs, size_t n, struct trust *out) {
    qsort(pairs, n, sizeof *pairs, rising);
    size_t from = 0;
    for (unsigned bin = 1; bin <= TRUST_BINS && from < n; bin++) {
        size_t to = (size_t)((uint64_t)n * bin / TRUST_BINS);
        if (to <= from) continue;
        while (to < n && pairs[to] >> 1 == pairs[to - 1] >> 1) to++;
        add_bin(pairs, from, to, out);
        from = to;
    }
    out->n = n;
    out->ece /= (double)n;
    out->brier /= (double)n;
    out->log_loss_top /= (double)n;
}

int trust_of(const struct outcome_run *const *runs, size_t n_runs, size_t from, size_t to, struct trust *out,
             struct err *e) {
    struct trust t = {.n = 0};
    size_t n = 0, most = 0;
    for (size_t j = 0; j < n_runs; j++) most += runs[j]->p_top ? to - from : 0;
    uint32_t *pairs = most > 0 ? mem_alloc(most * sizeof *pairs) : NULL;
    if (most > 0 && !pairs) return err_set(e, ERR_NOMEM, "run", "no memory for %zu probabilities", most);
    for (size_t j = 0; j < n_runs; j++) {
        const struct outcome_run *r = runs[j];
        CHECK(from <= to && to <= r->n);
        for (size_t i = from; i < to; i++) {
            if (pairs && r->p_top && !isnan(r->p_top[i])) pairs[n++] = pair_of(r->p_top[i], r->rank[i] == 0);
            if (!r->p_target || isnan(r->p_target[i])) continue;
            t.log_loss += trust_surprise((double)r->p_target[i]);
            t.n_target++;
        }
    }
    if (t.n_target > 0) t.log_loss /= (double)t.n_target;
    if (n > 0) fill_bins(pairs, n, &t);
    mem_free(pairs);
    *out = t;
    return 0;
}
