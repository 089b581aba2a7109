/* rankd backtest. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backtest.h"
#include "daemon/cmd.h"
#include "daemon/ctl.h"
#include "daemon/log.h"
#include "lib/model/topk.h"

#define MAX_INPUTS 4096
#define LISTED     20 /* lines that cannot be used, shown on stderr */

static const char help[] =
    "usage: rankd backtest --log FILE... [-c FILE] [-o section.key=value]... [options]\n\n"
    "Learns a log and, before each event, ranks all candidates for its user with the daemon's own code.\n"
    "  --log FILE...     TSV, CSV or JSON Lines, plain, gzip or zstd, oldest first\n"
    "  --format F        jsonl, tsv or csv (else by name and content)\n"
    "  --columns NAME,.. columns of TSV and CSV: ts,user,item,type if nothing else says\n"
    "  --header          the first line is a header even if it names nothing known\n"
    "  --type T          type of events that name none\n"
    "  --serial          line by line; else the lines of one user at one stamp are one moment\n"
    "  --every K         judge every K-th line (default 1); changes nothing of what is learned\n"
    "  --skip SHARE      of the lines at the start, not scored (default 0.2)\n"
    "  --targets T,..    types to be predicted (default: all of positive weight)\n"
    "  --repeats         judge items that the user has had, too\n"
    "  --keep-used       let the ranking hold items that the user has had\n"
    "  --cold miss|skip  what a target never seen before counts as (default miss)\n"
    "  --k N,..          lengths of the list (default 5,10,20,50,100)\n"
    "  --json            the result as one JSON object\n";

struct rejects {
    uint64_t n;
};

static void show_reject(void *arg, const char *file, uint64_t line, const char *reason, const char *text) {
    struct rejects *r = arg;
    char clean[400];
    if (r->n++ >= LISTED) return;
    fprintf(stderr, "%s:%llu: %s: %s\n", file, (unsigned long long)line, reason,
            ctl_clean(clean, sizeof clean, slice_str(text)));
    if (r->n == LISTED) fputs("further ones are counted\n", stderr);
}

static bool read_cuts(char *text, struct backtest_protocol *p) {
    p->n_cuts = 0;
    for (char *save = NULL, *one = strtok_r(text, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        char *end;
        unsigned long k = strtoul(one, &end, 10);
        bool above = p->n_cuts == 0 || k > p->cuts[p->n_cuts - 1];
        if (*end || k < 1 || k > TOPK_MAX || !above || p->n_cuts == BACKTEST_MAX_CUTS) return false;
        p->cuts[p->n_cuts++] = (uint32_t)k;
    }
    return p->n_cuts > 0;
}

static void print_result(const struct backtest_log *l, const struct backtest_table *t, const struct backtest_cases *c,
                         const struct backtest_protocol *p, const struct backtest_figures *f) {
    double ndcg = 0, recall = 0, mrr = 0, n = (double)(c->n - c->figures_from);
    for (size_t k = c->figures_from; k < c->n; k++) {
        if (f->rank[k] >= 20) continue;
        ndcg += 1 / log2((double)f->rank[k] + 2);
        recall += 1;
        mrr += 1 / ((double)f->rank[k] + 1);
    }
    if (n == 0) n = 1;
    printf(
        "{\"protocol\":{\"lines\":%llu,\"rejected\":%llu,\"every\":%llu,\"skip\":%g,\"digest\":\"%s\"},\"models\":[{"
        "\"name\":\"rankd\",\"events\":%zu,\"ndcg@20\":%.6f,\"recall@20\":%.6f,\"mrr@20\":%.6f,\"events_per_s\":%.0f,"
        "\"cpu_s\":%.3f,\"peak_bytes\":%llu}]}\n",
        (unsigned long long)t->lines, (unsigned long long)l->rejected, (unsigned long long)p->every, p->skip, f->digest,
        c->n - c->figures_from, ndcg / n, recall / n, mrr / n, (double)f->events * 1e9 / (double)f->cpu_ns,
        (double)f->cpu_ns / 1e9, (unsigned long long)f->peak_bytes);
}

static int run(struct config *config, struct backtest_input *in, const struct backtest_protocol *p, struct err *e) {
    struct backtest_log log;
    struct backtest_table table = {.n = 0};
    struct backtest_cases cases = {.n = 0};
    struct backtest_figures figures = {.events = 0};
    char dir[] = "/tmp/rankd-backtest-XXXXXX";
    backtest_log_init(&log);
    in->config = config;
    int rc = mkdtemp(dir) ? 0 : err_set(e, ERR_IO, "report", "no directory can be made in /tmp");
    if (rc == 0) rc = backtest_read_files(&log, in, e);
    if (rc == 0) rc = backtest_table_make(&log, in, !in->serial, &table, e);
    if (rc == 0) rc = backtest_table_add_types(&table, config, e);
    if (rc == 0) rc = backtest_cases_make(&table, p, &cases, e);
    if (rc == 0) rc = backtest_run_model(config, &log, in, &table, &cases, p, dir, NULL, &figures, e);
    if (rc == 0) print_result(&log, &table, &cases, p, &figures);
    rmdir(dir);
    backtest_figures_free(&figures);
    backtest_cases_free(&cases);
    backtest_table_free(&table);
    backtest_log_free(&log);
    return rc;
}

enum { LOG = 256, FORMAT, COLUMNS, HEADER, TYPE, SERIAL, EVERY, SKIP, TARGETS, REPEATS, KEEP_USED, COLD, CUTS };

static bool take_number(const char *text, double min, double max, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (*end || end == text || !(v >= min && v <= max)) return false;
    *out = v;
    return true;
}

static bool take_option(int opt, char *arg, struct backtest_input *in, struct backtest_protocol *p) {
    double v;
    switch (opt) {
    case FORMAT:
        return form_parse(arg, &in->form.format);
    case COLUMNS:
        in->form.columns = arg;
        return true;
    case HEADER:
        return in->form.header = true;
    case TYPE:
        in->type = arg;
        return true;
    case SERIAL:
        return in->serial = true;
    case EVERY:
        if (!take_number(arg, 1, 1e15, &v)) return false;
        p->every = (uint64_t)v;
        return true;
    case SKIP:
        return take_number(arg, 0, 1, &p->skip);
    case TARGETS:
        p->targets = arg;
        return true;
    case REPEATS:
        return p->repeats = true;
    case KEEP_USED:
        return p->keep_used = true;
    case COLD:
        p->skip_cold = strcmp(arg, "skip") == 0;
        return p->skip_cold || strcmp(arg, "miss") == 0;
    default:
        return read_cuts(arg, p);
    }
}

int cmd_backtest(int argc, char **argv) {
    static const struct option options[] = {{"log", 1, NULL, LOG},
                                            {"format", 1, NULL, FORMAT},
                                            {"columns", 1, NULL, COLUMNS},
                                            {"header", 0, NULL, HEADER},
                                            {"type", 1, NULL, TYPE},
                                            {"serial", 0, NULL, SERIAL},
                                            {"every", 1, NULL, EVERY},
                                            {"skip", 1, NULL, SKIP},
                                            {"targets", 1, NULL, TARGETS},
                                            {"repeats", 0, NULL, REPEATS},
                                            {"keep-used", 0, NULL, KEEP_USED},
                                            {"cold", 1, NULL, COLD},
                                            {"k", 1, NULL, CUTS},
                                            CMD_LONG};
    static char *files[MAX_INPUTS], none[] = "events.max_clock_step=none";
    struct cmd_common c = {.overrides = {none}, .n_overrides = 1};
    struct rejects rejects = {0};
    struct backtest_input in = {.files = files, .reject = show_reject, .arg = &rejects};
    struct backtest_protocol p = {.every = 1, .skip = 0.2, .cuts = {5, 10, 20, 50, 100}, .n_cuts = 5};
    int at = 0;
    for (int opt; (opt = getopt_long(argc, argv, CMD_SHORT, options, &at)) != -1;) {
        if (opt == 'h') {
            fputs(help, stdout);
            return EXIT_DONE;
        }
        if (opt == LOG) {
            files[in.n_files++] = optarg;
            while (optind < argc && argv[optind][0] != '-' && in.n_files < MAX_INPUTS)
                files[in.n_files++] = argv[optind++];
        } else if (opt > LOG && !take_option(opt, optarg, &in, &p)) {
            fprintf(stderr, "rankd: --%s %s: not a value it takes; see rankd backtest --help\n", options[at].name,
                    optarg);
            return EXIT_BAD_USE;
        } else if (opt < LOG && cmd_option(&c, opt, optarg) != 0) {
            return EXIT_BAD_USE;
        }
    }
    if (in.n_files == 0 || optind < argc) {
        fputs("rankd: backtest needs --log FILE...; see rankd backtest --help\n", stderr);
        return EXIT_BAD_USE;
    }
    struct config config;
    struct err e;
    if (cmd_load(&c, &config) != 0) return EXIT_BAD_USE;
    log_set_level(LOG_WARN); /* the result is what matters here */
    int rc = run(&config, &in, &p, &e);
    if (rc < 0) fprintf(stderr, "rankd: %s\n", e.text);
    config_free(&config);
    return rc < 0 ? EXIT_FAILED_RUN : EXIT_DONE;
}
