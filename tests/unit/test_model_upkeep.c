/* What a model keeps in order: erasures within a batch, limits that were changed, checkpoints that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/model/dedup.h"
#include "lib/model/user_priv.h"
#include "tests/unit/model_shop.h"

#define T0 1700000000000

static struct model *new_model(const struct model_params *p, struct shop_backing *b) {
    struct user_backing backing = {shop_get, b};
    struct model *m;
    struct err e;
    assert_int_equal(model_new(p, kernel_pick("portable"), 64u << 20, &backing, 1, &m, &e), 0);
    return m;
}

static void learn(struct model *m, unsigned user, unsigned item, uint64_t offset) {
    char u[16], i[16];
    struct err e;
    snprintf(u, sizeof u, "u%u", user);
    snprintf(i, sizeof i, "i%u", item);
    struct slice id = slice_str(i);
    struct model_event ev = {.place = {.source = 1, .offset = offset},
                             .user = slice_str(u),
                             .items = &id,
                             .n_items = 1,
                             .ts_ms = T0 + (int64_t)offset};
    assert_int_equal(model_learn(m, &ev, &e), 0);
}

static void test_erased_user_comes_back_within_a_batch(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    uint64_t hash[2];
    struct err e;
    for (int published = 0; published < 2; published++) {
        memset(&b, 0, sizeof b);
        struct model *m = new_model(&p, &b);
        for (uint64_t n = 0; n < 100; n++) assert_int_equal(shop_learn(m, n, &e), 0);
        learn(m, 5, 1, 100);
        if (published) model_publish(m);
        assert_int_equal(model_erase_user(m, slice_str("u5"), &e), 0);
        if (published) model_publish(m);
        learn(m, 5, 2, 101);
        model_publish(m);
        const struct user_row *r = users_find(m->users, slice_str("u5"));
        assert_non_null(r);
        assert_false(r->erased);
        assert_int_equal(r->n, 1);
        hash[published] = shop_hash(m);
        model_free(m);
    }
    assert_true(hash[0] == hash[1]);
}

/* The newest stay when the limit was made smaller. */
static void test_fewer_user_items_than_before(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    memset(&b, 0, sizeof b);
    struct model *m = new_model(&p, &b);
    for (unsigned n = 0; n < 24; n++) learn(m, 5, n, n);
    model_publish(m);
    uint64_t count;
    struct user_list *l = users_checkpoint_begin(m->users, &count);
    shop_store_users(m, &b, l);
    users_checkpoint_end(m->users, l, true);
    model_free(m);

    p.user_items = 4;
    m = new_model(&p, &b);
    for (unsigned n = 0; n < 100; n++) learn(m, 5, 100 + n, n);
    model_publish(m);
    const struct user_row *r = users_find(m->users, slice_str("u5"));
    assert_int_equal(r->n, 4);
    for (unsigned k = 0; k < 4; k++)
        assert_int_equal(user_entries(r, p.dim)[k].row, items_find(m->items, slice_str("i196")) + k);
    model_free(m);
    shop_free(&b);
}

/* Each changed user is listed once, however many checkpoints fail, and those touched meanwhile have their room. */
static void test_failed_checkpoints_list_users_once(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    memset(&b, 0, sizeof b);
    struct model *m = new_model(&p, &b);
    uint64_t n = 0, count = 0, bytes = 0;
    for (unsigned tries = 0; tries < 20; tries++) {
        for (unsigned u = 0; u < SHOP_USERS; u++) learn(m, u, 1, n++);
        model_publish(m);
        struct user_list *l = users_checkpoint_begin(m->users, &count);
        assert_int_equal(count, SHOP_USERS);
        for (unsigned u = 0; u < SHOP_USERS; u += 2) learn(m, u, 1, n++); /* not published yet */
        users_checkpoint_end(m->users, l, false);
        model_publish(m);
        uint64_t now = users_stats(m->users)->dirty_bytes;
        if (tries < 2) bytes = now; /* a new row has less to spare */
        assert_int_equal(users_stats(m->users)->dirty, SHOP_USERS);
        assert_int_equal(now, bytes);
    }
    struct user_list *l = users_checkpoint_begin(m->users, &count);
    shop_store_users(m, &b, l);
    users_checkpoint_end(m->users, l, true);
    model_publish(m);
    assert_int_equal(users_stats(m->users)->dirty_bytes, 0);
    model_free(m);
    shop_free(&b);
}

/* Versions kept for a checkpoint go once it has read them all, not only when it is durable; if it fails then, the newer
 * ones go with the next. */
static void test_versions_go_once_they_were_read(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    memset(&b, 0, sizeof b);
    struct model *m = new_model(&p, &b);
    uint64_t n = 0, count;
    for (int round = 0; round < 4; round++) {
        for (unsigned u = 0; u < SHOP_USERS; u++) learn(m, u, 1, n++);
        model_publish(m);
        struct user_list *l = users_checkpoint_begin(m->users, &count);
        for (unsigned u = 0; u < SHOP_USERS; u++) learn(m, u, 2, n++);
        model_publish(m);
        assert_int_equal(m->users->n_superseded, SHOP_USERS);
        shop_store_users(m, &b, l);
        for (unsigned u = 0; u < SHOP_USERS; u += 3) learn(m, u, 3, n++);
        model_publish(m);
        assert_int_equal(m->users->n_superseded, 0);
        for (unsigned u = 0; u < SHOP_USERS; u += 2) learn(m, u, 4, n++);
        model_publish(m);
        assert_int_equal(m->users->n_superseded, 0);
        users_checkpoint_end(m->users, l, round % 2);
    }
    struct user_list *l = users_checkpoint_begin(m->users, &count);
    assert_int_equal(count, SHOP_USERS);
    shop_store_users(m, &b, l);
    users_checkpoint_end(m->users, l, true);
    for (unsigned u = 0; u < SHOP_USERS; u++) { /* what was stored is the newest */
        char id[16];
        struct user_row *stored;
        struct err e;
        snprintf(id, sizeof id, "u%u", u);
        assert_int_equal(users_load(m->users, slice_str(id), &stored, &e), 0);
        assert_int_equal(stored->last_ms, users_find(m->users, slice_str(id))->last_ms);
        mem_free(stored);
    }
    model_free(m);
    shop_free(&b);
}

/* Users that only come back grow their rows: that has a bound too, and a checkpoint lets them go on. */
static void test_returning_users_are_bounded(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    memset(&b, 0, sizeof b);
    struct user_backing backing = {shop_get, &b};
    const uint64_t bound = 64u << 10;
    struct model *m;
    struct err e;
    bool waited = false;
    assert_int_equal(model_new(&p, kernel_pick("portable"), bound, &backing, 1, &m, &e), 0);
    for (uint64_t n = 0; n < 4000; n++) {
        char u[16], i[16];
        snprintf(u, sizeof u, "u%u", (unsigned)(n % 150));
        snprintf(i, sizeof i, "i%u", (unsigned)(n / 150));
        struct slice id = slice_str(i);
        struct model_event ev = {.place = {.source = 1, .offset = n},
                                 .user = slice_str(u),
                                 .items = &id,
                                 .n_items = 1,
                                 .ts_ms = T0 + (int64_t)n};
        int rc = model_learn(m, &ev, &e);
        model_publish(m);
        assert_true(users_stats(m->users)->cached_bytes < bound + bound / 4 + 4096);
        if (rc == 0) continue;
        assert_int_equal(rc, ERR_FULL);
        waited = true;
        uint64_t count;
        struct user_list *l = users_checkpoint_begin(m->users, &count);
        shop_store_users(m, &b, l);
        users_checkpoint_end(m->users, l, true);
        assert_int_equal(model_learn(m, &ev, &e), 0);
        model_publish(m);
    }
    assert_true(waited);
    model_free(m);
    shop_free(&b);
}

/* Nor do the versions that a checkpoint holds on to come on top of the bound, however long it takes. */
static void test_versions_for_a_checkpoint_are_bounded(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    memset(&b, 0, sizeof b);
    struct user_backing backing = {shop_get, &b};
    const uint64_t bound = 64u << 10;
    struct model *m;
    struct err e;
    struct user_list *l = NULL;
    uint64_t count;
    unsigned waits = 0;
    assert_int_equal(model_new(&p, kernel_pick("portable"), bound, &backing, 1, &m, &e), 0);
    for (uint64_t n = 0; n < 4000; n++) {
        char u[16], i[16];
        snprintf(u, sizeof u, "u%u", (unsigned)(n % 150));
        snprintf(i, sizeof i, "i%u", (unsigned)(n / 150));
        struct slice id = slice_str(i);
        struct model_event ev = {.place = {.source = 1, .offset = n},
                                 .user = slice_str(u),
                                 .items = &id,
                                 .n_items = 1,
                                 .ts_ms = T0 + (int64_t)n};
        const struct users_stats *s = users_stats(m->users);
        int rc = model_learn(m, &ev, &e);
        model_publish(m);
        assert_true(s->cached_bytes + s->superseded_bytes < bound + bound / 4 + 4096);
        if (rc < 0) {
            assert_int_equal(rc, ERR_FULL);
            waits++;
            if (!l) l = users_checkpoint_begin(m->users, &count);
            shop_store_users(m, &b, l);
            users_checkpoint_end(m->users, l, true);
            model_publish(m);
            assert_int_equal(s->superseded_bytes, 0);
            assert_int_equal(model_learn(m, &ev, &e), 0);
            model_publish(m);
            l = NULL;
        }
        if (!l && n % 100 == 99) l = users_checkpoint_begin(m->users, &count);
    }
    assert_true(waits > 0);
    if (l) users_checkpoint_end(m->users, l, false);
    model_free(m);
    shop_free(&b);
}

/* Whoever readers bring into a small cache, and whenever: what is learned is the same. */
static void test_admitted_users_change_no_bit(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    struct user_backing backing = {shop_get, &b};
    uint64_t hash[2], admitted = 0;
    struct err e;
    for (int asked = 0; asked < 2; asked++) {
        struct model *m;
        memset(&b, 0, sizeof b);
        assert_int_equal(model_new(&p, kernel_pick("portable"), 32u << 10, &backing, 1, &m, &e), 0);
        for (uint64_t n = 0, count; n < 5000; n++) {
            char id[16];
            if (n % 20 == 0) {
                model_publish(m);
                struct user_list *l = users_checkpoint_begin(m->users, &count);
                shop_store_users(m, &b, l);
                users_checkpoint_end(m->users, l, true);
            }
            snprintf(id, sizeof id, "u%u", (unsigned)(draw_bits(5, n) % SHOP_USERS));
            if (asked) users_want(m->users, slice_str(id));
            if (n % 30 == 0) assert_int_equal(model_erase_user(m, slice_str(id), &e), 0);
            assert_int_equal(shop_learn(m, n, &e), 0);
            model_publish(m);
            snprintf(id, sizeof id, "u%u", (unsigned)(draw_bits(6, n) % SHOP_USERS));
            if (asked) users_want(m->users, slice_str(id));
            model_admit(m, 1);
            assert_int_equal(epoch_pending_bytes(m->epoch), 0); /* nor is anything kept while nothing is learned */
        }
        hash[asked] = shop_hash(m);
        admitted = users_stats(m->users)->admitted;
        model_free(m);
        shop_free(&b);
    }
    assert_true(admitted > 1000);
    assert_true(hash[0] == hash[1]);
}

/* The erased item stands in the history of a user who goes on: its row is nobody's and trains no more. */
static void test_erased_item_acts_no_more(void **state) {
    (void)state;
    struct model_params p = shop_params();
    static struct shop_backing b;
    memset(&b, 0, sizeof b);
    struct model *m = new_model(&p, &b);
    struct err e;
    for (uint64_t n = 0; n < 100; n++) assert_int_equal(shop_learn(m, n, &e), 0);
    for (unsigned u = 0; u < SHOP_USERS; u++) learn(m, u, 400, 100 + u);
    uint32_t row = items_find(m->items, slice_str("i400"));
    assert_int_equal(model_erase_item(m, slice_str("i400"), &e), 0);
    for (unsigned u = 0; u < SHOP_USERS; u++) learn(m, u, 3, 1000 + u);
    for (uint32_t k = 0; k < 2 * p.dim; k++) assert_true(item_q(m->items, row)[k] == 0);
    model_free(m);
}

/* A stored block that holds nothing any more has to go from the store. */
static void test_emptied_recent_block_is_handed_over(void **state) {
    (void)state;
    struct recent *r;
    struct err e;
    assert_int_equal(recent_new(2 * RECENT_BLOCK, 10, &r, &e), 0);
    for (uint32_t k = 0; k < RECENT_BLOCK; k++) recent_add(r, 1);
    recent_add(r, 2);
    assert_int_equal(recent_take(r, 1).n, 4);
    assert_null(recent_take(r, 1).p);
    recent_remove(r, 1);
    struct slice gone = recent_take(r, 1);
    assert_non_null(gone.p);
    assert_int_equal(gone.n, 0);
    assert_null(recent_take(r, 1).p);
    assert_int_equal(recent_take(r, 0).n, 4);
    assert_int_equal(r->ring[0], 2);
    recent_free(r);
}

static void test_removing_keeps_the_order_of_a_full_ring(void **state) {
    (void)state;
    struct recent *r;
    struct err e;
    assert_int_equal(recent_new(7, 100, &r, &e), 0);
    for (uint32_t k = 0; k < 17; k++) recent_add(r, k % 5); /* 10 to 16: 0 1 2 3 4 0 1 */
    recent_remove(r, 1);
    static const uint32_t left[] = {0, 2, 3, 4, 0};
    assert_int_equal(recent_size(r), 5);
    for (uint32_t k = 0; k < 5; k++) assert_int_equal(r->ring[k], left[k]);
    assert_int_equal(r->often[1], 0);
    assert_int_equal(r->often[0], 2);
    recent_free(r);
}

static void test_larger_ring_than_stored_is_refused(void **state) {
    (void)state;
    struct recent *r, *larger;
    struct err e;
    assert_int_equal(recent_new(10, 10, &r, &e), 0);
    assert_int_equal(recent_new(20, 10, &larger, &e), 0);
    for (uint32_t k = 0; k < 10; k++) recent_add(r, 1);
    struct slice bytes = recent_take(r, 0);
    assert_int_equal(recent_load(larger, 0, bytes, &e), 0);
    assert_int_equal(recent_load_end(larger, 10, &e), 0); /* it has not come round yet */
    recent_free(larger);
    assert_int_equal(recent_new(20, 10, &larger, &e), 0);
    assert_int_equal(recent_load(larger, 0, bytes, &e), 0);
    assert_int_equal(recent_load_end(larger, 11, &e), ERR_MISMATCH);
    recent_free(larger);
    recent_free(r);
}

/* The block that took the place of a lent one goes with the next checkpoint when this one fails. */
static void test_dedup_block_replaced_while_lent(void **state) {
    (void)state;
    struct dedup *d;
    struct err e;
    uint32_t block;
    struct slice bytes;
    bool seen = false;
    assert_int_equal(dedup_new(2 * DEDUP_BLOCK, &d, &e), 0);
    for (uint64_t n = 0; n < 2 * DEDUP_BLOCK - 1; n++) {
        assert_int_equal(dedup_prepare(d), 0);
        dedup_add(d, (struct hash128){n, n});
    }
    assert_int_equal(dedup_checkpoint_begin(d), 0); /* lends block 0 */
    assert_int_equal(dedup_prepare(d), 0);
    dedup_add(d, (struct hash128){9999, 9999});
    assert_int_equal(dedup_prepare(d), 0); /* comes round to it, and nothing is added */
    dedup_checkpoint_end(d, false);
    assert_int_equal(dedup_checkpoint_begin(d), 0);
    while (dedup_checkpoint_next(d, &block, &bytes)) seen = seen || block == 0;
    dedup_checkpoint_end(d, true);
    assert_true(seen);
    dedup_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erased_user_comes_back_within_a_batch),
        cmocka_unit_test(test_fewer_user_items_than_before),
        cmocka_unit_test(test_failed_checkpoints_list_users_once),
        cmocka_unit_test(test_versions_go_once_they_were_read),
        cmocka_unit_test(test_returning_users_are_bounded),
        cmocka_unit_test(test_versions_for_a_checkpoint_are_bounded),
        cmocka_unit_test(test_admitted_users_change_no_bit),
        cmocka_unit_test(test_erased_item_acts_no_more),
        cmocka_unit_test(test_emptied_recent_block_is_handed_over),
        cmocka_unit_test(test_removing_keeps_the_order_of_a_full_ring),
        cmocka_unit_test(test_larger_ring_than_stored_is_refused),
        cmocka_unit_test(test_dedup_block_replaced_while_lent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
