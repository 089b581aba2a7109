/* The item table: ids, and one row of state per item that the learner replaces and everybody may read.
 *
 * A row is 64 bytes of head, then q (dim), then y (dim), without holes; row numbers are given in order of first
 * appearance. item_block_rows consecutive rows are the unit of a checkpoint. All memory is mapped for max_items at
 * creation and used as items arrive: rows never move.
 *
 * Threads: the learner alone changes anything. Other threads read rows through item_read (whole rows under the sequence
 * word) and ids inside an epoch section. The store thread copies blocks of a checkpoint with items_take_block. */
#ifndef RANKD_MODEL_ITEM_H
#define RANKD_MODEL_ITEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/check.h"
#include "lib/base/epoch.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/model/marks.h"
#include "lib/model/params.h"

#define ITEM_NONE      UINT32_MAX
#define ITEM_NEVER     INT64_MAX
#define ITEM_KNOWN     1u       /* bits of item_head.known: an id owns the row */
#define ITEM_DESCRIBED 2u       /* it has features: a candidate before anybody touched it */
#define ITEM_NO_TREND  (-1e300) /* log2 of nothing */
#define ITEM_NO_COUNT  (-1e30)

struct item_head {        /* 64 bytes */
    _Atomic uint32_t seq; /* even: whole; odd: being replaced. 0 in stored rows */
    uint32_t generation;  /* of the row number: raised when its item is erased */
    float bias;
    float q_sum, y_sum; /* AdaGrad sums of q and bias, and of y */
    float count;        /* events, decayed to count_ms */
    int64_t count_ms;
    double trend[MODEL_TRENDS]; /* log2 of the event count decayed with half-life h, plus clock / h; ITEM_NO_TREND
                                   before the first */
    uint32_t live;              /* 1 + place in the live list; 0 when not live */
    uint32_t known;             /* ITEM_KNOWN, ITEM_DESCRIBED */
};

/* What the terms need of many items at once, side by side: a copy of two values of the head. */
struct item_brief {
    _Atomic double log_count; /* log2 of head.count + count_ms / half-life: falls by 1 in each; ITEM_NO_COUNT */
    _Atomic uint32_t generation;
};

struct items {
    uint32_t dim, max_items, block_rows;
    size_t stride;                        /* bytes of a row */
    struct item_brief *brief;             /* (max_items) */
    unsigned char *rows;                  /* (max_items, stride) */
    _Atomic uint32_t n_rows;              /* rows ever used; published with release order */
    uint32_t n_known, n_live;             /* learner */
    uint32_t n_expiring;                  /* known items with an expiry; learner */
    _Atomic uint8_t *cold_rows;           /* (max_items / ITEM_COLD_ROWS) of n_cold, those of so many rows */
    _Atomic uint32_t n_described, n_cold; /* items with features; of these, not live */
    _Atomic bool had_baskets;             /* an event taught pairs of its own items: part of the state */
    uint32_t *live;                       /* (n_live) rows, learner */
    uint32_t *free_rows;                  /* erased rows, a heap: the lowest is given out first; learner */
    uint32_t n_free;
    _Atomic int64_t *expires_ms; /* (max_items) wall time from which an item is not shown; ITEM_NEVER */
    _Atomic uint8_t *available;  /* (max_items) 1 unless its description says otherwise */

    struct item_ids *ids; /* id <-> row; private to item_ids.c */
    struct epoch *epoch;
    const struct model_params *params;

    uint8_t *dirty;             /* (n_blocks) changed since its last checkpoint began; learner */
    _Atomic uint8_t *pending;   /* (n_blocks) enum item_pending */
    uint32_t n_dirty;           /* learner */
    uint32_t checkpoint_blocks; /* blocks in use when the checkpoint under way began; 0 = none is under way */
    struct item_aside *aside;   /* rows that the checkpoint under way needs as they were */
    struct marks touched;       /* rows changed since the last publish; learner */
    struct marks counted;       /* of these, rows that changed in more than q, y and what goes with them */
    struct buf *ops;            /* id rows to store with the next checkpoint; see model_ops */
};

/* Rows of a block: as many as fill one page of storage, or a few pages where more than a sixteenth would be left empty.
 * Measured with 1 M items of dim 64: in blocks of one page LMDB kept 517 MiB of a checkpoint in memory, in blocks of
 * five 1006 (it bounds the number of changed values, not their bytes), in the same processor time. */
#define ITEM_PAGE      4096u
#define ITEM_PAGE_HEAD 20u /* of storage: its page head and its checksum */
static inline size_t item_stride(uint32_t dim) { return sizeof(struct item_head) + 2 * sizeof(float) * dim; }
uint32_t item_block_rows(uint32_t dim);

int items_new(const struct model_params *p, struct epoch *epoch, struct buf *ops, struct items **out,
              struct err *e) ERR_MUST_CHECK;
void items_free(struct items *t);

static inline struct item_head *item_head(const struct items *t, uint32_t row) {
    return (struct item_head *)(void *)(t->rows + (size_t)row * t->stride);
}
static inline float *item_q(const struct items *t, uint32_t row) {
    return (float *)(void *)(t->rows + (size_t)row * t->stride + sizeof(struct item_head));
}
static inline float *item_y(const struct items *t, uint32_t row) { return item_q(t, row) + t->dim; }

/* Any thread. */
static inline double item_log_count(const struct items *t, uint32_t row) {
    return atomic_load_explicit(&t->brief[row].log_count, memory_order_relaxed);
}
static inline uint32_t item_generation(const struct items *t, uint32_t row) {
    return atomic_load_explicit(&t->brief[row].generation, memory_order_relaxed);
}
/* Learner: the brief follows the head. */
void item_note(struct items *t, uint32_t row);

/* Learner: may be answered, but for its availability and expiry. */
static inline bool item_is_candidate(const struct item_head *h) {
    return h->live != 0 || (h->known & ITEM_DESCRIBED) != 0;
}
/* Any thread: items with features, and those of them that are not live. */
static inline uint32_t items_described(const struct items *t) {
    return atomic_load_explicit(&t->n_described, memory_order_relaxed);
}
static inline uint32_t items_cold(const struct items *t) {
    return atomic_load_explicit(&t->n_cold, memory_order_relaxed);
}
/* Any thread: whether an event of several items ever taught what stands together in baskets. */
static inline bool items_had_baskets(const struct items *t) {
    return atomic_load_explicit(&t->had_baskets, memory_order_relaxed);
}

/* Any thread: whether one of the ITEM_COLD_ROWS rows around this one is described and not live; whether this one is,
 * for one that is described. */
#define ITEM_COLD_ROWS 64u
static inline bool items_cold_near(const struct items *t, uint32_t row) {
    return items_cold(t) > 0 && atomic_load_explicit(&t->cold_rows[row / ITEM_COLD_ROWS], memory_order_relaxed) != 0;
}
static inline bool item_is_cold(const struct items *t, uint32_t row) {
    return items_cold_near(t, row) &&
           atomic_load_explicit((_Atomic uint32_t *)&item_head(t, row)->live, memory_order_relaxed) == 0;
}

/* Learner: past its expiry at t (by the model clock): not live for learning. */
static inline bool item_expired(const struct items *t, uint32_t row, int64_t at_ms) {
    return t->n_expiring && atomic_load_explicit(&t->expires_ms[row], memory_order_relaxed) <= at_ms;
}

/* Any thread: may be shown at that time. */
static inline bool item_shown(const struct items *t, uint32_t row, int64_t at_ms) {
    return atomic_load_explicit(&t->available[row], memory_order_relaxed) != 0 &&
           atomic_load_explicit(&t->expires_ms[row], memory_order_relaxed) > at_ms;
}

/* Brings a vector to length 1; one of zeros, or too long to tell, stays. */
void item_to_unit(float *q, uint32_t dim);

/* Starts bringing the head and q of a row from memory. */
static inline void item_prefetch(const struct items *t, uint32_t row) {
    const char *at = (const char *)item_head(t, row), *end = (const char *)item_y(t, row);
    for (; at < end; at += 64) __builtin_prefetch(at);
}

/* The same of the head and y. */
static inline void item_prefetch_history(const struct items *t, uint32_t row) {
    const char *at = (const char *)item_y(t, row), *end = at + sizeof(float) * t->dim;
    __builtin_prefetch(item_head(t, row));
    for (; at < end; at += 64) __builtin_prefetch(at);
}

/* Learner: starts bringing what finding and learning the item whose id has this hash will need from memory; station 0,
 * 1, ... as what an earlier one asked for has come. */
void items_prefetch(const struct items *t, uint64_t hash, uint32_t station);

/* Any thread, inside an epoch section (the learner needs none). ITEM_NONE when unknown. The id lives to the section's
 * end. */
uint32_t items_find(const struct items *t, struct slice id);
struct slice items_id(const struct items *t, uint32_t row); /* empty when no id owns the row */
/* The same: id owns the row, and what was read of it at that generation was id's too. */
bool items_still(const struct items *t, uint32_t row, uint32_t generation, struct slice id);

/* A row for a new id with its start values, not live. ERR_FULL at max_items. */
int items_add(struct items *t, struct slice id, uint32_t *row, struct err *e) ERR_MUST_CHECK;
/* Frees the row: id gone, generation raised, not live, row zeroed. ERR_NOMEM: nothing has changed. */
int items_remove(struct items *t, uint32_t row, struct err *e) ERR_MUST_CHECK;
void items_set_live(struct items *t, uint32_t row, bool live);
void items_set_described(struct items *t, uint32_t row, bool described);
/* As in struct event: available -1 = as before; expires_ms INT64_MIN = as before, -1 = never. ERR_NOMEM: unchanged. */
int items_describe(struct items *t, uint32_t row, int available, int64_t expires_ms, struct err *e) ERR_MUST_CHECK;

/* Learner: must stand before a row changes (sets it aside for a checkpoint, marks it) and between the two calls below
 * every store goes through item_store. */
void item_change(struct items *t, uint32_t row);
void item_change_vectors(struct items *t, uint32_t row); /* where q, y, bias and the AdaGrad sums alone change */
static inline void item_begin(struct item_head *h) {
    uint32_t s = atomic_load_explicit(&h->seq, memory_order_relaxed);
    atomic_store_explicit(&h->seq, s + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}
static inline void item_end(struct item_head *h) {
    uint32_t s = atomic_load_explicit(&h->seq, memory_order_relaxed);
    atomic_store_explicit(&h->seq, s + 1, memory_order_release);
}
/* Replaces bytes of a row or of the serving copy, between a raised sequence word and its end (dst 8-byte aligned, n a
 * multiple of 8). A plain copy: in vectors a step with 3,000 items takes a seventh less time than in atomic words. */
static inline void item_store(void *dst, const void *src, size_t n) {
#if CHECK_RACES
    _Atomic uint64_t *d = dst;
    for (size_t k = 0; k < n / 8; k++) {
        uint64_t w;
        memcpy(&w, (const unsigned char *)src + 8 * k, 8);
        atomic_store_explicit(&d[k], w, memory_order_relaxed);
    }
#else
    memcpy(dst, src, n);
#endif
}
/* The reader's side of item_store. */
static inline void item_load(void *dst, const void *src, size_t n) {
#if CHECK_RACES
    const _Atomic uint64_t *s = src;
    for (size_t k = 0; k < n / 8; k++) {
        uint64_t w = atomic_load_explicit(&s[k], memory_order_relaxed);
        memcpy((unsigned char *)dst + 8 * k, &w, 8);
    }
#else
    memcpy(dst, src, n);
#endif
}
/* The head without its sequence word. The learner builds a copy, changes it and stores it back. */
static inline void item_store_head(struct item_head *dst, const struct item_head *src) {
    atomic_store_explicit((_Atomic uint32_t *)&dst->generation, src->generation, memory_order_relaxed);
    item_store((unsigned char *)dst + 8, (const unsigned char *)src + 8, sizeof *src - 8);
}

/* Any thread: a whole row as it stood at one moment. q and y may be NULL. head->seq is not meaningful. */
void item_read(const struct items *t, uint32_t row, struct item_head *head, float *q, float *y);
/* Any thread inside an epoch section: the same of a row that was found for id. False: id was erased since, and what was
 * read may be of another item. */
bool item_read_of(const struct items *t, uint32_t row, struct slice id, struct item_head *head, float *q);

/* Checkpoint: the table as it stands at begin, while the learner goes on. begin (learner, nothing touched since the
 * last publish): every dirty block is pending, none dirty; their number. take (store thread, each block below
 * items_blocks once): 1 and the block as it was at begin in out (items_block_bytes, 8-byte aligned), 0 when it was not
 * dirty. Neither thread waits for the other: a row that the learner changes before its block was taken is set aside
 * first. end (learner, store thread idle): durable once all are taken and stored; else what was dirty at begin is dirty
 * again. */
uint32_t items_checkpoint_begin(struct items *t);
uint32_t items_blocks(const struct items *t);
size_t items_block_bytes(const struct items *t);
int items_take_block(struct items *t, uint32_t block, void *out);
void items_checkpoint_end(struct items *t, bool durable);

/* Loading, before any other thread runs: blocks, then ids (which also restores generation, availability and expiry),
 * then finish, which rebuilds what is derived and checks that it fits together. */
int items_load_block(struct items *t, uint32_t block, struct slice bytes, struct err *e) ERR_MUST_CHECK;
int items_load_id(struct items *t, uint32_t row, struct slice value, struct err *e) ERR_MUST_CHECK;
int items_load_end(struct items *t, struct err *e) ERR_MUST_CHECK;

#endif
