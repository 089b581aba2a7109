/* The log when the disk or memory refuses, and a reader beside its writer through all of it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/mem.h"
#include "tests/unit/seglog_tmp.h"

/* An io that fails one call: number n from arming on, of the kinds asked for. */
struct fail_io {
    int at, count;  /* fails the call with count == at; 0 = never */
    int for_good;   /* and all after it */
    int write_half; /* a failing write writes half first */
};

static int failing(struct fail_io *f) {
    f->count++;
    return f->at && (f->count == f->at || (f->for_good && f->count > f->at));
}

static long fail_write(void *arg, int fd, const void *p, unsigned long n) {
    struct fail_io *f = arg;
    if (!failing(f)) return write(fd, p, n);
    if (f->write_half && n > 1) return write(fd, p, n / 2); /* the rest is asked for again, and fails then */
    errno = ENOSPC;
    return -1;
}

static int fail_fdatasync(void *arg, int fd) {
    (void)fd;
    if (!failing(arg)) return 0;
    errno = EIO;
    return -1;
}

static int fail_fsync_dir(void *arg, const char *d) {
    (void)d;
    if (!failing(arg)) return 0;
    errno = EIO;
    return -1;
}

static int fail_ftruncate(void *arg, int fd, long n) {
    if (!failing(arg)) return ftruncate(fd, n);
    errno = EIO;
    return -1;
}

static void add(char want[64], const char *text) {
    size_t n = strlen(want);
    assert_true(n + strlen(text) < 64);
    memcpy(want + n, text, strlen(text) + 1);
}

/* Each call of an append fails in turn, once or for good: nothing of the failed append is read, then or after a
 * restart, what was there stays, and the log goes on once the disk does. */
static void failed_append(int before, int for_good, int half) {
    for (int at = 1; at < 40; at++) {
        struct fail_io f = {0, 0, for_good, half};
        struct seglog_io io = {fail_write, fail_fdatasync, fail_fsync_dir, fail_ftruncate, &f};
        struct seglog *l = open_log(100, &io, NULL);
        char want[64] = "";
        if (before) append(l, "before\n");
        if (before) add(want, "before|");
        f = (struct fail_io){at, 0, for_good, half};
        int rc = seglog_append(l, slice_str("doubtful line\n"), &e);
        bool reached = f.count >= at;
        if (rc == 0)
            add(want, "doubtful line|");
        else
            assert_true(rc == ERR_IO || rc == ERR_FULL);
        assert_int_equal(seglog_durable(l), strlen(want));
        if (for_good && reached) {
            rc = seglog_append(l, slice_str("no\n"), &e);
            assert_true(rc == ERR_IO || rc == ERR_FULL);
        }
        f.at = 0;
        append(l, "after\n");
        append(l, "last\n");
        add(want, "after|last|");
        assert_reads(0, seglog_durable(l), want);
        assert_reads(0, UINT64_MAX, want);
        seglog_close(l);
        uint64_t cut;
        l = open_log(100, NULL, &cut);
        assert_int_equal(seglog_durable(l), strlen(want));
        append(l, "reopened\n");
        add(want, "reopened|");
        assert_reads(0, seglog_durable(l), want);
        seglog_close(l);
        tmp_clear(dir);
        if (!reached) return; /* at lies behind the last call of an append */
    }
    fail_msg("an append makes no 40 calls");
}

static void test_each_call_fails(void **state) {
    (void)state;
    for (int k = 0; k < 8; k++) failed_append(k & 1, k & 2, k & 4);
}

/* What a failed append left in the sidecar cannot be cut: refused until it can. A crash then leaves it, and the next
 * segment's name says that it does not count. */
static void test_leftover_entry_never_counts(void **state) {
    (void)state;
    struct fail_io f = {0};
    struct seglog_io io = {fail_write, fail_fdatasync, fail_fsync_dir, fail_ftruncate, &f};
    struct seglog *l = open_log(1 << 20, &io, NULL);
    append(l, "one\n");
    f = (struct fail_io){4, 0, 1, 0}; /* write, fdatasync, write of the entry, fdatasync */
    assert_int_equal(seglog_append(l, slice_str("lost\n"), &e), ERR_IO);
    assert_int_equal(seglog_append(l, slice_str("refused\n"), &e), ERR_IO);
    assert_non_null(strstr(e.text, "cutting off"));
    assert_reads(0, seglog_durable(l), "one|");
    f.at = 0;
    size_t n_data = 0, n_sum = 0;
    char *data = tmp_read(path(0, "jsonl"), &n_data), *sum = tmp_read(path(0, "sum"), &n_sum);
    assert_int_equal(n_sum, 40); /* the entry is there */
    append(l, "two\n");
    assert_reads(0, seglog_durable(l), "one|two|");
    seglog_close(l);
    tmp_write(path(0, "jsonl"), data, n_data); /* as if the cut had not become durable */
    tmp_write(path(0, "sum"), sum, n_sum);
    free(data);
    free(sum);
    assert_reads(0, UINT64_MAX, "one|two|");
    uint64_t cut = 0;
    l = open_log(1 << 20, NULL, &cut);
    assert_int_equal(cut, 5 + 20);
    append(l, "three\n");
    assert_reads(0, seglog_durable(l), "one|two|three|");
    seglog_close(l);
}

static void test_long_data_becomes_several_entries(void **state) {
    (void)state;
    size_t line = 20u << 20, n = 5 * line;
    char *data = malloc(n);
    assert_non_null(data);
    memset(data, 'x', n);
    for (size_t k = 1; k <= 5; k++) data[k * line - 1] = '\n';
    struct fail_io f = {0};
    struct seglog_io io = {fail_write, fail_fdatasync, fail_fsync_dir, fail_ftruncate, &f};
    struct seglog *l = open_log(UINT64_C(1) << 30, &io, NULL);
    append(l, "small\n");
    f = (struct fail_io){7, 0, 0, 0}; /* in the second entry: the first must not count either */
    assert_int_equal(seglog_append(l, slice_of(data, n), &e), ERR_FULL);
    assert_reads(0, UINT64_MAX, "small|");
    f.at = 0;
    assert_int_equal(seglog_append(l, slice_of(data, n), &e), 0);
    assert_int_equal(seglog_durable(l), n + 6);
    struct stat st;
    assert_int_equal(stat(path(6, "sum"), &st), 0);
    assert_int_equal(st.st_size, 40); /* 60 MiB and 40 MiB */
    struct seglog_reader *r = NULL;
    struct slice got;
    uint64_t offset, next;
    assert_int_equal(seglog_reader_open(dir, 6 + 2 * line, &r, &e), 0);
    for (uint64_t k = 2; k < 5; k++) {
        assert_int_equal(seglog_read(r, n + 6, &got, &offset, &next, &e), 1);
        assert_int_equal(got.n, line - 1);
        assert_int_equal(offset, 6 + k * line);
    }
    assert_int_equal(seglog_read(r, n + 6, &got, &offset, &next, &e), 0);
    append(l, "tail\n"); /* the large buffer shrinks */
    assert_int_equal(seglog_read(r, seglog_durable(l), &got, &offset, &next, &e), 1);
    assert_true(slice_is(got, "tail"));
    seglog_reader_close(r);
    memset(data, 'x', n);
    data[n - 1] = '\n';
    assert_int_equal(seglog_append(l, slice_of(data, n), &e), ERR_RANGE);
    free(data);
    append(l, "fine\n");
    seglog_close(l);
}

static void test_each_allocation_fails(void **state) {
    (void)state;
    struct seglog_options o = {dir, 4, NULL};
    struct seglog *l = open_log(4, NULL, NULL);
    append(l, "one\n");
    append(l, "two\n");
    seglog_close(l);
    struct seglog_reader *r = NULL;
    struct slice line;
    uint64_t cut, offset, next, start, end;
    int refused[4] = {0};
    for (uint64_t nth = 1; nth < 12; nth++) {
        mem_fail_at(nth);
        int rc = seglog_open(&o, &l, &cut, &e);
        if (rc == 0) {
            rc = seglog_append(l, slice_str("more\n"), &e);
            refused[1] += rc == ERR_NOMEM;
            seglog_close(l);
        } else {
            refused[0] += rc == ERR_NOMEM;
        }
        mem_fail_at(nth);
        rc = seglog_reader_open(dir, 0, &r, &e);
        if (rc == 0) {
            rc = seglog_read(r, UINT64_MAX, &line, &offset, &next, &e);
            refused[2] += rc == ERR_NOMEM;
            assert_true(rc == 1 || rc == ERR_NOMEM);
            mem_fail_at(0);
            if (rc != 1) assert_int_equal(seglog_read(r, UINT64_MAX, &line, &offset, &next, &e), 1);
            assert_true(slice_is(line, "one"));
            seglog_reader_close(r);
        }
        mem_fail_at(nth);
        refused[3] += seglog_range(dir, &start, &end, &e) == ERR_NOMEM;
        mem_fail_at(0);
    }
    for (int k = 0; k < 4; k++) assert_true(refused[k] > 0);
    int rc;
    char *all = read_all(0, UINT64_MAX, &rc);
    assert_int_equal(rc, 0);
    assert_true(strncmp(all, "one|two|more|", 13) == 0);
}

/* A reader follows a writer through rotations, retention and failed appends; every line once, in order. */
struct follow {
    struct seglog *l;
    atomic_int stop;
    uint64_t read, bad;
};

static void *follow_main(void *arg) {
    struct follow *f = arg;
    struct seglog_reader *r = NULL;
    struct slice line;
    uint64_t offset, next;
    struct err mine;
    if (seglog_reader_open(dir, 0, &r, &mine) != 0) {
        f->bad++;
        return NULL;
    }
    for (;;) {
        int last = atomic_load(&f->stop);
        int rc;
        while ((rc = seglog_read(r, seglog_durable(f->l), &line, &offset, &next, &mine)) == 1) {
            char want[32];
            snprintf(want, sizeof want, "line %llu", (unsigned long long)f->read);
            if (!slice_is(line, want)) f->bad++;
            f->read++;
        }
        if (rc < 0) {
            f->bad++;
            break;
        }
        if (last) break;
    }
    seglog_reader_close(r);
    return NULL;
}

static void test_reader_beside_the_writer(void **state) {
    (void)state;
    struct fail_io f = {0};
    struct seglog_io io = {fail_write, fail_fdatasync, fail_fsync_dir, fail_ftruncate, &f};
    struct follow follow = {.l = open_log(500, &io, NULL)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, follow_main, &follow), 0);
    uint64_t n = 0;
    for (int k = 0; k < 3000; k++) {
        char text[128];
        int len = 0;
        for (int j = 0; j < 1 + k % 4; j++) {
            len += snprintf(text + len, sizeof text - (size_t)len, "line %llu\n", (unsigned long long)n + (unsigned)j);
        }
        f = (struct fail_io){k % 50 == 7 ? 1 + k / 50 % 6 : 0, 0, 0, 1};
        if (seglog_append(follow.l, slice_of(text, (size_t)len), &e) == 0) n += (unsigned)(1 + k % 4);
    }
    atomic_store(&follow.stop, 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(follow.bad, 0);
    assert_int_equal(follow.read, n);
    assert_true(n < 3000 * 5 / 2); /* some appends did fail */
    seglog_close(follow.l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_call_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leftover_entry_never_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_data_becomes_several_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_allocation_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader_beside_the_writer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
