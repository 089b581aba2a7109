/* Times and numbers of events: the three forms, exactness to the millisecond, the range, against naive twins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "tests/unit/event_decode.h"

#define REFUSED INT64_C(-1)

static int64_t time_of(const char *ts) {
    char json[512];
    struct event ev;
    snprintf(json, sizeof json, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"ts\":%s}", ts);
    enum event_reason r = decode(json, &ev);
    if (r == EVENT_OK) return ev.ts_ms;
    assert_int_equal(r, EVENT_BAD_TIME);
    return REFUSED;
}

static void test_the_three_forms(void **state) {
    (void)state;
    static const struct {
        const char *ts;
        int64_t ms;
    } cases[] = {
        {"1700000000", INT64_C(1700000000000)},
        {"1700000000123", INT64_C(1700000000123)},
        {"\"2023-11-14T22:13:20.123Z\"", INT64_C(1700000000123)},
        {"\"2023-11-14T23:13:20.1239+01:00\"", INT64_C(1700000000123)},
        {"\"2023-11-14 22:13:20z\"", INT64_C(1700000000000)},
        {"\"1700000000\"", INT64_C(1700000000000)},
        {"\"1700000000123\"", INT64_C(1700000000123)},
        {"\"1396321341.719\"", INT64_C(1396321341719)},
        {"1396321341.719", INT64_C(1396321341719)},
        {"1396321341.7199999", INT64_C(1396321341719)},
        {"1396321341.000999", INT64_C(1396321341000)},
        {"1700000000123.9", INT64_C(1700000000123)},
        {"1.7e9", INT64_C(1700000000000)},
        {"17E+8", INT64_C(1700000000000)},
        {"17000000001235e-4", INT64_C(1700000000123)},
        {"1.700000000123e12", INT64_C(1700000000123)},
        {"0", 0},
        {"-0", 0},
        {"0.0e99", 0},
        {"0.001", 1},
        {"0.0009", 0},
        {"1e-400", 0},
        {"0.00000012e4", 1},
        {"99999999999", INT64_C(99999999999000)},      /* the last second */
        {"99999999999.9999", INT64_C(99999999999999)}, /* still seconds */
        {"100000000000", INT64_C(100000000000)},       /* the first millisecond: 1973 */
        {"253402300799999", INT64_C(253402300799999)},
        {"253402300799999.99999", INT64_C(253402300799999)},
        {"\"9999-12-31T23:59:59.999Z\"", INT64_C(253402300799999)},
        {"253402300800000", REFUSED},
        {"999999999999999", REFUSED},
        {"1000000000000000", REFUSED},
        {"1e15", REFUSED},
        {"1e300", REFUSED},
        {"-1", REFUSED},
        {"-0.0001", REFUSED},
        {"-1700000000123", REFUSED},
        {"null", REFUSED},
        {"true", REFUSED},
        {"\"\"", REFUSED},
        {"\"now\"", REFUSED},
        {"\" 1700000000\"", REFUSED},
        {"\"1700000000 \"", REFUSED},
        {"\"01700000000\"", REFUSED},
        {"\"+1700000000\"", REFUSED},
        {"\"1700000000.\"", REFUSED},
        {"\"1e\"", REFUSED},
        {"\"0x10\"", REFUSED},
        {"\"-5\"", REFUSED},
        {"\"2023-02-29T00:00:00Z\"", REFUSED},
        {"\"2023-11-14\"", REFUSED},
        {"\"2023-11-14T22:13:20\"", REFUSED},
        {"\"1969-12-31T23:59:59Z\"", REFUSED},
        {"[]", REFUSED},
        {"{\"a\":1}", REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = time_of(cases[i].ts);
        if (ms != cases[i].ms)
            fail_msg("%s gives %lld instead of %lld", cases[i].ts, (long long)ms, (long long)cases[i].ms);
    }
}

static uint64_t next(uint64_t *x) {
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return *x;
}

/* Every way to write the same moment gives it, to the millisecond; through a double 1 in 100 would be off. */
static void test_written_times_are_exact(void **state) {
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int k = 0; k < 5000; k++) {
        const int64_t ms = (int64_t)(next(&x) % 99999999999999u), s = ms / 1000, part = ms % 1000;
        char text[64];
        snprintf(text, sizeof text, "%lld.%03lld", (long long)s, (long long)part);
        assert_int_equal(time_of(text), ms);
        snprintf(text, sizeof text, "\"%lld.%03lld9999\"", (long long)s, (long long)part);
        assert_int_equal(time_of(text), ms);
        snprintf(text, sizeof text, "%lld%03llde-3", (long long)s, (long long)part);
        if (s > 0) assert_int_equal(time_of(text), ms);
        snprintf(text, sizeof text, "0.00%011lld%03llde13", (long long)s, (long long)part);
        assert_int_equal(time_of(text), ms);
        if (ms >= INT64_C(100000000000)) {
            snprintf(text, sizeof text, "%lld", (long long)ms);
            assert_int_equal(time_of(text), ms);
        }
    }
}

static double value_of(const char *number) {
    char json[512];
    struct event ev;
    snprintf(json, sizeof json, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"value\":%s}", number);
    assert_int_equal(decode(json, &ev), EVENT_OK);
    return ev.value;
}

static void test_numbers_are_rounded_correctly(void **state) {
    (void)state;
    static const char *const cases[] = {
        "0",
        "1",
        "0.1",
        "-0.5",
        "3.14159265358979",
        "3.141592653589793238462643383279",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "9007199254740993",
        "9007199254740992",
        "1e308",
        "1.7976931348623157e308",
        "2.2250738585072011e-308",
        "5e-324",
        "2e-324",
        "1e-400",
        "-1e-400",
        "123456789012345e22",
        "123456789012345e-22",
        "123456789012345678901234567890",
        "0.000001e6",
        "100e-2",
        "0.30000000000000004",
        "8.5e-10",
        "999999999999999.5",
        "1.00e1",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double naive = strtod(cases[i], NULL) + 0.0, v = value_of(cases[i]);
        if (!tools_same_double(v, naive)) fail_msg("%s gives %.17g instead of %.17g", cases[i], v, naive);
    }
    uint64_t x = 362436069;
    for (int k = 0; k < 20000; k++) {
        char text[64];
        const uint64_t m = next(&x) >> (next(&x) % 60);
        const int digits = (int)(next(&x) % 20), power = (int)(next(&x) % 61) - 30;
        snprintf(text, sizeof text, "%s%llu.%0*llue%d", next(&x) & 1 ? "-" : "", (unsigned long long)m, digits + 1,
                 (unsigned long long)(next(&x) % 10), power);
        const double naive = strtod(text, NULL) + 0.0, v = value_of(text);
        if (!tools_same_double(v, naive)) fail_msg("%s gives %.17g instead of %.17g", text, v, naive);
    }
    assert_false(signbit(value_of("-0")));
    assert_false(signbit(value_of("-0.0e5")));
}

static void test_where_the_time_comes_from(void **state) {
    (void)state;
    struct event_context c = tools_context(&rules);
    struct event ev;
    const char *bare = "{\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}",
               *gone = "{\"type\":\"delete\",\"user\":\"u\"}",
               *arrived = "{\"_arrival\":1600000000000,\"type\":\"click\",\"user\":\"u\",\"item\":\"i\"}",
               *both = "{\"_arrival\":1600000000000,\"type\":\"click\",\"user\":\"u\",\"item\":\"i\",\"ts\":5}";
    assert_int_equal(decode_in(&c, bare, strlen(bare), &ev, NULL), EVENT_OK);
    assert_int_equal(ev.ts_ms, TOOLS_RECORD_MS);
    assert_int_equal(decode_in(&c, gone, strlen(gone), &ev, NULL), EVENT_OK);
    assert_int_equal(ev.ts_ms, TOOLS_RECORD_MS);
    c.record_ms = EVENT_NO_TIME;
    assert_int_equal(decode_in(&c, bare, strlen(bare), &ev, NULL), EVENT_NO_TIME_AT_ALL);
    assert_int_equal(decode_in(&c, gone, strlen(gone), &ev, NULL), EVENT_NO_TIME_AT_ALL);
    c.own_log = true;
    assert_int_equal(decode_in(&c, arrived, strlen(arrived), &ev, NULL), EVENT_OK);
    assert_int_equal(ev.ts_ms, INT64_C(1600000000000));
    assert_int_equal(ev.arrival_ms, INT64_C(1600000000000));
    assert_int_equal(decode_in(&c, both, strlen(both), &ev, NULL), EVENT_OK);
    assert_int_equal(ev.ts_ms, 5000);
    assert_int_equal(ev.arrival_ms, INT64_C(1600000000000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_the_three_forms, reset),
        cmocka_unit_test_teardown(test_written_times_are_exact, reset),
        cmocka_unit_test_teardown(test_numbers_are_rounded_correctly, reset),
        cmocka_unit_test_teardown(test_where_the_time_comes_from, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
