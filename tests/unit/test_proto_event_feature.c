/* Features of items: what a description gives, in which order, and where it is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/unit/event_decode.h"

/* The members of an item event must give exactly these features, in order, and leave out so many. */
static void gives(const char *members, const char *const *expected, size_t n, size_t left_out) {
    char json[4096];
    struct event ev;
    snprintf(json, sizeof json, "{\"type\":\"item\",\"item\":\"i\",\"ts\":1,%s}", members);
    assert_int_equal(decode(json, &ev), EVENT_OK);
    for (size_t k = 0; k < ev.n_features && k < n; k++) is_text(ev.features[k], expected[k]);
    assert_int_equal(ev.n_features, n);
    assert_int_equal(ev.n_left_out, left_out);
}
#define GIVES(members, left_out, ...)                                                                                  \
    gives(members, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),    \
          left_out)

static void test_categories_give_each_prefix(void **state) {
    (void)state;
    GIVES("\"categories\":[\"shoes/running/trail\",\"sale\",7]", 0, "cat:shoes", "cat:shoes/running",
          "cat:shoes/running/trail", "cat:sale", "cat:7");
    GIVES("\"categories\":[\"Apparel > Shoes >Boots\",\"/a//b/\",\"a/b\",\" a \"]", 0, "cat:Apparel",
          "cat:Apparel/Shoes", "cat:Apparel/Shoes/Boots", "cat:a", "cat:a/b");
    GIVES("\"categories\":[\"1/2/3/4/5/6/7/8/9\"]", 1, "cat:1", "cat:1/2", "cat:1/2/3", "cat:1/2/3/4", "cat:1/2/3/4/5",
          "cat:1/2/3/4/5/6", "cat:1/2/3/4/5/6/7", "cat:1/2/3/4/5/6/7/8");
}

static void test_values_come_as_they_are(void **state) {
    (void)state;
    GIVES("\"features\":{\"brand\":\"Acme Inc\",\"colours\":[\"red\",\"blue\",\"red\",null],\"year\":1995,\"w\":1.50,"
          "\"new\":true,\"old\":false,\"none\":null,\"empty\":\"\",\"e\\u0301\":\"\\u00e9\"}",
          0, "f:brand=Acme Inc", "f:colours=red", "f:colours=blue", "f:year=1995", "f:w=1.50", "f:new=true",
          "f:old=false", "f:e\xcc\x81=\xc3\xa9");
    GIVES("\"features\":{\"\":\"x\"}", 0, "f:x");
}

static void test_bands_double(void **state) {
    (void)state;
    GIVES("\"features\":{\"price\":[0.99,1,1.99,2,63.9,64,1e12,\"49.9\"]}", 0, "band:price=-1", "band:price=0",
          "band:price=1", "band:price=5", "band:price=6", "band:price=39");
    GIVES("\"features\":{\"price\":[0,-5,0.0001,1e-320,\"free\",true]}", 0, "band:price=-14", "band:price=-1023",
          "f:price=free", "f:price=true");
    /* a number in text ends where the text ends, whatever stands behind it; too many digits are left out */
    GIVES("\"features\":{\"price\":[\"1234567890123456789\\u0030\",\"12345678901234567\"],\"q\":\"9\"}", 0,
          "band:price=63", "band:price=53", "f:q=9");
    GIVES("\"features\":{\"price\":\"1234567890123456789012345678901234567890123456789012345678901234\",\"a\":1}", 1,
          "f:a=1");
}

static void test_words_are_small_and_known_once(void **state) {
    (void)state;
    GIVES(
        "\"features\":{\"title\":\"Red SHOE, red shoe's x 42 M\\u00dcNCHEN\\u2014\\u00c9t\\u00e9\",\"name\":\"shoe\"}",
        0, "word:red", "word:shoe", "word:42", "word:m\xc3\xbcnchen", "word:\xc3\xa9t\xc3\xa9");
    GIVES("\"features\":{\"title\":\"\\u0416\\u0423\\u041a \\u0401\\u0436 \\u03a3\\u039f\\u03a6 \\u0141\\u00d3D\\u0179 "
          "\\u0130I \\u0178a \\u65e5\\u672c\\uff0c\\ud83d\\ude00\"}",
          0, "word:\xd0\xb6\xd1\x83\xd0\xba", "word:\xd1\x91\xd0\xb6", "word:\xcf\x83\xce\xbf\xcf\x86",
          "word:\xc5\x82\xc3\xb3\x64\xc5\xba", "word:\xc4\xb0i", "word:\xc3\xbf\x61", "word:\xe6\x97\xa5\xe6\x9c\xac",
          "word:\xf0\x9f\x98\x80");
    GIVES("\"features\":{\"title\":\"a23456789012345678901234567890123456789z bb "
          "a234567890123456789012345678901234567890z\"}",
          1, "word:a23456789012345678901234567890123456789z", "word:bb");
    GIVES("\"features\":{\"title\":[7,\"seven\"]}", 0, "f:title=7", "word:seven");
}

static void test_words_come_last(void **state) {
    (void)state;
    GIVES("\"features\":{\"title\":\"one two\",\"brand\":\"b\"},\"categories\":[\"c\"]", 0, "cat:c", "f:brand=b",
          "word:one", "word:two");
}

static void test_bounds_are_counted(void **state) {
    (void)state;
    char members[4096];
    struct event ev;
    size_t n = (size_t)snprintf(members, sizeof members, "{\"type\":\"item\",\"item\":1,\"features\":{\"a\":[");
    for (int k = 0; k < 300; k++) n += (size_t)snprintf(members + n, sizeof members - n, "%s%d", k ? "," : "", k);
    snprintf(members + n, sizeof members - n, "]}}");
    assert_int_equal(decode(members, &ev), EVENT_OK);
    assert_int_equal(ev.n_features, EVENT_MAX_FEATURES);
    assert_int_equal(ev.n_left_out, 300 - EVENT_MAX_FEATURES);
    is_text(ev.features[63], "f:a=63");

    char text[EVENT_MAX_FEATURE + 1];
    memset(text, 'x', EVENT_MAX_FEATURE);
    for (size_t over = 0; over < 2; over++) { /* f:a= takes four bytes */
        text[EVENT_MAX_FEATURE - 4 + over] = '\0';
        snprintf(members, sizeof members, "{\"type\":\"item\",\"item\":1,\"features\":{\"a\":\"%s\"}}", text);
        assert_int_equal(decode(members, &ev), EVENT_OK);
        assert_int_equal(ev.n_features, 1 - over);
        assert_int_equal(ev.n_left_out, over);
        text[EVENT_MAX_FEATURE - 4 + over] = 'x';
    }
    n = (size_t)snprintf(members, sizeof members, "{\"type\":\"item\",\"item\":1,\"features\":{\"title\":\"");
    for (int k = 0; k < 40; k++) n += (size_t)snprintf(members + n, sizeof members - n, "w%d ", k);
    snprintf(members + n, sizeof members - n, "\"}}");
    assert_int_equal(decode(members, &ev), EVENT_OK);
    assert_int_equal(ev.n_features, 32);
    assert_int_equal(ev.n_left_out, 8);
}

static void test_only_items_and_users_have_features(void **state) {
    (void)state;
    struct event ev;
    assert_int_equal(decode("{\"type\":\"user\",\"user\":1,\"features\":{\"a\":1,\"b\":[\"x\",\"y\"]},"
                            "\"categories\":[\"vip/gold\"]}",
                            &ev),
                     EVENT_OK);
    assert_int_equal(ev.n_features, 5);
    assert_true(slice_equal(ev.features[0], slice_str("cat:vip")));
    assert_true(slice_equal(ev.features[1], slice_str("cat:vip/gold")));
    assert_true(slice_equal(ev.features[2], slice_str("f:a=1")));
    assert_true(slice_equal(ev.features[4], slice_str("f:b=y")));
    assert_int_equal(decode("{\"type\":\"user\",\"user\":1,\"categories\":\"vip\"}", &ev), EVENT_BAD_FIELD);
    assert_int_equal(decode("{\"type\":\"user\",\"user\":1}", &ev), EVENT_OK);
    assert_int_equal(ev.n_features, 0);
    assert_int_equal(
        decode("{\"type\":\"click\",\"user\":1,\"item\":1,\"features\":{\"a\":1},\"categories\":[1]}", &ev), EVENT_OK);
    assert_int_equal(ev.n_features, 0);
    assert_int_equal(decode("{\"type\":\"item\",\"item\":1,\"features\":{},\"categories\":null}", &ev), EVENT_OK);
    assert_int_equal(ev.n_features, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_categories_give_each_prefix, reset),
        cmocka_unit_test_teardown(test_values_come_as_they_are, reset),
        cmocka_unit_test_teardown(test_bands_double, reset),
        cmocka_unit_test_teardown(test_words_are_small_and_known_once, reset),
        cmocka_unit_test_teardown(test_words_come_last, reset),
        cmocka_unit_test_teardown(test_bounds_are_counted, reset),
        cmocka_unit_test_teardown(test_only_items_and_users_have_features, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
