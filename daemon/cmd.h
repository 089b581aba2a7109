/* The subcommands of rankd: each parses its own arguments and returns an exit code. */
#ifndef RANKD_DAEMON_CMD_H
#define RANKD_DAEMON_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/config.h"
#include "lib/store/store.h"

enum {
    EXIT_DONE = 0,
    EXIT_FAILED_RUN = 1,
    EXIT_BAD_USE = 2
}; /* 2: arguments or configuration; a restart cures nothing */

#define CMD_MAX_OVERRIDES 256

struct cmd_common { /* -c FILE, -o section.key=value, --json, --help */
    const char *config_path;
    char *overrides[CMD_MAX_OVERRIDES];
    size_t n_overrides;
    bool json;
};

int cmd_run(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_digest(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_backtest(int argc, char **argv);

/* One option common to all: 0 taken, -1 the caller's, EXIT_BAD_USE when it is refused (said on stderr). opt and arg as
 * from getopt_long with CMD_SHORT and CMD_LONG. */
#define CMD_SHORT "c:o:jh"
#define CMD_LONG                                                                                                       \
    {"config", 1, NULL, 'c'}, {"option", 1, NULL, 'o'}, {"json", 0, NULL, 'j'}, {"help", 0, NULL, 'h'}, {              \
        NULL, 0, NULL, 0                                                                                               \
    }
int cmd_option(struct cmd_common *c, int opt, char *arg);
/* Loads the configuration, or says on stderr why not (EXIT_BAD_USE). */
int cmd_load(const struct cmd_common *c, struct config *config);

/* The data directory, locked and opened read-only; refused while a daemon has it. Fills lock and store, or says why not
 * and returns an exit code. hint: what to use on a running daemon. */
int cmd_open_store(const struct config *config, const char *dir, const char *hint, int *lock, struct store **store);

#endif
