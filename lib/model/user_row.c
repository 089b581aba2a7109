/* The stored form of a user row: last_ms u64, p_sum f32, n u16, n_shown u8, n_features u8, p, then the entries, first
 * those of items used, then the features. Arrays are stored as they lie in memory: little-endian, which the store's
 * format stamp checks, and an entry's bit-fields from the lowest bit up. */
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/user_priv.h"

_Static_assert(sizeof(struct user_entry) == 16, "an entry is stored whole");

void user_encode(const struct user_row *r, uint32_t dim, struct buf *out) {
    CHECK(!r->erased);
    buf_put_u64(out, (uint64_t)r->last_ms);
    buf_put_f32(out, r->p_sum);
    CHECK(r->n <= UINT16_MAX);
    buf_put_u32(out, r->n | (uint32_t)r->n_shown << 16 | (uint32_t)r->n_features << 24);
    buf_add(out, r->p, sizeof(float) * dim);
    buf_add(out, user_entries(r, dim), sizeof(struct user_entry) * r->n);
    buf_add(out, user_shown(r, dim), sizeof(struct user_entry) * r->n_shown);
    buf_add(out, user_id(r, dim).p + r->id_bytes, sizeof(uint16_t) * r->n_features);
}

/* What a row may name, whoever wrote it: rows of items and features are indices. */
static bool is_sound(const struct user_row *r, uint32_t dim, uint32_t n_rows) {
    const struct user_entry *entries = user_entries(r, dim);
    uint32_t bad = 0;
    for (uint32_t k = 0; k < r->cap; k++) bad |= entries[k].row >= n_rows;
    for (uint32_t k = 0; k < r->n_features; k++) bad |= user_feature(r, dim, k) >= SEGMENT_ROWS;
    return !bad;
}

static int decode(const struct users *u, struct slice id, struct slice bytes, struct user_row **out, struct err *e) {
    uint32_t dim = u->params->dim;
    struct cursor c = {(const uint8_t *)bytes.p, bytes.n, false};
    int64_t last_ms = (int64_t)cursor_u64(&c);
    float p_sum = cursor_f32(&c);
    uint32_t counts = cursor_u32(&c), n = counts & UINT16_MAX, n_shown = counts >> 16 & UINT8_MAX, all = n + n_shown,
             n_features = counts >> 24;
    size_t body = sizeof(float) * dim + sizeof(struct user_entry) * all;
    if (c.failed || n_shown > MODEL_MAX_EXPOSED || n_features > MODEL_MAX_FEATURES ||
        c.n != body + sizeof(uint16_t) * n_features)
        return err_set(e, ERR_CORRUPT, "user",
                       "row of user \"%.*s\" has %zu bytes for %u and %u entries of dim %u and %u features", (int)id.n,
                       id.p, bytes.n, n, n_shown, dim, n_features);
    struct user_row *r = mem_alloc(user_row_bytes(dim, all, id.n, n_features));
    if (!r) return err_set(e, ERR_NOMEM, "users", "no memory for a user row of %u entries", all);
    memset(r, 0, sizeof *r);
    r->last_ms = last_ms;
    r->p_sum = p_sum;
    r->n = n;
    r->n_shown = (uint8_t)n_shown;
    r->cap = all;
    r->id_bytes = (uint16_t)id.n;
    r->n_features = n_features & 0x7f;
    memcpy(r->p, c.p, body); /* and the entries */
    memcpy((char *)(uintptr_t)user_id(r, dim).p, id.p, id.n);
    memcpy((char *)(uintptr_t)user_id(r, dim).p + id.n, c.p + body, c.n - body);
    if (!is_sound(r, dim, u->params->max_items)) {
        mem_free(r);
        return err_set(e, ERR_CORRUPT, "user", "row of user \"%.*s\": an entry names no item, or a feature none",
                       (int)id.n, id.p);
    }
    *out = r;
    return 0;
}

int users_load(const struct users *u, struct slice id, struct user_row **out, struct err *e) {
    struct buf bytes;
    buf_init(&bytes, 64u << 20);
    int rc = u->backing.get ? u->backing.get(u->backing.arg, id, &bytes, e) : ERR_MISSING;
    if (rc == 0) rc = decode(u, id, slice_of(bytes.p, bytes.n), out, e);
    buf_free(&bytes);
    return rc;
}
