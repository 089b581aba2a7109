/* The log: append and read, rotation, retention, unacknowledged tails, flipped bytes, missing files. */
#include "tests/unit/seglog_tmp.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rotation_and_retention, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unacknowledged_tail_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_entry_torn_between_sectors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_flipped_byte_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_and_short_files_are_named, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
