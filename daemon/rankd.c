/* rankd: the daemon and its subcommands. */
#include <stdio.h>
#include <string.h>

#include "daemon/cmd.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", cmd_run, "run the daemon in the foreground"},
    {"check-config", cmd_check_config, "print the effective configuration, or what is wrong with it"},
    {"digest", cmd_digest, "the canonical digest of a data directory not in use"},
    {"verify", cmd_verify, "check every row of a data directory not in use"},
    {"replay", cmd_replay, "learn a log again into a new data directory"},
    {"backtest", cmd_backtest, "judge the model on a log: what comes next is predicted, then learned"},
};

static void usage(FILE *to) {
    fputs("usage: rankd COMMAND [-c FILE] [-o section.key=value]... [...]\n\n", to);
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++)
        fprintf(to, "  %-14s %s\n", commands[k].name, commands[k].help);
    fputs("\nrankd COMMAND --help tells more; rankd --version prints the version; rankctl talks to a running daemon.\n",
          to);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        usage(stderr);
        return EXIT_BAD_USE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("rankd %s\n", RANKD_VERSION);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return EXIT_DONE;
    }
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++)
        if (strcmp(argv[1], commands[k].name) == 0) return commands[k].run(argc - 1, argv + 1);
    fprintf(stderr, "rankd: no command \"%s\"\n\n", argv[1]);
    usage(stderr);
    return EXIT_BAD_USE;
}
