/* Rows that readers missed come into the cache of the learner, and stay while they are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/neighbour_world.h"

#define CACHE 1700u /* bytes: 19 rows of one entry */

static struct world_backing backing;

/* A model whose rows of all items are stored, none of them in the cache. */
static struct model *cold_model(uint64_t cache_bytes) {
    struct err e;
    memset(&backing, 0, sizeof backing);
    struct model *warm = world_new(8, 1u << 20, &backing);
    for (uint32_t a = 0; a < WORLD_ITEMS; a++) world_add(warm, NEIGHBOUR_FORWARD, a, (a + 1) % WORLD_ITEMS, 1, T0);
    model_publish(warm);
    assert_int_equal(world_checkpoint(warm, &backing, true), WORLD_ITEMS);
    model_free(warm);
    struct model *m = world_new(8, cache_bytes, &backing);
    struct neighbour_list list;
    assert_int_equal(neighbours_peek(m->neighbours, NEIGHBOUR_FORWARD, 3, &list, &e), 0);
    assert_int_equal(list.n, 1);
    backing.reads = 0;
    return m;
}

static void read_row(struct model *m, uint32_t a) {
    struct neighbour_list list;
    struct err e;
    epoch_enter(m->epoch, 0);
    assert_int_equal(neighbours_read(m->neighbours, 0, NEIGHBOUR_FORWARD, a, &list, &e), 0);
    epoch_leave(m->epoch, 0);
    assert_int_equal(list.n, 1);
    assert_int_equal(list.row[0], (a + 1) % WORLD_ITEMS);
}

static void what_was_missed_is_admitted_once(void **state) {
    (void)state;
    struct model *m = cold_model(1u << 20);
    const struct neighbours_stats *stats = neighbours_stats(m->neighbours);
    neighbours_admit(m->neighbours, 100);
    assert_int_equal(stats->admitted, 0);
    for (uint32_t a = 0; a < 10; a++) read_row(m, a);
    for (uint32_t a = 0; a < 10; a++) read_row(m, a);
    assert_int_equal(stats->reads, 20);
    neighbours_admit(m->neighbours, 4);
    assert_int_equal(stats->admitted, 4);
    neighbours_admit(m->neighbours, 100);
    assert_int_equal(stats->admitted, 10);
    assert_int_equal(stats->dirty, 0);
    unsigned reads = backing.reads;
    for (uint32_t a = 0; a < 10; a++) read_row(m, a);
    assert_int_equal(backing.reads, reads);
    assert_int_equal(stats->reads, 20);
    neighbours_admit(m->neighbours, 100);
    assert_int_equal(stats->admitted, 10);
    model_free(m);
}

/* Rows that are read outlive those that came and were not asked for again. */
static void what_is_read_stays(void **state) {
    (void)state;
    struct model *m = cold_model(CACHE);
    const struct neighbours_stats *stats = neighbours_stats(m->neighbours);
    for (uint32_t round = 0; round < 300; round++) {
        for (uint32_t a = 0; a < 8; a++) read_row(m, a);
        read_row(m, 8 + round % (WORLD_ITEMS - 8));
        neighbours_admit(m->neighbours, 100);
        assert_true(stats->cached_bytes <= CACHE);
    }
    assert_true(stats->evicted > 100);
    assert_true(stats->reads < 400); /* the eight were hardly missed: 300 were the others */
    model_free(m);
}

/* No room, or a row that cannot be read: readers go on as before. */
static void what_cannot_come_is_left(void **state) {
    (void)state;
    struct model *m = cold_model(CACHE);
    const struct neighbours_stats *stats = neighbours_stats(m->neighbours);
    struct err e;
    uint32_t dirty = 0;
    while (neighbours_touch(m->neighbours, NEIGHBOUR_BACKWARD, dirty, 1, &e) == 0)
        neighbours_add(m->neighbours, NEIGHBOUR_BACKWARD, dirty++, 1, 1, T0);
    assert_int_equal(e.code, ERR_FULL);
    model_publish(m);
    read_row(m, 5);
    neighbours_admit(m->neighbours, 100);
    assert_int_equal(stats->admitted, 0);
    assert_int_equal(stats->evicted, 0);
    assert_int_equal(stats->dirty, dirty);

    (void)world_checkpoint(m, &backing, true);
    read_row(m, 6);
    backing.fail = ERR_IO;
    neighbours_admit(m->neighbours, 100);
    assert_int_equal(stats->admitted, 0);
    backing.fail = 0;
    read_row(m, 6);
    neighbours_admit(m->neighbours, 100);
    assert_int_equal(stats->admitted, 1);
    model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_missed_is_admitted_once),
        cmocka_unit_test(what_is_read_stays),
        cmocka_unit_test(what_cannot_come_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
