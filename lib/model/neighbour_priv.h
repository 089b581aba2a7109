/* Inside the neighbour rows: shared by neighbour.c, neighbour_row.c, neighbour_cache.c and neighbour_checkpoint.c. */
#ifndef RANKD_MODEL_NEIGHBOUR_PRIV_H
#define RANKD_MODEL_NEIGHBOUR_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>

#include "lib/model/neighbour.h"

struct neighbour_row {    /* 48 bytes, then item rows (cap), weights (cap) and generations (cap) of the entries */
    _Atomic uint32_t seq; /* even: whole; odd: being changed */
    uint32_t generation;  /* of item row a; never changes */
    int64_t reference_ms;
    uint8_t n, fours; /* entries; cap = 4 * fours, so that each array is whole 8-byte words; never changes */
    /* learner */
    uint8_t reserved;               /* entries asked for in this period and not added yet */
    _Atomic bool recent;            /* touched or read since the hand of the cache passed; any thread */
    uint32_t touched;               /* period of the last touch */
    uint32_t key, resident, listed; /* key; places in s->resident and, when changed in this interval, in s->list */
    uint32_t erasures;              /* of s when the row held no entry of an erased item; 0 = not known */
    _Atomic uint32_t interval;      /* of the last change; 0 = as in the backing. Set before the change */
    _Atomic uint32_t taken;         /* interval whose checkpoint has a copy */
    uint32_t words[];
};

struct neighbour_aside { /* a row as it stood when the checkpoint under way began, copied by the learner */
    struct neighbour_aside *next;
    uint32_t key;
    size_t n;
    char bytes[]; /* (n) stored form */
};

struct neighbour_growth { /* factor = 2^(age / half-life) */
    int64_t age_ms;
    double half_life_ms, factor;
};

#define NEIGHBOUR_WANTED 256u /* most rows that wait to be admitted; of others that are missed later ones count */

struct neighbours {
    const struct model_params *params;
    struct neighbour_space of;
    struct epoch *epoch;
    struct neighbour_backing backing;
    uint64_t cache_bytes; /* UINT64_MAX without a backing */
    double half_life_ms[NEIGHBOUR_KINDS];
    _Atomic int64_t aged_ms[NEIGHBOUR_KINDS]; /* added to every time on the way in, taken off on the way out */
    size_t n_keys; /* rows of items, or of segments, times NEIGHBOUR_KINDS; key = a * NEIGHBOUR_KINDS + kind */
    _Atomic(struct neighbour_row *) *rows; /* (n_keys), NULL = not here */

    /* learner */
    uint32_t period;    /* publish intervals so far */
    uint32_t erasures;  /* so far, from 1; UINT32_MAX: not counted any more */
    uint32_t *resident; /* (n_resident of n_keys) keys of the rows here, in no order */
    uint32_t n_resident, hand;
    struct neighbour_growth growth; /* the last one computed */
    struct buf stored;              /* scratch: a row from the backing */
    uint32_t interval;              /* changes now belong to it; a checkpoint a second makes 2^32 in 136 years */
    uint32_t durable;               /* rows changed in it and before are in the backing */
    uint32_t in_flight;             /* interval of the checkpoint under way; 0 = none */
    uint32_t *list;                 /* (n_list of n_keys) keys of the rows changed in this interval, each once */
    uint32_t n_list;
    uint64_t dirty_now, dirty_in_flight; /* bytes */

    /* readers to learner */
    _Atomic uint32_t wanted[NEIGHBOUR_WANTED]; /* 1 + key of a row that a reader missed, by key; 0 = none */
    _Atomic bool any_wanted;

    /* of the checkpoint under way: the store thread's, otherwise the learner's */
    uint32_t *flight; /* (n_flight of n_keys) keys of the rows to write; at: the next */
    uint32_t n_flight, at;
    struct neighbour_aside *popped;
    /* both */
    _Atomic(struct neighbour_aside *) asides; /* pushed by the learner */
    _Atomic uint64_t aside_bytes;
    struct neighbours_stats stats;
};

static inline uint32_t neighbour_row_cap(const struct neighbour_row *r) { return 4u * r->fours; }
static inline uint32_t *neighbour_items(struct neighbour_row *r) { return r->words; }
static inline float *neighbour_weights(struct neighbour_row *r) {
    return (float *)(void *)(r->words + neighbour_row_cap(r));
}
static inline uint16_t *neighbour_generations(struct neighbour_row *r) {
    return (uint16_t *)(void *)(r->words + 2u * neighbour_row_cap(r));
}
static inline size_t neighbour_row_bytes(uint32_t cap) { return sizeof(struct neighbour_row) + (size_t)cap * 10; }

static inline struct neighbour_row *neighbour_at(const struct neighbours *s, uint32_t key) { /* learner */
    return atomic_load_explicit(&s->rows[key], memory_order_relaxed);
}
static inline uint32_t neighbour_generation(const struct neighbours *s, uint32_t row) { /* any thread */
    return atomic_load_explicit(&s->of.brief[row].generation, memory_order_relaxed);
}
static inline bool neighbour_is_of_item(uint32_t key) { return key % NEIGHBOUR_KINDS != NEIGHBOUR_SEGMENT; }
static inline uint32_t neighbour_row_generation(const struct neighbours *s, uint32_t key) {
    return neighbour_is_of_item(key) ? neighbour_generation(s, key / NEIGHBOUR_KINDS) : 0;
}
static inline uint32_t neighbour_key(enum neighbour_kind kind, uint32_t a) {
    return a * NEIGHBOUR_KINDS + (uint32_t)kind;
}
/* Any thread. Written only when it changes: readers share the line. */
static inline void neighbour_seen(struct neighbour_row *r) {
    if (!atomic_load_explicit(&r->recent, memory_order_relaxed))
        atomic_store_explicit(&r->recent, true, memory_order_relaxed);
}
/* One writer: a plain addition that other threads may read. */
static inline void neighbour_count(_Atomic uint64_t *v, uint64_t n) {
    atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n, memory_order_relaxed);
}
int neighbour_no_memory(struct err *e);

/* neighbour_row.c. The room a row is given for n entries: the next power of two, at least 4, not much above most. */
uint32_t neighbour_cap(uint32_t n, uint32_t most);
struct neighbour_row *neighbour_row_new(uint32_t cap); /* empty; NULL when memory is refused */
void neighbour_row_fill(struct neighbour_row *r, const struct neighbour_list *from);
struct neighbour_row *neighbour_row_grown(struct neighbour_row *from, uint32_t cap); /* a copy with more room */
/* Any thread: a whole row as it stood at one moment, and the interval of its last change. */
uint32_t neighbour_row_copy(const struct neighbour_row *r, struct neighbour_list *out);
uint32_t neighbour_weakest(const float *weights, uint32_t n); /* the first of the least */
/* Learner, in place: the weight at t_ms onto item b. */
void neighbour_row_add(struct neighbours *s, struct neighbour_row *r, double half_life_ms, uint32_t b, float weight,
                       int64_t t_ms);

/* neighbour_stored.c. The stored form: generation u32, reference u64, n u16, then item rows u32, weights f32 and
 * generations u16 of the n entries. */
#define NEIGHBOUR_STORED_HEAD 14u
static inline size_t neighbour_stored_bytes(uint32_t n) { return NEIGHBOUR_STORED_HEAD + (size_t)n * 10; }
void neighbour_encode(uint32_t generation, int64_t reference_ms, uint32_t n, const uint32_t *items,
                      const float *weights, const uint16_t *generations, char *out);
/* Any thread. The row of key from the backing, by way of bytes. ERR_MISSING, n = 0: there is none, or one of an erased
 * item. */
int neighbour_fetch(const struct neighbours *s, uint32_t key, struct buf *bytes, struct neighbour_list *out,
                    struct err *e) ERR_MUST_CHECK;

/* neighbour_cache.c, learner. */
void neighbour_account(struct neighbours *s, uint64_t rows, uint64_t bytes); /* differences, modulo 2^64 */
/* Makes room for bytes more; false when only a checkpoint can, which room calls ERR_FULL. */
bool neighbour_make_room(struct neighbours *s, uint64_t bytes);
int neighbour_room(struct neighbours *s, uint64_t bytes, struct err *e) ERR_MUST_CHECK;
void neighbour_link(struct neighbours *s, uint32_t key, struct neighbour_row *r);
void neighbour_unlink(struct neighbours *s, struct neighbour_row *r); /* retires it */

/* neighbour_checkpoint.c, learner. set_aside: what the checkpoint under way still needs of a row is copied. mark: the
 * row is about to change; unmark: it is about to go. */
int neighbour_set_aside(struct neighbours *s, struct neighbour_row *r, struct err *e) ERR_MUST_CHECK;
void neighbour_mark(struct neighbours *s, struct neighbour_row *r);
void neighbour_unmark(struct neighbours *s, const struct neighbour_row *r);

#endif
