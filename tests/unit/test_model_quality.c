/* Live quality: figures and bands against sums made the long way, bands that cover the truth, cohorts, stored forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/model/quality.h"

static double gain(uint32_t rank) { return rank < QUALITY_CUT ? 1 / log2(rank + 2.0) : 0; }

static void add(struct quality_event *ev, uint32_t model, uint32_t popular) {
    quality_case(ev, model, gain(model), popular, gain(popular));
}

static bool near(double a, double b) { return fabs(a - b) < 1e-9; }

static void figures_by_hand(void **state) {
    (void)state;
    static struct quality q;
    struct quality_view v;
    struct quality_event first = {0}, second = {0}, none = {0};
    quality_init(&q);
    quality_read(&q, QUALITY_ALL, &v);
    assert_true(v.cases == 0 && isnan(v.of[QUALITY_NDCG].model.value) && isnan(v.of[QUALITY_NDCG].model.band));
    add(&first, 0, 3);
    add(&first, 2, 20); /* 20: beyond the cut */
    add(&second, 500, 1);
    quality_note(&q, &first, 2, 1);
    quality_note(&q, &none, 2, 1);
    quality_note(&q, &second, 0, 0);
    quality_publish(&q);
    quality_read(&q, QUALITY_ALL, &v);
    double fade = QUALITY_FADE, cases = 2 * fade + 1;
    assert_true(near(v.cases, cases));
    assert_true(near(v.of[QUALITY_NDCG].model.value, fade * (1 + 0.5) / cases));
    assert_true(near(v.of[QUALITY_NDCG].popular.value, (fade / log2(5) + 1 / log2(3)) / cases));
    assert_true(near(v.of[QUALITY_RECALL].model.value, fade * 2 / cases));
    assert_true(near(v.of[QUALITY_RECALL].popular.value, (fade + 1) / cases));
    assert_true(near(v.of[QUALITY_MRR].model.value, fade * (1 + 1.0 / 3) / cases));
    assert_true(near(v.of[QUALITY_MRR].difference.value, (fade * (4.0 / 3 - 0.25) - 0.5) / cases));
    assert_true(isnan(v.of[QUALITY_MRR].difference.band)); /* too few */
    assert_int_equal(quality_cases(&q), 3);
    assert_int_equal(quality_events(&q), 2);
}

static void cohorts_get_what_is_theirs(void **state) {
    (void)state;
    static struct quality q;
    quality_init(&q);
    for (uint32_t n = 0; n < 240; n++) {
        struct quality_event ev = {0};
        add(&ev, n % 25, 30);
        quality_note(&q, &ev, n % QUALITY_LENGTHS, n % 2 ? 15 : 3);
    }
    quality_publish(&q);
    for (uint32_t c = 0; c < QUALITY_COHORTS; c++) {
        struct quality_view v;
        double n = c == QUALITY_ALL                                  ? 240
                   : c == QUALITY_PERSONAL                           ? 200
                   : c < QUALITY_TYPE                                ? 40
                   : c == QUALITY_TYPE + 3 || c == QUALITY_TYPE + 15 ? 120
                                                                     : 0;
        quality_read(&q, c, &v);
        assert_true(near(v.cases, (1 - pow(QUALITY_FADE, n)) / (1 - QUALITY_FADE)));
        if (n > 0) assert_true(v.of[QUALITY_RECALL].popular.value == 0 && v.of[QUALITY_RECALL].model.value > 0.5);
    }
}

/* Events of 1 to 4 items whose figures go together, as those of a basket do. */
static void draw_event(uint64_t key, uint64_t n, struct quality_event *ev) {
    bool good = draw_unit(draw_bits(key, 10 * n)) < 0.4f;
    uint32_t items = 1 + draw_below(draw_bits(key, 10 * n + 1), 4);
    *ev = (struct quality_event){0};
    for (uint32_t k = 0; k < items; k++) {
        uint32_t rank = draw_below(draw_bits(key, 10 * n + 2 + k), good ? 10 : 200);
        add(ev, rank, rank + draw_below(draw_bits(key, 10 * n + 6 + k), 40));
    }
}

static void bands_the_long_way(void **state) {
    (void)state;
    enum { EVENTS = 500 };
    static struct quality q;
    static struct quality_event events[EVENTS];
    struct quality_view v;
    quality_init(&q);
    for (uint64_t n = 0; n < EVENTS; n++) {
        draw_event(3, n, &events[n]);
        quality_note(&q, &events[n], 1, 0);
    }
    quality_publish(&q);
    quality_read(&q, QUALITY_LENGTH + 1, &v);
    for (int f = 0; f < QUALITY_FIGURES; f++) {
        double cases = 0, sum = 0, square = 0;
        for (int n = 0; n < EVENTS; n++) {
            double w = pow(QUALITY_FADE, EVENTS - 1 - n);
            cases += w * events[n].cases;
            sum += w * (events[n].model[f] - events[n].popular[f]);
        }
        for (int n = 0; n < EVENTS; n++) {
            double w = pow(QUALITY_FADE, EVENTS - 1 - n);
            double off = events[n].model[f] - events[n].popular[f] - sum / cases * events[n].cases;
            square += w * w * off * off;
        }
        assert_true(near(v.of[f].difference.value, sum / cases));
        assert_true(near(v.of[f].difference.band, 1.96 * sqrt(square) / cases));
        assert_true(v.of[f].difference.value < v.of[f].model.value); /* popularity has some */
    }
}

/* Of 400 shops the band holds the true mean in 95 %, give or take three deviations (1.1 % each). */
static void bands_cover_the_truth(void **state) {
    (void)state;
    static struct quality q;
    struct quality_event ev;
    double cases = 0, sum[2] = {0, 0};
    for (uint64_t n = 0; n < 400000; n++) {
        draw_event(1, n, &ev);
        cases += ev.cases;
        sum[0] += ev.model[QUALITY_NDCG];
        sum[1] += ev.model[QUALITY_NDCG] - ev.popular[QUALITY_NDCG];
    }
    unsigned held[2] = {0, 0};
    for (uint64_t shop = 0; shop < 400; shop++) {
        struct quality_view v;
        quality_init(&q);
        for (uint64_t n = 0; n < 1000; n++) {
            draw_event(100 + shop, n, &ev);
            quality_note(&q, &ev, 0, 0);
        }
        quality_publish(&q);
        quality_read(&q, QUALITY_ALL, &v);
        held[0] += fabs(v.of[QUALITY_NDCG].model.value - sum[0] / cases) <= v.of[QUALITY_NDCG].model.band;
        held[1] += fabs(v.of[QUALITY_NDCG].difference.value - sum[1] / cases) <= v.of[QUALITY_NDCG].difference.band;
    }
    for (int k = 0; k < 2; k++) assert_in_range(held[k], 367, 393);
}

static void stored_and_published(void **state) {
    (void)state;
    static struct quality q, loaded;
    struct quality_view before, after;
    struct quality_event ev;
    struct buf bytes, again;
    buf_init(&bytes, 1 << 20);
    buf_init(&again, 1 << 20);
    quality_init(&q);
    for (uint64_t n = 0; n < 900; n++) {
        draw_event(5, n, &ev);
        quality_note(&q, &ev, (uint32_t)n % QUALITY_LENGTHS, (uint32_t)n % 3);
    }
    quality_read(&q, QUALITY_ALL, &before);
    assert_true(before.cases == 0); /* as of the last publish */
    quality_publish(&q);
    quality_encode(&q, &bytes);
    quality_init(&loaded);
    assert_int_equal(quality_decode(&loaded, slice_of(bytes.p, bytes.n), NULL), 0);
    quality_publish(&loaded);
    for (uint32_t c = 0; c < QUALITY_TYPE + 3; c++) {
        quality_read(&q, c, &before);
        quality_read(&loaded, c, &after);
        assert_memory_equal(&before, &after, sizeof before);
    }
    quality_note(&q, &ev, 1, 1);
    quality_note(&loaded, &ev, 1, 1);
    buf_clear(&bytes);
    quality_encode(&q, &bytes);
    quality_encode(&loaded, &again);
    assert_int_equal(bytes.n, again.n);
    assert_memory_equal(bytes.p, again.p, bytes.n);
    for (size_t cut = 0; cut < bytes.n; cut += 3)
        assert_int_equal(quality_decode(&loaded, slice_of(bytes.p, cut), NULL), ERR_CORRUPT);
    buf_free(&bytes);
    buf_free(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_by_hand),      cmocka_unit_test(cohorts_get_what_is_theirs),
        cmocka_unit_test(bands_the_long_way),   cmocka_unit_test(bands_cover_the_truth),
        cmocka_unit_test(stored_and_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
