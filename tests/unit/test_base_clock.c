/* Clocks: RFC 3339 in both directions against the C library's calendar, and everything that is not RFC 3339. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"

static void assert_parses(const char *text, int64_t want) {
    int64_t ms = -1;
    if (!clock_parse(slice_str(text), &ms)) fail_msg("%s is refused", text);
    if (ms != want) fail_msg("%s is %lld, want %lld", text, (long long)ms, (long long)want);
}

static void assert_refused(struct slice s) {
    int64_t ms = 4711;
    if (clock_parse(s, &ms)) fail_msg("%.*s is accepted", (int)s.n, s.p);
    assert_int_equal(ms, 4711);
}

static void parses_all_forms(void **state) {
    (void)state;
    assert_parses("1970-01-01T00:00:00Z", 0);
    assert_parses("2023-11-14T22:13:20Z", INT64_C(1700000000000));
    assert_parses("2023-11-14 22:13:20Z", INT64_C(1700000000000));
    assert_parses("2023-11-14t22:13:20z", INT64_C(1700000000000));
    assert_parses("2023-11-14T23:13:20+01:00", INT64_C(1700000000000));
    assert_parses("2023-11-14T16:43:20-05:30", INT64_C(1700000000000));
    assert_parses("2023-11-14T22:13:20-00:00", INT64_C(1700000000000));
    assert_parses("2023-11-15T22:12:20+23:59", INT64_C(1700000000000));
    assert_parses("2000-02-29T00:00:00Z", INT64_C(951782400000));
    assert_parses("9999-12-31T23:59:59.999Z", CLOCK_MS_MAX);
    assert_parses("1969-12-31T23:30:00-01:00", 1800000);
}

static void cuts_fractions_to_milliseconds(void **state) {
    (void)state;
    assert_parses("1970-01-01T00:00:01.2Z", 1200);
    assert_parses("1970-01-01T00:00:01.25Z", 1250);
    assert_parses("1970-01-01T00:00:01.256Z", 1256);
    assert_parses("1970-01-01T00:00:01.2569999999999999999999999999999999999999Z", 1256);
    assert_parses("1970-01-01T00:00:01.0009Z", 1000);
    assert_parses("9999-12-31T23:59:59.9999999Z", CLOCK_MS_MAX);
}

static void a_leap_second_is_the_second_before(void **state) {
    (void)state;
    assert_parses("2016-12-31T23:59:60Z", INT64_C(1483228799000));
    assert_parses("2016-12-31T15:59:60.500-08:00", INT64_C(1483228799500));
    assert_parses("2017-01-01T00:59:60+01:00", INT64_C(1483228799000));
    assert_refused(slice_str("2016-12-31T22:59:60Z"));
    assert_refused(slice_str("2016-12-31T23:58:60Z"));
    assert_refused(slice_str("2016-12-31T23:59:60+01:00"));
    assert_refused(slice_str("2016-12-31T23:59:61Z"));
}

static void refuses_what_is_not_rfc_3339(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20 Z",
        " 2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20Z ",
        "2023-11-14T22:13:20ZZ",
        "2023-11-14X22:13:20Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20,5Z",
        "2023-11-14T22:13:20.+1:00",
        "2023-11-14T22:13:20+0100",
        "2023-11-14T22:13:20+01",
        "2023-11-14T22:13:20+24:00",
        "2023-11-14T22:13:20+01:60",
        "2023-11-14T22:13:20+-1:00",
        "23-11-14T22:13:20Z",
        "+2023-11-14T22:13:20Z",
        "-202-11-14T22:13:20Z",
        "20231114T221320Z",
        "2023-1-14T22:13:20Z",
        "2023-00-14T22:13:20Z",
        "2023-13-14T22:13:20Z",
        "2023-11-00T22:13:20Z",
        "2023-11-31T22:13:20Z",
        "2023-02-29T22:13:20Z",
        "1900-02-29T22:13:20Z",
        "2100-02-29T22:13:20Z",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:60:00Z",
        "2023-11-14T22:13:2\xD9\xA0Z",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_refused(slice_str(wrong[i]));
    assert_refused(slice_of("2023-11-14\0"
                            "22:13:20Z",
                            20));
    assert_refused(slice_of("2023-11-14T22:13:20\0", 20));
    const char *whole = "2023-11-14T22:13:20.123+01:00";
    for (size_t n = 0; n < strlen(whole); n++) assert_refused(slice_of(whole, n));
}

static void plain_times_are_utc(void **state) {
    (void)state;
    static const struct {
        const char *text, *means;
    } plain[] = {
        {"2014-04-01 03:08:52", "2014-04-01T03:08:52Z"},
        {"2014-04-01T03:08:52", "2014-04-01T03:08:52Z"},
        {"2014-04-01 03:08:52.9876", "2014-04-01T03:08:52.987Z"},
        {"2011-12-01 08:26", "2011-12-01T08:26:00Z"},
        {"2014-04-01", "2014-04-01T00:00:00Z"},
        {"1970-01-01", "1970-01-01T00:00:00Z"},
        {"2016-12-31 23:59:60", "2016-12-31T23:59:60Z"},
        {"2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20Z"},
    };
    static const char *const wrong[] = {
        "",
        "2014",
        "2014-04",
        "2014-04-01 ",
        "2014-04-01 03",
        "2014-04-01 03:08:",
        "2014-04-01 03:08:52.",
        "2014-04-01 03:08:52,5",
        "2014-04-01 03:08:52 ",
        "2014-04-01  03:08:52",
        "2014-04-01 3:08",
        "2014-04-01 03:08Z",
        "2014-04-01Z",
        "2014-04-01 03:08 PM",
        "2014-04-01 03:08:52 UTC",
        "2014-04-31",
        "2014-04-01 24:00",
        "2014-04-01 12:59:60",
        "01.04.2014",
        "4/1/2014 3:08",
        "20140401",
        "1969-12-31",
    };
    int64_t ms, want;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        assert_true(clock_parse(slice_str(plain[i].means), &want));
        if (!clock_parse_plain(slice_str(plain[i].text), &ms)) fail_msg("%s is refused", plain[i].text);
        assert_true(ms == want);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ms = 4711;
        if (clock_parse_plain(slice_str(wrong[i]), &ms)) fail_msg("%s is accepted", wrong[i]);
        assert_int_equal(ms, 4711);
    }
}

static void refuses_what_lies_outside_the_range(void **state) {
    (void)state;
    assert_refused(slice_str("1969-12-31T23:59:59.999Z"));
    assert_refused(slice_str("1970-01-01T00:59:59+01:00"));
    assert_refused(slice_str("0000-01-01T00:00:00Z"));
    assert_refused(slice_str("9999-12-31T23:59:59-00:01"));
}

static void assert_both_ways(int64_t ms) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char want[80], text[32];
    int64_t back = -1;
    assert_non_null(gmtime_r(&seconds, &tm));
    snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
    clock_format(ms, text);
    if (strcmp(text, want) != 0) fail_msg("%s, want %s", text, want);
    assert_true(clock_parse(slice_str(text), &back));
    assert_int_equal(back, ms);
}

static void every_day_agrees_with_the_c_library(void **state) {
    (void)state;
    const int64_t day = 86400000;
    assert_both_ways(CLOCK_MS_MIN);
    assert_both_ways(CLOCK_MS_MAX);
    for (int64_t d = 0; d < CLOCK_MS_MAX / day; d++) {
        if (d > 60000 && d % 29 != 0) continue; /* all until 2134, then some of each month */
        assert_both_ways(d * day);
        assert_both_ways(d * day + day - 1);
        assert_both_ways(d * day + (d * 7919 * 1009) % day);
    }
}

static int64_t fixed(void) { return 1234; }

static void clocks_run_and_can_be_replaced(void **state) {
    (void)state;
    int64_t before = (int64_t)time(NULL) * 1000;
    int64_t now = clock_wall_ms();
    assert_true(now >= before - 1000 && now <= before + 60000);
    uint64_t steady = clock_steady_ns(), last = steady;
    while (last == steady) {
        last = clock_steady_ns();
        assert_true(last >= steady);
    }
    clock_replace(fixed);
    assert_int_equal(clock_wall_ms(), 1234);
    assert_int_equal(clock_steady_ns(), 1234000000);
    clock_replace(NULL);
    assert_true(clock_wall_ms() >= now);
    assert_true(clock_steady_ns() >= last);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_all_forms),
        cmocka_unit_test(cuts_fractions_to_milliseconds),
        cmocka_unit_test(a_leap_second_is_the_second_before),
        cmocka_unit_test(refuses_what_is_not_rfc_3339),
        cmocka_unit_test(plain_times_are_utc),
        cmocka_unit_test(refuses_what_lies_outside_the_range),
        cmocka_unit_test(every_day_agrees_with_the_c_library),
        cmocka_unit_test(clocks_run_and_can_be_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
