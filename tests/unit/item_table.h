/* An item table without ids, made by hand, for tests and benchmarks of what reads rows. */
#ifndef RANKD_TESTS_ITEM_TABLE_H
#define RANKD_TESTS_ITEM_TABLE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/model/item.h"

struct table {
    struct model_params params;
    struct items items;
    uint64_t draws;
};

static inline uint64_t table_bits(struct table *t) { return draw_mix(++t->draws * 0x9E3779B97F4A7C15u); }

/* In (-1, 1), the centred sum of four uniforms. */
static inline float table_value(struct table *t) {
    uint64_t b = table_bits(t);
    float sum = 0;
    for (int k = 0; k < 4; k++) sum += (float)((b >> (16 * k)) & 0xffff) * 0x1p-16f - 0.5f;
    return sum * 0.5f;
}

/* n live rows of zeros. */
static inline void table_new(struct table *t, uint32_t dim, uint32_t n, uint64_t seed) {
    memset(t, 0, sizeof *t);
    t->draws = draw_mix(seed);
    t->params.dim = dim;
    t->params.max_items = n;
    for (int h = 0; h < MODEL_TRENDS; h++) t->params.trend_half_life_ms[h] = (int64_t)21600000 << (2 * h);
    t->items.dim = dim;
    t->items.max_items = n;
    t->items.params = &t->params;
    t->items.stride = sizeof(struct item_head) + 2 * sizeof(float) * dim;
    t->items.rows = aligned_alloc(64, (size_t)n * t->items.stride + 64 - (size_t)n * t->items.stride % 64);
    t->items.expires_ms = malloc(n * sizeof *t->items.expires_ms);
    t->items.available = malloc(n);
    if (!t->items.rows || !t->items.expires_ms || !t->items.available) abort();
    memset(t->items.rows, 0, (size_t)n * t->items.stride);
    atomic_store(&t->items.n_rows, n);
    for (uint32_t r = 0; r < n; r++) {
        struct item_head *h = item_head(&t->items, r);
        atomic_init(&t->items.expires_ms[r], ITEM_NEVER);
        atomic_init(&t->items.available[r], 1);
        h->live = 1 + r;
        h->known = 1;
        h->q_sum = 1;
        for (int k = 0; k < MODEL_TRENDS; k++) h->trend[k] = ITEM_NO_TREND;
    }
}

static inline void table_free(struct table *t) {
    free(t->items.rows);
    free((void *)t->items.expires_ms);
    free((void *)t->items.available);
}

#endif
