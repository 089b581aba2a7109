/* Inside the running daemon: shared by run.c and tend.c. Main thread unless a member says otherwise. */
#ifndef RANKD_DAEMON_RUN_PRIV_H
#define RANKD_DAEMON_RUN_PRIV_H

#include "daemon/api.h"
#include "daemon/cmd.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/sources.h"
#include "daemon/stop.h"
#include "daemon/watchdog.h"
#include "daemon/worker.h"
#include "lib/store/seglog.h"

struct run {
    struct daemon d;
    struct cmd_common args;
    int lock;
    char log_dir[4096], marker[4096];
    struct seglog *log;
    struct source_env env;
    struct sources *sources;
    struct event_base *base;
    struct stop stop;
    struct event *end, *reload, *tick;
    struct api *api;
    struct api_admin *admin;
    struct api_metrics *metrics;
    struct workers *workers;
    struct http_tokens *tokens, *admin_tokens;
    struct watchdog *watchdog;
    bool unclean; /* the last run did not end by itself */
    uint64_t sources_started_ns;
    struct position *loaded[DAEMON_MAX_SOURCES]; /* by source: (n_loaded) positions as loaded at start */
    uint32_t n_loaded[DAEMON_MAX_SOURCES];
    uint64_t log_begun; /* learner: where the own log stood when the last checkpoint began */
    _Atomic(struct intake *) log_intake;
    struct log_limit stall_limit;
};

int run_load_tokens(const char *path, struct http_tokens **out, struct err *e) ERR_MUST_CHECK; /* "" gives NULL */

/* Signals, the tick that watches over the parts, the watchdog. */
int tend_start(struct run *r, struct err *e) ERR_MUST_CHECK;
void tend_free(struct run *r);

#endif
