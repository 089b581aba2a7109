/* Features of items: rows, posting lists, bounds, what is stored; against a table kept by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/model/feature.h"
#include "lib/model/item_ids.h"
#include "lib/model/model.h"

#define ITEMS 300u
#define TEXTS 40u
#define HOUR  INT64_C(3600000)

static struct model_params params(void) {
    return (struct model_params){.max_items = ITEMS,
                                 .max_features = 30,
                                 .item_features = 8,
                                 .neighbours = 8,
                                 .count_half_life_ms = 24 * HOUR,
                                 .pair_half_life_ms = 24 * HOUR,
                                 .successor_half_life_ms = HOUR,
                                 .lately_half_life_ms = HOUR,
                                 .trend_half_life_ms = {HOUR, 8 * HOUR, 100 * HOUR}};
}

struct world {
    struct model_params params;
    struct epoch *epoch;
    struct buf ops;
    struct features *f;
};

static void open_world(struct world *w) {
    w->params = params();
    w->epoch = epoch_new(1);
    buf_init(&w->ops, 1u << 26);
    assert_int_equal(features_new(&w->params, w->epoch, &w->ops, &w->f, NULL), 0);
}

static void close_world(struct world *w) {
    features_free(w->f);
    epoch_free(w->epoch);
    buf_free(&w->ops);
}

static struct slice text_of(uint32_t number) {
    static char texts[TEXTS][16];
    snprintf(texts[number], sizeof texts[number], "f:%u", number);
    return slice_str(texts[number]);
}

/* Describes with the features whose bits are set; -1 when it failed. */
static int describe(struct world *w, uint32_t item, uint64_t set) {
    struct slice text[TEXTS];
    size_t n = 0;
    bool any = true;
    for (uint32_t k = 0; k < TEXTS; k++)
        if (set >> k & 1) text[n++] = text_of(k);
    int rc = features_describe(w->f, item, text, n, &any, NULL);
    if (rc == 0) assert_int_equal(any, features_of(w->f, item) != NULL);
    return rc;
}

/* The item has exactly these, in this order. */
static void has(struct world *w, uint32_t item, uint64_t set) {
    const struct feature_list *l = features_of(w->f, item);
    uint32_t at = 0;
    for (uint32_t k = 0; k < TEXTS; k++) {
        if (!(set >> k & 1)) continue;
        assert_non_null(l);
        assert_true(at < l->n);
        assert_true(slice_equal(item_ids_of(w->f->ids, l->feature[at++]), text_of(k)));
    }
    assert_int_equal(at, l ? l->n : 0);
}

/* Every posting list names exactly the items that have the feature, each once, where they think they stand. */
static void fits_together(struct world *w) {
    uint32_t known = 0;
    for (uint32_t v = 0; v < w->params.max_features; v++) {
        const struct posting *p = posting_read(&w->f->postings[v]);
        uint32_t listed = 0, having = 0;
        for (uint32_t k = 0; k < posting_places(p); k++) {
            uint32_t item = posting_item(p, k), at = 0;
            if (item == POSTING_HOLE) continue;
            const struct feature_list *l = features_of(w->f, item);
            assert_non_null(l);
            while (at < l->n && l->feature[at] != v) at++;
            assert_true(at < l->n);
            assert_int_equal(l->feature[l->n + at], k);
            listed++;
        }
        for (uint32_t i = 0; i < ITEMS; i++) {
            const struct feature_list *l = features_of(w->f, i);
            for (uint32_t k = 0; l && k < l->n; k++) having += l->feature[k] == v;
        }
        assert_int_equal(listed, having);
        assert_int_equal(w->f->rows[v].n, having);
        assert_int_equal(item_ids_of(w->f->ids, v).n > 0, having > 0);
        if (having) assert_true(feature_log_n(w->f, v) == (float)log2(having));
        known += having > 0;
    }
    assert_int_equal(w->f->n_known, known);
}

static void test_a_description_replaces_the_one_before(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(describe(&w, 3, 0x7), 0);
    assert_int_equal(describe(&w, 4, 0x3), 0);
    has(&w, 3, 0x7);
    fits_together(&w);
    assert_int_equal(describe(&w, 3, 0x12), 0); /* two gone, of which one had this item alone; one stays, one is new */
    has(&w, 3, 0x12);
    has(&w, 4, 0x3);
    assert_int_equal(features_find(w.f, text_of(2)), ITEM_NONE);
    assert_int_equal(features_find(w.f, text_of(4)), 3); /* given a row before that of the other was free */
    assert_int_equal(describe(&w, 3, 0x20), 0);
    assert_int_equal(features_find(w.f, text_of(5)), 2); /* the lowest free row, with another generation */
    assert_int_equal(feature_generation(w.f, 2), 1);
    fits_together(&w);
    assert_int_equal(describe(&w, 3, 0), 0);
    assert_int_equal(describe(&w, 4, 0), 0);
    assert_int_equal(w.f->n_known, 0);
    fits_together(&w);
    close_world(&w);
}

static void test_the_same_again_changes_nothing(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(describe(&w, 3, 0x7), 0);
    size_t before = w.ops.n;
    const struct feature_list *list = features_of(w.f, 3);
    assert_int_equal(describe(&w, 3, 0x7), 0);
    assert_int_equal(w.ops.n, before);
    assert_ptr_equal(features_of(w.f, 3), list);
    close_world(&w);
}

static void test_bounds_leave_out_and_count(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(describe(&w, 0, 0xfff), 0); /* the first 8 of 12 */
    has(&w, 0, 0xff);
    for (uint32_t i = 1; i < 4; i++) assert_int_equal(describe(&w, i, UINT64_C(0xff) << 8 * i), 0);
    has(&w, 3, UINT64_C(0x3f) << 24); /* 30 in all */
    assert_int_equal(w.f->full, 2);
    assert_int_equal(describe(&w, 0, 0), 0);
    assert_int_equal(describe(&w, 3, UINT64_C(0xff) << 24), 0); /* room again */
    has(&w, 3, UINT64_C(0xff) << 24);
    assert_int_equal(w.f->full, 2);
    fits_together(&w);
    close_world(&w);
}

static uint64_t some(uint64_t seed) {
    uint64_t bits = draw_bits(11, seed);
    return (bits & draw_bits(12, seed) & draw_bits(13, seed)) & ((UINT64_C(1) << 30) - 1);
}

static void test_many_changes_fit_together(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    for (uint64_t n = 0; n < 6000; n++) {
        uint32_t item = (uint32_t)(draw_bits(10, n) % ITEMS);
        assert_int_equal(describe(&w, item, draw_bits(14, n) & 3 ? some(n) | (draw_bits(16, n) & 1) : 0), 0);
        if (n % 100 == 0) fits_together(&w);
        if (n % 64 == 0) epoch_reclaim(w.epoch);
    }
    fits_together(&w);
    close_world(&w);
}

/* Whatever request for memory fails, trying again ends as if it had not. */
static void test_refused_memory_changes_nothing_in_the_end(void **state) {
    (void)state;
    struct world calm, shaken;
    unsigned failures = 0;
    open_world(&calm);
    open_world(&shaken);
    for (uint64_t n = 0; n < 400; n++) {
        uint32_t item = (uint32_t)(draw_bits(10, n) % 40);
        uint64_t set = draw_bits(14, n) & 3 ? some(n) : 0;
        assert_int_equal(describe(&calm, item, set), 0);
        for (uint64_t nth = 1; nth <= 12; nth++) {
            mem_fail_at(nth);
            failures += describe(&shaken, item, set) < 0;
            mem_fail_at(0);
        }
        assert_int_equal(describe(&shaken, item, set), 0);
        fits_together(&shaken);
    }
    assert_true(failures > 100);
    for (uint32_t v = 0; v < 30; v++) {
        assert_true(slice_equal(item_ids_of(calm.f->ids, v), item_ids_of(shaken.f->ids, v)));
        assert_int_equal(feature_generation(calm.f, v), feature_generation(shaken.f, v));
    }
    close_world(&calm);
    close_world(&shaken);
}

static void test_counts_decay(void **state) {
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(describe(&w, 1, 0x3), 0);
    assert_int_equal(describe(&w, 2, 0x2), 0);
    features_count(w.f, 1, 0, 0);
    features_count(w.f, 2, 8 * HOUR, 0);
    features_count(w.f, 3, 8 * HOUR, 0); /* has none */
    double trend = log2(exp2(0) + exp2(1)), count = log2(exp2(0) + exp2(8.0 / 24));
    assert_true(feature_trend(w.f, 0) == 0 && feature_log_count(w.f, 0) == 0);
    assert_true(fabs(feature_trend(w.f, 1) - trend) < 1e-12);
    assert_true(fabs(feature_log_count(w.f, 1) - count) < 1e-12);
    assert_true(atomic_load(&w.f->highest) >= 0);
    features_count(w.f, 1, 8 * HOUR, 2); /* as four events */
    assert_true(fabs(feature_trend(w.f, 0) - log2(1 + 4 * 2)) < 1e-12);
    close_world(&w);
}

/* What ops and blocks say, loaded into another table, is the same table. */
static void reload(struct world *from, struct world *to) {
    struct slice rest = slice_of(from->ops.p, from->ops.n), key, value;
    enum model_op op;
    struct buf rows[64] = {{0}}, lists[ITEMS] = {{0}}, block;
    for (size_t k = 0; k < 64; k++) buf_init(&rows[k], 1024);
    for (size_t k = 0; k < ITEMS; k++) buf_init(&lists[k], 1024);
    while (model_ops_next(&rest, &op, &key, &value)) {
        uint32_t row = 0;
        for (size_t k = 0; k < 4; k++) row = row << 8 | (uint8_t)key.p[k];
        struct buf *at = op == MODEL_PUT_FEATURE ? &rows[row] : &lists[row];
        if (op == MODEL_DEL_SUCCESSION) continue;
        buf_clear(at);
        buf_add_slice(at, value);
    }
    for (uint32_t v = 0; v < 64; v++)
        if (rows[v].n) assert_int_equal(features_load_row(to->f, v, slice_of(rows[v].p, rows[v].n), NULL), 0);
    buf_init(&block, 1u << 20);
    for (uint32_t b = 0; b < features_blocks(from->f); b++) {
        buf_clear(&block);
        assert_true(features_take(from->f, b, &block));
        assert_false(features_take(from->f, b, &block));
        assert_int_equal(features_load_block(to->f, b, slice_of(block.p, block.n), NULL), 0);
    }
    for (uint32_t i = 0; i < ITEMS; i++)
        if (lists[i].n) assert_int_equal(features_load_list(to->f, i, slice_of(lists[i].p, lists[i].n), NULL), 0);
    buf_free(&block);
    for (size_t k = 0; k < 64; k++) buf_free(&rows[k]);
    for (size_t k = 0; k < ITEMS; k++) buf_free(&lists[k]);
}

static void test_what_is_stored_comes_back(void **state) {
    (void)state;
    struct world w, loaded;
    open_world(&w);
    open_world(&loaded);
    for (uint64_t n = 0; n < 500; n++) {
        assert_int_equal(describe(&w, (uint32_t)(draw_bits(10, n) % ITEMS), some(n)), 0);
        features_count(w.f, (uint32_t)(draw_bits(15, n) % ITEMS), (int64_t)n * HOUR, 0);
    }
    reload(&w, &loaded);
    unsigned char head[64 * ITEMS] = {0};
    struct items t = {.stride = 64, .rows = head, .n_rows = ITEMS};
    struct err e;
    for (uint32_t i = 0; i < ITEMS; i++) item_head(&t, i)->known = features_of(w.f, i) ? 3 : 1;
    item_head(&t, 5)->known ^= ITEM_DESCRIBED;
    assert_int_equal(features_load_end(loaded.f, &t, &e), ERR_CORRUPT);
    item_head(&t, 5)->known ^= ITEM_DESCRIBED;
    assert_int_equal(features_load_end(loaded.f, &t, &e), 0);
    fits_together(&loaded);
    assert_int_equal(loaded.f->n_known, w.f->n_known);
    for (uint32_t v = 0; v < 30; v++) {
        assert_true(slice_equal(item_ids_of(w.f->ids, v), item_ids_of(loaded.f->ids, v)));
        assert_int_equal(feature_generation(w.f, v), feature_generation(loaded.f, v));
        assert_true(feature_trend(w.f, v) == feature_trend(loaded.f, v));
        assert_true(feature_log_count(w.f, v) == feature_log_count(loaded.f, v));
    }
    close_world(&w);
    close_world(&loaded);
}

static void test_damage_is_told(void **state) {
    (void)state;
    struct world w;
    struct err e;
    open_world(&w);
    assert_int_equal(features_load_row(w.f, 0, slice_of("\0\0\0\0a", 5), NULL), 0);
    assert_int_equal(features_load_row(w.f, 2, slice_of("\0\0\0\0a", 5), &e), ERR_CORRUPT); /* a gap */
    assert_int_equal(features_load_row(w.f, 1, slice_of("\0\0\0", 3), &e), ERR_CORRUPT);
    assert_int_equal(features_load_row(w.f, 30, slice_of("\0\0\0\0a", 5), &e), ERR_FULL);
    assert_int_equal(features_load_block(w.f, 0, slice_of("0123456789abcdef0123456789abcdef", 32), &e), ERR_CORRUPT);
    assert_int_equal(features_load_block(w.f, 0, slice_of("0123456789", 10), &e), ERR_CORRUPT);
    assert_int_equal(features_load_list(w.f, 0, slice_of("\1\0\0\0", 4), &e), ERR_CORRUPT); /* no such feature */
    assert_int_equal(features_load_row(w.f, 1, slice_of("\0\0\0\0", 4), NULL), 0);
    assert_int_equal(features_load_list(w.f, 0, slice_of("\1\0\0\0", 4), &e), ERR_CORRUPT); /* none any more */
    assert_int_equal(features_load_list(w.f, 0, slice_of("", 0), &e), ERR_CORRUPT);
    assert_int_equal(features_load_list(w.f, ITEMS, slice_of("\0\0\0\0", 4), &e), ERR_CORRUPT);
    assert_int_equal(features_load_list(w.f, 0, slice_of("\0\0\0\0", 4), &e), 0);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_description_replaces_the_one_before),
        cmocka_unit_test(test_the_same_again_changes_nothing),
        cmocka_unit_test(test_bounds_leave_out_and_count),
        cmocka_unit_test(test_many_changes_fit_together),
        cmocka_unit_test(test_refused_memory_changes_nothing_in_the_end),
        cmocka_unit_test(test_counts_decay),
        cmocka_unit_test(test_what_is_stored_comes_back),
        cmocka_unit_test(test_damage_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
