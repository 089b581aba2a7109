/* Serving threads: an event loop each, told what to do by letters. */
#include "daemon/worker.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define DRAIN_POLL_MS 5

struct worker {
    pthread_t thread;
    bool started;
    struct event_base *base;
    struct api_seat *seat;
    struct http_server *server;
    struct event *drain; /* polls while stopping */
    uint64_t stop_by_ns;
    _Atomic unsigned open; /* as of the last look; see workers_open */
};

struct workers {
    size_t n;
    bool stopped;
    struct worker all[];
};

/* A call that a worker makes on its own thread, and the caller who waits for it. */
struct order {
    struct letter letter;
    struct worker *worker;
    void (*carry_out)(struct worker *w, const void *what);
    const void *what;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void on_order(void *arg) {
    struct order *o = arg;
    o->carry_out(o->worker, o->what);
    pthread_mutex_lock(&o->lock);
    o->done = true;
    pthread_cond_signal(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

static void order_all(struct workers *w, void (*carry_out)(struct worker *w, const void *what), const void *what) {
    for (size_t i = 0; i < w->n; i++) {
        struct order o = {.worker = &w->all[i], .carry_out = carry_out, .what = what};
        if (!w->all[i].started) continue;
        pthread_mutex_init(&o.lock, NULL);
        pthread_cond_init(&o.changed, NULL);
        o.letter = (struct letter){.fn = on_order, .arg = &o};
        mailbox_post(w->all[i].seat->mailbox, &o.letter);
        pthread_mutex_lock(&o.lock);
        while (!o.done) pthread_cond_wait(&o.changed, &o.lock);
        pthread_mutex_unlock(&o.lock);
        pthread_cond_destroy(&o.changed);
        pthread_mutex_destroy(&o.lock);
    }
}

static void *run(void *arg) {
    struct worker *w = arg;
    (void)event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
    http_server_free(w->server);
    w->server = NULL;
    return NULL;
}

static void on_drain(evutil_socket_t fd, short what, void *arg) {
    static const struct timeval again = {0, DRAIN_POLL_MS * 1000};
    struct worker *w = arg;
    (void)fd;
    (void)what;
    bool done = http_server_open(w->server) == 0 && atomic_load(&w->seat->jobs) == 0;
    if (done || clock_steady_ns() >= w->stop_by_ns || event_add(w->drain, &again) != 0) event_base_loopbreak(w->base);
}

static int make_base(struct worker *w, struct err *e) {
    struct event_config *c = event_config_new();
    if (c) {
        /* No changelist: it would name descriptors to epoll after their close, when another thread may have them. */
        (void)event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK); /* one thread; others post letters */
        w->base = event_base_new_with_config(c);
        event_config_free(c);
    }
    return w->base ? 0 : err_set(e, ERR_IO, "http", "libevent refused an event loop");
}

static unsigned share(unsigned connections, size_t n) { return (unsigned)((connections + n - 1) / n); }

static int listen_on(struct worker *w, const char *address, bool joins, char bound[64], bool *loopback, struct err *e) {
    int fd;
    int rc = http_listen_tcp(address, joins, &fd, bound, loopback, e);
    if (rc < 0) err_set(e, rc, "http.listen", "%s", e->text);
    if (rc < 0) return rc;
    rc = http_server_listen(w->server, fd, e);
    if (rc < 0) close(fd);
    return rc;
}

/* Everything of one worker but its thread. */
static int make(struct worker *w, struct api *a, unsigned reader, size_t n, const struct http_tokens *tokens,
                struct err *e) {
    int rc = make_base(w, e);
    if (rc == 0) rc = api_seat_new(a, API_PUBLIC, w->base, reader, &w->seat, e);
    if (rc < 0) return rc;
    struct http_server_options o = api_server_options(w->seat, tokens);
    o.limits.max_connections = share(o.limits.max_connections, n);
    rc = http_server_new(w->base, &o, &w->server, e);
    if (rc < 0) return rc;
    w->drain = event_new(w->base, -1, 0, on_drain, w);
    return w->drain ? 0 : err_set(e, ERR_NOMEM, "http", "libevent refused a timer");
}

/* Threads take no signals: those are the main thread's. */
static int start_thread(struct worker *w, size_t i, struct err *e) {
    sigset_t all, before;
    char name[16];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) return err_set(e, ERR_NOMEM, "http.workers", "thread %zu cannot be started: %s", i, strerror(rc));
    w->started = true;
    snprintf(name, sizeof name, "worker-%zu", i);
    pthread_setname_np(w->thread, name);
    return 0;
}

int workers_start(struct api *a, const struct http_tokens *tokens, struct workers **out, struct err *e) {
    struct daemon *d = a->d;
    size_t n = (size_t)d->config.http_workers;
    bool loopback = true;
    struct workers *w = mem_zalloc(sizeof *w + n * sizeof w->all[0]);
    if (!w) return err_set(e, ERR_NOMEM, "http", "no memory for %zu workers", n);
    w->n = n;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = make(&w->all[i], a, DAEMON_READER_WORKERS + (unsigned)i, n, tokens, e);
    if (rc == 0) rc = listen_on(&w->all[0], d->config.http_listen, false, d->http_bound, &loopback, e);
    if (rc == 0 && !loopback && !tokens && !d->config.http_public_without_token)
        rc = err_set(e, ERR_DENIED, "http.listen",
                     "%s is not loopback: set http.tokens_file, or http.public_without_token = yes", d->http_bound);
    for (size_t i = 1; i < n && rc == 0; i++) rc = listen_on(&w->all[i], d->http_bound, true, NULL, &loopback, e);
    for (size_t i = 0; i < n && rc == 0; i++) rc = start_thread(&w->all[i], i, e);
    if (rc == 0)
        *out = w;
    else
        workers_free(w);
    return rc;
}

static void take_limits(struct worker *w, const void *what) { http_server_set_limits(w->server, what); }
static void take_tokens(struct worker *w, const void *what) { http_server_set_tokens(w->server, what); }

struct hosts_order {
    const char *hosts;
    int rc;
};
static void take_hosts(struct worker *w, const void *what) {
    struct hosts_order *o = (struct hosts_order *)(uintptr_t)what;
    int rc = http_server_set_hosts(w->server, o->hosts);
    if (rc < 0) o->rc = rc;
}
static void take_stop(struct worker *w, const void *what) {
    w->stop_by_ns = *(const uint64_t *)what;
    http_server_stop(w->server);
    on_drain(-1, 0, w);
}
static void take_count(struct worker *w, const void *what) {
    (void)what;
    atomic_store(&w->open, http_server_open(w->server));
}

void workers_set_limits(struct workers *w, const struct http_limits *l) {
    struct http_limits each = *l;
    each.max_connections = share(l->max_connections, w->n);
    order_all(w, take_limits, &each);
}

void workers_set_tokens(struct workers *w, const struct http_tokens *t) { order_all(w, take_tokens, t); }

int workers_set_hosts(struct workers *w, const char *hosts) {
    struct hosts_order o = {.hosts = hosts};
    order_all(w, take_hosts, &o);
    return o.rc;
}

unsigned workers_open(struct workers *w) {
    unsigned open = 0;
    order_all(w, take_count, NULL);
    for (size_t i = 0; i < w->n; i++) open += atomic_load(&w->all[i].open);
    return open;
}

void workers_stop(struct workers *w, int64_t limit_ms) {
    uint64_t stop_by_ns = clock_steady_ns() + (uint64_t)(limit_ms > 0 ? limit_ms : 0) * 1000000;
    if (w->stopped) return;
    w->stopped = true;
    order_all(w, take_stop, &stop_by_ns);
    for (size_t i = 0; i < w->n; i++) {
        if (w->all[i].started) pthread_join(w->all[i].thread, NULL);
        w->all[i].started = false;
    }
}

void workers_free(struct workers *w) {
    if (!w) return;
    workers_stop(w, 0);
    for (size_t i = 0; i < w->n; i++) {
        struct worker *one = &w->all[i];
        if (one->server) http_server_free(one->server);
        if (one->drain) event_free(one->drain);
        api_seat_free(one->seat);
        if (one->base) event_base_free(one->base);
    }
    mem_free(w);
}
