/* Point-in-time copies of item blocks, and loading them back. */
#include <sched.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/item.h"
#include "lib/model/item_ids.h"

enum item_pending { ITEM_SETTLED, ITEM_PENDING, ITEM_COPYING };

struct item_frozen { /* a block as it stood when the checkpoint began, copied by the learner */
    struct item_frozen *next;
    uint32_t block;
    unsigned char bytes[];
};

size_t items_block_bytes(const struct items *t) { return ITEM_BLOCK_ROWS * t->stride; }

uint32_t items_blocks(const struct items *t) {
    return (atomic_load_explicit(&t->n_rows, memory_order_acquire) + ITEM_BLOCK_ROWS - 1) / ITEM_BLOCK_ROWS;
}

static void copy_block(const struct items *t, uint32_t block, unsigned char *out) {
    memcpy(out, t->rows + block * items_block_bytes(t), items_block_bytes(t));
    for (uint32_t r = 0; r < ITEM_BLOCK_ROWS; r++)
        memset(out + r * t->stride, 0, sizeof(uint32_t)); /* sequence words */
}

static void wait_settled(struct items *t, uint32_t block) {
    while (atomic_load_explicit(&t->pending[block], memory_order_acquire) != ITEM_SETTLED) sched_yield();
}

/* The checkpoint under way still needs the block as it is: whoever comes first copies it. Without memory for a copy the
 * learner waits for the store thread, which is walking towards the block. */
static void keep_block(struct items *t, uint32_t block) {
    struct item_frozen *f = mem_alloc(sizeof *f + items_block_bytes(t));
    uint8_t state = ITEM_PENDING;
    if (f && atomic_compare_exchange_strong_explicit(&t->pending[block], &state, ITEM_COPYING, memory_order_acquire,
                                                     memory_order_acquire)) {
        f->block = block;
        copy_block(t, block, f->bytes);
        f->next = atomic_load_explicit(&t->frozen, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&t->frozen, &f->next, f, memory_order_release,
                                                      memory_order_relaxed)) {
        }
        atomic_store_explicit(&t->pending[block], ITEM_SETTLED, memory_order_release);
        return;
    }
    mem_free(f);
    wait_settled(t, block);
}

void item_change(struct items *t, uint32_t row) {
    uint32_t block = row / ITEM_BLOCK_ROWS;
    if (UNLIKELY(atomic_load_explicit(&t->pending[block], memory_order_acquire) != ITEM_SETTLED)) keep_block(t, block);
    if (!t->dirty[block]) {
        t->dirty[block] = 1;
        t->n_dirty++;
    }
    if (!t->is_touched[row]) {
        t->is_touched[row] = 1;
        t->touched[t->n_touched++] = row;
    }
}

void items_mark_dirty(struct items *t, uint32_t block) {
    if (t->dirty[block]) return;
    t->dirty[block] = 1;
    t->n_dirty++;
}

uint32_t items_checkpoint_begin(struct items *t) {
    uint32_t n = t->n_dirty, blocks = items_blocks(t);
    for (uint32_t b = 0; b < blocks; b++) {
        if (!t->dirty[b]) continue;
        t->dirty[b] = 0;
        atomic_store_explicit(&t->pending[b], ITEM_PENDING, memory_order_release);
    }
    t->n_dirty = 0;
    return n;
}

int items_take_block(struct items *t, uint32_t block, void *out) {
    uint8_t state = ITEM_PENDING;
    if (!atomic_compare_exchange_strong_explicit(&t->pending[block], &state, ITEM_COPYING, memory_order_acquire,
                                                 memory_order_acquire)) {
        wait_settled(t, block); /* what the learner is copying is in the list of frozen blocks once it has settled */
        return 0;
    }
    copy_block(t, block, out);
    atomic_store_explicit(&t->pending[block], ITEM_SETTLED, memory_order_release);
    return 1;
}

int items_take_frozen(struct items *t, uint32_t *block, void *out) {
    struct item_frozen *f = atomic_load_explicit(&t->frozen, memory_order_acquire);
    do {
        if (!f) return 0;
    } while (
        !atomic_compare_exchange_weak_explicit(&t->frozen, &f, f->next, memory_order_acquire, memory_order_acquire));
    *block = f->block;
    memcpy(out, f->bytes, items_block_bytes(t));
    mem_free(f);
    return 1;
}

void items_checkpoint_abandon(struct items *t) {
    uint32_t blocks = items_blocks(t);
    for (uint32_t b = 0; b < blocks; b++) {
        if (atomic_load_explicit(&t->pending[b], memory_order_relaxed) != ITEM_PENDING) continue;
        atomic_store_explicit(&t->pending[b], ITEM_SETTLED, memory_order_relaxed);
        items_mark_dirty(t, b);
    }
    struct item_frozen *f = atomic_exchange_explicit(&t->frozen, NULL, memory_order_acquire);
    for (struct item_frozen *next; f; f = next) {
        next = f->next;
        items_mark_dirty(t, f->block);
        mem_free(f);
    }
}

int items_load_block(struct items *t, uint32_t block, struct slice bytes, struct err *e) {
    uint64_t end = ((uint64_t)block + 1) * ITEM_BLOCK_ROWS;
    if (bytes.n != items_block_bytes(t))
        return err_set(e, ERR_MISMATCH, "items", "block %u has %zu bytes, %zu expected", block, bytes.n,
                       items_block_bytes(t));
    if (end - ITEM_BLOCK_ROWS >= t->max_items)
        return err_set(e, ERR_FULL, "model.max_items", "the state holds more items than model.max_items = %u",
                       t->max_items);
    memcpy(t->rows + block * items_block_bytes(t), bytes.p, bytes.n);
    return 0;
}

int items_load_id(struct items *t, uint32_t row, struct slice value, struct err *e) {
    if (row >= t->max_items)
        return err_set(e, ERR_FULL, "model.max_items", "the state holds more items than model.max_items = %u",
                       t->max_items);
    if (value.n < 14)
        return err_set(e, ERR_CORRUPT, "item_id", "row %u: %zu bytes, at least 14 expected", row, value.n);
    uint32_t generation, n = atomic_load_explicit(&t->n_rows, memory_order_relaxed);
    int64_t expires;
    memcpy(&generation, value.p, 4);
    memcpy(&expires, value.p + 6, 8);
    struct item_head *head = item_head(t, row);
    struct slice id = slice_of(value.p + 14, value.n - 14);
    if (head->generation != generation || head->known != (id.n > 0))
        return err_set(e, ERR_CORRUPT, "item_id", "row %u: its id and its block do not belong together", row);
    if (id.n > 0) {
        if (item_ids_put(t->ids, row, id) < 0) return err_set(e, ERR_NOMEM, "items", "no memory for an item id");
        t->n_known++;
        t->n_expiring += expires != ITEM_NEVER;
    }
    atomic_store_explicit(&t->available[row], (uint8_t)value.p[4], memory_order_relaxed);
    atomic_store_explicit(&t->expires_ms[row], expires, memory_order_relaxed);
    if (row >= n) atomic_store_explicit(&t->n_rows, row + 1, memory_order_relaxed);
    return 0;
}

int items_load_end(struct items *t, struct err *e) {
    uint32_t n = atomic_load_explicit(&t->n_rows, memory_order_relaxed);
    uint32_t known = 0;
    for (uint32_t r = 0; r < n; r++) {
        const struct item_head *head = item_head(t, r);
        known += head->known != 0;
        if (!head->known) t->free_rows[t->n_free++] = r; /* ascending: a heap */
        if (!head->live) continue;
        if (!head->known || head->live > n || t->live[head->live - 1])
            return err_set(e, ERR_CORRUPT, "items", "row %u: its place %u in the live list is taken or no place", r,
                           head->live);
        t->live[head->live - 1] = r + 1; /* 0 = free while loading */
        t->n_live++;
    }
    if (known != t->n_known)
        return err_set(e, ERR_CORRUPT, "item_id", "%u item rows are in use, %u have an id", known, t->n_known);
    for (uint32_t k = 0; k < t->n_live; k++) {
        if (!t->live[k]) return err_set(e, ERR_CORRUPT, "items", "the live list has a hole at %u", k);
        t->live[k]--;
    }
    return 0;
}
