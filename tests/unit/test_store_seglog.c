/* The log: append and read, rotation, retention, cutting, failures of the disk, flipped bytes, a reader beside a
 * writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/store/seglog.h"
#include "tests/unit/store_tmp.h"

static char dir[256];
static struct err e;

static int set_up(void **state) {
    (void)state;
    tmp_make(dir);
    memset(&e, 0, sizeof e);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tmp_remove(dir);
    return 0;
}

static struct seglog *open_log(uint64_t segment_bytes, const struct seglog_io *io, uint64_t *cut) {
    struct seglog_options o = {dir, segment_bytes, io};
    struct seglog *l = NULL;
    uint64_t n = 0;
    if (seglog_open(&o, &l, &n, &e) != 0) fail_msg("%s", e.text);
    if (cut) *cut = n;
    return l;
}

static void append(struct seglog *l, const char *text) {
    if (seglog_append(l, slice_str(text), &e) != 0) fail_msg("%s", e.text);
}

/* Reads from one offset as far as it goes; the lines, each followed by '|'. The answer that ended it in *rc. */
static char *read_all(uint64_t from, uint64_t until, int *rc) {
    static char text[1 << 16];
    struct seglog_reader *r = NULL;
    struct slice line;
    uint64_t at = from, offset, next;
    size_t n = 0;
    text[0] = 0;
    *rc = seglog_reader_open(dir, from, &r, &e);
    if (*rc) return text;
    while ((*rc = seglog_read(r, until, &line, &offset, &next, &e)) == 1) {
        assert_int_equal(offset, at);
        assert_int_equal(next, at + line.n + 1);
        at = next;
        assert_true(n + line.n + 2 < sizeof text);
        memcpy(text + n, line.p, line.n);
        n += line.n;
        text[n++] = '|';
        text[n] = 0;
    }
    seglog_reader_close(r);
    return text;
}

static void assert_reads(uint64_t from, uint64_t until, const char *want) {
    int rc;
    char *got = read_all(from, until, &rc);
    if (rc) fail_msg("%s", e.text);
    assert_string_equal(got, want);
}

static char *path(uint64_t base, const char *suffix) {
    static char text[320];
    snprintf(text, sizeof text, "%s/%020llu.%s", dir, (unsigned long long)base, suffix);
    return text;
}

static void test_append_and_read(void **state) {
    (void)state;
    uint64_t start = 9, end = 9;
    assert_int_equal(seglog_range(dir, &start, &end, &e), 0);
    assert_true(start == 0 && end == 0);
    struct seglog *l = open_log(1 << 20, NULL, NULL);
    assert_reads(0, UINT64_MAX, "");
    append(l, "one\n");
    append(l, "two\n\nfour\n");
    append(l, "");
    assert_int_equal(seglog_durable(l), 14);
    assert_int_equal(seglog_bytes(l), 14 + 2 * 20);
    assert_reads(0, UINT64_MAX, "one|two||four|");
    assert_reads(0, 14, "one|two||four|");
    assert_reads(0, 8, "one|two|");
    assert_reads(0, 7, "one|");
    assert_reads(4, 14, "two||four|");
    assert_reads(9, 14, "four|"); /* inside an entry */
    assert_reads(14, 14, "");
    int rc;
    read_all(15, UINT64_MAX, &rc);
    assert_int_equal(rc, ERR_RANGE);
    read_all(2, UINT64_MAX, &rc);
    assert_int_equal(rc, ERR_RANGE);
    read_all(0, 15, &rc); /* the caller says there is more than there is */
    assert_int_equal(rc, ERR_CORRUPT);
    assert_int_equal(seglog_append(l, slice_str("no line feed"), &e), ERR_RANGE);
    seglog_close(l);
    assert_int_equal(seglog_range(dir, &start, &end, &e), 0);
    assert_true(start == 0 && end == 14);
    uint64_t cut = 9;
    l = open_log(1 << 20, NULL, &cut);
    assert_int_equal(cut, 0);
    append(l, "five\n");
    assert_reads(0, seglog_durable(l), "one|two||four|five|");
    seglog_close(l);
    assert_int_equal(seglog_range("/nonexistent/log", &start, &end, &e), ERR_MISSING);
}

static void test_rotation_and_retention(void **state) {
    (void)state;
    struct seglog *l = open_log(10, NULL, NULL);
    append(l, "aaaa\nbbbb\n"); /* 0..10 */
    append(l, "cc\n");         /* 10.. */
    append(l, "dddddddddd\n"); /* ..24 */
    append(l, "ee\n");         /* 24..27 */
    assert_int_equal(access(path(10, "jsonl"), F_OK), 0);
    assert_int_equal(access(path(24, "sum"), F_OK), 0);
    assert_reads(0, 27, "aaaa|bbbb|cc|dddddddddd|ee|");
    assert_reads(10, 27, "cc|dddddddddd|ee|");
    assert_reads(24, UINT64_MAX, "ee|");
    struct seglog_reader *r = NULL; /* opened before, it goes on reading what is deleted under it */
    struct slice line;
    uint64_t offset, next;
    assert_int_equal(seglog_reader_open(dir, 0, &r, &e), 0);
    assert_int_equal(seglog_read(r, 27, &line, &offset, &next, &e), 1);
    assert_int_equal(seglog_retain(l, 0, 23, &e), 0); /* the second ends at 24 */
    assert_int_equal(seglog_start(l), 10);
    assert_int_equal(seglog_bytes(l), 17 + 3 * 20);
    assert_int_equal(seglog_retain(l, 1000, 1000, &e), 0); /* not larger than that */
    assert_int_equal(seglog_start(l), 10);
    assert_int_equal(seglog_read(r, 27, &line, &offset, &next, &e), 1);
    assert_int_equal(seglog_read(r, 27, &line, &offset, &next, &e), 1);
    assert_true(slice_is(line, "cc"));
    seglog_reader_close(r);
    int rc;
    read_all(0, 27, &rc);
    assert_int_equal(rc, ERR_MISSING);
    assert_non_null(strstr(e.text, "goes on from 10"));
    assert_int_equal(seglog_retain(l, 0, UINT64_MAX, &e), 0); /* the newest stays */
    assert_int_equal(seglog_start(l), 24);
    seglog_close(l);
    tmp_write(path(10, "sum"), "left by a crash", 15); /* between the two deletions */
    l = open_log(10, NULL, NULL);
    assert_int_equal(seglog_start(l), 24);
    assert_int_equal(seglog_durable(l), 27);
    assert_int_not_equal(access(path(10, "sum"), F_OK), 0);
    seglog_close(l);
}

static void add_to(const char *file, const void *p, size_t n) {
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), (ssize_t)n);
    close(fd);
}

static void test_unacknowledged_tail_is_cut(void **state) {
    (void)state;
    static const char zero[20];
    uint64_t cut = 0, start, end;
    for (int kind = 0; kind < 4; kind++) {
        struct seglog *l = open_log(1 << 20, NULL, NULL);
        append(l, "kept\n");
        seglog_close(l);
        add_to(path(0, "jsonl"), "torn li", 7);
        if (kind == 1) add_to(path(0, "sum"), "short", 5);
        if (kind == 2) add_to(path(0, "sum"), zero, 20);
        if (kind == 3) { /* the first files of the next segment, nothing in them */
            assert_int_equal(truncate(path(0, "jsonl"), 5), 0);
            add_to(path(5, "sum"), "", 0);
        }
        assert_reads(0, UINT64_MAX, "kept|"); /* the same without a writer */
        assert_reads(5, UINT64_MAX, "");
        assert_int_equal(seglog_range(dir, &start, &end, &e), 0);
        assert_int_equal(end, 5);
        l = open_log(1 << 20, NULL, &cut);
        assert_int_equal(cut, kind == 0 ? 7 : kind == 1 ? 12 : kind == 2 ? 27 : 0);
        append(l, "next\n");
        assert_reads(0, seglog_durable(l), "kept|next|");
        seglog_close(l);
        tmp_clear(dir);
    }
}

/* A 20-byte entry across a border of sectors, half of it written: entry 25 lies at 500..520. */
static void test_entry_torn_between_sectors(void **state) {
    (void)state;
    for (int half = 0; half < 3; half++) {
        struct seglog *l = open_log(1 << 20, NULL, NULL);
        for (int k = 0; k < 26; k++) append(l, "0123456789\n");
        seglog_close(l);
        size_t n = 0;
        char *sum = tmp_read(path(0, "sum"), &n);
        assert_non_null(sum);
        assert_int_equal(n, 520);
        if (half == 0) memset(sum + 500, 0, 12);
        if (half == 1) memset(sum + 512, 0, 8);
        if (half == 2) memset(sum + 512, 0, 4); /* no power cut does that: damage */
        tmp_write(path(0, "sum"), sum, n);
        free(sum);
        struct seglog_options o = {dir, 1 << 20, NULL};
        uint64_t cut = 0;
        int rc = seglog_open(&o, &l, &cut, &e);
        if (half == 2) {
            assert_int_equal(rc, ERR_CORRUPT);
        } else {
            assert_int_equal(rc, 0);
            assert_int_equal(cut, 11 + 20);
            assert_int_equal(seglog_durable(l), 25 * 11);
            seglog_close(l);
        }
        tmp_clear(dir);
    }
}

/* Every byte of a small log of two segments, one bit at a time: found when opened or read, never a wrong line. */
static void test_every_flipped_byte_is_found(void **state) {
    (void)state;
    struct seglog *l = open_log(12, NULL, NULL);
    append(l, "first\n");
    append(l, "second\n");
    append(l, "third\n");
    append(l, "fourth\n");
    seglog_close(l);
    const struct {
        uint64_t base;
        const char *suffix;
        long size;
    } files[] = {{0, "jsonl", 13}, {0, "sum", 40}, {13, "jsonl", 13}, {13, "sum", 40}};
    const char *whole = "first|second|third|fourth|";
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        for (long at = 0; at < files[f].size; at++) {
            unsigned char bit = (unsigned char)(1u << (at % 8));
            tmp_flip(path(files[f].base, files[f].suffix), at, bit);
            int rc;
            char *got = read_all(0, 26, &rc);
            assert_int_equal(rc, ERR_CORRUPT);
            assert_non_null(strstr(e.text, "log offset"));
            assert_non_null(strstr(e.text, files[f].suffix));
            assert_true(strncmp(got, whole, strlen(got)) == 0);
            read_all(0, UINT64_MAX, &rc);
            assert_int_equal(rc, ERR_CORRUPT);
            uint64_t start, end;
            rc = seglog_range(dir, &start, &end, &e); /* looks at the end of the log and at each segment's end */
            if (files[f].base == 13) assert_int_equal(rc, ERR_CORRUPT);
            tmp_flip(path(files[f].base, files[f].suffix), at, bit);
        }
    }
    assert_reads(0, 26, whole);
}

static void test_missing_and_short_files_are_named(void **state) {
    (void)state;
    struct seglog_options o = {dir, 12, NULL};
    uint64_t cut;
    for (int kind = 0; kind < 6; kind++) {
        struct seglog *l = open_log(12, NULL, NULL);
        append(l, "first second\n"); /* 0..13 */
        append(l, "third fourth\n"); /* 13..26 */
        append(l, "fifth\n");        /* 26..32 */
        seglog_close(l);
        if (kind == 0) assert_int_equal(truncate(path(26, "jsonl"), 3), 0);
        if (kind == 1) assert_int_equal(truncate(path(13, "jsonl"), 3), 0);
        if (kind == 2) assert_int_equal(truncate(path(13, "sum"), 0), 0);
        if (kind == 3) assert_int_equal(unlink(path(13, "sum")), 0);
        if (kind == 4) assert_int_equal(unlink(path(26, "jsonl")), 0);
        if (kind == 5) assert_int_equal(unlink(path(13, "jsonl")) + unlink(path(13, "sum")), 0);
        assert_int_equal(seglog_open(&o, &l, &cut, &e), ERR_CORRUPT);
        int rc;
        char *got = read_all(0, 32, &rc);
        assert_int_equal(rc, ERR_CORRUPT);
        assert_true(strncmp(got, "first second|third fourth|", strlen(got)) == 0);
        tmp_clear(dir);
    }
}

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

/* Each call of an append fails in turn, once or for good: nothing of the failed append is read, then or after a
 * restart, what was there stays, and the log goes on once the disk does. */
static void failed_append(int before, int for_good, int half) {
    for (int at = 1; at < 40; at++) {
        struct fail_io f = {0, 0, for_good, half};
        struct seglog_io io = {fail_write, fail_fdatasync, fail_fsync_dir, fail_ftruncate, &f};
        struct seglog *l = open_log(100, &io, NULL);
        char want[64] = "";
        if (before) append(l, "before\n");
        if (before) strcpy(want, "before|");
        f = (struct fail_io){at, 0, for_good, half};
        int rc = seglog_append(l, slice_str("doubtful line\n"), &e);
        bool reached = f.count >= at;
        if (rc == 0)
            strcat(want, "doubtful line|");
        else
            assert_int_equal(rc, ERR_IO);
        assert_int_equal(seglog_durable(l), strlen(want));
        if (for_good && reached) assert_int_equal(seglog_append(l, slice_str("no\n"), &e), ERR_IO);
        f.at = 0;
        append(l, "after\n");
        append(l, "last\n");
        strcat(want, "after|last|");
        assert_reads(0, seglog_durable(l), want);
        assert_reads(0, UINT64_MAX, want);
        seglog_close(l);
        uint64_t cut;
        l = open_log(100, NULL, &cut);
        assert_int_equal(seglog_durable(l), strlen(want));
        append(l, "reopened\n");
        strcat(want, "reopened|");
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
    assert_int_equal(seglog_append(l, slice_of(data, n), &e), ERR_IO);
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
        cmocka_unit_test_setup_teardown(test_append_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rotation_and_retention, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unacknowledged_tail_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_entry_torn_between_sectors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_flipped_byte_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_and_short_files_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_call_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leftover_entry_never_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_data_becomes_several_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader_beside_the_writer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
