/* The past: histories, used items, candidates and popularity against a list of all events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/eval/past.h"

enum { USERS = 5, ITEMS = 200, EVENTS = 3000, BASKET = 6 };

struct line {
    int64_t ts_ms;
    uint32_t user, item;
    float weight;
};

struct world {
    struct past *past;
    struct line lines[EVENTS * BASKET];
    size_t n;
};

static int set_up(void **state) {
    static struct world w;
    memset(&w, 0, sizeof w);
    assert_int_equal(past_new(USERS, ITEMS, &w.past, NULL), 0);
    *state = &w;
    return 0;
}

static int tear_down(void **state) {
    past_free(((struct world *)*state)->past);
    return 0;
}

static uint32_t below(uint64_t *at, uint32_t n) { return draw_below(draw_bits(5, (*at)++), n); }

static void learn(struct world *w, struct past_event ev) {
    for (uint32_t k = 0; k < ev.n_items; k++) {
        w->lines[w->n++] = (struct line){ev.ts_ms, ev.user, ev.items[k], ev.weight};
    }
    assert_int_equal(past_learn(w->past, &ev, NULL), 0);
}

/* Users take from 40, 80, ... items, so that some meet the bound of the history and others do not. */
static void learn_randomly(struct world *w) {
    uint64_t at = 0;
    int64_t ts_ms = INT64_C(1700000000000);
    for (int n = 0; n < EVENTS; n++) {
        uint32_t items[BASKET], user = below(&at, USERS), n_items = below(&at, 3) ? 1 : 1 + below(&at, BASKET);
        for (uint32_t k = 0; k < n_items; k++) items[k] = below(&at, 40 * (user + 1));
        ts_ms += (int64_t)below(&at, 4000000) - (n % 50 == 0 ? 20000000 : 0);
        learn(w, (struct past_event){ts_ms, user, items, n_items, below(&at, 5) ? 1.0f : (float)below(&at, 3)});
    }
}

static void histories_hold_the_newest_distinct(void **state) {
    struct world *w = *state;
    learn_randomly(w);
    for (uint32_t user = 0; user < USERS; user++) {
        uint32_t n, n_used, expected = 0, distinct = 0;
        bool met[ITEMS] = {false};
        const struct past_use *history = past_history(w->past, user, &n);
        for (size_t at = w->n; at-- > 0;) {
            const struct line *line = &w->lines[at];
            if (line->user != user || met[line->item]) continue;
            met[line->item] = true;
            distinct++;
            if (expected == PAST_HISTORY) continue;
            const struct past_use *use = &history[n - 1 - expected++];
            assert_int_equal(use->item, line->item);
            assert_true(use->ts_ms == line->ts_ms);
        }
        assert_int_equal(n, expected);
        const uint32_t *used = past_used_items(w->past, user, &n_used);
        assert_int_equal(n_used, distinct);
        for (uint32_t k = 0; k < n_used; k++) {
            assert_true(met[used[k]]);
            for (uint32_t other = 0; other < k; other++) assert_int_not_equal(used[k], used[other]);
        }
        for (uint32_t i = 0; i < ITEMS; i++) assert_int_equal(past_used(w->past, user, i), met[i]);
    }
}

static void candidates_in_order_of_appearance(void **state) {
    struct world *w = *state;
    past_describe(w->past, 199);
    learn_randomly(w);
    past_describe(w->past, w->lines[0].item);
    uint32_t n, expected = 1;
    bool met[ITEMS] = {[199] = true};
    const uint32_t *candidates = past_candidates(w->past, &n);
    assert_int_equal(candidates[0], 199);
    for (size_t at = 0; at < w->n; at++) {
        uint32_t item = w->lines[at].item;
        if (!met[item]) assert_int_equal(candidates[expected++], item);
        met[item] = true;
    }
    assert_int_equal(n, expected);
    for (uint32_t i = 0; i < ITEMS; i++) assert_int_equal(past_is_candidate(w->past)[i], met[i]);
}

static void popularity_is_the_decayed_sum(void **state) {
    struct world *w = *state;
    learn_randomly(w);
    past_describe(w->past, 199);
    for (int which = 0; which < PAST_POPULARITIES; which++) {
        const double *popularity = past_popularity(w->past, (enum past_popularity)which);
        double half_life = (double)past_popularity_ms((enum past_popularity)which),
               last = (double)w->lines[w->n - 1].ts_ms;
        double sums[ITEMS] = {0}, shift = (last - (double)w->lines[0].ts_ms) / half_life;
        for (size_t at = 0; at < w->n; at++) {
            const struct line *line = &w->lines[at];
            sums[line->item] += (double)line->weight * exp2(((double)line->ts_ms - last) / half_life);
        }
        for (uint32_t i = 0; i < ITEMS; i++) {
            if (!past_is_candidate(w->past)[i]) continue;
            if (sums[i] == 0)
                assert_true(popularity[i] == -INFINITY);
            else
                assert_true(fabs(log2(sums[i]) + shift - popularity[i]) < 1e-8);
        }
    }
}

static void weight_zero_counts_nothing(void **state) {
    struct world *w = *state;
    static const uint32_t item = 7;
    learn(w, (struct past_event){1000, 2, &item, 1, 0});
    for (int which = 0; which < PAST_POPULARITIES; which++)
        assert_true(past_popularity(w->past, (enum past_popularity)which)[item] == -INFINITY);
    assert_true(past_used(w->past, 2, item) && past_is_candidate(w->past)[item]);
}

/* Stamps that are centuries off cost precision, never a NaN. */
static void absurd_stamps_are_survived(void **state) {
    struct world *w = *state;
    static const uint32_t items[] = {1, 2};
    static const int64_t stamps[] = {INT64_C(1700000000000), INT64_C(250000000000000), 0, INT64_C(1700000000001)};
    for (int k = 0; k < 4; k++) learn(w, (struct past_event){stamps[k], 0, items, 2, 1});
    const double *popularity = past_popularity(w->past, PAST_6_HOURS);
    assert_true(isfinite(popularity[1]) && popularity[1] == popularity[2]);
}

static void refused_memory_changes_nothing(void **state) {
    struct world *w = *state;
    learn_randomly(w);
    uint32_t items[ITEMS], n_before, n;
    for (uint32_t i = 0; i < ITEMS; i++) items[i] = i;
    past_used_items(w->past, 1, &n_before);
    struct past_event ev = {INT64_C(1800000000000), 1, items, ITEMS, 1};
    mem_fail_at(1);
    assert_int_equal(past_learn(w->past, &ev, NULL), ERR_NOMEM);
    mem_fail_at(0);
    past_used_items(w->past, 1, &n);
    assert_int_equal(n, n_before);
    assert_false(past_used(w->past, 1, ITEMS - 1));
    learn(w, ev);
    assert_true(past_used(w->past, 1, ITEMS - 1));
    struct past *none = NULL;
    for (uint64_t nth = 1; nth <= 9; nth++) {
        mem_fail_at(nth);
        assert_int_equal(past_new(USERS, ITEMS, &none, NULL), ERR_NOMEM);
        assert_null(none);
    }
    mem_fail_at(0);
    past_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(histories_hold_the_newest_distinct, set_up, tear_down),
        cmocka_unit_test_setup_teardown(candidates_in_order_of_appearance, set_up, tear_down),
        cmocka_unit_test_setup_teardown(popularity_is_the_decayed_sum, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weight_zero_counts_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(absurd_stamps_are_survived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_memory_changes_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
