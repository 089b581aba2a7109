/* The serving copy of the items: quantised rows with what bounds their scores. */
#include "lib/model/scan.h"

#include <math.h>
#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/mem.h"

static size_t rows_of(const struct scan *s) { return ((size_t)s->max_items + SCAN_ROWS - 1) / SCAN_ROWS * SCAN_ROWS; }

int scan_new(const struct model_params *p, const struct kernel *kernel, struct scan **out, struct err *e) {
    struct scan *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, NULL, "no memory for the serving copy of the items");
    s->dim = p->dim;
    s->max_items = p->max_items;
    s->kernel = kernel;
    size_t n = rows_of(s), floats = n * sizeof(float);
    s->seq = mem_map(n / SCAN_ROWS * sizeof *s->seq);
    s->codes = mem_map_dense(n * s->dim);
    s->quads = mem_map_dense(n / SCAN_QUAD * sizeof *s->quads);
    bool all = s->seq && s->codes && s->quads;
    for (int h = 0; h < MODEL_TRENDS; h++) {
        s->trend[h] = mem_map_dense(floats);
        all = all && s->trend[h];
    }
    if (!all) {
        scan_free(s);
        return err_set(e, ERR_NOMEM, NULL, "no memory for the serving copy of %u items", p->max_items);
    }
    *out = s;
    return 0;
}

void scan_free(struct scan *s) {
    if (!s) return;
    size_t n = rows_of(s), floats = n * sizeof(float);
    mem_unmap((void *)s->seq, n / SCAN_ROWS * sizeof *s->seq);
    mem_unmap(s->codes, n * s->dim);
    mem_unmap(s->quads, n / SCAN_QUAD * sizeof *s->quads);
    for (int h = 0; h < MODEL_TRENDS; h++) mem_unmap(s->trend[h], floats);
    mem_free(s);
}

/* Root of a sum of squares made in double: 2^-20 is far above its rounding errors (a few hundred times 2^-53) and above
 * that of a later conversion to float; the least normal float covers those conversions that give denormals. */
static double root_up(double sum) { return sum > 0 ? fm_sqrt(sum) * (1 + 0x1p-20) + 0x1p-126 : 0; }

/* For vectors so short or so long that squares in float32 would not do. */
static struct scan_norms measure_extremes(const float *v, const int8_t *codes, float scale, size_t d) {
    double whole = 0, error = 0;
    for (size_t k = 0; k < d; k++) {
        double x = (double)v[k], rest = x - (double)scale * (double)codes[k];
        whole += x * x;
        error += rest * rest;
    }
    return (struct scan_norms){root_up(whole), root_up(error)};
}

/* In float32 a sum of squares is within 20 * 2^-24 of the true one (d = 256), its root within half of that: 2^-19
 * covers it with the conversion. An element of rest = v - scale * code is off by at most 2^-24 (|v| + 2 |rest|), and
 * squares of rests may underflow, which with a norm of 2^-50 or more is below 2^-21 of it: 2^-20 of the norm covers
 * both. */
struct scan_norms scan_measure(const struct kernel *kernel, const float *v, const int8_t *codes, float scale,
                               size_t d) {
    float rest[MODEL_MAX_DIM], sum = kernel->dot(v, v, d);
    if (!(sum >= 0x1p-100f && sum <= 0x1p121f)) return measure_extremes(v, codes, scale, d);
    for (size_t k = 0; k < d; k++) rest[k] = v[k] - scale * (float)codes[k];
    double whole = fm_sqrt((double)sum) * (1 + 0x1p-19);
    double error = fm_sqrt((double)kernel->dot(rest, rest, d)) * (1 + 0x1p-19) + whole * 0x1p-20;
    return (struct scan_norms){whole, error};
}

static void put_float(float *dst, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    atomic_store_explicit((_Atomic uint32_t *)(void *)dst, bits, memory_order_relaxed);
}

static float trend_of(double t) {
    if (t <= (double)SCAN_NO_TREND) return SCAN_NO_TREND;
    return t <= (double)SCAN_MOST ? (float)t : NAN;
}

struct dense { /* what is kept of q */
    _Alignas(8) int8_t codes[MODEL_MAX_DIM];
    float scale, error, norm, bias;
};

/* A row that has not learned is one of zeros: so it is scored. */
static void measure_row(const struct scan *s, const struct item_head *h, const float *q, struct dense *d) {
    struct scan_norms n = {0};
    if (!(h->q_sum > 0)) {
        memset(d, 0, sizeof *d);
        return;
    }
    d->bias = h->bias;
    s->kernel->quantise(q, s->dim, d->codes, &d->scale);
    if (d->scale >= 0) n = scan_measure(s->kernel, q, d->codes, d->scale, s->dim);
    if (n.whole > (double)SCAN_MOST) {
        n = (struct scan_norms){0};
        d->scale = NAN;
    }
    d->error = (float)n.error;
    d->norm = (float)n.whole;
}

static uint32_t begin_block(struct scan *s, uint32_t row) {
    _Atomic uint32_t *seq = &s->seq[row / SCAN_ROWS];
    uint32_t was = atomic_load_explicit(seq, memory_order_relaxed);
    atomic_store_explicit(seq, was + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return was;
}

static void end_block(struct scan *s, uint32_t row, uint32_t was) {
    atomic_store_explicit(&s->seq[row / SCAN_ROWS], was + 2, memory_order_release);
}

static void store_dense(struct scan *s, const struct item_head *h, uint32_t row, const struct dense *d) {
    struct scan_quad *quad = &s->quads[row / SCAN_QUAD];
    uint32_t at = row % SCAN_QUAD;
    item_store(s->codes + (size_t)row * s->dim, d->codes, s->dim);
    put_float(&quad->scale[at], d->scale);
    put_float(&quad->error[at], d->error);
    put_float(&quad->norm[at], d->norm);
    put_float(&quad->bias[at], item_is_candidate(h) ? d->bias : -INFINITY);
}

void scan_put_dense(struct scan *s, const struct items *t, uint32_t row) {
    struct dense d;
    measure_row(s, item_head(t, row), item_q(t, row), &d);
    uint32_t was = begin_block(s, row);
    store_dense(s, item_head(t, row), row, &d);
    end_block(s, row, was);
}

void scan_put(struct scan *s, const struct items *t, uint32_t row) {
    const struct item_head *h = item_head(t, row);
    struct dense d;
    measure_row(s, h, item_q(t, row), &d);

    uint32_t n_rows = atomic_load_explicit(&s->n_rows, memory_order_relaxed);
    for (uint32_t gap = n_rows; gap < row; gap++) /* not published yet: readers skip them */
        put_float(&s->quads[gap / SCAN_QUAD].bias[gap % SCAN_QUAD], -INFINITY);

    uint32_t was = begin_block(s, row);
    store_dense(s, h, row, &d);
    for (int k = 0; k < MODEL_TRENDS; k++) put_float(&s->trend[k][row], trend_of(h->trend[k]));
    end_block(s, row, was);
    if (row >= n_rows) atomic_store_explicit(&s->n_rows, row + 1, memory_order_release);
}
