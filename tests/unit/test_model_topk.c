/* Exact top-k: equal to scoring and sorting everything, to the bit, on tables made to be awkward. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>

#include "lib/base/mem.h"
#include "lib/model/scan.h"
#include "lib/model/topk.h"
#include "tests/unit/item_table.h"

#define CLOCK INT64_C(1700000000000)
#define WALL  INT64_C(1700000001000)

static const char *const kernels[] = {"portable", "avx2", "avx512"};

static uint32_t below(struct table *t, uint32_t n) { return draw_below(table_bits(t), n); }

enum mix { MIX_PLAIN, MIX_EQUAL, MIX_TINY, MIX_HUGE, MIX_WILD, MIX_DEAD, MIX_NEAR, MIX_BAD, MIX_CODES, N_MIXES };

static float size_of(struct table *t, enum mix mix) {
    static const float wild[] = {0, 0x1p-149f, 0x1p-130f, 1e-20f, 1e-3f, 1, 1e5f, 1e15f, 0x1p59f, 0x1p62f};
    switch (mix) {
    case MIX_TINY:
        return 0x1p-140f;
    case MIX_HUGE:
        return 0x1p55f;
    case MIX_WILD:
        return wild[below(t, sizeof wild / sizeof *wild)];
    default:
        return 0.3f;
    }
}

/* A vector that its codes give exactly: with one on either side, only the other side's error is left in a bound. */
static void fill_exact(struct table *t, float *v) {
    float size = ldexpf(1, (int)below(t, 6) - 12);
    for (uint32_t k = 0; k < t->params.dim; k++) v[k] = (float)((int)below(t, 255) - 127) * size;
    v[below(t, t->params.dim)] = 127 * size;
}

static void fill_row(struct table *t, uint32_t r, enum mix mix) {
    struct item_head *h = item_head(&t->items, r);
    float *q = item_q(&t->items, r), size = size_of(t, mix);
    bool copy = r > 0 && (mix == MIX_EQUAL ? below(t, 4) != 0 : below(t, 50) == 0);
    for (uint32_t k = 0; k < t->params.dim; k++) {
        q[k] = copy ? item_q(&t->items, r - 1)[k] : table_value(t) * size;
        if (mix == MIX_NEAR) q[k] = 0.5f + table_value(t) * 1e-6f;
    }
    if (mix == MIX_CODES && !copy) fill_exact(t, q);
    if (mix == MIX_BAD && below(t, 20) == 0) q[below(t, t->params.dim)] = below(t, 2) ? NAN : INFINITY;
    h->bias = mix == MIX_EQUAL || copy ? 0 : table_value(t) * size;
    h->live = mix == MIX_DEAD ? below(t, 20) == 0 : below(t, 10) != 0;
    h->known = h->live || below(t, 2);
    h->q_sum = below(t, 8) ? 1.0f : 0.0f;
    for (int k = 0; k < MODEL_TRENDS; k++) {
        double shift = (double)CLOCK / (double)t->params.trend_half_life_ms[k];
        h->trend[k] = below(t, 3) ? shift + 6 * (double)table_value(t) : below(t, 2) ? ITEM_NO_TREND : shift - 8;
    }
    if (below(t, 15) == 0) atomic_store(&t->items.available[r], 0);
    if (below(t, 15) == 0) atomic_store(&t->items.expires_ms[r], WALL - 1 + below(t, 3));
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static size_t random_rows(struct table *t, uint32_t *rows, size_t most) {
    size_t n = below(t, (uint32_t)most + 1), kept = 0;
    for (size_t i = 0; i < n; i++) rows[i] = below(t, t->params.max_items);
    qsort(rows, n, sizeof *rows, ascending);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || rows[kept - 1] != rows[i]) rows[kept++] = rows[i];
    }
    return kept;
}

static struct topk_query query_of(struct table *t, enum mix mix, float *x, uint32_t *excluded, uint32_t *only) {
    static const float taus[] = {1, 0.3f, 0.3f, -1, 0, 1e10f}, mus[] = {0, 0.02f, 0.02f, -0.5f, 1, 0};
    struct topk_query q = {.tau = taus[below(t, 6)], .clock_ms = CLOCK, .wall_ms = WALL};
    uint32_t n = t->params.max_items;
    float size = below(t, 4) ? 1.0f : size_of(t, mix);
    for (uint32_t k = 0; k < t->params.dim; k++) x[k] = table_value(t) * size;
    if (below(t, 3) == 0) fill_exact(t, x);
    if (below(t, 20) == 0) memset(x, 0, t->params.dim * sizeof *x);
    for (int h = 0; h < MODEL_TRENDS; h++) q.mu[h] = mus[below(t, 6)];
    q.x = below(t, 5) ? x : NULL;
    q.cosine = q.x && below(t, 4) == 0;
    q.k = below(t, 3) ? 1 + below(t, 30) : 1 + below(t, n + n / 4 + 1);
    if (below(t, 2)) {
        q.n_excluded = random_rows(t, excluded, below(t, 2) ? n / 2 : 5);
        q.excluded = excluded;
    }
    if (below(t, 6) == 0) {
        q.n_only = random_rows(t, only, n < 40 ? n : 40);
        q.only = only;
    }
    return q;
}

/* The oracle's oracle: what is right of each hit, and that nothing left out is better. */
static void check_naive(const struct table *t, const struct topk_query *q, const struct topk_hit *hits, size_t n) {
    const struct kernel *k = kernel_pick("portable");
    for (size_t i = 0; i < n; i++) {
        assert_true(topk_score(&t->items, k, q, hits[i].row) == hits[i].score);
        if (i > 0)
            assert_true(hits[i - 1].score > hits[i].score ||
                        (hits[i - 1].score == hits[i].score && hits[i - 1].row < hits[i].row));
    }
    for (uint32_t r = 0; r < t->params.max_items && !q->only; r++) {
        bool hit = false, out = false;
        for (size_t i = 0; i < n; i++) hit = hit || hits[i].row == r;
        for (size_t i = 0; i < q->n_excluded; i++) out = out || q->excluded[i] == r;
        out = out || !item_head(&t->items, r)->live || !t->items.available[r] || t->items.expires_ms[r] <= WALL;
        float score = topk_score(&t->items, k, q, r);
        if (out || isnan(score)) {
            assert_false(hit);
        } else if (!hit) {
            assert_int_equal(n, q->k);
            assert_true(score < hits[n - 1].score || (score == hits[n - 1].score && r > hits[n - 1].row));
        }
    }
}

/* Terms of a few rows: of any sign, ties with rows that have none among them. */
static void add_terms(struct table *t, struct topk_query *q, struct terms *terms, enum mix mix) {
    static const float weight[TERMS] = {1, 0, 0, 0, 0, 0, 0};
    terms_begin(terms, 0);
    if (q->cosine || below(t, 3) == 0) return;
    for (uint32_t n = below(t, below(t, 2) ? 5 : 200); n > 0; n--)
        terms_at(terms, below(t, t->params.max_items))->value[0] =
            below(t, 4) ? table_value(t) * size_of(t, mix == MIX_HUGE || mix == MIX_WILD ? mix : MIX_PLAIN) : 0;
    terms_weigh(terms, weight);
    q->terms = terms;
}

/* topk_place against the whole ranking. */
static void check_place(struct table *t, struct topk_query q, struct topk *s, const struct scan *c) {
    uint32_t n = t->params.max_items, row = below(t, n), limit = 1 + below(t, below(t, 2) ? 20 : n + 1), rank = 0,
             k = below(t, 3) ? below(t, 30) : 0;
    struct topk_hit *all = malloc((n + 1) * sizeof *all), *others = malloc((n + 31) * sizeof *others);
    size_t n_all, n_others, place = 0, other = 0;
    q.only = NULL;
    q.k = n;
    bool out = !item_head(&t->items, row)->live || isnan(topk_score(&t->items, kernel_pick("auto"), &q, row));
    assert_int_equal(topk_rank_naive(s, &t->items, &q, all, &n_all, NULL), 0);
    while (place < n_all && all[place].row != row) place++;
    q.k = k;
    if (!q.cosine && !out && place < n_all) {
        assert_int_equal(topk_place(s, &t->items, c, &q, row, limit, &rank, others, &n_others, NULL), 0);
        assert_int_equal(rank, place < limit ? place : limit);
        if (rank < limit) assert_int_equal(n_others, n_all - 1 < k ? n_all - 1 : k);
        for (size_t i = 0; i < n_others; i++, other++) {
            other += all[other].row == row;
            assert_int_equal(others[i].row, all[other].row);
            assert_true(others[i].score == all[other].score);
        }
    }
    free(all);
    free(others);
}

struct seen {
    unsigned queries, fell_back, pruned;
};

static void check_table(struct table *t, enum mix mix, struct topk *s, struct seen *seen, unsigned n_queries) {
    uint32_t n = t->params.max_items;
    struct topk_hit *got = malloc((2 * n + 2) * sizeof *got), *want = malloc((2 * n + 2) * sizeof *want);
    uint32_t *excluded = malloc((n + 8) * sizeof *excluded), *only = malloc((n + 8) * sizeof *only);
    struct scan *scans[3] = {NULL};
    struct model_params of_terms = {.max_items = n, .neighbour_history = 1, .neighbours = 255};
    struct terms *terms = terms_new(&of_terms);
    assert_non_null(terms);
    for (int i = 0; i < 3; i++) {
        if (!kernel_pick(kernels[i])) continue;
        assert_int_equal(scan_new(&t->params, kernel_pick(kernels[i]), &scans[i], NULL), 0);
        for (uint32_t r = 0; r < n; r++) scan_put(scans[i], &t->items, r);
    }
    for (unsigned i = 0; i < n_queries; i++) {
        float x[MODEL_MAX_DIM];
        struct topk_query q = query_of(t, mix, x, excluded, only);
        add_terms(t, &q, terms, mix);
        size_t n_got = 77, n_want = 78;
        assert_int_equal(topk_rank_naive(s, &t->items, &q, want, &n_want, NULL), 0);
        if (n <= 600 && i == 0) check_naive(t, &q, want, n_want);
        for (int k = 0; k < 3; k++) {
            if (!scans[k]) continue;
            assert_int_equal(topk_rank(s, &t->items, scans[k], &q, got, &n_got, NULL), 0);
            assert_int_equal(n_got, n_want);
            for (size_t j = 0; j < n_got; j++) {
                if (got[j].row != want[j].row || memcmp(&got[j].score, &want[j].score, sizeof(float)) != 0)
                    fail_msg("mix %d, n %u, dim %u, query %u, %s, hit %zu: row %u %a, not row %u %a", mix, n,
                             t->params.dim, i, kernels[k], j, got[j].row, (double)got[j].score, want[j].row,
                             (double)want[j].score);
            }
            check_place(t, q, s, scans[k]);
            seen->queries++;
            seen->fell_back += topk_last(s).fell_back;
            seen->pruned += !q.only && topk_last(s).rescored < topk_last(s).scanned / 4;
        }
    }
    for (int i = 0; i < 3; i++) scan_free(scans[i]);
    terms_free(terms);
    free(got);
    free(want);
    free(excluded);
    free(only);
}

static void equals_scoring_everything(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 300, 1000, 5000}, dims[] = {16, 48, 64, 160, 256};
    struct seen seen[N_MIXES] = {{0}};
    struct table t;
    table_new(&t, 16, 1, 1);
    struct topk *s = topk_new(&t.params);
    table_free(&t);
    assert_non_null(s);
    for (uint32_t round = 0; round < 5 * 8 * N_MIXES; round++) {
        enum mix mix = (enum mix)(round % N_MIXES);
        uint32_t n = sizes[round / N_MIXES % 8];
        table_new(&t, dims[round / N_MIXES / 8], n, 100 + round);
        for (uint32_t r = 0; r < n; r++) fill_row(&t, r, mix);
        check_table(&t, mix, s, &seen[mix], n > 1000 ? 4 : 12);
        table_free(&t);
    }
    for (int mix = 0; mix < N_MIXES; mix++)
        print_message("mix %d: %u queries, %u fell back, %u pruned\n", mix, seen[mix].queries, seen[mix].fell_back,
                      seen[mix].pruned);
    assert_int_equal(seen[MIX_PLAIN].fell_back, 0);
    assert_true(seen[MIX_PLAIN].pruned > seen[MIX_PLAIN].queries / 4);
    topk_free(s);
}

/* A million ties at the trend's floor are decided by row number without being scored. */
static void ties_at_the_floor_are_cheap(void **state) {
    (void)state;
    struct table t;
    struct scan *s;
    struct topk_hit hits[20];
    size_t n;
    table_new(&t, 16, 50000, 9);
    struct topk *k = topk_new(&t.params);
    assert_int_equal(scan_new(&t.params, kernel_pick("auto"), &s, NULL), 0);
    item_head(&t.items, 40000)->trend[0] = (double)CLOCK / (double)t.params.trend_half_life_ms[0] + 3;
    for (uint32_t r = 0; r < 50000; r++) scan_put(s, &t.items, r);
    struct topk_query q = {.mu = {0.02f, 0, 0}, .clock_ms = CLOCK, .wall_ms = WALL, .k = 20};
    assert_int_equal(topk_rank(k, &t.items, s, &q, hits, &n, NULL), 0);
    assert_int_equal(n, 20);
    assert_int_equal(hits[0].row, 40000);
    for (uint32_t i = 1; i < 20; i++) assert_int_equal(hits[i].row, i - 1);
    assert_true(topk_last(k).rescored < 100);
    assert_int_equal(topk_last(k).scanned, 50000);
    topk_free(k);
    scan_free(s);
    table_free(&t);
}

/* Nearly equal rows cannot be told apart by bounds: past the room for candidates everything is scored. */
static void falls_back_when_all_can_win(void **state) {
    (void)state;
    struct table t;
    struct scan *s;
    static struct topk_hit got[50], want[50];
    size_t n_got, n_want;
    table_new(&t, 16, 200000, 10);
    struct topk *k = topk_new(&t.params);
    assert_int_equal(scan_new(&t.params, kernel_pick("auto"), &s, NULL), 0);
    for (uint32_t r = 0; r < 200000; r++) {
        for (int i = 0; i < 16; i++) item_q(&t.items, r)[i] = 0.5f + 1e-6f * table_value(&t);
        scan_put(s, &t.items, r);
    }
    float x[16] = {0.3f, -0.2f, 0.9f, 0.1f, 0.33f};
    struct topk_query q = {.x = x, .tau = 1, .clock_ms = CLOCK, .wall_ms = WALL, .k = 50};
    assert_int_equal(topk_rank(k, &t.items, s, &q, got, &n_got, NULL), 0);
    assert_true(topk_last(k).fell_back);
    assert_int_equal(topk_rank_naive(k, &t.items, &q, want, &n_want, NULL), 0);
    assert_int_equal(n_got, n_want);
    assert_memory_equal(got, want, sizeof got);
    topk_free(k);
    scan_free(s);
    table_free(&t);
}

static void refuses(void **state) {
    (void)state;
    struct table t;
    struct err e = {0};
    struct topk_hit hit[2];
    size_t n = 5;
    table_new(&t, 16, 10, 11);
    struct topk *k = topk_new(&t.params);
    struct topk_query q = {.k = 0};
    assert_int_equal(topk_rank(k, &t.items, NULL, &q, hit, &n, &e), ERR_RANGE);
    q.k = TOPK_MAX + 1;
    assert_int_equal(topk_rank_naive(k, &t.items, &q, hit, &n, &e), ERR_RANGE);
    q.k = 1;
    q.cosine = true;
    assert_int_equal(topk_rank(k, &t.items, NULL, &q, hit, &n, &e), ERR_RANGE);
    assert_int_equal(n, 5);
    for (uint64_t nth = 1; nth <= 4; nth++) {
        mem_fail_at(nth);
        assert_null(topk_new(&t.params));
    }
    mem_fail_at(0);
    topk_free(k);
    topk_free(NULL);
    table_free(&t);
}

/* While a writer replaces rows: each version of a row holds one value in q and bias, so that every score read from a
 * whole row is that of some version. */
#define CONCURRENT_ROWS 500u
static struct {
    struct table table;
    struct scan *scan;
    _Atomic int stop;
} shared;

static void write_version(struct table *t, uint32_t r, float value) {
    struct item_head head = *item_head(&t->items, r), *h = item_head(&t->items, r);
    float q[32];
    for (int k = 0; k < 32; k++) q[k] = value;
    head.bias = value;
    item_begin(h);
    item_store_head(h, &head);
    item_store(item_q(&t->items, r), q, sizeof q);
    item_end(h);
    scan_put(shared.scan, &t->items, r);
}

static void *writer(void *arg) {
    struct table *t = arg;
    while (!atomic_load_explicit(&shared.stop, memory_order_relaxed))
        write_version(t, below(t, CONCURRENT_ROWS), (float)below(t, 1000));
    return NULL;
}

static void reads_whole_rows_while_they_change(void **state) {
    (void)state;
    struct table *t = &shared.table;
    pthread_t thread;
    float x[32];
    table_new(t, 32, CONCURRENT_ROWS, 12);
    assert_int_equal(scan_new(&t->params, kernel_pick("auto"), &shared.scan, NULL), 0);
    for (uint32_t r = 0; r < CONCURRENT_ROWS; r++) write_version(t, r, (float)(r % 1000));
    for (int k = 0; k < 32; k++) x[k] = 1;
    struct topk *s = topk_new(&t->params);
    assert_int_equal(pthread_create(&thread, NULL, writer, t), 0);
    struct topk_query q = {.x = x, .tau = 1, .clock_ms = CLOCK, .wall_ms = WALL, .k = 20};
    for (int i = 0; i < 2000; i++) {
        struct topk_hit hits[20];
        size_t n;
        q.cosine = i % 5 == 4;
        assert_int_equal(topk_rank(s, &t->items, shared.scan, &q, hits, &n, NULL), 0);
        assert_int_equal(n, 20);
        for (size_t j = 0; j < n && !q.cosine; j++) {
            float value = hits[j].score / 33;
            assert_true(value == floorf(value) && value >= 0 && value < 1000);
        }
    }
    atomic_store(&shared.stop, 1);
    pthread_join(thread, NULL);
    topk_free(s);
    scan_free(shared.scan);
    table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_scoring_everything),          cmocka_unit_test(ties_at_the_floor_are_cheap),
        cmocka_unit_test(falls_back_when_all_can_win),        cmocka_unit_test(refuses),
        cmocka_unit_test(reads_whole_rows_while_they_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
