/* The detector of changed tastes: values by hand, a month without a change, changes found, stored and published forms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/model/drift.h"

#define HOUR_MS 3600000
#define DAY_MS  (24 * (int64_t)HOUR_MS)
#define T0      (19000 * DAY_MS) /* a midnight */

static struct model_params defaults(void) {
    return (struct model_params){.drift_tolerance = 0.1f,
                                 .drift_threshold = 60,
                                 .drift_age = 3,
                                 .drift_sums = 0.06f,
                                 .pair_half_life_ms = 90 * DAY_MS,
                                 .successor_half_life_ms = 30 * DAY_MS,
                                 .lately_half_life_ms = 7 * DAY_MS};
}

/* One moment: the next event, of another user, ends it. */
static bool moment(struct drift *d, uint64_t n, int64_t clock_ms, double v) { return drift_note(d, n, clock_ms, v, 1); }

/* 200 moments as expected, then one of 0: all squares but the last are 0, so it stands sqrt(200) deviations out. */
static void evidence_by_hand(void **state) {
    (void)state;
    struct model_params p = defaults();
    struct drift d;
    drift_init(&d, &p);
    for (uint64_t n = 0; n < 200; n++) moment(&d, n, T0, 0.5);
    moment(&d, 200, T0, 0);
    assert_true(d.evidence == 0);
    moment(&d, 201, T0, 0); /* the first of 0 is over */
    double fade = 0.99995, squares = (1 - pow(fade, 200)) / (1 - fade), first = sqrt(squares) - 0.1;
    assert_true(fabs(first - 14.0) < 0.1);
    assert_true(fabs(d.evidence - first) < 1e-6);
    /* Of the second zero less is expected, 0.5 (1 - share of the first zero), and its square counts in sigma. */
    moment(&d, 202, T0, 0);
    double fade_hour = 0.999, n_hour = (1 - pow(fade_hour, 201)) / (1 - fade_hour),
           n_all = (1 - pow(fade, 201)) / (1 - fade);
    /* at midnight half of this hour's, half of the one before */
    double expected = 0.5 * (0.5 * (n_hour - 1) + 10 * (n_all - 1) / n_all) / (0.5 * n_hour + 10);
    double sigma = sqrt((0.25 * fade + expected * expected) / (fade * squares + 1));
    assert_true(fabs(d.evidence - (first + expected / sigma - 0.1)) < 1e-6);
    drift_publish(&d); /* a day has not passed yet: twice the threshold */
    assert_true(fabs(drift_read(&d).evidence - d.evidence / 120) < 1e-9);
}

static void better_than_expected_is_no_evidence(void **state) {
    (void)state;
    struct model_params p = defaults();
    struct drift d;
    drift_init(&d, &p);
    for (uint64_t n = 0; n < 400; n++) moment(&d, n, T0, n % 2 ? 0.4 : 0.6);
    for (uint64_t n = 0; n < 400; n++) moment(&d, n, T0, 0.9);
    assert_true(d.evidence == 0 && d.now.alarms == 0);
}

static void events_of_one_user_in_a_row_are_one_moment(void **state) {
    (void)state;
    struct model_params p = defaults();
    struct drift d, single;
    drift_init(&d, &p);
    drift_init(&single, &p);
    for (uint64_t n = 0; n < 600; n++) {
        double v = draw_unit(draw_bits(1, n)) < 0.5f;
        drift_note(&d, n, T0, v + 0.25, 2); /* 0.25, twice; and v */
        drift_note(&d, n, T0, v + 0.25, 1);
        drift_note(&single, n, T0, 2 * v + 0.5, 3);
    }
    assert_int_equal(d.now.moments, 599); /* the last is open */
    assert_memory_equal(d.hour, single.hour, sizeof d.hour);
    assert_true(d.evidence == single.evidence && d.all.sum == single.all.sum);
}

/* A shop: hits at ranks 0 to 19 whose share follows the hour of the day, as does the number of events. */
struct shop {
    uint64_t seed, n;
    double clock_ms;
    bool jump; /* at midnight; else a wave */
};

static double gain(const struct shop *s, float share) {
    if (draw_unit(draw_bits(s->seed, 3 * s->n)) >= share) return 0;
    return 1 / log2(2 + 20 * (double)draw_unit(draw_bits(s->seed, 3 * s->n + 1)));
}

/* Events until the day; those of the model hit `part` as often as usual. Returns the moments until an alarm, 0: none.
 */
static uint64_t live(struct shop *s, struct drift *d, double day, float part) {
    uint64_t begin = s->n;
    while (s->clock_ms < (double)T0 + day * (double)DAY_MS) {
        int64_t now = (int64_t)s->clock_ms;
        double day_part = (double)(now % DAY_MS) / (double)DAY_MS;
        float cycle = (float)(s->jump ? sqrt(day_part) : 0.5 - 0.5 * cos(6.283185307179586 * day_part)); /* 0 to 1 */
        double v = gain(s, part * (0.1f + 0.8f * cycle)) - gain(s, 0.05f);
        s->n++;
        s->clock_ms += 86400 / (0.3 + 1.4 * (double)cycle);                        /* some 1,200 a day */
        if (drift_note(d, s->n - (s->n % 7 == 0), now, v, 1)) return s->n - begin; /* some of one user in a row */
    }
    return 0;
}

static void a_stationary_month_raises_no_alarm(void **state) {
    (void)state;
    struct model_params p = defaults();
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct drift d;
        struct shop s = {seed, 0, (double)T0, seed % 2};
        drift_init(&d, &p);
        assert_int_equal(live(&s, &d, 30, 1), 0);
        assert_true(d.now.moments > 20000);
    }
}

/* Were the mean of all hours expected, each night would raise an alarm. */
static void the_daily_cycle_is_expected(void **state) {
    (void)state;
    struct model_params p = defaults();
    struct drift d;
    struct shop s = {1, 0, (double)T0, false};
    drift_init(&d, &p);
    for (double day = 0; day < 30; day += 0.01) {
        live(&s, &d, day, 1);
        memset(d.hour, 0, sizeof d.hour);
    }
    assert_in_range(d.now.alarms, 5, 60);
}

static void flips_are_found(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct model_params p = defaults();
        struct drift d;
        struct shop s = {seed, 0, (double)T0, false};
        drift_init(&d, &p);
        assert_int_equal(live(&s, &d, 10, 1), 0);
        uint64_t after = live(&s, &d, 20, 0.2f); /* a fifth of the lead is left */
        assert_in_range(after, 1, 400);
        assert_int_equal(d.now.alarms, 1);
        assert_int_equal(d.now.forgot, 1);
        assert_true(d.now.found < 0.5 * d.now.expected);
        int64_t at = d.now.alarm_ms;
        assert_true(drift_history_from(&d) == at + 1);
        assert_true(d.aged_ms[0] == 270 * DAY_MS && d.aged_ms[2] == 90 * DAY_MS);
        assert_int_equal(live(&s, &d, 20, 0.2f), 0); /* that is how it is now: no second alarm */
    }
}

static void a_change_that_leaves_more_than_half_forgets_nothing(void **state) {
    (void)state;
    struct model_params p = defaults();
    struct drift d;
    struct shop s = {3, 0, (double)T0, false};
    drift_init(&d, &p);
    live(&s, &d, 10, 1);
    assert_true(live(&s, &d, 20, 0.7f) > 0);
    assert_int_equal(d.now.alarms, 1);
    assert_int_equal(d.now.forgot, 0);
    assert_true(drift_history_from(&d) == DRIFT_NEVER && d.aged_ms[0] == 0);
    assert_false(drift_forgets(&d, 0, INT64_MAX));
}

static void actions_are_what_was_asked_for(void **state) {
    (void)state;
    struct model_params p = defaults();
    p.drift_age = 0; /* drift.action = step */
    struct drift d;
    struct shop s = {1, 0, (double)T0, false};
    drift_init(&d, &p);
    live(&s, &d, 10, 1);
    assert_true(live(&s, &d, 20, 0) > 0);
    int64_t at = d.now.alarm_ms;
    assert_true(drift_history_from(&d) == DRIFT_NEVER && d.aged_ms[0] == 0);
    assert_true(drift_forgets(&d, at, at + 1));
    assert_false(drift_forgets(&d, at, at));         /* late */
    assert_false(drift_forgets(&d, at + 1, at + 2)); /* has forgotten */
    p.drift_threshold = 0;
    drift_init(&d, &p);
    assert_int_equal(live(&s, &d, 30, 0), 0);
}

static void stored_and_going_on(void **state) {
    (void)state;
    struct model_params p = defaults();
    static struct drift d, loaded;
    struct shop s = {5, 0, (double)T0, false};
    struct buf a, b;
    buf_init(&a, 1 << 16);
    buf_init(&b, 1 << 16);
    drift_init(&d, &p);
    for (int k = 1; k <= 40; k++) {
        live(&s, &d, 0.5 * k, k < 20 ? 1 : 0.1f);
        buf_clear(&a);
        drift_encode(&d, &a);
        drift_init(&loaded, &p);
        assert_int_equal(drift_decode(&loaded, slice_of(a.p, a.n), NULL), 0);
        struct shop again = s;
        live(&s, &d, 0.5 * k + 0.3, k < 20 ? 1 : 0.1f);
        live(&again, &loaded, 0.5 * k + 0.3, k < 20 ? 1 : 0.1f);
        buf_clear(&a);
        drift_encode(&d, &a);
        buf_clear(&b);
        drift_encode(&loaded, &b);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.p, b.p, a.n);
    }
    assert_true(d.now.alarms > 0);
    for (size_t cut = 0; cut < a.n; cut++)
        assert_int_equal(drift_decode(&loaded, slice_of(a.p, cut), NULL), ERR_CORRUPT);
    buf_add(&a, "x", 1);
    assert_int_equal(drift_decode(&loaded, slice_of(a.p, a.n), NULL), ERR_CORRUPT);
    buf_free(&a);
    buf_free(&b);
}

static void published(void **state) {
    (void)state;
    struct model_params p = defaults();
    static struct drift d;
    struct shop s = {5, 0, (double)T0, false};
    drift_init(&d, &p);
    assert_true(drift_read(&d).alarm_ms == DRIFT_NEVER && drift_history_from_read(&d) == DRIFT_NEVER);
    live(&s, &d, 10, 1);
    assert_true(live(&s, &d, 20, 0.1f) > 0);
    assert_int_equal(drift_read(&d).alarms, 0); /* as of the last publish */
    drift_publish(&d);
    struct drift_view v = drift_read(&d);
    assert_memory_equal(&v, &d.now, sizeof v);
    assert_int_equal(v.alarms, 1);
    assert_true(drift_history_from_read(&d) == v.alarm_ms + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_by_hand),
        cmocka_unit_test(better_than_expected_is_no_evidence),
        cmocka_unit_test(events_of_one_user_in_a_row_are_one_moment),
        cmocka_unit_test(a_stationary_month_raises_no_alarm),
        cmocka_unit_test(the_daily_cycle_is_expected),
        cmocka_unit_test(flips_are_found),
        cmocka_unit_test(a_change_that_leaves_more_than_half_forgets_nothing),
        cmocka_unit_test(actions_are_what_was_asked_for),
        cmocka_unit_test(stored_and_going_on),
        cmocka_unit_test(published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
