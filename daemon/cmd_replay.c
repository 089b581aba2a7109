/* rankd replay. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/cmd.h"
#include "daemon/log.h"
#include "daemon/replay.h"
#include "lib/base/clock.h"

#define MAX_INPUTS 4096

static const char help[] =
    "usage: rankd replay [-c FILE] [-o section.key=value]... [--journal DIR] --log FILE... | --kafka TOPIC... --into "
    "DIR\n\n"
    "Learns a log again into an empty data directory and prints its digest.\n"
    "  --log FILE...     segments of an own log in order, its directory, or one file of JSON Lines\n"
    "  --source NAME     source the files stand for (default log; file:NAME for a followed file)\n"
    "  --kafka TOPIC...  topics of kafka.brokers\n"
    "  --journal DIR     data directory, not in use, whose journal gives the order; needed with more than one "
    "partition\n"
    "  --rules WHICH     beside a journal: journal = those it notes, where it notes them (default); config = those of "
    "the\n"
    "                    configuration throughout\n"
    "  --into DIR        the new data directory\n"
    "  --json            the result as one JSON object\n";

struct progress {
    uint64_t start_ns, last_ns;
    bool terminal;
};

static void show(void *arg, uint64_t records) {
    struct progress *p = arg;
    uint64_t now = clock_steady_ns();
    if (now - p->last_ns < (p->terminal ? UINT64_C(200000000) : UINT64_C(10000000000))) return;
    p->last_ns = now;
    fprintf(stderr, p->terminal ? "\r%llu records, %.0f/s " : "%llu records, %.0f/s\n", (unsigned long long)records,
            (double)records * 1e9 / (double)(now - p->start_ns));
}

/* The words behind an option that takes several. */
static size_t take_list(int argc, char **argv, char *first, char **list, size_t n) {
    list[n++] = first;
    while (optind < argc && argv[optind][0] != '-' && n < MAX_INPUTS) list[n++] = argv[optind++];
    return n;
}

int cmd_replay(int argc, char **argv) {
    static const struct option options[] = {{"journal", 1, NULL, 'J'},
                                            {"log", 1, NULL, 'L'},
                                            {"source", 1, NULL, 'S'},
                                            {"kafka", 1, NULL, 'K'},
                                            {"into", 1, NULL, 'I'},
                                            {"rules", 1, NULL, 'R'},
                                            CMD_LONG};
    static char *logs[MAX_INPUTS], *topics[MAX_INPUTS];
    struct cmd_common c = {0};
    struct progress progress = {.start_ns = clock_steady_ns(), .terminal = isatty(STDERR_FILENO)};
    struct replay_options o = {.source = "log", .logs = logs, .topics = topics, .progress = show, .arg = &progress};
    for (int opt; (opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1;) {
        switch (opt) {
        case 'h':
            fputs(help, stdout);
            return EXIT_DONE;
        case 'J':
            o.journal = optarg;
            break;
        case 'I':
            o.into = optarg;
            break;
        case 'S':
            o.source = optarg;
            break;
        case 'R':
            o.own_rules = strcmp(optarg, "config") == 0;
            if (o.own_rules || strcmp(optarg, "journal") == 0) break;
            fprintf(stderr, "rankd: --rules %s: allowed: journal, config\n", optarg);
            return EXIT_BAD_USE;
        case 'L':
            o.n_logs = take_list(argc, argv, optarg, logs, o.n_logs);
            break;
        case 'K':
            o.n_topics = take_list(argc, argv, optarg, topics, o.n_topics);
            break;
        default:
            if (cmd_option(&c, opt, optarg) != 0) return EXIT_BAD_USE;
        }
    }
    if (!o.into || o.n_logs + o.n_topics == 0 || optind < argc) {
        fputs("rankd: replay needs --into DIR and --log FILE... or --kafka TOPIC...; see rankd replay --help\n",
              stderr);
        return EXIT_BAD_USE;
    }
    struct config config;
    struct replay_result result;
    struct err e;
    if (cmd_load(&c, &config) != 0) return EXIT_BAD_USE;
    o.config = &config;
    log_set_level(LOG_WARN); /* the result is what matters here */
    int rc = replay_run(&o, &result, &e);
    if (rc == 0 && result.from > 0)
        fprintf(stderr, "rankd: the log was cut: it begins at offset %llu, and what came before was not learned\n",
                (unsigned long long)result.from);
    if (rc < 0)
        fprintf(stderr, "rankd: %s\n", e.text);
    else if (c.json)
        printf("{\"digest\":\"%s\",\"records\":%llu,\"learned\":%llu,\"from\":%llu,\"seconds\":%.3f}\n", result.digest,
               (unsigned long long)result.records, (unsigned long long)result.learned, (unsigned long long)result.from,
               result.seconds);
    else
        printf("%s sequence %llu learned %llu in %.1f s\n", result.digest, (unsigned long long)result.records,
               (unsigned long long)result.learned, result.seconds);
    config_free(&config);
    return rc < 0 ? EXIT_FAILED_RUN : EXIT_DONE;
}
