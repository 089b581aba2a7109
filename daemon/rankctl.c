/* rankctl: the operator's tool for a running daemon. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/ctl.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"status", ctl_status, "what the daemon is doing"},
    {"top", ctl_top, "the same, live"},
    {"load", ctl_load, "bring an existing log: JSON Lines, TSV or CSV"},
    {"post", ctl_post, "send events"},
    {"recommend", ctl_recommend, "what a user is likely to want next"},
    {"score", ctl_score, "scores of given items for a user"},
    {"similar", ctl_similar, "items like an item"},
    {"popular", ctl_popular, "what is popular"},
    {"factors", ctl_factors, "what the dimensions of the embeddings are about"},
    {"bad-events", ctl_bad_events, "the newest events that were skipped, and why"},
    {"erase", ctl_erase, "erase a user or an item"},
    {"checkpoint", ctl_checkpoint, "make what was learned durable now"},
    {"digest", ctl_digest, "the canonical digest of the model"},
    {"pause", ctl_pause, "stop learning; serving and intake go on"},
    {"resume", ctl_resume, "go on learning"},
    {"config", ctl_config, "the effective configuration and where each value came from"},
    {"metrics", ctl_metrics, "the metrics as Prometheus reads them"},
};

static void usage(FILE *to) {
    fputs("usage: rankctl COMMAND [options] [arguments]\n\n", to);
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++)
        fprintf(to, "  %-12s %s\n", commands[k].name, commands[k].help);
    fputs("\nrankctl COMMAND --help tells more.\n\n" CTL_OPTIONS_HELP, to);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_CTYPE, ""); /* never LC_NUMERIC */
    if (argc < 2) {
        usage(stderr);
        return CTL_BAD_USE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("rankctl %s\n", RANKD_VERSION);
        return CTL_DONE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return CTL_DONE;
    }
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++) {
        if (strcmp(argv[1], commands[k].name) != 0) continue;
        int rc = commands[k].run(argc - 1, argv + 1);
        if (fflush(stdout) == 0 || rc != CTL_DONE) return rc;
        ctl_say("writing the answer failed");
        return CTL_FAILED;
    }
    fprintf(stderr, "rankctl: no command \"%s\"\n\n", argv[1]);
    usage(stderr);
    return CTL_BAD_USE;
}
