/* What an event type says: that an item is wanted or not, whether repeats teach, how late and old events weigh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tests/unit/model_taste.h"

enum { CLICK, DISLIKE, VIEW };

static struct model *m;
static struct recommend *r;
static const struct model_treatment *treatment; /* of the events that follow */

static void begin(struct model_params p) {
    p.n_types = 3;
    p.types[DISLIKE] = (struct model_type){.weight = 1};
    p.types[VIEW] = (struct model_type){.weight = 1, .history_weight = 1, .repeats = true};
    p.negative_types = 1u << DISLIKE;
    m = taste_new(&p);
    assert_int_equal(recommend_new(m, 1, &r, NULL), 0);
}

static int end(void **state) {
    (void)state;
    treatment = NULL;
    recommend_free(r);
    model_free(m);
    return 0;
}

static void event(uint64_t n, unsigned user, unsigned item, uint32_t type, int64_t t) {
    char u[16], i[16];
    struct slice id = taste_id(i, 'i', item);
    struct model_event ev = {.place = {.source = 1, .offset = n},
                             .type = type,
                             .user = taste_id(u, 'u', user),
                             .items = &id,
                             .n_items = 1,
                             .ts_ms = t,
                             .treatment = treatment};
    assert_int_equal(model_learn(m, &ev, NULL), 0);
    model_publish(m);
}

static uint32_t row_of(unsigned item) {
    char i[16];
    return items_find(m->items, taste_id(i, 'i', item));
}

static const struct user_row *user_of(unsigned user) {
    char u[16];
    return users_find(m->users, taste_id(u, 'u', user));
}

static struct history history_now(unsigned user) {
    const struct user_row *row = user_of(user);
    struct history h;
    history_of(&h, m->items, user_entries(row, m->params.dim), row->n, m->clock_ms);
    return h;
}

static bool in_history(unsigned user, unsigned item) {
    struct history h = history_now(user);
    for (size_t k = 0; k < h.n_known; k++)
        if (h.parts[k].row == row_of(item)) return true;
    return false;
}

static bool answered(unsigned user, unsigned item, bool keep_used) {
    char u[16];
    struct recommend_request q = {.user = taste_id(u, 'u', user), .k = 1000, .wall_ms = 1, .keep_used = keep_used};
    struct recommend_answer a;
    bool found = false;
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    for (size_t k = 0; k < a.n; k++) found = found || taste_item(a.hits[k].id) == item;
    recommend_done(r);
    return found;
}

/* r(better) - r(worse) of the user. */
static double margin(unsigned user, unsigned better, unsigned worse) {
    struct history h = history_now(user);
    float x[MODEL_MAX_DIM];
    uint32_t rows[] = {row_of(better), row_of(worse)};
    double s[2];
    history_vector(&h, m->items, m->kernel, user_of(user)->p, false, x);
    for (int k = 0; k < 2; k++)
        s[k] =
            (double)(m->kernel->dot(x, item_q(m->items, rows[k]), m->items->dim) + item_head(m->items, rows[k])->bias);
    return s[0] - s[1];
}

static int give(void *arg, struct slice id, struct buf *out, struct err *e) {
    const struct buf *stored = arg;
    (void)id;
    (void)e;
    buf_clear(out);
    buf_add(out, stored->p, stored->n);
    return 0;
}

static void unwanted_items(void **state) {
    (void)state;
    begin(taste_params());
    taste_learn(m, 0, 2000);
    int64_t t = m->clock_ms;
    event(5000, 900, 1, CLICK, t);
    event(5001, 900, 2, CLICK, t);
    assert_true(answered(900, 3, false));
    struct item_head before = *item_head(m->items, row_of(3));
    uint64_t pairs = m->stats.pairs;
    double was = margin(900, 1, 3) + margin(900, 2, 3);
    event(5002, 900, 3, DISLIKE, t);
    assert_int_equal(m->stats.pairs, pairs + 1);
    assert_true(margin(900, 1, 3) + margin(900, 2, 3) > was);
    assert_true(item_head(m->items, row_of(3))->count == before.count);
    assert_memory_equal(item_head(m->items, row_of(3))->trend, before.trend, sizeof before.trend);
    assert_false(in_history(900, 3));
    assert_false(answered(900, 3, false));
    assert_false(answered(900, 3, true)); /* kept out even where used items are not */
    assert_true(answered(900, 1, true));

    event(5003, 900, 2, DISLIKE, t); /* a return: what he had leaves his history */
    assert_false(in_history(900, 2));
    assert_true(in_history(900, 1));
    event(5004, 900, 2, CLICK, t); /* and comes back with the next click */
    assert_true(in_history(900, 2));
    assert_true(answered(900, 2, true));

    event(5005, 901, 3, DISLIKE, t); /* somebody without a history: nothing to compare with, kept out all the same */
    assert_int_equal(user_of(901)->n, 1);
    assert_false(answered(901, 3, false));
}

static void repeats_by_type(void **state) {
    (void)state;
    begin(taste_params());
    taste_learn(m, 0, 500);
    int64_t t = m->clock_ms;
    uint64_t pairs = m->stats.pairs;
    event(5000, 900, 1, CLICK, t);
    event(5001, 900, 1, CLICK, t);
    assert_int_equal(m->stats.pairs, pairs + 1);
    event(5002, 900, 1, VIEW, t);
    event(5003, 900, 1, VIEW, t);
    assert_int_equal(m->stats.pairs, pairs + 3);
}

static void half_lives_by_type(void **state) {
    (void)state;
    struct model_params p = taste_params();
    p.types[CLICK].history_half_life_ms = 3600000;
    p.types[CLICK].late_half_life_ms = 60000;
    begin(p);
    taste_learn(m, 0, 500);
    int64_t t = m->clock_ms;
    event(5000, 900, 1, CLICK, t);
    event(5001, 900, 2, CLICK, t + 3600000);
    struct history h = history_now(900);
    assert_int_equal(h.n, 2);
    double ratio = (double)h.parts[1].weight / (double)h.parts[0].weight;
    assert_true(fabs(ratio - 0.5 * (double)p.history_decay) < 1e-5);
    uint32_t row = row_of(7);
    float sums[2];
    for (int late = 0; late < 2; late++) { /* twenty half-lives late: next to nothing is learned */
        float before = item_head(m->items, row)->q_sum;
        event(5010 + (uint64_t)late, 910 + (unsigned)late, 7, CLICK, t + 3600000 - late * 1200000);
        sums[late] = item_head(m->items, row)->q_sum - before;
    }
    assert_true(sums[0] > 0 && sums[1] < 1e-3f * sums[0]);
}

/* As many of the newest items as pairs are counted with are unwanted ones: those before them are counted with. */
static void unwanted_items_make_way_in_pairs(void **state) {
    (void)state;
    begin(taste_params());
    taste_learn(m, 0, 2000);
    int64_t t = m->clock_ms;
    for (unsigned k = 0; k < 12; k++) event(5000 + k, 900, k, CLICK, t);
    for (unsigned k = 0; k < 10; k++) event(5100 + k, 900, 30 + k, DISLIKE, t);
    event(5200, 900, 150, CLICK, t);
    static struct neighbour_list list;
    assert_int_equal(neighbours_peek(m->neighbours, NEIGHBOUR_BACKWARD, row_of(150), &list, NULL), 0);
    bool found = false;
    for (uint32_t k = 0; k < list.n; k++) found = found || list.row[k] == row_of(11);
    assert_true(found);
}

/* A treatment of weight w: the step, the counts and the trends of an event are w times those of one without. */
static void weights_of_single_events(void **state) {
    (void)state;
    static const float weights[] = {1, 0.25f, 3};
    double sum[3], count[3], trend[3];
    for (int k = 0; k < 3; k++) {
        struct model_treatment w = {.weight = weights[k]};
        begin(taste_params());
        taste_learn(m, 0, 500);
        int64_t t = m->clock_ms;
        uint32_t row = row_of(7);
        struct item_head before = *item_head(m->items, row);
        treatment = k ? &w : NULL;
        event(5000, 900, 7, CLICK, t);
        const struct item_head *after = item_head(m->items, row);
        double age = (double)(t - before.count_ms) / (double)m->params.count_half_life_ms;
        sum[k] = (double)(after->q_sum - before.q_sum);
        count[k] = (double)after->count - (double)before.count * exp2(-age);
        double shift = (double)t / (double)m->params.trend_half_life_ms[1];
        trend[k] = exp2(after->trend[1] - shift) - exp2(before.trend[1] - shift);
        end(NULL);
        m = NULL;
        r = NULL;
    }
    for (int k = 0; k < 3; k++) {
        double w = (double)weights[k];
        assert_true(fabs(count[k] - w) < 1e-4 * w);
        assert_true(fabs(trend[k] - w) < 1e-6 * w);
        assert_true(sum[0] > 0 && fabs(sum[k] / sum[0] - w * w) < 1e-3 * w * w); /* of squares of gradients */
    }
}

static void expect_near(unsigned user, const unsigned *items, const double *near, size_t n) {
    struct history h = history_now(user);
    assert_int_equal(h.n_known, n);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(h.parts[k].row, row_of(items[k]));
        assert_true(fabs((double)h.parts[k].near - near[k]) < 1e-6);
    }
}

static void basket(uint64_t n, unsigned user, const unsigned *items, size_t count, uint32_t type) {
    char u[16], names[8][16];
    struct slice ids[8];
    for (size_t k = 0; k < count; k++) ids[k] = taste_id(names[k], 'i', items[k]);
    struct model_event ev = {.place = {.source = 1, .offset = n},
                             .type = type,
                             .user = taste_id(u, 'u', user),
                             .items = ids,
                             .n_items = (uint32_t)count,
                             .ts_ms = m->clock_ms};
    assert_int_equal(model_learn(m, &ev, NULL), 0);
    model_publish(m);
}

/* A basket is one moment: for neighbours its items count alike, however long it is, and an item that comes again leaves
 * its basket. */
static void items_of_one_event_count_alike(void **state) {
    (void)state;
    struct model_params p = taste_params();
    p.history = 20;
    p.neighbour_history = 6;
    p.neighbour_decay = 0.5f;
    begin(p);
    const double third = 1 / sqrt(3), half = 1 / sqrt(2);
    event(1, 900, 1, CLICK, 1000);
    basket(2, 900, (const unsigned[]){2, 3, 4}, 3, CLICK);
    expect_near(900, (const unsigned[]){4, 3, 2, 1}, (const double[]){third, third, third, 0.5}, 4);
    assert_int_equal(history_now(900).n_newest, 3);
    event(3, 900, 5, CLICK, 1000); /* the same time, another event */
    expect_near(900, (const unsigned[]){5, 4, 3, 2, 1}, (const double[]){1, third / 2, third / 2, third / 2, 0.25}, 5);
    assert_int_equal(history_now(900).n_newest, 1);
    event(4, 900, 2, CLICK, 1000); /* the first of the basket leaves it */
    expect_near(900, (const unsigned[]){2, 5, 4, 3, 1}, (const double[]){1, 0.5, half / 4, half / 4, 0.125}, 5);
    event(5, 900, 4, DISLIKE, 1000); /* of the two that are left one is not wanted: the others stay apart */
    expect_near(900, (const unsigned[]){2, 5, 3, 1}, (const double[]){1, 0.5, 0.25, 0.125}, 4);
    basket(6, 900, (const unsigned[]){6, 7, 6, 3}, 4, CLICK); /* beyond neighbour_history nothing counts */
    expect_near(900, (const unsigned[]){3, 6, 7, 2, 5, 1}, (const double[]){third, third, third, 0.5, 0.25, 0.125}, 6);
    event(7, 900, 8, CLICK, 1000);
    expect_near(900, (const unsigned[]){8, 3, 6, 7, 2, 5, 1},
                (const double[]){1, third / 2, third / 2, third / 2, 0.25, 0.125, 0}, 7);

    struct buf stored; /* which items came together is stored */
    struct user_row *back;
    buf_init(&stored, 1 << 20);
    user_encode(user_of(900), m->params.dim, &stored);
    struct user_backing backing = {give, &stored};
    struct model *other;
    assert_int_equal(model_new(&m->params, m->kernel, 64u << 20, &backing, 2, &other, NULL), 0);
    assert_int_equal(users_load(other->users, slice_str("u900"), &back, NULL), 0);
    assert_memory_equal(user_entries(back, m->params.dim), user_entries(user_of(900), m->params.dim),
                        back->n * sizeof(struct user_entry));
    mem_free(back);
    model_free(other);
    buf_free(&stored);
}

/* What stays apart is had and counted, and is no part of the history; an item that is one keeps its place. */
static void items_apart_from_the_history(void **state) {
    (void)state;
    static const struct model_treatment apart = {.weight = 1, .apart = true};
    begin(taste_params());
    taste_learn(m, 0, 2000);
    int64_t t = m->clock_ms;
    event(5000, 900, 1, CLICK, t);
    event(5001, 900, 2, CLICK, t);
    treatment = &apart;
    uint64_t pairs = m->stats.pairs;
    event(5002, 900, 3, CLICK, t);
    assert_int_equal(m->stats.pairs, pairs + 1); /* it teaches */
    assert_false(in_history(900, 3));
    assert_false(answered(900, 3, false)); /* he has it */
    assert_true(answered(900, 3, true));
    event(5003, 900, 3, CLICK, t);
    assert_int_equal(m->stats.pairs, pairs + 1); /* and it is a repeat */
    event(5004, 900, 1, CLICK, t + 1000);        /* a place in the history stays */
    struct history h = history_now(900);
    assert_int_equal(h.n_known, 2);
    assert_int_equal(h.parts[0].row, row_of(2));
    assert_int_equal(h.parts[1].row, row_of(1));
    assert_int_equal(user_entries(user_of(900), m->params.dim)[0].time_ms, t);
    event(5005, 900, 4, DISLIKE, t);
    event(5006, 900, 4, CLICK, t); /* wanted again, and still apart */
    assert_false(in_history(900, 4));
    assert_true(answered(900, 4, true));

    struct buf stored; /* the flag is stored */
    struct user_row *back;
    buf_init(&stored, 1 << 20);
    user_encode(user_of(900), m->params.dim, &stored);
    struct user_backing backing = {give, &stored};
    struct model *other;
    assert_int_equal(model_new(&m->params, m->kernel, 64u << 20, &backing, 2, &other, NULL), 0);
    assert_int_equal(users_load(other->users, slice_str("u900"), &back, NULL), 0);
    assert_memory_equal(user_entries(back, m->params.dim), user_entries(user_of(900), m->params.dim),
                        back->n * sizeof(struct user_entry));
    mem_free(back);
    model_free(other);
    buf_free(&stored);

    treatment = NULL;
    event(5007, 900, 3, CLICK, t);
    assert_true(in_history(900, 3)); /* a plain event brings it in */
}

/* In a basket, too: each item is learned with the history of before it. */
static void baskets_apart(void **state) {
    (void)state;
    static const struct model_treatment apart = {.weight = 1, .apart = true};
    struct slice items[] = {slice_str("i1"), slice_str("i3"), slice_str("i4"), slice_str("i3")};
    begin(taste_params());
    taste_learn(m, 0, 2000);
    event(5000, 900, 1, CLICK, m->clock_ms);
    event(5001, 900, 2, CLICK, m->clock_ms);
    struct model_event ev = {.place = {.source = 1, .offset = 5002},
                             .user = slice_str("u900"),
                             .items = items,
                             .n_items = 4,
                             .ts_ms = m->clock_ms,
                             .treatment = &apart};
    assert_int_equal(model_learn(m, &ev, NULL), 0);
    model_publish(m);
    struct history h = history_now(900);
    assert_int_equal(h.n_known, 2);
    assert_int_equal(h.parts[0].row, row_of(2));
    assert_int_equal(user_of(900)->n, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(unwanted_items, end),
        cmocka_unit_test_teardown(repeats_by_type, end),
        cmocka_unit_test_teardown(half_lives_by_type, end),
        cmocka_unit_test_teardown(unwanted_items_make_way_in_pairs, end),
        cmocka_unit_test_teardown(weights_of_single_events, end),
        cmocka_unit_test_teardown(items_apart_from_the_history, end),
        cmocka_unit_test_teardown(baskets_apart, end),
        cmocka_unit_test_teardown(items_of_one_event_count_alike, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
