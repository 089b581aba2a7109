/* A checkpoint holds the item rows as they stood at its beginning, whatever the learner does meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/model/item.h"
#include "lib/model/item_aside.h"

#define DIM 64

struct shelf { /* a table with what it needs, and copies of it */
    struct model_params params;
    struct epoch *epoch;
    struct buf ops;
    struct items *items;
    uint32_t n;
    unsigned char *then, *stored; /* (blocks, block bytes): at the beginning; what the checkpoints wrote */
    uint64_t draws;
};

static void publish(struct shelf *s) { /* what model_publish does with touched rows */
    struct items *t = s->items;
    marks_clear(&t->touched);
    marks_clear(&t->counted);
    item_aside_tend(t->aside);
}

static size_t copy_bytes(const struct shelf *s) {
    return (s->params.max_items / s->items->block_rows + 1) * items_block_bytes(s->items);
}

static void add_item(struct shelf *s) {
    char id[16];
    uint32_t row;
    struct err e;
    snprintf(id, sizeof id, "i%u", s->n);
    assert_int_equal(items_add(s->items, slice_str(id), &row, &e), 0);
    assert_int_equal(row, s->n++);
}

static void new_shelf(struct shelf *s, uint32_t rows, uint32_t max_items) {
    struct err e;
    memset(s, 0, sizeof *s);
    s->params = (struct model_params){.dim = DIM, .seed = 3, .max_items = max_items, .start_item = 0.1f};
    s->epoch = epoch_new(1);
    assert_non_null(s->epoch);
    buf_init(&s->ops, 64u << 20);
    assert_int_equal(items_new(&s->params, s->epoch, &s->ops, &s->items, &e), 0);
    while (s->n < rows) add_item(s);
    publish(s);
    s->then = calloc(1, copy_bytes(s));
    s->stored = calloc(1, copy_bytes(s));
    assert_true(s->then && s->stored);
}

static void free_shelf(struct shelf *s) {
    items_free(s->items);
    epoch_free(s->epoch);
    buf_free(&s->ops);
    free(s->then);
    free(s->stored);
}

/* One step of the learner: all numbers of a row become the same new one, so that a torn copy shows. */
static void change(struct shelf *s, uint32_t row) {
    struct items *t = s->items;
    struct item_head *head = item_head(t, row), next = *head;
    float v[2 * DIM];
    next.bias = next.q_sum = next.count = next.bias + 1;
    for (int k = 0; k < 2 * DIM; k++) v[k] = next.bias;
    item_change(t, row);
    item_begin(head);
    item_store_head(head, &next);
    item_store(item_q(t, row), v, sizeof v);
    item_end(head);
}

static uint32_t any_row(struct shelf *s) { return (uint32_t)(draw_bits(11, s->draws++) % s->n); }

static uint32_t begin(struct shelf *s) {
    struct items *t = s->items;
    publish(s);
    uint32_t n = items_checkpoint_begin(t);
    memcpy(s->then, t->rows, copy_bytes(s));
    for (uint32_t r = 0; r < s->n; r++) memset(s->then + r * t->stride, 0, sizeof(uint32_t));
    return n;
}

/* Blocks [from, to) of the checkpoint under way into stored; how many there were. */
static uint32_t take(struct shelf *s, uint32_t from, uint32_t to) {
    uint32_t n = 0;
    for (uint32_t b = from; b < to; b++)
        n += items_take_block(s->items, b, s->stored + b * items_block_bytes(s->items)) != 0;
    return n;
}

static void assert_stored_as_then(const struct shelf *s) {
    for (uint32_t r = 0; r < s->n; r++)
        if (memcmp(s->then + r * s->items->stride, s->stored + r * s->items->stride, s->items->stride) != 0)
            fail_msg("row %u is not as it was at the beginning", r);
}

static void test_blocks_fill_pages(void **state) {
    (void)state;
    for (uint32_t dim = 16; dim <= MODEL_MAX_DIM; dim += 16) {
        size_t bytes = item_block_rows(dim) * item_stride(dim) + ITEM_PAGE_HEAD;
        size_t pages = (bytes + ITEM_PAGE - 1) / ITEM_PAGE;
        assert_in_range(pages, 1, 8);
        assert_true(pages * ITEM_PAGE - bytes <= pages * ITEM_PAGE / 16);
    }
    assert_int_equal(item_block_rows(64), 7);
}

static void test_rows_changed_before_and_after_they_are_taken(void **state) {
    (void)state;
    struct shelf s;
    new_shelf(&s, 100, 200);
    assert_int_equal(begin(&s), 15);
    for (uint32_t r = 0; r < 50; r++) change(&s, r); /* before; some twice, with a publish between */
    publish(&s);
    for (uint32_t r = 20; r < 60; r++) change(&s, r);
    assert_int_equal(take(&s, 0, 5), 5);
    for (uint32_t r = 0; r < 70; r++) change(&s, r); /* 0 to 34 after */
    for (int k = 0; k < 20; k++) add_item(&s);       /* into a block that is pending, and beyond */
    assert_int_equal(take(&s, 5, items_blocks(s.items)), 10);
    assert_int_equal(take(&s, 0, items_blocks(s.items)), 0);
    s.n = 100;
    assert_stored_as_then(&s);
    for (uint32_t r = 100; r < 105; r++) /* in the last block, not there at the beginning */
        for (size_t k = 0; k < s.items->stride; k++) assert_int_equal(s.stored[r * s.items->stride + k], 0);
    s.n = 120;
    items_checkpoint_end(s.items, true);
    assert_int_equal(begin(&s), 14); /* rows 0 to 69 and 100 to 119: blocks 0 to 9 and 14 to 17 */
    assert_int_equal(take(&s, 0, items_blocks(s.items)), 14);
    items_checkpoint_end(s.items, true);
    assert_stored_as_then(&s);
    assert_int_equal(begin(&s), 0);
    items_checkpoint_end(s.items, true);
    free_shelf(&s);
}

/* Whenever a checkpoint fails, everything it was to hold goes with the next one, as it is then. */
static void test_a_failed_checkpoint_is_dirty_again(void **state) {
    (void)state;
    struct shelf s;
    new_shelf(&s, 700, 700);
    assert_int_equal(begin(&s), 100);
    for (uint32_t taken = 0; taken <= 100; taken += 20) {
        for (int k = 0; k < 200; k++) change(&s, any_row(&s));
        take(&s, 0, taken);
        for (int k = 0; k < 200; k++) change(&s, any_row(&s));
        items_checkpoint_end(s.items, false);
        memset(s.stored, 0xee, copy_bytes(&s));
        for (int k = 0; k < 10; k++) change(&s, any_row(&s)); /* nothing is pending: nothing may go aside */
        for (uint32_t r = 0; r < s.n; r++) assert_false(item_aside_has(s.items->aside, r));
        assert_int_equal(begin(&s), 100);
    }
    assert_int_equal(take(&s, 0, 100), 100);
    items_checkpoint_end(s.items, true);
    assert_stored_as_then(&s);
    free_shelf(&s);
}

/* Slots are used again, and what a busy checkpoint needed goes back to the system in steps. */
static void test_memory_is_bounded_and_given_back(void **state) {
    (void)state;
    struct shelf s;
    const uint32_t n = 60000;
    new_shelf(&s, n, n);
    size_t most = 0;
    for (int round = 0; round < 3; round++) {
        (void)begin(&s);
        for (uint32_t r = 0; r < n; r++) change(&s, r); /* every row, before the first is taken */
        assert_in_range(item_aside_bytes(s.items->aside), n * s.items->stride, (n + 2) * s.items->stride);
        take(&s, 0, items_blocks(s.items));
        assert_stored_as_then(&s);
        items_checkpoint_end(s.items, true);
        if (round == 0) most = item_aside_bytes(s.items->aside);
        assert_int_equal(item_aside_bytes(s.items->aside), most);
        for (size_t before = most, now; (now = (publish(&s), item_aside_bytes(s.items->aside))) < before; before = now)
            assert_true(before - now <= ITEM_ASIDE_STEP);
        assert_int_equal(item_aside_bytes(s.items->aside), ITEM_ASIDE_KEPT);
    }
    /* Interleaved with taking, a few slots go round. */
    (void)begin(&s);
    for (uint32_t b = 0; b < items_blocks(s.items); b++) {
        for (uint32_t r = b * s.items->block_rows; r < (b + 1) * s.items->block_rows && r < n; r++) change(&s, r);
        take(&s, b, b + 1);
    }
    items_checkpoint_end(s.items, true);
    assert_stored_as_then(&s);
    assert_int_equal(item_aside_bytes(s.items->aside), ITEM_ASIDE_KEPT);
    free_shelf(&s);
}

struct race {
    struct shelf *s;
    _Atomic uint32_t at; /* block that the store thread is at */
};

static void *take_all(void *arg) {
    struct race *r = arg;
    uint32_t n = items_blocks(r->s->items);
    for (uint32_t b = 0; b < n; b++) {
        atomic_store_explicit(&r->at, b, memory_order_relaxed);
        take(r->s, b, b + 1);
    }
    atomic_store(&r->at, n);
    return NULL;
}

/* The learner goes on at full speed while the store thread takes the blocks, every second time right where that one is;
 * every third checkpoint fails. */
static void test_stored_as_at_the_beginning_under_change(void **state) {
    (void)state;
    struct shelf s;
    new_shelf(&s, 14000, 14000);
    for (int round = 0; round < 40; round++) {
        struct race r = {.s = &s};
        pthread_t store;
        (void)begin(&s);
        assert_int_equal(pthread_create(&store, NULL, take_all, &r), 0);
        for (uint32_t k = 0, at; (at = atomic_load(&r.at)) < items_blocks(s.items); k++) {
            uint32_t near = at * s.items->block_rows + k % 16;
            change(&s, round % 2 && near < s.n ? near : any_row(&s));
            if (k % 100 == 0) publish(&s);
        }
        assert_int_equal(pthread_join(store, NULL), 0);
        assert_stored_as_then(&s);
        items_checkpoint_end(s.items, round % 3 != 0);
        for (uint32_t row = 0; row < s.n; row++) assert_false(item_aside_has(s.items->aside, row));
        assert_true(item_aside_bytes(s.items->aside) <= (s.n + 2) * s.items->stride);
    }
    free_shelf(&s);
}

static void test_refused_memory_is_an_error(void **state) {
    (void)state;
    struct model_params p = {.dim = DIM, .max_items = 100};
    struct epoch *epoch = epoch_new(1);
    struct items *t = NULL;
    struct buf ops;
    struct err e;
    buf_init(&ops, 1u << 20);
    int rc = ERR_NOMEM, tries = 0;
    for (uint64_t at = 1; rc != 0; at++, tries++) {
        mem_fail_at(at);
        rc = items_new(&p, epoch, &ops, &t, &e);
        assert_true(rc == 0 || (rc == ERR_NOMEM && t == NULL));
    }
    mem_fail_at(0);
    assert_true(tries > 10);
    items_free(t);
    epoch_free(epoch);
    buf_free(&ops);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_fill_pages),
        cmocka_unit_test(test_rows_changed_before_and_after_they_are_taken),
        cmocka_unit_test(test_a_failed_checkpoint_is_dirty_again),
        cmocka_unit_test(test_memory_is_bounded_and_given_back),
        cmocka_unit_test(test_stored_as_at_the_beginning_under_change),
        cmocka_unit_test(test_refused_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
