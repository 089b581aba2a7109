/* Checkpoints on the store thread: one write transaction with all that was handed over. */
#include <string.h>

#include "daemon/checkpoint_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/model/dedup.h"
#include "lib/model/feature.h"

#define USERS_AT_ONCE 64
#define ROWS_AT_ONCE  64

static int put(struct checkpoint *c, struct store_txn *t, enum store_table table, struct slice key, struct slice value,
               struct err *e) {
    c->figures.bytes += key.n + value.n;
    return store_put(t, table, key, value, e);
}

static int del_neighbours(struct store_txn *t, struct slice row, struct err *e) {
    int rc = 0;
    for (uint8_t kind = 0; rc == 0 && kind < NEIGHBOUR_KINDS; kind++) {
        char key[5] = {(char)kind};
        memcpy(key + 1, row.p, 4);
        if (kind == NEIGHBOUR_SEGMENT) continue; /* of no item */
        rc = store_del(t, STORE_NEIGHBOUR, slice_of(key, sizeof key), e);
    }
    return rc;
}

static int write_op(struct checkpoint *c, struct store_txn *t, enum model_op op, struct slice key, struct slice value,
                    struct err *e) {
    switch (op) {
    case MODEL_PUT_ID:
        return put(c, t, STORE_ITEM_ID, key, value, e);
    case MODEL_PUT_ITEM_TEXT:
        return put(c, t, STORE_ITEM_TEXT, key, value, e);
    case MODEL_DEL_ITEM_TEXT:
        return store_del(t, STORE_ITEM_TEXT, key, e);
    case MODEL_PUT_USER_TEXT:
        return put(c, t, STORE_USER_TEXT, key, value, e);
    case MODEL_DEL_USER_TEXT:
        return store_del(t, STORE_USER_TEXT, key, e);
    case MODEL_DEL_NEIGHBOURS:
        return del_neighbours(t, key, e);
    case MODEL_PUT_FEATURE:
        return put(c, t, STORE_FEATURE, key, value, e);
    case MODEL_DEL_SUCCESSION:
        return store_del(t, STORE_SUCCESSION, key, e);
    case MODEL_PUT_ITEM_FEATURES:
        return put(c, t, STORE_ITEM_FEATURES, key, value, e);
    case MODEL_DEL_ITEM_FEATURES:
        break;
    }
    return store_del(t, STORE_ITEM_FEATURES, key, e);
}

static int write_ops(struct checkpoint *c, struct store_txn *t, struct err *e) {
    struct slice rest = slice_of(c->ops.p, c->ops.n), key, value;
    enum model_op op;
    int rc = 0;
    while (rc == 0 && model_ops_next(&rest, &op, &key, &value)) rc = write_op(c, t, op, key, value, e);
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

static int write_items(struct checkpoint *c, struct store_txn *t, struct err *e) {
    struct items *items = c->g->model->items;
    struct slice block = slice_of(c->block, items_block_bytes(items));
    char key[4];
    int rc = 0;
    for (uint32_t b = 0; rc == 0 && b < items_blocks(items); b++)
        if (items_take_block(items, b, c->block)) rc = put(c, t, STORE_ITEM, store_key_u32(b, key), block, e);
    return rc;
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
    users_list_sort(c->g->model->users, c->users, c->reader);
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

struct neighbour_place { /* of a row in c->row */
    char key[5];
    size_t at, n;
};

/* The next rows, copied as above. */
static size_t gather_neighbours(struct checkpoint *c, struct neighbours *from,
                                struct neighbour_place places[ROWS_AT_ONCE]) {
    struct model *m = c->g->model;
    enum neighbour_kind kind;
    uint32_t row;
    size_t n = 0;
    buf_clear(&c->row);
    epoch_enter(m->epoch, c->reader);
    for (size_t at = 0; n < ROWS_AT_ONCE && neighbours_checkpoint_next(from, &kind, &row, &c->row); n++) {
        (void)store_key_u8_u32((uint8_t)kind, row, places[n].key);
        places[n].at = at;
        places[n].n = c->row.n - at;
        at = c->row.n;
    }
    epoch_leave(m->epoch, c->reader);
    return n;
}

/* skip: bytes of the key that the table does without. After the ops, which delete those of erased items. */
static int write_rows(struct checkpoint *c, struct store_txn *t, struct neighbours *from, enum store_table table,
                      size_t skip, struct err *e) {
    struct neighbour_place places[ROWS_AT_ONCE];
    int rc = 0;
    neighbours_checkpoint_sort(from);
    for (size_t n; rc == 0 && (n = gather_neighbours(c, from, places)) > 0;) {
        if (c->row.failed) rc = err_set(e, ERR_NOMEM, "checkpoint", "no memory for neighbour rows");
        for (size_t k = 0; k < n && rc == 0; k++)
            rc = put(c, t, table, slice_of(places[k].key + skip, sizeof places[k].key - skip),
                     slice_of(c->row.p + places[k].at, places[k].n), e);
    }
    return rc;
}

static int write_neighbours(struct checkpoint *c, struct store_txn *t, struct err *e) {
    return write_rows(c, t, c->g->model->neighbours, STORE_NEIGHBOUR, 0, e);
}

static int write_successions(struct checkpoint *c, struct store_txn *t, struct err *e) {
    return write_rows(c, t, c->g->model->features->successions, STORE_SUCCESSION, 1, e);
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

/* Everything goes into one transaction. Item rows first: what the learner has to set aside for them is given back. */
static int (*const parts[])(struct checkpoint *c, struct store_txn *t, struct err *e) = {
    write_items, write_ops, write_neighbours, write_successions, write_users, write_dedup, write_bad, write_small,
};

int checkpoint_write(struct checkpoint *c, struct store *s, struct err *e) {
    uint64_t start = clock_steady_ns();
    struct store_txn *t;
    int rc = store_begin(s, &t, e);
    if (rc < 0) return rc;
    for (size_t k = 0; rc == 0 && k < sizeof parts / sizeof *parts; k++) rc = parts[k](c, t, e);
    if (rc == 0)
        rc = store_commit(t, e);
    else
        store_abort(t);
    c->figures.write_ns = clock_steady_ns() - start;
    return rc;
}
