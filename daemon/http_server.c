/* A server: its listeners, what it allows, its one sweep. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define ACCEPTS_AT_ONCE 64

static const struct timeval sweep_time = {0, HTTP_SWEEP_MS * 1000};

void http_server_ref(struct http_server *s) { s->refs++; }

void http_server_unref(struct http_server *s) {
    CHECK(s->refs > 0);
    if (--s->refs > 0) return;
    buf_free(&s->head);
    buf_free(&s->scratch);
    buf_free(&s->error);
    mem_free((char *)(uintptr_t)s->o.hosts);
    mem_free(s);
}

void http_server_arm(struct http_server *s) {
    if (!s->freed && !event_pending(&s->sweep, EV_TIMEOUT, NULL)) (void)event_add(&s->sweep, &sweep_time);
}

static void switch_listeners(struct http_server *s, bool on) {
    for (struct http_listener *l = s->listeners; l; l = l->next) {
        if (l->on == on) continue;
        if ((on ? event_add(&l->event, NULL) : event_del(&l->event)) == 0) l->on = on;
    }
}

void http_server_room(struct http_server *s) {
    bool full = s->open >= s->o.limits.max_connections;
    if (full && s->listeners && s->listeners->on) http_count(&s->o.stats->at_connection_limit);
    switch_listeners(s, !full && s->retry_ns == 0);
}

/* A connection that cannot be accepted stays in the backlog and keeps the listener readable: look away for a while. */
static void pause_accepting(struct http_server *s) {
    http_count(&s->o.stats->refused_emfile);
    s->retry_ns = clock_steady_ns() + UINT64_C(1000000) * HTTP_SWEEP_MS;
    http_server_room(s);
    http_server_arm(s);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg) {
    struct http_listener *l = arg;
    struct http_server *s = l->server;
    (void)what;
    for (int i = 0; i < ACCEPTS_AT_ONCE && l->on; i++) {
        int on = 1;
        int got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (got >= 0) {
            (void)setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* refused by unix sockets */
            http_conn_open(s, got);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(s);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } /* else that connection is gone already (ECONNABORTED and the like): the next one */
    }
}

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    struct http_server *s = arg;
    uint64_t now = clock_steady_ns();
    (void)fd;
    (void)what;
    http_server_ref(s);
    if (s->retry_ns && now >= s->retry_ns) {
        s->retry_ns = 0;
        http_server_room(s);
    }
    http_conn_sweep(s, now);
    if (s->open > 0 || s->retry_ns) http_server_arm(s);
    http_server_unref(s);
}

static void on_again(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    http_conn_again(arg);
}

/* A copy of the text of allowed hosts; NULL stays NULL. */
static int copy_hosts(const char *hosts, const char **out) {
    if (!hosts) {
        *out = NULL;
        return 0;
    }
    size_t n = strlen(hosts) + 1;
    char *copy = mem_alloc(n);
    if (!copy) return ERR_NOMEM;
    memcpy(copy, hosts, n);
    *out = copy;
    return 0;
}

int http_server_new(struct event_base *base, const struct http_server_options *o, struct http_server **out,
                    struct err *e) {
    CHECK(o->limits.max_header > 0 && o->limits.max_connections > 0);
    struct http_server *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "http", "no memory for a server");
    s->o = *o;
    if (copy_hosts(o->hosts, &s->o.hosts)) {
        mem_free(s);
        return err_set(e, ERR_NOMEM, "http.hosts", "no memory for a server");
    }
    s->base = base;
    s->refs = 1;
    if (!s->o.stats) s->o.stats = &s->own;
    buf_init(&s->head, HTTP_MAX_HEAD);
    buf_init(&s->error, HTTP_MAX_HEAD);
    buf_init(&s->scratch, HTTP_MAX_SCRATCH);
    for (int i = 0; i < PHASES; i++) TAILQ_INIT(&s->phases[i]);
    TAILQ_INIT(&s->waiting);
    if (event_assign(&s->sweep, base, -1, 0, on_sweep, s) != 0 ||
        event_assign(&s->again, base, -1, 0, on_again, s) != 0) {
        http_server_unref(s);
        return err_set(e, ERR_IO, "http", "libevent refused a timer");
    }
    *out = s;
    return 0;
}

void http_server_set_limits(struct http_server *s, const struct http_limits *limits) {
    CHECK(limits->max_header > 0 && limits->max_connections > 0);
    s->o.limits = *limits;
    http_server_room(s);
}

void http_server_set_tokens(struct http_server *s, const struct http_tokens *tokens) { s->o.tokens = tokens; }

int http_server_set_hosts(struct http_server *s, const char *hosts) {
    const char *copy = NULL;
    int rc = copy_hosts(hosts, &copy);
    if (rc) return rc;
    mem_free((char *)(uintptr_t)s->o.hosts);
    s->o.hosts = copy;
    return 0;
}

int http_server_listen(struct http_server *s, int fd, struct err *e) {
    struct http_listener *l = mem_zalloc(sizeof *l);
    if (!l) return err_set(e, ERR_NOMEM, "listen", "no memory for a listener");
    l->server = s;
    l->fd = fd;
    if (evutil_make_socket_nonblocking(fd) != 0 ||
        event_assign(&l->event, s->base, fd, EV_READ | EV_PERSIST, on_acceptable, l) != 0 ||
        event_add(&l->event, NULL) != 0) {
        mem_free(l);
        return err_set(e, ERR_IO, "listen", "cannot watch the listening socket: %s", strerror(errno));
    }
    l->on = true;
    l->next = s->listeners;
    s->listeners = l;
    http_server_room(s);
    return 0;
}

void http_server_stop(struct http_server *s) {
    struct http_conn *c, *next;
    s->stopped = true;
    while (s->listeners) {
        struct http_listener *l = s->listeners;
        s->listeners = l->next;
        l->on = false;
        event_del(&l->event);
        close(l->fd);
        mem_free(l);
    }
    for (c = TAILQ_FIRST(&s->phases[PHASE_IDLE]); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (!c->waiting) http_conn_close(c);
    }
}

void http_server_free(struct http_server *s) {
    if (!s) return;
    http_server_stop(s);
    s->freed = true;
    event_del(&s->sweep);
    event_del(&s->again);
    for (int i = 0; i < PHASES; i++) {
        while (!TAILQ_EMPTY(&s->phases[i])) http_conn_close(TAILQ_FIRST(&s->phases[i]));
    }
    http_server_unref(s);
}

unsigned http_server_open(const struct http_server *s) {
    return s->count[PHASE_REQUEST] + s->count[PHASE_HANDLER] + s->count[PHASE_WRITE];
}

const struct http_route *http_route_find(const struct http_server *s, struct slice path, enum http_method method) {
    for (size_t i = 0; i < s->o.n_routes; i++) {
        const struct http_route *r = &s->o.routes[i];
        if (r->method == method && slice_is(path, r->path)) return r;
    }
    return NULL;
}

bool http_route_allow(const struct http_server *s, struct slice path, char out[64]) {
    static const struct {
        enum http_method method;
        const char *name;
    } names[] = {
        {HTTP_GET, "GET"}, {HTTP_HEAD, "HEAD"}, {HTTP_POST, "POST"}, {HTTP_PUT, "PUT"}, {HTTP_DELETE, "DELETE"}};
    static const char front[] = "Allow: ", between[] = ", ", back[] = "\r\n";
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        enum http_method asked = names[i].method == HTTP_HEAD ? HTTP_GET : names[i].method;
        if (!http_route_find(s, path, asked)) continue;
        const char *glue = n > 0 ? between : front;
        size_t glue_n = strlen(glue), name_n = strlen(names[i].name);
        memcpy(out + n, glue, glue_n);
        memcpy(out + n + glue_n, names[i].name, name_n);
        n += glue_n + name_n;
    }
    memcpy(out + n, back, sizeof back);
    return n > 0;
}
