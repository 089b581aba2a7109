/* rankctl status, digest, checkpoint, pause, resume, bad-events, config, metrics. */
#include <stdio.h>
#include <string.h>

#include "daemon/ctl.h"

static const struct slice no_body = {0};
static const struct slice empty_body = {"", 0};

/* Where the daemon is, then one request. *j NULL: it was answered already (--json), or rc is no CTL_DONE. */
static int ask(struct ctl *c, const char *path, struct slice body, struct jdoc **j) {
    *j = NULL;
    int rc = ctl_open(c);
    if (rc == CTL_DONE) rc = ctl_ask(c, path, NULL, body, j);
    ctl_close(c);
    return rc;
}

static uint64_t whole(struct jdoc_value v, const char *path) {
    int64_t n = jdoc_integer(jdoc_get(v, path), 0);
    return n > 0 ? (uint64_t)n : 0;
}

static const char *count_of(char out[CTL_TEXT], struct jdoc_value v, const char *path) {
    struct jdoc_value at = jdoc_get(v, path);
    if (jdoc_kind_of(at) != JDOC_NUMBER) return "-";
    return ctl_count(out, whole(v, path));
}

static void row(struct ctl_table *t, const char *name, const char *value) {
    ctl_table_add(t, name);
    ctl_table_add(t, value);
}

static void add_events(struct ctl_table *t, struct jdoc_value s) {
    struct jdoc_members m = {0};
    char a[CTL_TEXT], text[160];
    row(t, "learned", count_of(a, s, "events.learned"));
    uint64_t all = 0;
    while (jdoc_next(jdoc_get(s, "events.skipped"), &m)) all += whole(m.value, "");
    row(t, "skipped", ctl_count(a, all));
    m = (struct jdoc_members){0};
    while (jdoc_next(jdoc_get(s, "events.skipped"), &m)) {
        snprintf(text, sizeof text, "  %.60s", m.name.p);
        row(t, text, ctl_count(a, whole(m.value, "")));
    }
}

static void add_state(struct ctl_table *t, struct jdoc_value s) {
    char a[CTL_TEXT], b[CTL_TEXT], text[256], clean[64];
    snprintf(text, sizeof text, "%s, for %s", ctl_clean(clean, sizeof clean, jdoc_text(jdoc_get(s, "state"), "-")),
             ctl_seconds(a, jdoc_number(jdoc_get(s, "uptime_s"), -1)));
    row(t, "state", text);
    row(t, "version", ctl_clean(clean, sizeof clean, jdoc_text(jdoc_get(s, "version"), "-")));
    snprintf(text, sizeof text, "%s (durable %s), generation %s", count_of(a, s, "sequence"),
             count_of(b, s, "durable_sequence"), count_of(clean, s, "generation"));
    row(t, "sequence", text);
    row(t, "model clock", ctl_clean(clean, sizeof clean, jdoc_text(jdoc_get(s, "as_of"), "-")));
    snprintf(text, sizeof text, "%s events, %s", count_of(a, s, "lag_events"),
             ctl_seconds(b, jdoc_number(jdoc_get(s, "lag_seconds"), -1)));
    row(t, "lag", text);
}

static void add_rules(struct ctl_table *t, struct jdoc_value rules) {
    char a[CTL_TEXT], b[CTL_TEXT], name[48], text[512], clean[160];
    struct jdoc_value list = jdoc_get(rules, "in_force");
    if (jdoc_count(list) == 0 && !whole(rules, "since")) return;
    snprintf(text, sizeof text, "%s, since sequence %s%s", ctl_count(a, jdoc_count(list)), count_of(b, rules, "since"),
             jdoc_bool(jdoc_get(rules, "pending"), false) ? ", others about to be" : "");
    row(t, "rules", text);
    for (size_t k = 0; k < jdoc_count(list); k++) {
        static const char *const parts[] = {"types", "sources", "from", "until", "attributes"};
        struct jdoc_value r = jdoc_at(list, k);
        size_t n =
            (size_t)snprintf(text, sizeof text, "weight %g%s, fitted %s", jdoc_number(jdoc_get(r, "weight"), 1),
                             jdoc_bool(jdoc_get(r, "history"), true) ? "" : ", no history", count_of(a, r, "matched"));
        for (size_t p = 0; p < sizeof parts / sizeof *parts && n < sizeof text; p++) {
            struct slice value = jdoc_text(jdoc_get(r, parts[p]), "");
            if (value.n == 0) continue;
            n +=
                (size_t)snprintf(text + n, sizeof text - n, "; %s %s", parts[p], ctl_clean(clean, sizeof clean, value));
        }
        snprintf(name, sizeof name, "  %s", ctl_clean(clean, 36, jdoc_text(jdoc_get(r, "name"), "-")));
        row(t, name, text);
    }
}

static void add_model(struct ctl_table *t, struct jdoc_value s) {
    char a[CTL_TEXT], b[CTL_TEXT], d[CTL_TEXT], text[256];
    snprintf(text, sizeof text, "%s of at most %s, %s live", count_of(a, s, "items"), count_of(b, s, "max_items"),
             count_of(d, s, "live_items"));
    row(t, "items", text);
    snprintf(text, sizeof text, "%s in %s of at most %s, %.1f %% hits", count_of(a, s, "users_cached"),
             ctl_bytes(b, (double)whole(s, "user_cache.bytes")), ctl_bytes(d, (double)whole(s, "user_cache.max_bytes")),
             100 * jdoc_number(jdoc_get(s, "user_cache.hit_rate"), 0));
    row(t, "user cache", text);
    snprintf(text, sizeof text, "%s rows in %s of at most %s, %.1f %% hits", count_of(a, s, "neighbour_cache.rows"),
             ctl_bytes(b, (double)whole(s, "neighbour_cache.bytes")),
             ctl_bytes(d, (double)whole(s, "neighbour_cache.max_bytes")),
             100 * jdoc_number(jdoc_get(s, "neighbour_cache.hit_rate"), 0));
    row(t, "neighbours", text);
    row(t, "queue", ctl_bytes(a, (double)whole(s, "queue_bytes")));
    snprintf(text, sizeof text, "%s, the last %s in %s; longest pause %s", count_of(a, s, "checkpoint.count"),
             ctl_bytes(b, (double)whole(s, "checkpoint.last_bytes")),
             ctl_seconds(d, jdoc_number(jdoc_get(s, "checkpoint.last_ms"), 0) / 1e3),
             ctl_seconds((char[CTL_TEXT]){0}, jdoc_number(jdoc_get(s, "checkpoint.longest_pause_ms"), 0) / 1e3));
    row(t, "checkpoints", text);
    if (whole(s, "checkpoint.failures")) row(t, "  failed", count_of(a, s, "checkpoint.failures"));
    row(t, "  not saved for", ctl_seconds(a, jdoc_number(jdoc_get(s, "checkpoint.unsaved_seconds"), 0)));
    snprintf(text, sizeof text, "%s (anonymous %s)", ctl_bytes(a, (double)whole(s, "memory.rss")),
             ctl_bytes(b, (double)whole(s, "memory.rss_anon")));
    row(t, "memory", text);
}

static void add_drift(struct ctl_table *t, struct jdoc_value drift) {
    char a[CTL_TEXT], b[CTL_TEXT], clean[64], text[256];
    struct jdoc_value last = jdoc_get(drift, "last_alarm");
    snprintf(text, sizeof text, "%s alarms in %s judged moments; evidence %.0f %% of what raises one",
             count_of(a, drift, "alarms"), count_of(b, drift, "moments"),
             100 * jdoc_number(jdoc_get(drift, "evidence"), 0));
    row(t, "drift", text);
    if (jdoc_kind_of(last) != JDOC_OBJECT) return;
    snprintf(text, sizeof text, "%s: ahead of popularity by %.4f, expected %.4f",
             ctl_clean(clean, sizeof clean, jdoc_text(jdoc_get(last, "as_of"), "-")),
             jdoc_number(jdoc_get(last, "found"), 0), jdoc_number(jdoc_get(last, "expected"), 0));
    row(t, "  last alarm", text);
}

/* "0.3042 +- 0.0113", "0.3042" without a band. */
static const char *mean_of(char out[CTL_TEXT], struct jdoc_value v, const char *figure, const char *of) {
    struct jdoc_value m = jdoc_get(jdoc_get(v, figure), of);
    double band = jdoc_number(jdoc_get(m, "band"), -1);
    int n = snprintf(out, CTL_TEXT, "%.4f", jdoc_number(jdoc_get(m, "mean"), 0));
    if (band >= 0) snprintf(out + n, CTL_TEXT - (size_t)n, " +- %.4f", band);
    return out;
}

static void print_quality(struct jdoc_value cohorts) {
    struct ctl_table t;
    char a[CTL_TEXT], b[16], clean[64], text[96];
    static const char *const heads[] = {"live quality", "judged",    "NDCG@20", "of popularity",
                                        "ahead by",     "recall@20", "MRR@20"};
    if (jdoc_count(cohorts) == 0) return;
    ctl_table_init(&t, "<>>>>>>");
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) ctl_table_add(&t, heads[k]);
    for (size_t k = 0; k < jdoc_count(cohorts); k++) {
        struct jdoc_value c = jdoc_at(cohorts, k);
        struct slice by = jdoc_text(jdoc_get(c, "by"), "-"), part = jdoc_text(jdoc_get(c, "part"), "-");
        if (slice_is(by, "all"))
            snprintf(text, sizeof text, "all");
        else
            snprintf(text, sizeof text, "%s %s", ctl_clean(b, sizeof b, by), ctl_clean(clean, sizeof clean, part));
        ctl_table_add(&t, text);
        ctl_table_add(&t, ctl_count(a, (uint64_t)jdoc_number(jdoc_get(c, "judged"), 0)));
        ctl_table_add(&t, mean_of(a, c, "ndcg@20", "model"));
        ctl_table_add(&t, mean_of(a, c, "ndcg@20", "popularity"));
        ctl_table_add(&t, mean_of(a, c, "ndcg@20", "difference"));
        ctl_table_add(&t, mean_of(a, c, "recall@20", "model"));
        ctl_table_add(&t, mean_of(a, c, "mrr@20", "model"));
    }
    ctl_table_print(&t);
    putchar('\n');
}

static void add_intake(struct ctl_table *t, struct jdoc_value s) {
    char a[CTL_TEXT], b[CTL_TEXT], d[CTL_TEXT], text[256], clean[128];
    struct jdoc_value i = jdoc_get(s, "intake");
    if (jdoc_kind_of(i) == JDOC_OBJECT) {
        snprintf(text, sizeof text, "%s accepted (%s without id), %s rejected", count_of(a, i, "accepted"),
                 count_of(b, i, "without_id"), count_of(d, i, "rejected"));
        row(t, "intake", text);
    }
    static const char *const listeners[] = {"http", "metrics", "admin", "admin_socket"};
    for (size_t k = 0; k < sizeof listeners / sizeof *listeners; k++) {
        struct slice at = jdoc_text(jdoc_get(jdoc_get(s, "addresses"), listeners[k]), "");
        snprintf(text, sizeof text, "%s at", listeners[k]);
        if (at.n) row(t, text, ctl_clean(clean, sizeof clean, at));
    }
    row(t, "data", ctl_clean(clean, sizeof clean, jdoc_text(jdoc_get(s, "data_dir"), "-")));
}

static void print_sources(struct jdoc_value sources) {
    struct ctl_table t;
    char a[CTL_TEXT], clean[128];
    static const char *const heads[] = {"source", "part", "state", "position", "end", "lag", "lag time"};
    ctl_table_init(&t, "<><>>>>");
    for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) ctl_table_add(&t, heads[k]);
    for (size_t k = 0; k < jdoc_count(sources); k++) {
        struct jdoc_value s = jdoc_at(sources, k);
        ctl_table_add(&t, ctl_clean(clean, sizeof clean, jdoc_text(jdoc_get(s, "name"), "-")));
        ctl_table_add(&t, count_of(a, s, "partition"));
        ctl_table_add(&t, ctl_clean(clean, sizeof clean, jdoc_text(jdoc_get(s, "state"), "-")));
        ctl_table_add(&t, count_of(a, s, "position"));
        ctl_table_add(&t, count_of(a, s, "end"));
        ctl_table_add(&t, count_of(a, s, "lag_events"));
        ctl_table_add(&t, ctl_seconds(a, jdoc_number(jdoc_get(s, "lag_seconds"), -1)));
    }
    ctl_table_print(&t);
    for (size_t k = 0; k < jdoc_count(sources); k++) {
        char reason[300];
        struct slice why = jdoc_text(jdoc_get(jdoc_at(sources, k), "stop_reason"), "");
        if (why.n == 0) continue;
        printf("\n%s stopped: %s\n",
               ctl_clean(clean, sizeof clean, jdoc_text(jdoc_get(jdoc_at(sources, k), "name"), "-")),
               ctl_clean(reason, sizeof reason, why));
    }
}

int ctl_status(int argc, char **argv) {
    struct ctl c = {0};
    struct jdoc *j;
    struct ctl_table t;
    int rc = ctl_parse(&c, argc, argv,
                       "usage: rankctl status [options]\n\n"
                       "Shows what the daemon learned, how well it ranks, how far it is behind its sources, its memory "
                       "and its addresses.\n",
                       0, 0);
    if (rc >= 0) return rc;
    rc = ask(&c, "/admin/status", no_body, &j);
    if (!j) return rc;
    struct jdoc_value s = jdoc_root(j);
    ctl_table_init(&t, "<<");
    add_state(&t, s);
    add_events(&t, s);
    add_model(&t, s);
    add_rules(&t, jdoc_get(s, "rules"));
    add_drift(&t, jdoc_get(s, "drift"));
    add_intake(&t, s);
    ctl_table_print(&t);
    putchar('\n');
    print_quality(jdoc_get(jdoc_get(s, "quality"), "cohorts"));
    print_sources(jdoc_get(s, "sources"));
    jdoc_free(j);
    return rc;
}

int ctl_digest(int argc, char **argv) {
    struct ctl c = {0};
    struct jdoc *j;
    char digest[80];
    int rc =
        ctl_parse(&c, argc, argv,
                  "usage: rankctl digest [options]\n\n"
                  "Makes a checkpoint and prints the canonical digest of the model: equal digests are equal models.\n"
                  "The digest of a directory not in use comes from rankd digest.\n",
                  0, 0);
    if (rc >= 0) return rc;
    rc = ask(&c, "/admin/digest", no_body, &j);
    if (!j) return rc;
    printf("%s sequence %llu generation %llu\n",
           ctl_clean(digest, sizeof digest, jdoc_text(jdoc_get(jdoc_root(j), "digest"), "-")),
           (unsigned long long)whole(jdoc_root(j), "sequence"), (unsigned long long)whole(jdoc_root(j), "generation"));
    jdoc_free(j);
    return rc;
}

int ctl_checkpoint(int argc, char **argv) {
    struct ctl c = {0};
    struct jdoc *j;
    char a[CTL_TEXT], b[CTL_TEXT], d[CTL_TEXT];
    int rc = ctl_parse(&c, argc, argv,
                       "usage: rankctl checkpoint [options]\n\n"
                       "Makes everything learned so far durable in the data directory and waits for it.\n",
                       0, 0);
    if (rc >= 0) return rc;
    rc = ask(&c, "/admin/checkpoint", empty_body, &j);
    if (!j) return rc;
    struct jdoc_value r = jdoc_root(j);
    printf("durable up to sequence %s: %s written in %s\n", count_of(a, r, "durable_sequence"),
           ctl_bytes(b, (double)whole(r, "bytes")), ctl_seconds(d, jdoc_number(jdoc_get(r, "write_ms"), 0) / 1e3));
    jdoc_free(j);
    return rc;
}

static int set_paused(int argc, char **argv, const char *help, const char *path, const char *done) {
    struct ctl c = {0};
    struct jdoc *j;
    int rc = ctl_parse(&c, argc, argv, help, 0, 0);
    if (rc >= 0) return rc;
    rc = ask(&c, path, empty_body, &j);
    if (j) puts(done);
    jdoc_free(j);
    return rc;
}

int ctl_pause(int argc, char **argv) {
    return set_paused(argc, argv,
                      "usage: rankctl pause [options]\n\n"
                      "Stops learning. Serving goes on with the model as it is, the intake keeps events in the log.\n"
                      "A restart ends the pause.\n",
                      "/admin/pause", "learning is paused");
}

int ctl_resume(int argc, char **argv) {
    return set_paused(argc, argv, "usage: rankctl resume [options]\n\nGoes on learning after rankctl pause.\n",
                      "/admin/resume", "learning goes on");
}

static void print_bad_event(struct jdoc_value e) {
    char when[40], source[100], reason[40], message[500], raw[200];
    printf("%s  %s[%llu] at %llu  %s\n", ctl_clean(when, sizeof when, jdoc_text(jdoc_get(e, "time"), "-")),
           ctl_clean(source, sizeof source, jdoc_text(jdoc_get(e, "source"), "-")),
           (unsigned long long)whole(e, "partition"), (unsigned long long)whole(e, "offset"),
           ctl_clean(reason, sizeof reason, jdoc_text(jdoc_get(e, "reason"), "-")));
    if (jdoc_text(jdoc_get(e, "message"), "").n)
        printf("    %s\n", ctl_clean(message, sizeof message, jdoc_text(jdoc_get(e, "message"), "")));
    printf("    %s\n", ctl_clean(raw, sizeof raw, jdoc_text(jdoc_get(e, "raw"), "")));
}

int ctl_bad_events(int argc, char **argv) {
    static const struct option options[] = {{"number", 1, NULL, 'n'}, CTL_LONG};
    struct ctl c = {0};
    struct jdoc *j;
    char path[64], a[CTL_TEXT];
    uint64_t n = 20;
    for (int opt; (opt = getopt_long(argc, argv, CTL_SHORT "n:", options, NULL)) != -1;) {
        if (opt == 'h') {
            fputs("usage: rankctl bad-events [-n N] [options]\n\n"
                  "Shows the newest events that were skipped: when, from where, why, and their first bytes.\n\n"
                  "  -n, --number N         how many, newest first (default 20)\n\n" CTL_OPTIONS_HELP,
                  stdout);
            return CTL_DONE;
        }
        if (opt == 'n' && !ctl_number("-n", optarg, 1, 1000, &n)) return CTL_BAD_USE;
        if (opt != 'n' && ctl_option(&c, opt, optarg) != 0) return CTL_BAD_USE;
    }
    if (optind < argc) {
        ctl_say("unexpected argument \"%s\"", argv[optind]);
        return CTL_BAD_USE;
    }
    snprintf(path, sizeof path, "/admin/bad-events?n=%llu", (unsigned long long)n);
    int rc = ask(&c, path, no_body, &j);
    if (!j) return rc;
    struct jdoc_value list = jdoc_get(jdoc_root(j), "bad_events");
    for (size_t k = 0; k < jdoc_count(list); k++) print_bad_event(jdoc_at(list, k));
    printf("%s kept, %zu shown\n", count_of(a, jdoc_root(j), "kept"), jdoc_count(list));
    jdoc_free(j);
    return rc;
}

/* A plain text of the daemon. */
static int print_text(struct ctl *c, const char *path) {
    struct ctl_reply r;
    ctl_reply_init(&r);
    int rc = ctl_request(c, path, NULL, no_body, &r);
    if (rc == CTL_UNREACHABLE) {
        ctl_say("%s cannot be reached: %s", strncmp(path, "http://", 7) == 0 ? path : "the daemon", r.why);
    } else if (r.status != 200) {
        ctl_say_error(&r);
        rc = CTL_FAILED;
    } else {
        fwrite(r.body.p, 1, r.body.n, stdout);
    }
    ctl_reply_free(&r);
    return rc;
}

int ctl_config(int argc, char **argv) {
    struct ctl c = {0};
    int rc = ctl_parse(&c, argc, argv,
                       "usage: rankctl config [options]\n\n"
                       "Prints the configuration the daemon runs with and where each value came from.\n",
                       0, 0);
    if (rc >= 0) return rc;
    rc = ctl_open(&c);
    if (rc == CTL_DONE) rc = print_text(&c, "/admin/config");
    ctl_close(&c);
    return rc;
}

int ctl_metrics(int argc, char **argv) {
    struct ctl c = {0};
    struct jdoc *j = NULL;
    char url[128], at[80];
    int rc = ctl_parse(&c, argc, argv,
                       "usage: rankctl metrics [options]\n\n"
                       "Asks the daemon where its metrics listener is and prints what that says.\n",
                       0, 0);
    if (rc >= 0) return rc;
    c.json = false;
    rc = ctl_open(&c);
    if (rc == CTL_DONE) rc = ctl_ask(&c, "/admin/status", NULL, no_body, &j);
    if (j) {
        struct slice address = jdoc_text(jdoc_get(jdoc_root(j), "addresses.metrics"), "");
        snprintf(url, sizeof url, "http://%s/metrics", ctl_clean(at, sizeof at, address));
        if (address.n)
            rc = print_text(&c, url);
        else
            ctl_say("this daemon has no metrics listener (metrics.listen is empty)"), rc = CTL_FAILED;
    }
    jdoc_free(j);
    ctl_close(&c);
    return rc;
}
