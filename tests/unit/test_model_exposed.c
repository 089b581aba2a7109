/* What was shown and not taken: remembered in bounds, chosen as negatives by share, stored and erased with the user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/model/exposed.h"
#include "lib/model/negatives.h"
#include "tests/unit/model_taste.h"

static struct model *m;
static struct negatives drawn;

static void begin(float share, uint32_t items) {
    struct model_params p = taste_params();
    p.exposed_share = share;
    p.exposed_items = items;
    p.exposed_age_ms = 3600000;
    p.recent_share = 0.5f;
    m = taste_new(&p);
    taste_learn(m, 0, 2000);
}

static int end(void **state) {
    (void)state;
    model_free(m);
    m = NULL;
    return 0;
}

static uint32_t row_of(unsigned item) {
    char i[16];
    return items_find(m->items, taste_id(i, 'i', item));
}

static const struct user_row *user_of(unsigned user) {
    char u[16];
    return users_find(m->users, taste_id(u, 'u', user));
}

/* Items up to one of 9999 are shown to the user. */
static void show(unsigned user, int64_t t, ...) {
    char u[16], ids[64][16];
    struct slice items[64];
    size_t n = 0;
    va_list args;
    va_start(args, t);
    for (unsigned i; (i = va_arg(args, unsigned)) != 9999; n++) items[n] = taste_id(ids[n], 'i', i);
    va_end(args);
    assert_int_equal(exposed_show(m, taste_id(u, 'u', user), items, n, t, NULL), 0);
    model_publish(m);
}

/* What stands against an event of the user at t on the items up to 9999, as "3 1 2". */
static const char *against(unsigned user, int64_t t, unsigned item) {
    static char text[256];
    struct exposed x = {.n = 0};
    uint32_t row = row_of(item);
    size_t n = 0;
    text[0] = '\0';
    exposed_set(&x, m, user_of(user), &row, 1, t);
    for (uint32_t k = 0; k < x.n; k++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%u", k ? " " : "",
                              taste_item(items_id(m->items, x.rows[k])));
    return text;
}

static void test_the_newest_are_remembered(void **state) {
    (void)state;
    begin(0.25f, 5);
    int64_t t = m->clock_ms;
    show(900, t, 1, 2, 3, 2, 9999);
    assert_string_equal(against(900, t, 50), "1 2 3");
    assert_string_equal(against(900, t, 2), "1 3"); /* what is taken does not stand against itself */
    show(900, t + 1000, 7, 3, 777, 8, 9999);        /* 777 is no item; 3 is shown again */
    assert_string_equal(against(900, t + 1000, 50), "7 3 8 1 2");
    assert_null(users_find(m->users, slice_str("u777")));
    assert_int_equal(items_find(m->items, slice_str("i777")), ITEM_NONE);
    show(900, t + 2000, 20, 21, 22, 23, 24, 25, 9999); /* of more than fit the first */
    assert_string_equal(against(900, t + 2000, 50), "20 21 22 23 24");
    assert_int_equal(user_of(900)->n, 0);
}

static void test_age_and_order_decide(void **state) {
    (void)state;
    begin(0.25f, 5);
    int64_t t = m->clock_ms;
    show(900, t, 1, 9999);
    show(900, t + 1000, 2, 9999);
    assert_string_equal(against(900, t + 999, 50), "1"); /* an event of before it was shown, come late */
    assert_string_equal(against(900, t - 1, 50), "");
    assert_string_equal(against(900, t + 3600000, 50), "2 1"); /* the last moment */
    assert_string_equal(against(900, t + 3600001, 50), "2");
    assert_int_equal(model_erase_item(m, slice_str("i2"), NULL), 0);
    assert_string_equal(against(900, t + 3600000, 50), "1");
}

static uint32_t times(uint32_t row) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < drawn.n; k++) n += drawn.rows[k] == row;
    return n;
}

/* The share is filled with exposed ones, each once, newest first; what they leave is drawn as ever. */
static void test_the_share_is_filled(void **state) {
    (void)state;
    begin(0.25f, 64); /* 4 of 16 */
    used_set(m->used, m->items, NULL, 0);
    uint32_t n_drawn = 0, n_again = 0, item = row_of(50);
    for (unsigned shown = 0; shown < 8; shown++) {
        m->exposed->n = shown;
        for (unsigned k = 0; k < shown; k++) m->exposed->rows[k] = row_of(60 + k);
        for (uint64_t n = 0; n < 50; n++) {
            const struct draw_place place = {.source = 3, .offset = n};
            negatives_draw(&drawn, m, &place, item);
            assert_int_equal(drawn.n, m->params.negatives);
            assert_int_equal(drawn.n_exposed, shown < 4 ? shown : 4);
            for (unsigned k = 0; k < drawn.n_exposed; k++) {
                assert_int_equal(drawn.rows[drawn.n - drawn.n_exposed + k], row_of(60 + k));
                n_again += times(row_of(60 + k)) - 1; /* drawn, too: as any other item */
            }
            n_drawn += drawn.n;
            for (uint32_t k = 0; k < drawn.n; k++) assert_true(drawn.often[k] > 0 && drawn.rows[k] != item);
        }
    }
    assert_true(n_again > 0 && n_again < n_drawn / 10);
}

/* Without any the draws are those of a mixture without the share, whose other shares take its place. */
static void test_none_fall_back(void **state) {
    (void)state;
    begin(0.5f, 8); /* recent_share 0.5 beside it: all draws come from the ring */
    used_set(m->used, m->items, NULL, 0);
    for (uint64_t n = 0; n < 200; n++) {
        const struct draw_place place = {.source = 3, .offset = n};
        negatives_draw(&drawn, m, &place, row_of(50));
        assert_int_equal(drawn.n, m->params.negatives);
        assert_int_equal(drawn.n_exposed, 0);
        for (uint32_t k = 0; k < drawn.n; k++) assert_true(m->recent->often[drawn.rows[k]] > 0);
    }
}

static void test_never_what_he_has(void **state) {
    (void)state;
    begin(1, 64);
    int64_t t = m->clock_ms;
    for (unsigned i = 0; i < 10; i++) taste_event(m, 5000 + i, 900, i, 2000);
    show(900, t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 9999);
    const struct user_row *user = user_of(900);
    uint32_t row = row_of(11);
    exposed_set(m->exposed, m, user, &row, 1, t);
    used_set(m->used, m->items, user_entries(user, m->params.dim), user->n);
    const struct draw_place place = {.source = 3};
    negatives_draw(&drawn, m, &place, row);
    assert_int_equal(drawn.n_exposed, 1); /* 10 alone */
    assert_int_equal(drawn.rows[drawn.n - 1], row_of(10));
    for (unsigned i = 0; i < 10; i++) assert_int_equal(times(row_of(i)), 0);
    assert_int_equal(user->n, 10);
    for (unsigned i = 0; i < 10; i++) assert_int_equal(user_entries(user, m->params.dim)[i].row, row_of(i));
}

/* An event teaches that what was passed over is wanted less than one that was never shown. */
static void test_events_learn_from_them(void **state) {
    (void)state;
    float bias[2];
    for (int shown = 0; shown < 2; shown++) {
        begin(0.5f, 8);
        uint32_t row = row_of(60);
        float before = item_head(m->items, row)->bias;
        for (unsigned k = 0; k < 20; k++) {
            if (shown) show(900 + k, m->clock_ms, 60, 61, 9999);
            taste_event(m, 6000 + k, 900 + k, 50, 2000);
        }
        bias[shown] = item_head(m->items, row)->bias - before;
        assert_int_equal(m->stats.exposed, shown ? 40 : 0);
        assert_int_equal(m->stats.shown, shown ? 40 : 0);
        end(NULL);
    }
    assert_true(bias[1] < bias[0]);
}

/* The items of a basket do not stand against each other for having been shown together. */
static void test_baskets(void **state) {
    (void)state;
    begin(0.5f, 8);
    struct slice items[] = {slice_str("i60"), slice_str("i61")};
    show(900, m->clock_ms, 60, 61, 9999);
    struct model_event ev = {.place = {.source = 1, .offset = 7000},
                             .user = slice_str("u900"),
                             .items = items,
                             .n_items = 2,
                             .ts_ms = m->clock_ms};
    assert_int_equal(model_learn(m, &ev, NULL), 0);
    assert_int_equal(m->stats.exposed, 0);
}

static int give(void *arg, struct slice id, struct buf *out, struct err *e) {
    const struct buf *stored = arg;
    (void)id;
    (void)e;
    buf_clear(out);
    buf_add(out, stored->p, stored->n);
    return 0;
}

static void test_stored_and_erased_with_the_user(void **state) {
    (void)state;
    begin(0.5f, 8);
    int64_t t = m->clock_ms;
    for (unsigned i = 0; i < 40; i++) { /* both kinds of entries grow */
        taste_event(m, 5000 + i, 900, i, 2000);
        show(900, t + i, 41 + i % 11, 60, 9999);
    }
    char before[256];
    snprintf(before, sizeof before, "%s", against(900, t + 40, 99));
    assert_string_equal(before, "47 60 46 45 44 43 42 41");
    struct buf stored;
    struct user_row *back;
    buf_init(&stored, 1 << 20);
    user_encode(user_of(900), m->params.dim, &stored);
    struct user_backing backing = {give, &stored};
    struct model *other;
    assert_int_equal(model_new(&m->params, m->kernel, 64u << 20, &backing, 2, &other, NULL), 0);
    assert_int_equal(users_load(other->users, slice_str("u900"), &back, NULL), 0);
    assert_int_equal(back->n, 40);
    assert_int_equal(back->n_shown, 8);
    assert_memory_equal(user_shown(back, m->params.dim), user_shown(user_of(900), m->params.dim),
                        8 * sizeof(struct user_entry));
    assert_memory_equal(user_entries(back, m->params.dim), user_entries(user_of(900), m->params.dim),
                        40 * sizeof(struct user_entry));
    mem_free(back);
    stored.n -= 16; /* one entry less than it says */
    struct err e;
    assert_int_equal(users_load(other->users, slice_str("u900"), &back, &e), ERR_CORRUPT);
    model_free(other);
    buf_free(&stored);

    assert_int_equal(model_erase_user(m, slice_str("u900"), NULL), 0);
    model_publish(m);
    assert_true(user_of(900)->erased);
    assert_int_equal(user_of(900)->n_shown, 0);
    taste_event(m, 5100, 900, 30, 2000);
    model_publish(m);
    assert_string_equal(against(900, t + 40, 99), "");
}

/* Somebody who was shown something and took nothing is not known yet. */
static void test_shown_alone_is_nobody(void **state) {
    (void)state;
    begin(0.5f, 8);
    struct recommend *r;
    struct recommend_answer a;
    struct recommend_request q = {.user = slice_str("u900"), .k = 10};
    assert_int_equal(recommend_new(m, 1, &r, NULL), 0);
    show(900, m->clock_ms, 60, 61, 9999);
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    assert_int_equal(a.basis, RECOMMEND_POPULAR);
    recommend_done(r);
    taste_event(m, 5100, 900, 30, 2000);
    model_publish(m);
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    assert_int_equal(a.basis, RECOMMEND_PERSONAL);
    recommend_done(r);
    recommend_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_the_newest_are_remembered, end),
        cmocka_unit_test_teardown(test_age_and_order_decide, end),
        cmocka_unit_test_teardown(test_the_share_is_filled, end),
        cmocka_unit_test_teardown(test_none_fall_back, end),
        cmocka_unit_test_teardown(test_never_what_he_has, end),
        cmocka_unit_test_teardown(test_events_learn_from_them, end),
        cmocka_unit_test_teardown(test_baskets, end),
        cmocka_unit_test_teardown(test_stored_and_erased_with_the_user, end),
        cmocka_unit_test_teardown(test_shown_alone_is_nobody, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
