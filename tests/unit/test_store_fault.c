/* Failures of the store: refused commits, each system call of LMDB failing, flipped bytes, kill -9. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/store/store.h"
#include "tests/unit/store_tmp.h"

static char dir[256];
static struct err e;

/* The program's own pwrite, writev and fdatasync stand before the C library's, also for LMDB: call number fail_at of
 * this process fails, or all from it on. */
static struct {
    int at, count, for_good, error;
    int metas; /* counts only writes shorter than a page: those of the meta pages */
} io;

static int io_fails(int counts) {
    if (!counts || !io.at) return 0;
    io.count++;
    if (io.count != io.at && !(io.for_good && io.count > io.at)) return 0;
    errno = io.error;
    return 1;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) *(void **)(&real) = dlsym(RTLD_NEXT, "pwrite");
    return io_fails(!io.metas || n < 4096) ? -1 : real(fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real) *(void **)(&real) = dlsym(RTLD_NEXT, "writev");
    return io_fails(!io.metas) ? -1 : real(fd, v, n);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) *(void **)(&real) = dlsym(RTLD_NEXT, "fdatasync");
    return io_fails(!io.metas) ? -1 : real(fd);
}

static int set_up(void **state) {
    (void)state;
    tmp_make(dir);
    memset(&e, 0, sizeof e);
    memset(&io, 0, sizeof io);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    memset(&io, 0, sizeof io);
    tmp_remove(dir);
    return 0;
}

static struct store *open_store(void) {
    struct store_options o = {.dir = dir, .map_size = 64u << 20, .max_readers = 2, .create = true};
    struct store *s = NULL;
    if (store_open(&o, &s, &e) != 0) fail_msg("%s", e.text);
    return s;
}

enum { ROWS = 20 };

/* All rows and the position say the same number. */
static int put_rows(struct store *s, uint64_t number) {
    struct store_txn *t = NULL;
    static char row[3000];
    char k[4];
    int rc = store_begin(s, &t, &e);
    if (rc) return rc;
    for (size_t n = 0; n < sizeof row; n += 8) memcpy(row + n, &number, 8);
    for (uint32_t n = 0; rc == 0 && n < ROWS; n++) {
        rc = store_put(t, STORE_ITEM, store_key_u32(n * 7919, k), slice_of(row, sizeof row - n * 8), &e);
    }
    if (!rc) rc = store_put(t, STORE_POSITION, slice_of("log\0\0\0\0\0", 8), slice_of((char *)&number, 8), &e);
    if (!rc) return store_commit(t, &e);
    store_abort(t);
    return rc;
}

/* The number all rows agree on; fails the test when they do not. 0 when there are none. */
static uint64_t agreed(struct store *s) {
    struct buf b;
    uint64_t number = 0, other;
    char k[4];
    buf_init(&b, 4096);
    int rc = store_get(s, STORE_POSITION, slice_of("log\0\0\0\0\0", 8), &b, &e);
    if (rc == ERR_MISSING) return 0;
    if (rc) fail_msg("%s", e.text);
    memcpy(&number, b.p, 8);
    for (uint32_t n = 0; n < ROWS; n++) {
        if (store_get(s, STORE_ITEM, store_key_u32(n * 7919, k), &b, &e)) fail_msg("%s", e.text);
        assert_int_equal(b.n, 3000 - n * 8);
        memcpy(&other, b.p + b.n - 8, 8);
        assert_int_equal(number, other);
    }
    buf_free(&b);
    return number;
}

struct hook {
    const char *step;
    int after, error;
};

static int hook_main(void *arg, const char *step) {
    struct hook *h = arg;
    return strcmp(step, h->step) == 0 && h->after-- == 0 ? h->error : 0;
}

static void test_refused_steps_leave_the_old_state(void **state) {
    (void)state;
    static const struct hook hooks[] = {
        {"begin", 0, ENOSPC}, {"put", 0, EIO},       {"put", 5, ENOSPC},       {"put", ROWS, ENOMEM},
        {"commit", 0, EIO},   {"commit", 0, ENOSPC}, {"put", 3, MDB_MAP_FULL},
    };
    struct store *s = open_store();
    assert_int_equal(put_rows(s, 1), 0);
    for (size_t k = 0; k < sizeof hooks / sizeof *hooks; k++) {
        struct hook h = hooks[k];
        store_set_fault(s, hook_main, &h);
        int want = h.error == ENOMEM ? ERR_NOMEM : h.error == MDB_MAP_FULL ? ERR_FULL : ERR_IO;
        assert_int_equal(put_rows(s, 100 + k), want);
        store_set_fault(s, NULL, NULL);
        assert_false(store_needs_reopen(s));
        assert_int_equal(agreed(s), k + 1);
        assert_int_equal(put_rows(s, k + 2), 0); /* and the next one works */
        assert_int_equal(agreed(s), k + 2);
    }
    store_close(s);
}

static void test_panic_is_cured_by_reopening(void **state) {
    (void)state;
    struct store *s = open_store();
    struct buf b;
    buf_init(&b, 64);
    assert_int_equal(put_rows(s, 1), 0);
    memset(&io, 0, sizeof io);
    io.at = 1;
    io.for_good = io.metas = 1;
    io.error = EIO;
    assert_int_equal(put_rows(s, 2), ERR_IO);
    assert_true(store_needs_reopen(s));
    assert_int_equal(put_rows(s, 3), ERR_IO); /* for ever, readers too */
    assert_int_equal(store_get(s, STORE_META, slice_str("format"), &b, &e), ERR_IO);
    io.at = 0;
    assert_int_equal(put_rows(s, 3), ERR_IO);
    assert_int_equal(store_reopen(s, &e), 0);
    assert_false(store_needs_reopen(s));
    assert_in_range(agreed(s), 1, 2);
    assert_int_equal(put_rows(s, 4), 0);
    assert_int_equal(agreed(s), 4);
    /* A file that has gone: everything answers ERR_IO, a later reopening tries again. */
    char path[300], aside[300];
    snprintf(path, sizeof path, "%s/model.mdb", dir);
    snprintf(aside, sizeof aside, "%s/aside", dir);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(store_reopen(s, &e), ERR_MISSING);
    assert_int_equal(store_get(s, STORE_META, slice_str("format"), &b, &e), ERR_IO);
    assert_int_equal(put_rows(s, 5), ERR_IO);
    assert_true(store_needs_reopen(s));
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(store_reopen(s, &e), 0);
    assert_int_equal(agreed(s), 4);
    buf_free(&b);
    store_close(s);
}

/* Each write and each sync of a commit fails in turn, once and for good. */
static void test_each_system_call_fails(void **state) {
    (void)state;
    struct store *s = open_store();
    uint64_t number = 1;
    int panics = 0, failures = 0;
    assert_int_equal(put_rows(s, number), 0);
    for (int for_good = 0; for_good < 2; for_good++) {
        bool reached = true;
        for (int at = 1; reached && at < 200; at++) {
            memset(&io, 0, sizeof io);
            io.at = at;
            io.for_good = for_good;
            io.error = at % 2 ? EIO : ENOSPC;
            int rc = put_rows(s, number + 1);
            reached = io.count >= at;
            io.at = 0;
            if (rc) {
                assert_int_equal(rc, ERR_IO);
                failures++;
            }
            bool panic = store_needs_reopen(s);
            panics += panic;
            if (panic) assert_int_equal(store_reopen(s, &e), 0);
            uint64_t now = agreed(s);
            if (rc == 0)
                assert_int_equal(now, number + 1);
            else if (panic)
                assert_in_range(now, number, number + 1); /* the meta page may have got through */
            else
                assert_int_equal(now, number);
            number = now;
        }
        assert_false(reached);
    }
    assert_true(failures >= 4); /* data and meta page, once and for good */
    assert_true(panics >= 2);
    store_close(s);
    s = open_store();
    assert_int_equal(agreed(s), number);
    store_close(s);
}

/* Where the newest copy of some bytes lies in the data file; -1 when they are not there. */
static long find_bytes(const char *path, const char *what) {
    size_t n = 0, len = strlen(what);
    char *p = tmp_read(path, &n);
    assert_non_null(p);
    long at = -1;
    for (size_t k = 0; k + len <= n && at < 0; k++) {
        if (memcmp(p + k, what, len) == 0) at = (long)k;
    }
    free(p);
    return at;
}

static void put_one(struct store *s, enum store_table table, struct slice key, const char *value) {
    struct store_txn *t = NULL;
    assert_int_equal(store_begin(s, &t, &e), 0);
    assert_int_equal(store_put(t, table, key, slice_str(value), &e), 0);
    assert_int_equal(store_commit(t, &e), 0);
}

static void test_flipped_bytes_are_named(void **state) {
    (void)state;
    char k4[4], k8[8], path[300], pos[] = "shop\0\0\0\1\2";
    snprintf(path, sizeof path, "%s/model.mdb", dir);
    const struct {
        enum store_table table;
        struct slice key;
        const char *value, *named;
    } rows[] = {
        {STORE_ITEM, store_key_u32(70000, k4), "item-value-0123456789", "table item, key 70000"},
        {STORE_JOURNAL, store_key_u64(UINT64_C(5000000000), k8), "journal-value-0123456789",
         "table journal, key 5000000000"},
        {STORE_USER, slice_str("u\x01\"\xff"), "user-value-0123456789", "table user, key \"u\\x01\\x22\\xff\""},
        {STORE_POSITION, slice_of(pos, 9), "position-value-0123456789", "table position, key \"shop\" partition 258"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct store *s = open_store();
        put_one(s, STORE_USER, slice_str("a healthy one"), "fine");
        put_one(s, rows[r].table, rows[r].key, rows[r].value);
        store_close(s);
        long at = find_bytes(path, rows[r].value);
        assert_true(at > 0);
        long len = (long)strlen(rows[r].value);
        for (long k = 0; k < len + 4; k++) { /* the value and its checksum */
            tmp_flip(path, at + k, (unsigned char)(1 << k % 8));
            s = open_store();
            struct buf b;
            buf_init(&b, 64);
            assert_int_equal(store_get(s, rows[r].table, rows[r].key, &b, &e), ERR_CORRUPT);
            assert_non_null(strstr(e.text, rows[r].named));
            assert_non_null(strstr(e.text, "rankd verify"));
            assert_int_equal(b.n, 0);
            struct store_scan *c = NULL;
            struct slice key, value;
            int rc, bad = 0;
            assert_int_equal(store_scan_begin(s, &c, &e), 0);
            assert_int_equal(store_scan_seek(c, rows[r].table, slice_of("", 0), &e), 0);
            while ((rc = store_scan_next(c, &key, &value, &e)) != 0) bad += rc == ERR_CORRUPT; /* it goes on */
            assert_int_equal(bad, 1);
            store_scan_end(c);
            assert_int_equal(store_get(s, STORE_USER, slice_str("a healthy one"), &b, &e), 0);
            buf_free(&b);
            store_close(s);
            tmp_flip(path, at + k, (unsigned char)(1 << k % 8));
        }
        tmp_clear(dir);
    }
}

/* A row that stands under another key or in another table is refused, too. */
static void test_value_of_another_row_is_refused(void **state) {
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/model.mdb", dir);
    struct store *s = open_store();
    struct store_txn *t = NULL; /* one transaction, so that the file holds each row once */
    struct slice one_key = slice_str("key-one-AAAA"), two_key = slice_str("key-two-AAAA");
    assert_int_equal(store_begin(s, &t, &e), 0);
    assert_int_equal(store_put(t, STORE_USER, one_key, slice_str("value-one-same-length"), &e), 0);
    assert_int_equal(store_put(t, STORE_USER, two_key, slice_str("value-two-same-length"), &e), 0);
    assert_int_equal(store_commit(t, &e), 0);
    store_close(s);
    long one = find_bytes(path, "key-one-AAAAvalue-one-same-length"), two = find_bytes(path, "value-two-same-length");
    assert_true(one > 0 && two > 0);
    size_t n = 0;
    char *p = tmp_read(path, &n);
    memcpy(p + one + 12, p + two, 25); /* with its checksum */
    tmp_write(path, p, n);
    free(p);
    s = open_store();
    struct buf b;
    buf_init(&b, 64);
    assert_int_equal(store_get(s, STORE_USER, one_key, &b, &e), ERR_CORRUPT);
    assert_int_equal(store_get(s, STORE_USER, two_key, &b, &e), 0);
    buf_free(&b);
    store_close(s);
}

static void test_cut_file_is_refused(void **state) {
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/model.mdb", dir);
    struct store *s = open_store();
    assert_int_equal(put_rows(s, 1), 0);
    store_close(s);
    assert_int_equal(truncate(path, 3 * 4096), 0);
    struct store_options o = {.dir = dir, .map_size = 64u << 20, .max_readers = 2, .create = true};
    assert_int_equal(store_open(&o, &s, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "it was cut"));
}

static void test_failed_creation_leaves_nothing(void **state) {
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/model.mdb", dir);
    struct store_options o = {.dir = dir, .map_size = 64u << 20, .max_readers = 2, .create = true};
    struct store *s = NULL;
    for (int at = 1;; at++) {
        memset(&io, 0, sizeof io);
        io.at = at;
        io.error = ENOSPC;
        int rc = store_open(&o, &s, &e);
        bool reached = io.count >= at;
        io.at = 0;
        if (rc == 0) store_close(s);
        if (!reached) break;
        assert_true(at < 50);
        assert_int_equal(rc, ERR_IO);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

static void test_each_allocation_fails(void **state) {
    (void)state;
    struct store_options o = {.dir = dir, .map_size = 64u << 20, .max_readers = 2, .create = true};
    struct store *s = NULL;
    struct store_scan *c = NULL;
    struct buf b;
    int rc = ERR_NOMEM;
    for (uint64_t nth = 1; rc; nth++) {
        assert_true(nth < 20);
        mem_fail_at(nth);
        rc = store_open(&o, &s, &e);
        mem_fail_at(0);
        if (rc) assert_int_equal(rc, ERR_NOMEM);
        if (nth == 1) assert_int_equal(rc, ERR_NOMEM);
    }
    put_one(s, STORE_META, slice_str("key"), "value");
    buf_init(&b, 64);
    mem_fail_at(1);
    assert_int_equal(store_get(s, STORE_META, slice_str("key"), &b, &e), ERR_NOMEM);
    mem_fail_at(1);
    assert_int_equal(store_scan_begin(s, &c, &e), ERR_NOMEM);
    mem_fail_at(0);
    assert_int_equal(store_get(s, STORE_META, slice_str("key"), &b, &e), 0);
    buf_free(&b);
    store_close(s); /* would find a reader that is still in */
}

/* A child commits rows and their number in a loop and is killed at a moment of its own. */
static void test_kill_9_between_commits(void **state) {
    (void)state;
    uint64_t last = 0, moved = 0;
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t round = 0; round < 40; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork(); /* no store is open in this process */
        assert_true(child >= 0);
        if (child == 0) {
            close(fds[0]);
            struct store *s = open_store();
            for (uint64_t n = last + 1;; n++) {
                if (put_rows(s, n) != 0 || write(fds[1], &n, sizeof n) != sizeof n) _exit(1);
            }
        }
        close(fds[1]);
        uint64_t committed = last, wait_for = draw_below(draw_bits(round, 1), 12);
        for (uint64_t k = 0; k < wait_for; k++) {
            if (read(fds[0], &committed, sizeof committed) != sizeof committed) break;
        }
        for (volatile uint32_t spin = draw_below(draw_bits(round, 2), 300000); spin > 0;) spin = spin - 1;
        kill(child, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (read(fds[0], &committed, sizeof committed) == sizeof committed) {
        }
        close(fds[0]);
        struct store *s = open_store();
        uint64_t found = agreed(s);
        store_close(s);
        assert_true(found == committed || found == committed + 1); /* the last one may be unreported */
        moved += found > last;
        last = found;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (round >= 20 && now.tv_sec - begin.tv_sec >= 3) break;
    }
    assert_true(moved > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused_steps_leave_the_old_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_panic_is_cured_by_reopening, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_system_call_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flipped_bytes_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_value_of_another_row_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_creation_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_allocation_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kill_9_between_commits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
