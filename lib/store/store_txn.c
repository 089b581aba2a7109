/* The one write transaction: begin, change rows, commit or abort. */
#include <errno.h>

#include "lib/base/check.h"
#include "lib/store/store_priv.h"

static int fault(struct store *s, const char *step) { return s->fault ? s->fault(s->fault_arg, step) : 0; }

void store_set_fault(struct store *s, int (*f)(void *arg, const char *step), void *arg) {
    s->fault = f;
    s->fault_arg = arg;
}

int store_begin(struct store *s, struct store_txn **out, struct err *e) {
    struct store_txn *t = &s->txn;
    if (s->read_only) return err_set(e, ERR_DENIED, "data_dir", "%s was opened for reading only", s->dir);
    if (t->mt) return err_set(e, ERR_BUSY, "data_dir", "%s: a write transaction is open already", s->dir);
    if (!s->env) return store_fail(s, MDB_PANIC, "beginning a write", e);
    int rc = fault(s, "begin");
    if (!rc) rc = mdb_txn_begin(s->env, NULL, 0, &t->mt);
    if (rc) {
        t->mt = NULL;
        return store_fail(s, rc, "beginning a write", e);
    }
    *t = (struct store_txn){.s = s, .mt = t->mt, .failed = 0};
    store_spill_begin(t);
    *out = t;
    return 0;
}

int store_row_put(MDB_txn *mt, MDB_dbi dbi, enum store_table table, struct slice key, struct slice value) {
    uint32_t sum = store_row_sum(table, key, value);
    MDB_val k = store_val(key), v = {value.n + STORE_SUM, NULL};
    int rc = mdb_put(mt, dbi, &k, &v, MDB_RESERVE);
    if (rc) return rc;
    unsigned char *p = v.mv_data;
    if (value.n) memcpy(p, value.p, value.n);
    for (int b = 0; b < STORE_SUM; b++) p[value.n + (size_t)b] = (unsigned char)(sum >> (8 * b));
    return 0;
}

/* Notes that the transaction can only be aborted now. */
static int spoil(struct store_txn *t, int code) {
    if (!t->failed) t->failed = code;
    return code;
}

static int check_key(struct store_txn *t, enum store_table table, struct slice key, struct err *e) {
    CHECK(t->mt && (unsigned)table < STORE_TABLES);
    if (key.n > 0 && key.n <= STORE_KEY_MAX) return 0;
    return spoil(t, err_set(e, ERR_RANGE, "key", "a key of table %s has %zu bytes; 1 to %d are allowed",
                            store_table_name(table), key.n, STORE_KEY_MAX));
}

int store_put(struct store_txn *t, enum store_table table, struct slice key, struct slice value, struct err *e) {
    int code = check_key(t, table, key, e);
    if (code) return code;
    if (value.n > STORE_VALUE_MAX) {
        return spoil(t, err_set(e, ERR_RANGE, "value", "a value of table %s has %zu bytes; up to %u are allowed",
                                store_table_name(table), value.n, STORE_VALUE_MAX));
    }
    int rc = fault(t->s, "put");
    if (!rc) rc = store_spill_tend(t, value.n);
    if (!rc) rc = store_row_put(t->mt, t->s->dbi[table], table, key, value);
    return rc ? spoil(t, store_fail(t->s, rc, "writing a row", e)) : 0;
}

int store_del(struct store_txn *t, enum store_table table, struct slice key, struct err *e) {
    int code = check_key(t, table, key, e);
    if (code) return code;
    MDB_val k = store_val(key);
    int rc = fault(t->s, "put");
    if (!rc) rc = store_spill_tend(t, 0);
    if (!rc) rc = mdb_del(t->mt, t->s->dbi[table], &k, NULL);
    return rc && rc != MDB_NOTFOUND ? spoil(t, store_fail(t->s, rc, "deleting a row", e)) : 0;
}

int store_del_before(struct store_txn *t, enum store_table table, struct slice key, struct err *e) {
    int code = check_key(t, table, key, e);
    if (code) return code;
    MDB_dbi dbi = t->s->dbi[table];
    MDB_cursor *c = NULL;
    MDB_val bound = store_val(key), k, v;
    int rc = fault(t->s, "put");
    if (!rc) rc = mdb_cursor_open(t->mt, dbi, &c);
    while (!rc) {
        rc = mdb_cursor_get(c, &k, &v, MDB_FIRST);
        if (rc || mdb_cmp(t->mt, dbi, &k, &bound) >= 0) break;
        rc = mdb_cursor_del(c, 0);
    }
    if (c) mdb_cursor_close(c);
    return rc && rc != MDB_NOTFOUND ? spoil(t, store_fail(t->s, rc, "deleting rows", e)) : 0;
}

int store_txn_get(struct store_txn *t, enum store_table table, struct slice key, struct buf *out, struct err *e) {
    CHECK(t->mt && (unsigned)table < STORE_TABLES);
    return store_read(t->s, t->mt, table, key, out, e);
}

/* What the commit wrote: pages used more than before, and pages given up (each was copied before it was changed). */
static void account(struct store *s) {
    MDB_txn *mt = NULL;
    struct store_pages p;
    if (store_reader_enter(s, &mt, NULL)) return;
    if (store_count_pages(s, mt, &p) == 0 && p.txnid != s->last_txnid) {
        uint64_t written = (p.used + p.freed_last + 1) * p.page_bytes; /* 1: the meta page */
        atomic_store(&s->last_commit_bytes, written > s->used_bytes ? written - s->used_bytes : 0);
        s->used_bytes = p.used * p.page_bytes;
        s->last_txnid = p.txnid;
    }
    store_reader_leave(s, mt);
}

int store_commit(struct store_txn *t, struct err *e) {
    struct store *s = t->s;
    CHECK(t->mt);
    if (t->failed) {
        int code = t->failed;
        store_abort(t);
        return err_set(e, code, "data_dir", "%s: nothing was committed because a change before had failed", s->dir);
    }
    int rc = fault(s, "commit");
    if (rc) {
        store_abort(t);
        return store_fail(s, rc, "committing", e);
    }
    size_t id = mdb_txn_id(t->mt);
    store_spill_count(t);
    rc = mdb_txn_commit(t->mt);
    store_spill_end(s->env, t->mt, id);
    t->mt = NULL;
    if (rc == 0) {
        account(s);
        return 0;
    }
    /* After a failed write of the meta page everything answers MDB_PANIC; a look tells whether it was that. */
    MDB_txn *look = NULL;
    if (store_reader_enter(s, &look, NULL) == 0) store_reader_leave(s, look);
    return store_fail(s, rc, "committing", e);
}

void store_abort(struct store_txn *t) {
    if (!t || !t->mt) return;
    MDB_txn *mt = t->mt;
    size_t id = mdb_txn_id(mt);
    store_spill_count(t);
    mdb_txn_abort(mt);
    store_spill_end(t->s->env, mt, id);
    t->mt = NULL;
}
