/* Bodies of POST /v1/events: objects, arrays and lines, whole and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/event.h"

struct seen {
    struct slice body;
    char text[512]; /* the records, each followed by '|' */
    int records, stop_at;
};

static int see(void *arg, struct slice record) {
    struct seen *s = arg;
    assert_true(record.p >= s->body.p && record.p + record.n <= s->body.p + s->body.n);
    strncat(s->text, record.p, record.n);
    strcat(s->text, "|");
    return ++s->records == s->stop_at ? 42 : 0;
}

/* From memory that ends with the body. */
static int split(const char *body, int stop_at, struct seen *s) {
    const size_t n = strlen(body);
    char *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, body, n);
    struct err e = {0};
    *s = (struct seen){.body = slice_of(exact, n), .stop_at = stop_at};
    int rc = event_split(s->body, see, s, &e);
    assert_true(rc >= 0 || (e.code == rc && e.text[0]));
    free(exact);
    return rc;
}

static void test_bodies(void **state) {
    (void)state;
    static const struct {
        const char *body, *records;
    } cases[] = {
        /* one object */
        {"{}", "{}|"},
        {" {\"a\":\"}{[\\\"\"}\n", "{\"a\":\"}{[\\\"\"}|"},
        {"{\n \"a\": {\n  \"b\": [1,\n2]}\n}\n", "{\n \"a\": {\n  \"b\": [1,\n2]}\n}|"},
        /* arrays */
        {"[]", ""},
        {" [ \n ] ", ""},
        {"[{}]", "{}|"},
        {"[ {\"a\":1} ,\n{\"b\":\"],[\"},{\"c\":[{},[1,2]]} ]", "{\"a\":1}|{\"b\":\"],[\"}|{\"c\":[{},[1,2]]}|"},
        {"[1,\"x\",null]", "1|\"x\"|null|"},
        {"[{\"a\":1}},{\"b\":2}]", "{\"a\":1}}|{\"b\":2}|"},
        {"[{\"a\":1},]", "{\"a\":1}||"},
        {"[,]", "||"},
        {"[{\"a\":1},{\"b\"", "{\"a\":1}|{\"b\"||"},
        {"[{\"a\":1}", "{\"a\":1}||"},
        {"[", "||"},
        {"[{\"a\":\"x]", "{\"a\":\"x]||"},
        {"[{\"a\":\"x\\", "{\"a\":\"x\\||"},
        {"[{}] {}", "{}|{}|"},
        {"[] x", "x|"},
        {"[{}]]", "{}|]|"},
        /* lines */
        {"{\"a\":1}\n{\"b\":2}", "{\"a\":1}|{\"b\":2}|"},
        {"\n{\"a\":1}\r\n\r\n  {\"b\":2}\r\n\n", "{\"a\":1}|{\"b\":2}|"},
        {"{\"a\":1}\ngarbage\n[1]\n{\"b\":2}\n", "{\"a\":1}|garbage|[1]|{\"b\":2}|"},
        {"{\"a\":1} x\n{\"b\":2}", "{\"a\":1} x|{\"b\":2}|"},
        {"{\"a\":1}{\"b\":2}", "{\"a\":1}{\"b\":2}|"},
        {"{\"a\":\n{\"b\":2}", "{\"a\":|{\"b\":2}|"},
        {"{\"a\":\"x\n{\"b\":2}\n", "{\"a\":\"x|{\"b\":2}|"},
        {"{\"a\":1}}\n{\"b\":2}", "{\"a\":1}}|{\"b\":2}|"},
        /* broken objects */
        {"{", "{|"},
        {"{\"a\"\n:1", "{\"a\"\n:1|"},
        {"{\"a\"\n:1} x", "{\"a\"\n:1} x|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen s;
        int rc = split(cases[i].body, 0, &s);
        if (rc != 0 || strcmp(s.text, cases[i].records) != 0)
            fail_msg("%s gives %d, %s instead of %s", cases[i].body, rc, s.text, cases[i].records);
    }
}

static void test_no_body_of_events(void **state) {
    (void)state;
    static const char *const cases[] = {"", " \r\n\t", "x", "\"{}\"", "1", "\xef\xbb\xbf{}", "}", "null", ",{}"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen s;
        assert_int_equal(split(cases[i], 0, &s), ERR_SYNTAX);
        assert_int_equal(s.records, 0);
    }
}

static void test_each_stops_the_splitting(void **state) {
    (void)state;
    static const char *const cases[] = {"[{},{},{}]", "{}\n{}\n{}", "[{}", "[1,2", "[{}] x"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen s;
        assert_int_equal(split(cases[i], 1, &s), 42);
        assert_int_equal(s.records, 1);
        assert_int_equal(split(cases[i], 2, &s), 42);
        assert_int_equal(s.records, 2);
    }
    struct seen s;
    assert_int_equal(split("{\n}", 1, &s), 42);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_no_body_of_events),
        cmocka_unit_test(test_each_stops_the_splitting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
