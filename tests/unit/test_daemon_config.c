/* The configuration: layers, typed values, errors that say where, types, files and pass-through. */
#include "tests/unit/config_helpers.h"

/* ---- values and layers ---- */

static void defaults_stand_without_a_file(void **state) {
    (void)state;
    struct config c;
    loads(&c, NULL);
    assert_string_equal(c.data_dir, "/var/lib/rankd");
    assert_int_equal(c.dim, 64);
    assert_true(c.recent_share == 0.6);
    assert_int_equal(c.trend_ms[0], 6 * 3600000);
    assert_int_equal(c.trend_ms[2], INT64_C(30) * 86400000);
    assert_int_equal(c.max_event_bytes, 65536);
    assert_int_equal(c.write_budget, 16 << 20);
    assert_int_equal(c.ready_max_lag_ms, -1);
    assert_false(c.verify_at_start);
    assert_string_equal(c.kafka_brokers, "");
    assert_int_equal(c.n_files, 0);
    assert_int_equal(c.n_kafka_pass, 0);
    assert_int_equal(c.n_types, 4);
    static const char *const names[] = {"cart", "click", "purchase", "view"};
    static const double weights[] = {1.5, 1, 2, 1};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(c.types[i].name, names[i]);
        assert_true(c.types[i].weight == weights[i]);
        assert_true(c.types[i].history_weight == 1);
    }
    assert_true(config_own_log(&c));
    config_free(&c);
    config_free(&c); /* an empty one */
}

static void later_layers_win(void **state) {
    (void)state;
    struct config c;
    struct err e;
    static const char text[] = "[model]\ndim = 32\nnegatives = 10\nhistory = 5\nstep = 0.5\n";
    setenv("RANKD_MODEL_NEGATIVES", "11", 1);
    setenv("RANKD_MODEL_HISTORY", "6", 1);
    int rc = load(&c, &e, text, "model.history=7", " model . history = 8 ", "type.like.weight=3", NULL);
    unsetenv("RANKD_MODEL_NEGATIVES");
    unsetenv("RANKD_MODEL_HISTORY");
    assert_int_equal(rc, 0);
    assert_int_equal(c.dim, 32);
    assert_int_equal(c.negatives, 11);
    assert_int_equal(c.history, 8);
    assert_true(c.step == 0.5);
    assert_int_equal(c.n_types, 5);
    assert_string_equal(c.types[2].name, "like");
    assert_true(c.types[2].weight == 3);
    char place[96];
    snprintf(place, sizeof place, "dim = 32  # from file %s:2\n", path);
    const char *out = printed(&c);
    assert_has(out, place);
    assert_has(out, "negatives = 11  # from environment\n");
    assert_has(out, "history = 8  # from -o\n");
    assert_has(out, "user_items = 1024  # default\n");
    config_free(&c);
}

static void values_have_units(void **state) {
    (void)state;
    struct config c;
    loads(&c, "[events]\nmax_ahead = 90s ; a comment\nmax_clock_step=none # another\nmax_event_bytes = 70000\n"
              "[learner]\nuser_cache = 3GiB\nbatch_time = 20ms\n[checkpoint]\nwrite_budget = 64KiB/s\n"
              "[model]\nmu = -1.5e1\nseed = 9223372036854775807\n[http]\nready_max_lag = 0s\n"
              "[events]\nuser = a , b,c\n");
    assert_int_equal(c.max_ahead_ms, 90000);
    assert_int_equal(c.max_clock_step_ms, -1);
    assert_int_equal(c.max_event_bytes, 70000);
    assert_int_equal(c.user_cache_bytes, UINT64_C(3) << 30);
    assert_int_equal(c.batch_time_ms, 20);
    assert_int_equal(c.write_budget, 65536);
    assert_true(c.mu[0] == -15);
    assert_true(c.seed == INT64_MAX);
    assert_int_equal(c.ready_max_lag_ms, 0);
    assert_string_equal(c.field_user, "a,b,c");
    config_free(&c);
}

static void bad_values_are_refused_with_their_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int code, line;
        const char *part, *other;
    } cases[] = {
        {"[model]\n\n# c\ndim = x\n", ERR_SYNTAX, 4, "model.dim = x: not a whole number", "from 16 to 256"},
        {"[model]\ndim = 8\n", ERR_RANGE, 2, "model.dim = 8: out of range", "from 16 to 256"},
        {"[model]\ndim = 64.5\n", ERR_SYNTAX, 2, "not a whole number", "model.dim"},
        {"[model]\ndim =\n", ERR_SYNTAX, 2, "not a whole number", "model.dim"},
        {"[model]\nseed = 9223372036854775808\n", ERR_RANGE, 2, "too large", "model.seed"},
        {"[model]\nseed = 99999999999999999999999\n", ERR_SYNTAX, 2, "model.seed", "not"},
        {"[model]\nseed = -1\n", ERR_RANGE, 2, "out of range", "model.seed"},
        {"[model]\nstep = nan\n", ERR_SYNTAX, 2, "not a number", "model.step"},
        {"[model]\nstep = 1e999\n", ERR_RANGE, 2, "too large", "model.step"},
        {"[model]\nstep = 0x1\n", ERR_SYNTAX, 2, "not a number", "model.step"},
        {"[model]\nstep = 11\n", ERR_RANGE, 2, "out of range", "from 0.0001 to 10"},
        {"[events]\nmax_event_bytes = 64KB\n", ERR_SYNTAX, 2, "unit is missing or wrong", "KiB MiB GiB TiB"},
        {"[events]\nmax_event_bytes = 17MiB\n", ERR_RANGE, 2, "out of range", "256 to 16MiB"},
        {"[learner]\nuser_cache = 99999999TiB\n", ERR_RANGE, 2, "too large", "1TiB"},
        {"[learner]\nbatch_time = 10\n", ERR_SYNTAX, 2, "unit is missing or wrong", "ms s m h d"},
        {"[learner]\nbatch_time = none\n", ERR_SYNTAX, 2, "not a number with a unit", "1ms to 1s"},
        {"[learner]\nbatch_time = 2s\n", ERR_RANGE, 2, "out of range", "1ms to 1s"},
        {"[learner]\nbatch_time = -1ms\n", ERR_SYNTAX, 2, "not a number", "learner.batch_time"},
        {"[checkpoint]\nwrite_budget = 16MiB\n", ERR_SYNTAX, 2, "unit is missing or wrong", "MiB/s"},
        {"[rankd]\nverify_at_start = true\n", ERR_SYNTAX, 2, "neither yes nor no", "yes or no"},
        {"[rankd]\nlog_level = verbose\n", ERR_RANGE, 2, "not a choice", "debug|info|warn|error"},
        {"[rankd]\nlog_level = debug|info\n", ERR_RANGE, 2, "not a choice", "debug|info|warn|error"},
        {"[events]\nuser = a,,b\n", ERR_SYNTAX, 2, "empty entry", "events.user"},
        {"[events]\nuser = a,\n", ERR_SYNTAX, 2, "empty entry", "events.user"},
        {"[rankd]\ndata_dir = a\tb\n", ERR_SYNTAX, 2, "a control byte", "rankd.data_dir"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused_at(cases[i].text, cases[i].code, cases[i].line, cases[i].part, cases[i].other);
}

static void unknown_names_come_with_the_nearest(void **state) {
    (void)state;
    refused_at("[modle]\n", ERR_SYNTAX, 1, "unknown section [modle]", "[model]");
    refused_at("[types.like]\nweight = 1\n", ERR_SYNTAX, 1, "[types.like]", "[type.NAME]");
    refused_at("[model]\nnegatvies = 3\n", ERR_SYNTAX, 2, "unknown key negatvies in [model]", "is negatives");
    refused_at("[learner]\nmax_body = 3\n", ERR_SYNTAX, 2, "unknown key max_body", "max_body in [http]");
    refused_at("[model]\nDim = 64\n", ERR_SYNTAX, 2, "unknown key Dim", "is dim");
    refused_at("[type.like]\nwieght = 1\n", ERR_SYNTAX, 2, "unknown key wieght in [type.like]", "is weight");
    refused_at("[kafka]\nrdkafka. = 1\n", ERR_SYNTAX, 2, "unknown key rdkafka.", "[kafka]");
    refused_at("[model]\nweight = 1\n", ERR_SYNTAX, 2, "unknown key weight", "weight in [type.NAME]");
    refused_at("[an-uncommonly-long-section-name-of-more-than-49-bytes-x]\n", ERR_SYNTAX, 1, "49-bytes-x]",
               "unknown section");
}

static void lines_of_no_form_are_refused(void **state) {
    (void)state;
    refused_at("[model]\ndim = 64\n  32\n", ERR_SYNTAX, 3, "indented", "first column");
    refused_at("[model]\n\tdim = 64\n", ERR_SYNTAX, 2, "indented", "first column");
    refused_at("[model]\ndim\n", ERR_SYNTAX, 2, "neither a [section]", "key = value");
    refused_at("dim = 64\n", ERR_SYNTAX, 1, "before the first [section]", "");
    refused_at("[model\ndim = 64\n", ERR_SYNTAX, 1, "closing ]", "");
    refused_at("[model] dim = 64\n", ERR_SYNTAX, 1, "after the ]", "");
    refused_at("[model]\ndim = 64\n[http]\n[model]\nseed = 2\ndim = 64\n", ERR_SYNTAX, 6, "model.dim is set twice",
               ":2");
    struct config c;
    struct err e;
    write_file("[model]\ndim = 6\0004\n", 18);
    assert_int_equal(config_load(&c, path, NULL, 0, &e), ERR_SYNTAX);
    assert_has(e.text, ":2: a NUL byte");
    char *longest = malloc(10000);
    assert_non_null(longest);
    int n = snprintf(longest, 10000, "[rankd]\ndata_dir = /%05000d\n", 0);
    write_file(longest, (size_t)n);
    free(longest);
    assert_int_equal(config_load(&c, path, NULL, 0, &e), ERR_SYNTAX);
    assert_has(e.text, ":2: a line longer");
}

static void harmless_forms_are_read(void **state) {
    (void)state;
    struct config c;
    loads(&c, "\xEF\xBB\xBF[model] ; c\r\n\r\n  # indented comment\ndim=32\r\n;x\nnegatives : 5\n[http]");
    assert_int_equal(c.dim, 32);
    assert_int_equal(c.negatives, 5);
    config_free(&c);
    loads(&c, "");
    config_free(&c);
    loads(&c, "[rankd]\ndata_dir = /a#b;c"); /* marks without a space before them, no last newline */
    assert_string_equal(c.data_dir, "/a#b;c");
    config_free(&c);
}

static void files_that_cannot_be_read_are_refused(void **state) {
    (void)state;
    struct config c;
    struct err e;
    assert_int_equal(config_load(&c, "/nonexistent/rankd.conf", NULL, 0, &e), ERR_MISSING);
    assert_has(e.text, "/nonexistent/rankd.conf");
    assert_int_equal(config_load(&c, "/", NULL, 0, &e), ERR_IO);
}

static void overrides_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"model.dim", "section.key=value"},
        {"dim=3", "section.key=value"},
        {"model.dmi=32", "is dim"},
        {"moodel.dim=32", "[model]"},
        {"model.dim=3x", "-o: model.dim = 3x"},
        {"type.like=3", "section.key=value"},
        {"=", "section.key=value"},
        {"type.Like.weight=3", "1 to 32 of a-z"},
        {"rankd.data_dir=/a #b", "a comment"},
        {"rankd.data_dir=#b", "a comment"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config c;
        struct err e;
        if (load(&c, &e, NULL, cases[i].text, NULL) == 0) fail_msg("accepted: %s", cases[i].text);
        assert_has(e.text, cases[i].part);
    }
}

static void variables_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *name, *value, *part, *other;
    } cases[] = {
        {"RANKD_MODEL_DIMM", "32", "RANKD_MODEL_DIMM: unknown", "RANKD_MODEL_DIM"},
        {"RANKD_LOG_LEVEL", "info", "unknown variable", "RANKD_RANKD_LOG_LEVEL"},
        {"RANKD_TYPE_LIKE_WEIGHT", "2", "[type.NAME]", "not in the environment"},
        {"RANKD_TYPE_WEIGHT", "2", "[type.NAME]", "not in the environment"},
        {"RANKD_MODEL_DIM", "33x", "RANKD_MODEL_DIM: model.dim = 33x", "not a whole number"},
        {"RANKD_MODEL_DIM", "24", "RANKD_MODEL_DIM: model.dim = 24", "multiple of 16"},
        {"RANKD_RANKD_DATA_DIR", " /a", "white space", "rankd.data_dir"},
    };
    struct config c;
    struct err e;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv(cases[i].name, cases[i].value, 1);
        int rc = load(&c, &e, NULL, NULL);
        unsetenv(cases[i].name);
        if (rc == 0) fail_msg("accepted: %s", cases[i].name);
        assert_has(e.text, cases[i].part);
        assert_has(e.text, cases[i].other);
    }
    setenv("RANKD_TEST_ANYTHING", "x", 1);
    setenv("RANKD_EVENTS_USER", "visitor", 1);
    setenv("RANKD_KAFKA_RDKAFKA_SASL_PASSWORD", "a #b", 1);
    int rc = load(&c, &e, NULL, NULL);
    unsetenv("RANKD_TEST_ANYTHING");
    unsetenv("RANKD_EVENTS_USER");
    unsetenv("RANKD_KAFKA_RDKAFKA_SASL_PASSWORD");
    assert_int_equal(rc, 0);
    assert_string_equal(c.field_user, "visitor");
    assert_string_equal(c.kafka_pass[0].key, "sasl.password");
    assert_string_equal(c.kafka_pass[0].value, "a #b");
    config_free(&c);
}

/* ---- types, files, Kafka ---- */

static void types_change_the_defaults(void **state) {
    (void)state;
    struct config c;
    loads(&c,
          "[type.zoom]\n[type.click]\nweight = 0.25\n[type.cart]\nenabled = no\n[type.a-1_b]\nhistory_weight = 0\n");
    assert_int_equal(c.n_types, 5);
    assert_string_equal(c.types[0].name, "a-1_b");
    assert_true(c.types[0].history_weight == 0 && c.types[0].weight == 1);
    assert_string_equal(c.types[1].name, "click");
    assert_true(c.types[1].weight == 0.25);
    assert_string_equal(c.types[4].name, "zoom");
    config_free(&c);
    refused_at("[type.impression]\n", ERR_SYNTAX, 1, "[type.impression]", "rankd's own");
    refused_at("[type.delete]\n", ERR_SYNTAX, 1, "[type.delete]", "rankd's own");
    refused_at("[type.]\n", ERR_SYNTAX, 1, "1 to 32 of a-z", "");
    refused_at("[type.Like]\n", ERR_SYNTAX, 1, "1 to 32 of a-z", "");
    refused_at("[type.a.b]\n", ERR_SYNTAX, 1, "1 to 32 of a-z", "");
    refused_at("[type.a23456789012345678901234567890123]\n", ERR_SYNTAX, 1, "1 to 32 of a-z", "");
    refused_at(
        "[type.click]\nenabled=no\n[type.view]\nenabled=no\n[type.cart]\nenabled=no\n[type.purchase]\nenabled=no\n",
        ERR_RANGE, 0, "nothing to learn from", "enabled = no");
    loads(&c, "[type.a2345678901234567890123456789012]\n");
    config_free(&c);
}

static void bounds_of_types_and_files_hold(void **state) {
    (void)state;
    char text[2048];
    struct config c;
    size_t n = 0;
    for (int i = 0; i < 12; i++) n += (size_t)snprintf(text + n, sizeof text - n, "[type.t%d]\n", i);
    loads(&c, text);
    assert_int_equal(c.n_types, 16);
    config_free(&c);
    snprintf(text + n, sizeof text - n, "[type.more]\n");
    refused_at(text, ERR_FULL, 13, "[type.more]", "16 types");
    n = 0;
    for (int i = 0; i < 16; i++) n += (size_t)snprintf(text + n, sizeof text - n, "[file.f%d]\npath = /f%d\n", i, i);
    loads(&c, text);
    assert_int_equal(c.n_files, 16);
    assert_string_equal(c.files[0].allowed_types, "behaviour");
    config_free(&c);
    snprintf(text + n, sizeof text - n, "[file.more]\n");
    refused_at(text, ERR_FULL, 33, "[file.more]", "16 files");
}

static void pass_through_keeps_order_and_hides_secrets(void **state) {
    (void)state;
    struct config c;
    struct err e;
    static const char text[] = "[kafka]\nbrokers = k:9092\nrdkafka.sasl.username = bob\nrdkafka.fetch.wait.max.ms = 5\n"
                               "rdkafka.ssl.key.password = hush1\nrdkafka.ssl.ca.pem = hush2\nrdkafka.client.id = r\n"
                               "rdkafka.oauth.TOKEN.x = hush3\nrdkafka.sasl.oauthbearer.client.secret = hush4\n";
    assert_int_equal(load(&c, &e, text, "kafka.rdkafka.fetch.wait.max.ms=7", "kafka.rdkafka.debug=all", NULL), 0);
    assert_int_equal(c.n_kafka_pass, 8);
    assert_string_equal(c.kafka_pass[0].key, "sasl.username");
    assert_string_equal(c.kafka_pass[1].value, "7");
    assert_string_equal(c.kafka_pass[2].value, "hush1");
    assert_string_equal(c.kafka_pass[7].key, "debug");
    assert_false(config_own_log(&c));
    const char *out = printed(&c);
    assert_null(strstr(out, "hush"));
    assert_null(strstr(out, "bob"));
    assert_has(out, "\n# rdkafka.ssl.key.password = ********  # from file ");
    assert_has(out, "\nrdkafka.client.id = r  # from file ");
    assert_has(out, "\nrdkafka.fetch.wait.max.ms = 7  # from -o\n");
    config_free(&c);
    refused_at("[kafka]\nrdkafka.a = 1\nrdkafka.a = 2\n", ERR_SYNTAX, 3, "kafka.rdkafka.a is set twice", ":2");
}

/* ---- failures ---- */

static void every_refused_allocation_is_an_error(void **state) {
    (void)state;
    static const char text[] =
        "[rankd]\ndata_dir = /x\n[type.like]\n[file.a]\npath = /y\n[kafka]\nrdkafka.a = 1\nrdkafka.b = 2\n";
    struct config c, next;
    struct err e;
    uint64_t n = 1;
    for (int rc = ERR_NOMEM; rc; n++) {
        write_file(text, sizeof text - 1);
        char override[] = "kafka.rdkafka.a=3", *overrides[] = {override};
        mem_fail_at(n);
        rc = config_load(&c, path, overrides, 1, &e);
        mem_fail_at(0);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        assert_true(n < 1000);
        if (rc) assert_null(c.origins);
    }
    assert_true(n > 30);
    loads(&next, "[rankd]\nlog_level = debug\n[http]\nhosts = a\n");
    struct buf refused;
    buf_init(&refused, 4096);
    for (n = 1; n <= 2; n++) {
        buf_clear(&refused);
        buf_add_str(&refused, ""); /* its memory is not what fails here */
        buf_printf(&refused, "%200s", "");
        buf_clear(&refused);
        mem_fail_at(n);
        config_reload(&c, &next, &refused);
        mem_fail_at(0);
        assert_string_equal(c.log_level, "info");
        assert_string_equal(c.http_hosts, "");
    }
    config_free(&c);
    config_free(&next);
    buf_free(&refused);
}

static void distance_counts_edits(void **state) {
    (void)state;
    assert_int_equal(config_distance("", ""), 0);
    assert_int_equal(config_distance("", "abc"), 3);
    assert_int_equal(config_distance("abc", ""), 3);
    assert_int_equal(config_distance("abc", "abc"), 0);
    assert_int_equal(config_distance("abc", "acb"), 1);
    assert_int_equal(config_distance("abc", "axc"), 1);
    assert_int_equal(config_distance("abc", "ac"), 1);
    assert_int_equal(config_distance("ca", "abc"), 3); /* 2 only if a part could be edited twice */
    char longest[400];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(config_distance(longest, "x"), CONFIG_MAX_NAME - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_stand_without_a_file),
        cmocka_unit_test(later_layers_win),
        cmocka_unit_test(values_have_units),
        cmocka_unit_test(bad_values_are_refused_with_their_line),
        cmocka_unit_test(unknown_names_come_with_the_nearest),
        cmocka_unit_test(lines_of_no_form_are_refused),
        cmocka_unit_test(harmless_forms_are_read),
        cmocka_unit_test(files_that_cannot_be_read_are_refused),
        cmocka_unit_test(overrides_are_checked),
        cmocka_unit_test(variables_are_checked),
        cmocka_unit_test(types_change_the_defaults),
        cmocka_unit_test(bounds_of_types_and_files_hold),
        cmocka_unit_test(pass_through_keeps_order_and_hides_secrets),
        cmocka_unit_test(every_refused_allocation_is_an_error),
        cmocka_unit_test(distance_counts_edits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
