/* What the subcommands of rankctl share: arguments, requests to the daemon, and how figures look. */
#ifndef RANKD_DAEMON_CTL_H
#define RANKD_DAEMON_CTL_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "proto/jdoc.h"

/* Exit codes. */
enum { CTL_DONE = 0, CTL_FAILED = 1, CTL_BAD_USE = 2, CTL_UNREACHABLE = 3 };

#define CTL_MAX_OVERRIDES 64

/* --- arguments: ctl_args.c --- */

struct ctl { /* where the daemon is and how to answer; filled by ctl_option, completed by ctl_open */
    const char *config_path, *socket, *url, *token_file;
    char *overrides[CTL_MAX_OVERRIDES];
    size_t n_overrides;
    bool json;
    /* after ctl_open */
    char socket_path[108]; /* empty: TCP */
    char base[512];        /* "http://host:port" */
    char token[264];       /* empty: none */
    void *curl;
};

#define CTL_SHORT "c:o:s:u:t:jh"
#define CTL_LONG                                                                                                       \
    {"config", 1, NULL, 'c'}, {"socket", 1, NULL, 's'}, {"url", 1, NULL, 'u'}, {"token-file", 1, NULL, 't'},           \
        {"json", 0, NULL, 'j'}, {"help", 0, NULL, 'h'}, {                                                              \
        0                                                                                                              \
    }
#define CTL_OPTIONS_HELP                                                                                               \
    "Where the daemon is:\n"                                                                                           \
    "  -s, --socket PATH      its admin socket (else $RANKCTL_SOCKET, else the one of the configuration)\n"            \
    "  -c, --config FILE      the daemon's configuration file; -o section.key=value as for rankd\n"                    \
    "  -u, --url URL          http://127.0.0.1:PORT, its admin listener on TCP\n"                                      \
    "  -t, --token-file FILE  the bearer token for --url\n"                                                            \
    "  -j, --json             print the daemon's JSON as it came\n"                                                    \
    "  -h, --help             this text\n"                                                                             \
    "\n"                                                                                                               \
    "Exit code 0: done; 1: the daemon refused or failed; 2: bad use; 3: the daemon cannot be reached.\n"

/* One option common to all: -1 it is the caller's, else taken (0) or said to be wrong (CTL_BAD_USE). */
int ctl_option(struct ctl *c, int opt, char *arg);
/* Parses a command line that has common options alone; afterwards optind is the first argument. -1: go on; else the
 * exit code. Arguments after optind: least to most. */
int ctl_parse(struct ctl *c, int argc, char **argv, const char *help, int least, int most);
/* A decimal number within a range; says what is wrong and returns false otherwise. */
bool ctl_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* Finds out where the daemon is. CTL_DONE, CTL_BAD_USE or CTL_FAILED, said on stderr. */
int ctl_open(struct ctl *c);
void ctl_close(struct ctl *c);
void ctl_say(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "rankctl: ..." on stderr */

/* --- requests: ctl_http.c --- */

struct ctl_reply {
    long status;         /* 0: none came */
    int64_t retry_after; /* seconds; -1 when not said */
    struct buf body;
    char why[256]; /* when none came */
};
void ctl_reply_init(struct ctl_reply *r);
void ctl_reply_free(struct ctl_reply *r);

/* One request; the path has its query. body.p NULL: GET, else POST. A path that begins with "http://" is taken as a
 * whole URL, without socket and token. CTL_DONE when a reply came, whatever its status; CTL_UNREACHABLE. */
int ctl_request(struct ctl *c, const char *path, const char *content_type, struct slice body, struct ctl_reply *r);
/* The same, ending in a parsed reply of status 200: anything else is said on stderr. With --json the body is printed
 * and *out is NULL. Returns an exit code. */
int ctl_ask(struct ctl *c, const char *path, const char *content_type, struct slice body, struct jdoc **out);
/* Says an error reply of the daemon on stderr: its message, field and limit. */
void ctl_say_error(const struct ctl_reply *r);
/* "name=" and the value percent-encoded behind '?' or '&'. */
void ctl_add_query(struct buf *path, const char *name, const char *value);

/* Requests that go on while the caller works: one at a time, for rankctl load. */
struct ctl_flight;
struct ctl_flight *ctl_flight_new(struct ctl *c); /* NULL when memory is refused */
void ctl_flight_free(struct ctl_flight *f);       /* NULL is fine */
/* Posts body, which stays the caller's and unchanged until the end, to the daemon. */
void ctl_flight_begin(struct ctl_flight *f, const char *path, const char *content_type, struct slice body);
/* Lets it go on, waiting at most wait_ms. True once it has ended: *reply holds until the next begin. */
bool ctl_flight_poll(struct ctl_flight *f, int wait_ms, const struct ctl_reply **reply);

/* --- how figures look: ctl_text.c. Each returns out. --- */

#define CTL_TEXT 48
const char *ctl_count(char out[CTL_TEXT], uint64_t n); /* 1,234,567 */
const char *ctl_bytes(char out[CTL_TEXT], double n);   /* 1.5 GiB */
const char *ctl_seconds(char out[CTL_TEXT], double s); /* 450 us, 1.20 ms, 3.4 s, 2 min 5 s, 3 h 20 min, 4 d 2 h */
const char *ctl_rate(char out[CTL_TEXT], double per_second); /* 12,345/s, 0.5/s */
/* Text from outside for a terminal: bytes below blank, DEL and broken UTF-8 as '?', cut to columns. */
const char *ctl_clean(char *out, size_t size, struct slice text);

/* A table: columns separated by two blanks, each as wide as its widest cell; right[k] == '>' aligns to the right. */
struct ctl_table {
    struct buf cells; /* terminated texts one after the other */
    size_t n_columns, n_cells;
    const char *align; /* one '<' or '>' a column */
};
void ctl_table_init(struct ctl_table *t, const char *align);
void ctl_table_add(struct ctl_table *t, const char *cell);
void ctl_table_print(struct ctl_table *t); /* to stdout; frees it */

/* --- subcommands: exit codes --- */

int ctl_status(int argc, char **argv);
int ctl_digest(int argc, char **argv);
int ctl_checkpoint(int argc, char **argv);
int ctl_pause(int argc, char **argv);
int ctl_resume(int argc, char **argv);
int ctl_bad_events(int argc, char **argv);
int ctl_config(int argc, char **argv);
int ctl_metrics(int argc, char **argv);
int ctl_recommend(int argc, char **argv);
int ctl_score(int argc, char **argv);
int ctl_similar(int argc, char **argv);
int ctl_popular(int argc, char **argv);
int ctl_factors(int argc, char **argv);
int ctl_post(int argc, char **argv);
int ctl_erase(int argc, char **argv);
int ctl_top(int argc, char **argv);
int ctl_load(int argc, char **argv);

#endif
