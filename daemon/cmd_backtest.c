/* rankd backtest: its command line. */
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backtest_course.h"
#include "daemon/cmd.h"
#include "daemon/ctl.h"
#include "daemon/log.h"
#include "lib/base/clock.h"

#define MAX_INPUTS  4096
#define MAX_JOBS    1024
#define MAX_SEEDS   1000
#define TERMINAL_NS UINT64_C(200000000)
#define PLAIN_NS    UINT64_C(10000000000)
#define LISTED      20 /* lines that cannot be used, shown on stderr */

static const char help[] =
    "usage: rankd backtest --log FILE... [--items FILE] [--users FILE] [-c FILE]... [-o section.key=v1,v2,v3]... "
    "--report DIR [--json]\n"
    "\n"
    "Judges the model, baselines beside it and other configurations of it on a log: before each event all candidates "
    "are\n"
    "ranked for its user, then it is learned, by the daemon's own code. docs/backtest.md tells how to read the "
    "result.\n"
    "\n"
    "The log:\n"
    "  --log FILE...       TSV, CSV or JSON Lines, plain, gzip or zstd, oldest first; or rankd's own log: its "
    "directory or\n"
    "                      its segments\n"
    "  --format F          jsonl, tsv or csv (else by name and content)\n"
    "  --columns NAME,..   columns of TSV and CSV, - for one not used; without it the header line names them, and a "
    "TSV\n"
    "                      without header is ts,user,item,type. A ts is seconds with or without decimals, "
    "milliseconds,\n"
    "                      RFC 3339, or in UTC without a zone: 2014-04-01 03:08:52, 2014-04-01T03:08 or 2014-04-01\n"
    "  --header            the first line is a header even if it names nothing known\n"
    "  --type T            type of events that name none\n"
    "  --items FILE        item TAB feature,feature,...: known before the log begins; a feature is name=value or a "
    "value\n"
    "  --users FILE        the same of users: user TAB feature,feature,...\n"
    "  --kafka TOPIC...    topics of kafka.brokers instead of files\n"
    "  --journal DIR       data directory, not in use, whose journal gives the order of an own log or of topics; "
    "without it\n"
    "                      several partitions are merged by the time of their records\n"
    "  --source NAME       source that own logs stand for (default log)\n"
    "  --from X, --to X    of an own log or topics: from an offset in each partition or an RFC 3339 time on, and "
    "before one\n"
    "\n"
    "What is judged, the same for every model:\n"
    "  --serial            line by line. Default: the lines of one user at one stamp are one moment, judged from the "
    "state\n"
    "                      before it; an own log and topics are taken as they stand\n"
    "  --shuffle-ties SEED shuffle what has equal stamps; baskets are formed first and moved whole\n"
    "  --every K           judge every K-th line (default 1); changes no bit of the model\n"
    "  --skip SHARE        of the lines at the start, not scored (default 0.2)\n"
    "  --train-until X     score from a time (RFC 3339 or epoch) or a share of the lines on, instead of --skip\n"
    "  --freeze            learn nothing from there on: what does learning on the way gain?\n"
    "  --choose SHARE      first part of the lines, by which configurations are chosen (default: what is not scored)\n"
    "  --targets T,..      types to be predicted (default: all of positive weight)\n"
    "  --cohort NAME       figures by the value of this feature of the target, too (user.NAME: of the user)\n"
    "  --repeats             judge items that the user has had before, too (with --keep-used, else all of them are "
    "missed)\n"
    "  --keep-used         let the rankings hold items that the user has had\n"
    "  --cold miss|skip    what a target never touched before counts as (default miss)\n"
    "\n"
    "What is run:\n"
    "  -c FILE             a configuration; several are compared\n"
    "  -o section.key=V,.. an option; several values make a grid (between ; where the value is a list)\n"
    "  --preset P          accuracy (default), discovery or probability: options and the figure that decides\n"
    "  --random N          N points drawn from the grid, in which lo..hi is a range, instead of all\n"
    "  --seeds N           each configuration with N seeds (default 1)\n"
    "  --baselines N,..    default all; none\n"
    "  --ablations         the chosen configuration without each of its parts, too\n"
    "  --jobs N            processes at once (default: processors); changes no figure\n"
    "\n"
    "  --report DIR        where the report goes, outcomes to go on with after an interruption, and best.conf\n"
    "  --json              the result as one JSON object\n"
    "  --quiet             no progress\n";

/* --- lines that cannot be used --- */

struct reading { /* what is shown meanwhile */
    const struct backtest_options *o;
    uint64_t n_rejects, shown_ns;
    bool line_open;
};

static void clear_line(struct reading *r) {
    if (r->line_open) fputs("\r\033[K", stderr);
    r->line_open = false;
}

static void show_progress(void *arg, uint64_t lines) {
    struct reading *r = arg;
    uint64_t now = clock_steady_ns();
    char n[CTL_TEXT];
    bool terminal = isatty(STDERR_FILENO) != 0;
    if (r->o->quiet || now - r->shown_ns < (terminal ? TERMINAL_NS : PLAIN_NS)) return;
    r->shown_ns = now;
    fprintf(stderr, "%s%s lines read%s", terminal ? "\r\033[K" : "", ctl_count(n, lines), terminal ? "" : "\n");
    r->line_open = terminal;
}

static void show_reject(void *arg, const char *file, uint64_t line, const char *reason, const char *text) {
    struct reading *r = arg;
    char clean[400];
    if (++r->n_rejects > LISTED) return;
    clear_line(r);
    fprintf(stderr, "%s:%llu: %s: %s\n", file, (unsigned long long)line, reason,
            ctl_clean(clean, sizeof clean, slice_str(text)));
    if (r->n_rejects == LISTED) fputs("further ones are counted\n", stderr);
}

/* --- values --- */

static bool take_number(const char *text, double min, double max, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (*end || end == text || !(v >= min && v <= max)) return false;
    *out = v;
    return true;
}

static bool take_count(const char *text, uint64_t max, uint64_t *out) {
    double v;
    if (!take_number(text, 1, (double)max, &v) || v != floor(v)) return false;
    *out = (uint64_t)v;
    return true;
}

/* A share of the log, or a time. */
static bool take_until(const char *text, struct backtest_protocol *p) {
    double v;
    if (take_number(text, 0, 1, &p->skip)) return true;
    if (!take_number(text, 1e8, (double)CLOCK_MS_MAX, &v)) return clock_parse(slice_str(text), &p->until_ms);
    p->until_ms = (int64_t)(v < 1e11 ? v * 1000 : v);
    return true;
}

static bool take_end(const char *text, struct backtest_end *out) {
    char *end;
    out->kind = BACKTEST_TIME;
    if (clock_parse(slice_str(text), &out->ms)) return true;
    out->kind = BACKTEST_OFFSET;
    out->offset = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

/* --- options --- */

enum {
    LOG = 256,
    KAFKA, /* these two take a list */
    FORMAT,
    COLUMNS,
    HEADER,
    TYPE,
    ITEMS,
    USERS,
    JOURNAL,
    SOURCE,
    FROM,
    TO,
    SERIAL,
    EVERY,
    SKIP,
    TRAIN_UNTIL,
    FREEZE,
    CHOOSE,
    TARGETS,
    COHORT,
    REPEATS,
    KEEP_USED,
    COLD,
    SHUFFLE,
    PRESET,
    REPORT,
    BASELINES,
    ABLATIONS,
    SEEDS,
    RANDOM,
    JOBS,
    QUIET
};

static const struct option options[] = {{"log", 1, NULL, LOG},
                                        {"kafka", 1, NULL, KAFKA},
                                        {"format", 1, NULL, FORMAT},
                                        {"columns", 1, NULL, COLUMNS},
                                        {"header", 0, NULL, HEADER},
                                        {"type", 1, NULL, TYPE},
                                        {"items", 1, NULL, ITEMS},
                                        {"users", 1, NULL, USERS},
                                        {"journal", 1, NULL, JOURNAL},
                                        {"source", 1, NULL, SOURCE},
                                        {"from", 1, NULL, FROM},
                                        {"to", 1, NULL, TO},
                                        {"serial", 0, NULL, SERIAL},
                                        {"every", 1, NULL, EVERY},
                                        {"skip", 1, NULL, SKIP},
                                        {"train-until", 1, NULL, TRAIN_UNTIL},
                                        {"freeze", 0, NULL, FREEZE},
                                        {"choose", 1, NULL, CHOOSE},
                                        {"targets", 1, NULL, TARGETS},
                                        {"cohort", 1, NULL, COHORT},
                                        {"repeats", 0, NULL, REPEATS},
                                        {"keep-used", 0, NULL, KEEP_USED},
                                        {"cold", 1, NULL, COLD},
                                        {"shuffle-ties", 1, NULL, SHUFFLE},
                                        {"preset", 1, NULL, PRESET},
                                        {"report", 1, NULL, REPORT},
                                        {"baselines", 1, NULL, BASELINES},
                                        {"ablations", 0, NULL, ABLATIONS},
                                        {"seeds", 1, NULL, SEEDS},
                                        {"random", 1, NULL, RANDOM},
                                        {"jobs", 1, NULL, JOBS},
                                        {"quiet", 0, NULL, QUIET},
                                        CMD_LONG};

static bool take_input(int opt, char *arg, struct backtest_input *in) {
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
    case ITEMS:
        in->items = arg;
        return true;
    case USERS:
        in->users = arg;
        return true;
    case JOURNAL:
        in->journal = arg;
        return true;
    case SOURCE:
        in->source = arg;
        return true;
    case FROM:
        return take_end(arg, &in->from);
    case TO:
        return take_end(arg, &in->to);
    default:
        return in->serial = true;
    }
}

static bool take_protocol(int opt, char *arg, struct backtest_protocol *p) {
    switch (opt) {
    case EVERY:
        return take_count(arg, UINT64_C(1) << 50, &p->every);
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
        return *arg != '\0';
    case COHORT:
        p->cohort = arg;
        return *arg != '\0';
    case REPEATS:
        return p->repeats = true;
    case KEEP_USED:
        return p->keep_used = true;
    default:
        p->skip_cold = strcmp(arg, "skip") == 0;
        return p->skip_cold || strcmp(arg, "miss") == 0;
    }
}

static bool take_option(int opt, char *arg, struct backtest_options *o) {
    uint64_t n;
    double v;
    switch (opt) {
    case SHUFFLE:
        if (!take_number(arg, 0, 0x1p53, &v) || v != floor(v)) return false;
        o->shuffle_seed = (uint64_t)v;
        return o->shuffle = true;
    case PRESET:
        for (size_t k = 0; k < backtest_n_presets; k++)
            if (strcmp(arg, backtest_presets[k].name) == 0) o->wish.preset = &backtest_presets[k];
        return strcmp(arg, o->wish.preset->name) == 0;
    case REPORT:
        o->report = arg;
        return *arg != '\0';
    case BASELINES:
        o->baselines = arg;
        return *arg != '\0';
    case ABLATIONS:
        return o->ablations = true;
    case SEEDS:
        return take_count(arg, MAX_SEEDS, &o->wish.seeds);
    case RANDOM:
        return take_count(arg, BACKTEST_MAX_POINTS, &o->wish.random);
    case JOBS:
        if (!take_count(arg, MAX_JOBS, &n)) return false;
        o->jobs = (unsigned)n;
        return true;
    case QUIET:
        return o->quiet = true;
    default:
        return opt < EVERY ? take_input(opt, arg, &o->input) : take_protocol(opt, arg, &o->protocol);
    }
}

/* What an option takes, for who gave it something else. */
static const char *takes(int opt) {
    static const char *const said[] = {
        [FORMAT - LOG] = "jsonl, tsv or csv",
        [FROM - LOG] = "an offset from 0 or an RFC 3339 time",
        [TO - LOG] = "an offset from 0 or an RFC 3339 time",
        [EVERY - LOG] = "a whole number from 1 to 2^50",
        [SKIP - LOG] = "a share from 0 to 1",
        [TRAIN_UNTIL - LOG] = "a share from 0 to 1, an RFC 3339 time, or seconds or milliseconds since 1970",
        [CHOOSE - LOG] = "a share from 0 to 1",
        [TARGETS - LOG] = "event types separated by commas",
        [COHORT - LOG] = "the name of a feature",
        [COLD - LOG] = "miss or skip",
        [SHUFFLE - LOG] = "a whole number from 0 to 2^53",
        [PRESET - LOG] = "accuracy, discovery or probability",
        [REPORT - LOG] = "a directory",
        [BASELINES - LOG] = "names separated by commas, or none",
        [SEEDS - LOG] = "a whole number from 1 to 1000",
        [RANDOM - LOG] = "a whole number from 1 to 100000",
        [JOBS - LOG] = "a whole number from 1 to 1024"};
    size_t at = (size_t)(opt - LOG);
    return at < sizeof said / sizeof *said && said[at] ? said[at] : "see rankd backtest --help";
}

/* The words behind an option that takes several. */
static size_t take_list(int argc, char **argv, char **list, size_t n) {
    list[n++] = optarg;
    while (optind < argc && argv[optind][0] != '-' && n < MAX_INPUTS) list[n++] = argv[optind++];
    return n;
}

struct lists {
    char *logs[MAX_INPUTS], *topics[MAX_INPUTS], *configs[MAX_INPUTS];
};

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct cmd_common *c, struct lists *lists, struct backtest_options *o) {
    int at = 0;
    bool skip = false, until = false;
    for (int opt; (opt = getopt_long(argc, argv, CMD_SHORT, options, &at)) != -1;) {
        if (opt == 'h') {
            fputs(help, stdout);
            return EXIT_DONE;
        }
        if (opt == LOG) {
            o->input.n_files = take_list(argc, argv, lists->logs, o->input.n_files);
        } else if (opt == KAFKA) {
            o->input.n_topics = take_list(argc, argv, lists->topics, o->input.n_topics);
        } else if (opt == 'c' && o->wish.n_files < MAX_INPUTS) {
            lists->configs[o->wish.n_files++] = optarg;
        } else if (opt > KAFKA && !take_option(opt, optarg, o)) {
            fprintf(stderr, "rankd: --%s %s: not a value it takes; allowed: %s\n", options[at].name, optarg,
                    takes(opt));
            return EXIT_BAD_USE;
        } else if (opt < LOG && cmd_option(c, opt, optarg) != 0) {
            return EXIT_BAD_USE;
        }
        skip |= opt == SKIP;
        until |= opt == TRAIN_UNTIL;
    }
    o->json = c->json;
    o->wish.n_options = c->n_overrides;
    if (skip && until) {
        fputs("rankd: --skip and --train-until both say where figures begin: give one of them\n", stderr);
        return EXIT_BAD_USE;
    }
    if (o->input.n_files + o->input.n_topics > 0 && optind == argc) return -1;
    if (optind < argc) fprintf(stderr, "rankd: unexpected argument \"%s\"\n", argv[optind]);
    fputs("rankd: backtest needs --log FILE... or --kafka TOPIC...; see rankd backtest --help\n", stderr);
    return EXIT_BAD_USE;
}

int cmd_backtest(int argc, char **argv) {
    static struct lists lists;
    struct cmd_common c = {0};
    struct reading reading = {.shown_ns = clock_steady_ns()};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct backtest_options o = {
        .wish = {.preset = &backtest_presets[0], .files = lists.configs, .options = c.overrides, .seeds = 1},
        .input = {.files = lists.logs,
                  .topics = lists.topics,
                  .source = "log",
                  .progress = show_progress,
                  .reject = show_reject,
                  .arg = &reading},
        .protocol = {.every = 1, .skip = 0.2, .until_ms = EVENT_NO_TIME, .choose = -1},
        .jobs = cores > 0 ? (unsigned)cores : 1};
    struct err e;
    reading.o = &o;
    int rc = parse(argc, argv, &c, &lists, &o);
    if (rc >= 0) return rc;
    log_set_level(LOG_WARN); /* the result is what matters here */
    /* Who stops reading what is shown does not end it: states are removed, the report is written. */
    signal(SIGPIPE, SIG_IGN);
    rc = backtest_course(&o, &e);
    if (rc == 0) return EXIT_DONE;
    fprintf(stderr, "rankd: %s\n", e.text);
    return rc == ERR_RANGE || rc == ERR_SYNTAX ? EXIT_BAD_USE : EXIT_FAILED_RUN;
}
