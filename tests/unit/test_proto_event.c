/* Events: every field, every reason, both halves of the decoder, refused memory, the arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "tests/unit/event_decode.h"

static bool is_fast(const char *json) {
    struct event_context c = tools_context(&rules);
    struct event ev;
    return event_decode_fast(slice_str(json), &c, arena, &ev, NULL) >= 0;
}

static void test_every_field_of_the_flat_form(void **state) {
    (void)state;
    const char *json = "{\"id\":\"e-81f2\",\"type\":\"click\",\"user\":\"u17\",\"item\":\"sku-9\",\"ts\":1700000000123,"
                       "\"value\":12.5,\"quantity\":2,\"session\":\"s-5\",\"request\":\"r-77\"}";
    struct event ev;
    assert_true(is_fast(json));
    assert_int_equal(decode(json, &ev), EVENT_OK);
    assert_int_equal(ev.kind, EVENT_BEHAVIOUR);
    assert_int_equal(ev.type, 0);
    is_text(ev.id, "e-81f2");
    is_text(ev.user, "u17");
    is_text(ev.session, "s-5");
    is_text(ev.request, "r-77");
    assert_int_equal(ev.n_items, 1);
    is_text(ev.items[0].id, "sku-9");
    assert_true(isnan(ev.items[0].quantity) && isnan(ev.items[0].price));
    assert_int_equal(ev.ts_ms, INT64_C(1700000000123));
    assert_int_equal(ev.arrival_ms, EVENT_NO_TIME);
    assert_true(ev.value == 12.5 && ev.quantity == 2 && !ev.basket);
    assert_int_equal(ev.available, -1);
    assert_int_equal(ev.expires_ms, EVENT_NO_TIME);
    assert_int_equal(ev.description.n, 0);
}

static void test_aliases_space_null_and_unicode(void **state) {
    (void)state;
    struct event ev;
    assert_int_equal(
        decode(" {\t\"user_id\" : \"caf\xc3\xa9\" ,\n\"item_id\":7,\"event_type\":\"view\",\"timestamp\":0,"
               "\"event_id\":-5, \"session\":null,\"value\":null, \"page\":\"x\",\"n\":1e9}\r\n",
               &ev),
        EVENT_OK);
    is_text(ev.user, "caf\xc3\xa9");
    is_text(ev.items[0].id, "7");
    is_text(ev.id, "-5");
    assert_int_equal(ev.type, 1);
    assert_int_equal(ev.ts_ms, 0);
    assert_true(isnan(ev.value) && ev.session.n == 0);
    assert_int_equal(decode("{\"\\u0075ser\":\"\\ud83d\\ude00\\u00e9\\/\",\"type\":\"view\",\"item\":\"a\\\"b\"}", &ev),
                     EVENT_OK);
    is_text(ev.user, "\xf0\x9f\x98\x80\xc3\xa9/");
    is_text(ev.items[0].id, "a\"b");
    assert_int_equal(ev.ts_ms, TOOLS_RECORD_MS);
}

static void test_baskets(void **state) {
    (void)state;
    struct event ev;
    assert_int_equal(
        decode("{\"type\":\"purchase\",\"user\":\"u\",\"items\":[\"a\", 17 ,{\"item\":\"c\",\"quantity\":2.5,"
               "\"price\":1e3,\"note\":{\"x\":[1,2]}},{\"id\":\"d\",\"quantity\":null},{\"price\":0,"
               "\"item_id\":\"\\u0065\"}]}",
               &ev),
        EVENT_OK);
    assert_true(ev.basket);
    assert_int_equal(ev.n_items, 5);
    const char *ids[] = {"a", "17", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) is_text(ev.items[i].id, ids[i]);
    assert_true(ev.items[2].quantity == 2.5 && ev.items[2].price == 1000);
    assert_true(isnan(ev.items[3].quantity) && isnan(ev.items[3].price));
    assert_true(ev.items[4].price == 0 && isnan(ev.items[4].quantity));
    assert_int_equal(decode("{\"type\":\"impression\",\"user\":\"u\",\"items\":[\"a\"],\"request\":\"r\"}", &ev),
                     EVENT_OK);
    assert_int_equal(ev.kind, EVENT_IMPRESSION);
    assert_int_equal(ev.type, -1);
    assert_true(ev.basket && ev.n_items == 1);
}

static void test_descriptions(void **state) {
    (void)state;
    struct event ev;
    const char *item =
        "{\"type\":\"item\",\"item\":\"i\",\"user\":{},\"categories\":[\"a\",1],\"features\":{\"brand\":\"b\","
        "\"w\":1.5,\"t\":[\"x\",null,true]},\"available\":false,\"expires\":\"2030-01-01T00:00:00Z\","
        "\"value\":\"high\"}";
    char spaced[512];
    snprintf(spaced, sizeof spaced, " \n%s\n ", item);
    assert_int_equal(decode(spaced, &ev), EVENT_OK);
    assert_int_equal(ev.kind, EVENT_ITEM);
    assert_int_equal(ev.available, 0);
    assert_int_equal(ev.expires_ms, INT64_C(1893456000000));
    assert_int_equal(ev.n_items, 1);
    is_text(ev.items[0].id, "i");
    is_text(ev.description, item);
    assert_true(ev.user.n == 0 && !ev.basket && isnan(ev.value));
    assert_int_equal(decode("{\"type\":\"item\",\"item\":\"i\",\"expires\":null,\"available\":true}", &ev), EVENT_OK);
    assert_int_equal(ev.expires_ms, -1);
    assert_int_equal(ev.available, 1);
    assert_int_equal(decode("{\"type\":\"item\",\"item\":\"i\",\"available\":null}", &ev), EVENT_OK);
    assert_int_equal(ev.available, -1);
    const char *user = "{\"type\":\"user\",\"user\":\"u\",\"features\":{},\"items\":5,\"value\":[],\"plan\":\"gold\"}";
    assert_int_equal(decode(user, &ev), EVENT_OK);
    assert_int_equal(ev.kind, EVENT_USER);
    is_text(ev.description, user);
    assert_int_equal(ev.n_items, 0);
}

static void test_deletes(void **state) {
    (void)state;
    struct event ev;
    struct event_context c = tools_context(&rules);
    c.key = slice_str("key");
    const char *item = "{\"type\":\"delete\",\"item\":\"i\"}", *none = "{\"type\":\"delete\"}";
    assert_int_equal(decode("{\"type\":\"delete\",\"user\":\"u\"}", &ev), EVENT_OK);
    is_text(ev.user, "u");
    assert_int_equal(ev.n_items, 0);
    assert_int_equal(decode_in(&c, item, strlen(item), &ev, NULL), EVENT_OK);
    assert_true(ev.user.n == 0 && ev.n_items == 1);
    assert_int_equal(decode_in(&c, none, strlen(none), &ev, NULL), EVENT_NO_USER);
}

static const struct {
    enum event_reason why;
    const char *json;
} reasons[] = {
    {EVENT_NOT_JSON, ""},
    {EVENT_NOT_JSON, "   "},
    {EVENT_NOT_JSON, "[]"},
    {EVENT_NOT_JSON, "\"x\""},
    {EVENT_NOT_JSON, "{"},
    {EVENT_NOT_JSON, "{}}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"} x"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":01}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":+1}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":1.}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":-}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":NaN}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":tru}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":truex}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":\"a\tb\"}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":\"\\ud800\"}"},
    {EVENT_NOT_JSON, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"},
    {EVENT_OK, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":[[[[[[[[[[[[[[[1,\"[[\\\"[\"]]]]]]]]]]]]]]]}"},
    {EVENT_NOT_UTF8, "{\"type\":\"click\",\"user\":\"u\xff\",\"item\":\"i\"}"},
    {EVENT_NOT_UTF8, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":\"\xed\xa0\x80\"}"},
    {EVENT_NOT_UTF8, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"n\":\"\xc0\x80\"}"},
    {EVENT_NOT_UTF8, "{\"type\":\"click\",\"user\":\"u\\u0000\",\"item\":\"i\"}"},
    {EVENT_NOT_UTF8, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"\\u0000\":1}"},
    {EVENT_DUPLICATE_KEY, "{\"type\":\"click\",\"user\":\"u\",\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_DUPLICATE_KEY, "{\"type\":\"click\",\"user\":\"u\",\"user_id\":null,\"item\":\"i\"}"},
    {EVENT_DUPLICATE_KEY, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"x\":1,\"\\u0078\":1}"},
    {EVENT_DUPLICATE_KEY, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"x\":1,\"y\":2,\"x\":1}"},
    {EVENT_DUPLICATE_KEY, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"x\":[{\"a\":1,\"a\":1}]}"},
    {EVENT_DUPLICATE_KEY, "{\"type\":\"click\",\"user\":\"u\",\"items\":[{\"item\":\"a\",\"id\":\"a\"}]}"},
    {EVENT_NO_TYPE, "{\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_NO_TYPE, "{\"type\":null,\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_NO_TYPE, "{}"},
    {EVENT_UNKNOWN_TYPE, "{\"type\":\"Click\",\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_UNKNOWN_TYPE, "{\"type\":\"clic\",\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_UNKNOWN_TYPE, "{\"type\":\"\",\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_UNKNOWN_TYPE, "{\"type\":1,\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_NO_USER, "{\"type\":\"click\",\"item\":\"i\"}"},
    {EVENT_NO_USER, "{\"type\":\"user\",\"item\":\"i\"}"},
    {EVENT_NO_ITEM, "{\"type\":\"click\",\"user\":\"u\"}"},
    {EVENT_NO_ITEM, "{\"type\":\"item\",\"user\":\"u\"}"},
    {EVENT_NO_ITEM, "{\"type\":\"click\",\"user\":\"u\",\"item\":null,\"items\":null}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":\"\",\"item\":\"i\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":1.0,\"item\":\"i\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":1e3,\"item\":\"i\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":-0,\"item\":\"i\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":9223372036854775808,\"item\":\"i\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":-9223372036854775809,\"item\":\"i\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":true,\"item\":\"i\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":\"u\",\"item\":[\"i\"]}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\\nb\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\x7f\"}"},
    {EVENT_BAD_ID, "{\"id\":{},\"type\":\"click\",\"user\":\"u\",\"item\":\"a\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\",\"session\":\"\"}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\",\"request\":false}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":\"u\",\"items\":[\"a\",\"\"]}"},
    {EVENT_BAD_ID, "{\"type\":\"click\",\"user\":\"u\",\"items\":[{\"id\":1.5}]}"},
    {EVENT_BAD_TIME, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"ts\":\"yesterday\"}"},
    {EVENT_BAD_TIME, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"ts\":-1}"},
    {EVENT_BAD_TIME, "{\"type\":\"item\",\"item\":\"i\",\"ts\":false}"},
    {EVENT_BAD_NUMBER, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"value\":\"1\"}"},
    {EVENT_BAD_NUMBER, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"value\":1e400}"},
    {EVENT_BAD_NUMBER, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"other\":-1e309}"},
    {EVENT_BAD_NUMBER, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"quantity\":-1}"},
    {EVENT_BAD_NUMBER, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"quantity\":1.0000001e12}"},
    {EVENT_BAD_NUMBER, "{\"type\":\"click\",\"user\":\"u\",\"items\":[{\"id\":1,\"price\":\"3\"}]}"},
    {EVENT_BAD_NUMBER, "{\"type\":\"click\",\"user\":\"u\",\"items\":[{\"id\":1,\"quantity\":-3}]}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"click\",\"user\":\"u\",\"items\":[]}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"click\",\"user\":\"u\",\"items\":\"a\"}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"click\",\"user\":\"u\",\"items\":{\"item\":\"a\"}}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"click\",\"user\":\"u\",\"items\":[1,2,3,4,5,6]}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"click\",\"user\":\"u\",\"items\":[1,null]}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"click\",\"user\":\"u\",\"items\":[[1]]}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"click\",\"user\":\"u\",\"items\":[{\"price\":1}]}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"click\",\"user\":\"u\",\"items\":[1],\"item\":1}"},
    {EVENT_BAD_ITEMS, "{\"type\":\"item\",\"items\":[1],\"item\":1}"},
    {EVENT_BAD_FIELD, "{\"type\":\"item\",\"item\":1,\"categories\":\"a\"}"},
    {EVENT_BAD_FIELD, "{\"type\":\"item\",\"item\":1,\"categories\":[\"a\",[\"b\"]]}"},
    {EVENT_BAD_FIELD, "{\"type\":\"item\",\"item\":1,\"categories\":[\"\"]}"},
    {EVENT_BAD_FIELD, "{\"type\":\"item\",\"item\":1,\"features\":[]}"},
    {EVENT_BAD_FIELD, "{\"type\":\"item\",\"item\":1,\"features\":{\"a\":{}}}"},
    {EVENT_BAD_FIELD, "{\"type\":\"item\",\"item\":1,\"features\":{\"a\":[[1]]}}"},
    {EVENT_BAD_FIELD, "{\"type\":\"user\",\"user\":1,\"features\":\"x\"}"},
    {EVENT_BAD_FIELD, "{\"type\":\"item\",\"item\":1,\"available\":1}"},
    {EVENT_BAD_FIELD, "{\"type\":\"item\",\"item\":1,\"expires\":\"never\"}"},
    {EVENT_BAD_FIELD, "{\"type\":\"delete\",\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_RESERVED, "{\"_arrival\":5,\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}"},
    {EVENT_RESERVED, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"_arrival\":null}"},
    {EVENT_OK, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"other\":123456789012345678901234567890}"},
    {EVENT_OK, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"features\":1,\"categories\":{\"_arrival\":1}}"},
    {EVENT_OK, "{\"type\":\"click\",\"user\":-9223372036854775808,\"item\":9223372036854775807,\"value\":1e-400}"},
};

static void test_reasons(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        enum event_reason r = decode(reasons[i].json, NULL);
        if (r != reasons[i].why)
            fail_msg("%s gives %s instead of %s", reasons[i].json, event_reason_name(r),
                     event_reason_name(reasons[i].why));
    }
}

static void test_ids_have_256_bytes_at_most(void **state) {
    (void)state;
    char id[300], json[600];
    memset(id, 'x', sizeof id);
    for (size_t n = 255; n <= 257; n++) {
        snprintf(json, sizeof json, "{\"type\":\"click\",\"user\":\"%.*s\",\"item\":\"i\"}", (int)n, id);
        assert_int_equal(decode(json, NULL), n <= EVENT_MAX_ID ? EVENT_OK : EVENT_BAD_ID);
    }
}

static void test_a_nul_and_every_truncation(void **state) {
    (void)state;
    struct event_context c = tools_context(&rules);
    const char *json =
        "{\"type\":\"click\",\"user\":\"u\xc3\xa9\",\"items\":[{\"item\":\"\\u00e9\",\"price\":1.5e1}],\"v\":null}";
    const size_t n = strlen(json);
    for (size_t k = 0; k < n; k++) assert_int_not_equal(decode_in(&c, json, k, NULL, NULL), EVENT_OK);
    assert_int_equal(decode_in(&c, json, n, NULL, NULL), EVENT_OK);
    assert_int_equal(decode_in(&c, json, n + 1, NULL, NULL), EVENT_NOT_UTF8);
    const char *flat = "{\"type\":\"click\",\"user\":\"u\xc3\xa9\",\"item\":\"i\",\"value\":-1.5e-1,\"x\":true,\"y\":"
                       "\"long long text\"}";
    for (size_t k = 0; k < strlen(flat); k++) assert_int_equal(decode_in(&c, flat, k, NULL, NULL) == EVENT_OK, 0);
    assert_int_equal(decode(flat, NULL), EVENT_OK);
}

static void test_errors_name_field_value_and_limit(void **state) {
    (void)state;
    struct event_context c = tools_context(&rules);
    struct err e;
    const char *json = "{\"type\":\"click\",\"user\":\"u\",\"items\":[\"a\",{\"id\":\"b\",\"quantity\":-2.5}]}";
    assert_int_equal(decode_in(&c, json, strlen(json), NULL, &e), EVENT_BAD_NUMBER);
    assert_string_equal(e.field, "items[1].quantity");
    assert_non_null(strstr(e.text, "-2.5"));
    assert_non_null(strstr(e.text, "1e12"));
    char text[400] = "{\"type\":\"";
    memset(text + 9, 'y', 300);
    memcpy(text + 309, "\"}", 3);
    assert_int_equal(decode_in(&c, text, strlen(text), NULL, &e), EVENT_UNKNOWN_TYPE);
    assert_string_equal(e.field, "type");
    assert_non_null(strstr(e.text, "(shortened)"));
    assert_true(strlen(e.text) < 200);
    json = "{\"type\":\"click\",\"user\":\"u\",\"items\":[1,2,3,4,5,6,7]}";
    assert_int_equal(decode_in(&c, json, strlen(json), NULL, &e), EVENT_BAD_ITEMS);
    assert_string_equal(e.text, "7 items, allowed: 5");
}

static void test_no_memory_is_no_verdict(void **state) {
    (void)state;
    struct event_context c = tools_context(&rules);
    c.key = slice_str("k");
    const char *json[] = {"{\"type\":\"click\",\"items\":[{\"item\":\"\\u0041\"},\"b\"],\"x\":{\"y\":[1,\"z\"]}}",
                          "{\"type\":\"item\",\"item\":\"i\",\"categories\":[\"\\u0041\"],\"features\":{\"a\":[1]}}",
                          "{\"type\":\"click\",\"item\":\"i\"}"};
    for (size_t k = 0; k < 3; k++) {
        uint64_t nth = 1;
        for (bool done = false; !done; nth++) {
            struct event_arena *fresh = event_arena_new();
            struct event ev = {.type = 77};
            struct err e = {0};
            mem_fail_at(nth);
            enum event_reason r = event_decode(slice_str(json[k]), &c, fresh, &ev, &e);
            mem_fail_at(0);
            done = r == EVENT_OK;
            if (!done) {
                assert_int_equal(r, EVENT_NO_MEMORY);
                assert_int_equal(e.code, ERR_NOMEM);
                assert_int_equal(ev.type, 77);
            }
            event_arena_free(fresh);
        }
        assert_in_range(nth, k < 2 ? 15 : 3, 200); /* each request for memory was refused once */
    }
    mem_fail_at(1);
    assert_null(event_arena_new());
    mem_fail_at(0);
}

static void test_the_arena(void **state) {
    (void)state;
    struct event_context c = tools_context(&rules);
    const char *json = "{\"type\":\"click\",\"user\":\"u\",\"items\":[\"\\u0061\",\"b\"]}";
    static struct event events[20000];
    struct event_arena *a = event_arena_new();
    assert_non_null(a);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 20000; i++)
            assert_int_equal(event_decode(slice_str(json), &c, a, &events[i], NULL), EVENT_OK);
        for (size_t i = 0; i < 20000; i++) is_text(events[i].items[0].id, "a"); /* none was moved or reused */
        assert_true(event_arena_bytes(a) > 20000 * 2 * sizeof(struct event_item));
        event_arena_reset(a);
        assert_true(event_arena_bytes(a) <= 1 << 20);
        assert_true(event_arena_bytes(a) > 1 << 18);
    }
    event_arena_free(a);
    event_arena_free(NULL);
}

static void test_reason_names(void **state) {
    (void)state;
    for (int r = 0; r < EVENT_REASONS; r++) {
        assert_non_null(event_reason_name((enum event_reason)r));
        for (int q = 0; q < r; q++)
            assert_string_not_equal(event_reason_name((enum event_reason)q), event_reason_name((enum event_reason)r));
    }
    assert_string_equal(event_reason_name(EVENT_NOT_JSON), "not_json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_every_field_of_the_flat_form, reset),
        cmocka_unit_test_teardown(test_aliases_space_null_and_unicode, reset),
        cmocka_unit_test_teardown(test_baskets, reset),
        cmocka_unit_test_teardown(test_descriptions, reset),
        cmocka_unit_test_teardown(test_deletes, reset),
        cmocka_unit_test_teardown(test_reasons, reset),
        cmocka_unit_test_teardown(test_ids_have_256_bytes_at_most, reset),
        cmocka_unit_test_teardown(test_a_nul_and_every_truncation, reset),
        cmocka_unit_test_teardown(test_errors_name_field_value_and_limit, reset),
        cmocka_unit_test_teardown(test_no_memory_is_no_verdict, reset),
        cmocka_unit_test_teardown(test_the_arena, reset),
        cmocka_unit_test_teardown(test_reason_names, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
