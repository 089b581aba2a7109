/* Answers while items are erased and their rows are given to others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/model/feature.h"
#include "tests/unit/model_taste.h"

#define EVENTS 3000u

static void same_row_same_id_another_item(void **state) {
    (void)state;
    struct model_params p = taste_params();
    struct model *m = taste_new(&p);
    struct slice a = slice_str("i1"), b = slice_str("new");
    struct item_head head;
    float q[MODEL_MAX_DIM];
    uint32_t row, other;
    taste_learn(m, 0, 200);
    row = items_find(m->items, a);
    uint32_t then = item_generation(m->items, row);
    assert_true(items_still(m->items, row, then, a));
    assert_false(items_still(m->items, row, then, b));
    assert_true(item_read_of(m->items, row, a, &head, q));
    assert_memory_equal(q, item_q(m->items, row), sizeof(float) * p.dim);
    assert_int_equal(model_erase_item(m, a, NULL), 0);
    assert_false(items_still(m->items, row, then, a));
    assert_int_equal(items_add(m->items, b, &other, NULL), 0);
    assert_int_equal(other, row);
    assert_false(items_still(m->items, row, then, a) || items_still(m->items, row, then, b));
    assert_true(items_still(m->items, row, then + 1, b));
    assert_false(item_read_of(m->items, row, a, &head, q)); /* found before, and read after */
    assert_true(item_read_of(m->items, row, b, &head, q));
    assert_int_equal(items_remove(m->items, row, NULL), 0);
    assert_int_equal(items_add(m->items, a, &other, NULL), 0);
    assert_int_equal(other, row);
    assert_false(items_still(m->items, row, then, a));
    model_free(m);
}

static struct swap { /* what the learner does in the middle of an answer */
    struct model *m;
    struct slice gone;
    bool done;
} swap;

static int swap_now(void *arg, enum neighbour_kind kind, uint32_t row, struct buf *out, struct err *e) {
    struct swap *s = arg;
    (void)kind, (void)row, (void)out;
    if (!s->done && s->gone.n) {
        uint32_t was = items_find(s->m->items, s->gone);
        s->done = true;
        assert_int_equal(model_erase_item(s->m, s->gone, NULL), 0);
        struct slice fresh = slice_str("new");
        struct model_event ev = {.place = {.source = 1, .offset = EVENTS},
                                 .user = slice_str("somebody"),
                                 .items = &fresh,
                                 .n_items = 1,
                                 .ts_ms = TASTE_T0 + (int64_t)EVENTS * 60000};
        assert_int_equal(model_learn(s->m, &ev, NULL), 0);
        model_publish(s->m);
        assert_int_equal(items_find(s->m->items, fresh), was);
    }
    return err_set(e, ERR_MISSING, NULL, "no row");
}

/* The row of an item that the user's terms speak of has another item when it is scored. */
static void scores_no_item_by_what_is_known_of_another(void **state) {
    struct recommend_answer a;
    struct recommend *r;
    char id[16];
    (void)state;
    for (int ranked = 0; ranked < 2; ranked++) {
        struct model_params p = taste_params();
        p.max_features = 16;
        p.item_features = p.succession_history = p.succession_features = 1;
        p.feature_scale = 100;
        struct model *m = taste_new(&p);
        swap = (struct swap){.m = m};
        neighbours_set_backing(m->features->successions, 1u << 20, &(struct neighbour_backing){swap_now, &swap});
        taste_learn(m, 0, EVENTS);
        struct slice feature = slice_str("f:x");
        for (unsigned i = 0; i < TASTE_ALL; i++) {
            struct slice item = taste_id(id, 'i', i);
            if (items_find(m->items, item) == ITEM_NONE) continue;
            assert_int_equal(model_set_features(m, item, &feature, 1, NULL), 0);
        }
        model_publish(m);
        assert_int_equal(recommend_new(m, 1, &r, NULL), 0);
        struct recommend_request q = {.user = slice_str("u1"), .k = TASTE_ALL + 1};
        assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
        char gone[16];
        snprintf(gone, sizeof gone, "%.*s", (int)a.hits[0].id.n, a.hits[0].id.p); /* surely by terms */
        recommend_done(r);

        struct slice only[] = {slice_str("new"), slice_str(gone), slice_str("i0")};
        q.only = only;
        q.n_only = 3;
        swap.gone = slice_str(gone);
        if (ranked) {
            q.only = NULL;
            assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
            for (size_t k = 0; k < a.n; k++)
                assert_false(slice_is(a.hits[k].id, "new") || slice_is(a.hits[k].id, gone));
        } else {
            assert_int_equal(recommend_score(r, &q, &a, NULL), 0);
            assert_int_equal(a.n, 3);
            assert_int_equal(a.n_unknown, 2);
            assert_true(isnan(a.hits[0].score) && isnan(a.hits[1].score) && isfinite(a.hits[2].score));
        }
        assert_true(swap.done);
        recommend_done(r);
        recommend_free(r);
        model_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_row_same_id_another_item),
        cmocka_unit_test(scores_no_item_by_what_is_known_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
