/* rankctl load: an existing log into the intake or into a Kafka topic. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/ctl_load.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define DEFAULT_BATCH  5000
#define DEFAULT_BASKET 1000
#define MAX_BODY       (64u << 20)

volatile int load_interrupted;

static void on_signal(int number) { load_interrupted = number; }

static const char help[] =
    "usage: rankctl load FILE... [options]\n"
    "\n"
    "Brings an existing log: JSON Lines, TSV or CSV, plain, gzip or zstd; - is standard input. Events go to the\n"
    "daemon's intake in the order of the files, or straight into a Kafka topic. Each line gets an id made of the\n"
    "file's name, its size and the line number unless it has one, so that a line loaded twice is learned once.\n"
    "Load a log in the order of time, oldest first.\n"
    "\n"
    "What is in the files:\n"
    "  --format F             jsonl, tsv or csv (else by name and content)\n"
    "  --columns NAME,..      columns of TSV and CSV: ts, user, item, type, id, quantity, price, value, session,\n"
    "                         request; - for one not used. Without it the header line names them; a TSV without\n"
    "                         header is ts,user,item,type\n"
    "  --header               the first line is a header even if it names nothing known\n"
    "  --type T               type of events that name none\n"
    "  --baskets              adjacent lines of the same user, type and ts become one event with items\n"
    "  --max-basket N         most items in one (default 1000, as the daemon's events.max_basket)\n"
    "\n"
    "Where they go:\n"
    "  --kafka TOPIC          into this topic instead of the intake, keyed by user\n"
    "  --brokers HOST:PORT,.. of the cluster (else kafka.brokers of the configuration, with its rdkafka options)\n"
    "  --batch N              events in one request (default 5000)\n"
    "\n"
    "  --resume               go on where an interrupted load stopped: FILE.rankd-load says where\n"
    "  --bad FILE             all lines not loaded, as JSON Lines; the first 20 are shown in any case\n"
    "\n"
    "A ts of a TSV or CSV is seconds with or without decimals, milliseconds, RFC 3339, or in UTC without a zone:\n"
    "2014-04-01 03:08:52, 2014-04-01T03:08 or 2014-04-01. With --baskets all lines of a user with one ts are one\n"
    "event, with dates alone those of a day.\n"
    "Exit code 1 also when a line was rejected.\n";

void load_bad(struct load *l, uint64_t line, const char *reason, const char *message, struct slice text) {
    char clean[400], why[40];
    struct buf b;
    l->rejected++;
    if (l->n_bad++ < LOAD_LISTED) {
        load_clear_line(l);
        fprintf(stderr, "%s:%llu: %s: %s\n", l->path, (unsigned long long)line,
                ctl_clean(why, sizeof why, slice_str(reason)), ctl_clean(clean, sizeof clean, slice_str(message)));
        if (l->n_bad == LOAD_LISTED) fprintf(stderr, "further ones are counted%s\n", l->bad ? " and written" : "");
    }
    if (!l->bad) return;
    buf_init(&b, MAX_BODY);
    buf_add_str(&b, "{\"file\":");
    buf_add_json(&b, slice_str(l->path));
    buf_printf(&b, ",\"line\":%llu,\"reason\":", (unsigned long long)line);
    buf_add_json(&b, slice_str(reason));
    buf_add_str(&b, ",\"message\":");
    buf_add_json(&b, slice_str(message));
    buf_add_str(&b, ",\"text\":");
    buf_add_json(&b, text);
    buf_add_str(&b, "}\n");
    if (!b.failed) fwrite(b.p, 1, b.n, l->bad);
    buf_free(&b);
}

/* --- the ring --- */

static size_t ring_size(const struct load *l) { return l->sink.in_flight + 1; }

struct load_batch *load_current(struct load *l) {
    return &l->ring[(l->oldest + l->n_flying) % ring_size(l)];
}

static void clear_batch(struct load_batch *b) {
    buf_clear(&b->body);
    buf_clear(&b->keys);
    b->n = b->left = 0;
    b->accepted = b->without_id = 0;
}

static int settle_oldest(struct load *l) {
    struct load_batch *b = &l->ring[l->oldest];
    int rc = l->sink.settle(l->sink.impl, b);
    l->accepted += b->accepted;
    l->without_id += b->without_id;
    if (rc != CTL_DONE) return rc;
    load_state_write(l, b->next);
    clear_batch(b);
    l->oldest = (l->oldest + 1) % ring_size(l);
    l->n_flying--;
    return CTL_DONE;
}

int load_submit(struct load *l) {
    int rc = CTL_DONE;
    struct load_place next = load_current(l)->next;
    if (load_current(l)->n == 0) return CTL_DONE;
    while (rc == CTL_DONE && l->n_flying >= l->sink.in_flight) rc = settle_oldest(l);
    if (rc == CTL_DONE) rc = l->sink.submit(l->sink.impl, load_current(l));
    if (rc != CTL_DONE) return rc;
    l->n_flying++;
    load_current(l)->next = next;
    load_progress(l, false);
    return CTL_DONE;
}

int load_finish(struct load *l) {
    int rc = load_submit(l);
    while (rc == CTL_DONE && l->n_flying) rc = settle_oldest(l);
    return rc;
}

static int make_ring(struct load *l) {
    l->ring = mem_zalloc(ring_size(l) * sizeof *l->ring);
    bool ok = l->ring != NULL;
    for (size_t k = 0; ok && k < ring_size(l); k++) {
        buf_init(&l->ring[k].body, MAX_BODY);
        buf_init(&l->ring[k].keys, MAX_BODY);
        l->ring[k].max = l->o->batch;
        l->ring[k].events = mem_alloc(l->o->batch * sizeof *l->ring[k].events);
        ok = l->ring[k].events != NULL;
    }
    if (!ok) ctl_say("no memory");
    return ok ? CTL_DONE : CTL_FAILED;
}

static void free_ring(struct load *l) {
    for (size_t k = 0; l->ring && k < ring_size(l); k++) {
        buf_free(&l->ring[k].body);
        buf_free(&l->ring[k].keys);
        mem_free(l->ring[k].events);
    }
    mem_free(l->ring);
}

/* --- files --- */

static int load_file(struct load *l, const char *path) {
    struct load_place from;
    struct err e;
    char n[CTL_TEXT];
    l->path = path;
    int rc = load_state_begin(l, &from);
    if (rc != CTL_DONE) return rc;
    if (unpack_open(path, &l->unpack, &e) < 0) {
        load_clear_line(l);
        ctl_say("%s", e.text);
        return CTL_BAD_USE;
    }
    if (from.offset && !l->terminal) fprintf(stderr, "%s: goes on at line %s\n", path, ctl_count(n, from.line));
    rc = load_feed(l, from);
    if (rc == CTL_DONE) rc = load_finish(l);
    if (rc == CTL_DONE && !load_interrupted) load_state_done(l);
    l->bytes_done += unpack_size(l->unpack);
    unpack_close(l->unpack);
    l->unpack = NULL;
    return rc;
}

/* The size of all files, for the progress; false when one cannot be loaded. */
static bool survey(struct load *l, char **paths, int n) {
    struct stat st;
    bool known = true;
    for (int k = 0; k < n; k++) {
        if (strcmp(paths[k], "-") == 0) {
            known = false;
            continue;
        }
        if (stat(paths[k], &st) != 0) {
            ctl_say("%s: %s", paths[k], strerror(errno));
            return false;
        }
        if (S_ISREG(st.st_mode))
            l->bytes_all += (uint64_t)st.st_size;
        else
            known = false;
    }
    if (!known) l->bytes_all = 0;
    return true;
}

static int run(struct load *l, struct ctl *c, char **paths, int n) {
    struct sigaction on = {.sa_handler = on_signal};
    int rc = survey(l, paths, n) ? CTL_DONE : CTL_BAD_USE;
    if (rc == CTL_DONE && l->o->bad_path && !(l->bad = fopen(l->o->bad_path, "we"))) {
        ctl_say("%s: %s", l->o->bad_path, strerror(errno));
        rc = CTL_BAD_USE;
    }
    if (rc == CTL_DONE) rc = l->o->kafka_topic ? load_sink_kafka(l, c, l->o, &l->sink) : load_sink_http(l, c, &l->sink);
    if (rc == CTL_DONE) rc = make_ring(l);
    sigaction(SIGINT, &on, NULL);
    sigaction(SIGTERM, &on, NULL);
    l->start_ns = l->shown_ns = l->rate_ns = clock_steady_ns();
    bool began = rc == CTL_DONE;
    for (int k = 0; k < n && rc == CTL_DONE && !load_interrupted; k++) rc = load_file(l, paths[k]);
    if (l->bad && fclose(l->bad) != 0 && rc == CTL_DONE) {
        ctl_say("%s: %s", l->o->bad_path, strerror(errno));
        rc = CTL_FAILED;
    }
    if (began && rc != CTL_BAD_USE && !(rc == CTL_UNREACHABLE && l->accepted == 0)) load_summary(l, c->json);
    if ((load_interrupted || rc != CTL_DONE) && l->keep_state && l->state_ns)
        fprintf(stderr, "not finished: the same command with --resume goes on\n");
    if (l->sink.close) l->sink.close(l->sink.impl);
    free_ring(l);
    return rc == CTL_DONE && (l->rejected || load_interrupted) ? CTL_FAILED : rc;
}

enum { FORMAT = 256, COLUMNS, HEADER, TYPE, BASKETS, MAX_BASKET, KAFKA, BROKERS, BATCH, RESUME, BAD };

static bool take_option(struct load_options *o, int opt, char *arg) {
    switch (opt) {
    case COLUMNS:
        o->form.columns = arg;
        return true;
    case HEADER:
        o->form.header = true;
        return true;
    case TYPE:
        o->type = arg;
        return true;
    case BASKETS:
        o->baskets = true;
        return true;
    case MAX_BASKET:
        return ctl_number("--max-basket", arg, 1, 10000, &o->max_basket);
    case KAFKA:
        o->kafka_topic = arg;
        return true;
    case BROKERS:
        o->brokers = arg;
        return true;
    case BATCH:
        return ctl_number("--batch", arg, 1, 100000, &o->batch);
    case RESUME:
        o->resume = true;
        return true;
    case BAD:
        o->bad_path = arg;
        return true;
    default:
        break;
    }
    if (form_parse(arg, &o->form.format)) return true;
    ctl_say("--format %s: jsonl, tsv or csv is wanted", arg);
    return false;
}

int ctl_load(int argc, char **argv) {
    static const struct option options[] = {
        {"format", 1, NULL, FORMAT}, {"columns", 1, NULL, COLUMNS}, {"header", 0, NULL, HEADER},
        {"type", 1, NULL, TYPE},     {"baskets", 0, NULL, BASKETS}, {"max-basket", 1, NULL, MAX_BASKET},
        {"kafka", 1, NULL, KAFKA},   {"brokers", 1, NULL, BROKERS}, {"batch", 1, NULL, BATCH},
        {"resume", 0, NULL, RESUME}, {"bad", 1, NULL, BAD},         CTL_LONG};
    struct ctl c = {0};
    struct load_options o = {.batch = DEFAULT_BATCH, .max_basket = DEFAULT_BASKET};
    for (int opt; (opt = getopt_long(argc, argv, CTL_SHORT, options, NULL)) != -1;) {
        if (opt == 'h') {
            printf("%s\n" CTL_OPTIONS_HELP, help);
            return CTL_DONE;
        }
        if (opt >= FORMAT ? !take_option(&o, opt, optarg) : ctl_option(&c, opt, optarg) != 0) return CTL_BAD_USE;
    }
    if (optind == argc || (o.brokers && !o.kafka_topic)) {
        ctl_say(optind == argc ? "load: a file is wanted; - is standard input" : "--brokers needs --kafka TOPIC");
        return CTL_BAD_USE;
    }
    struct load l = {.o = &o, .terminal = isatty(STDERR_FILENO) != 0};
    int rc = run(&l, &c, argv + optind, argc - optind);
    ctl_close(&c);
    return rc;
}
