/* Neighbour rows as they are stored, and reading them from the backing. The arrays are stored as they lie in memory:
 * little-endian, which the store's format stamp checks. */
#include <string.h>

#include "lib/base/check.h"
#include "lib/model/neighbour_priv.h"

static char *put(char *at, const void *from, size_t n) {
    memcpy(at, from, n);
    return at + n;
}

void neighbour_encode(uint32_t generation, int64_t reference_ms, uint32_t n, const uint32_t *items,
                      const float *weights, const uint16_t *generations, char *out) {
    uint16_t count = (uint16_t)n;
    out = put(out, &generation, 4);
    out = put(out, &reference_ms, 8);
    out = put(out, &count, 2);
    out = put(out, items, 4 * (size_t)n);
    out = put(out, weights, 4 * (size_t)n);
    put(out, generations, 2 * (size_t)n);
}

static int damaged(uint32_t key, const char *what, struct err *e) {
    static const char *const kinds[] = {"forward", "backward", "successor"};
    return err_set(e, ERR_CORRUPT, "neighbour",
                   "the %s neighbours of item row %u: %s; restore a backup, or replay the log into an empty data_dir",
                   kinds[key % NEIGHBOUR_KINDS], key / NEIGHBOUR_KINDS, what);
}

/* What a row may hold, whoever wrote it: item rows are indices, weights are compared by their bits. */
static bool is_sound(const struct neighbours *s, const struct neighbour_stored *row) {
    uint32_t n_rows = atomic_load_explicit(&s->items->n_rows, memory_order_acquire), bad = 0;
    for (uint32_t k = 0; k < row->n; k++) {
        uint32_t item, weight;
        memcpy(&item, row->entries + 4 * (size_t)k, 4);
        memcpy(&weight, row->entries + 4 * ((size_t)row->n + k), 4);
        bad |= (uint32_t)(item >= n_rows) | (uint32_t)(weight == 0 || weight >= 0x7F800000u);
    }
    return !bad;
}

static int parse(const struct neighbours *s, uint32_t key, struct slice bytes, struct neighbour_stored *out,
                 struct err *e) {
    uint16_t n;
    if (bytes.n < NEIGHBOUR_STORED_HEAD) return damaged(key, "the row is cut short", e);
    memcpy(&out->generation, bytes.p, 4);
    memcpy(&out->reference_ms, bytes.p + 4, 8);
    memcpy(&n, bytes.p + 12, 2);
    out->n = n;
    out->entries = bytes.p + NEIGHBOUR_STORED_HEAD;
    if (n == 0 || n > NEIGHBOUR_MAX || bytes.n != neighbour_stored_bytes(n))
        return damaged(key, "its length and its number of entries do not belong together", e);
    return is_sound(s, out) ? 0 : damaged(key, "an entry names no item, or its weight is none", e);
}

int neighbour_fetch(const struct neighbours *s, uint32_t key, struct buf *bytes, struct neighbour_stored *out,
                    struct err *e) {
    if (!s->backing.get) return ERR_MISSING;
    uint32_t a = key / NEIGHBOUR_KINDS;
    int rc = s->backing.get(s->backing.arg, (enum neighbour_kind)(key % NEIGHBOUR_KINDS), a, bytes, e);
    if (rc == 0) rc = parse(s, key, slice_of(bytes->p, bytes->n), out, e);
    return rc == 0 && out->generation != neighbour_generation(s, a) ? ERR_MISSING : rc;
}

void neighbour_fill_row(const struct neighbour_stored *from, struct neighbour_row *r) {
    CHECK(from->n <= r->cap);
    size_t n = from->n;
    r->reference_ms = from->reference_ms;
    r->n = (uint16_t)n;
    memcpy(neighbour_items(r), from->entries, 4 * n);
    memcpy(neighbour_weights(r), from->entries + 4 * n, 4 * n);
    memcpy(neighbour_generations(r), from->entries + 8 * n, 2 * n);
}

void neighbour_fill_list(const struct neighbour_stored *from, struct neighbour_list *out) {
    size_t n = from->n;
    out->n = from->n;
    out->reference_ms = from->reference_ms;
    memcpy(out->row, from->entries, 4 * n);
    memcpy(out->weight, from->entries + 4 * n, 4 * n);
    memcpy(out->generation, from->entries + 8 * n, 2 * n);
}
