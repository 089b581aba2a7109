/* Checkpoints: handing over, writing, settling. */
#include "daemon/checkpoint.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/model/dedup.h"
#include "lib/model/recent.h"

#define USERS_AT_ONCE 64
#define NO_LIMIT      (SIZE_MAX / 4)

struct checkpoint {
    struct engine *g;
    unsigned reader;
    struct buf ops;   /* of this checkpoint, and of earlier ones that failed */
    struct buf small; /* puts of small rows: table u8, key u16, value u32, bytes; an empty value deletes */
    struct engine_run *runs;
    size_t n_runs;
    struct engine_bad *bad;
    size_t n_bad;
    uint64_t bad_next;
    struct user_list *users;
    uint32_t blocks; /* item blocks to ask for */
    uint8_t *taken;  /* (blocks of max_items) taken from the table by this checkpoint */
    size_t taken_bytes;
    bool epoch;
    struct buf row; /* scratch of the store thread */
    void *block;    /* one item block */
    struct checkpoint_figures figures;
};

int checkpoint_new(struct engine *g, unsigned reader, struct checkpoint **out, struct err *e) {
    struct checkpoint *c = mem_zalloc(sizeof *c);
    if (!c) return err_set(e, ERR_NOMEM, "checkpoint", "no memory");
    c->g = g;
    c->reader = reader;
    buf_init(&c->ops, NO_LIMIT);
    buf_init(&c->small, NO_LIMIT);
    buf_init(&c->row, NO_LIMIT);
    c->taken_bytes = g->model->items->max_items / ITEM_BLOCK_ROWS + 1;
    c->taken = mem_map(c->taken_bytes);
    c->block = mem_alloc(items_block_bytes(g->model->items));
    if (c->taken && c->block) {
        *out = c;
        return 0;
    }
    checkpoint_free(c);
    return err_set(e, ERR_NOMEM, "checkpoint", "no memory");
}

static void free_bad(struct engine_bad *bad, size_t n) {
    for (size_t k = 0; k < n; k++) buf_free(&bad[k].row);
    mem_free(bad);
}

void checkpoint_free(struct checkpoint *c) {
    if (!c) return;
    buf_free(&c->ops);
    buf_free(&c->small);
    buf_free(&c->row);
    free_bad(c->bad, c->n_bad);
    mem_free(c->runs);
    mem_unmap(c->taken, c->taken_bytes);
    mem_free(c->block);
    mem_free(c);
}

static void add_small(struct checkpoint *c, enum store_table table, struct slice key, struct slice value) {
    buf_put_u8(&c->small, (uint8_t)table);
    buf_put_u16(&c->small, (uint16_t)key.n);
    buf_put_u32(&c->small, (uint32_t)value.n);
    buf_add_slice(&c->small, key);
    buf_add_slice(&c->small, value);
}

static struct slice journal_key(uint64_t sequence, uint8_t kind, char out[9]) {
    (void)store_key_u64(sequence, out);
    out[8] = (char)kind;
    return slice_of(out, 9);
}

static void capture_positions(struct checkpoint *c, struct buf *row) {
    struct engine *g = c->g;
    for (uint32_t s = 0; s < g->n_sources; s++)
        for (uint32_t p = 0; p < g->sources[s].n; p++) {
            struct position *at = &g->sources[s].positions[p];
            char key[128];
            if (!at->known) continue;
            if (g->sources[s].attached) source_identity(g->sources[s].attached, p, at->identity);
            buf_clear(row);
            engine_encode_position(at, row);
            add_small(c, STORE_POSITION, engine_position_key(g->sources[s].name, p, key), slice_of(row->p, row->n));
        }
}

/* Everything small is encoded now; rows of the journal that are open come again with the next checkpoint. */
static void capture_small(struct checkpoint *c) {
    struct engine *g = c->g;
    struct buf row;
    char key[9];
    buf_init(&row, NO_LIMIT);
    buf_clear(&c->small);
    engine_encode_state(g, &row);
    add_small(c, STORE_META, slice_str("state"), slice_of(row.p, row.n));
    buf_clear(&row);
    for (size_t t = 0; t < g->n_types; t++) buf_printf(&row, "%s%s", t ? "\n" : "", g->types[t]);
    add_small(c, STORE_META, slice_str("types"), slice_of(row.p, row.n));
    c->epoch = g->epoch_dirty;
    if (g->epoch_dirty) {
        buf_clear(&row);
        engine_encode_epoch(g, &row);
        add_small(c, STORE_JOURNAL, journal_key(g->epoch_sequence, 0, key), slice_of(row.p, row.n));
    }
    for (size_t k = 0; k < g->n_runs; k++) {
        buf_clear(&row);
        engine_encode_run(g, &g->runs[k], &row);
        add_small(c, STORE_JOURNAL, journal_key(g->runs[k].sequence, 1, key), slice_of(row.p, row.n));
    }
    capture_positions(c, &row);
    for (uint32_t b = 0; b < recent_blocks(g->model->recent); b++) {
        struct slice bytes = recent_take(g->model->recent, b);
        if (bytes.p) add_small(c, STORE_RECENT, store_key_u32(b, key), bytes);
    }
    if (row.failed) c->small.failed = true;
    buf_free(&row);
}

static int hand_over_ops(struct checkpoint *c) {
    struct buf *ops = &c->g->model->ops;
    if (c->ops.n == 0) { /* the usual case: the buffers change places */
        struct buf empty = c->ops;
        c->ops = *ops;
        *ops = empty;
        return 0;
    }
    buf_add(&c->ops, ops->p, ops->n);
    if (c->ops.failed) return ERR_NOMEM;
    buf_clear(ops);
    return 0;
}

int checkpoint_begin(struct checkpoint *c, struct err *e) {
    struct engine *g = c->g;
    struct model *m = g->model;
    uint64_t start = clock_steady_ns();
    memset(&c->figures, 0, sizeof c->figures);
    capture_small(c);
    struct engine_run *runs = mem_alloc(4 * sizeof *runs);
    if (c->small.failed || !runs || hand_over_ops(c) < 0 || dedup_checkpoint_begin(m->dedup) < 0) goto refused;
    uint64_t n_users;
    c->users = users_checkpoint_begin(m->users, &n_users);
    if (!c->users) {
        dedup_checkpoint_end(m->dedup, false);
        goto refused;
    }
    c->runs = g->runs;
    c->n_runs = g->n_runs;
    g->runs = runs;
    g->cap_runs = 4;
    g->n_runs = 0;
    if (c->n_runs) g->runs[g->n_runs++] = c->runs[c->n_runs - 1];
    c->bad = g->bad;
    c->n_bad = g->n_bad;
    c->bad_next = g->bad_next;
    g->bad = NULL;
    g->n_bad = g->cap_bad = 0;
    c->blocks = items_blocks(m->items);
    c->figures.blocks = items_checkpoint_begin(m->items);
    c->figures.users = n_users;
    c->figures.sequence = g->sequence;
    c->figures.begin_ns = clock_steady_ns() - start;
    return 0;
refused:
    mem_free(runs);
    recent_mark_dirty(m->recent);
    return err_set(e, ERR_NOMEM, "checkpoint", "no memory to begin a checkpoint");
}

static int put(struct checkpoint *c, struct store_txn *t, enum store_table table, struct slice key, struct slice value,
               struct err *e) {
    c->figures.bytes += key.n + value.n;
    return store_put(t, table, key, value, e);
}

static int write_ops(struct checkpoint *c, struct store_txn *t, struct err *e) {
    struct slice rest = slice_of(c->ops.p, c->ops.n), key, value;
    enum model_op op;
    int rc = 0;
    while (rc == 0 && model_ops_next(&rest, &op, &key, &value)) {
        switch (op) {
        case MODEL_PUT_ID:
            rc = put(c, t, STORE_ITEM_ID, key, value, e);
            break;
        case MODEL_PUT_ITEM_TEXT:
            rc = put(c, t, STORE_ITEM_TEXT, key, value, e);
            break;
        case MODEL_DEL_ITEM_TEXT:
            rc = store_del(t, STORE_ITEM_TEXT, key, e);
            break;
        case MODEL_PUT_USER_TEXT:
            rc = put(c, t, STORE_USER_TEXT, key, value, e);
            break;
        case MODEL_DEL_USER_TEXT:
            rc = store_del(t, STORE_USER_TEXT, key, e);
            break;
        }
    }
    return rc;
}

static int write_small(struct checkpoint *c, struct store_txn *t, struct err *e) {
    struct cursor r = {(const uint8_t *)c->small.p, c->small.n, false};
    int rc = 0;
    while (rc == 0 && r.n > 0) {
        enum store_table table = (enum store_table)cursor_u8(&r);
        size_t key_n = cursor_u16(&r), value_n = cursor_u32(&r);
        struct slice key = cursor_bytes(&r, key_n), value = cursor_bytes(&r, value_n);
        CHECK(!r.failed);
        rc = value.n ? put(c, t, table, key, value, e) : store_del(t, table, key, e);
    }
    return rc;
}

static int write_frozen(struct checkpoint *c, struct store_txn *t, struct err *e) {
    struct items *items = c->g->model->items;
    uint32_t block;
    char key[4];
    int rc = 0;
    while (rc == 0 && items_take_frozen(items, &block, c->block)) {
        c->taken[block] = 1;
        rc = put(c, t, STORE_ITEM, store_key_u32(block, key), slice_of(c->block, items_block_bytes(items)), e);
    }
    return rc;
}

static int write_items(struct checkpoint *c, struct store_txn *t, struct err *e) {
    struct items *items = c->g->model->items;
    char key[4];
    int rc = 0;
    for (uint32_t b = 0; rc == 0 && b < c->blocks; b++) {
        if (items_take_block(items, b, c->block)) {
            c->taken[b] = 1;
            rc = put(c, t, STORE_ITEM, store_key_u32(b, key), slice_of(c->block, items_block_bytes(items)), e);
        }
        if (rc == 0) rc = write_frozen(c, t, e);
    }
    return rc < 0 ? rc : write_frozen(c, t, e);
}

struct user_place { /* of a row in c->row: id, then the stored form; n_value 0 = the user is gone */
    size_t key, n_key, n_value;
};

/* The next rows of the list, copied: the disk must not keep the store thread inside an epoch section. */
static size_t gather_users(struct checkpoint *c, struct user_place places[USERS_AT_ONCE]) {
    struct model *m = c->g->model;
    const struct user_row *row;
    size_t n = 0;
    buf_clear(&c->row);
    epoch_enter(m->epoch, c->reader);
    while (n < USERS_AT_ONCE && (row = users_list_next(m->users, c->users))) {
        struct slice id = user_id(row, m->params.dim);
        struct user_place *at = &places[n++];
        *at = (struct user_place){c->row.n, id.n, 0};
        buf_add_slice(&c->row, id);
        if (!row->erased) user_encode(row, m->params.dim, &c->row);
        at->n_value = c->row.n - at->key - id.n;
    }
    epoch_leave(m->epoch, c->reader);
    return n;
}

static int write_users(struct checkpoint *c, struct store_txn *t, struct err *e) {
    struct user_place places[USERS_AT_ONCE];
    int rc = 0;
    for (size_t n; rc == 0 && (n = gather_users(c, places)) > 0;) {
        if (c->row.failed) rc = err_set(e, ERR_NOMEM, "checkpoint", "no memory for user rows");
        for (size_t k = 0; k < n && rc == 0; k++) {
            struct slice id = slice_of(c->row.p + places[k].key, places[k].n_key);
            struct slice value = slice_of(id.p + id.n, places[k].n_value);
            rc = value.n ? put(c, t, STORE_USER, id, value, e) : store_del(t, STORE_USER, id, e);
        }
    }
    return rc;
}

static int write_dedup(struct checkpoint *c, struct store_txn *t, struct err *e) {
    uint32_t block;
    struct slice bytes;
    char key[4];
    int rc = 0;
    while (rc == 0 && dedup_checkpoint_next(c->g->model->dedup, &block, &bytes))
        rc = put(c, t, STORE_DEDUP, store_key_u32(block, key), bytes, e);
    return rc;
}

static int write_bad(struct checkpoint *c, struct store_txn *t, struct err *e) {
    char key[8];
    int rc = 0;
    for (size_t k = 0; k < c->n_bad && rc == 0; k++)
        rc = put(c, t, STORE_BAD, store_key_u64(c->bad[k].number, key), slice_of(c->bad[k].row.p, c->bad[k].row.n), e);
    uint64_t keep = (uint64_t)c->g->config->bad_events_kept;
    if (rc == 0 && c->bad_next > keep) rc = store_del_before(t, STORE_BAD, store_key_u64(c->bad_next - keep, key), e);
    return rc;
}

int checkpoint_write(struct checkpoint *c, struct store *s, struct err *e) {
    uint64_t start = clock_steady_ns();
    struct store_txn *t;
    int rc = store_begin(s, &t, e);
    if (rc < 0) return rc;
    rc = write_ops(c, t, e);
    if (rc == 0) rc = write_items(c, t, e);
    if (rc == 0) rc = write_users(c, t, e);
    if (rc == 0) rc = write_dedup(c, t, e);
    if (rc == 0) rc = write_bad(c, t, e);
    if (rc == 0) rc = write_small(c, t, e);
    if (rc == 0)
        rc = store_commit(t, e);
    else
        store_abort(t);
    c->figures.write_ns = clock_steady_ns() - start;
    return rc;
}

/* As many as the ring holds: the older ones would go from it at once. */
static void keep_newest_bad(struct engine *g) {
    size_t keep = (size_t)g->config->bad_events_kept, over = g->n_bad > keep ? g->n_bad - keep : 0;
    for (size_t k = 0; k < over; k++) buf_free(&g->bad[k].row);
    g->n_bad -= over;
    if (over) memmove(g->bad, g->bad + over, g->n_bad * sizeof *g->bad);
}

/* Without memory the learner waits: what was handed over must not be lost, and the daemon must not end. */
static void *must_have(void *p, size_t n) {
    void *grown;
    while (!(grown = mem_realloc(p, n))) clock_sleep_ms(50);
    return grown;
}

/* A failed checkpoint gives back what it was handed: older runs and bad events stand before the newer ones. */
static void give_back(struct checkpoint *c) {
    struct engine *g = c->g;
    items_checkpoint_abandon(g->model->items);
    for (uint32_t b = 0; b < c->blocks; b++)
        if (c->taken[b]) items_mark_dirty(g->model->items, b);
    recent_mark_dirty(g->model->recent);
    if (c->n_runs) {
        size_t n = c->n_runs - 1 + g->n_runs;
        struct engine_run *runs = must_have(c->runs, n * sizeof *runs);
        memcpy(runs + c->n_runs - 1, g->runs, g->n_runs * sizeof *runs);
        mem_free(g->runs);
        g->runs = runs;
        g->n_runs = g->cap_runs = n;
        c->runs = NULL;
    }
    if (c->n_bad) {
        struct engine_bad *bad = must_have(c->bad, (c->n_bad + g->n_bad) * sizeof *bad);
        if (g->n_bad) memcpy(bad + c->n_bad, g->bad, g->n_bad * sizeof *bad);
        mem_free(g->bad);
        g->bad = bad;
        g->n_bad = g->cap_bad = c->n_bad + g->n_bad;
        c->bad = NULL;
        c->n_bad = 0;
        keep_newest_bad(g);
    }
}

void checkpoint_end(struct checkpoint *c, bool durable) {
    struct engine *g = c->g;
    users_checkpoint_end(g->model->users, c->users, durable);
    dedup_checkpoint_end(g->model->dedup, durable);
    if (durable) {
        buf_free(&c->ops);
        if (c->epoch) g->epoch_dirty = false;
        atomic_store_explicit(&g->durable_sequence, c->figures.sequence, memory_order_release);
    } else {
        give_back(c);
    }
    g->held_bytes = c->ops.n;
    memset(c->taken, 0, c->blocks);
    free_bad(c->bad, c->n_bad);
    c->bad = NULL;
    c->n_bad = 0;
    mem_free(c->runs);
    c->runs = NULL;
    c->n_runs = 0;
}

struct checkpoint_figures checkpoint_figures(const struct checkpoint *c) {
    return c->figures;
}

uint64_t checkpoint_estimate(const struct engine *g) {
    const struct model *m = g->model;
    return m->items->n_dirty * (uint64_t)items_block_bytes(m->items) +
           atomic_load_explicit(&users_stats(m->users)->dirty_bytes, memory_order_relaxed) + m->ops.n;
}

bool checkpoint_needed(const struct engine *g) {
    return g->sequence != atomic_load_explicit(&g->durable_sequence, memory_order_relaxed) || g->epoch_dirty;
}
