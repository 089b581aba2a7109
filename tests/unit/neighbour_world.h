/* Items without events, for tests of neighbour rows, and a backing store for rows in memory. */
#ifndef RANKD_TESTS_NEIGHBOUR_WORLD_H
#define RANKD_TESTS_NEIGHBOUR_WORLD_H

#include <pthread.h>

#include "tests/unit/model_shop.h"

#define WORLD_ITEMS 40u
#define WORLD_KEYS  (WORLD_ITEMS * NEIGHBOUR_KINDS)
#define T0          INT64_C(1700000000000)
#define HOUR        INT64_C(3600000)
#define DAY         (24 * HOUR)

static pthread_mutex_t world_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the rows of a backing */

struct world_row {
    char bytes[4096];
    size_t n; /* 0 = none */
};

struct world_backing {
    struct world_row rows[WORLD_KEYS];
    unsigned reads;
    int fail;                        /* answered to every look-up; 0 = none */
    uint32_t erased[4096], n_erased; /* items whose rows the next checkpoint that succeeds deletes */
};

static inline int world_get(void *arg, enum neighbour_kind kind, uint32_t a, struct buf *out, struct err *e) {
    struct world_backing *b = arg;
    pthread_mutex_lock(&world_lock);
    const struct world_row *r = &b->rows[a * NEIGHBOUR_KINDS + kind];
    int rc = b->fail ? b->fail : r->n ? 0 : ERR_MISSING;
    b->reads++;
    buf_clear(out);
    buf_add(out, r->bytes, r->n);
    if (out->failed) rc = ERR_NOMEM;
    pthread_mutex_unlock(&world_lock);
    return rc ? err_set(e, rc, "neighbour", "no row, no memory, or the disk is gone") : 0;
}

static inline struct slice world_id(unsigned item, char out[16]) {
    snprintf(out, 16, "i%u", item);
    return slice_str(out);
}

/* Item n has row n. backing NULL: all in memory. */
static inline struct model *world_new(uint32_t neighbours, uint64_t cache_bytes, struct world_backing *backing) {
    struct model_params p = shop_params();
    const struct user_backing none = {NULL, NULL};
    struct model *m;
    struct err e;
    char id[16];
    p.neighbours = neighbours;
    assert_int_equal(model_new(&p, kernel_pick("portable"), 1u << 20, &none, 2, &m, &e), 0);
    if (backing) neighbours_set_backing(m->neighbours, cache_bytes, &(struct neighbour_backing){world_get, backing});
    for (unsigned i = 0; i < WORLD_ITEMS; i++) {
        uint32_t row;
        assert_int_equal(items_add(m->items, world_id(i, id), &row, &e), 0);
        assert_int_equal(row, i);
    }
    return m;
}

static inline void world_add(struct model *m, enum neighbour_kind kind, uint32_t a, uint32_t b, float weight,
                             int64_t t) {
    struct err e;
    assert_int_equal(neighbours_touch(m->neighbours, kind, a, 1, &e), 0);
    neighbours_add(m->neighbours, kind, a, b, weight, t);
}

static inline const struct neighbour_list *world_row(struct model *m, enum neighbour_kind kind, uint32_t a) {
    static struct neighbour_list list;
    struct err e;
    assert_int_equal(neighbours_peek(m->neighbours, kind, a, &list, &e), 0);
    return &list;
}

static inline uint32_t place_of(const struct neighbour_list *l, uint32_t item) {
    uint32_t at = 0;
    while (at < l->n && l->row[at] != item) at++;
    return at;
}

static inline uint64_t world_row_hash(struct model *m, uint32_t key) {
    const struct neighbour_list *l = world_row(m, (enum neighbour_kind)(key % NEIGHBOUR_KINDS), key / NEIGHBOUR_KINDS);
    if (l->n == 0) return 0;
    uint64_t h = hash64(&l->reference_ms, sizeof l->reference_ms, l->n);
    h = hash64(l->row, 4 * l->n, h);
    h = hash64(l->weight, 4 * l->n, h);
    return hash64(l->generation, 2 * l->n, h);
}

/* The item is erased and another one takes its row. */
static inline void world_replace(struct model *m, unsigned item) {
    char id[16];
    uint32_t row;
    struct err e;
    assert_int_equal(model_erase_item(m, world_id(item, id), &e), 0);
    assert_int_equal(items_add(m->items, world_id(item, id), &row, &e), 0);
    assert_int_equal(row, item);
}

/* What the learner hands over, and what the store thread does first: rows of erased items go. */
static inline uint64_t world_begin(struct model *m, struct world_backing *b, bool durable) {
    struct slice rest = slice_of(m->ops.p, m->ops.n), key, value;
    enum model_op op;
    model_publish(m);
    uint64_t n = neighbours_checkpoint_begin(m->neighbours);
    while (model_ops_next(&rest, &op, &key, &value))
        if (op == MODEL_DEL_NEIGHBOURS) b->erased[b->n_erased++] = (uint8_t)key.p[3];
    buf_clear(&m->ops);
    pthread_mutex_lock(&world_lock);
    for (uint32_t k = 0; durable && k < b->n_erased; k++)
        for (uint32_t kind = 0; kind < NEIGHBOUR_KINDS; kind++)
            if (kind != NEIGHBOUR_SEGMENT) b->rows[b->erased[k] * NEIGHBOUR_KINDS + kind].n = 0;
    pthread_mutex_unlock(&world_lock);
    if (durable) b->n_erased = 0;
    return n;
}

/* One row into the backing, if there is one; false when there are no more. */
static inline bool world_store_next(struct model *m, struct world_backing *b) {
    struct buf bytes;
    enum neighbour_kind kind;
    uint32_t a;
    buf_init(&bytes, 1u << 16);
    epoch_enter(m->epoch, 0);
    int more = neighbours_checkpoint_next(m->neighbours, &kind, &a, &bytes);
    epoch_leave(m->epoch, 0);
    if (more && b) {
        struct world_row *r = &b->rows[a * NEIGHBOUR_KINDS + kind];
        pthread_mutex_lock(&world_lock);
        memcpy(r->bytes, bytes.p, bytes.n);
        r->n = bytes.n;
        pthread_mutex_unlock(&world_lock);
    }
    buf_free(&bytes);
    return more != 0;
}

static inline uint64_t world_checkpoint(struct model *m, struct world_backing *b, bool durable) {
    uint64_t n = world_begin(m, b, durable);
    neighbours_checkpoint_sort(m->neighbours);
    while (world_store_next(m, durable ? b : NULL)) {
    }
    neighbours_checkpoint_end(m->neighbours, durable);
    return n;
}

/* A reader of successor rows 0 to n_rows - 1. Each addition lies far past the one before, so that in a whole row one
 * weight stands out: that of its reference time. */
struct reading {
    struct model *m;
    uint32_t n_rows;
    _Atomic bool over;
    uint64_t rows, torn;
};

static inline float weight_of(int64_t t) { return 1 + (float)(t / (100 * DAY) % 1000); }

static inline void *read_rows(void *arg) {
    struct reading *r = arg;
    struct neighbour_list list;
    struct err e;
    for (uint64_t n = 0, after = 0; after < 1000; n++, after += atomic_load(&r->over)) {
        epoch_enter(r->m->epoch, 1);
        int rc = neighbours_read(r->m->neighbours, 1, NEIGHBOUR_SUCCESSOR, (uint32_t)(n % r->n_rows), &list, &e);
        epoch_leave(r->m->epoch, 1);
        uint32_t large = 0, at = 0;
        for (uint32_t k = 0; k < list.n; k++)
            if (list.weight[k] >= 1) {
                large++;
                at = k;
            }
        if (rc < 0 || (list.n && (large != 1 || list.weight[at] != weight_of(list.reference_ms)))) r->torn++;
        r->rows += list.n > 0;
    }
    return NULL;
}

#endif
