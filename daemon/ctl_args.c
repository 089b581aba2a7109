/* rankctl: command lines, and where the daemon is. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"
#include "daemon/ctl.h"

void ctl_say(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fputs("rankctl: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

int ctl_option(struct ctl *c, int opt, char *arg) {
    switch (opt) {
    case 'c':
        c->config_path = arg;
        return 0;
    case 's':
        c->socket = arg;
        return 0;
    case 'u':
        c->url = arg;
        return 0;
    case 't':
        c->token_file = arg;
        return 0;
    case 'j':
        c->json = true;
        return 0;
    case 'o':
        if (c->n_overrides == CTL_MAX_OVERRIDES) {
            ctl_say("more than %d options -o", CTL_MAX_OVERRIDES);
            return CTL_BAD_USE;
        }
        c->overrides[c->n_overrides++] = arg;
        return 0;
    case '?':
    case ':':
        return CTL_BAD_USE;
    default:
        return -1;
    }
}

int ctl_parse(struct ctl *c, int argc, char **argv, const char *help, int least, int most) {
    static const struct option options[] = {CTL_LONG};
    for (int opt; (opt = getopt_long(argc, argv, CTL_SHORT, options, NULL)) != -1;) {
        if (opt == 'h') {
            printf("%s\n" CTL_OPTIONS_HELP, help);
            return CTL_DONE;
        }
        if (ctl_option(c, opt, optarg) != 0) return CTL_BAD_USE;
    }
    if (argc - optind >= least && argc - optind <= most) return -1;
    ctl_say(argc - optind < least ? "an argument is missing; rankctl %s --help tells more"
                                  : "too many arguments; rankctl %s --help tells more",
            argv[0]);
    return CTL_BAD_USE;
}

bool ctl_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out) {
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && v >= min && v <= max) {
        *out = v;
        return true;
    }
    ctl_say("%s \"%s\": a number from %llu to %llu is wanted", option, text, (unsigned long long)min,
            (unsigned long long)max);
    return false;
}

static int read_token(struct ctl *c) {
    FILE *f = fopen(c->token_file, "re");
    char line[sizeof c->token + 2];
    if (!f) {
        ctl_say("%s: %s", c->token_file, strerror(errno));
        return CTL_BAD_USE;
    }
    do line[0] = '\0';
    while (fgets(line, sizeof line, f) && (line[0] == '#' || line[0] == '\n'));
    fclose(f);
    size_t n = strcspn(line, " \t\r\n");
    if (n == 0 || n >= sizeof c->token) {
        ctl_say("%s holds no token in its first line", c->token_file);
        return CTL_BAD_USE;
    }
    memcpy(c->token, line, n);
    c->token[n] = '\0';
    return CTL_DONE;
}

static int take_url(struct ctl *c) {
    size_t n = strlen(c->url);
    while (n && c->url[n - 1] == '/') n--;
    if (strncmp(c->url, "http://", 7) != 0 || n <= 7 || n >= sizeof c->base) {
        ctl_say("--url \"%s\": http://ADDRESS:PORT is wanted", c->url);
        return CTL_BAD_USE;
    }
    memcpy(c->base, c->url, n);
    c->base[n] = '\0';
    return c->token_file ? read_token(c) : CTL_DONE;
}

static int take_socket(struct ctl *c, const char *path, const char *below) {
    if ((size_t)snprintf(c->socket_path, sizeof c->socket_path, "%s%s", path, below) < sizeof c->socket_path) {
        snprintf(c->base, sizeof c->base, "http://localhost");
        return CTL_DONE;
    }
    ctl_say("the socket path %s%s is longer than %zu bytes", path, below, sizeof c->socket_path - 1);
    return CTL_BAD_USE;
}

static int socket_of_config(struct ctl *c) {
    struct config config;
    struct err e;
    if (config_load(&config, c->config_path, c->overrides, c->n_overrides, &e) < 0) {
        ctl_say("%s", e.text);
        return CTL_BAD_USE;
    }
    int rc = config.admin_socket[0] ? take_socket(c, config.admin_socket, "")
                                    : take_socket(c, config.data_dir, "/admin.sock");
    config_free(&config);
    return rc;
}

int ctl_open(struct ctl *c) {
    const char *set = getenv("RANKCTL_SOCKET");
    if (c->socket && c->url) {
        ctl_say("--socket and --url are given: one of both is wanted");
        return CTL_BAD_USE;
    }
    if (c->url) return take_url(c);
    if (c->socket) return take_socket(c, c->socket, "");
    if (!c->config_path && c->n_overrides == 0 && set && *set) return take_socket(c, set, "");
    return socket_of_config(c);
}
