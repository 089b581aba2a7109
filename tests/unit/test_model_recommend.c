/* From a user and a request to a ranked list, on a model that has learned a few events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/model/feature.h"
#include "lib/model/history.h"
#include "lib/model/recommend.h"
#include "tests/unit/model_oracle.h"

#define DIM     ORACLE_DIM
#define ITEMS   60
#define EVENTS  1200
#define READERS 2
#define START   INT64_C(1700000000000)
#define WALL    (START + 1000000)

static struct stored { /* one user that the cache does not have */
    char id[16];
    struct buf bytes;
    int fail; /* answer every question with this code */
} stored;

static int backing_get(void *arg, struct slice id, struct buf *out, struct err *e) {
    struct stored *s = arg;
    if (s->fail) return err_set(e, s->fail, "users", "made to fail");
    if (!slice_is(id, s->id)) return err_set(e, ERR_MISSING, NULL, "no such user");
    buf_clear(out);
    buf_add(out, s->bytes.p, s->bytes.n);
    return out->failed ? ERR_NOMEM : 0;
}

static const struct model_params params = {
    .dim = DIM,
    .seed = 5,
    .max_items = 200,
    .user_items = 64,
    .negatives = 8,
    .recent_events = 500,
    .recent_share = 0.5f,
    .step = 0.05f,
    .under_root = 1e-6f,
    .start_item = 0.04f,
    .start_user = 0.01f,
    .clip = 5,
    .history = 6,
    .history_decay = 0.8f,
    .late_half_life_ms = 86400000,
    .count_half_life_ms = 86400000,
    .trend_half_life_ms = {21600000, 259200000, 2592000000},
    .max_clock_step_ms = -1,
    .dedup_window = 100,
    .neighbours = 8,
    .pair_half_life_ms = 864000000,
    .successor_half_life_ms = 86400000,
    .lately_half_life_ms = 604800000,
    .lately_scale = 0.3f,
    .lately_history = 12,
    .neighbour_history = 10,
    .neighbour_decay = 0.6f,
    .neighbour_scale = 30,
    .neighbour_shrink = 5,
    .neighbour_popularity = 0.2f,
    .basket_weight = 0.1f,
    .max_features = 16,
    .item_features = 1,
    .succession_history = 1,
    .succession_features = 1,
    .feature_scale = 100,
    .blend_start = {1, 0.5f, 0.1f, 0.5f, 1, 1, 0.3f, 0.02f, 0.01f, 0},
    .blend_step = 0.015f,
    .blend_step_neighbours = 0.05f,
    .types = {{.weight = 1, .history_weight = 1}, {.weight = 2, .history_weight = 0.5f}},
    .n_types = 2,
};

static struct world {
    struct model *m;
    struct recommend *r;
    char names[ITEMS + 1][16];
} w;

static struct slice item(int i) { return slice_str(w.names[i]); }

static void learn(const char *user, int i, uint32_t type, uint64_t offset) {
    struct slice items[3] = {item(i), item((i + 1) % ITEMS), item((i + 2) % ITEMS)};
    struct model_event ev = {.place = {.source = 1, .offset = offset},
                             .type = type,
                             .user = slice_str(user),
                             .items = items,
                             .n_items = offset % 7 == 3 ? 3 : 1,
                             .ts_ms = START + (int64_t)offset * 100};
    assert_int_equal(model_learn(w.m, &ev, NULL), 0);
}

static int set_up(void **state) {
    static const struct user_backing backing = {backing_get, &stored};
    (void)state;
    if (model_new(&params, kernel_pick("auto"), 16 << 20, &backing, READERS, &w.m, NULL) < 0) return -1;
    if (recommend_new(w.m, 1, &w.r, NULL) < 0) return -1;
    for (int i = 0; i <= ITEMS; i++) snprintf(w.names[i], sizeof w.names[i], "item-%d", i);
    for (uint64_t n = 0; n < EVENTS; n++) {
        char user[16];
        snprintf(user, sizeof user, "user-%d", (int)(n % 20));
        uint64_t bits = draw_bits(77, n);
        learn(user, (int)(n % 2 * ITEMS / 2 + draw_below(bits, ITEMS / 2)), (uint32_t)(bits >> 63), n);
    }
    model_publish(w.m);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    recommend_free(w.r);
    model_free(w.m);
    buf_free(&stored.bytes);
    stored = (struct stored){.fail = 0};
    return 0;
}

static struct recommend_request request(const char *user) {
    return (struct recommend_request){.user = slice_str(user), .k = 10, .wall_ms = WALL};
}

static const struct user_row *row_of(const char *user) { return users_find(w.m->users, slice_str(user)); }

static bool used(const struct user_row *u, struct slice id) {
    uint32_t row = items_find(w.m->items, id);
    for (uint32_t i = 0; i < u->n; i++)
        if (user_entries(u, DIM)[i].row == row) return true;
    return false;
}

static bool answered(const struct recommend_answer *a, struct slice id) {
    for (size_t i = 0; i < a->n; i++) {
        if (slice_equal(a->hits[i].id, id)) return true;
    }
    return false;
}

static double expected_for(const struct user_row *u, struct slice id) {
    return oracle_score(w.m, u->p, user_entries(u, DIM), u->n, w.m->clock_ms - u->last_ms, id);
}

static void ranks_for_a_known_user(void **state) {
    (void)state;
    const struct user_row *u = row_of("user-3");
    struct recommend_request q = request("user-3");
    struct recommend_answer a;
    assert_non_null(u);
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.basis, RECOMMEND_PERSONAL);
    assert_int_equal(a.n, 10);
    for (size_t i = 0; i < a.n; i++) {
        assert_false(used(u, a.hits[i].id));
        double want = expected_for(u, a.hits[i].id);
        assert_true(fabs((double)a.hits[i].score - want) < 1e-5);
        if (i > 0) assert_true(a.hits[i - 1].score >= a.hits[i].score);
    }
    double last = (double)a.hits[9].score;
    for (int i = 0; i < ITEMS; i++) {
        if (items_find(w.m->items, item(i)) == ITEM_NONE || used(u, item(i)) || answered(&a, item(i))) continue;
        assert_true(expected_for(u, item(i)) <= last + 1e-5);
    }
    recommend_done(w.r);

    q.keep_used = true;
    q.k = ITEMS + 5;
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.n, ITEMS);
    recommend_done(w.r);
    q.keep_used = false;
    size_t all = ITEMS;
    for (int i = 0; i < ITEMS; i++) all -= used(u, item(i));
    assert_true(all < ITEMS);
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.n, all);
    recommend_done(w.r);
}

/* Shares add up to scores, and those of the history to what the terms owe to it. */
static void explains_its_answers(void **state) {
    (void)state;
    const struct user_row *u = row_of("user-3");
    struct recommend_request q = request("user-3");
    struct recommend_answer a;
    unsigned reasons = 0, lately = 0;
    q.k = ITEMS;
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_null(a.reasons);
    recommend_done(w.r);
    q.explain = true;
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    for (size_t i = 0; i < a.n; i++) {
        const struct recommend_reason *r = &a.reasons[i];
        uint32_t row = items_find(w.m->items, a.hits[i].id);
        double sum = 0, neighbours = 0;
        float blend[TERMS];
        blend_read(&w.m->blend, blend_bucket(u->n, w.m->clock_ms - u->last_ms), blend);
        for (int f = 0; f < TERMS; f++) sum += (double)r->share[f];
        assert_true(fabs(sum - (double)a.hits[i].score) < 1e-5);
        for (int kind = 0; kind < NEIGHBOUR_BY_ORDER; kind++)
            neighbours += (double)blend[kind] *
                          oracle_neighbours(w.m, (enum neighbour_kind)kind, user_entries(u, DIM), u->n, row);
        assert_true(fabs(neighbours - (double)(r->share[0] + r->share[1] + r->share[2])) < 1e-5);
        lately += r->share[TERM_LATELY] > 0;
        for (uint32_t k = 0; k < r->n; k++) {
            assert_true(used(u, r->because[k].item) && r->because[k].share > 0);
            if (k > 0) assert_true(r->because[k].share <= r->because[k - 1].share);
        }
        reasons += r->n;
    }
    assert_true(reasons > 0 && lately > 0);
    recommend_done(w.r);
}

static void ranks_by_the_request_history(void **state) {
    (void)state;
    struct slice history[] = {item(9), item(4), slice_str("nothing"), item(9), item(7)};
    uint32_t rows[] = {items_find(w.m->items, item(4)), items_find(w.m->items, item(9)),
                       items_find(w.m->items, item(7))};
    struct user_entry entries[3];
    for (int i = 0; i < 3; i++)
        entries[i] = (struct user_entry){.row = rows[i] & USER_ROW_BITS, .types = 1}; /* item-9 where it is newest */
    struct recommend_request q = request("");
    struct recommend_answer a;
    q.history = history;
    q.n_history = 5;
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.basis, RECOMMEND_HISTORY);
    assert_int_equal(a.n_unknown, 1);
    for (size_t i = 0; i < a.n; i++)
        assert_true(fabs((double)a.hits[i].score - oracle_score(w.m, NULL, entries, 3, 0, a.hits[i].id)) < 1e-5);
    assert_false(answered(&a, item(9)) || answered(&a, item(4)) || answered(&a, item(7)));
    recommend_done(w.r);

    q.user = slice_str("user-3"); /* his own history goes first */
    const struct user_row *u = row_of("user-3");
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.basis, RECOMMEND_PERSONAL);
    assert_true(fabs((double)a.hits[0].score - expected_for(u, a.hits[0].id)) < 1e-5);
    recommend_done(w.r);
}

static void popular_for_nobody(void **state) {
    (void)state;
    struct recommend_request q = request("nobody");
    struct recommend_answer a;
    q.history = (struct slice[]){slice_str("nothing")};
    q.n_history = 1;
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.basis, RECOMMEND_POPULAR);
    for (size_t i = 0; i < a.n; i++) {
        assert_true(fabs((double)a.hits[i].score - oracle_score(w.m, NULL, NULL, 0, 0, a.hits[i].id)) < 1e-5);
        if (i > 0) assert_true(a.hits[i - 1].score >= a.hits[i].score);
    }
    recommend_done(w.r);
    assert_int_equal(recommend_popular(w.r, 10, WALL, &a, NULL), 0);
    assert_int_equal(a.n, 10);
    for (size_t i = 1; i < a.n; i++) {
        uint32_t before = items_find(w.m->items, a.hits[i - 1].id), row = items_find(w.m->items, a.hits[i].id);
        assert_true(item_head(w.m->items, before)->trend[0] >= item_head(w.m->items, row)->trend[0] - 0.02);
    }
    recommend_done(w.r);
}

static void lists_of_the_request(void **state) {
    (void)state;
    struct recommend_request q = request("user-5");
    struct recommend_answer a;
    struct slice only[] = {item(1), slice_str("nothing"), item(2), item(1), item(8), item(ITEMS)},
                 exclude[] = {item(2), item(ITEMS)};
    q.keep_used = true;
    q.only = only;
    q.n_only = 6;
    q.exclude = exclude;
    q.n_exclude = 2;
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.n, 2);
    assert_true(answered(&a, item(1)) && answered(&a, item(8)));
    assert_int_equal(a.n_unknown, 2);
    float score = slice_equal(a.hits[0].id, item(1)) ? a.hits[0].score : a.hits[1].score;
    recommend_done(w.r);

    q.n_only = 0; /* none is not all */
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.n, 0);
    recommend_done(w.r);

    q.n_only = 6;
    assert_int_equal(recommend_score(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.n, 6);
    assert_int_equal(a.basis, RECOMMEND_PERSONAL);
    assert_int_equal(a.n_unknown, 2);
    for (size_t i = 0; i < 6; i++) assert_true(slice_equal(a.hits[i].id, only[i]));
    assert_true(isnan(a.hits[1].score) && isnan(a.hits[5].score));
    assert_true(a.hits[0].score == score && a.hits[3].score == score);
    recommend_done(w.r);
}

/* The learner goes on while a row of pairs of features is read: what is excluded may be learned just then. */
static int learn_late(void *arg, enum neighbour_kind kind, uint32_t a, struct buf *out, struct err *e) {
    int *left = arg;
    (void)kind, (void)a, (void)out;
    if ((*left)-- > 0) learn("somebody", ITEMS, 0, EVENTS + 3); /* no basket */
    model_publish(w.m);
    return err_set(e, ERR_MISSING, NULL, "no row");
}

static void what_is_excluded_and_learned_meanwhile_is_not_answered(void **state) {
    struct slice late = item(ITEMS), feature = slice_str("f:x");
    for (int round = 0; round < 3; round++) {
        struct recommend_request q = request("user-3");
        struct recommend_answer a;
        int left = 1;
        q.k = ITEMS + 1;
        if (round == 1) q.cart = &late, q.n_cart = 1;
        if (round == 2) q.history = &late, q.n_history = 1;
        neighbours_set_backing(w.m->features->successions, 1u << 20, &(struct neighbour_backing){learn_late, &left});
        for (int i = 0; i < ITEMS; i++) assert_int_equal(model_set_features(w.m, item(i), &feature, 1, NULL), 0);
        assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
        assert_true(left < 1 && a.n > 10);
        assert_int_equal(answered(&a, late), round == 0);
        for (size_t i = 1; i < a.n; i++) assert_true(a.hits[i - 1].score >= a.hits[i].score);
        recommend_done(w.r);
        assert_int_equal(tear_down(state) | set_up(state), 0);
    }
}

static void similar_by_cosine(void **state) {
    (void)state;
    struct recommend_answer a;
    struct err e;
    const struct items *t = w.m->items;
    const float *x = item_q(t, items_find(t, item(0)));
    assert_int_equal(recommend_similar(w.r, item(0), 5, WALL, &a, NULL), 0);
    assert_int_equal(a.n, 5);
    double last = 2;
    for (size_t i = 0; i < a.n; i++) {
        const float *q = item_q(t, items_find(t, a.hits[i].id));
        double xq = 0, xx = 0, qq = 0;
        for (int k = 0; k < DIM; k++) {
            xq += (double)x[k] * (double)q[k];
            xx += (double)x[k] * (double)x[k];
            qq += (double)q[k] * (double)q[k];
        }
        assert_false(slice_equal(a.hits[i].id, item(0)));
        assert_true(fabs((double)a.hits[i].score - xq / sqrt(xx * qq)) < 1e-5);
        assert_true((double)a.hits[i].score <= last);
        last = (double)a.hits[i].score;
    }
    recommend_done(w.r);
    assert_int_equal(recommend_similar(w.r, slice_str("nothing"), 5, WALL, &a, &e), ERR_MISSING);
    recommend_done(w.r); /* nothing to leave */
    recommend_done(w.r);
}

static void users_outside_the_cache(void **state) {
    (void)state;
    struct recommend_request q = request("stored");
    struct recommend_answer a = {.n = 99}, b;
    struct err e = {0};
    buf_init(&stored.bytes, 1 << 20);
    user_encode(row_of("user-7"), DIM, &stored.bytes);
    snprintf(stored.id, sizeof stored.id, "stored");
    stored.fail = ERR_CORRUPT;
    assert_int_equal(recommend_rank(w.r, &q, &a, &e), ERR_CORRUPT);
    assert_int_equal(e.code, ERR_CORRUPT);
    assert_int_equal(a.n, 99);
    stored.fail = 0;
    assert_int_equal(recommend_rank(w.r, &q, &a, &e), 0);
    assert_int_equal(a.basis, RECOMMEND_PERSONAL);
    float best = a.hits[0].score;
    recommend_done(w.r);
    q.user = slice_str("user-7");
    assert_int_equal(recommend_rank(w.r, &q, &b, &e), 0);
    assert_true(b.hits[0].score == best);
    recommend_done(w.r);
}

static void errors_leave_the_section(void **state) {
    (void)state;
    struct recommend_request q = request("user-1");
    struct recommend_answer a = {.n = 99};
    struct err e;
    q.k = 0;
    assert_int_equal(recommend_rank(w.r, &q, &a, &e), ERR_RANGE);
    assert_int_equal(recommend_popular(w.r, TOPK_MAX + 1, WALL, &a, &e), ERR_RANGE);
    assert_int_equal(a.n, 99);
    q.k = 5;
    for (int refused = 1, nth = 1; refused; nth++) { /* a new scratch: every request for memory fails once */
        struct recommend *r = NULL;
        mem_fail_at((uint64_t)nth);
        int rc = recommend_new(w.m, 0, &r, &e);
        if (rc == 0) rc = recommend_rank(r, &q, &a, &e);
        mem_fail_at(0);
        refused = rc != 0;
        if (refused) assert_int_equal(rc, ERR_NOMEM);
        if (!refused) {
            assert_true(nth > 5);
            recommend_done(r);
        }
        recommend_free(r);
    }
    assert_int_equal(a.n, 5);
}

static void erased_items_and_users_are_gone(void **state) {
    (void)state;
    struct recommend_request q = request("user-2");
    struct recommend_answer a;
    q.k = ITEMS;
    q.keep_used = true;
    assert_int_equal(model_erase_item(w.m, item(20), NULL), 0);
    assert_int_equal(model_erase_user(w.m, slice_str("user-4"), NULL), 0);
    assert_int_equal(model_describe_item(w.m, item(21), 0, INT64_MIN, slice_str("{}"), NULL), 0);
    assert_int_equal(model_describe_item(w.m, item(22), -1, WALL, slice_str("{}"), NULL), 0);
    model_publish(w.m);
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.n, ITEMS - 3);
    assert_false(answered(&a, item(20)) || answered(&a, item(21)) || answered(&a, item(22)));
    recommend_done(w.r);
    q.wall_ms = WALL - 1;
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_true(answered(&a, item(22)));
    recommend_done(w.r);
    q.user = slice_str("user-4");
    assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
    assert_int_equal(a.basis, RECOMMEND_POPULAR);
    recommend_done(w.r);
}

static void *learner(void *arg) {
    uint64_t *offset = arg;
    for (int n = 0; n < 600; n++, ++*offset) {
        char user[16];
        snprintf(user, sizeof user, "user-%d", (int)(*offset % 25));
        learn(user, (int)draw_below(draw_bits(78, *offset), ITEMS + 1), 0, *offset);
        if (n % 10 == 9) model_publish(w.m);
    }
    return NULL;
}

/* Answers stay well formed while rows, users and the serving copy change; ThreadSanitizer watches. */
static void serves_while_learning(void **state) {
    (void)state;
    uint64_t offset = EVENTS;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, learner, &offset), 0);
    for (int n = 0; n < 600; n++) {
        char user[16];
        struct slice only[] = {item(3), item(33), item(ITEMS)};
        struct recommend_answer a;
        snprintf(user, sizeof user, "user-%d", n % 27);
        struct recommend_request q = request(user);
        q.keep_used = n & 1;
        q.only = only;
        q.n_only = 3;
        assert_int_equal(recommend_score(w.r, &q, &a, NULL), 0);
        recommend_done(w.r);
        if (n % 3) q.only = NULL;
        assert_int_equal(recommend_rank(w.r, &q, &a, NULL), 0);
        for (size_t i = 0; i < a.n; i++) {
            assert_true(a.hits[i].id.n >= 6 && isfinite(a.hits[i].score));
            if (i > 0) assert_true(a.hits[i - 1].score >= a.hits[i].score);
        }
        recommend_done(w.r);
        assert_int_equal(recommend_similar(w.r, item(n % ITEMS), 5, WALL, &a, NULL), 0);
        recommend_done(w.r);
    }
    pthread_join(thread, NULL);
}

#define ON_A_NEW_MODEL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_A_NEW_MODEL(ranks_for_a_known_user),
        ON_A_NEW_MODEL(explains_its_answers),
        ON_A_NEW_MODEL(ranks_by_the_request_history),
        ON_A_NEW_MODEL(popular_for_nobody),
        ON_A_NEW_MODEL(lists_of_the_request),
        ON_A_NEW_MODEL(what_is_excluded_and_learned_meanwhile_is_not_answered),
        ON_A_NEW_MODEL(similar_by_cosine),
        ON_A_NEW_MODEL(users_outside_the_cache),
        ON_A_NEW_MODEL(errors_leave_the_section),
        ON_A_NEW_MODEL(serves_while_learning),
        ON_A_NEW_MODEL(erased_items_and_users_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
