/* The stored form of a user row: last_ms u64, p_sum f32, n u16, n_shown u16, p, then the entries, first those of items
 * used. Arrays are stored as they lie in memory: little-endian, which the store's format stamp checks, and an entry's
 * bit-fields from the lowest bit up. */
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
    buf_put_u32(out, r->n | (uint32_t)r->n_shown << 16);
    buf_add(out, r->p, sizeof(float) * dim);
    buf_add(out, user_entries(r, dim), sizeof(struct user_entry) * r->n);
    buf_add(out, user_shown(r, dim), sizeof(struct user_entry) * r->n_shown);
}

/* What an entry may name, whoever wrote it: item rows are indices. */
static bool is_sound(const struct user_entry *entries, uint32_t n, uint32_t n_rows) {
    uint32_t bad = 0;
    for (uint32_t k = 0; k < n; k++) bad |= entries[k].row >= n_rows;
    return !bad;
}

static int decode(const struct users *u, struct slice id, struct slice bytes, struct user_row **out, struct err *e) {
    uint32_t dim = u->params->dim;
    struct cursor c = {(const uint8_t *)bytes.p, bytes.n, false};
    int64_t last_ms = (int64_t)cursor_u64(&c);
    float p_sum = cursor_f32(&c);
    uint32_t counts = cursor_u32(&c), n = counts & UINT16_MAX, n_shown = counts >> 16, all = n + n_shown;
    if (c.failed || n_shown > MODEL_MAX_EXPOSED || c.n != sizeof(float) * dim + sizeof(struct user_entry) * all)
        return err_set(e, ERR_CORRUPT, "user", "row of user \"%.*s\" has %zu bytes for %u and %u entries of dim %u",
                       (int)id.n, id.p, bytes.n, n, n_shown, dim);
    struct user_row *r = mem_alloc(user_row_bytes(dim, all, id.n));
    if (!r) return err_set(e, ERR_NOMEM, "users", "no memory for a user row of %u entries", all);
    memset(r, 0, sizeof *r);
    r->last_ms = last_ms;
    r->p_sum = p_sum;
    r->n = n;
    r->n_shown = (uint8_t)n_shown;
    r->cap = all;
    r->id_bytes = (uint16_t)id.n;
    memcpy(r->p, c.p, c.n); /* and the entries */
    memcpy((char *)(uintptr_t)user_id(r, dim).p, id.p, id.n);
    if (!is_sound(user_entries(r, dim), all, u->params->max_items)) {
        mem_free(r);
        return err_set(e, ERR_CORRUPT, "user", "row of user \"%.*s\": an entry names no item", (int)id.n, id.p);
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
