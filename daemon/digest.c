/* The canonical digest: 256 hash ranges of the key for each table. */
#include "daemon/digest.h"

#include <string.h>

#include "daemon/engine.h"
#include "lib/base/buf.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/item.h"

#define RANGES 256

static const enum store_table tables[] = {STORE_ITEM,       STORE_ITEM_ID, STORE_ITEM_TEXT,     STORE_USER,
                                          STORE_USER_TEXT,  STORE_RECENT,  STORE_DEDUP,         STORE_POSITION,
                                          STORE_NEIGHBOUR,  STORE_FEATURE, STORE_FEATURE_STATE, STORE_ITEM_FEATURES,
                                          STORE_SUCCESSION, STORE_SEGMENT};

static void add_row(struct sha256 *ranges[RANGES], struct slice key, struct slice value) {
    struct sha256 *h = ranges[hash_slice(key) >> 56];
    uint64_t sizes[2] = {key.n, value.n};
    sha256_add(h, sizes, sizeof sizes);
    sha256_add(h, key.p, key.n);
    sha256_add(h, value.p, value.n);
}

static uint32_t number_of(struct slice key) {
    uint32_t v = 0;
    for (size_t k = 0; k < 4 && k < key.n; k++) v = v << 8 | (uint8_t)key.p[k];
    return v;
}

/* A block is taken apart into its rows: its layout is not part of the digest. Rows that no item owns are left out. */
static void add_block(struct sha256 *ranges[RANGES], uint32_t dim, struct slice key, struct slice value) {
    size_t stride = item_stride(dim);
    uint32_t rows = item_block_rows(dim);
    for (uint32_t r = 0; r < rows; r++) {
        struct item_head head;
        char row_key[4];
        memcpy(&head, value.p + r * stride, sizeof head);
        if (!head.known) continue;
        add_row(ranges, store_key_u32(number_of(key) * rows + r, row_key), slice_of(value.p + r * stride, stride));
    }
}

static int add_table(struct store_scan *scan, enum store_table table, uint32_t dim, struct sha256 *ranges[RANGES],
                     struct sha256 *total, struct err *e) {
    struct slice key, value;
    int rc = store_scan_seek(scan, table, slice_of(NULL, 0), e);
    while (rc == 0 && (rc = store_scan_next(scan, &key, &value, e)) == 1) {
        /* A position's identity tells where the log is kept, not what is in it. */
        if (table == STORE_POSITION && value.n > ENGINE_POSITION_BYTES) value.n = ENGINE_POSITION_BYTES;
        if (table == STORE_ITEM && value.n == item_block_rows(dim) * item_stride(dim))
            add_block(ranges, dim, key, value);
        else
            add_row(ranges, key, value);
        rc = 0;
    }
    for (int k = 0; k < RANGES; k++) {
        uint8_t sum[32];
        sha256_end(ranges[k], sum);
        sha256_add(total, sum, sizeof sum);
    }
    return rc;
}

/* One row of META; the whole of it is in the digest. */
static int add_meta(struct store_scan *scan, const char *name, struct slice *value, struct sha256 *total,
                    struct err *e) {
    struct slice key = {NULL, 0};
    int rc = store_scan_seek(scan, STORE_META, slice_str(name), e);
    if (rc == 0) rc = store_scan_next(scan, &key, value, e);
    if (rc < 0) return rc;
    if (rc == 0 || !slice_is(key, name)) return err_set(e, ERR_MISSING, name, "the store holds no state yet");
    sha256_add(total, value->p, value->n);
    return 0;
}

/* The state row without what is only for display: see engine_encode_state. */
static int add_state(struct store_scan *scan, struct sha256 *total, struct digest *out, uint32_t *dim, struct err *e) {
    struct slice value;
    int rc = add_meta(scan, "state", &value, total, e);
    if (rc < 0) return rc;
    struct cursor c = {(const uint8_t *)value.p, value.n, false};
    *dim = cursor_u32(&c);
    (void)cursor_u64(&c);
    out->generation = cursor_u64(&c);
    out->sequence = cursor_u64(&c);
    if (c.failed) return err_set(e, ERR_CORRUPT, "meta", "the state row is cut short");
    if (*dim > MODEL_MAX_DIM) return err_set(e, ERR_CORRUPT, "meta", "the state row names model.dim = %u", *dim);
    rc = add_meta(scan, "blend", &value, total, e);
    if (rc == 0) rc = add_meta(scan, "quality", &value, total, e);
    return rc == 0 ? add_meta(scan, "drift", &value, total, e) : rc;
}

int digest_compute(struct store *s, struct digest *out, struct err *e) {
    struct sha256 *ranges[RANGES] = {NULL}, *total = sha256_new();
    struct store_scan *scan = NULL;
    struct digest d = {0};
    uint32_t dim = 0;
    int rc = total ? 0 : ERR_NOMEM;
    for (int k = 0; k < RANGES && rc == 0; k++) {
        ranges[k] = sha256_new();
        if (!ranges[k]) rc = ERR_NOMEM;
    }
    if (rc < 0) rc = err_set(e, ERR_NOMEM, "digest", "no memory");
    if (rc == 0) rc = store_scan_begin(s, &scan, e);
    if (rc == 0) rc = add_state(scan, total, &d, &dim, e);
    for (size_t t = 0; t < sizeof tables / sizeof *tables && rc == 0; t++)
        rc = add_table(scan, tables[t], dim, ranges, total, e);
    if (rc == 0) {
        uint8_t sum[32];
        sha256_end(total, sum);
        sha256_hex(sum, d.hex);
        *out = d;
    }
    if (scan) store_scan_end(scan);
    for (int k = 0; k < RANGES; k++) sha256_free(ranges[k]);
    sha256_free(total);
    return rc;
}

int digest_verify(struct store *s, struct verify_counts *counts, void (*bad)(void *arg, const struct err *e), void *arg,
                  struct err *e) {
    struct store_scan *scan = NULL;
    int rc = store_scan_begin(s, &scan, e);
    memset(counts, 0, sizeof *counts);
    for (int t = 0; t < STORE_TABLES && rc == 0; t++) {
        struct slice key, value;
        struct err why = {0};
        rc = store_scan_seek(scan, (enum store_table)t, slice_of(NULL, 0), e);
        if (rc < 0) break;
        while ((rc = store_scan_next(scan, &key, &value, &why)) != 0) {
            if (rc == 1) {
                counts->rows[t]++;
                counts->bytes += key.n + value.n;
            } else if (rc == ERR_CORRUPT) {
                counts->damaged++;
                bad(arg, &why);
            } else {
                break;
            }
        }
        if (rc < 0 && e) *e = why;
    }
    if (scan) store_scan_end(scan);
    return rc;
}
