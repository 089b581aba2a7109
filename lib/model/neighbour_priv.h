/* Inside the neighbour rows: shared by neighbour.c and neighbour_row.c. */
#ifndef RANKD_MODEL_NEIGHBOUR_PRIV_H
#define RANKD_MODEL_NEIGHBOUR_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>

#include "lib/model/neighbour.h"

struct neighbour_row {    /* 64 bytes, then item rows (cap), weights (cap) and generations (cap) of the entries */
    _Atomic uint32_t seq; /* even: whole; odd: being changed */
    uint32_t generation;  /* of item row a */
    int64_t reference_ms;
    uint16_t n, cap; /* cap: a multiple of 4, so that each array is whole 8-byte words; never changes */
    /* learner */
    uint16_t reserved;  /* entries asked for in this period and not added yet */
    uint32_t touched;   /* period of the last touch */
    uint64_t erasures;  /* of s when the row held no entry of an erased item */
    uint32_t unused[6]; /* the head is one cache line */
    uint32_t words[];
};

struct neighbours {
    const struct model_params *params;
    const struct items *items;
    struct epoch *epoch;
    double half_life_ms[NEIGHBOUR_KINDS];
    _Atomic(struct neighbour_row *) *rows; /* (max_items, NEIGHBOUR_KINDS), NULL = none */
    /* learner */
    uint32_t period;   /* publish intervals so far */
    uint64_t erasures; /* so far, from 1 */
    struct neighbours_stats stats;
};

static inline uint32_t *neighbour_items(struct neighbour_row *r) { return r->words; }
static inline uint32_t *neighbour_weights(struct neighbour_row *r) { return r->words + r->cap; } /* bits of floats */
static inline uint16_t *neighbour_generations(struct neighbour_row *r) {
    return (uint16_t *)(void *)(r->words + 2u * r->cap);
}
static inline size_t neighbour_row_bytes(uint32_t cap) { return sizeof(struct neighbour_row) + (size_t)cap * 10; }

static inline uint32_t neighbour_generation(const struct neighbours *s, uint32_t item) {
    return atomic_load_explicit((_Atomic uint32_t *)&item_head(s->items, item)->generation, memory_order_relaxed);
}

/* An empty row with room for n entries (at most the next power of two, at least 4, not much above most); NULL when
 * memory is refused. */
struct neighbour_row *neighbour_row_new(uint32_t n, uint32_t most);
/* A private copy of the entries of from in a row with more room. */
struct neighbour_row *neighbour_row_grown(struct neighbour_row *from, uint32_t n, uint32_t most);
/* Any thread: a whole row as it stood at one moment. */
void neighbour_row_copy(const struct neighbour_row *r, struct neighbour_list *out);
/* Learner, in place: the weight at t_ms onto item b. */
void neighbour_row_add(struct neighbours *s, struct neighbour_row *r, double half_life_ms, uint32_t b, float weight,
                       int64_t t_ms);

/* One writer: a plain addition that other threads may read. */
static inline void neighbour_count(_Atomic uint64_t *v, uint64_t n) {
    atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n, memory_order_relaxed);
}

#endif
