/* Features as they are stored, and back. */
#include <string.h>

#include "lib/base/mem.h"
#include "lib/model/feature_priv.h"
#include "lib/model/item_ids.h"

static uint32_t n_rows(const struct features *f) { return atomic_load_explicit(&f->n_rows, memory_order_relaxed); }

uint32_t features_blocks(const struct features *f) { return (n_rows(f) + FEATURE_BLOCK - 1) / FEATURE_BLOCK; }

bool features_take(struct features *f, uint32_t block, struct buf *out) {
    uint32_t first = block * FEATURE_BLOCK, end = first + FEATURE_BLOCK < n_rows(f) ? first + FEATURE_BLOCK : n_rows(f);
    if (!f->dirty[block]) return false;
    for (uint32_t v = first; v < end; v++) {
        buf_put_f64(out, feature_log_count(f, v));
        buf_put_f64(out, feature_trend(f, v));
    }
    f->dirty[block] = 0;
    return true;
}

void features_mark_dirty(struct features *f) { memset(f->dirty, 1, features_blocks(f)); }

static int too_many(const struct features *f, struct err *e) {
    return err_set(e, ERR_FULL, "model.max_features", "the state holds more features than model.max_features = %u",
                   f->max);
}

int features_load_row(struct features *f, uint32_t row, struct slice value, struct err *e) {
    uint32_t generation;
    if (row >= f->max) return too_many(f, e);
    if (value.n < 4 || value.n > 4 + MODEL_MAX_FEATURE || row > n_rows(f))
        return err_set(e, ERR_CORRUPT, "feature", "row %u: %zu bytes behind %u rows", row, value.n, n_rows(f));
    memcpy(&generation, value.p, 4);
    feature_start(f, row, generation);
    atomic_store_explicit(&f->n_rows, row + 1, memory_order_relaxed);
    if (value.n == 4) {
        (void)marks_put(&f->free, row);
        return 0;
    }
    f->n_known++;
    return item_ids_put(f->ids, row, slice_of(value.p + 4, value.n - 4)) < 0 ? feature_no_memory(e) : 0;
}

int features_load_block(struct features *f, uint32_t block, struct slice value, struct err *e) {
    struct cursor c = {(const uint8_t *)value.p, value.n, false};
    uint64_t first = (uint64_t)block * FEATURE_BLOCK, n = value.n / 16;
    if (value.n % 16 || n > FEATURE_BLOCK || first + n > n_rows(f))
        return err_set(e, ERR_CORRUPT, "feature_state", "block %u: %zu bytes for %u rows in all", block, value.n,
                       n_rows(f));
    for (uint32_t v = (uint32_t)first; v < first + n; v++) {
        atomic_store_explicit(&f->brief[v].log_count, cursor_f64(&c), memory_order_relaxed);
        atomic_store_explicit(&f->rows[v].trend, cursor_f64(&c), memory_order_relaxed);
    }
    return 0;
}

int features_load_list(struct features *f, uint32_t item, struct slice value, struct err *e) {
    uint32_t n = (uint32_t)(value.n / sizeof(uint32_t));
    if (item >= f->max_items || value.n % sizeof(uint32_t) || n == 0 || n > MODEL_MAX_FEATURES)
        return err_set(e, ERR_CORRUPT, "item_features", "item row %u: %zu bytes", item, value.n);
    struct feature_list *l = feature_list_new(n);
    if (!l) return feature_no_memory(e);
    memcpy(l->feature, value.p, value.n);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t v = l->feature[k], before = 0;
        while (l->feature[before] != v) before++;
        bool sound = v < n_rows(f) && item_ids_of(f->ids, v).n > 0 && before == k;
        if (sound && feature_reserve(f, v) == 0) continue;
        mem_free(l);
        if (sound) return feature_no_memory(e);
        return err_set(e, ERR_CORRUPT, "item_features", "item row %u: feature %u is %s", item, v,
                       before < k ? "named twice" : "not known");
    }
    for (uint32_t k = 0; k < n; k++) feature_places(l)[k] = posting_add(&f->postings[l->feature[k]], item);
    atomic_store_explicit(&f->lists[item], l, memory_order_relaxed);
    return 0;
}

int features_load_end(struct features *f, const struct items *t, struct err *e) {
    for (uint32_t v = 0; v < n_rows(f); v++) {
        if (item_ids_of(f->ids, v).n > 0) feature_set_n(f, v, posting_places(posting_read(&f->postings[v])));
    }
    uint32_t n = atomic_load_explicit(&t->n_rows, memory_order_relaxed);
    for (uint32_t r = 0; r < f->max_items && r < n; r++) {
        if ((features_of(f, r) != NULL) == ((item_head(t, r)->known & ITEM_DESCRIBED) != 0)) continue;
        return err_set(e, ERR_CORRUPT, "item_features", "row %u: the item and its features do not belong together", r);
    }
    return 0;
}
