/* Neighbour rows: which items came with an item in the recent history of users, as decayed counts.
 *
 * Row (kind, a) holds at most params.neighbours entries (b, weight). A weight stands at a reference time of its row,
 * multiplied by 2^((t - reference) / h) when it is added, so that adding changes one entry and nothing is touched as
 * time passes. The reference moves to t, and all weights with it, once t is more than 64 half-lives past it; late
 * events only have small factors. A full row first drops the entries of erased items, then gives up its weakest entry
 * (the first of equals) for a newcomer. An entry is (item row, generation): a reused item row never inherits a
 * stranger's pairs, and neither does the row of pairs itself.
 *
 * The learner alone changes rows, in place, under a sequence word; others copy whole rows. */
#ifndef RANKD_MODEL_NEIGHBOUR_H
#define RANKD_MODEL_NEIGHBOUR_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/base/epoch.h"
#include "lib/base/err.h"
#include "lib/model/item.h"
#include "lib/model/params.h"

#define NEIGHBOUR_MAX 255 /* most entries of a row */

enum neighbour_kind {
    NEIGHBOUR_FORWARD,   /* F_ab: a, then b */
    NEIGHBOUR_BACKWARD,  /* G_ab: b, then a */
    NEIGHBOUR_SUCCESSOR, /* D_ab: b right after a */
    NEIGHBOUR_KINDS
};

struct neighbour_list { /* a copy of one row; entries of erased items may be among them: compare generations */
    uint32_t n;
    int64_t reference_ms;                   /* weight at t = weight * 2^-((t - reference_ms) / half-life of the kind) */
    uint32_t row[NEIGHBOUR_MAX + 1];        /* item rows, each once */
    float weight[NEIGHBOUR_MAX + 1];        /* at the reference time; above 0, finite */
    uint16_t generation[NEIGHBOUR_MAX + 1]; /* low 16 bits of the item row's generation when it was added */
};

struct neighbours;

/* Rows over items: params and items outlive it. All in memory. ERR_RANGE names the field: params.neighbours 1 to
 * NEIGHBOUR_MAX, half-lives above 0. */
int neighbours_new(const struct model_params *p, const struct items *items, struct epoch *epoch,
                   struct neighbours **out, struct err *e) ERR_MUST_CHECK;
void neighbours_free(struct neighbours *s);

/* Learner. Starts bringing the head of row (kind, a) from memory; before touch, which does so with its entries. */
void neighbours_prefetch(const struct neighbours *s, enum neighbour_kind kind, uint32_t a);
/* Learner. Makes sure that row (kind, a) is here and has room for n_more entries beside those it has and those asked
 * for since the last neighbours_publish, so that neighbours_add cannot fail: called for every row of an event before
 * anything changes. Changes nothing that a reader, a digest or a later event could see. ERR_NOMEM. */
int neighbours_touch(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t n_more,
                     struct err *e) ERR_MUST_CHECK;
/* Learner, between touch and publish: weight at time t onto entry b of row (kind, a), both items with their present
 * generations. A weight that is not above 0, or would make the entry non-finite, is refused and counted; one too small
 * to change a float changes nothing. */
void neighbours_add(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t b, float weight, int64_t t_ms);
/* Learner. The end of a publish interval. */
void neighbours_publish(struct neighbours *s);
/* Learner, before item row a is freed (items_remove): its rows are gone, and entries of it count as free from then on.
 */
void neighbours_erase(struct neighbours *s, uint32_t a);

/* Any thread inside an epoch section (reader: its number): copies row (kind, a) into *out, n = 0 when there is none. */
int neighbours_read(const struct neighbours *s, unsigned reader, enum neighbour_kind kind, uint32_t a,
                    struct neighbour_list *out, struct err *e) ERR_MUST_CHECK;
/* Learner: the same outside a section. Asking changes nothing. */
int neighbours_peek(const struct neighbours *s, enum neighbour_kind kind, uint32_t a, struct neighbour_list *out,
                    struct err *e) ERR_MUST_CHECK;

struct neighbours_stats {                  /* relaxed atomics, any thread */
    _Atomic uint64_t cached, cached_bytes; /* rows here */
    _Atomic uint64_t refused;              /* weights */
    _Atomic uint64_t replaced;             /* weakest entries that gave way to a newcomer */
};
const struct neighbours_stats *neighbours_stats(const struct neighbours *s);

#endif
