/* What rankctl load reads: packed files, lines, CSV records, columns, JSON lines, ids and times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "daemon/ctl_line.h"
#include "daemon/ctl_read.h"
#include "lib/base/mem.h"
#include "tests/unit/store_tmp.h"

struct place {
    char dir[256], path[512];
};

static int setup(void **state) {
    struct place *x = calloc(1, sizeof *x);
    tmp_make(x->dir);
    snprintf(x->path, sizeof x->path, "%s/log", x->dir);
    *state = x;
    return 0;
}

static int teardown(void **state) {
    struct place *x = *state;
    tmp_remove(x->dir);
    free(x);
    return 0;
}

/* --- packed files --- */

static struct slice gzip(const char *text, size_t n, char *out, size_t size) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (z_const Bytef *)text;
    z.avail_in = (unsigned)n;
    z.next_out = (Bytef *)out;
    z.avail_out = (unsigned)size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return slice_of(out, size - z.avail_out);
}

/* All of the file unpacked into out, read in small steps; its length or the error. */
static int64_t read_all(const char *path, char *out, size_t size) {
    struct unpack *u;
    struct err e;
    size_t have = 0;
    int rc = unpack_open(path, &u, &e);
    if (rc < 0) return rc;
    for (int64_t n;;) {
        n = unpack_read(u, out + have, size - have < 7 ? size - have : 7, &e);
        if (n > 0) have += (size_t)n;
        if (n > 0) continue;
        unpack_close(u);
        return n < 0 ? n : (int64_t)have;
    }
}

static void packed_files_are_known_by_their_first_bytes(void **state) {
    struct place *x = *state;
    static const char text[] = "one\ntwo\nthree\n";
    char packed[512], out[512];
    struct slice first = gzip(text, sizeof text - 1, packed, 256);
    struct slice second = gzip("four\n", 5, packed + first.n, 256);
    tmp_write(x->path, packed, first.n + second.n);
    assert_int_equal(read_all(x->path, out, sizeof out), sizeof text - 1 + 5); /* members one after the other */
    assert_memory_equal(out, "one\ntwo\nthree\nfour\n", 19);
    size_t n = ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3);
    assert_false(ZSTD_isError(n));
    tmp_write(x->path, packed, n);
    assert_int_equal(read_all(x->path, out, sizeof out), sizeof text - 1);
    assert_memory_equal(out, text, sizeof text - 1);
    tmp_write(x->path, text, sizeof text - 1);
    assert_int_equal(read_all(x->path, out, sizeof out), sizeof text - 1);
    tmp_write(x->path, "", 0);
    assert_int_equal(read_all(x->path, out, sizeof out), 0);
}

static void damaged_and_cut_files_are_errors(void **state) {
    struct place *x = *state;
    static char text[20000];
    static char packed[40000], out[40000];
    for (size_t k = 0; k < sizeof text; k++) text[k] = (char)('a' + (k * 7919 >> 3) % 26);
    struct slice g = gzip(text, sizeof text, packed, sizeof packed);
    tmp_write(x->path, packed, g.n - 9);
    assert_int_equal(read_all(x->path, out, sizeof out), ERR_CORRUPT);
    tmp_write(x->path, packed, g.n);
    tmp_flip(x->path, (long)g.n - 6, 1); /* in its checksum */
    assert_int_equal(read_all(x->path, out, sizeof out), ERR_CORRUPT);
    size_t n = ZSTD_compress(packed, sizeof packed, text, sizeof text, 3);
    tmp_write(x->path, packed, n / 2);
    assert_int_equal(read_all(x->path, out, sizeof out), ERR_CORRUPT);
    assert_int_equal(unlink(x->path), 0);
    assert_int_equal(read_all(x->path, out, sizeof out), ERR_MISSING);
    assert_int_equal(read_all(x->dir, out, sizeof out), ERR_IO);
}

/* --- records --- */

struct expected {
    const char *text;
    uint64_t line;
    enum read_verdict verdict;
};

static void expect_records(const struct place *x, const char *file, size_t n_file, enum read_form form, size_t longest,
                           const struct expected *want, size_t n) {
    struct unpack *u;
    struct reader *r;
    struct read_record rec;
    struct err e;
    uint64_t offset = UINT64_MAX, line = 1;
    tmp_write(x->path, file, n_file);
    assert_int_equal(unpack_open(x->path, &u, &e), 0);
    assert_int_equal(reader_new(u, form, longest, &r, &e), 0);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(reader_next(r, &rec, &e), 1);
        assert_true(slice_is(rec.text, want[k].text));
        assert_int_equal(rec.line, want[k].line);
        assert_int_equal(rec.verdict, want[k].verdict);
        if (k) assert_true(rec.offset == offset && rec.line == line); /* no gap between them */
        offset = rec.next;
        line = rec.line_after;
    }
    assert_int_equal(reader_next(r, &rec, &e), 0);
    if (n) assert_true(offset == n_file);
    reader_free(r);
    unpack_close(u);
}
#define EXPECT(x, file, form, longest, want)                                                                           \
    expect_records(x, file, sizeof(file) - 1, form, longest, want, sizeof(want) / sizeof *(want))

static void lines_end_in_lf_or_crlf(void **state) {
    static const struct expected want[] = {{"a", 1, READ_OK}, {"b", 2, READ_OK}, {"", 3, READ_OK}, {"c", 4, READ_OK}};
    EXPECT(*state,
           "\xef\xbb\xbf"
           "a\r\nb\n\nc",
           READ_LINES, 100, want);
}

static void a_long_line_is_cut_and_the_next_one_is_whole(void **state) {
    static char file[3000020];
    static const struct expected want[] = {{"a", 1, READ_OK}, {"xxxxxxxx", 2, READ_TOO_LONG}, {"b", 3, READ_OK}};
    static const struct expected at_end[] = {{"xxxxxxxx", 1, READ_TOO_LONG}};
    memset(file, 'x', sizeof file);
    memcpy(file, "a\n", 2);
    memcpy(file + sizeof file - 3, "\nb\n", 3);
    expect_records(*state, file, sizeof file, READ_LINES, 8, want, 3);
    expect_records(*state, file, sizeof file, READ_CSV, 8, want, 3);
    expect_records(*state, file + 2, 3000000, READ_LINES, 8, at_end, 1);
    EXPECT(*state, "xxxxxxxxx", READ_LINES, 8, at_end);
}

static void csv_records_go_on_inside_quotes(void **state) {
    static const struct expected want[] = {
        {"a,\"b\nc\"", 1, READ_OK}, {"d,\"e\"\"\nf\",g", 3, READ_OK}, {"h\"i,j", 5, READ_OK}, {"k", 6, READ_OK}};
    EXPECT(*state, "a,\"b\nc\"\nd,\"e\"\"\nf\",g\r\nh\"i,j\nk\n", READ_CSV, 100, want);
}

static void a_quote_never_closed_costs_one_line(void **state) {
    static const struct expected want[] = {{"a,\"b", 1, READ_OPEN_QUOTE}, {"c,d", 2, READ_OK}, {"e,f", 3, READ_OK}};
    EXPECT(*state, "a,\"b\nc,d\ne,f\n", READ_CSV, 100, want);
    static const struct expected at_end[] = {{"c,d", 1, READ_OK}, {"\"e", 2, READ_OPEN_QUOTE}};
    EXPECT(*state, "c,d\n\"e", READ_CSV, 100, at_end);
}

static void skipping_leads_to_the_same_record(void **state) {
    struct place *x = *state;
    struct unpack *u;
    struct reader *r;
    struct slice front;
    struct read_record rec;
    struct err e;
    tmp_write(x->path, "one\ntwo\nthree\n", 14);
    assert_int_equal(unpack_open(x->path, &u, &e), 0);
    assert_int_equal(reader_new(u, READ_LINES, 100, &r, &e), 0);
    assert_int_equal(reader_peek(r, &front, &e), 0);
    assert_true(slice_is(front, "one\ntwo\nthree\n"));
    assert_int_equal(reader_skip(r, 8, 3, &e), 0);
    assert_int_equal(reader_next(r, &rec, &e), 1);
    assert_true(slice_is(rec.text, "three"));
    assert_true(rec.line == 3 && rec.offset == 8 && rec.next == 14 && rec.line_after == 4);
    assert_int_equal(reader_skip(r, 15, 4, &e), ERR_RANGE);
    reader_free(r);
    unpack_close(u);
}

/* --- columns --- */

static void write_row(const char *names, char separator, const char *record, const char *type, struct buf *out) {
    struct columns c;
    struct row row;
    struct buf scratch;
    struct err e;
    buf_init(&scratch, 1u << 20);
    buf_clear(out);
    assert_int_equal(columns_parse(slice_str(names), ',', &c, &e), 0);
    assert_int_equal(row_parse(&c, separator, slice_str(record), &scratch, &row, &e), 0);
    row_write(&row, 1, "L-1", type, out);
    buf_free(&scratch);
}

static void rows_become_events(void **state) {
    (void)state;
    static const struct {
        const char *names, *record, *type, *json;
        char separator;
    } cases[] = {
        {"ts,user,item,type", "1396321341.719\t5182\t21\tclick", NULL,
         "{\"id\":\"L-1\",\"type\":\"click\",\"user\":\"5182\",\"item\":\"21\",\"ts\":1396321341719}", '\t'},
        {"ts,user,item,type", "1396321391.6\t5\t21\t", "view",
         "{\"id\":\"L-1\",\"type\":\"view\",\"user\":\"5\",\"item\":\"21\",\"ts\":1396321391600}", '\t'},
        {"item,-,user", "\"a,\"\"b\"\"\",x,\xc3\xa4", "t",
         "{\"id\":\"L-1\",\"type\":\"t\",\"user\":\"\xc3\xa4\",\"item\":\"a,\\\"b\\\"\"}", ','},
        {"event_id,user_id,item_id,quantity,session", "e7,u,i,2,s", "t",
         "{\"id\":\"e7\",\"type\":\"t\",\"user\":\"u\",\"item\":\"i\",\"quantity\":2,\"session\":\"s\"}", ','},
        {"user,item,price,value", "u,i,1.50,many", "t",
         "{\"id\":\"L-1\",\"type\":\"t\",\"user\":\"u\",\"items\":[{\"item\":\"i\",\"price\":1.50}],\"value\":"
         "\"many\"}",
         ','},
    };
    struct buf out;
    buf_init(&out, 1u << 20);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        write_row(cases[k].names, cases[k].separator, cases[k].record, cases[k].type, &out);
        assert_string_equal(out.p, cases[k].json);
    }
    buf_free(&out);
}

static void times_keep_their_digits(void **state) {
    (void)state;
    static const struct {
        const char *ts, *json;
    } cases[] = {
        {"1291191960", "1291191960000"},
        {"1396321341.719", "1396321341719"},
        {"1396321341.7", "1396321341700"},
        {"1574553663.979311", "1574553663.979311"},
        {"1396321341719", "1396321341719"},
        {"100000000", "100000000000"},
        {"99999999", "99999999"},
        {"5.5", "5.5"},
        {"99999999999", "99999999999000"},
        {"2014-04-01T03:02:21Z", "\"2014-04-01T03:02:21Z\""},
        {"0123456789", "\"0123456789\""},
        {"1396321341.", "\"1396321341.\""},
        {"-1396321341", "-1396321341"},
        {"yesterday", "\"yesterday\""},
        {"1971-04-01", "\"1971-04-01T00:00:00.000Z\""},
        {"2014-04-01 03:08:52", "\"2014-04-01T03:08:52.000Z\""},
        {"2011-12-01 08:26", "\"2011-12-01T08:26:00.000Z\""},
        {"2014-04-01 03:08:52+02:00", "\"2014-04-01 03:08:52+02:00\""},
        {"1.4.2014", "\"1.4.2014\""},
    };
    struct buf out;
    char record[64], want[128];
    buf_init(&out, 1u << 20);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        snprintf(record, sizeof record, "%s\ti", cases[k].ts);
        snprintf(want, sizeof want, "{\"id\":\"L-1\",\"item\":\"i\",\"ts\":%s}", cases[k].json);
        write_row("ts,item", '\t', record, NULL, &out);
        assert_string_equal(out.p, want);
    }
    buf_free(&out);
}

static void baskets_hold_their_rows(void **state) {
    (void)state;
    static const char *const records[] = {"5000000000\tu\ta\t2", "5000000000\tu\tb\t", "5000000000\tw\tb\t"};
    struct columns c;
    struct row rows[3];
    struct buf scratch, out;
    struct err e;
    buf_init(&scratch, 1u << 20);
    buf_init(&out, 1u << 20);
    assert_int_equal(columns_parse(slice_str("ts,user,item,quantity"), ',', &c, &e), 0);
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(row_parse(&c, '\t', slice_str(records[k]), &scratch, &rows[k], &e), 0);
    struct buf moments[3];
    for (size_t k = 0; k < 3; k++) {
        buf_init(&moments[k], 1u << 20);
        row_moment(&rows[k], &moments[k]);
    }
    assert_true(slice_equal(slice_of(moments[0].p, moments[0].n), slice_of(moments[1].p, moments[1].n)));
    assert_false(slice_equal(slice_of(moments[1].p, moments[1].n), slice_of(moments[2].p, moments[2].n)));
    for (size_t k = 0; k < 3; k++) buf_free(&moments[k]);
    row_write(rows, 2, "L-9", "purchase", &out);
    assert_string_equal(out.p, "{\"id\":\"L-9\",\"type\":\"purchase\",\"user\":\"u\",\"items\":[{\"item\":\"a\","
                               "\"quantity\":2},{\"item\":\"b\"}],\"ts\":5000000000000}");
    buf_free(&scratch);
    buf_free(&out);
}

static void bad_rows_and_columns_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"a", "a,b,c", "\"a,b", "\"a\"x,b", "a,\xff"};
    struct columns c;
    struct row row;
    struct buf scratch;
    struct err e;
    buf_init(&scratch, 1u << 20);
    assert_int_equal(columns_parse(slice_str("user,item"), ',', &c, &e), 0);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        assert_int_equal(row_parse(&c, ',', slice_str(bad[k]), &scratch, &row, &e), ERR_SYNTAX);
    assert_int_equal(row_parse(&c, ',', slice_str("\"a\",\"b\""), &scratch, &row, &e), 0);
    assert_int_equal(columns_parse(slice_str("ts,user"), ',', &c, &e), ERR_RANGE);
    assert_int_equal(columns_parse(slice_str("item,item_id"), ',', &c, &e), ERR_RANGE);
    assert_int_equal(columns_parse(slice_str(""), ',', &c, &e), ERR_RANGE);
    buf_free(&scratch);
}

static void numbers_are_those_of_json(void **state) {
    (void)state;
    static const char *const good[] = {"0", "-0", "12", "1.50", "1e9", "-1.5E-3", "0.1"};
    static const char *const bad[] = {"", "-", "01", "1.", ".5", "1e", "+1", "1 ", "0x1", "NaN", "1,5"};
    for (size_t k = 0; k < sizeof good / sizeof *good; k++) assert_true(row_is_number(slice_str(good[k])));
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) assert_false(row_is_number(slice_str(bad[k])));
}

/* --- JSON lines --- */

static void json_lines_get_what_they_lack(void **state) {
    (void)state;
    static const struct {
        const char *line, *type, *json, *user;
    } cases[] = {
        {" {\"user\":\"u\",\"item\":\"i\"} ", NULL, "{\"id\":\"L-1\",\"user\":\"u\",\"item\":\"i\"}", "u"},
        {"{\"id\":\"x\",\"user_id\":17}", "t", "{\"type\":\"t\",\"id\":\"x\",\"user_id\":17}", "17"},
        {"{ \"event_id\" : 4 , \"type\":\"c\" , \"user\" : \"a\\u0041\\n\" }", "t",
         "{ \"event_id\" : 4 , \"type\":\"c\" , \"user\" : \"a\\u0041\\n\" }", "aA\n"},
        {"{}", "t", "{\"id\":\"L-1\",\"type\":\"t\"}", NULL},
        {"{\"a\":{\"id\":1,\"user\":\"no\"},\"b\":[\"}\",{\"x\":[]}],\"c\":\"\\\"id\\\":\"}", NULL,
         "{\"id\":\"L-1\",\"a\":{\"id\":1,\"user\":\"no\"},\"b\":[\"}\",{\"x\":[]}],\"c\":\"\\\"id\\\":\"}", NULL},
    };
    struct buf out, user;
    buf_init(&out, 1u << 20);
    buf_init(&user, 1u << 20);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct line_json j;
        struct err e;
        buf_clear(&out);
        buf_clear(&user);
        assert_int_equal(line_json_scan(slice_str(cases[k].line), &j, &e), 0);
        line_json_write(slice_str(cases[k].line), &j, "L-1", cases[k].type, &out);
        assert_string_equal(out.p, cases[k].json);
        assert_int_equal(line_json_user(j.user, &user), cases[k].user != NULL);
        if (cases[k].user) assert_string_equal(user.p, cases[k].user);
    }
    buf_free(&out);
    buf_free(&user);
}

static void what_is_no_object_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",        "x",         "[1]",        "{",          "{\"a\":1",      "{\"a\":1}}",
        "{\"a\"}", "{\"a\":}",  "{\"a\":1,}", "{a:1}",      "{\"a\":[}",     "{\"a\":[1}]}",
        "{\"a",    "{\"a\":\"", "{\"a\":1]",  "{\"a\":1}{", "{\"a\":\"\\\"}"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        struct line_json j;
        struct err e;
        char *exact = malloc(strlen(bad[k]) + 1); /* so that a read past the end is seen */
        memcpy(exact, bad[k], strlen(bad[k]));
        assert_int_equal(line_json_scan(slice_of(exact, strlen(bad[k])), &j, &e), ERR_SYNTAX);
        free(exact);
    }
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(packed_files_are_known_by_their_first_bytes),
        T(damaged_and_cut_files_are_errors),
        T(lines_end_in_lf_or_crlf),
        T(a_long_line_is_cut_and_the_next_one_is_whole),
        T(csv_records_go_on_inside_quotes),
        T(a_quote_never_closed_costs_one_line),
        T(skipping_leads_to_the_same_record),
        cmocka_unit_test(rows_become_events),
        cmocka_unit_test(times_keep_their_digits),
        cmocka_unit_test(baskets_hold_their_rows),
        cmocka_unit_test(bad_rows_and_columns_are_refused),
        cmocka_unit_test(numbers_are_those_of_json),
        cmocka_unit_test(json_lines_get_what_they_lack),
        cmocka_unit_test(what_is_no_object_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
