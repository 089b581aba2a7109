/* Features of items: short texts that items share ("cat:shoes", "f:brand=Acme"), what each has seen, and which items
 * have it.
 *
 * Rows are numbered like items, erased ones given out lowest first. A feature exists while an item has it. It keeps the
 * decayed number of events of its items with two half-lives (params.count_half_life for the pairs of features,
 * params.trend_half_life_ms[1] for its trend), and owns a row of decayed pairs, F_ab: an item with b after an item with
 * a (FORWARD rows of `successions`).
 *
 * Threads: the learner alone changes anything; others read lists and values inside an epoch section, without locks.
 * Memory is mapped for the bounds at creation and used as features arrive. */
#ifndef RANKD_MODEL_FEATURE_H
#define RANKD_MODEL_FEATURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/epoch.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/model/item.h"
#include "lib/model/marks.h"
#include "lib/model/neighbour.h"
#include "lib/model/params.h"
#include "lib/model/posting.h"

#define FEATURE_BLOCK 128u /* rows of a stored block */

struct feature_list { /* of one item; readers see n and feature, which never change */
    uint32_t n;
    uint32_t feature[]; /* (n) rows in the order of the description, then (n) places in their posting lists: learner */
};

struct feature_row {
    _Atomic double trend; /* log2 of the decayed events of its items, plus clock / half-life; ITEM_NO_TREND */
    _Atomic uint32_t n;   /* items that have it */
    _Atomic float log_n;  /* log2 n */
};

struct features {
    uint32_t max;                          /* params.max_features, at least 1 */
    struct item_ids *ids;                  /* text <-> row */
    struct item_brief *brief;              /* (max) log_count: of pairs; generation */
    struct feature_row *rows;              /* (max) */
    _Atomic(struct posting *) *postings;   /* (max) items that have it */
    _Atomic(struct feature_list *) *lists; /* (max_items) by item row; NULL = none */
    _Atomic uint32_t n_rows;               /* rows ever used */
    _Atomic double highest;                /* at least trend - log_n of every row */
    struct neighbours *successions;        /* pairs of features; FORWARD rows alone */
    uint32_t n_known, max_items;           /* learner, as all that follows */
    struct marks free;                     /* erased rows */
    uint8_t *dirty;                        /* (blocks) changed since they were last taken */
    const struct model_params *params;
    struct epoch *epoch;
    struct buf *ops;
    _Atomic uint64_t published, full; /* features known; those left out at params.max_features */
};

/* ops: see model_ops_next. Errors of neighbours_new; ERR_NOMEM. */
int features_new(const struct model_params *p, struct epoch *epoch, struct buf *ops, struct features **out,
                 struct err *e) ERR_MUST_CHECK;
void features_free(struct features *f);

/* Learner: what the item has from now on; texts (n, each once, 1 to MODEL_MAX_FEATURE bytes), of which the first
 * params.item_features count. A feature that would be one more than params.max_features is left out and counted. *any:
 * whether it has any. ERR_NOMEM, and ERR_FULL of neighbours_erase: not done, to be given again; the end is the same. */
int features_describe(struct features *f, uint32_t item, const struct slice *text, size_t n, bool *any,
                      struct err *e) ERR_MUST_CHECK;
/* Learner: an event of the item at t, that counts 2^log_weight times. */
void features_count(struct features *f, uint32_t item, int64_t t_ms, double log_weight);

/* Any thread inside an epoch section (the learner needs none); NULL when the item has none. */
static inline const struct feature_list *features_of(const struct features *f, uint32_t item) {
    return atomic_load_explicit(&f->lists[item], memory_order_acquire);
}
static inline float feature_log_n(const struct features *f, uint32_t v) {
    return atomic_load_explicit(&f->rows[v].log_n, memory_order_relaxed);
}
static inline double feature_trend(const struct features *f, uint32_t v) {
    return atomic_load_explicit(&f->rows[v].trend, memory_order_relaxed);
}
static inline double feature_log_count(const struct features *f, uint32_t v) {
    return atomic_load_explicit(&f->brief[v].log_count, memory_order_relaxed);
}
static inline uint32_t feature_generation(const struct features *f, uint32_t v) {
    return atomic_load_explicit(&f->brief[v].generation, memory_order_relaxed);
}
uint32_t features_find(const struct features *f, struct slice text); /* ITEM_NONE when unknown */

/* feature_stored.c. The stored form of changed block number `block` (log_count and trend of its rows), appended to *out
 * and marked as taken; false when it is unchanged. */
uint32_t features_blocks(const struct features *f);
bool features_take(struct features *f, uint32_t block, struct buf *out);
void features_mark_dirty(struct features *f);
/* Loading, before any other thread runs: rows, then blocks and lists, then end, which rebuilds what is derived. */
int features_load_row(struct features *f, uint32_t row, struct slice value, struct err *e) ERR_MUST_CHECK;
int features_load_block(struct features *f, uint32_t block, struct slice value, struct err *e) ERR_MUST_CHECK;
int features_load_list(struct features *f, uint32_t item, struct slice value, struct err *e) ERR_MUST_CHECK;
int features_load_end(struct features *f, const struct items *t, struct err *e) ERR_MUST_CHECK;

#endif
