/* The stored form of a user row: last_ms u64, p_sum f32, n u16, n_shown u16, p, then 16 bytes an entry, first those of
 * items used. */
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/user_priv.h"

static uint32_t float_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void encode_entries(const struct user_entry *entries, uint32_t n, struct buf *out) {
    for (uint32_t k = 0; k < n; k++) {
        buf_put_u32(out, entries[k].row | (uint32_t)entries[k].together << 30 | (uint32_t)entries[k].apart << 31);
        buf_put_u16(out, entries[k].generation);
        buf_put_u16(out, entries[k].types);
        buf_put_u64(out, (uint64_t)entries[k].count << 48 | entries[k].time_ms);
    }
}

static void decode_entries(struct cursor *c, struct user_entry *entries, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) {
        uint32_t row = cursor_u32(c);
        entries[k].row = row & USER_ROW_BITS;
        entries[k].together = (row >> 30 & 1u) != 0;
        entries[k].apart = row >> 31 != 0;
        entries[k].generation = cursor_u16(c);
        entries[k].types = cursor_u16(c);
        uint64_t w = cursor_u64(c);
        entries[k].time_ms = w & ((UINT64_C(1) << 48) - 1);
        entries[k].count = (uint16_t)(w >> 48);
    }
}

void user_encode(const struct user_row *r, uint32_t dim, struct buf *out) {
    CHECK(!r->erased);
    buf_put_u64(out, (uint64_t)r->last_ms);
    buf_put_u32(out, float_bits(r->p_sum));
    CHECK(r->n <= UINT16_MAX);
    buf_put_u32(out, r->n | (uint32_t)r->n_shown << 16);
    for (uint32_t k = 0; k < dim; k++) buf_put_u32(out, float_bits(r->p[k]));
    encode_entries(user_entries(r, dim), r->n, out);
    encode_entries(user_shown(r, dim), r->n_shown, out);
}

static int decode(const struct users *u, struct slice id, struct slice bytes, struct user_row **out, struct err *e) {
    uint32_t dim = u->params->dim;
    struct cursor c = {(const uint8_t *)bytes.p, bytes.n, false};
    int64_t last_ms = (int64_t)cursor_u64(&c);
    float p_sum = bits_float(cursor_u32(&c));
    uint32_t counts = cursor_u32(&c), n = counts & UINT16_MAX, n_shown = counts >> 16, all = n + n_shown;
    if (c.failed || n_shown > MODEL_MAX_EXPOSED || c.n != sizeof(float) * dim + (size_t)all * 16)
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
    for (uint32_t k = 0; k < dim; k++) r->p[k] = bits_float(cursor_u32(&c));
    decode_entries(&c, user_entries(r, dim), all);
    memcpy((char *)(uintptr_t)user_id(r, dim).p, id.p, id.n);
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
