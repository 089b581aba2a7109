/* The daemon: a list of parts that are started in order and stopped in reverse. */
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/run_priv.h"
#include "daemon/verify.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define INTAKE_STOP_MS  1000
#define WORKERS_STOP_MS 500
#define LEARNER_STOP_MS 2500

static int start_directory(struct run *r, struct err *e) {
    const char *dir = r->d.config.data_dir;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "rankd.data_dir", "%s cannot be made: %s", dir, strerror(errno));
    int rc = store_lock_dir(dir, &r->lock, e);
    if (rc < 0) return rc;
    if (!r->d.config.verify_at_start) return 0;
    enum verified found = verify_in_child(&r->d.config, &r->d.stopping, stderr);
    if (found == VERIFIED_STOPPED) return err_set(e, ERR_STOPPED, NULL, "ended while it was verifying");
    if (found == VERIFIED_DAMAGED)
        return err_set(e, ERR_CORRUPT, "rankd.verify_at_start", "%s is damaged: see what rankd verify says", dir);
    return 0;
}

static void stop_directory(struct run *r) {
    if (r->lock >= 0) close(r->lock);
}

/* A file that stands while a daemon runs: found at the start, the last one did not end by itself. */
static int start_marker(struct run *r, struct err *e) {
    snprintf(r->marker, sizeof r->marker, "%.4000s/running", r->d.config.data_dir);
    r->unclean = access(r->marker, F_OK) == 0;
    FILE *f = fopen(r->marker, "we");
    if (!f) return err_set(e, ERR_IO, "rankd.data_dir", "%s cannot be written: %s", r->marker, strerror(errno));
    fclose(f);
    return 0;
}

static void stop_marker(struct run *r) {
    if (r->marker[0]) unlink(r->marker);
}

static int start_store(struct run *r, struct err *e) {
    const struct config *c = &r->d.config;
    struct store_options o = {.dir = c->data_dir,
                              .map_size = c->map_size,
                              .preallocate = c->preallocate_bytes,
                              .dirty_bytes = c->page_memory_bytes,
                              .max_readers = (unsigned)c->http_workers + 16,
                              .create = true};
    return store_open(&o, &r->d.store, e);
}

static void stop_store(struct run *r) {
    if (r->d.store) store_close(r->d.store);
}

static int start_engine(struct run *r, struct err *e) {
    const struct config *c = &r->d.config;
    uint64_t start = clock_steady_ns();
    int rc = engine_new(c, r->d.store, DAEMON_READER_WORKERS + (unsigned)c->http_workers, &r->d.engine, e);
    if (rc == 0) rc = engine_load(r->d.engine, r->d.store, &r->d.stopping, e);
    if (rc < 0) return rc;
    r->d.load_ns = clock_steady_ns() - start;
    struct engine *g = r->d.engine;
    log_line(LOG_INFO, "model_loaded", " sequence=%llu items=%u live=%u kernel=%s new_epoch=%s ms=%.1f",
             (unsigned long long)g->sequence, g->model->items->n_known, g->model->items->n_live, g->model->kernel->name,
             g->n_epochs > 0 ? "yes" : "no", (double)r->d.load_ns / 1e6);
    return 0;
}

static void stop_engine(struct run *r) { engine_free(r->d.engine); }

/* Sources ask for what was loaded: the engine's own positions move on with the learner. */
static void read_position(void *arg, const char *name, uint32_t partition, struct position *out) {
    const struct run *r = arg;
    memset(out, 0, sizeof *out);
    for (size_t k = 0; k < r->d.n_sources; k++)
        if (strcmp(r->d.sources[k].name, name) == 0 && partition < r->n_loaded[k]) *out = r->loaded[k][partition];
}

static int copy_positions(struct run *r, size_t k, struct err *e) {
    const struct engine_source *from = &r->d.engine->sources[r->d.sources[k].index];
    if (from->n == 0) return 0;
    r->loaded[k] = mem_alloc(from->n * sizeof *r->loaded[k]);
    if (!r->loaded[k]) return err_set(e, ERR_NOMEM, "sources", "no memory");
    memcpy(r->loaded[k], from->positions, from->n * sizeof *r->loaded[k]);
    r->n_loaded[k] = from->n;
    return 0;
}

static int start_sources(struct run *r, struct err *e) {
    struct daemon *d = &r->d;
    const struct config *c = &d->config;
    d->inbox = inbox_new(c->queue_bytes);
    if (!d->inbox) return err_set(e, ERR_NOMEM, "learner.queue_bytes", "no memory for the queue");
    int rc = sources_configure(c, &d->engine->rules, d->sources, &d->n_sources, e);
    if (rc < 0) return rc;
    snprintf(r->log_dir, sizeof r->log_dir, "%.4000s/log", c->data_dir);
    r->env = (struct source_env){.config = c,
                                 .rules = &d->engine->rules,
                                 .inbox = d->inbox,
                                 .position = read_position,
                                 .arg = r,
                                 .stopping = &d->stopping};
    rc = sources_new(&r->env, r->log_dir, d->sources, d->n_sources, &r->sources, e);
    for (size_t k = 0; k < d->n_sources && rc == 0; k++) { /* after sources_new, which makes each source anew */
        rc = engine_source(d->engine, d->sources[k].name, &d->sources[k].index, e);
        if (rc == 0) d->engine->sources[d->sources[k].index].attached = &d->sources[k];
        if (rc == 0) rc = copy_positions(r, k, e);
    }
    return rc;
}

static void stop_sources(struct run *r) {
    if (r->d.inbox) inbox_close(r->d.inbox);
    sources_join(r->sources);
}

/* The own log is kept from the last durable checkpoint on. Both on the learner thread. */
static void checkpoint_begun(void *arg) {
    struct run *r = arg;
    struct position at;
    engine_position(r->d.engine, "log", 0, &at);
    r->log_begun = at.known ? at.next : 0;
}

static void checkpoint_durable(void *arg) {
    struct run *r = arg;
    struct intake *intake = atomic_load_explicit(&r->log_intake, memory_order_acquire);
    if (intake) intake_checkpointed(intake, r->log_begun);
}

static int start_intake(struct run *r, struct err *e) {
    const struct config *c = &r->d.config;
    uint64_t cut = 0;
    if (config_own_log(c)) {
        struct seglog_options o = {.dir = r->log_dir, .segment_bytes = c->log_segment_bytes};
        int rc = seglog_open(&o, &r->log, &cut, e);
        if (rc < 0) return rc;
        if (cut)
            log_line(LOG_WARN, "log_tail_cut", " bytes=%llu reason=\"never acknowledged\"", (unsigned long long)cut);
        source_log_durable(sources_log(r->sources), seglog_durable(r->log));
    } else if (!c->kafka_brokers[0]) {
        return 0;
    }
    int rc = intake_start(c, r->log, r->log ? sources_log(r->sources) : NULL, &r->d.intake, e);
    if (rc < 0 || !r->log) return rc;
    struct position at; /* what was loaded is durable: a full log can be shortened before anything new is learned */
    read_position(r, "log", 0, &at);
    intake_checkpointed(r->d.intake, at.known ? at.next : 0);
    atomic_store_explicit(&r->log_intake, r->d.intake, memory_order_release);
    return 0;
}

static void stop_intake(struct run *r) {
    if (r->d.intake) intake_stop(r->d.intake, INTAKE_STOP_MS);
}

static int start_learner(struct run *r, struct err *e) {
    struct learner_options o = {.config = &r->d.config,
                                .engine = r->d.engine,
                                .inbox = r->d.inbox,
                                .store = r->d.store,
                                .reader = DAEMON_READER_STORE,
                                .begun = checkpoint_begun,
                                .durable = checkpoint_durable,
                                .arg = r};
    return learner_start(&o, &r->d.learner, e);
}

static void stop_learner(struct run *r) {
    struct err e = {0};
    if (r->d.learner && learner_stop(r->d.learner, LEARNER_STOP_MS, &e) < 0)
        log_err(LOG_ERROR, "last_checkpoint_failed", &e);
    r->d.learner = NULL;
}

int run_load_tokens(const char *path, struct http_tokens **out, struct err *e) {
    *out = NULL;
    return path[0] ? http_tokens_load(path, out, e) : 0;
}

/* Names the option in an error that the listener knows by its address alone. */
static int of_option(const char *option, int rc, struct err *e) {
    return rc < 0 ? err_set(e, rc, option, "%s", e->text) : rc;
}

static int start_listeners(struct run *r, struct err *e) {
    struct daemon *d = &r->d;
    const struct config *c = &d->config;
    int fd_unix = -1, fd_tcp = -1, fd_metrics = -1;
    bool loopback;
    atomic_store(&d->max_k, c->http_max_k);
    atomic_store(&d->max_items, c->http_max_items);
    atomic_store(&d->ready_max_lag_ms, c->ready_max_lag_ms);
    if (c->admin_socket[0])
        snprintf(d->admin_socket, sizeof d->admin_socket, "%s", c->admin_socket);
    else
        snprintf(d->admin_socket, sizeof d->admin_socket, "%.90s/admin.sock", c->data_dir);
    int rc = of_option("http.tokens_file", run_load_tokens(c->http_tokens_file, &r->tokens, e), e);
    if (rc == 0) rc = of_option("admin.token_file", run_load_tokens(c->admin_token_file, &r->admin_tokens, e), e);
    if (rc == 0) rc = api_new(d, &r->api, e);
    if (rc == 0) rc = of_option("admin.socket", http_listen_unix(d->admin_socket, &fd_unix, e), e);
    if (rc == 0 && c->admin_listen[0])
        rc = of_option("admin.listen", http_listen_tcp(c->admin_listen, false, &fd_tcp, d->admin_bound, &loopback, e),
                       e);
    if (rc == 0) rc = api_admin_start(r->api, r->base, fd_unix, fd_tcp, r->admin_tokens, &r->admin, e);
    if (rc == 0 && c->metrics_listen[0])
        rc = of_option("metrics.listen",
                       http_listen_tcp(c->metrics_listen, false, &fd_metrics, d->metrics_bound, &loopback, e), e);
    if (rc == 0 && fd_metrics >= 0) rc = api_metrics_start(r->api, r->base, fd_metrics, &r->metrics, e);
    if (rc == 0) rc = workers_start(r->api, r->tokens, &r->workers, e);
    return rc;
}

static void stop_listeners(struct run *r) {
    if (r->workers) workers_stop(r->workers, WORKERS_STOP_MS);
    if (r->admin) api_admin_stop(r->admin);
}

static void free_listeners(struct run *r) {
    workers_free(r->workers);
    api_admin_free(r->admin);
    api_metrics_free(r->metrics);
    api_free(r->api);
    http_tokens_free(r->tokens);
    http_tokens_free(r->admin_tokens);
    if (r->d.admin_socket[0]) unlink(r->d.admin_socket);
}

static void free_parts(struct run *r) {
    for (size_t k = 0; k < r->d.n_sources; k++) mem_free(r->loaded[k]);
    if (r->d.intake) intake_free(r->d.intake);
    if (r->log) seglog_close(r->log);
    sources_free(r->sources);
    sources_done(r->d.sources, r->d.n_sources);
    if (r->d.inbox) inbox_free(r->d.inbox);
}

static int start_reading(struct run *r, struct err *e) {
    r->sources_started_ns = clock_steady_ns();
    return sources_start(r->sources, e);
}

static int start_base(struct run *r, struct err *e) {
    r->base = event_base_new();
    return r->base ? 0 : err_set(e, ERR_NOMEM, "event_base", "no event loop");
}

static void free_base(struct run *r) {
    if (r->base) event_base_free(r->base);
}

/* In order of starting; stopped, then freed, in reverse. */
static const struct part {
    const char *name;
    int (*start)(struct run *r, struct err *e);
    void (*stop)(struct run *r);
    void (*free)(struct run *r);
} parts[] = {
    {"base", start_base, NULL, free_base},          {"directory", start_directory, NULL, stop_directory},
    {"store", start_store, NULL, stop_store},       {"engine", start_engine, NULL, stop_engine},
    {"marker", start_marker, NULL, stop_marker},    {"sources", start_sources, NULL, free_parts},
    {"learner", start_learner, stop_learner, NULL}, {"reading", NULL, stop_sources, NULL},
    {"intake", start_intake, stop_intake, NULL},    {"listeners", start_listeners, stop_listeners, free_listeners},
    {"events", tend_start, NULL, tend_free},        {"sources", start_reading, NULL, NULL},
};
#define N_PARTS (sizeof parts / sizeof *parts)

static void stop_parts(struct run *r, size_t n) {
    atomic_store(&r->d.stopping, true);
    for (size_t k = n; k-- > 0;)
        if (parts[k].stop) parts[k].stop(r);
    for (size_t k = n; k-- > 0;)
        if (parts[k].free) parts[k].free(r);
}

static int end_early(struct run *r, size_t n_parts, int rc, const struct err *e) {
    bool stopped = rc == ERR_STOPPED || (rc == 0 && atomic_load(&r->d.stopping));
    if (!stopped) log_err(LOG_ERROR, "start_failed", e);
    stop_parts(r, n_parts);
    if (stopped) log_line(LOG_INFO, "stopped", " detail=\"before it was ready\"");
    if (stopped) return EXIT_DONE;
    return rc == ERR_MISMATCH || rc == ERR_RANGE || rc == ERR_SYNTAX || rc == ERR_DENIED ? EXIT_BAD_USE
                                                                                         : EXIT_FAILED_RUN;
}

static int run_daemon(struct run *r) {
    struct err e = {0};
    size_t n = 0;
    int rc = 0;
    r->lock = -1;
    r->d.started_wall_ms = clock_wall_ms();
    signal(SIGPIPE, SIG_IGN);
    log_line(LOG_INFO, "starting", " version=%s data_dir=%s", RANKD_VERSION, r->d.config.data_dir);
    for (; n < N_PARTS && rc == 0 && !atomic_load(&r->d.stopping); n++) rc = parts[n].start ? parts[n].start(r, &e) : 0;
    if (rc < 0 || atomic_load(&r->d.stopping)) return end_early(r, n, rc, &e);
    atomic_store(&r->d.ready, true);
    log_line(LOG_INFO, "ready", " http=%s metrics=%s admin=%s", r->d.http_bound,
             r->d.metrics_bound[0] ? r->d.metrics_bound : "-", r->d.admin_socket);
    sd_notifyf(0, "READY=1\nSTATUS=serving on %s", r->d.http_bound);
    event_base_dispatch(r->base);
    stop_parts(r, N_PARTS);
    log_line(LOG_INFO, "stopped", " uptime_s=%lld", (long long)(clock_wall_ms() - r->d.started_wall_ms) / 1000);
    return EXIT_DONE;
}

int cmd_run(int argc, char **argv) {
    static const struct option options[] = {CMD_LONG};
    static struct run r;
    for (int opt; (opt = getopt_long(argc, argv, CMD_SHORT, options, NULL)) != -1;) {
        if (opt == 'h') {
            fputs("usage: rankd run [-c FILE] [-o section.key=value]...\n\n"
                  "Runs in the foreground and logs to stderr. SIGTERM ends it after a checkpoint, or at once while it "
                  "starts;\n"
                  "SIGHUP reloads what can be reloaded.\n"
                  "Exit code 0: ended by a signal; 1: could not start or go on; 2: bad arguments or configuration.\n",
                  stdout);
            return EXIT_DONE;
        }
        if (cmd_option(&r.args, opt, optarg) != 0) return EXIT_BAD_USE;
    }
    if (optind < argc) {
        fprintf(stderr, "rankd: unexpected argument \"%s\"\n", argv[optind]);
        return EXIT_BAD_USE;
    }
    enum log_level level;
    struct err e;
    r.stop = (struct stop){.stopping = &r.d.stopping, .ready = &r.d.ready};
    if (stop_watch(&r.stop, &e) < 0) {
        fprintf(stderr, "rankd: %s\n", e.text);
        return EXIT_FAILED_RUN;
    }
    if (cmd_load(&r.args, &r.d.config) != 0) return EXIT_BAD_USE;
    if (log_parse_level(r.d.config.log_level, &level)) log_set_level(level);
    evthread_use_pthreads();
    int code = run_daemon(&r);
    config_free(&r.d.config);
    libevent_global_shutdown();
    return code;
}
