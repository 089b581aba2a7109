/* Neighbour rows: the counts of a naive twin, who gives way, erased items, refused weights, whole rows for readers. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/neighbour_world.h"

#define M 16

/* Everything decays at every addition; the first of the weakest gives way. */
struct twin {
    uint32_t n, row[M];
    double weight[M];
    int64_t t;
};

static void twin_add(struct twin *w, double half_life, uint32_t b, double weight, int64_t t) {
    double fade = w->n ? exp2(-(double)(t - w->t) / half_life) : 1;
    uint32_t at = w->n, least = 0;
    for (uint32_t k = 0; k < w->n; k++) {
        w->weight[k] *= fade;
        if (w->row[k] == b) at = k;
        if (w->weight[k] < w->weight[least]) least = k;
    }
    w->t = t;
    if (at < w->n) {
        w->weight[at] += weight;
        return;
    }
    if (w->n == M)
        at = least;
    else
        w->n++;
    w->row[at] = b;
    w->weight[at] = weight;
}

static void same_as_twin(const struct neighbour_list *l, const struct twin *w, double half_life) {
    assert_int_equal(l->n, w->n);
    for (uint32_t k = 0; k < w->n; k++) {
        double weight = (double)l->weight[k] * exp2(-(double)(w->t - l->reference_ms) / half_life);
        assert_int_equal(l->row[k], w->row[k]);
        assert_true(fabs(weight - w->weight[k]) <= 2e-5 * w->weight[k] + 1e-18);
    }
}

static void test_as_the_naive_twin(void **state) {
    (void)state;
    struct model *m = world_new(M, 0, NULL);
    static struct twin twins[NEIGHBOUR_KINDS][WORLD_ITEMS];
    const double half_life[NEIGHBOUR_KINDS] = {10 * DAY, 10 * DAY, DAY, DAY, 10 * DAY, 7 * DAY};
    memset(twins, 0, sizeof twins);
    for (uint64_t n = 0; n < 30000; n++) {
        uint64_t bits = draw_bits(5, n);
        enum neighbour_kind kind = (enum neighbour_kind)(bits % NEIGHBOUR_KINDS);
        uint32_t a = bits >> 8 & 7, b = draw_below(draw_bits(6, n), WORLD_ITEMS) * (uint32_t)(bits >> 16 & 1);
        int64_t late = bits >> 20 & 7 ? 0 : (int64_t)(draw_bits(7, n) % (3 * DAY));
        int64_t t = T0 + (int64_t)n * 17 * 60000 - late; /* a year: D passes its range several times */
        float weight = 0.1f + draw_unit(draw_bits(8, n));
        world_add(m, kind, a, b, weight, t);
        twin_add(&twins[kind][a], half_life[kind], b, (double)weight, t);
        if (n % 100 == 0) neighbours_publish(m->neighbours);
        if (n % 500 == 0) same_as_twin(world_row(m, kind, a), &twins[kind][a], half_life[kind]);
    }
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++)
        for (uint32_t a = 0; a < 8; a++)
            same_as_twin(world_row(m, (enum neighbour_kind)kind, a), &twins[kind][a], half_life[kind]);
    assert_true(neighbours_stats(m->neighbours)->replaced > 1000);
    model_free(m);
}

static void test_first_of_the_weakest_gives_way(void **state) {
    (void)state;
    struct model *m = world_new(21, 0, NULL); /* no multiple of anything */
    for (uint32_t b = 0; b < 21; b++) world_add(m, NEIGHBOUR_FORWARD, 30, b, b < 5 ? 2 : 1, T0);
    world_add(m, NEIGHBOUR_FORWARD, 30, 25, 0.5f, T0);
    assert_int_equal(world_row(m, NEIGHBOUR_FORWARD, 30)->row[5], 25);
    world_add(m, NEIGHBOUR_FORWARD, 30, 26, 3, T0); /* it is the weakest itself now */
    assert_int_equal(world_row(m, NEIGHBOUR_FORWARD, 30)->row[5], 26);
    world_add(m, NEIGHBOUR_FORWARD, 30, 27, 0.5f, T0);
    const struct neighbour_list *l = world_row(m, NEIGHBOUR_FORWARD, 30);
    assert_int_equal(l->row[6], 27);
    assert_int_equal(l->n, 21);
    assert_int_equal(world_row(m, NEIGHBOUR_BACKWARD, 30)->n, 0);
    assert_int_equal(world_row(m, NEIGHBOUR_FORWARD, 31)->n, 0);
    model_free(m);
}

static void test_erased_items_make_room_first(void **state) {
    (void)state;
    struct model *m = world_new(M, 0, NULL);
    struct err e;
    for (uint32_t b = 0; b < M; b++) world_add(m, NEIGHBOUR_FORWARD, 30, b, 1, T0);
    assert_int_equal(model_erase_item(m, slice_str("i3"), &e), 0);
    assert_int_equal(model_erase_item(m, slice_str("i9"), &e), 0);
    assert_int_equal(world_row(m, NEIGHBOUR_FORWARD, 30)->n, M); /* nobody asked for room */
    uint32_t row;
    assert_int_equal(items_add(m->items, slice_str("other"), &row, &e), 0);
    assert_int_equal(row, 3);
    world_add(m, NEIGHBOUR_FORWARD, 30, 3, 7, T0); /* takes nothing over from the erased owner of its row */
    const struct neighbour_list *l = world_row(m, NEIGHBOUR_FORWARD, 30);
    assert_int_equal(l->n, M);
    assert_true(l->weight[place_of(l, 3)] == 7);
    assert_int_equal(l->generation[place_of(l, 3)], 1);
    world_add(m, NEIGHBOUR_FORWARD, 30, 20, 0.5f, T0); /* in the room of i9, weaker than all that stay */
    world_add(m, NEIGHBOUR_FORWARD, 30, 21, 0.25f, T0);
    l = world_row(m, NEIGHBOUR_FORWARD, 30);
    assert_int_equal(l->n, M);
    assert_int_equal(place_of(l, 9), M);
    assert_int_equal(l->row[M - 1], 21);
    for (uint32_t b = 0; b < M; b++)
        if (b != 9) assert_true(place_of(l, b) < M);
    model_free(m);
}

static void test_a_reused_row_starts_empty(void **state) {
    (void)state;
    struct model *m = world_new(M, 0, NULL);
    struct err e;
    uint32_t row;
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++) world_add(m, (enum neighbour_kind)kind, 5, 6, 1, T0);
    uint64_t rows = neighbours_stats(m->neighbours)->cached;
    assert_int_equal(model_erase_item(m, slice_str("i5"), &e), 0);
    assert_int_equal(neighbours_stats(m->neighbours)->cached, rows - (NEIGHBOUR_KINDS - 1)); /* segment 5 stays */
    assert_int_equal(items_add(m->items, slice_str("other"), &row, &e), 0);
    assert_int_equal(row, 5);
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++)
        assert_int_equal(world_row(m, (enum neighbour_kind)kind, 5)->n, kind == NEIGHBOUR_SEGMENT);
    model_free(m);
}

/* Ages apart, both ways: weights stay finite and above 0. */
static void test_far_apart_in_time(void **state) {
    (void)state;
    struct model *m = world_new(M, 0, NULL);
    static const int64_t times[] = {0, 40 * 365 * DAY, 40 * 365 * DAY + 1, 0, 50 * 365 * DAY, 49 * 365 * DAY};
    for (uint32_t k = 0; k < 6; k++) {
        world_add(m, NEIGHBOUR_SUCCESSOR, 1, 2 + k % 3, 1, times[k]);
        const struct neighbour_list *l = world_row(m, NEIGHBOUR_SUCCESSOR, 1);
        for (uint32_t n = 0; n < l->n; n++) assert_true(l->weight[n] > 0 && l->weight[n] < 4);
    }
    const struct neighbour_list *l = world_row(m, NEIGHBOUR_SUCCESSOR, 1);
    assert_int_equal(l->reference_ms, 50 * 365 * DAY);
    assert_int_equal(l->n, 3);
    assert_true(l->weight[place_of(l, 3)] == 1);
    assert_true(l->weight[place_of(l, 4)] < 1e-20f);
    model_free(m);
}

static void test_unusable_weights_are_refused(void **state) {
    (void)state;
    struct model *m = world_new(M, 0, NULL);
    static const float bad[] = {NAN, INFINITY, -INFINITY, 0, -1};
    world_add(m, NEIGHBOUR_FORWARD, 1, 2, 1, T0);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        world_add(m, NEIGHBOUR_FORWARD, 1, 2, bad[k], T0);
        world_add(m, NEIGHBOUR_FORWARD, 1, 3, bad[k], T0);
    }
    assert_int_equal(neighbours_stats(m->neighbours)->refused, 10);
    world_add(m, NEIGHBOUR_FORWARD, 1, 3, 3e38f, T0);
    world_add(m, NEIGHBOUR_FORWARD, 1, 3, 3e38f, T0); /* the sum is no float */
    assert_int_equal(neighbours_stats(m->neighbours)->refused, 11);
    const struct neighbour_list *l = world_row(m, NEIGHBOUR_FORWARD, 1);
    assert_int_equal(l->n, 2);
    assert_true(l->weight[0] == 1 && l->weight[1] == 3e38f);
    model_free(m);
}

/* However many are asked for: rows grow in steps and only as far as there are entries to come. */
static void test_room(void **state) {
    (void)state;
    struct model *m = world_new(100, 0, NULL);
    struct err e;
    const struct neighbours_stats *stats = neighbours_stats(m->neighbours);
    world_add(m, NEIGHBOUR_FORWARD, 1, 2, 1, T0);
    uint64_t small = stats->cached_bytes;
    for (uint32_t n = 0; n < 30; n++) world_add(m, NEIGHBOUR_FORWARD, 1, 2, 1, T0);
    assert_int_equal(stats->cached_bytes, small);
    neighbours_publish(m->neighbours);
    for (uint32_t n = 0; n < 300; n++) /* as for a large basket: all touches first */
        assert_int_equal(neighbours_touch(m->neighbours, NEIGHBOUR_FORWARD, 1, 1, &e), 0);
    assert_int_equal(stats->cached_bytes, small + 960); /* 96 places more */
    for (uint32_t n = 0; n < 300; n++) neighbours_add(m->neighbours, NEIGHBOUR_FORWARD, 1, n % WORLD_ITEMS, 1, T0);
    assert_int_equal(world_row(m, NEIGHBOUR_FORWARD, 1)->n, WORLD_ITEMS);
    assert_int_equal(stats->cached, 1);
    model_free(m);
}

static void test_refused_memory_changes_nothing(void **state) {
    (void)state;
    struct model *m = world_new(M, 0, NULL);
    struct err e;
    for (uint32_t b = 0; b < 4; b++) world_add(m, NEIGHBOUR_FORWARD, 1, b, 1, T0);
    struct neighbour_list before = *world_row(m, NEIGHBOUR_FORWARD, 1);
    uint64_t bytes = neighbours_stats(m->neighbours)->cached_bytes;
    for (uint32_t a = 1; a < 3; a++) {
        mem_fail_at(1);
        assert_int_equal(neighbours_touch(m->neighbours, NEIGHBOUR_FORWARD, a, 1, &e), ERR_NOMEM);
        mem_fail_at(0);
        assert_string_equal(e.field, "neighbours");
    }
    assert_int_equal(neighbours_stats(m->neighbours)->cached_bytes, bytes);
    const struct neighbour_list *after = world_row(m, NEIGHBOUR_FORWARD, 1);
    assert_int_equal(after->n, 4);
    assert_memory_equal(after->weight, before.weight, 16);
    world_add(m, NEIGHBOUR_FORWARD, 1, 9, 1, T0);
    assert_int_equal(world_row(m, NEIGHBOUR_FORWARD, 1)->n, 5);
    model_free(m);
}

/* Rows that change, grow, go and come back under a reader. */
static void test_readers_see_whole_rows(void **state) {
    (void)state;
    struct reading r = {.m = world_new(M, 0, NULL), .n_rows = 4};
    struct err e;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_rows, &r), 0);
    for (uint64_t n = 0; n < 40000; n++) {
        int64_t t = T0 + (int64_t)n * 100 * DAY;
        world_add(r.m, NEIGHBOUR_SUCCESSOR, n % 4, draw_below(draw_bits(11, n), WORLD_ITEMS), weight_of(t), t);
        if (n % 10 == 0) model_publish(r.m);
        if (n % 1000 == 999) {
            uint32_t row;
            assert_int_equal(model_erase_item(r.m, slice_str("i1"), &e), 0);
            assert_int_equal(items_add(r.m->items, slice_str("i1"), &row, &e), 0);
        }
    }
    atomic_store(&r.over, true);
    pthread_join(thread, NULL);
    assert_int_equal(r.torn, 0);
    assert_true(r.rows > 0);
    model_free(r.m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_naive_twin),
        cmocka_unit_test(test_first_of_the_weakest_gives_way),
        cmocka_unit_test(test_erased_items_make_room_first),
        cmocka_unit_test(test_a_reused_row_starts_empty),
        cmocka_unit_test(test_far_apart_in_time),
        cmocka_unit_test(test_unusable_weights_are_refused),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_refused_memory_changes_nothing),
        cmocka_unit_test(test_readers_see_whole_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
