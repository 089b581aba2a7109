/* Neighbour rows behind a cache: the same bits for any size, checkpoints of one moment, refusals that change nothing.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/neighbour_world.h"

#define M      24
#define EVENTS 6000

static struct world_backing backing;

struct run {
    uint64_t cache;
    unsigned publish_every, checkpoint_every; /* events; 0 = never */
};

/* All touches of an event, then all additions: a row of each kind, one of them as for a basket. */
static int learn(struct model *m, uint64_t n, struct err *e) {
    struct neighbours *s = m->neighbours;
    uint32_t i = draw_below(draw_bits(1, n), WORLD_ITEMS), items[4];
    int64_t t = T0 + (int64_t)n * HOUR - (draw_bits(2, n) & 7 ? 0 : 40 * HOUR);
    for (uint32_t k = 0; k < 4; k++) items[k] = draw_below(draw_bits(3, 4 * n + k), WORLD_ITEMS);
    int rc = neighbours_touch(s, NEIGHBOUR_BACKWARD, i, 4, e);
    if (rc == 0) rc = neighbours_touch(s, NEIGHBOUR_SUCCESSOR, items[0], 1, e);
    for (uint32_t k = 0; k < 4 && rc == 0; k++) rc = neighbours_touch(s, NEIGHBOUR_FORWARD, items[k], 1, e);
    if (rc < 0) return rc;
    neighbours_add(s, NEIGHBOUR_SUCCESSOR, items[0], i, 1, t);
    for (uint32_t k = 0; k < 4; k++) {
        neighbours_add(s, NEIGHBOUR_FORWARD, items[k], i, 1 - (float)k * 0.2f, t);
        neighbours_add(s, NEIGHBOUR_BACKWARD, i, items[k], 1 - (float)k * 0.2f, t);
    }
    return 0;
}

static int erase(struct model *m, unsigned item, struct err *e) {
    char id[16];
    uint32_t row;
    int rc = model_erase_item(m, world_id(item, id), e);
    return rc < 0 ? rc : items_add(m->items, world_id(item, id), &row, e);
}

/* An event, or now and then an erasure whose row is used again at once. */
static int step(struct model *m, uint64_t n, struct err *e) {
    return n % 97 == 96 ? erase(m, draw_below(draw_bits(4, n), WORLD_ITEMS), e) : learn(m, n, e);
}

static uint64_t all_rows(struct model *m) {
    uint64_t h = 1;
    for (uint32_t key = 0; key < WORLD_KEYS; key++) {
        uint64_t row = world_row_hash(m, key);
        h = hash64(&row, sizeof row, h);
    }
    return h;
}

static uint64_t run_all(const struct run *run, unsigned *waits) {
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, run->cache, &backing);
    const struct neighbours_stats *stats = neighbours_stats(m->neighbours);
    struct err e;
    *waits = 0;
    for (uint64_t n = 0; n < EVENTS; n++) {
        int rc = step(m, n, &e);
        if (rc == ERR_FULL) {
            assert_string_equal(e.field, "neighbours");
            (void)world_checkpoint(m, &backing, true);
            ++*waits;
            rc = step(m, n, &e);
        }
        assert_int_equal(rc, 0);
        if (run->publish_every && n % run->publish_every == 0) model_publish(m);
        if (run->checkpoint_every && n % run->checkpoint_every == 0) (void)world_checkpoint(m, &backing, n % 3 != 0);
        if (run->cache >= 4096) assert_true(stats->cached_bytes <= run->cache);
    }
    uint64_t h = all_rows(m);
    (void)world_checkpoint(m, &backing, true);
    model_free(m);
    uint64_t stored = 1;
    for (uint32_t key = 0; key < WORLD_KEYS; key++)
        stored = hash64(backing.rows[key].bytes, backing.rows[key].n, stored);
    return h ^ stored;
}

static void test_same_bits_for_any_cache(void **state) {
    (void)state;
    unsigned waits, reads;
    const struct run base = {64u << 20, 1, 0};
    uint64_t expected = run_all(&base, &waits);
    assert_int_equal(waits, 0);
    reads = backing.reads;
    const struct run others[] = {{64u << 20, 100, 7}, {8192, 1, 0}, {6000, 13, 11}, {4096, 3, 5}, {64, 1, 0}};
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        uint64_t h = run_all(&others[k], &waits);
        assert_true(h == expected);
        if (others[k].cache > 1u << 20) continue;
        assert_true(backing.reads > 5 * reads); /* the small cache was really missed */
        assert_true(others[k].checkpoint_every > 0 || waits > 100);
    }
}

/* Touched rows, and rows that no checkpoint has, stay; others go, those touched longest ago first. */
static void test_what_is_evicted(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 2000, &backing);
    const struct neighbours_stats *stats = neighbours_stats(m->neighbours);
    struct err e;
    uint32_t a = 0;
    while (neighbours_touch(m->neighbours, NEIGHBOUR_FORWARD, a, 1, &e) == 0) {
        neighbours_add(m->neighbours, NEIGHBOUR_FORWARD, a, 1, 1, T0);
        model_publish(m);
        a++;
    }
    assert_int_equal(a, 2000 / 88); /* 48 bytes and four places of 10 */
    assert_int_equal(stats->dirty, a);
    assert_int_equal(stats->evicted, 0);
    assert_int_equal(world_checkpoint(m, &backing, true), a);
    model_publish(m);
    assert_int_equal(stats->dirty_bytes, 0);
    unsigned reads = backing.reads;
    for (uint32_t round = 0; round < 100; round++) { /* twelve rows in use, the others come once */
        for (uint32_t k = 0; k < 12; k++)
            assert_int_equal(neighbours_touch(m->neighbours, NEIGHBOUR_FORWARD, k, 1, &e), 0);
        assert_int_equal(neighbours_touch(m->neighbours, NEIGHBOUR_BACKWARD, round % WORLD_ITEMS, 1, &e), 0);
        model_publish(m);
        assert_true(stats->cached_bytes <= 2000);
    }
    assert_true(backing.reads - reads < 150); /* hardly more than the hundred new ones */
    model_free(m);
}

/* A basket that is larger than the cache goes through, once nothing is left to wait for. */
static void test_an_event_larger_than_the_cache(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 1000, &backing);
    struct err e;
    world_add(m, NEIGHBOUR_FORWARD, 0, 1, 1, T0);
    for (int tries = 0; tries < 2; tries++) {
        int rc = 0;
        for (uint32_t a = 0; a < WORLD_ITEMS && rc == 0; a++)
            rc = neighbours_touch(m->neighbours, NEIGHBOUR_BACKWARD, a, 20, &e);
        assert_int_equal(rc, tries ? 0 : ERR_FULL);
        if (tries == 0) (void)world_checkpoint(m, &backing, true);
    }
    for (uint32_t a = 0; a < WORLD_ITEMS; a++)
        for (uint32_t b = 0; b < 20; b++) neighbours_add(m->neighbours, NEIGHBOUR_BACKWARD, a, b, 1, T0);
    (void)world_checkpoint(m, &backing, true);
    model_publish(m);
    assert_true(neighbours_stats(m->neighbours)->cached_bytes <= 1000);
    model_free(m);
}

static void copy_rows(struct model *m, uint64_t out[WORLD_KEYS]) {
    for (uint32_t key = 0; key < WORLD_KEYS; key++) out[key] = world_row_hash(m, key);
}

/* The rows of the backing, asked through a model of its own whose items have the given generations. */
static void stored_rows(uint64_t out[WORLD_KEYS]) {
    for (uint32_t key = 0; key < WORLD_KEYS; key++) {
        const struct world_row *r = &backing.rows[key];
        uint16_t n = 0;
        uint64_t h = 0;
        if (r->n) {
            memcpy(&n, r->bytes + 12, 2);
            h = hash64(r->bytes + 4, 8, n);
            h = hash64(r->bytes + 14, 4u * n, h);
            h = hash64(r->bytes + 14 + 4u * n, 4u * n, h);
            h = hash64(r->bytes + 14 + 8u * n, 2u * n, h);
        }
        out[key] = h;
    }
}

/* Whatever happens after begin, the checkpoint holds what was then; when it fails, the next one holds all. */
static void test_a_checkpoint_is_of_one_moment(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 64u << 20, &backing);
    uint64_t then[WORLD_KEYS], stored[WORLD_KEYS], n = 0;
    struct err e;
    for (unsigned round = 0; round < 60; round++) {
        bool durable = round % 4 != 3;
        for (; n % 100 != 99; n++) assert_int_equal(step(m, n, &e), 0);
        n++;
        copy_rows(m, then);
        (void)world_begin(m, &backing, durable);
        for (bool more = true; more;) { /* the learner goes on, sometimes ahead of the store thread */
            for (unsigned k = 0; k < round % 7; k++, n++) assert_int_equal(step(m, n, &e), 0);
            model_publish(m);
            more = world_store_next(m, durable ? &backing : NULL);
        }
        for (unsigned k = 0; k < 5; k++, n++) assert_int_equal(step(m, n, &e), 0);
        neighbours_checkpoint_end(m->neighbours, durable);
        stored_rows(stored);
        if (durable) assert_memory_equal(stored, then, sizeof then);
        model_publish(m);
    }
    (void)world_checkpoint(m, &backing, true);
    assert_int_equal(world_checkpoint(m, &backing, true), 0);
    copy_rows(m, then);
    stored_rows(stored);
    assert_memory_equal(stored, then, sizeof then);
    model_free(m);
}

/* Rows that are gone need no writing, and a row that comes back is listed once. */
static void test_erased_rows_leave_the_list(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 64u << 20, &backing);
    const struct neighbours_stats *stats = neighbours_stats(m->neighbours);
    for (uint32_t a = 0; a < 10; a++) world_add(m, NEIGHBOUR_FORWARD, a, 20, 1, T0);
    for (int times = 0; times < 3; times++) {
        world_replace(m, 4);
        world_add(m, NEIGHBOUR_FORWARD, 4, 21, 1, T0);
    }
    world_replace(m, 9);
    model_publish(m);
    assert_int_equal(stats->dirty, 9);
    assert_int_equal(stats->dirty_bytes, stats->cached_bytes);
    assert_int_equal(world_checkpoint(m, &backing, true), 9);
    assert_int_equal(backing.rows[4 * NEIGHBOUR_KINDS].bytes[0], 3); /* the generation of its owner */
    world_replace(m, 4);
    world_replace(m, 5);
    assert_int_equal(world_checkpoint(m, &backing, true), 0);
    assert_int_equal(backing.rows[4 * NEIGHBOUR_KINDS].n, 0);
    assert_int_equal(backing.rows[5 * NEIGHBOUR_KINDS].n, 0);
    assert_true(backing.rows[6 * NEIGHBOUR_KINDS].n > 0);
    model_free(m);
}

static void test_rows_come_in_the_order_of_the_store(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 64u << 20, &backing);
    for (uint32_t k = 0; k < WORLD_KEYS; k++)
        world_add(m, (enum neighbour_kind)(k * 7 % WORLD_KEYS % NEIGHBOUR_KINDS), k * 7 % WORLD_KEYS / NEIGHBOUR_KINDS,
                  1, 1, T0);
    (void)world_begin(m, &backing, true);
    neighbours_checkpoint_sort(m->neighbours);
    for (uint32_t k = 0; k < WORLD_KEYS; k++) {
        enum neighbour_kind kind;
        uint32_t a;
        struct buf bytes;
        buf_init(&bytes, 4096);
        epoch_enter(m->epoch, 0);
        assert_int_equal(neighbours_checkpoint_next(m->neighbours, &kind, &a, &bytes), 1);
        epoch_leave(m->epoch, 0);
        buf_free(&bytes);
        assert_int_equal(kind, k / WORLD_ITEMS);
        assert_int_equal(a, k % WORLD_ITEMS);
    }
    neighbours_checkpoint_end(m->neighbours, true);
    model_free(m);
}

/* A bound that was made smaller holds for rows stored before; the strongest stay, in their order. */
static void test_fewer_neighbours_than_before(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 64u << 20, &backing);
    for (uint32_t b = 0; b < M; b++) world_add(m, NEIGHBOUR_FORWARD, 30, b, (float)(b % 8 + 1), T0);
    (void)world_checkpoint(m, &backing, true);
    model_free(m);
    m = world_new(6, 64u << 20, &backing);
    static const uint32_t left[] = {6, 7, 14, 15, 22, 23};
    for (int touched = 0; touched < 2; touched++) {
        const struct neighbour_list *l = world_row(m, NEIGHBOUR_FORWARD, 30);
        assert_int_equal(l->n, 6);
        for (uint32_t k = 0; k < 6; k++) {
            assert_int_equal(l->row[k], touched && k == 0 ? 33 : left[k]);
            assert_true(l->weight[k] == (touched && k == 0 ? 0.5f : (float)(left[k] % 8 + 1)));
        }
        if (!touched) world_add(m, NEIGHBOUR_FORWARD, 30, 33, 0.5f, T0);
    }
    model_free(m);
}

struct storing {
    struct model *m;
    _Atomic bool done;
};

static void *store_all(void *arg) {
    struct storing *s = arg;
    neighbours_checkpoint_sort(s->m->neighbours);
    while (world_store_next(s->m, &backing)) {
    }
    atomic_store(&s->done, true);
    return NULL;
}

static void test_store_thread_beside_the_learner(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 64u << 20, NULL);
    uint64_t then[WORLD_KEYS], stored[WORLD_KEYS], n = 0;
    struct err e;
    for (unsigned round = 0; round < 100; round++) {
        struct storing s = {.m = m};
        pthread_t thread;
        for (uint64_t end = n + 60; n < end; n++) assert_int_equal(step(m, n, &e), 0);
        copy_rows(m, then);
        (void)world_begin(m, &backing, true);
        assert_int_equal(pthread_create(&thread, NULL, store_all, &s), 0);
        for (unsigned k = 0; !atomic_load(&s.done) || k < 20; k++, n++) {
            assert_int_equal(step(m, n, &e), 0);
            model_publish(m);
        }
        pthread_join(thread, NULL);
        neighbours_checkpoint_end(m->neighbours, true);
        stored_rows(stored);
        assert_memory_equal(stored, then, sizeof then);
    }
    model_free(m);
}

/* Rows that leave the cache, are written, come back and are erased under a reader. */
static void test_readers_beside_a_small_cache(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct reading r = {.m = world_new(8, 3000, &backing), .n_rows = WORLD_ITEMS};
    const struct neighbours_stats *stats = neighbours_stats(r.m->neighbours);
    struct err e;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_rows, &r), 0);
    for (uint64_t n = 0; n < 20000; n++) {
        int64_t t = T0 + (int64_t)n * 100 * DAY;
        uint32_t a = draw_below(draw_bits(12, n), WORLD_ITEMS), b = draw_below(draw_bits(13, n), WORLD_ITEMS);
        int rc = neighbours_touch(r.m->neighbours, NEIGHBOUR_SUCCESSOR, a, 1, &e);
        if (rc == ERR_FULL) {
            (void)world_checkpoint(r.m, &backing, true);
            rc = neighbours_touch(r.m->neighbours, NEIGHBOUR_SUCCESSOR, a, 1, &e);
        }
        assert_int_equal(rc, 0);
        neighbours_add(r.m->neighbours, NEIGHBOUR_SUCCESSOR, a, b, weight_of(t), t);
        if (n % 5 == 0) model_publish(r.m);
        if (n % 500 == 499) assert_int_equal(erase(r.m, a, &e), 0);
    }
    atomic_store(&r.over, true);
    pthread_join(thread, NULL);
    assert_int_equal(r.torn, 0);
    assert_true(r.rows > 0 && stats->reads > 0 && stats->evicted > 1000);
    model_free(r.m);
}

/* Every request for memory refused in turn: the touch fails, no row is another, and it works the next time. */
static void refuse_in_turn(struct model *m, uint64_t n, unsigned *refused) {
    uint64_t before = all_rows(m);
    struct err e;
    int rc = ERR_NOMEM;
    for (uint64_t nth = 1; rc == ERR_NOMEM; nth++) {
        mem_fail_at(nth);
        rc = n % 10 ? learn(m, n, &e) : neighbours_erase(m->neighbours, (uint32_t)n % WORLD_ITEMS, &e);
        mem_fail_at(0);
        if (rc == 0) break;
        assert_int_equal(rc, ERR_NOMEM);
        assert_true(all_rows(m) == before);
        ++*refused;
    }
}

static void test_refused_memory_changes_nothing(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 64u << 20, &backing);
    unsigned refused[3] = {0};
    struct err e;
    uint64_t n = 0;
    for (; n < 300; n++) assert_int_equal(learn(m, n, &e), 0);
    (void)world_checkpoint(m, &backing, true);
    model_free(m);
    m = world_new(M, 64u << 20, &backing);
    for (; n < 340; n++) refuse_in_turn(m, n, &refused[0]); /* rows come from the backing */
    (void)world_begin(m, &backing, true);
    for (; n < 380; n++) refuse_in_turn(m, n, &refused[1]); /* and are set aside */
    while (world_store_next(m, &backing)) {
    }
    neighbours_checkpoint_end(m->neighbours, true);
    for (; n < 420; n++) refuse_in_turn(m, n, &refused[2]); /* and have nothing to ask for */
    assert_true(refused[0] > 40 && refused[1] > 40);
    assert_true(refused[2] < 20);
    model_free(m);
}

static int touch_stored(const void *bytes, size_t n, struct err *e) {
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 4096, &backing);
    struct world_row *r = &backing.rows[7 * NEIGHBOUR_KINDS + NEIGHBOUR_BACKWARD];
    struct neighbour_list list;
    struct err why = {0};
    memcpy(r->bytes, bytes, n);
    r->n = n;
    int rc = neighbours_touch(m->neighbours, NEIGHBOUR_BACKWARD, 7, 1, e);
    assert_int_equal(neighbours_peek(m->neighbours, NEIGHBOUR_BACKWARD, 7, &list, &why), rc);
    if (rc == 0) assert_int_equal(list.n, 2);
    if (rc < 0) {
        epoch_enter(m->epoch, 1);
        assert_int_equal(neighbours_read(m->neighbours, 1, NEIGHBOUR_BACKWARD, 7, &list, &why), rc);
        epoch_leave(m->epoch, 1);
        assert_string_equal(why.text, e->text);
    }
    model_free(m);
    return rc;
}

static void test_a_damaged_row_is_refused(void **state) {
    (void)state;
    char good[34] = {0}, bad[34];
    const uint32_t items[] = {5, 6};
    const float weights[] = {1, 2};
    struct err e;
    good[12] = 2;
    memcpy(good + 14, items, 8);
    memcpy(good + 22, weights, 8);
    assert_int_equal(touch_stored(good, sizeof good, &e), 0);
    static const struct {
        size_t at, n;
        uint32_t value;
    } cases[] = {{14, 34, WORLD_ITEMS}, {18, 34, UINT32_MAX}, {22, 34, 0}, {26, 34, 0x7F800000}, {26, 34, 0xBF800000},
                 {12, 34, 3},           {12, 34, 0},          {8, 33, 0},  {0, 13, 0},           {12, 34, 256},
                 {26, 34, 0x7FC00000}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        memcpy(bad, good, sizeof bad);
        memcpy(bad + cases[k].at, &cases[k].value, cases[k].at == 12 ? 2 : 4);
        assert_int_equal(touch_stored(bad, cases[k].n, &e), ERR_CORRUPT);
        assert_non_null(strstr(e.text, "backward neighbours of item row 7"));
    }
}

static void test_errors_of_the_backing_are_passed_on(void **state) {
    (void)state;
    memset(&backing, 0, sizeof backing);
    struct model *m = world_new(M, 4096, &backing);
    struct neighbour_list list;
    struct err e;
    backing.fail = ERR_IO;
    assert_int_equal(neighbours_touch(m->neighbours, NEIGHBOUR_FORWARD, 1, 1, &e), ERR_IO);
    assert_int_equal(neighbours_peek(m->neighbours, NEIGHBOUR_FORWARD, 1, &list, &e), ERR_IO);
    backing.fail = 0;
    world_add(m, NEIGHBOUR_FORWARD, 1, 2, 1, T0);
    assert_int_equal(world_row(m, NEIGHBOUR_FORWARD, 1)->n, 1);
    model_free(m);
}

/* Asking brings nothing into the cache and changes no order of leaving it. */
static void test_asking_changes_nothing(void **state) {
    (void)state;
    uint64_t evicted[2];
    for (int asked = 0; asked < 2; asked++) {
        memset(&backing, 0, sizeof backing);
        struct model *m = world_new(M, 4096, &backing);
        const struct neighbours_stats *stats = neighbours_stats(m->neighbours);
        struct err e;
        for (uint64_t n = 0; n < 1000; n++) {
            if (learn(m, n, &e) == ERR_FULL) {
                (void)world_checkpoint(m, &backing, true);
                assert_int_equal(learn(m, n, &e), 0);
            }
            uint64_t cached = stats->cached, hits = stats->hits;
            for (uint32_t a = 0; asked && a < WORLD_ITEMS; a++) (void)world_row(m, NEIGHBOUR_FORWARD, a);
            assert_int_equal(stats->cached, cached);
            assert_int_equal(stats->hits, hits);
        }
        evicted[asked] = stats->evicted;
        model_free(m);
    }
    assert_true(evicted[0] > 100);
    assert_int_equal(evicted[0], evicted[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_for_any_cache),
        cmocka_unit_test(test_what_is_evicted),
        cmocka_unit_test(test_an_event_larger_than_the_cache),
        cmocka_unit_test(test_a_checkpoint_is_of_one_moment),
        cmocka_unit_test(test_erased_rows_leave_the_list),
        cmocka_unit_test(test_rows_come_in_the_order_of_the_store),
        cmocka_unit_test(test_fewer_neighbours_than_before),
        cmocka_unit_test(test_store_thread_beside_the_learner),
        cmocka_unit_test(test_readers_beside_a_small_cache),
        cmocka_unit_test(test_refused_memory_changes_nothing),
        cmocka_unit_test(test_a_damaged_row_is_refused),
        cmocka_unit_test(test_errors_of_the_backing_are_passed_on),
        cmocka_unit_test(test_asking_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
