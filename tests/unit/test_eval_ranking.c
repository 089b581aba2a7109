/* Full rankings against sorting everything, on small random questions full of ties, and by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/eval/ranking.h"

enum { MOST = 40 };

struct world {
    struct scores *scores;
    struct ranking *ranking;
    double fallback[MOST];
    uint32_t candidates[MOST], excluded[2 * MOST], targets[MOST];
    bool is_candidate[MOST];
    uint64_t draws;
};

static int set_up(void **state) {
    static struct world w;
    memset(&w, 0, sizeof w);
    assert_int_equal(scores_new(MOST, &w.scores, NULL), 0);
    assert_int_equal(ranking_new(MOST, &w.ranking, NULL), 0);
    *state = &w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    scores_free(w->scores);
    ranking_free(w->ranking);
    return 0;
}

static uint32_t below(struct world *w, uint32_t n) { return draw_below(draw_bits(11, w->draws++), n); }

/* Few distinct scores and fall-backs, so that ties are everywhere; some scores are none at all. */
static struct ranking_question random_question(struct world *w) {
    static const float scores[] = {NAN, -1, 0, 0.5f, 2, SCORES_NONE};
    static const double fallbacks[] = {-INFINITY, 1, 3};
    uint32_t n = below(w, MOST), scored = below(w, 4);
    scores_clear(w->scores);
    struct ranking_question q = {
        .scores = w->scores,
        .fallback = below(w, 4) ? w->fallback : NULL,
        .candidates = w->candidates,
        .is_candidate = w->is_candidate,
        .excluded = w->excluded,
        .n_excluded = below(w, 3) ? below(w, MOST / 2) : 0,
        .targets = w->targets,
        .n_targets = below(w, 5),
        .k = below(w, 3) ? below(w, 8) : below(w, MOST),
    };
    memset(w->is_candidate, 0, sizeof w->is_candidate);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t item = below(w, MOST);
        if (w->is_candidate[item]) continue;
        w->is_candidate[item] = true;
        w->candidates[q.n_candidates++] = item;
    }
    for (uint32_t i = 0; i < MOST; i++) {
        w->fallback[i] = fallbacks[below(w, 3)];
        if (below(w, 3) < scored) scores_set(w->scores, i, scores[below(w, 6)]);
    }
    for (uint32_t k = 0; k < q.n_excluded; k++) w->excluded[k] = below(w, MOST);
    for (uint32_t k = 0; k < q.n_targets; k++) w->targets[k] = below(w, MOST);
    return q;
}

static void equals_sorting_everything(void **state) {
    struct world *w = *state;
    uint32_t full = 0, ranked = 0;
    for (int round = 0; round < 20000; round++) {
        struct ranking_question q = random_question(w);
        uint32_t ranks[2][MOST], best[2][MOST], n[2];
        ranking_ask(w->ranking, &q, ranks[0], best[0], &n[0]);
        assert_int_equal(ranking_ask_naive(w->ranking, &q, ranks[1], best[1], &n[1], NULL), 0);
        assert_int_equal(n[0], n[1]);
        if (n[0] > 0) assert_memory_equal(best[0], best[1], n[0] * sizeof **best);
        if (q.n_targets > 0) assert_memory_equal(ranks[0], ranks[1], q.n_targets * sizeof **ranks);
        for (uint32_t k = 0; k < q.n_targets; k++) ranked += ranks[0][k] != RANKING_NONE;
        full += n[0] == q.k;
    }
    assert_true(full > 5000 && full < 15000); /* lists both filled and not */
    assert_true(ranked > 5000);
}

static void by_hand(void **state) {
    struct world *w = *state;
    /*                     item   0    1    2    3    4    5    6
     *                    score  0.5   -   0.5   2    -    -   9 (no candidate)
     *                 fallback   1    7    3    0    7    8 (excluded)   */
    static const double fallback[] = {1, 7, 3, 0, 7, 8, 9};
    static const uint32_t candidates[] = {5, 4, 3, 2, 1, 0}, excluded[] = {5, 5}, targets[] = {0, 1, 2, 3, 4, 5, 6};
    memcpy(w->fallback, fallback, sizeof fallback);
    for (int i = 0; i < 6; i++) w->is_candidate[i] = true;
    scores_set(w->scores, 0, 0.5f);
    scores_add(w->scores, 2, 0.25f);
    scores_add(w->scores, 2, 0.25f);
    scores_set(w->scores, 3, 2);
    scores_set(w->scores, 6, 9);
    struct ranking_question q = {w->scores, w->fallback, candidates, 6, w->is_candidate, excluded, 2, targets, 7, 10};
    uint32_t ranks[7], best[10], n;
    ranking_ask(w->ranking, &q, ranks, best, &n);
    static const uint32_t expected[] = {2, 3, 1, 0, 4, RANKING_NONE, RANKING_NONE}, order[] = {3, 2, 0, 1, 4};
    assert_int_equal(n, 5);
    assert_memory_equal(best, order, sizeof order);
    assert_memory_equal(ranks, expected, sizeof expected);
    q.k = 0;
    q.n_targets = 0;
    ranking_ask(w->ranking, &q, NULL, NULL, &n);
    assert_int_equal(n, 0);
}

static void scores_are_cleared(void **state) {
    struct world *w = *state;
    scores_set(w->scores, 3, -1);
    scores_add(w->scores, 3, 4);
    scores_add(w->scores, 0, 0);
    assert_int_equal(w->scores->n, 2);
    assert_true(w->scores->of[3] == 3 && w->scores->of[0] == 0);
    scores_clear(w->scores);
    assert_int_equal(w->scores->n, 0);
    for (uint32_t i = 0; i < MOST; i++) assert_true(w->scores->of[i] == SCORES_NONE);
}

static void memory_may_be_refused(void **state) {
    (void)state;
    struct scores *s = NULL;
    struct ranking *r = NULL;
    struct err e;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        mem_fail_at(nth);
        assert_int_equal(scores_new(MOST, &s, &e), ERR_NOMEM);
        assert_null(s);
    }
    for (uint64_t nth = 1; nth <= 2; nth++) {
        mem_fail_at(nth);
        assert_int_equal(ranking_new(MOST, &r, &e), ERR_NOMEM);
        assert_null(r);
    }
    mem_fail_at(0);
    scores_free(NULL);
    ranking_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equals_sorting_everything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(by_hand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scores_are_cleared, set_up, tear_down),
        cmocka_unit_test(memory_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
