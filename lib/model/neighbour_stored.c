/* Neighbour rows as they are stored, and reading them from the backing. The arrays are stored as they lie in memory:
 * little-endian, which the store's format stamp checks. */
#include <float.h>
#include <string.h>

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

static int damaged(const struct neighbours *s, uint32_t key, const char *what, struct err *e) {
    static const char *const kinds[] = {"forward", "backward", "successor", "segment", "together", "lately"};
    return err_set(e, ERR_CORRUPT, "neighbour",
                   "the %s neighbours of %s %u: %s; restore a backup, or replay the log into an empty data_dir",
                   kinds[key % NEIGHBOUR_KINDS], s->of.name, key / NEIGHBOUR_KINDS, what);
}

/* What a row may hold, whoever wrote it: item rows are indices, weights are compared by their bits. */
static bool is_sound(const struct neighbours *s, const struct neighbour_list *l) {
    uint32_t n_rows = atomic_load_explicit(s->of.n_rows, memory_order_acquire), bad = 0;
    for (uint32_t k = 0; k < l->n; k++) bad |= l->row[k] >= n_rows || !(l->weight[k] > 0 && l->weight[k] <= FLT_MAX);
    return !bad;
}

static int decode(const struct neighbours *s, uint32_t key, struct slice bytes, struct neighbour_list *out,
                  uint32_t *generation, struct err *e) {
    uint16_t n;
    if (bytes.n < NEIGHBOUR_STORED_HEAD) return damaged(s, key, "the row is cut short", e);
    memcpy(generation, bytes.p, 4);
    memcpy(&out->reference_ms, bytes.p + 4, 8);
    memcpy(&n, bytes.p + 12, 2);
    if (n == 0 || n > NEIGHBOUR_MAX || bytes.n != neighbour_stored_bytes(n))
        return damaged(s, key, "its length and its number of entries do not belong together", e);
    const char *entries = bytes.p + NEIGHBOUR_STORED_HEAD;
    out->n = n;
    memcpy(out->row, entries, 4 * (size_t)n);
    memcpy(out->weight, entries + 4 * (size_t)n, 4 * (size_t)n);
    memcpy(out->generation, entries + 8 * (size_t)n, 2 * (size_t)n);
    return is_sound(s, out) ? 0 : damaged(s, key, "an entry names no item, or its weight is none", e);
}

/* A row of a time when params.neighbours was larger keeps its strongest. */
static void drop_surplus(struct neighbour_list *l, uint32_t most) {
    while (l->n > most) {
        uint32_t at = neighbour_weakest(l->weight, l->n), after = --l->n - at;
        memmove(l->row + at, l->row + at + 1, after * sizeof *l->row);
        memmove(l->weight + at, l->weight + at + 1, after * sizeof *l->weight);
        memmove(l->generation + at, l->generation + at + 1, after * sizeof *l->generation);
    }
}

int neighbour_fetch(const struct neighbours *s, uint32_t key, struct buf *bytes, struct neighbour_list *out,
                    struct err *e) {
    uint32_t a = key / NEIGHBOUR_KINDS, generation = 0;
    out->n = 0;
    if (!s->backing.get) return ERR_MISSING;
    int rc = s->backing.get(s->backing.arg, (enum neighbour_kind)(key % NEIGHBOUR_KINDS), a, bytes, e);
    if (rc == 0) rc = decode(s, key, slice_of(bytes->p, bytes->n), out, &generation, e);
    if (rc == 0 && generation != neighbour_row_generation(s, key)) rc = ERR_MISSING;
    if (rc < 0)
        out->n = 0;
    else
        drop_surplus(out, s->params->neighbours);
    return rc;
}
