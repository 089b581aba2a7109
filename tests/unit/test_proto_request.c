/* Request bodies: what is taken, what is refused and what the refusal names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "proto/request.h"

static const struct request_limits limits = {.max_k = 100, .max_items = 3};

static int parse(const char *body, enum request_kind kind, struct request *out, char *limit, struct err *e) {
    return request_parse(slice_str(body), kind, &limits, out, limit, e);
}

static void all_fields(void **state) {
    (void)state;
    struct request r;
    struct err e;
    char limit[REQUEST_LIMIT_TEXT];
    assert_int_equal(0, parse("{\"user\":\"u\",\"history\":[\"a\",7],\"cart\":[\"c\"],\"exclude\":[],\"items\":["
                              "\"\\u00e9\",-9223372036854775808,\"c\"],"
                              "\"k\":100,\"keep_used\":true}",
                              REQUEST_RECOMMEND, &r, limit, &e));
    assert_true(slice_is(r.user, "u"));
    assert_int_equal(2, r.n_history);
    assert_true(slice_is(r.history[0], "a"));
    assert_true(slice_is(r.history[1], "7"));
    assert_int_equal(1, r.n_cart);
    assert_true(slice_is(r.cart[0], "c"));
    assert_non_null(r.exclude);
    assert_int_equal(0, r.n_exclude);
    assert_int_equal(3, r.n_items);
    assert_true(slice_is(r.items[0], "\xc3\xa9"));
    assert_true(slice_is(r.items[1], "-9223372036854775808"));
    assert_int_equal(100, r.k);
    assert_true(r.keep_used);
    request_free(&r);
    request_free(&r);
}

static void absent_and_null(void **state) {
    (void)state;
    const char *const bodies[] = {
        "{}", "{\"user\":null,\"history\":null,\"exclude\":null,\"items\":null,\"k\":null,\"keep_used\":null}"};
    for (int i = 0; i < 2; i++) {
        struct request r;
        struct err e;
        char limit[REQUEST_LIMIT_TEXT];
        assert_int_equal(0, parse(bodies[i], REQUEST_RECOMMEND, &r, limit, &e));
        assert_int_equal(0, r.user.n);
        assert_null(r.items);
        assert_null(r.history);
        assert_int_equal(0, r.k);
        assert_false(r.keep_used);
        request_free(&r);
    }
}

struct refusal {
    enum request_kind kind;
    const char *body;
    int code;
    const char *field, *limit, *text;
};

static void refusals(void **state) {
    (void)state;
    static const struct refusal table[] = {
        {REQUEST_RECOMMEND, "", ERR_SYNTAX, "", "", "not a JSON object"},
        {REQUEST_RECOMMEND, "[]", ERR_SYNTAX, "", "", "not a JSON object"},
        {REQUEST_RECOMMEND, "{\"user\":\"u\"", ERR_SYNTAX, "", "", "not JSON"},
        {REQUEST_RECOMMEND, "{} {}", ERR_SYNTAX, "", "", "not JSON"},
        {REQUEST_RECOMMEND, "{\"user\":\"\xc0\x80\"}", ERR_SYNTAX, "", "", "not JSON"},
        {REQUEST_RECOMMEND, "{\"user\":\"a\\u0000b\"}", ERR_SYNTAX, "", "", "not JSON"},
        {REQUEST_RECOMMEND, "{\"k\":1,\"k\":2}", ERR_SYNTAX, "", "", "duplicate"},
        {REQUEST_RECOMMEND, "{\"user\":\"\"}", ERR_RANGE, "user", "256", "0 bytes"},
        {REQUEST_RECOMMEND, "{\"user\":1.5}", ERR_SYNTAX, "user", "", "text or an integer"},
        {REQUEST_RECOMMEND, "{\"user\":true}", ERR_SYNTAX, "user", "", "text or an integer"},
        {REQUEST_RECOMMEND, "{\"user\":9223372036854775808}", ERR_SYNTAX, "", "", "not JSON"},
        {REQUEST_RECOMMEND, "{\"k\":0}", ERR_RANGE, "k", "100", "1 to 100"},
        {REQUEST_RECOMMEND, "{\"k\":101}", ERR_RANGE, "k", "100", "1 to 100"},
        {REQUEST_RECOMMEND, "{\"k\":\"5\"}", ERR_SYNTAX, "k", "", "integer"},
        {REQUEST_RECOMMEND, "{\"explain\":\"yes\"}", ERR_SYNTAX, "explain", "", "true or false"},
        {REQUEST_RECOMMEND, "{\"keep_used\":1}", ERR_SYNTAX, "keep_used", "", "true or false"},
        {REQUEST_RECOMMEND, "{\"history\":\"a\"}", ERR_SYNTAX, "history", "", "list"},
        {REQUEST_RECOMMEND, "{\"history\":[\"a\",null]}", ERR_SYNTAX, "history", "", "text or an integer"},
        {REQUEST_RECOMMEND, "{\"items\":[1,2,3,4]}", ERR_RANGE, "items", "3", "more than 3"},
        {REQUEST_RECOMMEND, "{\"exclude\":[1,2,3,4]}", ERR_RANGE, "exclude", "3", "more than 3"},
        {REQUEST_RECOMMEND, "{\"usr\":\"u\"}", ERR_MISMATCH, "usr", "", "known: user"},
        {REQUEST_SCORE, "{\"user\":\"u\"}", ERR_SYNTAX, "items", "", "missing"},
        {REQUEST_SCORE, "{\"items\":null}", ERR_SYNTAX, "items", "", "missing"},
        {REQUEST_SCORE, "{\"items\":[\"a\"],\"k\":3}", ERR_MISMATCH, "k", "", "unknown field"},
        {REQUEST_SCORE, "{\"items\":[\"a\"],\"exclude\":[]}", ERR_MISMATCH, "exclude", "", "unknown field"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct request r = {.k = 77};
        struct err e = {0};
        char limit[REQUEST_LIMIT_TEXT];
        int rc = parse(table[i].body, table[i].kind, &r, limit, &e);
        if (rc != table[i].code || strcmp(e.field, table[i].field) != 0 || strcmp(limit, table[i].limit) != 0 ||
            !strstr(e.text, table[i].text))
            fail_msg("%s: %s in \"%s\", limit \"%s\": %s", table[i].body, err_name(rc), e.field, limit, e.text);
        assert_int_equal(77, r.k);
    }
}

static void longest_id(void **state) {
    (void)state;
    char body[400];
    for (int n = REQUEST_MAX_ID; n <= REQUEST_MAX_ID + 1; n++) {
        struct request r;
        struct err e;
        char limit[REQUEST_LIMIT_TEXT];
        snprintf(body, sizeof body, "{\"items\":[\"%0*d\"]}", n, 0);
        int rc = parse(body, REQUEST_SCORE, &r, limit, &e);
        if (n == REQUEST_MAX_ID) {
            assert_int_equal(0, rc);
            assert_int_equal(n, r.items[0].n);
            request_free(&r);
        } else {
            assert_int_equal(ERR_RANGE, rc);
            assert_string_equal("256", limit);
        }
    }
}

static void no_memory(void **state) {
    (void)state;
    struct request r = {.k = 77};
    struct err e = {0};
    char limit[REQUEST_LIMIT_TEXT];
    mem_fail_at(1);
    assert_int_equal(ERR_NOMEM, parse("{\"items\":[1]}", REQUEST_SCORE, &r, limit, &e));
    mem_fail_at(0);
    assert_int_equal(77, r.k);
}

static void ids_from_elsewhere(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(0, request_check_id(slice_str("u-1"), "user", &e));
    assert_int_equal(ERR_RANGE, request_check_id(slice_str(""), "user", &e));
    assert_string_equal("user", e.field);
    assert_int_equal(ERR_SYNTAX, request_check_id(slice_of("a\0b", 3), "user", &e));
    assert_int_equal(ERR_SYNTAX, request_check_id(slice_str("\xed\xa0\x80"), "user", &e));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields), cmocka_unit_test(absent_and_null), cmocka_unit_test(refusals),
        cmocka_unit_test(longest_id), cmocka_unit_test(no_memory),       cmocka_unit_test(ids_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
