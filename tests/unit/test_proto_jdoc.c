/* The read-only JSON tree: paths, kinds, fall-backs, iteration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lib/base/mem.h"
#include "proto/jdoc.h"

static const char text[] =
    "{\"a\":{\"b\":[1,{\"c\":\"x\\u0000y\"},2.5]},\"t\":true,\"n\":null,\"s\":\"seven\",\"big\":9007199254740993}";

static struct jdoc *parse(const char *json) {
    struct jdoc *j = NULL;
    struct err e;
    assert_int_equal(jdoc_parse(slice_str(json), &j, &e), 0);
    return j;
}

static void paths_lead_to_values(void **state) {
    (void)state;
    struct jdoc *j = parse(text);
    struct jdoc_value r = jdoc_root(j);
    assert_int_equal(jdoc_integer(jdoc_get(r, "a.b[0]"), -1), 1);
    assert_true(jdoc_number(jdoc_get(r, "a.b[2]"), -1) == 2.5);
    assert_true(slice_equal(jdoc_text(jdoc_get(r, "a.b[1].c"), ""), slice_of("x\0y", 3)));
    assert_true(jdoc_bool(jdoc_get(r, "t"), false));
    assert_true(jdoc_integer(jdoc_get(r, "big"), 0) == INT64_C(9007199254740993));
    assert_true(jdoc_get(r, "").node == r.node);
    jdoc_free(j);
}

static void what_is_not_there_is_absent(void **state) {
    (void)state;
    struct jdoc *j = parse(text);
    struct jdoc_value r = jdoc_root(j);
    static const char *const none[] = {"x", "a.x", "a.b[3]", "a.b[x]", "a.b[0", "a.b.c", "s.t", "a..b", "t[0]"};
    for (size_t k = 0; k < sizeof none / sizeof *none; k++)
        assert_int_equal(jdoc_kind_of(jdoc_get(r, none[k])), JDOC_ABSENT);
    struct jdoc_value absent = {0};
    assert_int_equal(jdoc_kind_of(jdoc_get(absent, "a.b")), JDOC_ABSENT);
    assert_int_equal(jdoc_count(absent), 0);
    assert_int_equal(jdoc_integer(absent, 7), 7);
    jdoc_free(j);
}

static void a_value_of_another_kind_gives_the_fallback(void **state) {
    (void)state;
    struct jdoc *j = parse(text);
    struct jdoc_value r = jdoc_root(j);
    assert_int_equal(jdoc_kind_of(jdoc_get(r, "n")), JDOC_NULL);
    assert_int_equal(jdoc_integer(jdoc_get(r, "a.b[2]"), 7), 7);
    assert_int_equal(jdoc_integer(jdoc_get(r, "s"), 7), 7);
    assert_true(slice_is(jdoc_text(jdoc_get(r, "t"), "none"), "none"));
    assert_false(jdoc_bool(jdoc_get(r, "s"), false));
    jdoc_free(j);
}

static void members_come_in_order(void **state) {
    (void)state;
    struct jdoc *j = parse(text);
    static const char *const names[] = {"a", "t", "n", "s", "big"};
    struct jdoc_members m = {0};
    size_t k = 0;
    while (jdoc_next(jdoc_root(j), &m)) assert_string_equal(m.name.p, names[k++]);
    assert_int_equal(k, 5);
    assert_int_equal(jdoc_count(jdoc_root(j)), 5);
    struct jdoc_members of_no_object = {0};
    assert_false(jdoc_next(jdoc_get(jdoc_root(j), "s"), &of_no_object));
    jdoc_free(j);
}

static void broken_text_is_refused(void **state) {
    (void)state;
    static const char *const broken[] = {"", "{", "{\"a\":1}x", "[1,]", "nul"};
    for (size_t k = 0; k < sizeof broken / sizeof *broken; k++) {
        struct jdoc *j = NULL;
        struct err e;
        assert_int_equal(jdoc_parse(slice_str(broken[k]), &j, &e), ERR_SYNTAX);
        assert_null(j);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_lead_to_values),   cmocka_unit_test(what_is_not_there_is_absent),
        cmocka_unit_test(members_come_in_order),  cmocka_unit_test(a_value_of_another_kind_gives_the_fallback),
        cmocka_unit_test(broken_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
