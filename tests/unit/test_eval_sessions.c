/* Sessions and their bounds, and the session neighbours against a slow twin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/eval/baseline_priv.h"
#include "lib/eval/sessions.h"
#include "tests/unit/eval_log.h"

#define HOUR INT64_C(3600000)
#define GAP  (HOUR / 2)

static void take(struct sessions *s, uint32_t user, uint32_t item, int64_t ts_ms) {
    struct past_event ev = {ts_ms, user, &item, 1, 1};
    assert_int_equal(sessions_learn(s, &ev, NULL), 0);
}

static void a_pause_ends_a_session(void **state) {
    (void)state;
    struct sessions *s = NULL;
    uint32_t n;
    assert_int_equal(sessions_new(3, 10, GAP, &s, NULL), 0);
    assert_int_equal(sessions_last_of(s, 1), 0);
    assert_null(sessions_find(s, 0));
    take(s, 1, 5, 1000);
    take(s, 2, 5, 2000);
    take(s, 1, 6, 1000 + GAP);
    take(s, 1, 5, 1001 + GAP);
    const struct session *first = sessions_find(s, sessions_last_of(s, 1));
    assert_true(first->n == 2 && first->items[0] == 6 && first->items[1] == 5 && first->ts_ms == 1001 + GAP);
    const uint32_t *with = sessions_with(s, 5, &n);
    assert_true(n == 2 && with[0] == 2 && with[1] == 1); /* session 1 took it last */
    take(s, 1, 5, 1002 + 2 * GAP);
    assert_int_equal(sessions_last_of(s, 1), 3);
    assert_int_equal(sessions_find(s, 3)->n, 1);
    assert_int_equal(sessions_count(s), 3);
    assert_int_equal(sessions_count_with(s, 5), 3);
    assert_int_equal(sessions_count_with(s, 6), 1);
    sessions_free(s);
    sessions_free(NULL);
}

static void without_a_gap_none_ends(void **state) {
    (void)state;
    struct sessions *s = NULL;
    uint32_t n;
    assert_int_equal(sessions_new(3, 200, 0, &s, NULL), 0);
    for (uint32_t i = 0; i < SESSION_ITEMS + 3; i++) take(s, 1, i, (int64_t)i * 1000 * HOUR);
    const struct session *only = sessions_find(s, 1);
    assert_true(sessions_count(s) == 1 && only->n == SESSION_ITEMS && only->items[0] == 3);
    sessions_with(s, 2, &n);
    assert_int_equal(n, 0); /* the index forgets with the session */
    sessions_with(s, 3, &n);
    assert_int_equal(n, 1);
    sessions_free(s);
}

static void the_oldest_make_place(void **state) {
    (void)state;
    struct sessions *s = NULL;
    uint32_t n;
    assert_int_equal(sessions_new(2 * SESSIONS_MOST, 4, GAP, &s, NULL), 0);
    for (uint32_t u = 0; u < SESSIONS_MOST + 10; u++) take(s, u, u < 20 ? 1 : 2, u);
    const uint32_t *with = sessions_with(s, 2, &n);
    assert_int_equal(n, SESSIONS_RECENT);
    assert_int_equal(with[n - 1], SESSIONS_MOST + 10);
    assert_null(sessions_find(s, 10));
    assert_int_equal(sessions_find(s, 11)->number, 11);
    with = sessions_with(s, 1, &n);
    assert_int_equal(n, 20);
    uint32_t found = 0;
    for (uint32_t k = 0; k < n; k++) found += sessions_find(s, with[k]) != NULL;
    assert_int_equal(found, 10);
    take(s, 0, 3, 1); /* the session of the first user is gone: this one is new */
    assert_int_equal(sessions_last_of(s, 0), SESSIONS_MOST + 11);
    assert_true(sessions_size_bytes(s) > SESSIONS_MOST * sizeof(struct session));
    sessions_free(s);
}

/* All sessions of the first n events, by replaying them. */
struct twin_session {
    uint32_t user, n, items[LOG_ITEMS];
    int64_t ts_ms;
    double sim;
    uint32_t rank, number;
};

struct twin {
    struct twin_session sessions[LOG_EVENTS];
    uint32_t n, last_of[LOG_USERS], count_with[LOG_ITEMS]; /* last_of: number, 0 = none */
};

static void twin_replay(struct twin *t, const struct eval_log *log, uint32_t n, int64_t gap_ms) {
    memset(t, 0, sizeof *t);
    for (uint32_t e = 0; e < n; e++) {
        const struct past_event *ev = &log->events[e];
        if (ev->weight == 0) continue;
        uint32_t last = t->last_of[ev->user];
        if (last == 0 || (gap_ms > 0 && ev->ts_ms - t->sessions[last - 1].ts_ms > gap_ms)) {
            last = t->last_of[ev->user] = ++t->n;
            t->sessions[last - 1].number = last;
        }
        struct twin_session *s = &t->sessions[last - 1];
        s->ts_ms = ev->ts_ms;
        for (uint32_t k = 0; k < ev->n_items; k++) {
            uint32_t kept = 0;
            for (uint32_t q = 0; q < s->n; q++) {
                if (s->items[q] != ev->items[k]) s->items[kept++] = s->items[q];
            }
            t->count_with[ev->items[k]] += kept == s->n;
            s->items[kept] = ev->items[k];
            s->n = kept + 1;
        }
    }
}

static int place_of(const struct twin_session *s, uint32_t item) {
    for (uint32_t q = 0; q < s->n; q++) {
        if (s->items[q] == item) return (int)q;
    }
    return -1;
}

static int by_sim(const void *a, const void *b) {
    const struct twin_session *x = a, *y = b;
    double scale = fabs(x->sim) + fabs(y->sim);
    if (fabs(x->sim - y->sim) > 1e-5 * scale) return x->sim > y->sim ? -1 : 1; /* float calls nearer ones equal */
    return x->number > y->number ? -1 : 1;
}

static double twin_idf(const struct twin *t, const struct sessions_config *c, uint32_t item) {
    return c->idf ? log((t->n + 2.0) / (t->count_with[item] + 1.0)) : 1;
}

static void twin_similarity(struct twin *t, const struct sessions_config *c, const uint32_t *history, uint32_t length,
                            uint32_t own, int64_t ts_ms) {
    for (uint32_t q = 0; q < t->n; q++) {
        struct twin_session *s = &t->sessions[q];
        s->rank = UINT32_MAX;
        s->sim = 0;
        for (uint32_t r = length; r-- > 0 && s->number != own;) {
            if (place_of(s, history[r]) < 0) continue;
            s->rank = r;
            s->sim += (c->query_decay > 0 ? pow((double)c->query_decay, r) : (double)(length - r) / length) *
                      twin_idf(t, c, history[r]);
        }
        if (c->normalise && s->n > 0) s->sim /= sqrt(s->n);
        if (c->age_half_life_ms > 0 && ts_ms > s->ts_ms)
            s->sim *= exp2(-(double)(ts_ms - s->ts_ms) / (double)c->age_half_life_ms);
    }
}

static void twin_score(struct twin *t, const struct eval_log *log, uint32_t n, const struct sessions_config *c,
                       uint32_t user, int64_t ts_ms, double *scores) {
    uint32_t history[PAST_HISTORY], length = log_history(log, n, user, history);
    twin_replay(t, log, n, c->gap_ms);
    if (length > c->query) length = c->query;
    twin_similarity(t, c, history, length, t->last_of[user], ts_ms);
    qsort(t->sessions, t->n, sizeof *t->sessions, by_sim);
    memset(scores, 0, LOG_ITEMS * sizeof *scores);
    for (uint32_t q = 0; q < t->n && q < c->neighbours; q++) {
        const struct twin_session *s = &t->sessions[q];
        if (s->rank == UINT32_MAX) continue;
        int shared = place_of(s, history[s->rank]);
        double match = c->match_decay == 0 ? 1.0 / (s->rank + 1) : pow((double)c->match_decay, s->rank);
        for (int p = 0; p < (int)s->n; p++) {
            if (p == shared) continue;
            scores[s->items[p]] +=
                s->sim * match * pow((double)c->place_decay, abs(p - shared)) * twin_idf(t, c, s->items[p]);
        }
    }
}

static void neighbours_equal_their_twin(void **state) {
    (void)state;
    static const struct sessions_config configs[] = {
        {GAP, 20, 0, 0, false, true, 1, 0, 500, PAST_6_HOURS},
        {0, 5, 0.5f, 24 * HOUR, true, false, 0.7f, 1, 500, PAST_1_DAY},
        {GAP, 10, 0.8f, 7 * 24 * HOUR, true, true, 0.8f, 0.4f, 9, PAST_7_DAYS},
        {0, 20, 0.9f, 0, false, true, 0.9f, 0.9f, 4, PAST_6_HOURS},
    };
    static struct eval_log log;
    static struct twin twin;
    uint32_t compared = 0;
    for (size_t q = 0; q < sizeof configs / sizeof *configs; q++) {
        struct eval_run r;
        log_fill(&log, 21 + q);
        run_begin(&r);
        assert_int_equal(base_sessions_new(&base_vstan, &configs[q], r.past, &r.b, NULL), 0);
        for (uint32_t e = 0; e < log.n; e++) {
            const struct past_event *ev = &log.events[e];
            if (e % 5 == 0) {
                double expected[LOG_ITEMS];
                twin_score(&twin, &log, e, &configs[q], ev->user, ev->ts_ms, expected);
                run_score(&r, ev->user, ev->ts_ms);
                compared += run_compare(&r, expected, 1e-4);
            }
            run_learn(&r, ev);
        }
        run_end(&r);
    }
    assert_true(compared > 3000);
}

static void memory_may_be_refused(void **state) {
    (void)state;
    struct sessions *s = NULL;
    for (uint64_t nth = 1; nth <= 5; nth++) {
        mem_fail_at(nth);
        assert_int_equal(sessions_new(3, 10, GAP, &s, NULL), ERR_NOMEM);
        assert_null(s);
    }
    mem_fail_at(0);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        static const uint32_t item = 3;
        struct past_event ev = {1, 1, &item, 1, 1};
        assert_int_equal(sessions_new(3, 10, GAP, &s, NULL), 0);
        mem_fail_at(nth);
        assert_int_equal(sessions_learn(s, &ev, NULL), ERR_NOMEM);
        mem_fail_at(0);
        sessions_free(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_ends_a_session), cmocka_unit_test(without_a_gap_none_ends),
        cmocka_unit_test(the_oldest_make_place),  cmocka_unit_test(neighbours_equal_their_twin),
        cmocka_unit_test(memory_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
