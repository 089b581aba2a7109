/* rankd backtest. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backtest_course.h"
#include "daemon/cmd.h"
#include "daemon/ctl.h"
#include "daemon/log.h"
#include "lib/base/clock.h"
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

enum {
    LOG = 256,
    FORMAT,
    COLUMNS,
    HEADER,
    TYPE,
    SERIAL,
    EVERY,
    SKIP,
    TRAIN_UNTIL,
    FREEZE,
    CHOOSE,
    TARGETS,
    REPEATS,
    KEEP_USED,
    COLD,
    CUTS,
    REPORT,
    BASELINES,
    ABLATIONS,
    SEEDS,
    RANDOM,
    JOBS,
    QUIET
};

static bool take_number(const char *text, double min, double max, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (*end || end == text || !(v >= min && v <= max)) return false;
    *out = v;
    return true;
}

/* A share of the log, or a time. */
static bool take_until(const char *text, struct backtest_protocol *p) {
    double v;
    if (take_number(text, 0, 1, &v)) {
        p->skip = v;
        return true;
    }
    if (take_number(text, 1e8, 253402300799999.0, &v)) {
        p->until_ms = (int64_t)(v < 1e11 ? v * 1000 : v);
        return true;
    }
    return clock_parse(slice_str(text), &p->until_ms);
}

static bool take_count(const char *text, double max, uint64_t *out) {
    double v;
    if (!take_number(text, 1, max, &v) || v != floor(v)) return false;
    *out = (uint64_t)v;
    return true;
}

static bool take_protocol(int opt, char *arg, struct backtest_protocol *p) {
    switch (opt) {
    case EVERY:
        return take_count(arg, 1e15, &p->every);
    case SKIP:
        return take_number(arg, 0, 1, &p->skip);
    case TRAIN_UNTIL:
        return take_until(arg, p);
    case FREEZE:
        return p->freeze = true;
    case CHOOSE:
        return take_number(arg, 0, 1, &p->choose);
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

static bool take_option(int opt, char *arg, struct backtest_options *o) {
    uint64_t n;
    switch (opt) {
    case FORMAT:
        return form_parse(arg, &o->input.form.format);
    case COLUMNS:
        o->input.form.columns = arg;
        return true;
    case HEADER:
        return o->input.form.header = true;
    case TYPE:
        o->input.type = arg;
        return true;
    case SERIAL:
        return o->input.serial = true;
    case REPORT:
        o->report = arg;
        return true;
    case BASELINES:
        o->baselines = arg;
        return true;
    case ABLATIONS:
        return o->ablations = true;
    case SEEDS:
        return take_count(arg, 1000, &o->wish.seeds);
    case RANDOM:
        return take_count(arg, BACKTEST_MAX_POINTS, &o->wish.random);
    case JOBS:
        if (!take_count(arg, 1024, &n)) return false;
        o->jobs = (unsigned)n;
        return true;
    case QUIET:
        return o->quiet = true;
    default:
        return take_protocol(opt, arg, &o->protocol);
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
                                            {"train-until", 1, NULL, TRAIN_UNTIL},
                                            {"freeze", 0, NULL, FREEZE},
                                            {"choose", 1, NULL, CHOOSE},
                                            {"targets", 1, NULL, TARGETS},
                                            {"repeats", 0, NULL, REPEATS},
                                            {"keep-used", 0, NULL, KEEP_USED},
                                            {"cold", 1, NULL, COLD},
                                            {"k", 1, NULL, CUTS},
                                            {"report", 1, NULL, REPORT},
                                            {"baselines", 1, NULL, BASELINES},
                                            {"ablations", 0, NULL, ABLATIONS},
                                            {"seeds", 1, NULL, SEEDS},
                                            {"random", 1, NULL, RANDOM},
                                            {"jobs", 1, NULL, JOBS},
                                            {"quiet", 0, NULL, QUIET},
                                            CMD_LONG};
    static char *logs[MAX_INPUTS], *configs[MAX_INPUTS];
    struct cmd_common c = {0};
    struct rejects rejects = {0};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct backtest_options o = {.wish = {.files = configs, .options = c.overrides, .seeds = 1},
                                 .input = {.files = logs, .reject = show_reject, .arg = &rejects},
                                 .protocol = {.every = 1,
                                              .skip = 0.2,
                                              .until_ms = EVENT_NO_TIME,
                                              .choose = -1,
                                              .cuts = {5, 10, 20, 50, 100},
                                              .n_cuts = 5},
                                 .jobs = cores > 0 ? (unsigned)cores : 1};
    int at = 0;
    for (int opt; (opt = getopt_long(argc, argv, CMD_SHORT, options, &at)) != -1;) {
        if (opt == 'h') {
            fputs(help, stdout);
            return EXIT_DONE;
        }
        if (opt == LOG) {
            logs[o.input.n_files++] = optarg;
            while (optind < argc && argv[optind][0] != '-' && o.input.n_files < MAX_INPUTS)
                logs[o.input.n_files++] = argv[optind++];
        } else if (opt == 'c' && o.wish.n_files < MAX_INPUTS) {
            configs[o.wish.n_files++] = optarg;
        } else if (opt > LOG && !take_option(opt, optarg, &o)) {
            fprintf(stderr, "rankd: --%s %s: not a value it takes; see rankd backtest --help\n", options[at].name,
                    optarg);
            return EXIT_BAD_USE;
        } else if (opt < LOG && cmd_option(&c, opt, optarg) != 0) {
            return EXIT_BAD_USE;
        }
    }
    if (o.input.n_files == 0 || optind < argc) {
        fputs("rankd: backtest needs --log FILE...; see rankd backtest --help\n", stderr);
        return EXIT_BAD_USE;
    }
    struct err e;
    o.wish.n_options = c.n_overrides;
    o.json = c.json;
    log_set_level(LOG_WARN); /* the result is what matters here */
    int rc = backtest_course(&o, &e);
    if (rc < 0) fprintf(stderr, "rankd: %s\n", e.text);
    return rc == 0 ? EXIT_DONE : rc == ERR_RANGE || rc == ERR_SYNTAX ? EXIT_BAD_USE : EXIT_FAILED_RUN;
}
