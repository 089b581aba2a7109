/* The configuration: printing, the reference, reload. With --print-reference: etc/rankd.conf as the table wants it. */
#include "tests/unit/config_helpers.h"

static char *reference(const char *section) {
    static char text[65536];
    struct buf b;
    buf_init(&b, sizeof text - 1);
    config_print_reference(section, &b);
    assert_false(b.failed);
    snprintf(text, sizeof text, "%s", b.n ? b.p : "");
    buf_free(&b);
    return text;
}

/* ---- printing ---- */

static void what_is_printed_reads_back(void **state) {
    (void)state;
    struct config c, again;
    loads(&c, "[rankd]\ndata_dir = /a b#c\n[model]\nstep = 0.1\nmu = 1e-7\n[type.cart]\nenabled = "
              "no\n[type.like]\nweight = 0.3\n"
              "[file.x]\npath = /var/x y.log\n[events]\nmax_clock_step = none\nmax_event_bytes = "
              "65537\n[kafka]\nrdkafka.z = 1\n"
              "rdkafka.a = 2\n");
    char *first = strdup(printed(&c)), *text = strdup(learning(&c));
    loads(&again, first);
    assert_string_equal(again.data_dir, "/a b#c");
    assert_string_equal(again.files[0].path, "/var/x y.log");
    assert_string_equal(again.kafka_pass[0].key, "z");
    assert_int_equal(again.n_types, 4);
    assert_string_equal(learning(&again), text);
    struct buf none;
    buf_init(&none, 4096);
    config_reload(&c, &again, &none);
    assert_int_equal(none.n, 0);
    free(first);
    free(text);
    config_free(&c);
    config_free(&again);
}

static void learning_text_is_canonical(void **state) {
    (void)state;
    struct config a, b;
    struct err e;
    loads(&a, "[model]\nlate_half_life = 1d\ntau = 0.50\n[type.like]\nweight = 1.0\n[events]\nmax_event_bytes = "
              "1KiB\nuser=u,v\n");
    setenv("RANKD_MODEL_TAU", "5e-1", 1);
    int rc = load(&b, &e, "[events]\nuser = u , v\n[type.like]\n", "model.late_half_life=24h",
                  "events.max_event_bytes=1024", "learner.batch_events=7", "rankd.data_dir=/elsewhere", NULL);
    unsetenv("RANKD_MODEL_TAU");
    assert_int_equal(rc, 0);
    char *text = strdup(learning(&a));
    assert_string_equal(text, learning(&b));
    assert_has(text, "model.late_half_life=1d\n");
    assert_has(text, "model.tau=0.5\n");
    assert_has(text, "type.like.weight=1\n");
    assert_has(text, "kafka.topics=clicks:click,purchases:purchase\n");
    assert_null(strstr(text, "learner."));
    char last[CONFIG_MAX_NAME] = "";
    size_t lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        line[strcspn(line, "=")] = '\0';
        assert_true(strcmp(last, line) < 0);
        snprintf(last, sizeof last, "%s", line);
    }
    assert_true(lines > 30);
    free(text);
    config_free(&b);
    loads(&b, "[model]\nseed = 2\n");
    text = strdup(learning(&a));
    assert_string_not_equal(text, learning(&b));
    free(text);
    config_free(&a);
    config_free(&b);
}

static void reference_holds_every_default(void **state) {
    (void)state;
    char *text = strdup(reference("")), *open = malloc(strlen(text) + 64);
    struct config plain, c;
    assert_true(text && open);
    size_t n = 0, n_file_keys = 0;
    for (size_t i = 0; i < config_n_options; i++)
        n_file_keys += !strcmp(config_options[i].section, "file") || !strcmp(config_options[i].section, "rule");
    /* Every commented option taken in, but for the followed file, which has no default path, and rules, of which none
     * is there by default. */
    for (char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        bool option = line[0] == '#' && line[1] != ' ' && line[1] != '\n';
        assert_true(length <= 120 || option);
        if (strncmp(line, "# Files of JSON Lines", 21) == 0)
            line = strstr(line, "\n[kafka]") + 1, length = strcspn(line, "\n");
        if (strncmp(line, "#[type.NAME]", 12) == 0) {
            n += (size_t)sprintf(open + n, "[type.click]\n");
        } else {
            n += (size_t)sprintf(open + n, "%.*s\n", (int)length - option, line + option);
        }
        line += length + (line[length] == '\n');
    }
    loads(&plain, NULL);
    loads(&c, open);
    assert_int_equal(c.origins->n, config_n_options - n_file_keys + 1); /* and the section [type.click] */
    struct buf none;
    buf_init(&none, 4096);
    config_reload(&plain, &c, &none);
    assert_int_equal(none.n, 0);
    free(text);
    free(open);
    config_free(&plain);
    config_free(&c);
}

/* Rules are taken over as a whole, with their origins, and belong to the configuration they came to. */
static void reload_takes_rules(void **state) {
    (void)state;
    struct config c, next;
    struct buf refused;
    buf_init(&refused, 4096);
    loads(&c, "[rule.a]\nweight = 2\n[rule.b]\nattributes = x=y\n");
    char *before = strdup(learning(&c));
    assert_has(before, "rule.a.weight=2\n");
    assert_has(before, "rule.b.attributes=x=y\n");
    loads(&next, "[rule.a]\nweight = 3\ntypes = click\n\n[rule.c]\nhistory = no\n[rule.off]\nenabled = no\n");
    config_reload(&c, &next, &refused);
    config_free(&next);
    assert_int_equal(refused.n, 0);
    assert_int_equal(c.n_rules, 2);
    assert_string_equal(c.rules[0].types, "click");
    assert_true(c.rules[0].weight == 3 && c.rules[0].history && !c.rules[1].history);
    assert_has(printed(&c), "weight = 3  # from file ");
    assert_null(strstr(learning(&c), "rule.b"));
    /* and none */
    loads(&next, "");
    config_reload(&c, &next, &refused);
    config_free(&next);
    assert_int_equal(c.n_rules, 0);
    assert_int_equal(refused.n, 0);
    /* What contradicts the options that stay is refused with all else. */
    loads(&next, "[rankd]\nlog_level = debug\n[type.like]\n[rule.a]\ntypes = like\n");
    config_reload(&c, &next, &refused);
    config_free(&next);
    assert_string_equal(refused.p, "rankd.log_level\ntype.like\nrule.a\n");
    assert_int_equal(c.n_rules, 0);
    config_free(&c);
    buf_free(&refused);
    free(before);
}

/* The text of an epoch holds its rules: they come back as they were, whatever is configured now. */
static void rules_come_back_from_a_journal(void **state) {
    (void)state;
    struct config then, now, mixed;
    struct err e;
    loads(&then,
          "[rule.a]\nweight = 2\nattributes = p.q=a=b|c, d!=e\nfrom = 2024-01-01T00:00:00Z\n[rule.a-b]\nhistory = no\n"
          "sources = log\n");
    loads(&now, "[rule.z]\nweight = 0\n");
    char *text = strdup(learning(&then));
    assert_int_equal(config_with_rules(&now, slice_str(text), &mixed, &e), 0);
    assert_int_equal(mixed.n_rules, 2);
    assert_string_equal(mixed.rules[0].name, "a");
    assert_string_equal(mixed.rules[0].attributes, "p.q=a=b|c, d!=e");
    assert_string_equal(learning(&mixed), text);
    config_drop_rules(&mixed);
    assert_int_equal(config_with_rules(&now, slice_str("rule.a.colour=red\n"), &mixed, &e), ERR_SYNTAX);
    assert_has(e.text, "colour");
    assert_int_equal(config_with_rules(&now, slice_str("rule.a=red\n"), &mixed, &e), ERR_SYNTAX);
    assert_int_equal(now.n_rules, 1);
    config_free(&then);
    config_free(&now);
    free(text);
}

static void reference_of_one_section(void **state) {
    (void)state;
    assert_has(reference("http"), "[http]\n");
    assert_null(strstr(reference("http"), "[model]"));
    assert_has(reference("http"), "#max_body = 8MiB\n");
    assert_has(reference("type"), "#enabled = yes\n");
    assert_string_equal(reference("nothing"), "");
}

static void sample_file_is_the_reference(void **state) {
    (void)state;
    FILE *f = fopen("etc/rankd.conf", "r");
    assert_non_null(f);
    static char text[65536];
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    assert_string_equal(text, reference(""));
}

/* ---- reload ---- */

static void reload_takes_what_it_can(void **state) {
    (void)state;
    struct config c, next;
    struct buf refused;
    buf_init(&refused, 4096);
    loads(&c, "[rankd]\nlog_level = info\n[kafka]\nrdkafka.a = 1\nrdkafka.b = 1\n[type.like]\n[file.f]\npath = /f\n");
    loads(&next,
          "[rankd]\nlog_level = debug\n\n[http]\nmax_k = 50\nhosts = a\nworkers = 3\n[model]\ndim = 128\n[kafka]\n"
          "rdkafka.a = 2\nrdkafka.c = 1\n[type.click]\nweight = 9\n[file.f]\npath = /g\n[file.h]\npath = /h\n"
          "[checkpoint]\nmax_interval = 30s\n");
    config_reload(&c, &next, &refused);
    assert_string_equal(c.log_level, "debug");
    assert_string_equal(c.http_hosts, "a");
    assert_int_equal(c.http_max_k, 50);
    assert_int_equal(c.checkpoint_max_ms, 30000);
    assert_int_equal(c.http_workers, 1);
    assert_int_equal(c.dim, 64);
    assert_string_equal(refused.p, "model.dim\nhttp.workers\ntype.click.weight\ntype.like\nfile.f.path\nfile.h\n"
                                   "kafka.rdkafka.a\nkafka.rdkafka.b\nkafka.rdkafka.c\n");
    assert_true(c.log_level != next.log_level);
    const char *out = printed(&c);
    assert_has(out, "max_k = 50  # from file ");
    assert_has(out, "dim = 64  # default");
    config_free(&next);
    assert_string_equal(c.log_level, "debug");
    /* and back to the default, with its origin */
    loads(&next, "[kafka]\nrdkafka.a = 1\nrdkafka.b = 1\n[type.like]\n[file.f]\npath = /f\n");
    buf_clear(&refused);
    config_reload(&c, &next, &refused);
    assert_int_equal(refused.n, 0);
    assert_has(printed(&c), "max_k = 1000  # default");
    config_free(&c);
    config_free(&next);
    buf_free(&refused);
}

/* Open to everybody is what a running listener on 0.0.0.0 would become, were its tokens taken away by a reload. */
static void reload_never_makes_a_contradiction(void **state) {
    (void)state;
    struct config c, next;
    struct buf refused;
    buf_init(&refused, 4096);
    loads(&c, "[http]\nlisten = 0.0.0.0:80\ntokens_file = /t\n");
    loads(&next, "[rankd]\nlog_level = debug\n");
    config_reload(&c, &next, &refused);
    assert_string_equal(refused.p, "rankd.log_level\nhttp.listen\nhttp.tokens_file\n");
    assert_string_equal(c.http_tokens_file, "/t");
    assert_string_equal(c.log_level, "info");
    config_free(&c);
    config_free(&next);
    buf_free(&refused);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--print-reference") == 0) {
        fputs(reference(""), stdout);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_reads_back),         cmocka_unit_test(learning_text_is_canonical),
        cmocka_unit_test(reference_holds_every_default),      cmocka_unit_test(reference_of_one_section),
        cmocka_unit_test(sample_file_is_the_reference),       cmocka_unit_test(reload_takes_what_it_can),
        cmocka_unit_test(reload_never_makes_a_contradiction), cmocka_unit_test(reload_takes_rules),
        cmocka_unit_test(rules_come_back_from_a_journal),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
