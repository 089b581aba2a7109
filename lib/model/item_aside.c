/* Rows set aside: slots by row, a list of free ones on each side. */
#include "lib/model/item_aside.h"

#include <stdatomic.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

#define NO_SLOT UINT32_MAX

struct item_aside {
    uint32_t max_rows;
    size_t row_bytes;
    unsigned char *slots; /* (max_rows + SPARE, row_bytes); a free one begins with the number of the next free one */
    _Atomic uint32_t *of_row; /* (max_rows) slot + 1; 0 = the row has no copy */

    /* learner */
    uint32_t free, top;      /* first of the free slots it knows; slots from top on were not used since all were free */
    uint64_t n_put;          /* less those withdrawn */
    _Atomic size_t resident; /* bytes from the start of slots that may be resident; set by the learner */

    /* store thread */
    _Atomic uint32_t returned; /* first of the slots given back and not yet seen by the learner */
    _Atomic uint64_t n_returned;
};

#define SPARE 2u /* a slot is nowhere for a moment while it is given back */

static unsigned char *slot_at(const struct item_aside *a, uint32_t slot) { return a->slots + slot * a->row_bytes; }

static size_t slots_bytes(const struct item_aside *a) { return ((size_t)a->max_rows + SPARE) * a->row_bytes; }

struct item_aside *item_aside_new(uint32_t max_rows, size_t row_bytes) {
    struct item_aside *a = mem_zalloc(sizeof *a);
    if (!a) return NULL;
    a->max_rows = max_rows;
    a->row_bytes = row_bytes;
    a->free = NO_SLOT;
    atomic_init(&a->returned, NO_SLOT);
    a->slots = mem_map(slots_bytes(a));
    a->of_row = mem_map(max_rows * sizeof *a->of_row);
    if (a->slots && a->of_row) return a;
    item_aside_free(a);
    return NULL;
}

void item_aside_free(struct item_aside *a) {
    if (!a) return;
    mem_unmap(a->slots, slots_bytes(a));
    mem_unmap(a->of_row, a->max_rows * sizeof *a->of_row);
    mem_free(a);
}

static uint32_t next_of(const struct item_aside *a, uint32_t slot) {
    uint32_t next;
    memcpy(&next, slot_at(a, slot), sizeof next);
    return next;
}

static void set_next(struct item_aside *a, uint32_t slot, uint32_t next) {
    memcpy(slot_at(a, slot), &next, sizeof next);
}

static void set_resident(struct item_aside *a, size_t bytes) {
    atomic_store_explicit(&a->resident, bytes, memory_order_relaxed);
}

static uint32_t take_slot(struct item_aside *a) {
    if (a->free == NO_SLOT) a->free = atomic_exchange_explicit(&a->returned, NO_SLOT, memory_order_acquire);
    uint32_t slot = a->free;
    if (slot != NO_SLOT) {
        a->free = next_of(a, slot);
        return slot;
    }
    slot = a->top++;
    CHECK(slot < a->max_rows + SPARE);
    if (a->top * a->row_bytes > item_aside_bytes(a)) set_resident(a, a->top * a->row_bytes);
    return slot;
}

bool item_aside_has(const struct item_aside *a, uint32_t row) {
    return atomic_load_explicit(&a->of_row[row], memory_order_relaxed) != 0;
}

void item_aside_put(struct item_aside *a, uint32_t row, const void *bytes) {
    uint32_t slot = take_slot(a);
    a->n_put++;
    memcpy(slot_at(a, slot), bytes, a->row_bytes);
    atomic_store(&a->of_row[row], slot + 1);
}

void item_aside_withdraw(struct item_aside *a, uint32_t row) {
    uint32_t slot = atomic_exchange(&a->of_row[row], 0);
    if (slot == 0) return;
    a->n_put--;
    set_next(a, slot - 1, a->free);
    a->free = slot - 1;
}

const void *item_aside_at(const struct item_aside *a, uint32_t row) {
    uint32_t slot = atomic_load_explicit(&a->of_row[row], memory_order_acquire);
    return slot ? slot_at(a, slot - 1) : NULL;
}

void item_aside_give_back(struct item_aside *a, uint32_t row) {
    if (atomic_load(&a->of_row[row]) == 0) return;
    uint32_t slot = atomic_exchange(&a->of_row[row], 0);
    if (slot == 0) return; /* withdrawn meanwhile */
    uint32_t next = atomic_load_explicit(&a->returned, memory_order_relaxed);
    do {
        set_next(a, slot - 1, next);
    } while (!atomic_compare_exchange_weak_explicit(&a->returned, &next, slot - 1, memory_order_release,
                                                    memory_order_relaxed));
    atomic_fetch_add_explicit(&a->n_returned, 1, memory_order_release);
}

void item_aside_tend(struct item_aside *a) {
    if (a->top && a->n_put == atomic_load_explicit(&a->n_returned, memory_order_acquire)) {
        a->free = NO_SLOT; /* all are free: begin at the front again */
        atomic_store_explicit(&a->returned, NO_SLOT, memory_order_relaxed);
        a->top = 0;
    }
    size_t least = a->top * a->row_bytes;
    if (least < ITEM_ASIDE_KEPT) least = ITEM_ASIDE_KEPT;
    size_t resident = item_aside_bytes(a);
    if (resident <= least) return;
    if (resident > ITEM_ASIDE_STEP && resident - ITEM_ASIDE_STEP > least) least = resident - ITEM_ASIDE_STEP;
    set_resident(a, mem_map_forget(a->slots, least, resident));
}

size_t item_aside_bytes(const struct item_aside *a) { return atomic_load_explicit(&a->resident, memory_order_relaxed); }
