/* Reading: single look-ups, walks over whole tables, pages in use. */
#include <sys/stat.h>

#include <errno.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/store/store_priv.h"

enum scan_place { SCAN_NOWHERE, SCAN_ON_FIRST, SCAN_INSIDE, SCAN_END };

struct store_scan {
    struct store *s;
    MDB_txn *mt;
    MDB_cursor *cursor;
    enum store_table table;
    enum scan_place place;
};

int store_get(struct store *s, enum store_table table, struct slice key, struct buf *out, struct err *e) {
    CHECK((unsigned)table < STORE_TABLES);
    MDB_txn *mt = NULL;
    int rc = store_reader_enter(s, &mt, e);
    if (rc) return rc;
    rc = store_read(s, mt, table, key, out, e);
    store_reader_leave(s, mt);
    return rc;
}

int store_scan_begin(struct store *s, struct store_scan **out, struct err *e) {
    struct store_scan *c = mem_zalloc(sizeof *c);
    if (!c) return err_set(e, ERR_NOMEM, "data_dir", "no memory to read %s", s->dir);
    c->s = s;
    int rc = store_reader_enter(s, &c->mt, e);
    if (rc) {
        mem_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

int store_scan_seek(struct store_scan *c, enum store_table table, struct slice from, struct err *e) {
    CHECK((unsigned)table < STORE_TABLES);
    if (from.n > STORE_KEY_MAX) {
        return err_set(e, ERR_RANGE, "key", "a key of table %s has %zu bytes; up to %d are allowed",
                       store_table_name(table), from.n, STORE_KEY_MAX);
    }
    if (c->cursor) mdb_cursor_close(c->cursor);
    c->cursor = NULL;
    c->place = SCAN_NOWHERE;
    c->table = table;
    int rc = mdb_cursor_open(c->mt, c->s->dbi[table], &c->cursor);
    if (rc) {
        c->cursor = NULL;
        return store_fail(c->s, rc, "reading a table", e);
    }
    MDB_val k = store_val(from), v;
    rc = mdb_cursor_get(c->cursor, &k, &v, from.n ? MDB_SET_RANGE : MDB_FIRST);
    if (rc && rc != MDB_NOTFOUND) return store_fail(c->s, rc, "reading a table", e);
    c->place = rc ? SCAN_END : SCAN_ON_FIRST;
    return 0;
}

int store_scan_next(struct store_scan *c, struct slice *key, struct slice *value, struct err *e) {
    CHECK(c->place != SCAN_NOWHERE);
    if (c->place == SCAN_END) return 0;
    MDB_val k, v;
    int rc = mdb_cursor_get(c->cursor, &k, &v, c->place == SCAN_ON_FIRST ? MDB_GET_CURRENT : MDB_NEXT);
    if (rc) {
        c->place = SCAN_END;
        return rc == MDB_NOTFOUND ? 0 : store_fail(c->s, rc, "reading a table", e);
    }
    c->place = SCAN_INSIDE;
    struct slice found = slice_of(k.mv_data, k.mv_size);
    rc = store_row_check(c->table, found, v, value, e);
    if (rc) return rc;
    *key = found;
    return 1;
}

uint64_t store_scan_count(struct store_scan *c, enum store_table table) {
    CHECK((unsigned)table < STORE_TABLES);
    MDB_stat st;
    return mdb_stat(c->mt, c->s->dbi[table], &st) ? 0 : (uint64_t)st.ms_entries;
}

void store_scan_end(struct store_scan *c) {
    if (!c) return;
    if (c->cursor) mdb_cursor_close(c->cursor);
    store_reader_leave(c->s, c->mt);
    mem_free(c);
}

/* The free list is LMDB's table 0: transaction -> number of pages it gave up, and which. One entry a transaction
 * that has not been used up, so the walk is short unless a reader holds on to the past. */
int store_count_pages(struct store *s, MDB_txn *mt, struct store_pages *out) {
    struct store_pages p = {0};
    MDB_envinfo info;
    MDB_stat st;
    MDB_cursor *c = NULL;
    MDB_val k, v;
    int rc = mdb_env_info(s->env, &info);
    if (!rc) rc = mdb_env_stat(s->env, &st);
    if (!rc) rc = mdb_cursor_open(mt, 0, &c);
    if (rc) return rc;
    p.txnid = mdb_txn_id(mt);
    p.page_bytes = st.ms_psize;
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
        size_t id = 0, n = 0;
        if (k.mv_size != sizeof id || v.mv_size < sizeof n) continue;
        memcpy(&id, k.mv_data, sizeof id);
        memcpy(&n, v.mv_data, sizeof n);
        p.free += n;
        if (id == p.txnid) p.freed_last = n;
    }
    mdb_cursor_close(c);
    if (rc != MDB_NOTFOUND) return rc;
    uint64_t total = (uint64_t)info.me_last_pgno + 1;
    p.used = total > p.free ? total - p.free : 0;
    *out = p;
    return 0;
}

int store_size(struct store *s, struct store_size *out, struct err *e) {
    MDB_txn *mt = NULL;
    struct store_pages p = {0};
    struct stat st = {0};
    int fd, rc = store_reader_enter(s, &mt, e);
    if (rc) return rc;
    rc = store_count_pages(s, mt, &p);
    if (!rc) rc = mdb_env_get_fd(s->env, &fd);
    if (!rc && fstat(fd, &st) != 0) rc = errno;
    store_reader_leave(s, mt);
    if (rc) return store_fail(s, rc, "measuring the data file", e);
    uint64_t used = p.used * p.page_bytes, file = (uint64_t)st.st_size;
    if (file < used) file = used;
    *out = (struct store_size){.file_bytes = file,
                               .used_bytes = used,
                               .free_bytes = file - used,
                               .last_commit_bytes = atomic_load(&s->last_commit_bytes),
                               .spilled = atomic_load(&s->spilled)};
    return 0;
}
