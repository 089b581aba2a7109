/* What stands around an event: its length, allowed types, field names, the key, lines of the own log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/unit/event_decode.h"

static void test_length_is_judged_before_the_text(void **state) {
    (void)state;
    struct event_context c = tools_context(&rules);
    char json[5000];
    struct err e;
    memset(json, '[', sizeof json);
    assert_int_equal(decode_in(&c, json, 4097, NULL, &e), EVENT_TOO_LONG);
    assert_int_equal(e.code, ERR_RANGE);
    assert_non_null(strstr(e.text, "4097"));
    assert_non_null(strstr(e.text, "4096"));
    assert_int_equal(decode_in(&c, json, 4096, NULL, NULL), EVENT_NOT_JSON);
}

static void test_what_a_source_may_send(void **state) {
    (void)state;
    struct event_context c = tools_context(&rules);
    const char *click = "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}", *bare = "{\"user\":\"u\",\"item\":\"i\"}",
               *gone = "{\"type\":\"delete\",\"item\":\"i\"}";
    struct event ev;
    assert_int_equal(event_allow_parse(&rules, "view, purchase", &c.allow, NULL), 0);
    assert_int_equal(c.allow, 1u << 1 | 1u << 3);
    assert_int_equal(decode_in(&c, click, strlen(click), &ev, NULL), EVENT_TYPE_DENIED);
    assert_int_equal(event_allow_parse(&rules, "behaviour", &c.allow, NULL), 0);
    assert_int_equal(c.allow, 0xFu | EVENT_ALLOW_IMPRESSION);
    assert_int_equal(decode_in(&c, click, strlen(click), &ev, NULL), EVENT_OK);
    assert_int_equal(decode_in(&c, gone, strlen(gone), &ev, NULL), EVENT_TYPE_DENIED);
    c.default_type = 3;
    assert_int_equal(decode_in(&c, bare, strlen(bare), &ev, NULL), EVENT_OK);
    assert_int_equal(ev.type, 3);
    c.allow = 1u << 2;
    assert_int_equal(decode_in(&c, bare, strlen(bare), &ev, NULL), EVENT_TYPE_DENIED);
    assert_int_equal(event_allow_parse(&rules, "all", &c.allow, NULL), 0);
    assert_int_equal(decode_in(&c, gone, strlen(gone), &ev, NULL), EVENT_OK);
    assert_int_equal(event_allow_parse(&rules, "item,user,delete,impression", &c.allow, NULL), 0);
    assert_int_equal(c.allow, EVENT_ALLOW_ITEM | EVENT_ALLOW_USER | EVENT_ALLOW_DELETE | EVENT_ALLOW_IMPRESSION);
    uint32_t kept = c.allow;
    struct err e = {0};
    const char *wrong[] = {"", "click,", "clicks", "click;view", ",view"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(event_allow_parse(&rules, wrong[i], &c.allow, &e), ERR_SYNTAX);
    assert_int_equal(c.allow, kept);
}

/* Other names of impressions, and a source whose records are impressions without saying so. */
static void test_what_is_an_impression(void **state) {
    (void)state;
    struct event_rules named = rules;
    named.n_shown = 1;
    memcpy(named.shown[0], "view_list", 10);
    struct event_context c = tools_context(&named), other = tools_context(&rules);
    const char *shown = "{\"type\":\"view_list\",\"user\":\"u\",\"items\":[\"i\",\"j\"]}",
               *bare = "{\"user\":\"u\",\"items\":[\"i\"]}",
               *click = "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}";
    struct event ev;
    struct err e;
    assert_int_equal(decode_in(&c, shown, strlen(shown), &ev, NULL), EVENT_OK);
    assert_int_equal(ev.kind, EVENT_IMPRESSION);
    assert_int_equal(ev.type, -1);
    assert_int_equal(ev.n_items, 2);
    assert_int_equal(decode_in(&other, shown, strlen(shown), &ev, NULL), EVENT_UNKNOWN_TYPE);
    c.default_type = EVENT_TYPE_IMPRESSION;
    assert_int_equal(decode_in(&c, bare, strlen(bare), &ev, NULL), EVENT_OK);
    assert_int_equal(ev.kind, EVENT_IMPRESSION);
    assert_int_equal(ev.type, -1);
    assert_int_equal(decode_in(&c, click, strlen(click), &ev, NULL), EVENT_OK); /* what an event says wins */
    assert_int_equal(ev.kind, EVENT_BEHAVIOUR);
    c.allow = 0xF;
    assert_int_equal(decode_in(&c, bare, strlen(bare), &ev, &e), EVENT_TYPE_DENIED);
    assert_non_null(strstr(e.text, "impression"));
    assert_int_equal(decode_in(&c, shown, strlen(shown), &ev, NULL), EVENT_TYPE_DENIED);
}

static void test_a_type_taken_out_of_the_configuration_is_unknown(void **state) {
    (void)state;
    struct event_rules fewer = rules;
    memset(fewer.types[1], 0, sizeof fewer.types[1]);
    struct event_context c = tools_context(&fewer);
    const char *view = "{\"type\":\"view\",\"user\":\"u\",\"item\":\"i\"}",
               *none = "{\"type\":\"\",\"user\":\"u\",\"item\":\"i\"}";
    assert_int_equal(decode_in(&c, view, strlen(view), NULL, NULL), EVENT_UNKNOWN_TYPE);
    assert_int_equal(decode_in(&c, none, strlen(none), NULL, NULL), EVENT_UNKNOWN_TYPE);
    assert_int_equal(event_type_index(&fewer, slice_str("purchase")), 3);
    assert_int_equal(event_type_index(&fewer, slice_str("purchases")), -1);
}

static void test_names(void **state) {
    (void)state;
    struct event_names names = {.n = 99};
    struct err e = {0};
    assert_int_equal(event_names_parse("userId , uid", &names, &e), 0);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.name[0], "userId");
    assert_string_equal(names.name[1], "uid");
    const char *wrong[] = {"",        "a,,b", "a,a",  "a,b,c,d,e", "value", "_arrival",
                           "x,items", "a\"b", "a\\b", "\xff",      "a\tb",  "abcdefghijklmnopqrstuvwxyz0123456"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int rc = event_names_parse(wrong[i], &names, &e);
        if (rc != ERR_SYNTAX && rc != ERR_RANGE) fail_msg("%s is taken", wrong[i]);
    }
    assert_int_equal(names.n, 2);
    struct event_rules mapped = rules;
    mapped.user = names;
    struct event_context c = tools_context(&mapped);
    struct event ev;
    const char *json = "{\"type\":\"click\",\"userId\":\"u\",\"user\":{},\"item\":\"i\"}",
               *old = "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}";
    assert_int_equal(decode_in(&c, json, strlen(json), &ev, NULL), EVENT_OK);
    is_text(ev.user, "u");
    assert_int_equal(decode_in(&c, old, strlen(old), &ev, NULL), EVENT_NO_USER);
}

static void test_the_key_is_the_user_where_none_is_named(void **state) {
    (void)state;
    struct event_context c = tools_context(&rules);
    const char *bare = "{\"type\":\"click\",\"item\":\"i\"}",
               *named = "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}";
    struct event ev;
    struct err e;
    char key[] = "k1";
    c.key = slice_str(key);
    assert_int_equal(decode_in(&c, bare, strlen(bare), &ev, NULL), EVENT_OK);
    key[0] = 'X'; /* the event must not point into the key */
    is_text(ev.user, "k1");
    assert_int_equal(decode_in(&c, named, strlen(named), &ev, NULL), EVENT_OK);
    is_text(ev.user, "u");
    const char *wrong[] = {"\xff", "a\nb", "\xed\xa0\x80"};
    for (size_t i = 0; i < 3; i++) {
        c.key = slice_str(wrong[i]);
        assert_int_equal(decode_in(&c, bare, strlen(bare), &ev, &e), EVENT_BAD_ID);
        assert_string_equal(e.field, "key");
    }
}

static void test_lines_of_the_own_log(void **state) {
    (void)state;
    static const struct {
        const char *json, *line;
    } cases[] = {
        {"{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\\nb c\"}", NULL},
        {" \r\n{ \n\"type\":\"item\",\r\n\t\"item\":\"i\"\n}\n",
         "{\"_arrival\":1700000000999,\"type\":\"item\",\t\"item\":\"i\"}"},
        {"{}", "{\"_arrival\":1700000000999}"},
        {"{ \n }", "{\"_arrival\":1700000000999}"},
    };
    struct buf line;
    buf_init(&line, 1 << 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&line);
        event_write_line(slice_str(cases[i].json), INT64_C(1700000000999), &line);
        assert_false(line.failed);
        if (cases[i].line) assert_string_equal(line.p, cases[i].line);
        assert_null(strchr(line.p, '\n'));
    }
    struct event_context c = tools_context(&rules);
    struct event ev;
    c.record_ms = EVENT_NO_TIME;
    assert_int_equal(decode_in(&c, line.p, line.n, &ev, NULL), EVENT_RESERVED);
    c.own_log = true;
    assert_int_equal(decode_in(&c, line.p, line.n, &ev, NULL), EVENT_NO_TYPE);
    buf_clear(&line);
    event_write_line(slice_str("\n{\"type\":\"item\",\n \"item\":\"i\" }"), INT64_C(1700000000999), &line);
    assert_int_equal(decode_in(&c, line.p, line.n, &ev, NULL), EVENT_OK);
    assert_int_equal(ev.arrival_ms, INT64_C(1700000000999));
    assert_int_equal(ev.ts_ms, INT64_C(1700000000999));
    is_text(ev.description, "{\"type\":\"item\", \"item\":\"i\" }");
    const char *wrong[] = {"{\"type\":\"click\",\"_arrival\":5,\"user\":\"u\",\"item\":\"i\"}",
                           "{\"_arrival\":\"5\",\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}",
                           "{\"_arrival\":5.0,\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}",
                           "{\"_arrival\":-5,\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}",
                           "{\"_arrival\":253402300800000,\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(decode_in(&c, wrong[i], strlen(wrong[i]), &ev, NULL), EVENT_RESERVED);
    buf_free(&line);
}

static void test_a_line_may_be_as_long_as_the_event_was_allowed_to_be(void **state) {
    (void)state;
    char json[4100];
    int n = snprintf(json, sizeof json, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"x\":\"");
    memset(json + n, 'x', 4096 - 2 - (size_t)n);
    memcpy(json + 4094, "\"}", 3);
    assert_int_equal(decode(json, NULL), EVENT_OK);
    struct buf line;
    buf_init(&line, 1 << 16);
    event_write_line(slice_str(json), INT64_C(253402300799999), &line);
    struct event_context c = tools_context(&rules);
    c.own_log = true;
    assert_int_equal(decode_in(&c, line.p, line.n, NULL, NULL), EVENT_OK);
    buf_free(&line);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_length_is_judged_before_the_text, reset),
        cmocka_unit_test_teardown(test_what_a_source_may_send, reset),
        cmocka_unit_test_teardown(test_what_is_an_impression, reset),
        cmocka_unit_test_teardown(test_a_type_taken_out_of_the_configuration_is_unknown, reset),
        cmocka_unit_test_teardown(test_names, reset),
        cmocka_unit_test_teardown(test_the_key_is_the_user_where_none_is_named, reset),
        cmocka_unit_test_teardown(test_lines_of_the_own_log, reset),
        cmocka_unit_test_teardown(test_a_line_may_be_as_long_as_the_event_was_allowed_to_be, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
