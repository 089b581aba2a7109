/* User rows: a cache bounded in bytes in front of a backing store, with immutable published rows.
 *
 * The learner touches a user (a private copy is made), changes the copy, and users_publish makes all copies visible at
 * once; readers see the row before or after, never between, and never wait. Rows that a checkpoint still needs stay
 * until it has them. Nothing here depends on the size of the cache but speed. */
#ifndef RANKD_MODEL_USER_H
#define RANKD_MODEL_USER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/epoch.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/model/params.h"

struct user_entry { /* one item the user has used, oldest first; or one that was shown to him, newest first */
    uint32_t row : 30;
    uint32_t together : 1; /* came with the same event as the entry before it */
    uint32_t apart : 1;    /* he has it, and it is no part of his history */
    uint16_t generation;   /* of the item row, low 16 bits: an entry of another generation names an erased item */
    uint16_t types;        /* bit per event type */
    uint64_t time_ms : 48;
    uint64_t count : 16;
};

#define USER_ROW_BITS 0x3fffffffu /* of an item row in an entry */

struct user_row {            /* immutable once published */
    uint64_t interval;       /* checkpoint interval in which it was made */
    struct user_row *before; /* the version that the checkpoint under way needs, if that is another one */
    int64_t last_ms;         /* time of the newest event */
    float p_sum;             /* AdaGrad sum of p */
    uint32_t n, cap;         /* entries in use, and room for them and for those shown, which stand at its end */
    uint16_t id_bytes;
    uint8_t n_shown; /* see lib/model/exposed.h */
    uint8_t n_features : 7;
    uint8_t erased : 1; /* the user is gone; only the id is meaningful */
    float p[];          /* (dim), then entries (cap), then the id, then features (n_features): u16, not aligned */
};

static inline struct user_entry *user_entries(const struct user_row *r, uint32_t dim) {
    return (struct user_entry *)(void *)((char *)(uintptr_t)r->p + sizeof(float) * dim);
}
static inline struct user_entry *user_shown(const struct user_row *r, uint32_t dim) { /* (n_shown) */
    return user_entries(r, dim) + (r->cap - r->n_shown);
}
/* Whether the entry's item is part of the user's history, provided that the item still exists. */
static inline bool user_entry_tells(const struct user_entry *e, const struct model_params *p) {
    return !e->apart && !(e->types & p->negative_types);
}
static inline struct slice user_id(const struct user_row *r, uint32_t dim) {
    return slice_of((const char *)(user_entries(r, dim) + r->cap), r->id_bytes);
}

/* The k-th of the user's features, a row of lib/model/segment.h. */
static inline uint16_t user_feature(const struct user_row *r, uint32_t dim, uint32_t k) {
    uint16_t row;
    memcpy(&row, user_id(r, dim).p + r->id_bytes + k * sizeof row, sizeof row);
    return row;
}

/* How many of the n entries are left when those from before since_ms are taken off the old end (a late one behind a
 * newer one stays). */
static inline uint32_t user_entries_since(const struct user_entry *entries, uint32_t n, int64_t since_ms) {
    uint32_t old = 0;
    while (old < n && (int64_t)entries[old].time_ms < since_ms) old++;
    return n - old;
}

struct user_backing { /* where rows outside the cache are; called by the learner and by readers */
    /* Replaces *out by the stored bytes. ERR_MISSING when there are none; other errors are passed on. */
    int (*get)(void *arg, struct slice id, struct buf *out, struct err *e);
    void *arg;
};

struct users;
int users_new(const struct model_params *p, uint64_t cache_bytes, const struct user_backing *backing,
              struct epoch *epoch, struct users **out, struct err *e) ERR_MUST_CHECK;
void users_free(struct users *u);

/* Learner. The user's private row, made from the published one, the backing or start values. It may be changed until
 * the next users_publish; users_reserve makes room and may move it. ERR_CORRUPT from the backing; ERR_FULL when the
 * cache and what a checkpoint keeps of it hold nothing but rows that no checkpoint has written yet (a user in it goes
 * on until rows that grew have passed the bound by a quarter): wait for one. */
int users_touch(struct users *u, struct slice id, struct user_row **out, struct err *e) ERR_MUST_CHECK;
int users_reserve(struct users *u, struct user_row **row, uint32_t n_entries, struct err *e) ERR_MUST_CHECK;
/* The same for n_shown items shown beside the entries there are. */
int users_reserve_shown(struct users *u, struct user_row **row, uint32_t n_shown, struct err *e) ERR_MUST_CHECK;
/* The row has these n features (rows below SEGMENT_ROWS) from now on, in place of what it had. */
int users_set_features(struct users *u, struct user_row **row, const uint16_t *features, uint32_t n,
                       struct err *e) ERR_MUST_CHECK;
int users_erase(struct users *u, struct slice id, struct err *e) ERR_MUST_CHECK;
void users_publish(struct users *u);

/* Learner, not within an event: brings up to `most` of the users that readers asked for (users_want) into the cache, as
 * far as there is room for them: of a full one they share a sixteenth among themselves, so that learning finds its own
 * rows whatever readers ask for. What cannot be read is left to who needs it. Changes nothing but speed. */
void users_admit(struct users *u, uint32_t most);

/* Learner: starts bringing what users_touch will need of the user with this hash from memory; station 0, 1, ... as what
 * an earlier one asked for has come. */
void users_prefetch(const struct users *u, uint64_t hash, uint32_t station);
/* Learner: the row that users_touch would copy or give, if it is in the cache; likely that of the user with this hash.
 */
const struct user_row *users_coming(const struct users *u, uint64_t hash);

/* Any thread inside an epoch section: the published row; NULL when it is not in the cache (ask the backing). A row with
 * erased set means that there is no such user. */
const struct user_row *users_find(const struct users *u, struct slice id);
/* A row read from the backing into memory of the caller: *out is mem_alloc'ed, freed with mem_free. */
int users_load(const struct users *u, struct slice id, struct user_row **out, struct err *e) ERR_MUST_CHECK;
/* Any thread: a reader found the user in the backing and not in the cache. A wish, which may get lost. */
void users_want(const struct users *u, struct slice id);

/* Stored form (little-endian) and back. */
void user_encode(const struct user_row *r, uint32_t dim, struct buf *out);

/* Checkpoint. begin (learner, right after users_publish): hands over the list of rows to write. sort (store thread, an
 * epoch reader of its own, outside a section; before next): they shall come about in the order of their ids; without
 * memory they come in any. next (inside a section): the row as it stood at begin, NULL at the end. end (learner):
 * durable tells whether they are; if not they go with the next one. */
struct user_list;
struct user_list *users_checkpoint_begin(struct users *u, uint64_t *n);
void users_list_sort(const struct users *u, struct user_list *l, unsigned reader);
const struct user_row *users_list_next(struct users *u, struct user_list *l);
void users_checkpoint_end(struct users *u, struct user_list *l, bool durable);

struct users_stats { /* relaxed atomics, any thread */
    _Atomic uint64_t cached, cached_bytes, dirty, dirty_bytes, hits, misses, created, evicted;
    _Atomic uint64_t admitted;         /* users brought in for readers; neither hits nor misses, which are touches */
    _Atomic uint64_t superseded_bytes; /* of rows replaced, but kept for the checkpoint under way */
};
const struct users_stats *users_stats(const struct users *u);
uint64_t users_cache_bytes(const struct users *u); /* the bound */

#endif
