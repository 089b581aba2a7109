/* Judged events as live quality sees them, and what the model forgets after an alarm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/model/forget.h"
#include "lib/model/topk.h"
#include "tests/unit/model_taste.h"

#define MINUTE 60000

/* --- live quality --- */

/* Place of an item by the middle trend among the candidates that the user has not used; QUALITY_CUT: beyond. */
static uint32_t popular_place(const struct model *m, const struct user_row *user, uint32_t target, int64_t now) {
    const struct items *t = m->items;
    double shift = (double)now / (double)m->params.trend_half_life_ms[1];
    uint32_t above = 0;
    bool *used = calloc(t->n_rows + 1, sizeof *used);
    assert_non_null(used);
    for (uint32_t k = 0; user && k < user->n; k++) used[user_entries(user, m->params.dim)[k].row] = true;
    float of_target = 0;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t row = 0; row < t->n_rows; row++) {
            float trend = (float)fmax(item_head(t, row)->trend[1] - shift, TOPK_TREND_FLOOR);
            if (pass == 0 && row == target) of_target = trend;
            if (pass == 1 && item_is_candidate(item_head(t, row)) && !used[row] && row != target)
                above += trend > of_target || (trend == of_target && row < target);
        }
    free(used);
    return above < QUALITY_CUT ? above : QUALITY_CUT;
}

/* Events on that many items, of which popular ones come often; each judged one is ranked here too. */
static unsigned check_popularity(unsigned items, unsigned events, bool described) {
    struct model_params p = taste_params();
    p.max_items = 10000;
    p.negatives = 2;
    p.blend_step = p.blend_step_neighbours = 0;
    p.blend_start[TERM_AFFINITY] = p.blend_start[TERM_SUCCESSION] = 0.3f;
    p.max_features = 100;
    p.item_features = 8;
    p.affinity_history = 20;
    p.feature_scale = 100;
    p.succession_history = 3;
    p.succession_features = 8;
    struct model *m = taste_new(&p);
    unsigned judged = 0;
    for (unsigned n = 0; described && n < items + 100; n++) { /* 100 of them are never touched */
        char i[16], f[16];
        struct slice id = taste_id(i, 'i', n), feature = taste_id(f, 'f', n % 12);
        assert_int_equal(model_describe_item(m, id, -1, INT64_MIN, slice_str("{}"), NULL), 0);
        assert_int_equal(model_set_features(m, id, &feature, 1, NULL), 0);
    }
    for (unsigned n = 0; n < items; n++) taste_event(m, n, n, n, n / 20);
    for (uint64_t n = items; n < items + events; n++) {
        unsigned user = draw_below(draw_bits(1, n), 50);
        float place = draw_unit(draw_bits(2, n));
        unsigned item = (unsigned)(place * place * place * place * (float)items);
        char u[16], i[16];
        const struct user_row *row_of = users_find(m->users, taste_id(u, 'u', 1000000 + user));
        uint32_t row = items_find(m->items, taste_id(i, 'i', item)), want = QUALITY_CUT;
        int64_t minute = (int64_t)(items / 20 + (n - items));
        want = popular_place(m, row_of, row, TASTE_T0 + minute * MINUTE);
        double before = m->quality.cohort[QUALITY_ALL].of[QUALITY_MRR].popular;
        uint64_t cases = m->quality.cases;
        taste_event(m, n, 1000000 + user, item, minute);
        model_publish(m);
        if (m->quality.cases == cases) continue;
        double got = m->quality.cohort[QUALITY_ALL].of[QUALITY_MRR].popular - QUALITY_FADE * before;
        assert_true(fabs(got - (want < QUALITY_CUT ? 1.0 / (want + 1) : 0)) < 1e-9);
        judged += want < QUALITY_CUT;
    }
    model_free(m);
    return judged;
}

static void popularity_on_the_same_targets(void **state) {
    (void)state;
    for (int described = 0; described < 2; described++) {
        assert_true(check_popularity(300, 600, described) > 50);
        assert_true(check_popularity(8400, 1200, described) > 20); /* by bounds */
    }
}

static void cohorts_are_those_of_the_event(void **state) {
    (void)state;
    struct model_params p = taste_params();
    struct model *m = taste_new(&p);
    struct quality_view all, by[3];
    taste_learn(m, 0, 2000);
    quality_read(&m->quality, QUALITY_ALL, &all);
    for (int k = 0; k < 3; k++)
        quality_read(&m->quality, (uint32_t[]){QUALITY_PERSONAL, QUALITY_POPULAR, QUALITY_TYPE}[k], &by[k]);
    assert_true(quality_cases(&m->quality) > 500 && quality_cases(&m->quality) < 1500);
    assert_true(by[2].cases == all.cases); /* the only type */
    assert_true(by[0].cases > by[1].cases && by[1].cases > 0);
    assert_true(all.of[QUALITY_NDCG].difference.value > all.of[QUALITY_NDCG].difference.band); /* it has learned */
    model_free(m);
}

/* --- after an alarm --- */

/* As if an alarm had been raised at that minute. */
static void alarm_at(struct model *m, int64_t minute, int half_lives) {
    m->drift.forget_before_ms = TASTE_T0 + minute * MINUTE;
    m->drift.aged_ms[NEIGHBOUR_FORWARD] = half_lives * m->params.pair_half_life_ms;
    neighbours_set_aged(m->neighbours, m->drift.aged_ms);
    m->drift.changed = true;
    model_publish(m);
}

static struct model *learned(struct model_params *p) {
    *p = taste_params();
    p->drift_age = 3;
    p->drift_sums = 0.25f;
    struct model *m = taste_new(p);
    taste_learn(m, 0, 1000);
    return m;
}

static void sums_and_counts_fade_once(void **state) {
    (void)state;
    struct model_params p;
    struct model *m = learned(&p), *twin = learned(&p);
    char i[16], u[16];
    uint32_t row = items_find(m->items, taste_id(i, 'i', 30));
    alarm_at(m, 1000, 0);
    const struct item_head *now = item_head(m->items, row), *plain = item_head(twin->items, row);
    assert_memory_equal(now, plain, sizeof *now); /* nothing is touched */
    for (int round = 0; round < 2; round++) {
        float before = now->count, untouched = plain->count;
        for (int k = 0; k < 2; k++)
            taste_event(k ? twin : m, 1000 + (uint64_t)round, 500 + (unsigned)round, 30, 1000 + 60 * round);
        float fade = (float)exp2(-(double)(60 * MINUTE) / (double)p.count_half_life_ms);
        if (round == 0) { /* an eighth of what was, and 1 */
            double old = (double)plain->count - 1;
            assert_true(fabs((double)now->count - (1 + old / 8)) < 1e-4 * (double)untouched);
            assert_true(now->q_sum < plain->q_sum);
        } else {
            assert_true(fabs((double)now->count - (1 + (double)before * (double)fade)) < 1e-4);
        }
    }
    const struct user_row *user = users_find(m->users, taste_id(u, 'u', 7));
    size_t size = sizeof *user + sizeof(float) * p.dim;
    struct user_row *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, user, size);
    forget_user(m, copy, TASTE_T0 + 999 * MINUTE); /* late: not yet */
    assert_memory_equal(copy, user, size);
    forget_user(m, copy, TASTE_T0 + 1500 * MINUTE);
    assert_true(copy->p_sum == 0.25f * user->p_sum && user->p_sum > 0);
    assert_memory_equal(copy->p, user->p, sizeof(float) * p.dim);
    free(copy);
    model_free(m);
    model_free(twin);
}

static void neighbours_are_aged_without_being_touched(void **state) {
    (void)state;
    struct model_params p;
    struct model *m = learned(&p);
    struct neighbour_list before, after;
    char i[16];
    uint32_t row = items_find(m->items, taste_id(i, 'i', 30));
    assert_int_equal(neighbours_peek(m->neighbours, NEIGHBOUR_FORWARD, row, &before, NULL), 0);
    assert_true(before.n > 0);
    alarm_at(m, 1000, 3);
    assert_int_equal(neighbours_peek(m->neighbours, NEIGHBOUR_FORWARD, row, &after, NULL), 0);
    assert_int_equal(after.n, before.n);
    assert_memory_equal(after.weight, before.weight, after.n * sizeof *after.weight);
    assert_true(after.reference_ms == before.reference_ms - 3 * p.pair_half_life_ms); /* an eighth at any moment */
    epoch_enter(m->epoch, 1);
    assert_int_equal(neighbours_read(m->neighbours, 1, NEIGHBOUR_FORWARD, row, &before, NULL), 0);
    epoch_leave(m->epoch, 1);
    assert_true(before.reference_ms == after.reference_ms);
    model_free(m);
}

static void history_begins_anew(void **state) {
    (void)state;
    struct model_params p;
    struct model *m = learned(&p);
    struct recommend *r;
    struct recommend_answer a;
    char u[16], i[16];
    struct slice used = taste_id(i, 'i', 77);
    struct recommend_request q = {.user = taste_id(u, 'u', 5), .k = 10, .explain = true}, given = q;
    given.user = slice_str("");
    given.history = &used;
    given.n_history = 1;
    assert_int_equal(recommend_new(m, 1, &r, NULL), 0);
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    assert_true(a.n == 10 && a.reasons[0].n > 0);
    recommend_done(r);
    alarm_at(m, 1000, 3);
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    assert_int_equal(a.basis, RECOMMEND_PERSONAL);
    for (size_t k = 0; k < a.n; k++) assert_int_equal(a.reasons[k].n, 0); /* no item of before */
    recommend_done(r);
    assert_int_equal(recommend_rank(r, &given, &a, NULL), 0); /* what a request brings is of now */
    assert_true(a.reasons[0].n > 0);
    recommend_done(r);
    taste_event(m, 1000, 5, 77, 1001);
    model_publish(m);
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    unsigned reasons = 0;
    for (size_t k = 0; k < a.n; k++) {
        assert_true(a.reasons[k].n <= 1);
        if (a.reasons[k].n) assert_true(slice_equal(a.reasons[k].because[0].item, used));
        reasons += a.reasons[k].n;
    }
    assert_true(reasons > 0);
    recommend_done(r);
    recommend_free(r);
    model_free(m);
}

static void pairs_teach_anew_once(void **state) {
    (void)state;
    struct model_params p;
    struct model *m = learned(&p);
    char u[16];
    const struct user_row *user = users_find(m->users, taste_id(u, 'u', 5));
    unsigned item = taste_item(items_id(m->items, user_entries(user, p.dim)[0].row));
    for (int alarms = 0; alarms < 2; alarms++) {
        uint64_t pairs[3];
        for (int k = 0; k < 3; k++) {
            pairs[k] = m->stats.pairs;
            taste_event(m, 1000 + (uint64_t)(10 * alarms + k), 5, item, 1000 + 10 * alarms + k);
        }
        assert_int_equal(pairs[1] - pairs[0], alarms); /* he had it before; so he had, and that is forgotten */
        assert_int_equal(pairs[2] - pairs[1], 0);
        assert_int_equal(m->stats.pairs - pairs[2], 0);
        alarm_at(m, 1005, 3);
    }
    model_free(m);
}

static void entries_since(void **state) {
    (void)state;
    const struct user_entry e[] = {{.time_ms = 5}, {.time_ms = 20}, {.time_ms = 10}, {.time_ms = 30}, {.time_ms = 20}};
    const int64_t since[] = {DRIFT_NEVER, 0, 6, 11, 20, 21, 31};
    const uint32_t want[] = {5, 5, 4, 4, 4, 2, 0};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++)
        assert_int_equal(user_entries_since(e, 5, since[k]), want[k]);
    assert_int_equal(user_entries_since(e, 0, 0), 0);
}

/* A shop whose tastes flip: one alarm, which comes after the flip, wherever publishes fall. */
static void the_same_bits_wherever_publishes_fall(void **state) {
    (void)state;
    uint64_t hashes[3];
    for (int every = 1; every <= 3; every++) {
        struct model_params p = taste_params();
        p.drift_age = 3;
        p.drift_sums = 0.06f;
        p.drift_tolerance = 0.05f;
        p.drift_threshold = 8;
        struct model *m = taste_new(&p);
        for (uint64_t n = 0; n < 6000; n++) {
            unsigned user = draw_below(draw_bits(11, n), TASTE_USERS);
            unsigned group = (user + (n < 3500 ? 0 : 1)) % TASTE_GROUPS;
            float place = draw_unit(draw_bits(12, n));
            if (n == 3500) assert_int_equal(m->drift.now.alarms, 0);
            taste_event(m, n, user, group * TASTE_ITEMS + (unsigned)(place * TASTE_ITEMS), (int64_t)n);
            if (n % (unsigned)(every * every) == 0) model_publish(m);
        }
        model_publish(m);
        assert_true(drift_read(&m->drift).alarms >= 1);
        struct buf bytes;
        buf_init(&bytes, 1 << 20);
        quality_encode(&m->quality, &bytes);
        drift_encode(&m->drift, &bytes);
        blend_encode(&m->blend, &bytes);
        hashes[every - 1] = shop_hash(m) ^ hash64(bytes.p, bytes.n, 3);
        buf_free(&bytes);
        model_free(m);
    }
    assert_true(hashes[0] == hashes[1] && hashes[1] == hashes[2]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(popularity_on_the_same_targets),
        cmocka_unit_test(cohorts_are_those_of_the_event),
        cmocka_unit_test(sums_and_counts_fade_once),
        cmocka_unit_test(neighbours_are_aged_without_being_touched),
        cmocka_unit_test(history_begins_anew),
        cmocka_unit_test(pairs_teach_anew_once),
        cmocka_unit_test(entries_since),
        cmocka_unit_test(the_same_bits_wherever_publishes_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
