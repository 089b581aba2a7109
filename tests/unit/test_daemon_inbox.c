/* The inbox: order, the bound of each source apart, and that nobody waits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/source.h"

#define N     2000
#define BYTES 100
#define BOUND 1000
#define LIMIT 30 /* seconds after which a test that hangs has failed */
#define LONG  (LIMIT * 2000)

struct fixture {
    struct inbox *q;
    struct source *sources; /* (2) */
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->sources = calloc(2, sizeof *f->sources);
    f->q = inbox_new(BOUND);
    *state = f;
    alarm(LIMIT);
    return f->sources && f->q ? 0 : -1;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    alarm(0);
    inbox_free(f->q);
    free(f->sources);
    free(f);
    return 0;
}

/* A batch that counts as so many bytes. */
static struct batch *make(struct source *s, uint32_t number, size_t bytes) {
    struct batch *b = batch_new(s, number, 1);
    assert_non_null(b);
    b->bytes = bytes;
    return b;
}

static void *put_many(void *arg) {
    struct fixture *f = arg;
    for (uint32_t i = 0; i < N; i++) {
        struct batch *b = make(&f->sources[0], i, BYTES + i % 7);
        if (!inbox_put(f->q, b)) abort();
    }
    return NULL;
}

static void test_order_and_bound(void **state) {
    struct fixture *f = *state;
    pthread_t t;
    uint64_t most = 0;
    assert_int_equal(pthread_create(&t, NULL, put_many, f), 0);
    for (uint32_t i = 0; i < N; i++) {
        uint64_t bytes = inbox_bytes(f->q);
        if (bytes > most) most = bytes;
        struct batch *b = inbox_take(f->q, LONG);
        assert_non_null(b);
        assert_int_equal(b->partition, i);
        assert_null(b->next);
        batch_free(b);
    }
    pthread_join(t, NULL);
    assert_true(most <= BOUND);
    assert_int_equal(inbox_bytes(f->q), 0);
    assert_int_equal(f->sources[0].inbox_bytes, 0);
    assert_null(inbox_take(f->q, 0));
}

/* A full source does not stop another one, and one batch of any size fits alone. */
static void test_sources_apart(void **state) {
    struct fixture *f = *state;
    assert_true(inbox_put(f->q, make(&f->sources[0], 0, BOUND * 5)));
    assert_true(inbox_put(f->q, make(&f->sources[1], 1, BOUND / 2)));
    assert_true(inbox_put(f->q, make(&f->sources[1], 2, BOUND / 2)));
    assert_int_equal(inbox_bytes(f->q), BOUND * 6);
    for (uint32_t i = 0; i < 3; i++) {
        struct batch *b = inbox_take(f->q, 0);
        assert_non_null(b);
        assert_int_equal(b->partition, i);
        batch_free(b);
    }
}

struct attempt {
    struct fixture *f;
    bool done;
};

static void *put_one(void *arg) {
    struct attempt *a = arg;
    struct batch *b = make(&a->f->sources[0], 9, BYTES);
    a->done = inbox_put(a->f->q, b);
    if (!a->done) batch_free(b);
    return NULL;
}

static void test_close_wakes_put(void **state) {
    struct fixture *f = *state;
    struct attempt a = {.f = f, .done = true};
    pthread_t t;
    assert_true(inbox_put(f->q, make(&f->sources[0], 0, BOUND)));
    assert_int_equal(pthread_create(&t, NULL, put_one, &a), 0);
    inbox_close(f->q);
    pthread_join(t, NULL);
    assert_false(a.done);
    struct batch *b = inbox_take(f->q, LONG); /* what was inside can still be taken */
    assert_non_null(b);
    batch_free(b);
    assert_null(inbox_take(f->q, LONG));
}

static void test_take_makes_room(void **state) {
    struct fixture *f = *state;
    struct attempt a = {.f = f, .done = false};
    pthread_t t;
    assert_true(inbox_put(f->q, make(&f->sources[0], 0, BOUND)));
    assert_int_equal(pthread_create(&t, NULL, put_one, &a), 0);
    batch_free(inbox_take(f->q, 0));
    pthread_join(t, NULL);
    assert_true(a.done);
    batch_free(inbox_take(f->q, 0));
    assert_int_equal(inbox_bytes(f->q), 0);
}

static void *wait_room(void *arg) {
    struct attempt *a = arg;
    struct batch *b = make(&a->f->sources[0], 9, BYTES);
    a->done = inbox_wait_room(a->f->q, b, LONG);
    batch_free(b);
    return NULL;
}

/* Only room for that source, or the close, ends the wait before its time; nothing is put. */
static void test_wait_for_room(void **state) {
    struct fixture *f = *state;
    struct attempt a = {.f = f, .done = false};
    pthread_t t;
    struct batch *b = make(&f->sources[0], 9, BYTES), *other = make(&f->sources[1], 9, BYTES);
    assert_true(inbox_wait_room(f->q, b, 0));
    assert_true(inbox_put(f->q, make(&f->sources[0], 0, BOUND)));
    assert_false(inbox_wait_room(f->q, b, 1));
    assert_true(inbox_wait_room(f->q, other, 0));
    assert_int_equal(pthread_create(&t, NULL, wait_room, &a), 0);
    batch_free(inbox_take(f->q, 0));
    pthread_join(t, NULL);
    assert_true(a.done);
    assert_int_equal(inbox_bytes(f->q), 0);
    assert_true(inbox_put(f->q, make(&f->sources[0], 0, BOUND)));
    a.done = false;
    assert_int_equal(pthread_create(&t, NULL, wait_room, &a), 0);
    inbox_close(f->q);
    pthread_join(t, NULL);
    assert_true(a.done);
    batch_free(b);
    batch_free(other);
}

static void *take_one(void *arg) {
    struct fixture *f = arg;
    return inbox_take(f->q, LONG);
}

static void test_close_and_wake_wake_take(void **state) {
    struct fixture *f = *state;
    pthread_t t;
    void *got = f;
    assert_int_equal(pthread_create(&t, NULL, take_one, f), 0);
    inbox_wake(f->q);
    pthread_join(t, &got);
    assert_null(got);
    got = f;
    assert_int_equal(pthread_create(&t, NULL, take_one, f), 0);
    inbox_close(f->q);
    pthread_join(t, &got);
    assert_null(got);
}

/* Freed with batches inside: nothing leaks (seen by the address sanitizer), the source owes nothing. */
static void test_free_with_content(void **state) {
    struct fixture *f = *state;
    struct inbox *q = inbox_new(BOUND);
    assert_true(inbox_put(q, make(&f->sources[0], 0, BYTES)));
    assert_true(inbox_put(q, make(&f->sources[1], 1, BYTES)));
    inbox_free(q);
    assert_int_equal(f->sources[0].inbox_bytes, 0);
    assert_int_equal(f->sources[1].inbox_bytes, 0);
    inbox_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_and_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sources_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_wakes_put, setup, teardown),
        cmocka_unit_test_setup_teardown(test_take_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wait_for_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_and_wake_wake_take, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_with_content, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
