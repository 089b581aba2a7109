/* Learning: the same bits whatever the kernel, the cache and the moments of publishing; time, weights, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/model/negatives.h"
#include "tests/unit/model_shop.h"

#define EVENTS 4000

struct run {
    const char *kernel;
    uint64_t cache;
    unsigned publish_every, checkpoint_every; /* 0 = never */
    enum { NO_HINTS, HINTS, WRONG_HINTS } hints;
};

/* Wrong ones name events that do not come, out of step, or none. */
static void hint(struct model *m, uint64_t n, int kind) {
    struct shop_event s;
    shop_event(m, kind == HINTS ? n + MODEL_AHEAD : draw_bits(1, n) % (2 * EVENTS), &s);
    if (kind == HINTS || n % 3 == 0) model_expect(m, &s.event);
    if (kind == WRONG_HINTS && n % 5 == 0) model_expect(m, NULL);
}

static uint64_t learn_all(const struct run *run, unsigned *reads) {
    struct model_params p = shop_params();
    static struct shop_backing b;
    memset(&b, 0, sizeof b);
    struct user_backing backing = {shop_get, &b};
    struct model *m;
    struct err e;
    assert_int_equal(model_new(&p, kernel_pick(run->kernel), run->cache, &backing, 1, &m, &e), 0);
    for (uint64_t n = 0; n < EVENTS; n++) {
        if (run->hints) hint(m, n, (int)run->hints);
        int rc = shop_learn(m, n, &e);
        bool full = rc == ERR_FULL;
        if (full || (run->publish_every && n % run->publish_every == 0)) model_publish(m);
        if (full || (run->checkpoint_every && n % run->checkpoint_every == 0)) {
            uint64_t count;
            model_publish(m);
            struct user_list *l = users_checkpoint_begin(m->users, &count);
            shop_store_users(m, &b, l);
            users_checkpoint_end(m->users, l, n % 3 != 0 || full); /* some fail */
        }
        if (full) rc = shop_learn(m, n, &e);
        assert_int_equal(rc, 0);
    }
    model_publish(m);
    uint64_t h = shop_hash(m);
    *reads = b.reads;
    model_free(m);
    shop_free(&b);
    return h;
}

static void test_same_bits(void **state) {
    (void)state;
    unsigned reads;
    struct run base = {"portable", 64u << 20, 1, 0, NO_HINTS};
    uint64_t expected = learn_all(&base, &reads);
    const struct run others[] = {{"portable", 64u << 20, 100, 7, HINTS},
                                 {"portable", 16u << 10, 3, 0, WRONG_HINTS}, /* a cache of some 40 users: one in 8 */
                                 {"auto", 64u << 20, 1, 50, NO_HINTS},
                                 {"auto", 20u << 10, 17, 11, HINTS}};
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        uint64_t h = learn_all(&others[k], &reads);
        assert_true(h == expected);
        if (others[k].cache < 1u << 20) assert_true(reads > 1000); /* the small cache was really missed */
    }
    struct run avx2 = {"avx2", 64u << 20, 5, 0, WRONG_HINTS};
    if (kernel_pick("avx2")) assert_true(learn_all(&avx2, &reads) == expected);
}

static struct model *new_model(struct model_params *p) {
    struct user_backing none = {NULL, NULL};
    struct model *m;
    struct err e;
    assert_int_equal(model_new(p, kernel_pick("portable"), 64u << 20, &none, 1, &m, &e), 0);
    return m;
}

static int learn_one(struct model *m, const char *user, const char *item, uint32_t type, int64_t t, struct err *e) {
    static uint64_t offset;
    struct slice id = slice_str(item);
    struct model_event ev = {
        .place = {.offset = offset++}, .type = type, .user = slice_str(user), .items = &id, .n_items = 1, .ts_ms = t};
    return model_learn(m, &ev, e);
}

static void test_seed_and_order_matter(void **state) {
    (void)state;
    uint64_t h[3];
    for (int k = 0; k < 3; k++) {
        struct model_params p = shop_params();
        p.seed += k == 1;
        struct model *m = new_model(&p);
        struct err e;
        for (uint64_t n = 0; n < 200; n++) assert_int_equal(shop_learn(m, k == 2 ? 199 - n : n, &e), 0);
        model_publish(m);
        h[k] = shop_hash(m);
        model_free(m);
    }
    assert_true(h[0] != h[1] && h[0] != h[2]);
}

static void test_clock_guards(void **state) {
    (void)state;
    struct model_params p = shop_params();
    struct model *m = new_model(&p);
    const int64_t t = 1700000000000, day = 86400000;
    assert_int_equal(model_event_time(m, t, INT64_MIN), t); /* the first one sets the clock */
    model_move_clock(m, t);
    assert_int_equal(model_event_time(m, t + day, INT64_MIN), t + day);
    assert_int_equal(model_event_time(m, t + day + 1, INT64_MIN), t + day);          /* one step at most */
    assert_int_equal(model_event_time(m, t + 10 * day, t + 10 * day), t + 10 * day); /* a trusted arrival may be any */
    assert_int_equal(model_event_time(m, t + 300001, t), t); /* ahead of it: learned at arrival */
    assert_int_equal(model_event_time(m, t + 300000, t), t + 300000);
    assert_int_equal(model_event_time(m, t - 50 * day, INT64_MIN), t - 50 * day); /* late ones keep their time */
    model_move_clock(m, t - day);
    assert_int_equal(m->clock_ms, t);
    model_free(m);
}

static void test_pair_learns_once_and_upgrades(void **state) {
    (void)state;
    struct model_params p = shop_params();
    struct model *m = new_model(&p);
    struct err e;
    const int64_t t = 1700000000000;
    for (int k = 0; k < 20; k++) {
        char item[8];
        snprintf(item, sizeof item, "i%d", k);
        assert_int_equal(learn_one(m, "other", item, 0, t, &e), 0);
    }
    uint64_t before = m->stats.pairs;
    assert_int_equal(learn_one(m, "ann", "i3", 0, t, &e), 0);
    assert_int_equal(m->stats.pairs, before + 1);
    assert_int_equal(learn_one(m, "ann", "i3", 0, t, &e), 0); /* a repeat does not train */
    assert_int_equal(m->stats.pairs, before + 1);
    assert_int_equal(learn_one(m, "ann", "i3", 1, t, &e), 0); /* a heavier type does */
    assert_int_equal(m->stats.pairs, before + 2);
    assert_int_equal(learn_one(m, "ann", "i3", 0, t, &e), 0);
    assert_int_equal(m->stats.pairs, before + 2);
    assert_int_equal(learn_one(m, "ann", "i4", 0, t, &e), 0);
    assert_int_equal(learn_one(m, "ann", "i3", 0, t + 5, &e), 0); /* used again: moves to the newest place */
    model_publish(m);
    const struct user_row *r = users_find(m->users, slice_str("ann"));
    assert_non_null(r);
    assert_int_equal(r->n, 2);
    const struct user_entry *entries = user_entries(r, p.dim);
    assert_int_equal(entries[1].row, items_find(m->items, slice_str("i3")));
    assert_int_equal(entries[1].count, 5);
    assert_int_equal(entries[1].types, 3);
    assert_int_equal(entries[1].time_ms, t + 5);
    model_free(m);
}

static void test_items_full_is_refused_whole(void **state) {
    (void)state;
    struct model_params p = shop_params();
    p.max_items = 16;
    struct model *m = new_model(&p);
    struct err e;
    char item[8];
    for (int k = 0; k < 15; k++) {
        snprintf(item, sizeof item, "i%d", k);
        assert_int_equal(learn_one(m, "u1", item, 0, 1700000000000, &e), 0);
    }
    model_publish(m);
    uint64_t before = shop_hash(m);
    struct slice two[2] = {slice_str("new1"), slice_str("new2")};
    struct model_event ev = {.user = slice_str("u2"), .items = two, .n_items = 2, .ts_ms = 1700000000000};
    assert_int_equal(model_learn(m, &ev, &e), ERR_FULL);
    assert_string_equal(e.field, "items");
    model_publish(m);
    assert_true(shop_hash(m) == before);
    assert_null(users_find(m->users, slice_str("u2")));
    assert_int_equal(learn_one(m, "u2", "new1", 0, 1700000000000, &e), 0);
    model_free(m);
}

static void test_non_finite_rows_are_refused(void **state) {
    (void)state;
    struct model_params p = shop_params();
    p.step = 3e38f;
    p.under_root = 1e-30f;
    p.clip = 1e30f;
    struct model *m = new_model(&p);
    struct err e;
    for (uint64_t n = 0; n < 300; n++) assert_int_equal(shop_learn(m, n, &e), 0);
    assert_true(m->stats.refused > 0);
    for (uint32_t r = 0; r < m->items->n_rows; r++)
        for (uint32_t k = 0; k < 2 * p.dim; k++) assert_true(item_q(m->items, r)[k] - item_q(m->items, r)[k] == 0);
    model_free(m);
}

static void test_erased_item_leaves_no_trace_for_its_successor(void **state) {
    (void)state;
    struct model_params p = shop_params();
    struct model *m = new_model(&p);
    struct err e;
    const int64_t t = 1700000000000;
    for (uint64_t n = 0; n < 300; n++) assert_int_equal(shop_learn(m, n, &e), 0);
    assert_int_equal(learn_one(m, "ann", "gone", 0, t, &e), 0);
    uint32_t row = items_find(m->items, slice_str("gone"));
    assert_int_equal(model_erase_item(m, slice_str("gone"), &e), 0);
    assert_int_equal(items_find(m->items, slice_str("gone")), ITEM_NONE);
    assert_int_equal(m->recent->often[row], 0);
    assert_int_equal(learn_one(m, "bob", "heir", 0, t, &e), 0); /* takes the row */
    assert_int_equal(items_find(m->items, slice_str("heir")), row);
    model_publish(m);
    const struct user_row *r = users_find(m->users, slice_str("ann"));
    assert_int_equal(user_entries(r, p.dim)[0].row, row);
    assert_int_not_equal(user_entries(r, p.dim)[0].generation, item_head(m->items, row)->generation);
    uint64_t before = m->stats.pairs;
    assert_int_equal(learn_one(m, "ann", "heir", 0, t, &e), 0); /* new to her */
    assert_int_equal(m->stats.pairs, before + 1);
    model_free(m);
}

static void test_erased_user_is_nobody(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    memset(&b, 0, sizeof b);
    struct user_backing backing = {shop_get, &b};
    struct model *m;
    struct err e;
    assert_int_equal(model_new(&p, kernel_pick("portable"), 64u << 20, &backing, 1, &m, &e), 0);
    for (uint64_t n = 0; n < 500; n++) assert_int_equal(shop_learn(m, n, &e), 0);
    assert_int_equal(learn_one(m, "u5", "i2", 0, 1700000000000, &e), 0);
    model_publish(m);
    uint64_t count;
    struct user_list *l = users_checkpoint_begin(m->users, &count);
    shop_store_users(m, &b, l);
    users_checkpoint_end(m->users, l, true);
    assert_true(b.rows[5].stored);
    assert_int_equal(model_erase_user(m, slice_str("u5"), &e), 0);
    model_publish(m);
    assert_true(users_find(m->users, slice_str("u5"))->erased);
    l = users_checkpoint_begin(m->users, &count);
    shop_store_users(m, &b, l);
    users_checkpoint_end(m->users, l, true);
    assert_false(b.rows[5].stored);
    assert_int_equal(learn_one(m, "u5", "i1", 0, 1700000000000, &e), 0); /* comes back as somebody new */
    model_publish(m);
    assert_int_equal(users_find(m->users, slice_str("u5"))->n, 1);
    model_free(m);
    shop_free(&b);
}

static void test_expired_items_are_no_negatives(void **state) {
    (void)state;
    struct model_params p = shop_params();
    struct model *m = new_model(&p);
    struct err e;
    const int64_t t = 1700000000000;
    for (int k = 0; k < 30; k++) {
        char item[8];
        snprintf(item, sizeof item, "i%d", k);
        assert_int_equal(learn_one(m, "other", item, 0, t, &e), 0);
        if (k > 0) assert_int_equal(model_describe_item(m, slice_str(item), -1, t + 1000, slice_str("{}"), &e), 0);
    }
    uint64_t before = m->stats.steps;
    assert_int_equal(learn_one(m, "ann", "i0", 0, t + 500, &e), 0);
    assert_true(m->stats.steps > before);
    before = m->stats.steps;
    assert_int_equal(learn_one(m, "bob", "i0", 0, t + 1000, &e), 0); /* all others have expired */
    assert_int_equal(m->stats.steps, before);
    assert_int_equal(model_describe_item(m, slice_str("i7"), -1, -1, slice_str("{}"), &e), 0); /* one never does */
    assert_int_equal(learn_one(m, "cat", "i0", 0, t + 1000, &e), 0);
    assert_true(m->stats.steps > before);
    model_free(m);
}

static void test_memory_refused_ends_the_same(void **state) {
    (void)state;
    uint64_t expected = 0;
    for (uint64_t fail = 0; fail < 40; fail++) {
        struct model_params p = shop_params();
        struct model *m = new_model(&p);
        struct err e;
        for (uint64_t n = 0; n < 120; n++) {
            if (fail && n == 60) mem_fail_at(fail);
            int rc;
            while ((rc = shop_learn(m, n, &e)) == ERR_NOMEM) continue;
            assert_int_equal(rc, 0);
        }
        mem_fail_at(0);
        model_publish(m);
        uint64_t h = shop_hash(m);
        if (fail == 0) expected = h;
        assert_true(h == expected);
        model_free(m);
    }
}

/* What the hints are made of: of a user without items every first try is a negative. */
static void test_first_tries_are_foretold(void **state) {
    (void)state;
    struct model_params p = shop_params();
    struct model *m = new_model(&p);
    struct err e;
    char id[16];
    for (unsigned k = 0; k < 300; k++) {
        uint32_t row;
        snprintf(id, sizeof id, "i%u", k);
        assert_int_equal(items_add(m->items, slice_str(id), &row, &e), 0);
        items_set_live(m->items, row, true);
        if (k % 3 == 0) recent_add(m->recent, row);
    }
    struct slice item = slice_str("i17");
    struct model_event ev = {.place = {.source = 3, .offset = 12},
                             .user = slice_str("nobody yet"),
                             .items = &item,
                             .n_items = 1,
                             .ts_ms = 1700000000000};
    const uint32_t *places[MODEL_MAX_NEGATIVES];
    uint32_t rows[MODEL_MAX_NEGATIVES], n = negatives_places(m, draw_key(p.seed, &ev.place, DRAW_NEGATIVES), places);
    assert_int_equal(n, p.negatives);
    for (uint32_t k = 0; k < n; k++) rows[k] = *places[k];
    assert_int_equal(model_learn(m, &ev, &e), 0);
    for (uint32_t r = 0; r < 300; r++) {
        bool foretold = r == items_find(m->items, item);
        for (uint32_t k = 0; k < n; k++) foretold = foretold || rows[k] == r;
        assert_int_equal(item_head(m->items, r)->q_sum > 0, foretold);
    }
    model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_seed_and_order_matter),
        cmocka_unit_test(test_clock_guards),
        cmocka_unit_test(test_pair_learns_once_and_upgrades),
        cmocka_unit_test(test_items_full_is_refused_whole),
        cmocka_unit_test(test_non_finite_rows_are_refused),
        cmocka_unit_test(test_erased_item_leaves_no_trace_for_its_successor),
        cmocka_unit_test(test_erased_user_is_nobody),
        cmocka_unit_test(test_expired_items_are_no_negatives),
        cmocka_unit_test(test_memory_refused_ends_the_same),
        cmocka_unit_test(test_first_tries_are_foretold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
