/* Features of items: rows, lists of items, counts. */
#include "lib/model/feature_priv.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/decay.h"
#include "lib/model/item_ids.h"
#include "lib/model/model.h"
#include "lib/model/ops.h"

static uint32_t n_blocks(const struct features *f) { return (f->max + FEATURE_BLOCK - 1) / FEATURE_BLOCK; }

static struct feature_list *list_of(const struct features *f, uint32_t item) {
    return atomic_load_explicit(&f->lists[item], memory_order_relaxed);
}

static uint32_t find_in(const struct feature_list *l, uint32_t v) {
    uint32_t k = 0, n = l ? l->n : 0;
    while (k < n && l->feature[k] != v) k++;
    return k < n ? k : UINT32_MAX;
}

int feature_no_memory(struct err *e) { return err_set(e, ERR_NOMEM, "features", "no memory for features of an item"); }

int features_new(const struct model_params *p, struct epoch *epoch, struct buf *ops, struct features **out,
                 struct err *e) {
    struct features *f = mem_zalloc(sizeof *f);
    if (!f) return feature_no_memory(e);
    f->params = p;
    f->epoch = epoch;
    f->ops = ops;
    f->max = p->max_features ? p->max_features : 1;
    f->max_items = p->max_items;
    atomic_init(&f->highest, ITEM_NO_TREND);
    f->ids = item_ids_new(f->max, epoch);
    f->brief = mem_map(f->max * sizeof *f->brief);
    f->rows = mem_map(f->max * sizeof *f->rows);
    f->postings = mem_map(f->max * sizeof *f->postings);
    f->lists = mem_map(f->max_items * sizeof *f->lists);
    f->dirty = mem_map(n_blocks(f));
    bool all = marks_new(&f->free, f->max) && f->ids && f->brief && f->rows && f->postings && f->lists && f->dirty;
    int rc = all ? 0
                 : err_set(e, ERR_NOMEM, "model.max_features", "no address space for %u features of %u items", f->max,
                           f->max_items);
    struct neighbour_space of = {"feature", f->brief, &f->n_rows, f->max};
    if (rc == 0) rc = neighbours_new(p, &of, epoch, &f->successions, e);
    if (rc == 0)
        *out = f;
    else
        features_free(f);
    return rc;
}

void features_free(struct features *f) {
    if (!f) return;
    uint32_t n = atomic_load_explicit(&f->n_rows, memory_order_relaxed);
    for (uint32_t v = 0; v < n; v++) {
        const struct posting *p = posting_read(&f->postings[v]);
        for (uint32_t k = 0; k < posting_places(p); k++) {
            uint32_t item = posting_item(p, k);
            if (item == POSTING_HOLE) continue;
            mem_free(list_of(f, item));
            atomic_store_explicit(&f->lists[item], NULL, memory_order_relaxed);
        }
        posting_free(&f->postings[v], NULL);
    }
    neighbours_free(f->successions);
    item_ids_free(f->ids);
    mem_unmap(f->brief, f->max * sizeof *f->brief);
    mem_unmap(f->rows, f->max * sizeof *f->rows);
    mem_unmap((void *)f->postings, f->max * sizeof *f->postings);
    mem_unmap((void *)f->lists, f->max_items * sizeof *f->lists);
    mem_unmap(f->dirty, n_blocks(f));
    marks_free(&f->free);
    mem_free(f);
}

uint32_t features_find(const struct features *f, struct slice text) { return item_ids_find(f->ids, text); }

static void touch(struct features *f, uint32_t v) { f->dirty[v / FEATURE_BLOCK] = 1; }

/* For bounds alone: may be too high, and is rebuilt at a start. */
static void note_highest(struct features *f, uint32_t v) {
    double rate = feature_trend(f, v) - (double)feature_log_n(f, v);
    if (rate > atomic_load_explicit(&f->highest, memory_order_relaxed))
        atomic_store_explicit(&f->highest, rate, memory_order_relaxed);
}

void feature_start(struct features *f, uint32_t v, uint32_t generation) {
    atomic_store_explicit(&f->brief[v].generation, generation, memory_order_relaxed);
    atomic_store_explicit(&f->brief[v].log_count, ITEM_NO_COUNT, memory_order_relaxed);
    atomic_store_explicit(&f->rows[v].trend, ITEM_NO_TREND, memory_order_relaxed);
    atomic_store_explicit(&f->rows[v].log_n, 0, memory_order_relaxed);
    atomic_store_explicit(&f->rows[v].n, 0, memory_order_relaxed);
}

void feature_set_n(struct features *f, uint32_t v, uint32_t n) {
    atomic_store_explicit(&f->rows[v].n, n, memory_order_relaxed);
    atomic_store_explicit(&f->rows[v].log_n, n > 0 ? (float)fm_log2((double)n) : 0, memory_order_relaxed);
    note_highest(f, v);
}

/* Of a row without a text its generation is kept, so that the next owner gets another one after a restart too. */
static void note_row(struct features *f, uint32_t v) {
    char value[4 + MODEL_MAX_FEATURE];
    struct slice text = item_ids_of(f->ids, v);
    uint32_t generation = feature_generation(f, v);
    CHECK(text.n <= MODEL_MAX_FEATURE);
    memcpy(value, &generation, 4);
    memcpy(value + 4, text.p, text.n);
    int rc = ops_put_row(f->ops, MODEL_PUT_FEATURE, v, slice_of(value, 4 + text.n));
    CHECK(rc == 0);
}

static int add_row(struct features *f, struct slice text, uint32_t *out, struct err *e) {
    uint32_t n = atomic_load_explicit(&f->n_rows, memory_order_relaxed), v = marks_lowest(&f->free);
    if (v == UINT32_MAX) v = n;
    if (v >= f->max)
        return err_set(e, ERR_FULL, "features", "feature \"%.*s\" would be one more than model.max_features = %u",
                       (int)text.n, text.p, f->max);
    if (ops_room(f->ops, OPS_HEAD + 4 + 4 + MODEL_MAX_FEATURE) < 0) return feature_no_memory(e);
    uint32_t generation = v < n ? feature_generation(f, v) : 0;
    if (item_ids_put(f->ids, v, text) < 0) return feature_no_memory(e);
    feature_start(f, v, generation);
    touch(f, v);
    marks_drop(&f->free, v);
    if (v == n) atomic_store_explicit(&f->n_rows, n + 1, memory_order_release);
    f->n_known++;
    note_row(f, v);
    *out = v;
    return 0;
}

/* No item has it any more. Its pairs are gone already. */
static void free_row(struct features *f, uint32_t v) {
    int rc = ops_put_row(f->ops, MODEL_DEL_SUCCESSION, v, slice_of("", 0));
    CHECK(rc == 0);
    posting_free(&f->postings[v], f->epoch);
    item_ids_del(f->ids, v);
    feature_start(f, v, feature_generation(f, v) + 1);
    touch(f, v);
    (void)marks_put(&f->free, v);
    f->n_known--;
    note_row(f, v);
}

struct feature_list *feature_list_new(uint32_t n) {
    struct feature_list *l = mem_alloc(sizeof *l + 2 * (size_t)n * sizeof(uint32_t));
    if (l) l->n = n;
    return l;
}

struct move { /* of one feature's posting list */
    struct features *f;
    uint32_t v;
};

static void moved(void *arg, uint32_t item, uint32_t place) {
    const struct move *m = arg;
    struct feature_list *l = list_of(m->f, item);
    uint32_t k = find_in(l, m->v);
    CHECK(k != UINT32_MAX);
    feature_places(l)[k] = place;
}

static struct posting_owner owner_of(struct move *m) {
    return (struct posting_owner){.epoch = m->f->epoch, .moved = moved, .arg = m};
}

int feature_reserve(struct features *f, uint32_t v) {
    struct move m = {f, v};
    struct posting_owner o = owner_of(&m);
    return posting_reserve(&f->postings[v], &o);
}

/* Rows of the texts, new ones made; those past the bound are left out. */
static int find_rows(struct features *f, const struct slice *text, size_t n, uint32_t *rows, uint32_t *found,
                     struct err *e) {
    *found = 0;
    for (size_t k = 0; k < n && k < f->params->item_features; k++) {
        CHECK(text[k].n > 0 && text[k].n <= MODEL_MAX_FEATURE);
        uint32_t v = item_ids_find(f->ids, text[k]);
        int rc = v == UINT32_MAX ? add_row(f, text[k], &v, e) : 0;
        if (rc == ERR_FULL) {
            atomic_fetch_add_explicit(&f->full, 1, memory_order_relaxed);
            continue;
        }
        if (rc < 0) return rc;
        rows[(*found)++] = v;
    }
    return 0;
}

/* All that can fail: room in the posting lists of new features; the pairs of those that nobody will have. */
static int prepare(struct features *f, const struct feature_list *old, const struct feature_list *list, struct err *e) {
    const size_t each = 2 * (OPS_HEAD + 8), whole = OPS_HEAD + 4 + 4 * (size_t)list->n;
    if (ops_room(f->ops, whole + each * (old ? old->n : 0)) < 0) return feature_no_memory(e);
    for (uint32_t k = 0; k < list->n; k++) {
        uint32_t v = list->feature[k];
        if (find_in(old, v) == UINT32_MAX && feature_reserve(f, v) < 0) return feature_no_memory(e);
    }
    for (uint32_t k = 0; old && k < old->n; k++) {
        uint32_t v = old->feature[k];
        bool last = atomic_load_explicit(&f->rows[v].n, memory_order_relaxed) == 1;
        if (!last || find_in(list, v) != UINT32_MAX) continue;
        int rc = neighbours_erase(f->successions, v, e);
        if (rc < 0) return rc;
    }
    return 0;
}

static void enter(struct features *f, uint32_t item, const struct feature_list *old, struct feature_list *list) {
    for (uint32_t k = 0; k < list->n; k++) {
        uint32_t v = list->feature[k], before = find_in(old, v);
        if (old && before < old->n) {
            feature_places(list)[k] = old->feature[old->n + before];
            continue;
        }
        feature_places(list)[k] = posting_add(&f->postings[v], item);
        feature_set_n(f, v, atomic_load_explicit(&f->rows[v].n, memory_order_relaxed) + 1);
    }
}

/* After the item's own list was replaced: a renewed posting list finds the places of those who stay. */
static void leave(struct features *f, const struct feature_list *old, const struct feature_list *list) {
    for (uint32_t k = 0; old && k < old->n; k++) {
        uint32_t v = old->feature[k], n = atomic_load_explicit(&f->rows[v].n, memory_order_relaxed) - 1;
        if (find_in(list, v) != UINT32_MAX) continue;
        struct move m = {f, v};
        struct posting_owner o = owner_of(&m);
        posting_drop(&f->postings[v], old->feature[old->n + k], &o);
        if (n > 0)
            feature_set_n(f, v, n);
        else
            free_row(f, v);
    }
}

int features_describe(struct features *f, uint32_t item, const struct slice *text, size_t n, bool *any, struct err *e) {
    uint32_t rows[MODEL_MAX_FEATURES], found;
    struct feature_list *old = list_of(f, item);
    int rc = find_rows(f, text, n, rows, &found, e);
    if (rc < 0) return rc;
    *any = found > 0;
    if (found == (old ? old->n : 0) && (!old || memcmp(old->feature, rows, found * sizeof *rows) == 0)) return 0;
    struct feature_list *list = feature_list_new(found);
    if (!list) return feature_no_memory(e);
    memcpy(list->feature, rows, found * sizeof *rows);
    rc = prepare(f, old, list, e);
    if (rc < 0) {
        mem_free(list);
        return rc;
    }
    enter(f, item, old, list);
    atomic_store_explicit(&f->lists[item], found ? list : NULL, memory_order_release);
    leave(f, old, list);
    rc = ops_put_row(f->ops, found ? MODEL_PUT_ITEM_FEATURES : MODEL_DEL_ITEM_FEATURES, item,
                     slice_of((const char *)list->feature, found * sizeof *rows));
    CHECK(rc == 0);
    if (old) epoch_retire(f->epoch, old, sizeof *old + 2 * (size_t)old->n * sizeof *rows, mem_free);
    if (!found) mem_free(list);
    return 0;
}

void features_count(struct features *f, uint32_t item, int64_t t_ms, double log_weight) {
    const struct feature_list *l = list_of(f, item);
    const struct model_params *p = f->params;
    if (!l) return;
    double of_count = (double)t_ms / (double)p->count_half_life_ms + log_weight;
    double of_trend = (double)t_ms / (double)p->trend_half_life_ms[FEATURE_TREND] + log_weight;
    for (uint32_t k = 0; k < l->n; k++) {
        uint32_t v = l->feature[k];
        atomic_store_explicit(&f->brief[v].log_count, decay_add(feature_log_count(f, v), of_count),
                              memory_order_relaxed);
        atomic_store_explicit(&f->rows[v].trend, decay_add(feature_trend(f, v), of_trend), memory_order_relaxed);
        note_highest(f, v);
        touch(f, v);
    }
}
