/* The configuration: options that contradict each other, listen addresses. */
#include "tests/unit/config_helpers.h"

/* ---- contradictions ---- */

static void contradictions_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int line;
        const char *part, *other;
    } cases[] = {
        {"[model]\ndim = 24\n", 2, "model.dim = 24", "multiple of 16"},
        {"[model]\nhistory = 20\nuser_items = 16\n", 2, "model.history = 20", "model.user_items = 16"},
        {"[model]\nlabel_smoothing = 0.1\n", 2, "model.label_smoothing = 0.1", "model.loss = wbpr (default)"},
        {"[model]\nnormalise = yes\nrow_half_life = 7d\n", 3, "model.row_half_life = 7d", "model.normalise = yes"},
        {"[model]\nhard_share = 0.5\n", 0, "model.recent_share = 0.6", "model.hard_share = 0.5"},
        {"[model]\npopular_share = 0.7\nhard_share = 0.1\n", 2, "add up to 1.4", "model.recent_share = 0.6 (default)"},
        {"[model]\nterms = forward,bakward\n", 2, "model.terms = forward,bakward", "names of terms"},
        {"[model]\nterms = all,-trend\n", 2, "model.terms = all,-trend", "names of terms"},
        {"[model]\nterms = forward,-forward\n", 2, "model.terms", "needs a term"},
        {"[model]\nterms =\n", 2, "model.terms", "needs a term"},
        {"[checkpoint]\nmin_interval = 2m\n", 2, "checkpoint.min_interval = 2m",
         "checkpoint.max_interval = 1m (default)"},
        {"[checkpoint]\npreallocate = 1TiB\n", 2, "checkpoint.preallocate = 1TiB", "checkpoint.map_size = 256GiB"},
        {"[log]\nenabled = no\n", 2, "log.enabled = no", "nothing to learn from"},
        {"[log]\nmax_bytes = 1MiB\n", 2, "log.max_bytes = 1MiB", "log.segment_bytes"},
        {"[log]\nmax_bytes = 1GiB\nretain_bytes = 1GiB\n", 3, "log.retain_bytes", "log.max_bytes"},
        {"[log]\nallowed_types = click,lick\n", 2, "unknown type lick", "is click"},
        {"[log]\nallowed_types =\n", 2, "log.allowed_types", "behaviour, all, or a list"},
        {"[kafka]\nbrokers=k\ntopics = clicks:clik\n", 3, "unknown type clik", "is click"},
        {"[kafka]\nbrokers=k\ntopics = clicks:\n", 3, "unknown type", "kafka.topics"},
        {"[kafka]\nbrokers=k\ntopics = clicks,a:view,clicks:view\n", 3, "topic clicks is listed twice", "kafka.topics"},
        {"[kafka]\nbrokers=k\ntopics = a b\n", 3, "topic[:type]", "kafka.topics"},
        {"[kafka]\nbrokers=k\ntopics =\n", 3, "without a topic", "kafka.brokers"},
        {"[kafka]\nbrokers=k\nintake_topic = other\n", 3, "kafka.intake_topic = other", "kafka.topics"},
        {"[kafka]\nbrokers=k\n[type.purchase]\nenabled=no\n", 0, "default: kafka.topics", "unknown type purchase"},
        {"[kafka]\nstart = yesterday\n", 2, "kafka.start = yesterday", "earliest, latest"},
        {"[log]\n\n[file.a]\ntype = click\n", 3, "file.a.path", "needs its path"},
        {"[file.a]\npath = /x\ntype = clack\n", 3, "file.a.type = clack", "is click"},
        {"[file.a]\npath = /x\n[file.b]\npath = /x\n", 4, "file.b.path", "file.a.path"},
        {"[file.a]\npath = /x\nallowed_types = what\n", 3, "file.a.allowed_types", "unknown type what"},
        {"[events]\nuser = who\nitem = sku,who\n", 3, "events.item = sku,who", "events.user = who"},
        {"[events]\nimpression_types = shown,view\n", 2, "events.impression_types = shown,view", "type.view.weight"},
        {"[events]\nimpression_types = item\n", 2, "events.impression_types", "item is a type of rankd's own"},
        {"[events]\nimpression_types = a b\n", 2, "events.impression_types", "at most 8 names"},
        {"[events]\nuser = who,who\n", 2, "listed twice", "events.user"},
        {"[events]\nuser = a,b,c,d,e\n", 2, "1 to 4 names", "events.user"},
        {"[events]\nuser =\n", 2, "1 to 4 names", "events.user"},
        {"[events]\nmax_event_bytes = 1MiB\n[learner]\nqueue_bytes = 512KiB\n", 4, "learner.queue_bytes",
         "events.max_event_bytes"},
        {"[http]\nmax_body = 64MiB\n", 0, "intake.queue_bytes = 32MiB", "http.max_body = 64MiB"},
        {"[http]\nlisten = 0.0.0.0:80\n", 2, "http.listen = 0.0.0.0:80", "public_without_token"},
        {"[http]\nlisten = [::]:80\n", 2, "http.listen", "http.tokens_file"},
        {"[http]\nlisten =\n", 2, "http.listen", "ADDRESS:PORT"},
        {"[http]\nlisten = shop.example:80\n", 2, "http.listen", "numeric"},
        {"[http]\nlisten = 127.0.0.1:65536\n", 2, "http.listen", "0 to 65535"},
        {"[http]\nlisten = 127.0.0.1:9108\n", 0, "metrics.listen", "http.listen"},
        {"[admin]\nlisten = 127.0.0.1:81\n", 2, "admin.listen", "needs a token"},
        {"[admin]\nlisten = 10.0.0.1:81\ntoken_file = /t\n", 2, "admin.listen", "a loopback address"},
        {"[metrics]\nlisten = 0.0.0.0:9108\n", 2, "metrics.listen", "a loopback address"},
        {"[rankd]\ndata_dir =\n", 2, "rankd.data_dir", "path of a directory"},
        {"[rankd]\ndata_dir = "
         "/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/12345678\n",
         2, "rankd.data_dir", "admin.socket"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refused_at(cases[i].text, ERR_RANGE, cases[i].line, cases[i].part, cases[i].other);
    }
}

static void bad_rules_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int line;
        const char *part, *other;
    } cases[] = {
        {"[rule.a]\ntypes = clik\n", 2, "rule.a.types = clik",
         "unknown type clik; the nearest configured one is click"},
        {"[rule.a]\nsources = log,file:f\n", 2, "rule.a.sources = log,file:f", "file:f is no configured source"},
        {"[rule.a]\nsources = kafka:other\n", 2, "kafka:other is no configured source", "kafka:TOPIC"},
        {"[rule.a]\nfrom = 2024-05-01\n", 2, "rule.a.from = 2024-05-01", "2024-05-01T00:00:00Z"},
        {"[rule.a]\nuntil = soon\n", 2, "rule.a.until = soon", "2024-05-01T00:00:00Z"},
        {"[rule.a]\nfrom = 2024-05-01T00:00:00Z\nuntil = 2024-05-01T02:00:00+02:00\n", 2, "rule.a.from",
         "no time lies between"},
        {"[rule.a]\nattributes = a=b,c=\n", 2, "rule.a.attributes = a=b,c=", "a name or a value is empty"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        refused_at(cases[k].text, ERR_RANGE, cases[k].line, cases[k].part, cases[k].other);
}

static void near_contradictions_are_fine(void **state) {
    (void)state;
    static const char *const fine[] = {
        "[events]\nimpression_types = shown,view_list\n[kafka]\nbrokers = k\ntopics = clicks,pages:impression\n",
        "[rule.a]\ntypes = impression,click\nsources = log,kafka:clicks,file:f\n[file.f]\npath = /f\n",
        "[http]\nlisten = 0.0.0.0:80\npublic_without_token = yes\n",
        "[http]\nlisten = [2001:db8::1]:80\ntokens_file = /t\n",
        "[http]\nlisten = [::1]:0\n[metrics]\nlisten = [::1]:0\n",
        "[admin]\nlisten = localhost:81\ntoken_file = /t\n[metrics]\nlisten =\n",
        "[log]\nenabled = no\n[file.a]\npath = /x\ntype = click\nallowed_types = all\n",
        "[log]\nenabled = no\n[kafka]\nbrokers = k:9092\nstart = 2024-05-01T00:00:00Z\n",
        "[kafka]\nbrokers = k\ntopics = clicks, more:like ,x\nallowed_types = like,impression,delete\n[type.like]\n",
        "[type.purchase]\nenabled = no\n", /* named by kafka.topics, which is not in use */
        "[intake]\nqueue_bytes = 8MiB\n",
        "[model]\nrecent_share = 0.5\npopular_share = 0.3\nhard_share = 0.2\n",
        "[model]\nterms = all, -embedding,-forward\n",
    };
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        struct config c;
        loads(&c, fine[i]);
        config_free(&c);
    }
}

static void terms_are_on_or_off(void **state) {
    (void)state;
    struct config c;
    loads(&c, "[model]\nterms = all,-forward,trend_short,-trend_long\n");
    assert_true(config_has_term(&c, "embedding"));
    assert_true(config_has_term(&c, "trend_short"));
    assert_false(config_has_term(&c, "forward"));
    assert_false(config_has_term(&c, "trend_long"));
    config_free(&c);
    loads(&c, "[model]\nterms = backward\n");
    assert_true(config_has_term(&c, "backward"));
    assert_false(config_has_term(&c, "embedding"));
    config_free(&c);
}

static void listen_addresses_are_taken_apart(void **state) {
    (void)state;
    struct config_listen l;
    assert_true(config_parse_listen("localhost:80", &l));
    assert_string_equal(l.host, "127.0.0.1");
    assert_true(l.loopback && !l.ipv6 && l.port == 80);
    assert_true(config_parse_listen("[::1]:65535", &l) && l.loopback && l.ipv6 && l.port == 65535);
    assert_string_equal(l.host, "::1");
    assert_true(config_parse_listen("[::ffff:127.0.0.2]:1", &l) && l.loopback);
    assert_true(config_parse_listen("127.9.9.9:0", &l) && l.loopback);
    assert_true(config_parse_listen("128.0.0.1:0", &l) && !l.loopback);
    static const char *const bad[] = {"",
                                      ":80",
                                      "80",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:x",
                                      "::1:80",
                                      "[::1]80",
                                      "[]:1",
                                      "[127.0.0.1]:80",
                                      "127.1:80",
                                      "127.0.0.1:000080",
                                      "127.0.0.1:-1",
                                      "a:1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (config_parse_listen(bad[i], &l)) fail_msg("accepted: %s", bad[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contradictions_are_refused),       cmocka_unit_test(bad_rules_are_refused),
        cmocka_unit_test(near_contradictions_are_fine),     cmocka_unit_test(terms_are_on_or_off),
        cmocka_unit_test(listen_addresses_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
