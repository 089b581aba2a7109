/* Transactions larger than what may stay in memory: the same rows, the same all or nothing, and no memory lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <malloc.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "lib/base/draw.h"
#include "lib/base/hash.h"
#include "lib/store/store.h"
#include "tests/unit/store_tmp.h"

#define BOUND      (1u << 20) /* bytes of changed pages: 256 */
#define ROWS       3000u      /* 12 MB of pages */
#define VALUE_MOST 3000u

static char dir[256];
static struct err e;
static int fail_at, n_writes; /* write number fail_at of this process fails; 0 = none does */

static bool write_fails(void) {
    errno = ENOSPC;
    return ++n_writes == fail_at;
}

/* The program's own stand before the C library's, also for LMDB. */
ssize_t pwrite(int fd, const void *p, size_t n, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) *(void **)(&real) = dlsym(RTLD_NEXT, "pwrite");
    return write_fails() ? -1 : real(fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real) *(void **)(&real) = dlsym(RTLD_NEXT, "writev");
    return write_fails() ? -1 : real(fd, v, n);
}

static int set_up(void **state) {
    (void)state;
    fail_at = n_writes = 0;
    tmp_make(dir);
    memset(&e, 0, sizeof e);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tmp_remove(dir);
    return 0;
}

static struct store *open_store(uint64_t dirty_bytes) {
    struct store_options o = {
        .dir = dir, .map_size = 256u << 20, .dirty_bytes = dirty_bytes, .max_readers = 2, .create = true};
    struct store *s = NULL;
    if (store_open(&o, &s, &e) != 0) fail_msg("%s", e.text);
    return s;
}

/* Row n of a state: a function of both, between 40 and VALUE_MOST bytes. */
static struct slice row(uint32_t n, uint64_t version, char out[VALUE_MOST]) {
    uint64_t bits = draw_bits(version, n);
    memset(out, (int)(bits & 0xff), VALUE_MOST);
    memcpy(out, &bits, sizeof bits);
    return slice_of(out, 40 + (size_t)(bits >> 8) % (VALUE_MOST - 40));
}

/* Changes every row, ascending for users and in no order for items, and each again that is a multiple of 100. */
static int change(struct store *s, uint64_t version, struct store_txn **t) {
    static char value[VALUE_MOST];
    char key[4];
    int rc = store_begin(s, t, &e);
    for (uint32_t n = 0; n < ROWS && rc == 0; n++) {
        uint32_t other = (uint32_t)((uint64_t)n * 7919 % ROWS);
        rc = store_put(*t, STORE_USER, store_key_u32(n, key), row(n, version, value), &e);
        if (rc == 0) rc = store_put(*t, STORE_ITEM, store_key_u32(other, key), row(other, version, value), &e);
        if (rc == 0 && n % 3 == 0) rc = store_del(*t, STORE_ITEM_ID, store_key_u32(other, key), &e);
        if (rc == 0 && n % 3 != 0) rc = store_put(*t, STORE_ITEM_ID, store_key_u32(n, key), slice_str("id"), &e);
    }
    for (uint32_t n = 0; n < ROWS && rc == 0; n += 100)
        rc = store_put(*t, STORE_ITEM, store_key_u32(n, key), row(n + ROWS, version, value), &e);
    return rc;
}

static uint64_t contents(struct store *s) {
    static const enum store_table tables[] = {STORE_META, STORE_USER, STORE_ITEM, STORE_ITEM_ID};
    struct store_scan *scan = NULL;
    struct slice key, value;
    uint64_t h = 0;
    assert_int_equal(store_scan_begin(s, &scan, &e), 0);
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
        int rc = store_scan_seek(scan, tables[k], slice_of(NULL, 0), &e);
        while (rc == 0 && (rc = store_scan_next(scan, &key, &value, &e)) == 1) {
            h = hash64(value.p, value.n, hash64(key.p, key.n, h));
            rc = 0;
        }
        assert_int_equal(rc, 0);
    }
    store_scan_end(scan);
    return h;
}

static uint64_t after_two_changes(uint64_t dirty_bytes) {
    struct store *s = open_store(dirty_bytes);
    struct store_txn *t;
    for (uint64_t version = 1; version <= 2; version++) {
        assert_int_equal(change(s, version, &t), 0);
        assert_int_equal(store_commit(t, &e), 0);
    }
    store_close(s);
    s = open_store(dirty_bytes);
    uint64_t h = contents(s);
    store_close(s);
    tmp_clear(dir);
    return h;
}

static void test_rows_do_not_depend_on_the_bound(void **state) {
    (void)state;
    uint64_t want = after_two_changes(0);
    assert_int_equal(after_two_changes(BOUND), want);
    assert_int_equal(after_two_changes(BOUND / 16), want);
    assert_int_equal(after_two_changes(1), want);
}

static void test_an_abort_leaves_the_old_state(void **state) {
    (void)state;
    struct store *s = open_store(BOUND);
    struct store_txn *t;
    assert_int_equal(change(s, 1, &t), 0);
    assert_int_equal(store_commit(t, &e), 0);
    uint64_t want = contents(s);
    assert_int_equal(change(s, 2, &t), 0);
    assert_int_equal(contents(s), want); /* readers see nothing of what was written early */
    store_abort(t);
    assert_int_equal(contents(s), want);
    store_close(s);
    s = open_store(BOUND);
    assert_int_equal(contents(s), want);
    store_close(s);
}

/* Each write before the commit fails in turn. */
static void test_a_failed_early_write_fails_the_transaction(void **state) {
    (void)state;
    struct store *s = open_store(BOUND);
    struct store_txn *t;
    assert_int_equal(change(s, 1, &t), 0);
    assert_int_equal(store_commit(t, &e), 0);
    uint64_t want = contents(s);
    n_writes = 0;
    assert_int_equal(change(s, 2, &t), 0);
    store_abort(t);
    int early = n_writes;
    assert_true(early > 10);
    for (int at = 1; at <= early; at += 7) {
        n_writes = 0;
        fail_at = at;
        assert_int_equal(change(s, 2, &t), ERR_IO);
        fail_at = 0;
        assert_int_equal(store_commit(t, &e), ERR_IO);
        assert_int_equal(contents(s), want);
    }
    assert_int_equal(change(s, 2, &t), 0);
    assert_int_equal(store_commit(t, &e), 0);
    assert_true(contents(s) != want);
    store_close(s);
}

static void test_a_kill_in_the_middle_leaves_the_old_state(void **state) {
    (void)state;
    struct store *s = open_store(BOUND);
    struct store_txn *t;
    int status;
    assert_int_equal(change(s, 1, &t), 0);
    assert_int_equal(store_commit(t, &e), 0);
    uint64_t want = contents(s);
    store_close(s);
    pid_t pid = fork();
    if (pid == 0) {
        s = open_store(BOUND);
        if (change(s, 2, &t) == 0) raise(SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    s = open_store(BOUND);
    assert_int_equal(contents(s), want);
    assert_int_equal(change(s, 2, &t), 0);
    assert_int_equal(store_commit(t, &e), 0);
    store_close(s);
}

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak)); /* the sanitizers' own allocators */

static size_t allocated(void) {
    if (__sanitizer_get_current_allocated_bytes) return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Of a transaction with BOUND in memory; LMDB keeps pages for its next transaction, so that what is there at the end
 * is the most it had. */
static void test_memory_is_bounded_and_comes_back(void **state) {
    (void)state;
    struct store *s = open_store(BOUND);
    struct store_txn *t;
    size_t before = allocated();
    assert_int_equal(change(s, 1, &t), 0);
    assert_int_equal(store_commit(t, &e), 0);
    size_t once = allocated();
    for (uint64_t version = 2; version < 12; version++) {
        assert_int_equal(change(s, version, &t), 0);
        if (version % 3)
            assert_int_equal(store_commit(t, &e), 0);
        else
            store_abort(t);
    }
    size_t often = allocated();
    store_close(s);
    assert_in_range(once - before, BOUND / 2, 4 * BOUND);
    assert_true(often < once + BOUND);
}

static uint64_t spilled(struct store *s) {
    struct store_size size;
    assert_int_equal(store_size(s, &size, &e), 0);
    return size.spilled;
}

static void test_transactions_that_reach_the_bound_are_counted(void **state) {
    (void)state;
    struct store *s = open_store(BOUND);
    struct store_txn *t;
    char key[4];
    assert_int_equal(spilled(s), 0);
    for (uint32_t version = 1; version <= 4; version++) {
        uint64_t before = spilled(s);
        assert_int_equal(change(s, version, &t), 0);
        if (version == 3)
            store_abort(t);
        else
            assert_int_equal(store_commit(t, &e), 0);
        assert_int_equal(spilled(s), before + 1);
        assert_int_equal(store_begin(s, &t, &e), 0); /* a small one after a large one */
        assert_int_equal(store_put(t, STORE_USER, store_key_u32(version, key), slice_str("v"), &e), 0);
        assert_int_equal(store_commit(t, &e), 0);
        assert_int_equal(spilled(s), before + 1);
    }
    store_close(s);
    s = open_store(64u << 20); /* large enough */
    assert_int_equal(change(s, 5, &t), 0);
    assert_int_equal(store_commit(t, &e), 0);
    assert_int_equal(spilled(s), 0);
    store_close(s);
}

/* Values of many pages, which LMDB counts as one page each. */
static void test_memory_of_large_values_is_bounded(void **state) {
    (void)state;
    static char value[100000];
    struct store *s = open_store(BOUND);
    struct store_txn *t;
    char key[4];
    size_t before = allocated(), most = 0;
    assert_int_equal(store_begin(s, &t, &e), 0);
    for (uint32_t n = 0; n < 200; n++) {
        assert_int_equal(store_put(t, STORE_DEDUP, store_key_u32(n, key), slice_of(value, sizeof value), &e), 0);
        most = allocated() - before > most ? allocated() - before : most;
    }
    assert_int_equal(store_commit(t, &e), 0);
    store_close(s);
    assert_in_range(most, BOUND / 2, 4 * BOUND);
}

/* The file, not memory, is what a large transaction may run out of. */
static void test_a_full_map_is_an_error(void **state) {
    (void)state;
    struct store_options o = {.dir = dir, .map_size = 8u << 20, .dirty_bytes = BOUND, .max_readers = 2, .create = true};
    struct store *s = NULL;
    struct store_txn *t;
    assert_int_equal(store_open(&o, &s, &e), 0);
    uint64_t want = contents(s);
    assert_int_equal(change(s, 1, &t), ERR_FULL);
    assert_string_equal(e.field, "checkpoint.map_size");
    assert_int_equal(store_commit(t, &e), ERR_FULL);
    assert_int_equal(contents(s), want);
    store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_do_not_depend_on_the_bound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_abort_leaves_the_old_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_early_write_fails_the_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_kill_in_the_middle_leaves_the_old_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_is_bounded_and_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_transactions_that_reach_the_bound_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_of_large_values_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_map_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
