/* The parts of the API that need no socket: numbers and lists of queries, lines for Kafka, lag, metrics' text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api_event_line.h"
#include "daemon/api_lag.h"
#include "daemon/api_metrics.h"
#include "daemon/api_priv.h"
#include "lib/base/mem.h"

static void integers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } table[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"20", true, 20},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"-0", false, 0},
        {"+1", false, 0},
        {"01", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1e3", false, 0},
        {"0x10", false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int64_t v = 77;
        assert_int_equal(table[i].good, api_parse_int(table[i].text, &v));
        assert_int_equal(table[i].good ? table[i].value : 77, v);
    }
}

static int split(const char *text, struct slice *ids, size_t max, size_t *n) {
    struct err e;
    return api_split_list(slice_str(text), "exclude", ids, max, n, &e);
}

static void lists(void **state) {
    (void)state;
    struct slice ids[3];
    size_t n = 99;
    char longest[REQUEST_MAX_ID + 2];
    assert_int_equal(0, split("a,b b,\xc3\xa9", ids, 3, &n));
    assert_int_equal(3, n);
    assert_true(slice_is(ids[1], "b b"));
    assert_int_equal(0, split("one", ids, 3, &n));
    assert_int_equal(1, n);
    n = 99;
    assert_int_equal(ERR_FULL, split("a,b,c,d", ids, 3, &n));
    assert_int_equal(ERR_RANGE, split("", ids, 3, &n));
    assert_int_equal(ERR_RANGE, split("a,,b", ids, 3, &n));
    assert_int_equal(ERR_RANGE, split("a,", ids, 3, &n));
    assert_int_equal(ERR_SYNTAX, split("a,\xff", ids, 3, &n));
    assert_int_equal(99, n);
    memset(longest, 'x', sizeof longest);
    longest[REQUEST_MAX_ID] = '\0';
    assert_int_equal(0, split(longest, ids, 3, &n));
    longest[REQUEST_MAX_ID] = 'x';
    longest[REQUEST_MAX_ID + 1] = '\0';
    assert_int_equal(ERR_RANGE, split(longest, ids, 3, &n));
}

static void lines_for_kafka(void **state) {
    (void)state;
    static const struct {
        const char *json;
        int64_t ts_ms;
        const char *line;
    } table[] = {
        {"{\"user\":\"u\"}", EVENT_NO_TIME, "{\"user\":\"u\"}"},
        {" {\n \"user\":\"u\",\r\n \"item\":1\n}\t", EVENT_NO_TIME, "{  \"user\":\"u\",   \"item\":1 }"},
        {"{\"user\":\"u\"}", 1700000000123, "{\"ts\":1700000000123,\"user\":\"u\"}"},
        {"{\n\"user\":\n\"u\\n\" }", 5, "{\"ts\":5,\"user\": \"u\\n\"}"},
        {"{ }", 5, "{\"ts\":5}"},
        {"{}", EVENT_NO_TIME, "{}"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf out;
        buf_init(&out, 1000);
        api_event_as_came(slice_str(table[i].json), table[i].ts_ms, "ts", &out);
        assert_false(out.failed);
        assert_string_equal(table[i].line, out.p);
        buf_free(&out);
    }
}

static void lag_in_time(void **state) {
    (void)state;
    struct api_lag_track t = {.n = 0};
    assert_int_equal(0, api_lag_note(&t, 10, 10, 100));
    assert_int_equal(0, api_lag_note(&t, 10, 20, 200)); /* seen just now */
    assert_int_equal(100, api_lag_note(&t, 10, 30, 300));
    assert_int_equal(200, api_lag_note(&t, 19, 30, 400)); /* what came at 200 is not through */
    assert_int_equal(200, api_lag_note(&t, 20, 30, 500)); /* it is: now it is what came at 300 */
    assert_int_equal(0, api_lag_note(&t, 30, 30, 600));
    assert_int_equal(0, t.n);
    assert_int_equal(0, api_lag_note(&t, 5, 40, 700)); /* another log: lag counts from now */
    assert_int_equal(0, api_lag_note(&t, 50, 40, 800));
    assert_int_equal(0, t.n);
}

/* Far more samples than room: memory stays, the lag stays right to within the coarseness. */
static void lag_over_a_long_time(void **state) {
    (void)state;
    struct api_lag_track t = {.n = 0};
    uint64_t now = 1000;
    for (uint64_t end = 1; end <= 100000; end++, now++) assert_int_equal(now - 1000, api_lag_note(&t, 0, end, now));
    assert_in_range(t.n, 2, API_LAG_SAMPLES);
    uint64_t half = api_lag_note(&t, 50000, 100000, now), most = 0;
    assert_in_range(half, 50000, 100000); /* never less than the truth */
    for (size_t i = 1; i < t.n; i++) {
        assert_true(t.points[i].end > t.points[i - 1].end && t.points[i].since_ns > t.points[i - 1].since_ns);
        if (t.points[i].since_ns - t.points[i - 1].since_ns > most)
            most = t.points[i].since_ns - t.points[i - 1].since_ns;
    }
    assert_in_range(half, 50000, 50000 + most + 1);
}

static void lag_of_sources(void **state) {
    (void)state;
    struct source *s = calloc(2, sizeof *s);
    struct err e;
    assert_non_null(s);
    assert_int_equal(0, source_init(&s[0], "log", 0, -1, &e));
    assert_int_equal(0, source_init(&s[1], "kafka:clicks", 0, -1, &e));
    struct api_lag *l = api_lag_new(s, 2);
    assert_non_null(l);
    assert_int_equal(0, api_lag_tick(l, 1000));
    assert_int_equal(0, api_lag_ns(l, 1, 3));
    atomic_store(&s[0].n_partitions, 1);
    atomic_store(&s[1].n_partitions, 4);
    atomic_store(&s[0].end[0], 301);
    atomic_store(&s[0].sent[0], 1);
    atomic_store(&s[1].end[3], 7);
    assert_int_equal(0, api_lag_tick(l, 2000));
    atomic_store(&s[0].sent[0], 301);
    assert_int_equal(500, api_lag_tick(l, 2500));
    assert_int_equal(0, api_lag_ns(l, 0, 0));
    assert_int_equal(500, api_lag_ns(l, 1, 3));
    atomic_store(&s[0].sent[0], 1);
    assert_int_equal(3, api_lag_now(&s[0], 0, 100).events);
    assert_true(api_lag_now(&s[0], 0, 100).bytes);
    assert_int_equal(1, api_lag_now(&s[0], 0, 1e6).events); /* something waits: never shown as 0 */
    assert_int_equal(7, api_lag_now(&s[1], 3, 100).events);
    mem_fail_at(1);
    atomic_store(&s[1].n_partitions, 5);
    (void)api_lag_tick(l, 3000);
    mem_fail_at(0);
    assert_int_equal(0, api_lag_ns(l, 1, 4));
    (void)api_lag_tick(l, 3000); /* and now it is there */
    assert_int_equal(1000, api_lag_ns(l, 1, 3));
    api_lag_free(l);
    source_done(&s[0]);
    source_done(&s[1]);
    free(s);
}

static void metrics_text(void **state) {
    (void)state;
    struct histogram h = {.count = 0};
    struct buf out;
    buf_init(&out, 1u << 16);
    histogram_add(&h, 10000);
    histogram_add(&h, 10001);
    histogram_add(&h, UINT64_C(1) << 50);
    api_metric(&out, "rankd_items", "", 3);
    api_metric(&out, "rankd_lag_seconds", "source=\"log\"", 0.25);
    api_metric_histogram(&out, "rankd_x_seconds", "", &h);
    api_metric_histogram(&out, "rankd_y_seconds", "route=\"GET /\"", &h);
    assert_false(out.failed);
    assert_non_null(strstr(out.p, "rankd_items 3\n"));
    assert_non_null(strstr(out.p, "rankd_lag_seconds{source=\"log\"} 0.25\n"));
    assert_non_null(strstr(out.p, "rankd_x_seconds_bucket{le=\"1e-05\"} 1\n"));
    assert_non_null(strstr(out.p, "rankd_x_seconds_bucket{le=\"2e-05\"} 2\n"));
    assert_non_null(strstr(out.p, "rankd_x_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(out.p, "\nrankd_x_seconds_sum 1125899.906"));
    assert_non_null(strstr(out.p, "\nrankd_x_seconds_count 3\n"));
    assert_non_null(strstr(out.p, "\nrankd_y_seconds_bucket{route=\"GET /\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(out.p, "\nrankd_y_seconds_count{route=\"GET /\"} 3\n"));
    buf_free(&out);
}

static void metric_names(void **state) {
    (void)state;
    static const struct {
        const char *name, *type, *unit;
    } all[] = {
#undef METRIC
#define METRIC(name, type, unit, help, expression)            {#name, #type, #unit},
#define METRIC_SET(name, type, unit, help, labels, collector) {#name, #type, #unit},
#define METRIC_HISTOGRAM(name, unit, help, expression)        {#name, "histogram", #unit},
#include "daemon/metrics.def"
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        size_t n = strlen(all[i].name);
        bool total = n > 6 && strcmp(all[i].name + n - 6, "_total") == 0;
        assert_int_equal(0, strncmp(all[i].name, "rankd_", 6));
        if (total != (strcmp(all[i].type, "counter") == 0)) fail_msg("%s: counters end in _total", all[i].name);
        bool measured = strcmp(all[i].unit, "bytes") == 0 || strcmp(all[i].unit, "seconds") == 0;
        if (measured && !strstr(all[i].name, all[i].unit)) fail_msg("%s: unit %s", all[i].name, all[i].unit);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(all[i].name, all[k].name);
    }
}

static void routes(void **state) {
    (void)state;
    for (size_t i = 0; i < api_n_routes; i++) {
        bool admin = strncmp(api_routes[i].path, "/admin/", 7) == 0;
        assert_int_equal(i >= api_n_public, admin);
        assert_int_equal(admin, api_routes[i].scope == HTTP_ADMIN);
        bool events = strcmp(api_routes[i].path, "/v1/events") == 0;
        assert_int_equal(events, api_routes[i].scope == HTTP_INGEST);
        for (size_t k = 0; k < i; k++)
            assert_false(strcmp(api_routes[i].path, api_routes[k].path) == 0 &&
                         api_routes[i].method == api_routes[k].method);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(lists),
        cmocka_unit_test(lines_for_kafka),
        cmocka_unit_test(lag_in_time),
        cmocka_unit_test(lag_over_a_long_time),
        cmocka_unit_test(lag_of_sources),
        cmocka_unit_test(metrics_text),
        cmocka_unit_test(metric_names),
        cmocka_unit_test(routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
