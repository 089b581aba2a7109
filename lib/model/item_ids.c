/* Open addressing with tombstones over rows; the table holds row numbers, the ids stand apart. A table that fills up
 * with tombstones is replaced whole, the old one retired. */
#include "lib/model/item_ids.h"

#include <stdatomic.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define SLOT_EMPTY 0u
#define SLOT_GONE  1u /* a row was here; others may follow */
#define SLOT_ROW   2u /* row + SLOT_ROW */

struct id_text {
    uint32_t hash; /* low half: spares most comparisons of text */
    uint16_t n;
    char text[];
};

struct id_table {
    uint32_t mask;
    _Atomic uint32_t slots[];
};

struct item_ids {
    _Atomic(struct id_table *) table;
    _Atomic(struct id_text *) *texts; /* (max_items) */
    uint32_t max_items, n, n_gone;
    struct epoch *epoch;
};

static size_t table_bytes(uint32_t mask) { return sizeof(struct id_table) + ((size_t)mask + 1) * sizeof(uint32_t); }

static void table_release(void *table) {
    struct id_table *t = table;
    mem_unmap(t, table_bytes(t->mask));
}

static struct id_table *table_new(uint32_t max_items) {
    uint32_t n = 64;
    while (n < max_items && n < (1u << 30)) n *= 2;
    uint32_t mask = n * 2 - 1;
    struct id_table *t = mem_map(table_bytes(mask));
    if (t) t->mask = mask;
    return t;
}

struct item_ids *item_ids_new(uint32_t max_items, struct epoch *epoch) {
    struct item_ids *m = mem_zalloc(sizeof *m);
    if (!m) return NULL;
    m->max_items = max_items;
    m->epoch = epoch;
    m->texts = mem_map((size_t)max_items * sizeof *m->texts);
    struct id_table *t = table_new(max_items);
    atomic_init(&m->table, t);
    if (m->texts && t) return m;
    item_ids_free(m);
    return NULL;
}

void item_ids_free(struct item_ids *m) {
    if (!m) return;
    for (uint32_t r = 0; m->texts && m->n && r < m->max_items; r++) {
        struct id_text *text = atomic_load_explicit(&m->texts[r], memory_order_relaxed);
        if (!text) continue;
        mem_free(text);
        m->n--;
    }
    struct id_table *t = atomic_load_explicit(&m->table, memory_order_relaxed);
    if (t) table_release(t);
    mem_unmap(m->texts, (size_t)m->max_items * sizeof *m->texts);
    mem_free(m);
}

uint32_t item_ids_find(const struct item_ids *m, struct slice id) {
    const struct id_table *t = atomic_load_explicit(&m->table, memory_order_acquire);
    uint64_t h = hash_slice(id);
    for (uint32_t at = (uint32_t)(h >> 32) & t->mask;; at = (at + 1) & t->mask) {
        uint32_t slot = atomic_load_explicit(&t->slots[at], memory_order_acquire);
        if (slot == SLOT_EMPTY) return UINT32_MAX;
        if (slot == SLOT_GONE) continue;
        const struct id_text *text = atomic_load_explicit(&m->texts[slot - SLOT_ROW], memory_order_acquire);
        if (text && text->hash == (uint32_t)h && slice_equal(slice_of(text->text, text->n), id)) return slot - SLOT_ROW;
    }
}

uint32_t item_ids_prefetch(const struct item_ids *m, uint64_t hash, uint32_t station) {
    const struct id_table *t = atomic_load_explicit(&m->table, memory_order_relaxed);
    uint32_t at = (uint32_t)(hash >> 32) & t->mask;
    if (station == 0) {
        __builtin_prefetch((const void *)&t->slots[at]);
        return UINT32_MAX;
    }
    for (uint32_t slot; (slot = atomic_load_explicit(&t->slots[at], memory_order_relaxed)) != SLOT_EMPTY;
         at = (at + 1) & t->mask) {
        if (slot == SLOT_GONE) continue;
        _Atomic(struct id_text *) *place = &m->texts[slot - SLOT_ROW];
        if (station == 1) {
            __builtin_prefetch((const void *)place);
            continue;
        }
        const struct id_text *text = atomic_load_explicit(place, memory_order_relaxed);
        if (station == 2)
            __builtin_prefetch(text);
        else if (text && text->hash == (uint32_t)hash)
            return slot - SLOT_ROW;
    }
    return UINT32_MAX;
}

struct slice item_ids_of(const struct item_ids *m, uint32_t row) {
    const struct id_text *text = atomic_load_explicit(&m->texts[row], memory_order_acquire);
    return text ? slice_of(text->text, text->n) : slice_of("", 0);
}

static void table_insert(struct id_table *t, uint64_t hash, uint32_t row, uint32_t *n_gone) {
    uint32_t at = (uint32_t)(hash >> 32) & t->mask;
    for (;; at = (at + 1) & t->mask) {
        uint32_t slot = atomic_load_explicit(&t->slots[at], memory_order_relaxed);
        if (slot >= SLOT_ROW) continue;
        if (slot == SLOT_GONE) --*n_gone;
        break;
    }
    atomic_store_explicit(&t->slots[at], row + SLOT_ROW, memory_order_release);
}

static void table_renew(struct item_ids *m) {
    struct id_table *old = atomic_load_explicit(&m->table, memory_order_relaxed), *t = table_new(m->max_items);
    if (!t) return; /* the old one still works, with longer walks */
    uint32_t none = 0;
    for (uint32_t at = 0; at <= old->mask; at++) {
        uint32_t slot = atomic_load_explicit(&old->slots[at], memory_order_relaxed);
        if (slot >= SLOT_ROW) table_insert(t, hash_slice(item_ids_of(m, slot - SLOT_ROW)), slot - SLOT_ROW, &none);
    }
    m->n_gone = 0;
    atomic_store_explicit(&m->table, t, memory_order_release);
    epoch_retire(m->epoch, old, table_bytes(old->mask), table_release);
}

int item_ids_put(struct item_ids *m, uint32_t row, struct slice id) {
    CHECK(row < m->max_items && id.n <= UINT16_MAX);
    struct id_text *text = mem_alloc(sizeof *text + id.n);
    if (!text) return ERR_NOMEM;
    uint64_t h = hash_slice(id);
    text->hash = (uint32_t)h;
    text->n = (uint16_t)id.n;
    memcpy(text->text, id.p, id.n);
    atomic_store_explicit(&m->texts[row], text, memory_order_release);
    table_insert(atomic_load_explicit(&m->table, memory_order_relaxed), h, row, &m->n_gone);
    m->n++;
    return 0;
}

void item_ids_del(struct item_ids *m, uint32_t row) {
    struct id_table *t = atomic_load_explicit(&m->table, memory_order_relaxed);
    struct id_text *text = atomic_load_explicit(&m->texts[row], memory_order_relaxed);
    CHECK(text);
    uint32_t at = (uint32_t)(hash_slice(slice_of(text->text, text->n)) >> 32) & t->mask;
    while (atomic_load_explicit(&t->slots[at], memory_order_relaxed) != row + SLOT_ROW) at = (at + 1) & t->mask;
    atomic_store_explicit(&t->slots[at], SLOT_GONE, memory_order_release);
    atomic_store_explicit(&m->texts[row], NULL, memory_order_release);
    epoch_retire(m->epoch, text, sizeof *text + text->n, mem_free);
    m->n--;
    if (++m->n_gone > (t->mask + 1) / 4) table_renew(m);
}
