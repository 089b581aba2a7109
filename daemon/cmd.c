/* What the subcommands share. */
#include "daemon/cmd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cmd_option(struct cmd_common *c, int opt, char *arg) {
    switch (opt) {
    case 'c':
        c->config_path = arg;
        return 0;
    case 'j':
        c->json = true;
        return 0;
    case 'o':
        if (c->n_overrides == CMD_MAX_OVERRIDES) {
            fprintf(stderr, "rankd: more than %d options -o\n", CMD_MAX_OVERRIDES);
            return EXIT_BAD_USE;
        }
        c->overrides[c->n_overrides++] = arg;
        return 0;
    case '?':
    case ':':
        return EXIT_BAD_USE;
    default:
        return -1;
    }
}

int cmd_load(const struct cmd_common *c, struct config *config) {
    struct err e;
    if (config_load(config, c->config_path, c->overrides, c->n_overrides, &e) == 0) return 0;
    fprintf(stderr, "rankd: %s\n", e.text);
    return EXIT_BAD_USE;
}

int cmd_open_store(const struct config *config, const char *dir, const char *hint, int *lock, struct store **store) {
    struct err e;
    struct store_options o = {.dir = dir, .map_size = config->map_size, .max_readers = 4, .read_only = true};
    if (store_lock_dir(dir, lock, &e) < 0) {
        fprintf(stderr, "rankd: %s%s%s\n", e.text, e.code == ERR_BUSY ? "; on a running daemon use " : "",
                e.code == ERR_BUSY ? hint : "");
        return EXIT_FAILED_RUN;
    }
    if (store_open(&o, store, &e) == 0) return 0;
    fprintf(stderr, "rankd: %s\n", e.text);
    close(*lock);
    return EXIT_FAILED_RUN;
}
