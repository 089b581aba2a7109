/* The operator's listener: its servers, and the routes that switch or show something. */
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api_lag.h"
#include "daemon/api_priv.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define LAG_TICK_MS    250
#define BAD_EVENTS     50 /* shown when n is not given */
#define MAX_BAD_EVENTS 1000

struct api_admin {
    struct api_seat *seat;
    struct http_server *unix_server, *tcp_server; /* tcp_server may be NULL */
    struct event *lag_tick;
    struct api_digest *digest; /* outlives the seat, whose mailbox may hold its letter */
};

static void on_lag_tick(evutil_socket_t fd, short what, void *arg) {
    struct api *a = arg;
    (void)fd;
    (void)what;
    uint64_t ns = api_lag_tick(a->lag, clock_steady_ns());
    atomic_store_explicit(&a->lag_ms, (int64_t)(ns / 1000000), memory_order_relaxed);
}

static int add_server(struct api_admin *m, const struct http_server_options *o, int *fd, struct http_server **out,
                      struct err *e) {
    int rc = http_server_new(m->seat->base, o, out, e);
    if (rc == 0) rc = http_server_listen(*out, *fd, e);
    if (rc == 0) *fd = -1; /* the server's now */
    return rc;
}

static int start_lag(struct api_admin *m, struct err *e) {
    static const struct timeval often = {0, LAG_TICK_MS * 1000};
    m->lag_tick = event_new(m->seat->base, -1, EV_PERSIST, on_lag_tick, m->seat->api);
    if (!m->lag_tick || event_add(m->lag_tick, &often) != 0)
        return err_set(e, ERR_IO, "api", "libevent refused a timer");
    on_lag_tick(-1, 0, m->seat->api);
    return 0;
}

/* Descriptors that a server has taken over become -1. */
static int fill(struct api_admin *m, struct api *a, struct event_base *base, int *fd_unix, int *fd_tcp,
                const struct http_tokens *tokens, struct err *e) {
    int rc = api_seat_new(a, API_ADMIN, base, DAEMON_READER_MAIN, &m->seat, e);
    if (rc == 0) rc = api_digest_new(m->seat, &m->digest, e);
    if (rc == 0) rc = start_lag(m, e);
    if (rc < 0) return rc;
    m->seat->digest = m->digest;
    struct http_server_options o = api_server_options(m->seat, NULL);
    o.hosts = NULL;
    rc = add_server(m, &o, fd_unix, &m->unix_server, e);
    if (rc < 0 || *fd_tcp < 0) return rc;
    o.tokens = tokens;
    o.hosts = "";
    return add_server(m, &o, fd_tcp, &m->tcp_server, e);
}

int api_admin_start(struct api *a, struct event_base *base, int fd_unix, int fd_tcp, const struct http_tokens *tokens,
                    struct api_admin **out, struct err *e) {
    struct api_admin *m = mem_zalloc(sizeof *m);
    int rc = ERR_NOMEM;
    if (!m)
        err_set(e, ERR_NOMEM, "admin", "no memory");
    else if (fd_tcp >= 0 && !tokens)
        rc = err_set(e, ERR_DENIED, "admin.token_file", "the admin listener on TCP needs a token");
    else
        rc = fill(m, a, base, &fd_unix, &fd_tcp, tokens, e);
    if (rc == 0) {
        *out = m;
        return 0;
    }
    if (fd_unix >= 0) close(fd_unix);
    if (fd_tcp >= 0) close(fd_tcp);
    api_admin_free(m);
    return rc;
}

void api_admin_set_limits(struct api_admin *m, const struct http_limits *l) {
    http_server_set_limits(m->unix_server, l);
    if (m->tcp_server) http_server_set_limits(m->tcp_server, l);
}

void api_admin_set_tokens(struct api_admin *m, const struct http_tokens *t) {
    if (m->tcp_server) http_server_set_tokens(m->tcp_server, t);
}

void api_admin_stop(struct api_admin *m) {
    http_server_stop(m->unix_server);
    if (m->tcp_server) http_server_stop(m->tcp_server);
    api_digest_stop(m->digest);
}

unsigned api_admin_open(const struct api_admin *m) {
    return http_server_open(m->unix_server) + (m->tcp_server ? http_server_open(m->tcp_server) : 0);
}

void api_admin_free(struct api_admin *m) {
    if (!m) return;
    if (m->unix_server) http_server_free(m->unix_server);
    if (m->tcp_server) http_server_free(m->tcp_server);
    if (m->digest) api_digest_join(m->digest);
    if (m->lag_tick) event_free(m->lag_tick);
    api_seat_free(m->seat);
    api_digest_free(m->digest);
    mem_free(m);
}

static void set_paused(struct http_exchange *x, const struct http_request *r, struct api_seat *s, bool paused) {
    if (!api_known_params(x, r, "")) return;
    learner_pause(s->api->d->learner, paused);
    http_reply(x, 200, API_JSON, NULL, slice_str(paused ? "{\"paused\":true}" : "{\"paused\":false}"));
}

API_HANDLER(api_post_pause) { set_paused(x, r, seat, true); }
API_HANDLER(api_post_resume) { set_paused(x, r, seat, false); }

API_HANDLER(api_get_config) {
    struct api_seat *s = seat;
    if (!api_known_params(x, r, "")) return;
    struct buf *b = http_scratch(x);
    config_print(&s->api->d->config, b);
    if (b->failed)
        api_send(x, 200, b);
    else
        http_reply(x, 200, "text/plain; charset=utf-8", NULL, slice_of(b->p, b->n));
}

static void add_bad_event(struct buf *b, const struct bad_event *bad) {
    buf_add_str(b, "{\"number\":");
    buf_add_u64(b, bad->number);
    buf_add_str(b, ",\"time\":");
    api_add_time(b, bad->wall_ms);
    buf_add_str(b, ",\"source\":");
    buf_add_json(b, slice_str(bad->source));
    buf_add_str(b, ",\"partition\":");
    buf_add_u64(b, bad->partition);
    buf_add_str(b, ",\"offset\":");
    buf_add_u64(b, bad->offset);
    buf_add_str(b, ",\"reason\":");
    buf_add_json(b, slice_str(event_reason_name(bad->reason)));
    buf_add_str(b, ",\"message\":");
    buf_add_json(b, bad->error);
    buf_add_str(b, ",\"raw\":");
    buf_add_json(b, bad->raw);
    buf_add_char(b, '}');
}

/* The last n rows of the ring as JSON into rows (n), used in turn; how many rows were read, or an error. Numbers follow
 * each other but for rows pushed out, so few rows before the wanted ones are read, if any. */
static int64_t read_last(struct store_scan *scan, struct buf *rows, size_t n, struct err *e) {
    struct slice key = {0}, value = {0};
    char from[8];
    int64_t read = 0;
    uint64_t count = store_scan_count(scan, STORE_BAD);
    int rc = store_scan_seek(scan, STORE_BAD, slice_of(NULL, 0), e);
    if (rc == 0) rc = store_scan_next(scan, &key, &value, e);
    if (rc <= 0) return rc;
    struct bad_event bad;
    rc = engine_decode_bad(key, value, &bad, e);
    if (rc == 0 && count > n) {
        rc = store_scan_seek(scan, STORE_BAD, store_key_u64(bad.number + count - n, from), e);
    } else if (rc == 0) {
        rc = store_scan_seek(scan, STORE_BAD, slice_of(NULL, 0), e);
    }
    while (rc == 0 && (rc = store_scan_next(scan, &key, &value, e)) == 1) {
        struct buf *row = &rows[(size_t)read % n];
        rc = engine_decode_bad(key, value, &bad, e);
        if (rc < 0) break;
        buf_clear(row);
        add_bad_event(row, &bad);
        read++;
    }
    return rc < 0 ? rc : read;
}

static void reply_bad_events(struct http_exchange *x, struct buf *rows, size_t n, size_t read, uint64_t kept) {
    struct buf *b = http_scratch(x);
    buf_add_str(b, "{\"kept\":");
    buf_add_u64(b, kept);
    buf_add_str(b, ",\"bad_events\":[");
    for (size_t i = 0; i < n && i < read; i++) {
        const struct buf *row = &rows[(read - 1 - i) % n];
        if (i) buf_add_char(b, ',');
        buf_add(b, row->p, row->n);
        b->failed |= row->failed;
    }
    buf_add_str(b, "]}");
    api_send(x, 200, b);
}

API_HANDLER(api_get_bad_events) {
    struct api_seat *s = seat;
    int64_t n = BAD_EVENTS;
    struct store_scan *scan = NULL;
    struct err e = {0};
    if (!api_known_params(x, r, "n") || api_param_int(x, r, "n", 1, MAX_BAD_EVENTS, &n) < 0) return;
    struct buf *rows = mem_zalloc((size_t)n * sizeof *rows);
    uint64_t kept = 0;
    if (!rows) {
        http_reply_error(x, 503, "no_memory", "no memory for so many bad events", "n", NULL, "Retry-After: 1\r\n");
        return;
    }
    for (int64_t i = 0; i < n; i++) buf_init(&rows[i], 1u << 20);
    int64_t read = store_scan_begin(s->api->d->store, &scan, &e);
    if (read == 0) {
        kept = store_scan_count(scan, STORE_BAD);
        read = read_last(scan, rows, (size_t)n, &e);
        store_scan_end(scan);
    }
    if (read < 0)
        api_send_err(x, &e);
    else
        reply_bad_events(x, rows, (size_t)n, (size_t)read, kept);
    for (int64_t i = 0; i < n; i++) buf_free(&rows[i]);
    mem_free(rows);
}
