/* Epoch-based reclamation: one writer, readers that never wait.
 *
 * The epoch is a number that only the writer raises. A block is retired in the epoch of that moment, after it became
 * unreachable. A reader puts the epoch it saw into its slot while it is inside. A block of epoch t may be freed when
 * every reader inside has put a number above t: such a reader has seen the raise that followed the retirement, and so
 * the new pointer. A reader that the writer does not see inside sees the new pointer by the two fences. */
#include "lib/base/epoch.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

#define OUTSIDE        0
#define FIRST_CAPACITY 64

struct retired {
    void *block;
    void (*release)(void *block);
    size_t size;
    uint64_t epoch;
};

/* Padded on both sides: no two slots, and no slot and the writer's fields, share a cache line. */
struct slot {
    char before[64];
    atomic_uint_fast64_t epoch; /* OUTSIDE, or the epoch its reader entered in */
    char after[64 - sizeof(atomic_uint_fast64_t)];
};

struct epoch {
    /* read by readers, written by the writer */
    atomic_uint_fast64_t now;
    unsigned n_readers;

    /* writer */
    struct retired *ring; /* (capacity), oldest first from head */
    size_t capacity;      /* a power of two */
    size_t head, n;
    size_t pending_bytes;

    struct slot slots[]; /* (n_readers), each written by its reader */
};

/* Orders a store before a later load of something else. ThreadSanitizer does not model fences; every happens-before
 * that it needs here comes from the releases and acquires, so that its warning is of no use. */
static inline void full_fence(void) {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
    atomic_thread_fence(memory_order_seq_cst);
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

struct epoch *epoch_new(unsigned n_readers) {
    struct epoch *e = mem_zalloc(sizeof *e + n_readers * sizeof e->slots[0]);
    if (e == NULL) return NULL;
    e->ring = mem_alloc(FIRST_CAPACITY * sizeof e->ring[0]);
    if (e->ring == NULL) {
        mem_free(e);
        return NULL;
    }
    e->capacity = FIRST_CAPACITY;
    e->n_readers = n_readers;
    atomic_init(&e->now, OUTSIDE + 1);
    for (unsigned r = 0; r < n_readers; r++) atomic_init(&e->slots[r].epoch, OUTSIDE);
    return e;
}

static void release_oldest(struct epoch *e) {
    struct retired oldest = e->ring[e->head];
    e->head = (e->head + 1) & (e->capacity - 1);
    e->n--;
    e->pending_bytes -= oldest.size;
    oldest.release(oldest.block);
}

void epoch_free(struct epoch *e) {
    if (e == NULL) return;
    for (unsigned r = 0; r < e->n_readers; r++) {
        CHECK(atomic_load_explicit(&e->slots[r].epoch, memory_order_acquire) == OUTSIDE);
    }
    while (e->n > 0) release_oldest(e);
    mem_free(e->ring);
    mem_free(e);
}

void epoch_enter(struct epoch *e, unsigned r) {
    CHECK(r < e->n_readers);
    struct slot *slot = &e->slots[r];
    CHECK(atomic_load_explicit(&slot->epoch, memory_order_relaxed) == OUTSIDE);
    uint_fast64_t now = atomic_load_explicit(&e->now, memory_order_acquire);
    /* Release: a writer that reads this number also sees all of the section before as over. */
    atomic_store_explicit(&slot->epoch, now, memory_order_release);
    full_fence(); /* the slot is seen before any pointer is read */
}

void epoch_leave(struct epoch *e, unsigned r) {
    CHECK(r < e->n_readers);
    struct slot *slot = &e->slots[r];
    CHECK(atomic_load_explicit(&slot->epoch, memory_order_relaxed) != OUTSIDE);
    atomic_store_explicit(&slot->epoch, OUTSIDE, memory_order_release);
}

static bool grow(struct epoch *e) {
    struct retired *larger = mem_alloc(2 * e->capacity * sizeof larger[0]);
    if (larger == NULL) return false;
    for (size_t i = 0; i < e->n; i++) larger[i] = e->ring[(e->head + i) & (e->capacity - 1)];
    mem_free(e->ring);
    e->ring = larger;
    e->capacity *= 2;
    e->head = 0;
    return true;
}

void epoch_retire(struct epoch *e, void *block, size_t size, void (*release)(void *block)) {
    while (e->n == e->capacity && !grow(e)) {
        epoch_reclaim(e);
        if (e->n == e->capacity) sched_yield();
    }
    e->ring[(e->head + e->n) & (e->capacity - 1)] = (struct retired){
        .block = block,
        .release = release,
        .size = size,
        .epoch = atomic_load_explicit(&e->now, memory_order_relaxed),
    };
    e->n++;
    e->pending_bytes += size;
}

void epoch_reclaim(struct epoch *e) {
    if (e->n == 0) return;
    uint_fast64_t oldest_inside = atomic_load_explicit(&e->now, memory_order_relaxed) + 1;
    atomic_store_explicit(&e->now, oldest_inside, memory_order_release);
    full_fence(); /* what was unlinked is seen as such before any slot is read */
    for (unsigned r = 0; r < e->n_readers; r++) {
        uint_fast64_t inside = atomic_load_explicit(&e->slots[r].epoch, memory_order_acquire);
        if (inside != OUTSIDE && inside < oldest_inside) oldest_inside = inside;
    }
    while (e->n > 0 && e->ring[e->head].epoch < oldest_inside) release_oldest(e);
}

size_t epoch_pending_bytes(const struct epoch *e) { return e->pending_bytes; }
