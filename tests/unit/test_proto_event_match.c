/* Conditions on members of an event: what they find, what they do not, and how a bad one is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/event_match.h"

static bool holds(const char *text, const char *json) {
    struct event_match *m;
    struct err e = {0};
    if (event_match_parse(text, &m, &e) != 0) fail_msg("\"%s\" is refused: %s", text, e.text);
    /* A copy of exactly its length: a read beyond it is seen by the sanitizers. */
    size_t n = strlen(json);
    char *copy = malloc(n + 1);
    memcpy(copy, json, n + 1);
    bool is = event_match_holds(m, slice_of(copy, n));
    free(copy);
    event_match_free(m);
    return is;
}

static void test_what_a_condition_finds(void **state) {
    (void)state;
    static const char json[] =
        "{\"type\":\"click\",\"campaign\":\"summer\", \"n\":17,\"x\":1.50e1,\"on\":true,\"none\":null,"
        "\"tags\":[\"a\",\"b\",3],\"context\":{\"device\":{\"kind\":\"bot\"},\"empty\":[]},"
        "\"items\":[{\"item\":\"i\",\"price\":0},{\"item\":\"j\",\"price\":9.5}],\"a,b\":\"c|d=e\"}";
    static const struct {
        const char *text;
        bool holds;
    } cases[] = {
        {"", true},
        {"campaign=summer", true},
        {"campaign=winter", false},
        {"campaign=winter|summer", true},
        {"campaign=Summer", false},
        {"campaign=summe", false},
        {"campaign", true},
        {"campaigns", false},
        {"n=17", true},
        {"n=17.0", true},
        {"n=1.7e1", true},
        {"n=18", false},
        {"x=15", true},
        {"on=true", true},
        {"on=false", false},
        {"on", true},
        {"none", false},
        {"none=null", false},
        {"none!=null", true},
        {"tags=b", true},
        {"tags=3", true},
        {"tags=c", false},
        {"tags", true},
        {"context.device.kind=bot", true},
        {"context.device.kind=bot|other", true},
        {"context.device=bot", false},
        {"context.device", true},
        {"context.empty", false},
        {"context.kind", false},
        {"kind", false},
        {"items.price=0", true},
        {"items.price=9.5", true},
        {"items.price=1", false},
        {"items.item=j", true},
        {"campaign.name", false},
        {"campaign!=winter", true},
        {"campaign!=summer", false},
        {"missing!=x", true},
        {"tags!=a", false},
        {"campaign = summer , n = 17", true},
        {"campaign=summer,n=18", false},
        {"campaign=winter,n=17", false},
        {"a\\,b=c\\|d\\=e", true},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        if (holds(cases[k].text, json) != cases[k].holds) fail_msg("\"%s\"", cases[k].text);
}

static void test_escapes_in_the_event_do_not_hide(void **state) {
    (void)state;
    assert_true(holds("a=x/y", "{\"a\":\"x\\/y\"}"));
    assert_true(holds("a=x y", "{\"\\u0061\":\"x\\u0020y\"}"));
    assert_true(holds("a=\\ x", "{\"a\":\" x\"}"));
    assert_false(holds("a= x", "{\"a\":\" x\"}"));
    assert_true(holds("a=\xc3\xa4", "{\"a\":\"\\u00e4\"}"));
    assert_true(holds("a=\xe2\x82\xac", "{\"a\":\"\\u20ac\"}"));
    assert_true(holds("a=\xf0\x9f\x98\x80", "{\"a\":\"\\ud83d\\ude00\"}"));
    assert_false(holds("a=\xf0\x9f\x98", "{\"a\":\"\\ud83d\\ude00\"}"));
    assert_true(holds("b=1", "{\"a\":\"}],\\\"b\\\":2\",\"b\":1}"));
    assert_false(holds("b=2", "{\"a\":\"}],\\\"b\\\":2\",\"b\":1}"));
    assert_true(holds("a=\\\"", "{\"a\":\"\\\"\"}"));
    assert_true(holds("b=1", "{ \"a\" : { \"b\" : 2 , \"c\" : [ { } , [ ] ] } , \"b\" : 1 }"));
    assert_false(holds("b=2", "{ \"a\" : { \"b\" : 2 , \"c\" : [ { } , [ ] ] } , \"b\" : 1 }"));
}

/* Nothing that is not JSON makes it read further than the text or go on for ever. */
static void test_any_bytes_are_survived(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",         "{",   "{\"",    "{\"a",       "{\"a\"",  "{\"a\":", "{\"a\":\"", "{\"a\":\"\\",
        "{\"a\":[", "raw", "[[[[[[", "{\"a\"x}}}", "]]]}}},", "{:::,}",  "\\\\",      "{\"a\":\"\\u12"};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        assert_false(holds("a.b=c", texts[k]));
        (void)holds("a=c,b", texts[k]);
    }
}

static void refuses(const char *text, int code, const char *part) {
    struct event_match *m = NULL;
    struct err e = {0};
    assert_int_equal(event_match_parse(text, &m, &e), code);
    assert_null(m);
    if (!strstr(e.text, part)) fail_msg("\"%s\": %s", text, e.text);
}

static void test_bad_conditions_are_named(void **state) {
    (void)state;
    refuses("a=", ERR_SYNTAX, "in \"a=\": a name or a value is empty");
    refuses("a=\"b\"", ERR_SYNTAX, "in \"a=\"b\"\": values stand without quotes; \\\" is one that belongs to it");
    refuses("x=1,=2", ERR_SYNTAX, "in \"=2\"");
    refuses("a=1|", ERR_SYNTAX, "empty");
    refuses("a..b", ERR_SYNTAX, "empty");
    refuses("a=1,", ERR_SYNTAX, "empty");
    refuses("a!b", ERR_SYNTAX, "without its =");
    refuses("a=b\\", ERR_SYNTAX, "backslash");
    refuses("a.b.c.d.e.f.g.h.i", ERR_RANGE, "8 names");
    refuses("a,a,a,a,a,a,a,a,a", ERR_RANGE, "8 conditions");
    refuses("a=1|2|3|4|5|6|7|8|9|0|1|2|3|4|5|6|7|8|9|0|1|2|3|4|5|6|7|8|9|0|1|2|3", ERR_RANGE, "32 values");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_condition_finds),
        cmocka_unit_test(test_escapes_in_the_event_do_not_hide),
        cmocka_unit_test(test_any_bytes_are_survived),
        cmocka_unit_test(test_bad_conditions_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
