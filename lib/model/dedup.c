/* The dedup window. Hash number e stands in block (e / DEDUP_BLOCK) % n_blocks; the index finds it by open addressing.
 */
#include "lib/model/dedup.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

struct dedup_block {
    struct dedup_block *next; /* in the list of replaced ones */
    bool dirty, lent;         /* changed since the last begin; a checkpoint reads it */
    struct hash128 hashes[DEDUP_BLOCK];
};

struct dedup {
    uint32_t n_blocks, mask;
    uint64_t count;               /* hashes ever added */
    struct dedup_block **blocks;  /* (n_blocks), NULL until used */
    uint32_t *index;              /* (mask + 1) place in the ring + 1; 0 = empty */
    struct dedup_block *replaced; /* freed when the checkpoint that reads them ends */
    /* the checkpoint under way */
    struct hash128 *partial; /* (DEDUP_BLOCK) copy of the block being filled */
    struct dedup_loan {
        uint32_t number;
        const struct hash128 *hashes;
        struct dedup_block *block;
    } * loans; /* (n_loans) */
    uint32_t n_loans, at;
};

static uint64_t capacity(const struct dedup *d) { return (uint64_t)d->n_blocks * DEDUP_BLOCK; }

int dedup_new(uint64_t window, struct dedup **out, struct err *e) {
    struct dedup *d = mem_zalloc(sizeof *d);
    if (!d) return err_set(e, ERR_NOMEM, "events.dedup_window", "no memory");
    d->n_blocks = (uint32_t)((window + DEDUP_BLOCK - 1) / DEDUP_BLOCK);
    uint64_t slots = 64;
    while (slots < 2 * capacity(d)) slots *= 2;
    d->mask = (uint32_t)(slots - 1);
    d->blocks = mem_map((d->n_blocks + 1) * sizeof *d->blocks);
    d->index = mem_map(slots * sizeof *d->index);
    d->partial = mem_alloc(DEDUP_BLOCK * sizeof *d->partial);
    if (d->blocks && d->index && d->partial) {
        *out = d;
        return 0;
    }
    dedup_free(d);
    return err_set(e, ERR_NOMEM, "events.dedup_window", "no memory for %llu ids", (unsigned long long)window);
}

static void free_replaced(struct dedup *d) {
    for (struct dedup_block *b = d->replaced, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    d->replaced = NULL;
}

void dedup_free(struct dedup *d) {
    if (!d) return;
    free_replaced(d);
    for (uint32_t b = 0; d->blocks && b < d->n_blocks; b++) mem_free(d->blocks[b]);
    mem_unmap(d->blocks, (d->n_blocks + 1) * sizeof *d->blocks);
    mem_unmap(d->index, ((uint64_t)d->mask + 1) * sizeof *d->index);
    mem_free(d->partial);
    mem_free(d->loans);
    mem_free(d);
}

static const struct hash128 *hash_at(const struct dedup *d, uint64_t place) {
    return &d->blocks[place / DEDUP_BLOCK]->hashes[place % DEDUP_BLOCK];
}

/* The index slot that holds id, or the empty one where it would go. */
static uint32_t find(const struct dedup *d, struct hash128 id) {
    uint32_t at = (uint32_t)id.lo & d->mask;
    for (; d->index[at]; at = (at + 1) & d->mask) {
        const struct hash128 *h = hash_at(d, d->index[at] - 1);
        if (h->lo == id.lo && h->hi == id.hi) break;
    }
    return at;
}

bool dedup_seen(const struct dedup *d, struct hash128 id) { return d->n_blocks && d->index[find(d, id)]; }
uint64_t dedup_count(const struct dedup *d) { return d->count; }
uint64_t dedup_forgotten(const struct dedup *d) { return d->count > capacity(d) ? d->count - capacity(d) : 0; }

/* Empties slot `at` and moves later members of its run up (Knuth, TAOCP 3, 6.4, algorithm R). */
static void forget(struct dedup *d, uint32_t at) {
    for (uint32_t next = (at + 1) & d->mask; d->index[next]; next = (next + 1) & d->mask) {
        uint32_t home = (uint32_t)hash_at(d, d->index[next] - 1)->lo & d->mask;
        if (((next - home) & d->mask) < ((next - at) & d->mask)) continue; /* its home lies behind the hole */
        d->index[at] = d->index[next];
        at = next;
    }
    d->index[at] = 0;
}

/* The block that the next hash goes into: one of its own for a new lap while a checkpoint reads the old one. */
int dedup_prepare(struct dedup *d) {
    if (!d->n_blocks) return 0;
    uint64_t number = d->count % capacity(d) / DEDUP_BLOCK;
    struct dedup_block *b = d->blocks[number];
    if (b && !b->lent) return 0;
    struct dedup_block *fresh = mem_zalloc(sizeof *fresh);
    if (!fresh) return ERR_NOMEM;
    if (b) {
        memcpy(fresh->hashes, b->hashes, sizeof b->hashes);
        b->next = d->replaced;
        d->replaced = b;
    }
    d->blocks[number] = fresh;
    return 0;
}

void dedup_add(struct dedup *d, struct hash128 id) {
    if (!d->n_blocks) return;
    uint64_t place = d->count % capacity(d);
    struct dedup_block *b = d->blocks[place / DEDUP_BLOCK];
    CHECK(b && !b->lent);
    if (d->count >= capacity(d)) forget(d, find(d, b->hashes[place % DEDUP_BLOCK]));
    b->hashes[place % DEDUP_BLOCK] = id;
    b->dirty = true;
    d->index[find(d, id)] = (uint32_t)place + 1;
    d->count++;
}

int dedup_checkpoint_begin(struct dedup *d) {
    uint32_t n = 0, open = d->n_blocks ? (uint32_t)(d->count % capacity(d) / DEDUP_BLOCK) : 0;
    for (uint32_t k = 0; k < d->n_blocks; k++) n += d->blocks[k] && d->blocks[k]->dirty;
    struct dedup_loan *loans = mem_alloc((n + 1) * sizeof *loans);
    if (!loans) return ERR_NOMEM;
    d->loans = loans;
    d->n_loans = d->at = 0;
    for (uint32_t k = 0; n > 0 && k < d->n_blocks; k++) {
        struct dedup_block *b = d->blocks[k];
        if (!b || !b->dirty) continue;
        b->dirty = false;
        b->lent = k != open;
        if (k == open) memcpy(d->partial, b->hashes, sizeof b->hashes);
        loans[d->n_loans++] = (struct dedup_loan){k, k == open ? d->partial : b->hashes, b};
    }
    return 0;
}

int dedup_checkpoint_next(struct dedup *d, uint32_t *block, struct slice *bytes) {
    if (d->at == d->n_loans) return 0;
    const struct dedup_loan *loan = &d->loans[d->at++];
    *block = loan->number;
    *bytes = slice_of((const char *)loan->hashes, DEDUP_BLOCK * sizeof *loan->hashes);
    return 1;
}

void dedup_checkpoint_end(struct dedup *d, bool durable) {
    for (uint32_t k = 0; k < d->n_loans; k++) {
        struct dedup_block *b = d->loans[k].block;
        struct dedup_block *now = d->blocks[d->loans[k].number];
        if (!durable) now->dirty = true; /* also one that took its place */
        if (now != b) continue;
        b->lent = false;
    }
    free_replaced(d);
    mem_free(d->loans);
    d->loans = NULL;
    d->n_loans = 0;
}

int dedup_load(struct dedup *d, uint32_t block, struct slice bytes, struct err *e) {
    if (block >= d->n_blocks || bytes.n != sizeof d->blocks[0]->hashes)
        return err_set(e, ERR_MISMATCH, "events.dedup_window", "stored block %u does not fit a window of %u blocks",
                       block, d->n_blocks);
    if (!d->blocks[block]) d->blocks[block] = mem_zalloc(sizeof *d->blocks[block]);
    if (!d->blocks[block]) return err_set(e, ERR_NOMEM, "events.dedup_window", "no memory");
    memcpy(d->blocks[block]->hashes, bytes.p, bytes.n);
    return 0;
}

int dedup_load_end(struct dedup *d, uint64_t count, struct err *e) {
    if (!d->n_blocks) return 0;
    uint64_t first = count > capacity(d) ? count - capacity(d) : 0;
    for (uint64_t n = first; n < count; n++) {
        uint64_t place = n % capacity(d);
        if (!d->blocks[place / DEDUP_BLOCK])
            return err_set(e, ERR_MISMATCH, "events.dedup_window",
                           "block %llu of %u is not stored: the window was smaller. Set events.dedup_window back, or "
                           "start with an empty rankd.data_dir and replay the log into it (rankd replay)",
                           (unsigned long long)(place / DEDUP_BLOCK), d->n_blocks);
        d->index[find(d, *hash_at(d, place))] = (uint32_t)place + 1;
    }
    d->count = count;
    return 0;
}
