/* How much of a write transaction stays in memory.
 *
 * LMDB keeps every page that a transaction changes in memory until it holds 131,071 of them (512 MiB), then writes some
 * early, into pages of the file that the last commit does not use, and takes their memory again for the next ones. It
 * has no option for a lower bound. But before each change it asks for room for the pages that the change may need, and
 * writes early when there is not so much. A change that needs more than is left below our bound makes it do so: a value
 * of the right size for the name of a table, which LMDB then refuses, because a table is not replaced by a value
 * (MDB_INCOMPATIBLE). Nothing is changed by it, and nothing of it is read.
 *
 * What was written early is what a commit would have written later: a crash, an abort or a failed write leaves the last
 * commit as it was. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/store/store_priv.h"

#define ROOM_PAGES 131071u /* MDB_IDL_UM_MAX of LMDB 0.9 */
#define LOOK_EVERY 32u     /* changes; each of a few pages */

/* Only versions of which this is known: 0.9.17 to 0.9.99 ask for room in the same way. */
static bool version_is(int first, int last) {
    int major, minor, patch;
    (void)mdb_version(&major, &minor, &patch);
    return major == 0 && minor == 9 && patch >= first && patch <= last;
}

/* Of a value for which LMDB finds no room once it holds so many pages: it asks for twice the pages of the value. */
static uint64_t value_bytes(uint64_t pages, uint64_t page_bytes) { return (ROOM_PAGES - pages) / 2 * page_bytes; }

void store_spill_begin(struct store_txn *t) {
    MDB_stat st;
    if (t->s->dirty_bytes == 0 || !version_is(17, 99) || mdb_env_stat(t->s->env, &st)) return;
    t->page_bytes = st.ms_psize;
    t->limit_pages = t->s->dirty_bytes / st.ms_psize;
}

int store_spill_tend(struct store_txn *t, size_t value_n) {
    if (t->page_bytes == 0 || t->limit_pages >= ROOM_PAGES) return 0;
    /* LMDB counts a value of many pages as one. */
    if (value_n > t->page_bytes) t->large_pages += value_n / t->page_bytes;
    bool all = t->large_pages >= t->limit_pages;
    if (!all && ++t->changes % LOOK_EVERY != 0) return 0;
    if (all) t->large_pages = 0;
    MDB_dbi tables;
    int rc = mdb_dbi_open(t->mt, NULL, 0, &tables);
    if (rc) return rc;
    struct slice name = slice_str(store_table_name(STORE_META));
    MDB_val k = store_val(name), v = {(size_t)value_bytes(all ? 0 : t->limit_pages, t->page_bytes), k.mv_data};
    rc = mdb_put(t->mt, tables, &k, &v, 0);
    CHECK(rc != 0); /* it would have replaced a table */
    return rc == MDB_INCOMPATIBLE ? 0 : rc;
}

/* The head of LMDB 0.9's struct MDB_txn. */
struct lmdb_txn {
    void *parent, *child;
    size_t next_page, id;
    MDB_env *env;
    size_t *freed;
    void *loose;
    int n_loose;
    size_t *spilled; /* numbers of the pages written early; its allocation begins one before */
};

static struct lmdb_txn head_of(MDB_txn *mt) {
    struct lmdb_txn head;
    memcpy(&head, mt, sizeof head);
    return head;
}

static bool is_head(const struct lmdb_txn *head, const MDB_env *env, size_t id) {
    return head->env == env && head->id == id && !head->parent;
}

void store_spill_count(struct store_txn *t) {
    if (!version_is(17, 99)) return;
    struct lmdb_txn head = head_of(t->mt);
    if (is_head(&head, t->s->env, mdb_txn_id(t->mt)) && head.spilled) atomic_fetch_add(&t->s->spilled, 1);
}

/* LMDB up to 0.9.24 forgets the list of pages written early at the end of a transaction (ITS#9155): 8 bytes for each of
 * them, a megabyte for a large checkpoint. The object of the one write transaction lives as long as the environment,
 * and the pointer in it stays until the next one begins. */
void store_spill_end(MDB_env *env, MDB_txn *mt, size_t id) {
    if (!version_is(17, 24)) return;
    struct lmdb_txn head = head_of(mt);
    if (!is_head(&head, env, id) || !head.spilled) return;
    free(head.spilled - 1);
    head.spilled = NULL;
    memcpy(mt, &head, sizeof head);
}
