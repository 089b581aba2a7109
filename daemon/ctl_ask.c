/* rankctl recommend, score, similar, popular, factors, post, erase. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/ctl.h"

#define JSON       "application/json"
#define JSON_LINES "application/x-ndjson"
#define MAX_POST   (1u << 30)
#define MAX_TEXT   65536u

static void print_items(struct jdoc_value reply) {
    struct ctl_table t;
    struct jdoc_value items = jdoc_get(reply, "items");
    char n[24], score[32], item[300];
    ctl_table_init(&t, "><>");
    for (size_t k = 0; k < jdoc_count(items); k++) {
        struct jdoc_value i = jdoc_at(items, k), s = jdoc_get(i, "score");
        snprintf(n, sizeof n, "%zu", k + 1);
        snprintf(score, sizeof score, "%.4f", jdoc_number(s, 0));
        ctl_table_add(&t, n);
        ctl_table_add(&t, ctl_clean(item, sizeof item, jdoc_text(jdoc_get(i, "item"), "-")));
        ctl_table_add(&t, jdoc_kind_of(s) == JDOC_NUMBER ? score : "unknown");
    }
    ctl_table_print(&t);
    char basis[32], as_of[40], count[CTL_TEXT];
    printf("%zu item%s%s%s, model of sequence %s, current to %s\n", jdoc_count(items),
           jdoc_count(items) == 1 ? "" : "s", jdoc_text(jdoc_get(reply, "basis"), "").n ? ", basis " : "",
           ctl_clean(basis, sizeof basis, jdoc_text(jdoc_get(reply, "basis"), "")),
           ctl_count(count, (uint64_t)jdoc_integer(jdoc_get(reply, "sequence"), 0)),
           ctl_clean(as_of, sizeof as_of, jdoc_text(jdoc_get(reply, "as_of"), "the beginning")));
}

static void join_extremes(struct buf *b, struct jdoc_value items) {
    char item[300];
    buf_clear(b);
    for (size_t k = 0; k < jdoc_count(items); k++)
        buf_printf(b, "%s%s %.2f", k ? ", " : "",
                   ctl_clean(item, sizeof item, jdoc_text(jdoc_get(jdoc_at(items, k), "item"), "-")),
                   jdoc_number(jdoc_get(jdoc_at(items, k), "value"), 0));
}

static void print_factors(struct jdoc_value reply) {
    struct ctl_table t;
    struct jdoc_value factors = jdoc_get(reply, "factors");
    struct buf ends;
    char number[24], deviation[32];
    buf_init(&ends, MAX_TEXT);
    ctl_table_init(&t, ">><");
    for (size_t k = 0; k < jdoc_count(factors); k++) {
        struct jdoc_value f = jdoc_at(factors, k);
        snprintf(number, sizeof number, "%lld", (long long)jdoc_integer(jdoc_get(f, "dimension"), 0));
        snprintf(deviation, sizeof deviation, "%.4f", jdoc_number(jdoc_get(f, "deviation"), 0));
        for (int end = 0; end < 2; end++) {
            join_extremes(&ends, jdoc_get(f, end ? "lowest" : "highest"));
            ctl_table_add(&t, end ? "" : number);
            ctl_table_add(&t, end ? "" : deviation);
            ctl_table_add(&t, ends.n ? ends.p : "-");
        }
    }
    printf("dimension, deviation, highest and lowest of %lld items\n",
           (long long)jdoc_integer(jdoc_get(reply, "items_considered"), 0));
    ctl_table_print(&t);
    buf_free(&ends);
}

/* Sends what was built and prints the reply. Frees the buffers. */
static int ask(struct ctl *c, struct buf *path, struct buf *body, void (*print)(struct jdoc_value reply)) {
    struct jdoc *j = NULL;
    int rc = CTL_FAILED;
    if (path->failed || (body && body->failed))
        ctl_say("the request is too long");
    else
        rc = ctl_open(c);
    if (rc == CTL_DONE) rc = ctl_ask(c, path->p, JSON, body ? slice_of(body->p, body->n) : slice_of(NULL, 0), &j);
    if (j) print(jdoc_root(j));
    jdoc_free(j);
    ctl_close(c);
    buf_free(path);
    if (body) buf_free(body);
    return rc;
}

static int ask_list(struct ctl *c, struct buf *path, struct buf *body) { return ask(c, path, body, print_items); }

static void start_path(struct buf *path, const char *route) {
    buf_init(path, 8000);
    buf_add_str(path, route);
}

static const struct option list_options[] = {{"k", 1, NULL, 'k'},         {"history", 1, NULL, 'H'},
                                             {"exclude", 1, NULL, 'x'},   {"cart", 1, NULL, 'C'},
                                             {"keep-used", 0, NULL, 'K'}, CTL_LONG};

/* Options of a list, written into the query; which: the letters allowed. -1: go on. */
static int list_query(struct ctl *c, int argc, char **argv, const char *help, const char *which, struct buf *path) {
    uint64_t k;
    for (int opt; (opt = getopt_long(argc, argv, CTL_SHORT "k:", list_options, NULL)) != -1;) {
        if (opt == 'h') {
            printf("%s\n" CTL_OPTIONS_HELP, help);
            return CTL_DONE;
        }
        if (strchr("kHxCK", opt) && !strchr(which, opt)) {
            ctl_say("%s has no such option", argv[0]);
            return CTL_BAD_USE;
        }
        if (opt == 'k' && !ctl_number("-k", optarg, 1, 1000000, &k)) return CTL_BAD_USE;
        if (opt == 'k')
            ctl_add_query(path, "k", optarg);
        else if (opt == 'H')
            ctl_add_query(path, "history", optarg);
        else if (opt == 'C')
            ctl_add_query(path, "cart", optarg);
        else if (opt == 'x')
            ctl_add_query(path, "exclude", optarg);
        else if (opt == 'K')
            ctl_add_query(path, "keep_used", "true");
        else if (ctl_option(c, opt, optarg) != 0)
            return CTL_BAD_USE;
    }
    return -1;
}

int ctl_recommend(int argc, char **argv) {
    struct ctl c = {0};
    struct buf path;
    start_path(&path, "/v1/recommend");
    int rc =
        list_query(&c, argc, argv,
                   "usage: rankctl recommend [USER] [-k N] [--history ITEM,..] [--cart ITEM,..] [--exclude ITEM,..]\n"
                   "                         [--keep-used]\n\n"
                   "The items the user is likely to want next, best first. Without USER: for an anonymous visitor\n"
                   "with the given history.\n\n"
                   "  -k N                   how many (default 20)\n"
                   "  --history ITEM,..      items just touched, oldest first\n"
                   "  --cart ITEM,..         items in the cart: what goes with them, without them\n"
                   "  --exclude ITEM,..      items that must not come\n"
                   "  --keep-used            items the user had may come\n",
                   "kHxCK", &path);
    if (rc < 0 && argc - optind > 1) {
        ctl_say("one user is wanted");
        rc = CTL_BAD_USE;
    }
    if (rc >= 0) {
        buf_free(&path);
        return rc;
    }
    if (optind < argc) ctl_add_query(&path, "user", argv[optind]);
    return ask_list(&c, &path, NULL);
}

int ctl_similar(int argc, char **argv) {
    struct ctl c = {0};
    struct buf path;
    start_path(&path, "/v1/similar");
    int rc = list_query(&c, argc, argv,
                        "usage: rankctl similar ITEM [-k N] [options]\n\n"
                        "Items whose embeddings are nearest to that of ITEM.\n\n"
                        "  -k N                   how many (default 20)\n",
                        "k", &path);
    if (rc < 0 && argc - optind != 1) {
        ctl_say("one item is wanted");
        rc = CTL_BAD_USE;
    }
    if (rc >= 0) {
        buf_free(&path);
        return rc;
    }
    ctl_add_query(&path, "item", argv[optind]);
    return ask_list(&c, &path, NULL);
}

/* A route that takes k and nothing else. */
static int ask_for_k(int argc, char **argv, const char *route, const char *help,
                     void (*print)(struct jdoc_value reply)) {
    struct ctl c = {0};
    struct buf path;
    start_path(&path, route);
    int rc = list_query(&c, argc, argv, help, "k", &path);
    if (rc < 0 && optind < argc) {
        ctl_say("unexpected argument \"%s\"", argv[optind]);
        rc = CTL_BAD_USE;
    }
    if (rc >= 0) {
        buf_free(&path);
        return rc;
    }
    return ask(&c, &path, NULL, print);
}

int ctl_popular(int argc, char **argv) {
    return ask_for_k(argc, argv, "/v1/popular",
                     "usage: rankctl popular [-k N] [options]\n\n"
                     "What is popular now.\n\n"
                     "  -k N                   how many (default 20)\n",
                     print_items);
}

int ctl_factors(int argc, char **argv) {
    return ask_for_k(
        argc, argv, "/v1/factors",
        "usage: rankctl factors [-k N] [options]\n\n"
        "What each dimension of the item embeddings is about: its extreme items among the popular ones.\n\n"
        "  -k N                   how many at each end (default 5)\n",
        print_factors);
}

int ctl_score(int argc, char **argv) {
    struct ctl c = {0};
    struct buf path, body;
    int rc = ctl_parse(&c, argc, argv,
                       "usage: rankctl score USER ITEM... [options]\n\n"
                       "The user's scores of the given items, best first.\n",
                       2, 100000);
    if (rc >= 0) return rc;
    start_path(&path, "/v1/score");
    buf_init(&body, MAX_POST);
    buf_add_str(&body, "{\"user\":");
    buf_add_json(&body, slice_str(argv[optind]));
    buf_add_str(&body, ",\"items\":[");
    for (int k = optind + 1; k < argc; k++) {
        if (k > optind + 1) buf_add_char(&body, ',');
        buf_add_json(&body, slice_str(argv[k]));
    }
    buf_add_str(&body, "]}");
    return ask_list(&c, &path, &body);
}

static int read_all(const char *path, struct buf *out) {
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char chunk[65536];
    if (!f) {
        ctl_say("%s: %s", path, strerror(errno));
        return CTL_BAD_USE;
    }
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) buf_add(out, chunk, n);
    bool broken = ferror(f) != 0;
    if (f != stdin) fclose(f);
    if (!broken && !out->failed) return CTL_DONE;
    ctl_say("%s: %s", path, broken ? "cannot be read" : "is too long for one request; rankctl load takes any length");
    return CTL_BAD_USE;
}

static void print_rejected(struct jdoc_value reply) {
    struct jdoc_value list = jdoc_get(reply, "rejected");
    char reason[40], message[500];
    for (size_t k = 0; k < jdoc_count(list); k++) {
        struct jdoc_value r = jdoc_at(list, k);
        fprintf(stderr, "event %lld: %s: %s\n", (long long)jdoc_integer(jdoc_get(r, "index"), -1) + 1,
                ctl_clean(reason, sizeof reason, jdoc_text(jdoc_get(r, "reason"), "rejected")),
                ctl_clean(message, sizeof message, jdoc_text(jdoc_get(r, "message"), "")));
    }
}

/* Posts events. CTL_FAILED too when one of them was rejected. */
static int post_events(struct ctl *c, struct slice body, const char *done) {
    struct ctl_reply r;
    struct jdoc *j = NULL;
    ctl_reply_init(&r);
    int rc = ctl_open(c);
    if (rc == CTL_DONE) {
        rc = ctl_request(c, "/v1/events", JSON_LINES, body, &r);
        if (rc == CTL_UNREACHABLE) ctl_say("the daemon cannot be reached: %s", r.why);
    }
    if (rc == CTL_DONE && c->json) printf("%.*s\n", (int)r.body.n, r.body.p ? r.body.p : "");
    if (rc == CTL_DONE && jdoc_parse(slice_of(r.body.p, r.body.n), &j, NULL) == 0 &&
        jdoc_kind_of(jdoc_get(jdoc_root(j), "accepted")) == JDOC_NUMBER) {
        struct jdoc_value a = jdoc_root(j);
        char n[CTL_TEXT];
        int64_t rejected = jdoc_integer(jdoc_get(a, "rejected_total"), 0),
                ok = jdoc_integer(jdoc_get(a, "accepted"), 0);
        print_rejected(a);
        if (!c->json && done && rejected == 0) puts(done);
        if (!c->json && !done)
            printf("%s accepted, %lld without id, %lld rejected\n", ctl_count(n, (uint64_t)ok),
                   (long long)jdoc_integer(jdoc_get(a, "without_id"), 0), (long long)rejected);
        if (rejected) rc = CTL_FAILED;
    } else if (rc == CTL_DONE) {
        ctl_say_error(&r);
        rc = CTL_FAILED;
    }
    jdoc_free(j);
    ctl_reply_free(&r);
    ctl_close(c);
    return rc;
}

int ctl_post(int argc, char **argv) {
    struct ctl c = {0};
    struct buf body;
    int rc = ctl_parse(&c, argc, argv,
                       "usage: rankctl post FILE|- [options]\n\n"
                       "Sends one JSON object, an array of objects or JSON Lines in one request; - is standard input.\n"
                       "All types are accepted here. Long logs: rankctl load.\n",
                       1, 1);
    if (rc >= 0) return rc;
    buf_init(&body, MAX_POST);
    rc = read_all(argv[optind], &body);
    if (rc == CTL_DONE) rc = post_events(&c, slice_of(body.p ? body.p : "", body.n), NULL);
    buf_free(&body);
    return rc;
}

int ctl_erase(int argc, char **argv) {
    struct ctl c = {0};
    struct buf body;
    int rc = ctl_parse(&c, argc, argv,
                       "usage: rankctl erase user|item ID [options]\n\n"
                       "Posts a delete event: the user or the item is gone from the model as soon as it is learned.\n",
                       2, 2);
    if (rc >= 0) return rc;
    const char *what = argv[optind];
    if (strcmp(what, "user") != 0 && strcmp(what, "item") != 0) {
        ctl_say("erase %s: user or item is wanted", what);
        return CTL_BAD_USE;
    }
    buf_init(&body, 65536);
    buf_printf(&body, "{\"type\":\"delete\",\"%s\":", what);
    buf_add_json(&body, slice_str(argv[optind + 1]));
    buf_add_char(&body, '}');
    rc = post_events(&c, slice_of(body.p, body.n), "accepted and durable; gone once it is learned");
    buf_free(&body);
    return rc;
}
