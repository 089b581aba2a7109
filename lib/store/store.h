/* Tables of checked rows in one LMDB environment, changed by one write transaction at a time.
 *
 * Knows rows as bytes: every value carries a CRC-32 of table, key and value that is verified whenever it is read.
 * LMDB's default synchronous mode, a large fixed map, the file preallocated after creation. */
#ifndef RANKD_STORE_STORE_H
#define RANKD_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define STORE_FORMAT 6

#define STORE_KEY_MAX   511         /* bytes of a key; at least 1. Longer ones are ERR_RANGE */
#define STORE_VALUE_MAX 0x3FFFFFFFu /* bytes of a value */

/* Tables. Integer keys are big-endian, so that order of bytes is order of numbers. */
enum store_table {
    STORE_META,          /* text name -> see daemon/state.h; "format" is the store's own */
    STORE_ITEM,          /* block number u32 -> consecutive item rows (lib/model/item.h) */
    STORE_ITEM_ID,       /* item row u32 -> id */
    STORE_ITEM_TEXT,     /* id -> description as it came */
    STORE_USER,          /* id -> user row (lib/model/user.h) */
    STORE_USER_TEXT,     /* id -> description as it came */
    STORE_RECENT,        /* block number u32 -> item rows of recent events */
    STORE_DEDUP,         /* block number u32 -> hashes of accepted event ids */
    STORE_POSITION,      /* source name, NUL, partition u32 -> position */
    STORE_JOURNAL,       /* first sequence u64, kind u8 -> run, or epoch */
    STORE_BAD,           /* number u64 -> bad event */
    STORE_NEIGHBOUR,     /* kind u8, item row u32 -> neighbour row (lib/model/neighbour.h) */
    STORE_FEATURE,       /* feature row u32 -> generation u32, text (lib/model/feature.h) */
    STORE_FEATURE_STATE, /* block number u32 -> decayed counts of consecutive feature rows */
    STORE_ITEM_FEATURES, /* item row u32 -> feature rows */
    STORE_SUCCESSION,    /* feature row u32 -> pairs of features, as a neighbour row */
    STORE_SEGMENT,       /* block number u32 -> decayed counts of consecutive segments (lib/model/segment.h) */
    STORE_TABLES
};
const char *store_table_name(enum store_table t);

struct store;
struct store_options {
    const char *dir;      /* exists; holds model.mdb and model.mdb-lock */
    uint64_t map_size;    /* bytes of address space */
    uint64_t preallocate; /* bytes reserved on disk when the file is created */
    uint64_t dirty_bytes; /* changed pages of a transaction beyond this are written before its commit; a few more may
                             be in memory for a moment. 0, or 512 MiB and above: LMDB's own bound, 512 MiB */
    unsigned max_readers; /* threads that read at once, each with one look-up and one scan; more wait */
    bool create;          /* make an absent environment; else ERR_MISSING */
    bool read_only;
};

/* Opens. The caller holds the directory's lock (store_lock_dir). ERR_CORRUPT names what is damaged; ERR_MISMATCH: the
 * file has another format and was not touched; ERR_BUSY: this process has the directory open already. The options are
 * copied. A process that has a store open must not fork and go on using it, nor open model.mdb by other means: closing
 * any other descriptor of it drops LMDB's locks. A half-made file is removed when its creation fails. */
int store_open(const struct store_options *o, struct store **out, struct err *e) ERR_MUST_CHECK;
void store_close(struct store *s);
/* Closes and opens the environment again after ERR_IO from a commit asked for it (store_needs_reopen): LMDB answers
 * MDB_PANIC for ever after a failed meta write. Store thread, with no transaction and no scan of its own open; waits
 * until readers are out and keeps new ones out. What that commit held is there as a whole or not at all: read the
 * positions again. When it fails, every use answers ERR_IO until a later call succeeds. */
bool store_needs_reopen(const struct store *s);
int store_reopen(struct store *s, struct err *e) ERR_MUST_CHECK;

/* An exclusive flock on dir/lock with the pid in it. ERR_BUSY names the pid that holds it. *fd is kept open by the
 * owner; closing it gives the lock back. dir must exist. */
int store_lock_dir(const char *dir, int *fd, struct err *e) ERR_MUST_CHECK;

/* Writing. One transaction at a time (ERR_BUSY), one thread from begin to commit or abort (both end it, whatever they
 * return). A failed put leaves the transaction to be aborted; committing it repeats the error. ERR_FULL names the
 * option that bounds the file; ERR_IO is the disk, a full one included. */
struct store_txn;
int store_begin(struct store *s, struct store_txn **out, struct err *e) ERR_MUST_CHECK;
int store_put(struct store_txn *t, enum store_table table, struct slice key, struct slice value,
              struct err *e) ERR_MUST_CHECK;
int store_del(struct store_txn *t, enum store_table table, struct slice key,
              struct err *e) ERR_MUST_CHECK; /* absent is fine */
int store_del_before(struct store_txn *t, enum store_table table, struct slice key,
                     struct err *e) ERR_MUST_CHECK; /* all keys < key */
/* Reads inside a write transaction see its own changes. */
int store_txn_get(struct store_txn *t, enum store_table table, struct slice key, struct buf *out,
                  struct err *e) ERR_MUST_CHECK;
int store_commit(struct store_txn *t, struct err *e) ERR_MUST_CHECK;
void store_abort(struct store_txn *t);

/* Reading, any thread: one short look-up. Replaces the contents of *out by the value. ERR_MISSING; ERR_CORRUPT with
 * table and key in *e. */
int store_get(struct store *s, enum store_table table, struct slice key, struct buf *out, struct err *e) ERR_MUST_CHECK;

/* Reading many rows from one point in time. Key and value live until the next call. */
struct store_scan;
int store_scan_begin(struct store *s, struct store_scan **out, struct err *e) ERR_MUST_CHECK;
/* Positions on the first key >= from (empty = first) of a table; several tables may be walked one after the other. */
int store_scan_seek(struct store_scan *c, enum store_table table, struct slice from, struct err *e) ERR_MUST_CHECK;
/* 1 and a row, 0 at the end of the table, or an error. After ERR_CORRUPT of one row the scan may go on. */
int store_scan_next(struct store_scan *c, struct slice *key, struct slice *value, struct err *e) ERR_MUST_CHECK;
uint64_t store_scan_count(struct store_scan *c, enum store_table table); /* rows of a table */
void store_scan_end(struct store_scan *c);

struct store_size {
    uint64_t file_bytes, used_bytes, free_bytes; /* free: the rest of the file, given back or never used */
    uint64_t last_commit_bytes;                  /* pages written by the last commit */
    uint64_t spilled; /* transactions since the store was opened that reached dirty_bytes, or LMDB's own bound */
};
int store_size(struct store *s, struct store_size *out, struct err *e) ERR_MUST_CHECK;

/* Keys. */
static inline struct slice store_key_u32(uint32_t v, char out[4]) {
    for (int k = 0; k < 4; k++) out[k] = (char)(v >> (24 - 8 * k));
    return slice_of(out, 4);
}
static inline struct slice store_key_u8_u32(uint8_t kind, uint32_t v, char out[5]) {
    out[0] = (char)kind;
    (void)store_key_u32(v, out + 1);
    return slice_of(out, 5);
}
static inline struct slice store_key_u64(uint64_t v, char out[8]) {
    for (int k = 0; k < 8; k++) out[k] = (char)(v >> (56 - 8 * k));
    return slice_of(out, 8);
}

/* Test hook: called before each step of a commit ("begin", "put", "commit"); a non-zero answer makes the step fail with
 * that errno. NULL switches it off. */
void store_set_fault(struct store *s, int (*fault)(void *arg, const char *step), void *arg);

#endif
