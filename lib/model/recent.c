/* The ring of recent events' items. */
#include "lib/model/recent.h"

#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/urn.h"

uint32_t recent_blocks(const struct recent *r) { return (r->cap + RECENT_BLOCK - 1) / RECENT_BLOCK; }

int recent_new(uint32_t cap, uint32_t max_items, struct recent **out, struct err *e) {
    struct recent *r = mem_zalloc(sizeof *r);
    if (!r) return err_set(e, ERR_NOMEM, "model.recent_events", "no memory");
    r->cap = cap;
    r->max_items = max_items;
    r->ring = mem_map((size_t)cap * sizeof *r->ring);
    r->often = mem_map_dense((size_t)max_items * sizeof *r->often);
    r->dirty = mem_zalloc(recent_blocks(r));
    if (r->ring && r->often && r->dirty) {
        *out = r;
        return 0;
    }
    recent_free(r);
    return err_set(e, ERR_NOMEM, "model.recent_events", "no memory for %u recent events", cap);
}

void recent_free(struct recent *r) {
    if (!r) return;
    urn_free(r->urn);
    mem_unmap(r->ring, (size_t)r->cap * sizeof *r->ring);
    mem_unmap(r->often, (size_t)r->max_items * sizeof *r->often);
    mem_free(r->dirty);
    mem_free(r);
}

int recent_weigh(struct recent *r, float exponent, struct err *e) {
    r->exponent = exponent;
    r->urn = urn_new(r->max_items);
    return r->urn ? 0 : err_set(e, ERR_NOMEM, "model.popular_share", "no memory for %u items", r->max_items);
}

/* In units of 2^-20: the largest sum, of a million entries of one item with exponent 2, is below 2^60. */
static void weigh(struct recent *r, uint32_t row) {
    if (!r->urn) return;
    double times = r->often[row];
    urn_set(r->urn, row, times > 0 ? (uint64_t)(0x1p20 * fm_exp2((double)r->exponent * fm_log2(times)) + 0.5) : 0);
}

uint32_t recent_draw_popular(const struct recent *r, uint64_t bits) { return urn_draw(r->urn, bits); }

float recent_popular_part(const struct recent *r, uint32_t row) {
    return (float)((double)urn_weight(r->urn, row) / (double)urn_total(r->urn));
}

static void put(struct recent *r, uint32_t row, int change) {
    r->often[row] += (uint32_t)change;
    weigh(r, row);
}

void recent_add(struct recent *r, uint32_t row) {
    uint32_t at = (uint32_t)(r->n % r->cap);
    if (r->n >= r->cap) put(r, r->ring[at], -1);
    r->ring[at] = row;
    put(r, row, 1);
    r->dirty[at / RECENT_BLOCK] = 1;
    r->n++;
}

static void reverse(uint32_t *v, uint32_t from, uint32_t to) {
    for (; to > from + 1; from++) {
        uint32_t last = v[--to];
        v[to] = v[from];
        v[from] = last;
    }
}

/* The oldest comes to the front, so that the others can move up. */
static void straighten(struct recent *r) {
    uint32_t n = recent_size(r), oldest = (uint32_t)((r->n - n) % r->cap);
    if (oldest == 0) return;
    reverse(r->ring, 0, oldest);
    reverse(r->ring, oldest, n);
    reverse(r->ring, 0, n);
}

void recent_remove(struct recent *r, uint32_t row) {
    if (r->often[row] == 0) return;
    uint32_t n = recent_size(r), kept = 0;
    straighten(r);
    for (uint32_t k = 0; k < n; k++)
        if (r->ring[k] != row) r->ring[kept++] = r->ring[k];
    r->n = kept;
    r->often[row] = 0;
    weigh(r, row);
    recent_mark_dirty(r);
}

static uint32_t block_entries(const struct recent *r, uint32_t block) {
    uint32_t first = block * RECENT_BLOCK, n = recent_size(r);
    return n <= first ? 0 : n - first < RECENT_BLOCK ? n - first : RECENT_BLOCK;
}

struct slice recent_take(struct recent *r, uint32_t block) {
    if (!r->dirty[block]) return slice_of(NULL, 0);
    r->dirty[block] = 0;
    return slice_of((const char *)(r->ring + (size_t)block * RECENT_BLOCK), block_entries(r, block) * sizeof *r->ring);
}

void recent_mark_dirty(struct recent *r) { memset(r->dirty, 1, recent_blocks(r)); }

int recent_load(struct recent *r, uint32_t block, struct slice bytes, struct err *e) {
    if (block >= recent_blocks(r) || bytes.n > RECENT_BLOCK * sizeof *r->ring ||
        (size_t)block * RECENT_BLOCK * sizeof *r->ring + bytes.n > (size_t)r->cap * sizeof *r->ring)
        return err_set(
            e, ERR_MISMATCH, "model.recent_events",
            "stored block %u does not fit %u recent events: set model.recent_events back, or start with an empty "
            "rankd.data_dir and replay the log into it (rankd replay)",
            block, r->cap);
    memcpy(r->ring + (size_t)block * RECENT_BLOCK, bytes.p, bytes.n);
    uint32_t end = block * RECENT_BLOCK + (uint32_t)(bytes.n / sizeof *r->ring);
    if (end > r->loaded) r->loaded = end;
    return 0;
}

int recent_load_end(struct recent *r, uint64_t n, struct err *e) {
    r->n = n;
    if (recent_size(r) > r->loaded)
        return err_set(e, ERR_MISMATCH, "model.recent_events",
                       "the state holds %u recent events of %u: set model.recent_events back, or start with an empty "
                       "rankd.data_dir and replay the log into it (rankd replay)",
                       r->loaded, recent_size(r));
    for (uint32_t k = 0; k < recent_size(r); k++) {
        if (r->ring[k] >= r->max_items)
            return err_set(e, ERR_CORRUPT, "recent", "entry %u names item row %u of %u", k, r->ring[k], r->max_items);
        r->often[r->ring[k]]++;
    }
    for (uint32_t k = 0; k < recent_size(r); k++) weigh(r, r->ring[k]);
    return 0;
}
