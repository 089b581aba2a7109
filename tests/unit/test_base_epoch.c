/* Epochs: nothing a reader may see is freed, all else is, with threads and with refused memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/base/epoch.h"
#include "lib/base/mem.h"

static int n_released;
static void *last_released;

static void count_release(void *block) {
    n_released++;
    last_released = block;
}

static int set_up(void **state) {
    (void)state;
    n_released = 0;
    last_released = NULL;
    return 0;
}

static void without_readers_all_is_freed(void **state) {
    (void)state;
    int blocks[200];
    struct epoch *e = epoch_new(0);
    assert_non_null(e);
    epoch_reclaim(e);
    for (int i = 0; i < 200; i++) epoch_retire(e, &blocks[i], 10, count_release);
    assert_int_equal(epoch_pending_bytes(e), 2000);
    assert_int_equal(n_released, 0);
    epoch_reclaim(e);
    assert_int_equal(n_released, 200);
    assert_ptr_equal(last_released, &blocks[199]);
    assert_int_equal(epoch_pending_bytes(e), 0);
    epoch_free(e);
    assert_int_equal(n_released, 200);
}

static void a_reader_inside_holds_what_it_may_see(void **state) {
    (void)state;
    int before, during, after;
    struct epoch *e = epoch_new(3);
    assert_non_null(e);
    epoch_retire(e, &before, 1, count_release);
    epoch_enter(e, 1); /* entered after the block was unlinked, but in the same epoch: held as well */
    epoch_retire(e, &during, 2, count_release);
    for (int i = 0; i < 5; i++) epoch_reclaim(e);
    assert_int_equal(n_released, 0);
    epoch_enter(e, 2); /* a later reader cannot see either, and does not matter */
    epoch_leave(e, 1);
    epoch_reclaim(e);
    assert_int_equal(n_released, 2);
    epoch_retire(e, &after, 4, count_release);
    epoch_reclaim(e);
    assert_int_equal(n_released, 2);
    assert_int_equal(epoch_pending_bytes(e), 4);
    epoch_leave(e, 2);
    epoch_reclaim(e);
    assert_int_equal(n_released, 3);
    epoch_free(e);
}

static void a_new_section_does_not_hold_old_blocks(void **state) {
    (void)state;
    int block;
    struct epoch *e = epoch_new(2);
    assert_non_null(e);
    epoch_enter(e, 0);
    epoch_retire(e, &block, 1, count_release);
    epoch_reclaim(e);
    epoch_leave(e, 0);
    epoch_enter(e, 0); /* again, before the writer looks */
    epoch_reclaim(e);
    assert_int_equal(n_released, 1);
    epoch_leave(e, 0);
    epoch_free(e);
}

static void blocks_go_oldest_first_through_a_growing_list(void **state) {
    (void)state;
    enum { N = 1000 };
    static int blocks[N];
    struct epoch *e = epoch_new(1);
    assert_non_null(e);
    int retired = 0;
    for (int round = 0; round < 10; round++) { /* the list wraps and grows with a reader always inside */
        if (round > 0) epoch_leave(e, 0);
        epoch_enter(e, 0);
        epoch_reclaim(e);
        assert_int_equal(n_released, retired);
        if (retired > 0) assert_ptr_equal(last_released, &blocks[retired - 1]);
        for (int i = 0; i < 10 + 20 * round && retired < N; i++) epoch_retire(e, &blocks[retired++], 1, count_release);
        epoch_reclaim(e);
        assert_int_equal(epoch_pending_bytes(e), retired - n_released);
    }
    epoch_leave(e, 0);
    epoch_free(e); /* frees the rest */
    assert_int_equal(n_released, retired);
    assert_true(retired > 500);
}

static void refused_memory_delays_but_loses_nothing(void **state) {
    (void)state;
    int blocks[100];
    mem_fail_at(1);
    assert_null(epoch_new(4));
    mem_fail_at(2);
    assert_null(epoch_new(4));
    struct epoch *e = epoch_new(4);
    assert_non_null(e);
    for (int i = 0; i < 100; i++) {
        mem_fail_at(1); /* the list cannot grow: the writer frees what it can instead */
        epoch_retire(e, &blocks[i], 1, count_release);
    }
    mem_fail_at(0);
    assert_true(n_released >= 64 && n_released < 100);
    epoch_reclaim(e);
    assert_int_equal(n_released, 100);
    epoch_free(e);
    epoch_free(NULL);
}

/* The use it is made for: one writer replaces a block, readers follow the pointer. A freed block is spoilt first, and
 * a sanitizer sees any touch after the free. */
enum { READERS = 3, WRITES = 20000, WORDS = 8 };

struct shared {
    struct epoch *e;
    uint64_t *_Atomic current; // (WORDS), all equal
    atomic_bool over;
    atomic_int failures;
    atomic_int sections;
};

struct reader {
    struct shared *s;
    unsigned number;
};

static atomic_int n_freed;

static void spoil(void *block) {
    uint64_t *words = block;
    for (int i = 0; i < WORDS; i++) words[i] = UINT64_MAX - (uint64_t)i;
    mem_free(block);
    atomic_fetch_add(&n_freed, 1);
}

static void *read_on(void *arg) {
    struct reader *r = arg;
    struct shared *s = r->s;
    uint64_t newest = 0;
    while (!atomic_load(&s->over)) {
        epoch_enter(s->e, r->number);
        uint64_t *words = atomic_load_explicit(&s->current, memory_order_acquire);
        uint64_t first = words[0];
        bool fine = first >= newest && first <= WRITES;
        for (int i = 1; i < WORDS; i++) fine = fine && words[i] == first;
        newest = first;
        epoch_leave(s->e, r->number);
        if (!fine) atomic_fetch_add(&s->failures, 1);
        atomic_fetch_add(&s->sections, 1);
    }
    return NULL;
}

static uint64_t *new_block(uint64_t value) {
    uint64_t *words = mem_alloc(WORDS * sizeof words[0]);
    assert_non_null(words);
    for (int i = 0; i < WORDS; i++) words[i] = value;
    return words;
}

static void readers_never_see_a_freed_block(void **state) {
    (void)state;
    struct shared s = {.e = epoch_new(READERS)};
    assert_non_null(s.e);
    atomic_store(&n_freed, 0);
    atomic_store(&s.current, new_block(0));
    pthread_t threads[READERS];
    struct reader readers[READERS];
    for (unsigned r = 0; r < READERS; r++) {
        readers[r] = (struct reader){.s = &s, .number = r};
        assert_int_equal(pthread_create(&threads[r], NULL, read_on, &readers[r]), 0);
    }
    while (atomic_load(&s.sections) == 0) sched_yield();
    for (uint64_t i = 1; i <= WRITES; i++) {
        uint64_t *old = atomic_load_explicit(&s.current, memory_order_relaxed);
        atomic_store_explicit(&s.current, new_block(i), memory_order_release);
        epoch_retire(s.e, old, WORDS * sizeof old[0], spoil);
        if (i % 3 == 0) epoch_reclaim(s.e);
    }
    /* A reader may have been put aside inside a section all along: it leaves once it runs again. */
    while (atomic_load(&n_freed) == 0) {
        sched_yield();
        epoch_reclaim(s.e);
    }
    atomic_store(&s.over, true);
    for (unsigned r = 0; r < READERS; r++) assert_int_equal(pthread_join(threads[r], NULL), 0);
    assert_int_equal(atomic_load(&s.failures), 0);
    epoch_reclaim(s.e);
    assert_int_equal(epoch_pending_bytes(s.e), 0);
    assert_int_equal(atomic_load(&n_freed), WRITES);
    epoch_free(s.e);
    mem_free(atomic_load(&s.current));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_readers_all_is_freed, set_up),
        cmocka_unit_test_setup(a_reader_inside_holds_what_it_may_see, set_up),
        cmocka_unit_test_setup(a_new_section_does_not_hold_old_blocks, set_up),
        cmocka_unit_test_setup(blocks_go_oldest_first_through_a_growing_list, set_up),
        cmocka_unit_test_setup(refused_memory_delays_but_loses_nothing, set_up),
        cmocka_unit_test(readers_never_see_a_freed_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
