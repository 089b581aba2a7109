/* rankd check-config, digest, verify. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/cmd.h"
#include "daemon/digest.h"
#include "daemon/verify.h"

static const struct option common[] = {CMD_LONG};

/* Parses options that are all common ones. -1 = go on. */
static int parse(int argc, char **argv, const char *help, struct cmd_common *c) {
    for (int opt; (opt = getopt_long(argc, argv, CMD_SHORT, common, NULL)) != -1;) {
        if (opt == 'h') {
            fputs(help, stdout);
            return EXIT_DONE;
        }
        if (cmd_option(c, opt, optarg) != 0) return EXIT_BAD_USE;
    }
    if (optind < argc) {
        fprintf(stderr, "rankd: unexpected argument \"%s\"\n", argv[optind]);
        return EXIT_BAD_USE;
    }
    return -1;
}

int cmd_check_config(int argc, char **argv) {
    static const struct option options[] = {{"reference", 0, NULL, 'r'}, CMD_LONG};
    struct cmd_common c = {0};
    struct config config;
    struct buf out;
    bool reference = false;
    for (int opt; (opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1;) {
        if (opt == 'h') {
            fputs("usage: rankd check-config [-c FILE] [-o section.key=value]... [--reference]\n\n"
                  "Prints the effective configuration with the origin of each value, or says what is wrong with it.\n"
                  "--reference prints every option with its default, unit, range and meaning instead.\n",
                  stdout);
            return EXIT_DONE;
        }
        if (opt == 'r')
            reference = true;
        else if (cmd_option(&c, opt, optarg) != 0)
            return EXIT_BAD_USE;
    }
    buf_init(&out, 16u << 20);
    if (reference) {
        config_print_reference("", &out);
    } else {
        if (cmd_load(&c, &config) != 0) return EXIT_BAD_USE;
        config_print(&config, &out);
        config_free(&config);
    }
    fwrite(out.p, 1, out.n, stdout);
    buf_free(&out);
    return EXIT_DONE;
}

int cmd_digest(int argc, char **argv) {
    struct cmd_common c = {0};
    struct config config;
    struct digest d;
    struct err e;
    struct store *store;
    int lock, rc = parse(argc, argv,
                         "usage: rankd digest [-c FILE] [-o section.key=value]... [--json]\n\n"
                         "Prints the canonical digest of the data directory, which must not be in use (rankctl digest "
                         "asks a running daemon).\n",
                         &c);
    if (rc >= 0) return rc;
    if (cmd_load(&c, &config) != 0) return EXIT_BAD_USE;
    rc = cmd_open_store(&config, config.data_dir, "rankctl digest", &lock, &store);
    if (rc == EXIT_DONE) {
        if (digest_compute(store, &d, &e) < 0) {
            fprintf(stderr, "rankd: %s\n", e.text);
            rc = EXIT_FAILED_RUN;
        } else if (c.json) {
            printf("{\"digest\":\"%s\",\"sequence\":%llu,\"generation\":%llu}\n", d.hex, (unsigned long long)d.sequence,
                   (unsigned long long)d.generation);
        } else {
            printf("%s sequence %llu generation %llu\n", d.hex, (unsigned long long)d.sequence,
                   (unsigned long long)d.generation);
        }
        store_close(store);
        close(lock);
    }
    config_free(&config);
    return rc;
}

int cmd_verify(int argc, char **argv) {
    struct cmd_common c = {0};
    struct config config;
    struct err e;
    int lock, rc = parse(argc, argv,
                         "usage: rankd verify [-c FILE] [-o section.key=value]...\n\n"
                         "Reads every row of the data directory and of its own log and checks it, in a child process, "
                         "so that damage to\n"
                         "LMDB's own structure is found too. Exit code 0: whole; 1: damaged, each place named, or\n"
                         "of another format.\n",
                         &c);
    if (rc >= 0) return rc;
    if (cmd_load(&c, &config) != 0) return EXIT_BAD_USE;
    if (store_lock_dir(config.data_dir, &lock, &e) < 0) {
        fprintf(stderr, "rankd: %s; verify needs a directory that is not in use\n", e.text);
        rc = EXIT_FAILED_RUN;
    } else {
        rc = verify_in_child(&config, NULL, stdout) == VERIFIED_WHOLE ? EXIT_DONE : EXIT_FAILED_RUN;
        close(lock);
    }
    config_free(&config);
    return rc;
}
