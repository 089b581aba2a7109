/* Segments of users: what is counted, the term against its definition, descriptions, the stored form, readers beside
 * the learner. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/model/recommend.h"
#include "lib/model/segment.h"
#include "lib/model/terms.h"
#include "tests/unit/model_shop.h"

#define USERS 40u
#define ITEMS 30u
#define T0    INT64_C(1700000000000)
#define HOUR  INT64_C(3600000)
#define DAY   86400000.0

static struct model *m;
static struct recommend *r;
static uint64_t offset;

static struct slice id_of(char *out, char kind, unsigned n) {
    snprintf(out, 16, "%c%u", kind, n);
    return slice_str(out);
}

static struct slice feature(unsigned n) {
    static const char *const texts[] = {"f:segment=a", "f:segment=b", "f:everybody=yes", "f:never=seen"};
    return slice_str(texts[n]);
}

static void describe(unsigned user, const struct slice *features, size_t n) {
    char id[16];
    assert_int_equal(model_describe_user(m, id_of(id, 'u', user), slice_str("{}"), features, n, NULL), 0);
}

static void learn(unsigned user, unsigned item, int64_t t) {
    char who[16], what[16];
    struct slice items = id_of(what, 'i', item);
    struct model_event ev = {.place = {.source = 1, .offset = offset++},
                             .user = id_of(who, 'u', user),
                             .items = &items,
                             .n_items = 1,
                             .ts_ms = t};
    assert_int_equal(model_learn(m, &ev, NULL), 0);
}

static struct model *open_with_cache(uint32_t user_features, uint64_t user_cache) {
    const struct user_backing none = {NULL, NULL};
    struct model_params p = shop_params();
    struct model *opened;
    struct err e;
    p.user_features = user_features;
    p.max_clock_step_ms = -1;
    p.user_items = 100;
    p.neighbours = 64;
    assert_int_equal(model_new(&p, kernel_pick("portable"), user_cache, &none, 2, &opened, &e), 0);
    return opened;
}

static struct model *open_model(uint32_t user_features) { return open_with_cache(user_features, 1u << 24); }

static int setup(void **state) {
    (void)state;
    m = open_model(8);
    offset = 0;
    return recommend_new(m, 0, &r, NULL);
}

static int teardown(void **state) {
    (void)state;
    recommend_free(r);
    model_free(m);
    return 0;
}

/* --- the naive twin: everything in double, decayed to the newest event --- */

static struct {
    double pairs[3][ITEMS], of_item[ITEMS], all;
    bool had[USERS][ITEMS];
    int64_t at;
} twin;

static void twin_add(unsigned user, unsigned item, int64_t t) {
    double fade = exp2(-(double)(t - twin.at) / DAY);
    for (int i = 0; i < (int)ITEMS; i++) {
        for (int v = 0; v < 3; v++) twin.pairs[v][i] *= fade;
        twin.of_item[i] *= fade;
    }
    twin.all = twin.all * fade + 1;
    twin.of_item[item] += 1;
    twin.at = t;
    if (twin.had[user][item]) return;
    twin.had[user][item] = true;
    twin.pairs[user % 2][item] += 1;
    twin.pairs[2][item] += 1;
}

static double twin_sum(int v) {
    double sum = 0;
    for (int i = 0; i < (int)ITEMS; i++) sum += twin.pairs[v][i];
    return sum;
}

static double twin_information(int v) {
    double n = twin_sum(v), sum = 0, prior = (double)TERMS_PRIOR;
    for (int i = 0; i < (int)ITEMS; i++) {
        double expected = twin.of_item[i] / twin.all;
        if (twin.pairs[v][i] > 0)
            sum += twin.pairs[v][i] / n * log((twin.pairs[v][i] + prior * expected) / ((n + prior) * expected));
    }
    return sum > 0 ? sum : 0;
}

static double twin_term(int v, int item) {
    const struct model_params *p = &m->params;
    double scale = (double)p->segment_scale / (twin_sum(v) + (double)p->neighbour_shrink);
    return twin_information(v) *
           log(1 + scale * twin.pairs[v][item] / pow(1 + twin.of_item[item], (double)p->neighbour_popularity));
}

/* Even users like the lower half of the items, odd ones the upper; everybody has the third feature. */
static void live(unsigned n_events) {
    memset(&twin, 0, sizeof twin);
    twin.at = T0;
    for (unsigned u = 0; u < USERS; u++) describe(u, (struct slice[]){feature(u % 2), feature(2)}, 2);
    for (unsigned n = 0; n < n_events; n++) {
        uint64_t bits = draw_bits(4, n);
        unsigned user = (unsigned)(bits % USERS), item = (unsigned)(bits >> 20) % (ITEMS / 2);
        if (user % 2 ^ (bits >> 50 & 7) / 7) item += ITEMS / 2; /* one in eight is of the other half */
        int64_t t = T0 + (int64_t)n * HOUR / 40;
        learn(user, item, t);
        twin_add(user, item, t);
    }
    model_publish(m);
}

static uint16_t row_of(struct slice text) {
    uint16_t row;
    assert_int_equal(segments_rows(&m->params, &text, 1, &row), 1);
    return row;
}

static double events_now(uint32_t row) { return exp2(segment_log_count(m->segments, row) - (double)m->clock_ms / DAY); }

static void test_counts_as_the_naive_twin(void **state) {
    (void)state;
    live(3000);
    assert_true(fabs(events_now(SEGMENT_ALL) / twin.all - 1) < 1e-6);
    for (int v = 0; v < 3; v++) {
        struct neighbour_list list;
        char id[16];
        double found = 0;
        uint16_t row = row_of(feature((unsigned)v));
        assert_int_equal(neighbours_peek(m->neighbours, NEIGHBOUR_SEGMENT, row, &list, NULL), 0);
        assert_true(list.n > 10);
        assert_true(fabs(events_now(row) / twin_sum(v) - 1) < 1e-6);
        for (uint32_t k = 0; k < list.n; k++) {
            double weight = (double)list.weight[k] * exp2(-(double)(m->clock_ms - list.reference_ms) / DAY), is = -1;
            for (unsigned i = 0; i < ITEMS; i++)
                if (items_find(m->items, id_of(id, 'i', i)) == list.row[k]) is = twin.pairs[v][i];
            assert_true(fabs(weight - is) < 1e-4 * is + 1e-9);
            found += weight;
        }
        assert_true(fabs(found / twin_sum(v) - 1) < 1e-4);
    }
}

static const struct recommend_answer *ask(const char *user, struct slice *history, size_t n_history) {
    static struct recommend_answer a;
    struct recommend_request q = {.user = slice_str(user),
                                  .history = history,
                                  .n_history = n_history,
                                  .k = ITEMS,
                                  .explain = true,
                                  .keep_used = true,
                                  .wall_ms = T0};
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    return &a;
}

static void test_term_from_its_definition(void **state) {
    (void)state;
    float weight[TERMS];
    live(1500);
    describe(1000, (struct slice[]){feature(0), feature(2), feature(3)}, 3);
    model_publish(m);
    blend_read(&m->blend, 0, weight);
    assert_true(weight[TERM_SEGMENT] > 0);
    const struct recommend_answer *a = ask("u1000", NULL, 0);
    assert_int_equal(a->basis, RECOMMEND_DESCRIBED);
    assert_int_equal(a->n, ITEMS);
    size_t places[2] = {0, 0};
    for (size_t k = 0; k < a->n; k++) {
        char id[16];
        snprintf(id, sizeof id, "%.*s", (int)a->hits[k].id.n, a->hits[k].id.p);
        int item = atoi(id + 1);
        double expected = (double)weight[TERM_SEGMENT] * (twin_term(0, item) + twin_term(2, item));
        assert_true(fabs((double)a->reasons[k].share[TERM_SEGMENT] - expected) < 1e-4 * fabs(expected) + 1e-5);
        places[item >= (int)ITEMS / 2] += k;
    }
    assert_true(10 * places[0] < 8 * places[1]); /* what his kind likes comes before the rest */
    assert_true(twin_information(2) < 0.2 * twin_information(0));
    recommend_done(r);
}

static void test_basis(void **state) {
    (void)state;
    char id[16];
    struct slice seen[1];
    live(500);
    describe(1000, (struct slice[]){feature(3)}, 1); /* of which nobody has done anything */
    describe(1001, (struct slice[]){feature(1)}, 1);
    model_publish(m);
    assert_int_equal(ask("u1000", NULL, 0)->basis, RECOMMEND_POPULAR);
    recommend_done(r);
    assert_int_equal(ask("u1001", NULL, 0)->basis, RECOMMEND_DESCRIBED);
    recommend_done(r);
    seen[0] = id_of(id, 'i', 3);
    assert_int_equal(ask("u1001", seen, 1)->basis, RECOMMEND_HISTORY);
    recommend_done(r);
    learn(1001, 3, m->clock_ms);
    model_publish(m);
    assert_int_equal(ask("u1001", NULL, 0)->basis, RECOMMEND_PERSONAL);
    recommend_done(r);
}

/* A description replaces the one before, whole; who is erased has none. */
static void test_descriptions(void **state) {
    (void)state;
    char id[16];
    struct slice many[12];
    char texts[12][16];
    live(500);
    for (unsigned k = 0; k < 12; k++) {
        snprintf(texts[k], sizeof texts[k], "f:n=%u", k);
        many[k] = slice_str(texts[k]);
    }
    describe(3, many, 12);
    model_publish(m);
    const struct user_row *row = users_find(m->users, id_of(id, 'u', 3));
    assert_int_equal(row->n_features, 8);
    assert_true(row->n > 0);
    assert_int_equal(atomic_load(&m->stats.features_left_out), 4);
    for (unsigned k = 0; k < 8; k++) assert_int_equal(user_feature(row, m->params.dim, k), row_of(many[k]));
    assert_true(slice_equal(user_id(row, m->params.dim), slice_str("u3")));
    learn(3, 1, m->clock_ms); /* the row grows and keeps them */
    learn(3, 29, m->clock_ms);
    learn(3, 16, m->clock_ms);
    model_publish(m);
    row = users_find(m->users, id_of(id, 'u', 3));
    assert_int_equal(row->n_features, 8);
    assert_int_equal(user_feature(row, m->params.dim, 7), row_of(many[7]));
    describe(3, (struct slice[]){feature(0), feature(0)}, 2);
    model_publish(m);
    row = users_find(m->users, id_of(id, 'u', 3));
    assert_int_equal(row->n_features, 1);
    describe(3, NULL, 0);
    model_publish(m);
    assert_int_equal(users_find(m->users, id_of(id, 'u', 3))->n_features, 0);
    describe(3, many, 2);
    model_publish(m);
    assert_int_equal(model_erase_user(m, id_of(id, 'u', 3), NULL), 0);
    learn(3, 2, m->clock_ms);
    model_publish(m);
    assert_int_equal(users_find(m->users, id_of(id, 'u', 3))->n_features, 0);
}

/* More described users than the cache holds wait for a checkpoint. What was refused has left nothing behind, and comes
 * again. */
static void test_descriptions_wait_for_room(void **state) {
    (void)state;
    struct slice many[12];
    char id[16], texts[12][16];
    struct err e;
    int rc = 0;
    uint64_t n = 0, listed;
    recommend_free(r);
    model_free(m);
    m = open_with_cache(8, 65536);
    assert_int_equal(recommend_new(m, 0, &r, NULL), 0);
    for (unsigned k = 0; k < 12; k++) {
        snprintf(texts[k], sizeof texts[k], "f:n=%u", k);
        many[k] = slice_str(texts[k]);
    }
    while (rc == 0 && n < 10000) {
        rc = model_describe_user(m, id_of(id, 'u', (unsigned)n), slice_str("{}"), many, 12, &e);
        n += rc == 0;
        model_publish(m);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_string_equal(e.field, "users");
    assert_true(n > 50);
    assert_null(users_find(m->users, id_of(id, 'u', (unsigned)n)));
    for (unsigned again = 0; again < 3; again++)
        assert_int_equal(model_describe_user(m, id_of(id, 'u', (unsigned)n), slice_str("{}"), many, 12, &e), ERR_FULL);
    assert_int_equal(atomic_load(&m->stats.features_left_out), 4 * n);
    struct user_list *list = users_checkpoint_begin(m->users, &listed);
    assert_int_equal(listed, n);
    while (users_list_next(m->users, list)) {
    }
    users_checkpoint_end(m->users, list, true);
    describe((unsigned)n, many, 12);
    assert_int_equal(atomic_load(&m->stats.features_left_out), 4 * (n + 1));
}

static void test_switched_off(void **state) {
    (void)state;
    char id[16];
    recommend_free(r);
    model_free(m);
    m = open_model(0);
    assert_int_equal(recommend_new(m, 0, &r, NULL), 0);
    live(500);
    describe(1000, (struct slice[]){feature(0)}, 1);
    model_publish(m);
    assert_int_equal(ask("u1000", NULL, 0)->basis, RECOMMEND_POPULAR);
    recommend_done(r);
    assert_null(users_find(m->users, id_of(id, 'u', 1000)));
    for (uint32_t row = 0; row < SEGMENT_ALL; row++) assert_true(segment_log_count(m->segments, row) <= ITEM_NO_COUNT);
}

/* An alarm ages the counts of a segment and its row alike, and everybody's: shares stay, and new events weigh more. */
static void test_alarms_age_all_alike(void **state) {
    (void)state;
    int64_t aged[NEIGHBOUR_KINDS];
    uint16_t row = row_of(feature(1));
    live(800);
    double before = events_now(row);
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++) aged[kind] = (int64_t)DAY;
    neighbours_set_aged(m->neighbours, aged);
    for (unsigned n = 0; n < 10; n++) learn(USERS + n, n, m->clock_ms); /* described now, and as odd ones are */
    for (unsigned n = 0; n < 10; n++) describe(USERS + n, (struct slice[]){feature(1)}, 1);
    for (unsigned n = 0; n < 10; n++) learn(USERS + n, 20 + n, m->clock_ms);
    model_publish(m);
    struct neighbour_list list;
    double sum = 0, now = exp2(segment_log_count(m->segments, row) - ((double)m->clock_ms + DAY) / DAY);
    assert_int_equal(neighbours_peek(m->neighbours, NEIGHBOUR_SEGMENT, row, &list, NULL), 0);
    for (uint32_t k = 0; k < list.n; k++)
        sum += (double)list.weight[k] * exp2(-(double)(m->clock_ms - list.reference_ms) / DAY);
    assert_true(fabs(now - (before / 2 + 10)) < 1e-6 * now);
    assert_true(fabs(sum / now - 1) < 1e-4);
}

static void test_stored_and_back(void **state) {
    (void)state;
    struct buf bytes;
    struct err e;
    struct model *other = open_model(8);
    live(400);
    buf_init(&bytes, 1u << 20);
    unsigned taken = 0;
    for (uint32_t block = 0; block < SEGMENT_BLOCKS; block++) {
        buf_clear(&bytes);
        if (!segments_take(m->segments, block, &bytes)) continue;
        taken++;
        assert_int_equal(segments_load(other->segments, block, slice_of(bytes.p, bytes.n), &e), 0);
        assert_int_equal(segments_load(other->segments, block, slice_of(bytes.p, bytes.n - 1), &e), ERR_CORRUPT);
    }
    assert_true(taken >= 2 && taken <= 4); /* three features and everybody */
    assert_int_equal(segments_load(other->segments, SEGMENT_BLOCKS, slice_of(bytes.p, 0), &e), ERR_CORRUPT);
    assert_int_equal(atomic_load(&m->segments->n_known), 3);
    assert_int_equal(atomic_load(&other->segments->n_known), 3);
    for (uint32_t row = 0; row <= SEGMENT_ALL; row++)
        assert_true(segment_log_count(m->segments, row) == segment_log_count(other->segments, row));
    for (uint32_t block = 0; block < SEGMENT_BLOCKS; block++) assert_false(segments_take(m->segments, block, &bytes));
    segments_mark_dirty(m->segments); /* what a failed checkpoint took goes with the next */
    for (uint32_t block = 0; block < SEGMENT_BLOCKS; block++) taken -= segments_take(m->segments, block, &bytes);
    assert_int_equal(taken, 0);
    buf_free(&bytes);
    model_free(other);
}

static _Atomic bool done;
static _Atomic unsigned answers;

static void *read_on(void *arg) {
    while (!atomic_load(&done)) {
        const struct recommend_answer *a = ask("u1000", NULL, 0);
        for (size_t k = 0; k < a->n; k++) assert_true(isfinite(a->hits[k].score));
        recommend_done(r);
        atomic_fetch_add(&answers, 1);
    }
    return arg;
}

static void test_readers_beside_the_learner(void **state) {
    (void)state;
    pthread_t thread;
    live(200);
    describe(1000, (struct slice[]){feature(0), feature(2)}, 2);
    model_publish(m);
    atomic_store(&done, false);
    assert_int_equal(pthread_create(&thread, NULL, read_on, NULL), 0);
    for (unsigned n = 0; n < 2000 || atomic_load(&answers) < 50; n++) {
        learn(n % USERS, n * 7 % ITEMS, m->clock_ms + 1000);
        if (n % 100 == 0) describe(1000, (struct slice[]){feature(n / 100 % 2), feature(2)}, 1 + n / 100 % 2);
        if (n % 10 == 0) model_publish(m);
    }
    atomic_store(&done, true);
    pthread_join(thread, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts_as_the_naive_twin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_term_from_its_definition, setup, teardown),
        cmocka_unit_test_setup_teardown(test_basis, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptions_wait_for_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_switched_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alarms_age_all_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stored_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readers_beside_the_learner, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
