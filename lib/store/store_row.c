/* Rows: the checksum behind each value, keys in words, LMDB's answers as codes. */
#include <errno.h>
#include <stdio.h>

#include "lib/base/check.h"
#include "lib/base/hash.h"
#include "lib/store/store_priv.h"

static const struct {
    const char *name;
    enum store_key_kind kind;
} tables[STORE_TABLES] = {
    [STORE_META] = {"meta", STORE_KEY_TEXT},
    [STORE_ITEM] = {"item", STORE_KEY_U32},
    [STORE_ITEM_ID] = {"item_id", STORE_KEY_U32},
    [STORE_ITEM_TEXT] = {"item_text", STORE_KEY_TEXT},
    [STORE_USER] = {"user", STORE_KEY_TEXT},
    [STORE_USER_TEXT] = {"user_text", STORE_KEY_TEXT},
    [STORE_RECENT] = {"recent", STORE_KEY_U32},
    [STORE_DEDUP] = {"dedup", STORE_KEY_U32},
    [STORE_POSITION] = {"position", STORE_KEY_SOURCE},
    [STORE_JOURNAL] = {"journal", STORE_KEY_U64},
    [STORE_BAD] = {"bad", STORE_KEY_U64},
    [STORE_NEIGHBOUR] = {"neighbour", STORE_KEY_U8_U32},
    [STORE_FEATURE] = {"feature", STORE_KEY_U32},
    [STORE_FEATURE_STATE] = {"feature_state", STORE_KEY_U32},
    [STORE_ITEM_FEATURES] = {"item_features", STORE_KEY_U32},
    [STORE_SUCCESSION] = {"succession", STORE_KEY_U32},
    [STORE_SEGMENT] = {"segment", STORE_KEY_U32},
};

const char *store_table_name(enum store_table t) {
    CHECK((unsigned)t < STORE_TABLES);
    return tables[t].name;
}

static uint64_t key_number(struct slice key) {
    uint64_t v = 0;
    for (size_t k = 0; k < key.n; k++) v = v << 8 | (uint8_t)key.p[k];
    return v;
}

/* Writes text between quotes; gives the bytes used. */
static size_t print_text(struct slice text, char *out, size_t room) {
    size_t n = 0;
    out[n++] = '"';
    for (size_t k = 0; k < text.n; k++) {
        unsigned char c = (unsigned char)text.p[k];
        bool plain = c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
        if (n + (plain ? 1 : 4) + 5 > room) { /* 5: "...", the quote, NUL */
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        if (plain)
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, room - n, "\\x%02x", c);
    }
    out[n++] = '"';
    out[n] = 0;
    return n;
}

void store_key_print(enum store_table table, struct slice key, char out[STORE_KEY_PRINT]) {
    enum store_key_kind kind = tables[table].kind;
    if ((kind == STORE_KEY_U32 && key.n == 4) || (kind == STORE_KEY_U64 && key.n == 8)) {
        snprintf(out, STORE_KEY_PRINT, "%llu", (unsigned long long)key_number(key));
    } else if (kind == STORE_KEY_U8_U32 && key.n == 5) {
        snprintf(out, STORE_KEY_PRINT, "%u/%llu", (unsigned)(uint8_t)key.p[0],
                 (unsigned long long)key_number(slice_of(key.p + 1, 4)));
    } else if (kind == STORE_KEY_SOURCE && key.n >= 5 && key.p[key.n - 5] == 0) {
        size_t n = print_text(slice_of(key.p, key.n - 5), out, STORE_KEY_PRINT - 24);
        snprintf(out + n, STORE_KEY_PRINT - n, " partition %llu",
                 (unsigned long long)key_number(slice_of(key.p + key.n - 4, 4)));
    } else {
        print_text(key, out, STORE_KEY_PRINT);
    }
}

uint32_t store_row_sum(enum store_table table, struct slice key, struct slice value) {
    unsigned char head[3] = {(unsigned char)table, (unsigned char)(key.n & 0xFF), (unsigned char)(key.n >> 8)};
    uint32_t crc = hash_crc32(0, head, sizeof head);
    if (key.n) crc = hash_crc32(crc, key.p, key.n);
    return value.n ? hash_crc32(crc, value.p, value.n) : crc;
}

int store_row_check(enum store_table table, struct slice key, MDB_val stored, struct slice *value, struct err *e) {
    const unsigned char *p = stored.mv_data;
    bool good = stored.mv_size >= STORE_SUM;
    if (good) {
        struct slice v = slice_of((const char *)p, stored.mv_size - STORE_SUM);
        const unsigned char *c = p + v.n;
        uint32_t sum = (uint32_t)c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;
        good = sum == store_row_sum(table, key, v);
        if (good) {
            *value = v;
            return 0;
        }
    }
    char text[STORE_KEY_PRINT];
    store_key_print(table, key, text);
    return err_set(e, ERR_CORRUPT, tables[table].name,
                   "table %s, key %s: the stored value does not match its checksum; run `rankd verify` to see all "
                   "damaged rows, then restore a backup or replay the log into an empty data_dir",
                   tables[table].name, text);
}

int store_fail(struct store *s, int rc, const char *doing, struct err *e) {
    const char *dir = s ? s->dir : "";
    switch (rc) {
    case MDB_PANIC:
        if (s) atomic_store(&s->needs_reopen, true);
        return err_set(e, ERR_IO, "data_dir",
                       "%s, %s: an earlier write to the disk failed; the data file must be opened again", dir, doing);
    case MDB_MAP_FULL:
    case MDB_MAP_RESIZED:
        return err_set(e, ERR_FULL, "checkpoint.map_size",
                       "%s, %s: the data file has reached its bound of %llu bytes; set checkpoint.map_size higher and "
                       "start again",
                       dir, doing, s ? (unsigned long long)s->map_size : 0ULL);
    case MDB_TXN_FULL:
        return err_set(e, ERR_FULL, "checkpoint", "%s, %s: more changed pages than one transaction can hold", dir,
                       doing);
    case MDB_READERS_FULL:
        return err_set(e, ERR_BUSY, "data_dir", "%s, %s: all reader slots of the data file are taken", dir, doing);
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_INCOMPATIBLE:
        return err_set(e, ERR_CORRUPT, "data_dir",
                       "%s, %s: the structure of model.mdb is damaged (%s); run `rankd verify`, then restore a "
                       "backup or replay the log into an empty data_dir",
                       dir, doing, mdb_strerror(rc));
    case MDB_VERSION_MISMATCH:
        return err_set(e, ERR_MISMATCH, "data_dir", "%s, %s: model.mdb was written by another version of LMDB", dir,
                       doing);
    case MDB_BAD_VALSIZE:
        return err_set(e, ERR_RANGE, "key", "%s, %s: a key or value of a size the data file cannot hold", dir, doing);
    case ENOMEM:
        return err_set(e, ERR_NOMEM, "data_dir", "%s, %s: memory or address space was refused", dir, doing);
    case ENOSPC:
        return err_set(e, ERR_IO, "data_dir", "%s, %s: no space left on the disk", dir, doing);
    case EIO:
        return err_set(e, ERR_IO, "data_dir", "%s, %s: the disk answered with an input/output error (it may be full)",
                       dir, doing);
    default:
        return err_set(e, ERR_IO, "data_dir", "%s, %s: %s", dir, doing, mdb_strerror(rc));
    }
}

int store_value_out(struct slice value, struct buf *out, struct err *e) {
    if (value.n > out->limit) {
        return err_set(e, ERR_FULL, "value", "a stored value of %zu bytes is longer than the %zu expected", value.n,
                       out->limit);
    }
    buf_clear(out);
    buf_add_slice(out, value);
    if (out->failed) return err_set(e, ERR_NOMEM, "value", "no memory for a stored value of %zu bytes", value.n);
    return 0;
}

int store_read(struct store *s, MDB_txn *mt, enum store_table table, struct slice key, struct buf *out, struct err *e) {
    char text[STORE_KEY_PRINT];
    MDB_val k = store_val(key), v;
    int rc = key.n == 0 || key.n > STORE_KEY_MAX ? MDB_NOTFOUND : mdb_get(mt, s->dbi[table], &k, &v);
    if (rc == MDB_NOTFOUND) {
        store_key_print(table, key, text);
        return err_set(e, ERR_MISSING, tables[table].name, "table %s has no key %s", tables[table].name, text);
    }
    if (rc) return store_fail(s, rc, "reading a row", e);
    struct slice value = {NULL, 0};
    rc = store_row_check(table, key, v, &value, e);
    return rc ? rc : store_value_out(value, out, e);
}
