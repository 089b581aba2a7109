/* Neighbour rows: which items came with an item in the recent history of users, as decayed counts; and the same for
 * what is numbered like items, features of items. "Item" below is either. Rows of one kind belong to no item: what
 * users took who share a feature (lib/model/segment.h).
 *
 * Row (kind, a) holds at most params.neighbours entries (b, weight). A weight stands at a reference time of its row,
 * multiplied by 2^((t - reference) / h) when it is added, so that adding changes one entry and nothing is touched as
 * time passes. The reference moves to t, and all weights with it, once t is more than 64 half-lives past it; late
 * events only have small factors. A full row first drops the entries of erased items, then gives up its weakest entry
 * (the first of equals) for a newcomer. An entry is (item row, generation): a reused item row never inherits a
 * stranger's pairs, and neither does the row of pairs itself.
 *
 * Rows live in a cache bounded in bytes in front of a backing; nothing but speed depends on its size. The learner
 * alone changes rows, in place, under a sequence word; others copy whole rows. A checkpoint gets every row as it stood
 * at its beginning: the learner sets a row aside before it may change. */
#ifndef RANKD_MODEL_NEIGHBOUR_H
#define RANKD_MODEL_NEIGHBOUR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/epoch.h"
#include "lib/base/err.h"
#include "lib/model/item.h"
#include "lib/model/params.h"

#define NEIGHBOUR_MAX 255 /* most entries of a row */

enum neighbour_kind {
    NEIGHBOUR_FORWARD,   /* F_ab: a, then b */
    NEIGHBOUR_BACKWARD,  /* G_ab: b, then a */
    NEIGHBOUR_SUCCESSOR, /* D_ab: b right after a */
    NEIGHBOUR_SEGMENT,   /* P_vb: events of users with feature v on b; row v has no generation and is never erased */
    NEIGHBOUR_TOGETHER,  /* T_ab = T_ba: in one event of several items */
    NEIGHBOUR_LATELY,    /* L_ab = L_ba: the same, with a half-life of its own */
    NEIGHBOUR_KINDS,
    NEIGHBOUR_BY_ORDER = NEIGHBOUR_SEGMENT, /* kinds below know what came first */
};

/* After how long half of a pair's weight is left. */
static inline int64_t neighbour_half_life_ms(const struct model_params *p, enum neighbour_kind kind) {
    return kind == NEIGHBOUR_SUCCESSOR ? p->successor_half_life_ms
           : kind == NEIGHBOUR_LATELY  ? p->lately_half_life_ms
           : kind == NEIGHBOUR_SEGMENT ? p->count_half_life_ms
                                       : p->pair_half_life_ms;
}

struct neighbour_list { /* a copy of one row; entries of erased items may be among them: compare generations */
    uint32_t n;
    int64_t reference_ms;                   /* weight at t = weight * 2^-((t - reference_ms) / half-life of the kind) */
    uint32_t row[NEIGHBOUR_MAX + 1];        /* item rows, each once */
    float weight[NEIGHBOUR_MAX + 1];        /* at the reference time; above 0, finite */
    uint16_t generation[NEIGHBOUR_MAX + 1]; /* low 16 bits of the item row's generation when it was added */
};

struct neighbour_backing { /* where rows outside the cache are; called by the learner and by readers */
    /* Replaces *out by the stored bytes. ERR_MISSING when there are none; other errors are passed on. */
    int (*get)(void *arg, enum neighbour_kind kind, uint32_t a, struct buf *out, struct err *e);
    void *arg;
};

struct neighbour_space {            /* what the rows are about */
    const char *name;               /* in messages: "item row" */
    const struct item_brief *brief; /* (max_rows) of which the generations count */
    const _Atomic uint32_t *n_rows; /* rows ever used */
    uint32_t max_rows;
};

struct neighbours;

/* Rows over a space, which is copied: params, what the space points to and epoch outlive it. All in memory, without
 * bound. ERR_RANGE names the field: params.neighbours 1 to NEIGHBOUR_MAX, half-lives above 0. */
int neighbours_new(const struct model_params *p, const struct neighbour_space *of, struct epoch *epoch,
                   struct neighbours **out, struct err *e) ERR_MUST_CHECK;
void neighbours_free(struct neighbours *s);
/* Before the first touch and any reader: rows that do not fit into cache_bytes are in the backing. */
void neighbours_set_backing(struct neighbours *s, uint64_t cache_bytes, const struct neighbour_backing *backing);

/* Learner. Starts bringing the head of row (kind, a) from memory; before touch, which does so with its entries. */
void neighbours_prefetch(const struct neighbours *s, enum neighbour_kind kind, uint32_t a);
/* Learner. Makes sure that row (kind, a) is in the cache and has room for n_more entries beside those it has and those
 * asked for since the last neighbours_publish, so that neighbours_add cannot fail: called for every row of an event
 * before anything changes. Rows touched stay in the cache until neighbours_publish. Changes nothing that a reader, a
 * digest or a later event could see. ERR_FULL in field "neighbours": the cache holds nothing but rows that no
 * checkpoint has written yet: publish and wait for one (when there is none such, the rows of one event may pass the
 * bound). ERR_CORRUPT and others from the backing; ERR_NOMEM. */
int neighbours_touch(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t n_more,
                     struct err *e) ERR_MUST_CHECK;
/* Learner, between touch and publish: weight at time t onto entry b of row (kind, a), both items with their present
 * generations. A weight that is not above 0, or would make the entry non-finite, is refused and counted; one too small
 * to change a float changes nothing. */
void neighbours_add(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t b, float weight, int64_t t_ms);
/* Learner, not within an event: brings up to `most` of the rows that readers missed into the cache, where there is
 * room. Else a daemon that learns little would answer from the backing for ever. A row that cannot be read is left to
 * who needs it. */
void neighbours_admit(struct neighbours *s, uint32_t most);
/* Learner. All weights are aged by as much as is given, by kind, beside what time does to them: of weights added so far
 * 2^-(aged / half-life) is left when it is raised by aged. Touches no row. Part of the state of the rows: to be set
 * again when they are loaded. */
void neighbours_set_aged(struct neighbours *s, const int64_t aged_ms[NEIGHBOUR_KINDS]);
int64_t neighbours_aged(const struct neighbours *s, enum neighbour_kind kind); /* any thread */
/* Learner. The end of a publish interval. */
void neighbours_publish(struct neighbours *s);
/* Learner, before item row a is freed (items_remove): its rows are gone from the cache, those in the backing count as
 * absent and are to be deleted with the next checkpoint, and entries of it count as free from then on. ERR_NOMEM, and
 * ERR_FULL as above: nothing has changed. */
int neighbours_erase(struct neighbours *s, uint32_t a, struct err *e) ERR_MUST_CHECK;

/* Any thread inside an epoch section. Starts bringing row (kind, a) from memory for neighbours_read; station 0 its
 * head, 1 its entries once that has come. */
void neighbours_prefetch_read(const struct neighbours *s, enum neighbour_kind kind, uint32_t a, int station);
/* Any thread inside an epoch section (reader: its number): copies row (kind, a) into *out, n = 0 when there is none. A
 * row outside the cache is read from the backing; the section is left meanwhile, so that nothing read in it so far may
 * be in use. */
int neighbours_read(struct neighbours *s, unsigned reader, enum neighbour_kind kind, uint32_t a,
                    struct neighbour_list *out, struct err *e) ERR_MUST_CHECK;
/* Learner: the same outside a section. Asking changes nothing, neither what the cache holds nor what goes next. */
int neighbours_peek(struct neighbours *s, enum neighbour_kind kind, uint32_t a, struct neighbour_list *out,
                    struct err *e) ERR_MUST_CHECK;

/* Checkpoint. begin (learner, right after neighbours_publish): every row changed since the last one is to be written;
 * gives their number. sort (store thread, outside a section): they shall come in the order of kind and item row, but
 * for those set aside. next (store thread, inside an epoch section): appends the stored form of one of them, as it
 * stood at begin, to *out; 1, or 0 when there are no more. A row may come twice, the same both times; out->failed when
 * memory was refused. end (learner, store thread done): durable tells whether they are; if not they go with the next
 * one. */
uint64_t neighbours_checkpoint_begin(struct neighbours *s);
void neighbours_checkpoint_sort(struct neighbours *s);
int neighbours_checkpoint_next(struct neighbours *s, enum neighbour_kind *kind, uint32_t *a, struct buf *out);
void neighbours_checkpoint_end(struct neighbours *s, bool durable);

struct neighbours_stats {                                      /* relaxed atomics, any thread */
    _Atomic uint64_t cached, cached_bytes, dirty, dirty_bytes; /* rows here; of these, not durable */
    _Atomic uint64_t hits, misses, evicted;                    /* touches; a miss asks the backing */
    _Atomic uint64_t reads;                                    /* of the backing by neighbours_read */
    _Atomic uint64_t admitted;                                 /* rows brought in for readers */
    _Atomic uint64_t refused;                                  /* weights */
    _Atomic uint64_t replaced;                                 /* weakest entries that gave way to a newcomer */
};
const struct neighbours_stats *neighbours_stats(const struct neighbours *s);
uint64_t neighbours_aside_bytes(const struct neighbours *s); /* set aside for a checkpoint; any thread */
uint64_t neighbours_cache_bytes(const struct neighbours *s); /* the bound; UINT64_MAX = none */

#endif
