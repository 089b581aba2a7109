/* Exact top-100 of one million items against a scalar scan with a heap: topk_scalar_ms, topk_ms, topk_ratio. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/model/scan.h"
#include "lib/model/topk.h"
#include "tests/unit/item_table.h"

#define DIM     64
#define K       100
#define QUERIES 15
#define CLOCK   INT64_C(1700000000000)
#define MU      0.02f

static struct table table;
static float *plain;  /* (n, DIM) */
static double *trend; /* (n) */

/* Straightforward C: one product after the other, a heap of the K best. */
__attribute__((noinline)) static void scalar_scan(const float *x, uint32_t n, struct topk_hit *heap) {
    uint32_t held = 0;
    double shift = (double)CLOCK / (double)table.params.trend_half_life_ms[0];
    for (uint32_t r = 0; r < n; r++) {
        const float *q = plain + (size_t)r * DIM;
        float sum = 0;
        for (int k = 0; k < DIM; k++) sum += x[k] * q[k];
        sum += MU * (float)fmax(-8, trend[r] - shift);
        if (held == K && sum <= heap[0].score) continue;
        uint32_t at = held < K ? held++ : 0;
        if (held < K || at == K - 1) {
            for (; at > 0 && heap[(at - 1) / 2].score > sum; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
        } else {
            for (uint32_t c; (c = 2 * at + 1) < K; at = c) {
                c += c + 1 < K && heap[c + 1].score < heap[c].score;
                if (heap[c].score >= sum) break;
                heap[at] = heap[c];
            }
        }
        heap[at] = (struct topk_hit){.score = sum, .row = r};
    }
}

static void fill(uint32_t n) {
    double shift = (double)CLOCK / (double)table.params.trend_half_life_ms[0];
    for (uint32_t r = 0; r < n; r++) {
        struct item_head *h = item_head(&table.items, r);
        float *q = item_q(&table.items, r), length = 0.3f + fabsf(table_value(&table));
        for (int k = 0; k < DIM; k++) plain[(size_t)r * DIM + (size_t)k] = q[k] = table_value(&table) * length;
        trend[r] = h->trend[0] = shift + 6 * (double)table_value(&table);
    }
}

static int by_time(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static uint32_t in_common(const struct topk_hit *a, const struct topk_hit *b) {
    uint32_t common = 0;
    for (int i = 0; i < K; i++) {
        for (int j = 0; j < K; j++) common += a[i].row == b[j].row;
    }
    return common;
}

int main(int argc, char **argv) {
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    const struct kernel *kernel = kernel_pick(argc > 2 ? argv[2] : "auto");
    struct scan *scan;
    static struct topk_hit fast[K], slow[K], naive[K];
    double fast_ms[QUERIES], slow_ms[QUERIES];
    uint32_t rescored = 0, different = 0;

    table_new(&table, DIM, n, 1);
    plain = malloc((size_t)n * DIM * sizeof *plain);
    trend = malloc(n * sizeof *trend);
    struct topk *s = topk_new(&table.params);
    if (!kernel || !plain || !trend || !s || scan_new(&table.params, kernel, &scan, NULL)) return 1;
    fill(n);
    uint64_t before = clock_steady_ns();
    for (uint32_t r = 0; r < n; r++) scan_put(scan, &table.items, r);
    double put_ns = (double)(clock_steady_ns() - before) / n;

    for (int i = 0; i < QUERIES; i++) {
        float x[DIM];
        size_t got = 0;
        for (int k = 0; k < DIM; k++) x[k] = table_value(&table);
        struct topk_query q = {.x = x, .tau = 1, .mu = {MU, 0, 0}, .clock_ms = CLOCK, .k = K};
        uint64_t t0 = clock_steady_ns();
        if (topk_rank(s, &table.items, scan, &q, fast, &got, NULL) || got != K || topk_last(s).fell_back) return 1;
        uint64_t t1 = clock_steady_ns();
        rescored += topk_last(s).rescored;
        scalar_scan(x, n, slow);
        uint64_t t2 = clock_steady_ns();
        fast_ms[i] = (double)(t1 - t0) / 1e6;
        slow_ms[i] = (double)(t2 - t1) / 1e6;
        if (topk_rank_naive(s, &table.items, &q, naive, &got, NULL) || memcmp(fast, naive, sizeof fast) != 0)
            return fprintf(stderr, "query %d: not the answer of scoring everything\n", i), 1;
        different +=
            K - in_common(fast, slow); /* the scalar sum is rounded in another order: ties at the end may differ */
    }
    if (different > QUERIES)
        return fprintf(stderr, "%u of %d rows are not those of the scalar scan\n", different, QUERIES * K), 1;
    qsort(fast_ms, QUERIES, sizeof *fast_ms, by_time);
    qsort(slow_ms, QUERIES, sizeof *slow_ms, by_time);
    printf("topk_items %u\ntopk_scalar_ms %.2f\ntopk_ms %.3f\ntopk_ratio %.4f\n", n, slow_ms[QUERIES / 2],
           fast_ms[QUERIES / 2], fast_ms[QUERIES / 2] / slow_ms[QUERIES / 2]);
    printf("topk_rescored %u\ntopk_scan_put_ns %.0f\n", rescored / QUERIES, put_ns);
    topk_free(s);
    scan_free(scan);
    table_free(&table);
    free(plain);
    free(trend);
    return 0;
}
