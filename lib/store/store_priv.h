/* What the parts of the store share: the environment, the pool of read transactions, rows with their checksum. */
#ifndef RANKD_STORE_STORE_PRIV_H
#define RANKD_STORE_STORE_PRIV_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "lib/store/store.h"

#define STORE_SUM 4 /* bytes of CRC-32 behind each value */

struct store_txn {
    struct store *s;
    MDB_txn *mt; /* NULL = no transaction is open */
    int failed;  /* code of the first failed change, or 0 */
    /* store_spill.c: bounds, page_bytes 0 = LMDB's own; puts and deletes so far; pages of large values since all were
     * written */
    uint64_t page_bytes, limit_pages, changes, large_pages;
};

struct store {
    /* Fixed from open to close. */
    char *dir, *path;
    uint64_t map_size, preallocate, dirty_bytes;
    unsigned max_slots; /* most read transactions ever made */
    bool create, read_only;
    dev_t dev; /* of dir: one environment per directory and process */
    ino_t ino;
    struct store *next; /* in the process's list of open stores */

    /* Changed by store_open and store_reopen only, while no reader is in and no transaction is open. */
    MDB_env *env; /* NULL after a failed reopen */
    MDB_dbi dbi[STORE_TABLES];

    /* Writing thread. */
    struct store_txn txn;
    int (*fault)(void *arg, const char *step);
    void *fault_arg;
    uint64_t used_bytes, last_txnid; /* after the last commit */

    /* Any thread. */
    atomic_bool needs_reopen;
    atomic_uint_least64_t last_commit_bytes, spilled;

    /* The pool of read transactions, guarded by lock: slots[0..n_idle) are reset and wait for use. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    MDB_txn **slots;
    unsigned n_idle, n_made, n_out;
    bool reopening;
};

/* store.c */
int store_reader_enter(struct store *s, MDB_txn **out, struct err *e) ERR_MUST_CHECK;
void store_reader_leave(struct store *s, MDB_txn *t);

/* store_row.c */
enum store_key_kind { STORE_KEY_TEXT, STORE_KEY_U32, STORE_KEY_U64, STORE_KEY_U8_U32, STORE_KEY_SOURCE };
enum { STORE_KEY_PRINT = 160 };
/* The key for a person: a number, or text with the unprintable escaped; cut when long. */
void store_key_print(enum store_table table, struct slice key, char out[STORE_KEY_PRINT]);
uint32_t store_row_sum(enum store_table table, struct slice key, struct slice value);
/* Checks a stored value and gives it without its checksum. */
int store_row_check(enum store_table table, struct slice key, MDB_val stored, struct slice *value,
                    struct err *e) ERR_MUST_CHECK;
/* Turns LMDB's answer (not 0) into a code; doing is what was tried. Notes MDB_PANIC. s may be NULL. */
int store_fail(struct store *s, int rc, const char *doing, struct err *e);
/* Replaces the contents of *out; untouched on failure unless memory was refused. */
int store_value_out(struct slice value, struct buf *out, struct err *e) ERR_MUST_CHECK;
int store_read(struct store *s, MDB_txn *mt, enum store_table table, struct slice key, struct buf *out,
               struct err *e) ERR_MUST_CHECK;
static inline MDB_val store_val(struct slice s) { return (MDB_val){s.n, (void *)(uintptr_t)s.p}; }

/* store_txn.c */
int store_row_put(MDB_txn *mt, MDB_dbi dbi, enum store_table table, struct slice key, struct slice value);

/* store_spill.c. begin: right after LMDB's. tend: before a value of value_n bytes is put, or one is deleted; 0 or what
 * LMDB answers. count: right before LMDB's commit or abort. end: right after LMDB's commit or abort of the transaction,
 * whose id was asked for before. */
void store_spill_begin(struct store_txn *t);
int store_spill_tend(struct store_txn *t, size_t value_n);
void store_spill_count(struct store_txn *t);
void store_spill_end(MDB_env *env, MDB_txn *mt, size_t id);

/* store_scan.c: pages in use and given back, seen by a read transaction. */
struct store_pages {
    uint64_t page_bytes, used, free, freed_last; /* freed_last: freed by the newest transaction */
    uint64_t txnid;
};
int store_count_pages(struct store *s, MDB_txn *mt, struct store_pages *out);

#endif
