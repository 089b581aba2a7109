/* Point-in-time copies of item blocks, and loading them back. */
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/item.h"
#include "lib/model/item_aside.h"
#include "lib/model/item_ids.h"

enum item_pending {
    ITEM_SETTLED, /* no checkpoint has to do with the block */
    ITEM_PENDING, /* the one under way needs it as it was at the beginning */
    ITEM_TAKEN    /* the one under way has it */
};

uint32_t item_block_rows(uint32_t dim) {
    size_t stride = item_stride(dim), rows = 0;
    for (size_t pages = 1; pages <= 8; pages++) {
        size_t room = pages * ITEM_PAGE - ITEM_PAGE_HEAD;
        rows = room / stride;
        if (room - rows * stride <= pages * ITEM_PAGE / 16) break;
    }
    return (uint32_t)rows;
}

size_t items_block_bytes(const struct items *t) { return t->block_rows * t->stride; }

uint32_t items_blocks(const struct items *t) { return t->checkpoint_blocks; }

static uint8_t state_of(const struct items *t, uint32_t block) {
    return atomic_load_explicit(&t->pending[block], memory_order_relaxed);
}

static void mark_dirty(struct items *t, uint32_t block) {
    if (t->dirty[block]) return;
    t->dirty[block] = 1;
    t->n_dirty++;
}

/* The row as it stands goes aside. If the store thread has taken the block meanwhile, it may or may not have given the
 * copy back: each of the two writes first and then looks at what the other writes, so that one of them sees it. */
static void keep_row(struct items *t, uint32_t block, uint32_t row) {
    if (item_aside_has(t->aside, row)) return;
    item_aside_put(t->aside, row, item_head(t, row));
    if (atomic_load(&t->pending[block]) != ITEM_PENDING) item_aside_withdraw(t->aside, row);
}

/* A row touched since the last publish was kept and marked at its first change: a checkpoint begins after a publish. */
void item_change_vectors(struct items *t, uint32_t row) {
    if (!marks_put(&t->touched, row)) return;
    uint32_t block = row / t->block_rows;
    if (UNLIKELY(state_of(t, block) == ITEM_PENDING)) keep_row(t, block, row);
    mark_dirty(t, block);
}

void item_change(struct items *t, uint32_t row) {
    item_change_vectors(t, row);
    (void)marks_put(&t->counted, row);
}

uint32_t items_checkpoint_begin(struct items *t) {
    CHECK(t->touched.n == 0);
    uint32_t n = t->n_dirty;
    t->checkpoint_blocks = (atomic_load_explicit(&t->n_rows, memory_order_relaxed) + t->block_rows - 1) / t->block_rows;
    for (uint32_t b = 0; b < t->checkpoint_blocks; b++) {
        if (!t->dirty[b]) continue;
        t->dirty[b] = 0;
        atomic_store_explicit(&t->pending[b], ITEM_PENDING, memory_order_release);
    }
    t->n_dirty = 0;
    return n;
}

/* The row as it was at the beginning: what stands aside, or what stands in the table if nothing stands aside after that
 * was read. */
static void copy_row(const struct items *t, uint32_t row, unsigned char *out) {
    float *q = (float *)(void *)(out + sizeof(struct item_head));
    const void *kept = item_aside_at(t->aside, row);
    if (!kept) {
        item_read(t, row, (struct item_head *)(void *)out, q, q + t->dim);
        kept = item_aside_at(t->aside, row);
    }
    if (kept) memcpy(out, kept, t->stride);
    memset(out, 0, sizeof(uint32_t)); /* the sequence word */
}

int items_take_block(struct items *t, uint32_t block, void *out) {
    uint32_t first = block * t->block_rows;
    if (state_of(t, block) != ITEM_PENDING) return 0;
    for (uint32_t r = 0; r < t->block_rows; r++) copy_row(t, first + r, (unsigned char *)out + r * t->stride);
    atomic_store(&t->pending[block], ITEM_TAKEN);
    for (uint32_t r = 0; r < t->block_rows; r++) item_aside_give_back(t->aside, first + r);
    return 1;
}

void items_checkpoint_end(struct items *t, bool durable) {
    for (uint32_t b = 0; b < t->checkpoint_blocks; b++) {
        uint8_t state = state_of(t, b);
        if (state == ITEM_SETTLED) continue;
        CHECK(state == ITEM_TAKEN || !durable);
        atomic_store_explicit(&t->pending[b], ITEM_SETTLED, memory_order_relaxed);
        if (durable) continue;
        mark_dirty(t, b);
        for (uint32_t r = 0; state == ITEM_PENDING && r < t->block_rows; r++)
            item_aside_withdraw(t->aside, b * t->block_rows + r);
    }
    t->checkpoint_blocks = 0;
}

int items_load_block(struct items *t, uint32_t block, struct slice bytes, struct err *e) {
    if (bytes.n != items_block_bytes(t))
        return err_set(e, ERR_MISMATCH, "items", "block %u has %zu bytes, %zu expected", block, bytes.n,
                       items_block_bytes(t));
    if ((uint64_t)block * t->block_rows >= t->max_items)
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
    if (head->generation != generation || (head->known & ITEM_KNOWN) != (id.n > 0))
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
    uint32_t known = 0, n_described = 0, n_cold = 0;
    for (uint32_t r = 0; r < n; r++) {
        const struct item_head *head = item_head(t, r);
        known += head->known != 0;
        item_note(t, r);
        if (!head->known) t->free_rows[t->n_free++] = r; /* ascending: a heap */
        n_described += (head->known & ITEM_DESCRIBED) != 0;
        bool cold = head->known & ITEM_DESCRIBED && !head->live;
        n_cold += cold;
        t->cold_rows[r / ITEM_COLD_ROWS] += cold;
        if (!head->live) continue;
        if (!head->known || head->live > n || t->live[head->live - 1])
            return err_set(e, ERR_CORRUPT, "items", "row %u: its place %u in the live list is taken or no place", r,
                           head->live);
        t->live[head->live - 1] = r + 1; /* 0 = free while loading */
        t->n_live++;
    }
    atomic_store_explicit(&t->n_described, n_described, memory_order_relaxed);
    atomic_store_explicit(&t->n_cold, n_cold, memory_order_relaxed);
    if (known != t->n_known)
        return err_set(e, ERR_CORRUPT, "item_id", "%u item rows are in use, %u have an id", known, t->n_known);
    for (uint32_t k = 0; k < t->n_live; k++) {
        if (!t->live[k]) return err_set(e, ERR_CORRUPT, "items", "the live list has a hole at %u", k);
        t->live[k]--;
    }
    return 0;
}
