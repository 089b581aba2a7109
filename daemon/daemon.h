/* The parts of a running daemon, as its listeners see them. */
#ifndef RANKD_DAEMON_DAEMON_H
#define RANKD_DAEMON_DAEMON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/config.h"
#include "daemon/engine.h"
#include "daemon/histogram.h"
#include "daemon/http.h"
#include "daemon/intake.h"
#include "daemon/learner.h"
#include "daemon/source.h"
#include "lib/store/store.h"

#define DAEMON_MAX_SOURCES 64

/* Epoch reader numbers: the store thread, the main thread (admin listener), then the serving workers. */
enum { DAEMON_READER_STORE, DAEMON_READER_MAIN, DAEMON_READER_WORKERS };

struct daemon {
    struct config config; /* main thread; what others read of it does not change while running, unless said otherwise */
    struct store *store;
    struct engine *engine; /* others read its model's published side and its atomics */
    struct inbox *inbox;
    struct learner *learner;
    struct intake *intake; /* NULL: no intake (neither own log nor Kafka) */
    struct source sources[DAEMON_MAX_SOURCES];
    size_t n_sources;
    _Atomic bool stopping; /* the process is on its way out: readyz says no, intake refuses */
    _Atomic bool ready;
    int64_t started_wall_ms;
    uint64_t replay_after_crash_ns; /* how long the last unclean end took to learn again; 0 = none, see run.c */
    uint64_t load_ns;               /* to load the state at start */

    /* reloadable limits that workers read, relaxed atomics; set by main */
    _Atomic int64_t max_k, max_items, ready_max_lag_ms;

    struct http_stats public_http, admin_http, metrics_http;
    char http_bound[64], metrics_bound[64], admin_bound[64], admin_socket[108];
};

#endif
