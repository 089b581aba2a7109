/* The serving copy of the items: quantised rows with what bounds their scores. */
#include "lib/model/scan.h"

#include <math.h>
#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/mem.h"

#define LANES 8

static size_t rows_of(const struct scan *s) { return ((size_t)s->max_items + SCAN_ROWS - 1) / SCAN_ROWS * SCAN_ROWS; }

int scan_new(const struct model_params *p, const struct kernel *kernel, struct scan **out, struct err *e) {
    struct scan *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, NULL, "no memory for the serving copy of the items");
    s->dim = p->dim;
    s->max_items = p->max_items;
    s->kernel = kernel;
    size_t n = rows_of(s), floats = n * sizeof(float);
    s->seq = mem_map(n / SCAN_ROWS * sizeof *s->seq);
    s->codes = mem_map(n * s->dim);
    s->scale = mem_map(floats);
    s->error = mem_map(floats);
    s->norm = mem_map(floats);
    s->bias = mem_map(floats);
    bool all = s->seq && s->codes && s->scale && s->error && s->norm && s->bias;
    for (int h = 0; h < MODEL_TRENDS; h++) {
        s->trend[h] = mem_map(floats);
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
    mem_unmap(s->scale, floats);
    mem_unmap(s->error, floats);
    mem_unmap(s->norm, floats);
    mem_unmap(s->bias, floats);
    for (int h = 0; h < MODEL_TRENDS; h++) mem_unmap(s->trend[h], floats);
    mem_free(s);
}

/* Root of a sum of squares in double: 2^-20 is far above its rounding errors (a few hundred times 2^-53) and above that
 * of a later conversion to float; the least normal float covers those conversions that give denormals. */
static double root_up(const double *lane) {
    double sum = 0;
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum > 0 ? fm_sqrt(sum) * (1 + 0x1p-20) + 0x1p-126 : 0;
}

struct scan_norms scan_measure(const float *v, const int8_t *codes, float scale, size_t d) {
    double whole[LANES] = {0}, error[LANES] = {0}, coded[LANES] = {0};
    for (size_t k = 0; k < d; k += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            double x = (double)v[k + l], c = (double)scale * (double)codes[k + l], rest = x - c;
            whole[l] += x * x;
            error[l] += rest * rest;
            coded[l] += c * c;
        }
    }
    return (struct scan_norms){root_up(whole), root_up(error), root_up(coded)};
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

void scan_put(struct scan *s, const struct items *t, uint32_t row) {
    const struct item_head *h = item_head(t, row);
    const float *q = item_q(t, row);
    _Alignas(8) int8_t codes[MODEL_MAX_DIM];
    struct scan_norms n = {0};
    float scale;
    s->kernel->quantise(q, s->dim, codes, &scale);
    if (scale >= 0) n = scan_measure(q, codes, scale, s->dim);
    if (n.whole > (double)SCAN_MOST) {
        n = (struct scan_norms){0};
        scale = NAN;
    }

    uint32_t n_rows = atomic_load_explicit(&s->n_rows, memory_order_relaxed);
    for (uint32_t gap = n_rows; gap < row; gap++) /* not published yet: readers skip them */
        put_float(&s->bias[gap], -INFINITY);

    _Atomic uint32_t *seq = &s->seq[row / SCAN_ROWS];
    uint32_t was = atomic_load_explicit(seq, memory_order_relaxed);
    atomic_store_explicit(seq, was + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    item_store(s->codes + (size_t)row * s->dim, codes, s->dim);
    put_float(&s->scale[row], scale);
    put_float(&s->error[row], (float)n.error);
    put_float(&s->norm[row], (float)n.whole);
    put_float(&s->bias[row], h->live ? h->bias : -INFINITY);
    for (int k = 0; k < MODEL_TRENDS; k++) put_float(&s->trend[k][row], trend_of(h->trend[k]));
    atomic_store_explicit(seq, was + 2, memory_order_release);
    if (row >= n_rows) atomic_store_explicit(&s->n_rows, row + 1, memory_order_release);
}
