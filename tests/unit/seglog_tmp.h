/* What the tests of the log share: a log in a directory of its own, all of its lines as one text. */
#ifndef RANKD_TESTS_UNIT_SEGLOG_TMP_H
#define RANKD_TESTS_UNIT_SEGLOG_TMP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/store/seglog.h"
#include "tests/unit/store_tmp.h"

static char dir[256];
static struct err e;

static inline int set_up(void **state) {
    (void)state;
    tmp_make(dir);
    memset(&e, 0, sizeof e);
    return 0;
}

static inline int tear_down(void **state) {
    (void)state;
    tmp_remove(dir);
    return 0;
}

static inline struct seglog *open_log(uint64_t segment_bytes, const struct seglog_io *io, uint64_t *cut) {
    struct seglog_options o = {dir, segment_bytes, io};
    struct seglog *l = NULL;
    uint64_t n = 0;
    if (seglog_open(&o, &l, &n, &e) != 0) fail_msg("%s", e.text);
    if (cut) *cut = n;
    return l;
}

static inline void append(struct seglog *l, const char *text) {
    if (seglog_append(l, slice_str(text), &e) != 0) fail_msg("%s", e.text);
}

/* Reads from one offset as far as it goes; the lines, each followed by '|'. The answer that ended it in *rc. */
static inline char *read_all(uint64_t from, uint64_t until, int *rc) {
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

static inline void assert_reads(uint64_t from, uint64_t until, const char *want) {
    int rc;
    char *got = read_all(from, until, &rc);
    if (rc) fail_msg("%s", e.text);
    assert_string_equal(got, want);
}

static inline char *path(uint64_t base, const char *suffix) {
    static char text[320];
    snprintf(text, sizeof text, "%s/%020llu.%s", dir, (unsigned long long)base, suffix);
    return text;
}

#endif
