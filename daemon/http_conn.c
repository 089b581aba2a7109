/* A connection: bytes in, requests one after the other, replies out, every wait with an end. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define DROP_AT_ONCE 16384 /* bytes taken in and dropped in one go while lingering */

void http_conn_phase(struct http_conn *c, enum http_phase phase, uint64_t now_ns) {
    struct http_server *s = c->server;
    TAILQ_REMOVE(&s->phases[c->phase], c, link);
    s->count[c->phase]--;
    TAILQ_INSERT_TAIL(&s->phases[phase], c, link);
    s->count[phase]++;
    c->phase = phase;
    c->since_ns = now_ns;
}

/* More requests are there than one turn allows. */
static void wait_turn(struct http_conn *c) {
    static const struct timeval now = {0, 0};
    struct http_server *s = c->server;
    c->waiting = true;
    TAILQ_INSERT_TAIL(&s->waiting, c, turn);
    s->n_waiting++;
    if (!event_pending(&s->again, EV_TIMEOUT, NULL)) (void)event_add(&s->again, &now);
}

static void end_wait(struct http_conn *c) {
    TAILQ_REMOVE(&c->server->waiting, c, turn);
    c->server->n_waiting--;
    c->waiting = false;
}

void http_conn_free(struct http_conn *c) {
    struct http_server *s = c->server;
    mem_free(c->in);
    mem_free(c->out);
    mem_free(c->unpacked);
    mem_free(c);
    http_server_unref(s);
}

/* The descriptor goes at once; the memory stays while a handler owes a reply or http_conn_run is on the stack. */
void http_conn_close(struct http_conn *c) {
    struct http_server *s = c->server;
    CHECK(!c->closed);
    c->closed = true;
    event_del(&c->readable);
    event_del(&c->writable);
    close(c->fd);
    if (c->waiting) end_wait(c);
    TAILQ_REMOVE(&s->phases[c->phase], c, link);
    s->count[c->phase]--;
    s->open--;
    atomic_fetch_sub_explicit(&s->o.stats->open, 1, memory_order_relaxed);
    http_server_room(s);
    if (!c->running && c->phase != PHASE_HANDLER) http_conn_free(c);
}

/* The peer went away in the middle of something. */
static void lose(struct http_conn *c) {
    http_count(&c->server->o.stats->disconnects);
    http_conn_close(c);
}

static void pause_reading(struct http_conn *c) {
    event_del(&c->readable);
    c->paused = true;
}

static void resume_reading(struct http_conn *c) {
    if (!c->paused) return;
    c->paused = false;
    if (event_add(&c->readable, NULL) != 0) http_conn_close(c);
}

/* After the last reply: closed at once when nothing more can be on its way, else shut and drained, for a close with
 * unread bytes would take the reply back from the peer. */
static void end_connection(struct http_conn *c, uint64_t now_ns) {
    if (c->eof || shutdown(c->fd, SHUT_WR) != 0) {
        http_conn_close(c);
        return;
    }
    mem_free(c->in);
    c->in = NULL;
    c->cap = c->begin = c->end = 0;
    http_conn_phase(c, PHASE_LINGER, now_ns);
    resume_reading(c);
}

static void drop_input(struct http_conn *c) {
    char drop[DROP_AT_ONCE];
    ssize_t n = recv(c->fd, drop, sizeof drop, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) http_conn_close(c);
}

/* Room behind c->end for more of the request at c->begin, without ever holding more than its bound. */
static bool make_room(struct http_conn *c) {
    size_t have = c->end - c->begin;
    size_t head = c->phase == PHASE_REQUEST ? c->parser.max_header : c->server->o.limits.max_header;
    size_t most = c->need ? c->need : head;
    size_t want = have * 2 < most ? have * 2 : most;
    if (want < HTTP_BUFFER) want = HTTP_BUFFER;
    CHECK(want > have);
    if (c->cap - c->begin < want && c->begin > 0) {
        memmove(c->in, c->in + c->begin, have);
        c->begin = 0;
        c->end = have;
    }
    if (c->cap - c->begin >= want) return true;
    char *in = mem_realloc(c->in, want);
    if (!in) return false;
    c->in = in;
    c->cap = want;
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct http_conn *c = arg;
    (void)what;
    if (c->phase == PHASE_LINGER) {
        drop_input(c);
        return;
    }
    if (c->phase == PHASE_HANDLER || c->phase == PHASE_WRITE || c->waiting) {
        pause_reading(c);
        return;
    }
    if (!make_room(c)) {
        static const struct http_fault no_memory = {503, "no_memory", "no memory for the request", NULL, 0};
        if (c->phase == PHASE_IDLE)
            http_conn_close(c);
        else
            http_request_refuse(c, &no_memory, "Retry-After: 1\r\n");
        return;
    }
    ssize_t n = recv(fd, c->in + c->end, c->cap - c->end, 0);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR) return;
        if (c->phase == PHASE_IDLE)
            http_conn_close(c);
        else
            lose(c);
        return;
    }
    if (n == 0)
        c->eof = true;
    else
        c->end += (size_t)n;
    http_conn_run(c);
}

static void rest(struct http_conn *c) {
    mem_free(c->in);
    c->in = NULL;
    c->cap = c->begin = c->end = 0;
    if (c->eof || c->server->stopped) {
        http_conn_close(c);
        return;
    }
    resume_reading(c);
}

static void begin_request(struct http_conn *c) {
    uint64_t now = clock_steady_ns();
    http_conn_phase(c, PHASE_REQUEST, now);
    c->exchange = (struct http_exchange){.conn = c, .started_ns = now};
    c->need = 0;
    c->continued = false;
    http_parse_init(&c->parser, c->server->o.limits.max_header);
}

static void send_continue(struct http_conn *c) {
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    c->continued = true;
    if (send(c->fd, line, sizeof line - 1, MSG_NOSIGNAL) != (ssize_t)sizeof line - 1) lose(c);
}

/* Does what the bytes at hand allow for the request at c->begin; false when they do not suffice. */
static bool advance(struct http_conn *c) {
    size_t have = c->end - c->begin;
    if (c->need == 0) {
        enum http_verdict v = http_parse(&c->parser, c->in + c->begin, have);
        if (v == HTTP_MORE) return false;
        if (v == HTTP_BAD) {
            http_count(&c->server->o.stats->malformed);
            http_request_refuse(c, &c->parser.fault, NULL);
            return true;
        }
        if (!http_request_head(c)) return true;
    }
    if (have >= c->need) {
        http_request_whole(c);
        return true;
    }
    if (c->parser.head.continues && !c->continued && have == c->parser.head.size) send_continue(c);
    return false;
}

void http_conn_run(struct http_conn *c) {
    CHECK(!c->running);
    c->running = true;
    for (int turn = 0; !c->closed; turn++) {
        if (c->begin == c->end) {
            rest(c);
            break;
        }
        if (c->phase == PHASE_IDLE) {
            if (turn >= HTTP_TURN) {
                wait_turn(c);
                break;
            }
            begin_request(c);
        }
        bool advanced = advance(c);
        if (c->closed) break;
        if (!advanced) {
            if (c->eof)
                lose(c);
            else
                resume_reading(c);
            break;
        }
        if (c->phase != PHASE_IDLE) break;
    }
    c->running = false;
    if (c->closed && c->phase != PHASE_HANDLER) http_conn_free(c);
}

/* A reply is out to its last byte. */
static void sent(struct http_conn *c, uint64_t now_ns) {
    if (c->last)
        end_connection(c, now_ns);
    else if (c->phase != PHASE_IDLE)
        http_conn_phase(c, PHASE_IDLE, now_ns);
}

static void on_writable(evutil_socket_t fd, short what, void *arg) {
    struct http_conn *c = arg;
    (void)what;
    ssize_t n = send(fd, c->out + c->out_at, c->out_n - c->out_at, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) lose(c);
        return;
    }
    c->out_at += (size_t)n;
    if (c->out_at < c->out_n) return;
    mem_free(c->out);
    c->out = NULL;
    c->out_n = c->out_at = 0;
    event_del(&c->writable);
    bool last = c->last; /* then it may be gone after sent() */
    sent(c, clock_steady_ns());
    if (!last) http_conn_run(c);
}

/* Keeps what the socket did not take and waits for it. */
static void keep_rest(struct http_conn *c, struct slice head, struct slice body, size_t done, uint64_t now_ns) {
    size_t n = head.n + body.n - done;
    c->out = mem_alloc(n);
    if (!c->out || event_add(&c->writable, NULL) != 0) {
        lose(c);
        return;
    }
    size_t from_head = done < head.n ? head.n - done : 0;
    if (from_head > 0) memcpy(c->out, head.p + done, from_head);
    if (n > from_head) memcpy(c->out + from_head, body.p + body.n - (n - from_head), n - from_head);
    c->out_n = n;
    c->out_at = 0;
    http_conn_phase(c, PHASE_WRITE, now_ns);
}

void http_conn_send(struct http_conn *c, struct slice head, struct slice body, uint64_t now_ns) {
    struct iovec parts[2] = {{(void *)(uintptr_t)head.p, head.n}, {(void *)(uintptr_t)body.p, body.n}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = body.n > 0 ? 2 : 1};
    c->begin += c->need;
    c->need = 0;
    mem_free(c->unpacked);
    c->unpacked = NULL;
    http_conn_phase(c, PHASE_IDLE, now_ns);
    ssize_t n = -1;
    do n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        lose(c);
    } else if (n == (ssize_t)(head.n + body.n)) {
        sent(c, now_ns);
    } else {
        keep_rest(c, head, body, n < 0 ? 0 : (size_t)n, now_ns);
    }
}

/* The first of a phase when it has been there for so long, else NULL. */
static struct http_conn *overdue(struct http_server *s, enum http_phase phase, int64_t limit_ms, uint64_t now_ns) {
    struct http_conn *c = TAILQ_FIRST(&s->phases[phase]);
    return c && now_ns - c->since_ns >= (uint64_t)limit_ms * 1000000 ? c : NULL;
}

void http_conn_sweep(struct http_server *s, uint64_t now_ns) {
    static const struct http_fault late = {408, "request_timeout", "the request did not arrive in time", NULL, 0};
    const struct http_limits *l = &s->o.limits;
    struct http_conn *c;
    while ((c = overdue(s, PHASE_IDLE, l->idle_timeout_ms, now_ns)) != NULL) http_conn_close(c);
    while ((c = overdue(s, PHASE_REQUEST, l->request_timeout_ms, now_ns)) != NULL) {
        http_count(&s->o.stats->timeouts);
        http_request_refuse(c, &late, NULL);
    }
    while ((c = overdue(s, PHASE_WRITE, l->request_timeout_ms, now_ns)) != NULL) {
        struct linger reset = {1, 0}; /* the kernel drops what it still holds, too */
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        http_count(&s->o.stats->timeouts);
        http_conn_close(c);
    }
    while ((c = overdue(s, PHASE_LINGER, HTTP_LINGER_MS, now_ns)) != NULL) http_conn_close(c);
}

void http_conn_again(struct http_server *s) {
    http_server_ref(s);
    for (unsigned n = s->n_waiting; n > 0 && s->n_waiting > 0; n--) {
        struct http_conn *c = TAILQ_FIRST(&s->waiting);
        end_wait(c);
        http_conn_run(c);
    }
    http_server_unref(s);
}

void http_conn_open(struct http_server *s, int fd) {
    struct http_conn *c = mem_zalloc(sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->server = s;
    c->fd = fd;
    c->phase = PHASE_IDLE;
    c->since_ns = clock_steady_ns();
    if (event_assign(&c->readable, s->base, fd, EV_READ | EV_PERSIST, on_readable, c) != 0 ||
        event_assign(&c->writable, s->base, fd, EV_WRITE | EV_PERSIST, on_writable, c) != 0 ||
        event_add(&c->readable, NULL) != 0) {
        close(fd);
        mem_free(c);
        return;
    }
    http_server_ref(s);
    TAILQ_INSERT_TAIL(&s->phases[PHASE_IDLE], c, link);
    s->count[PHASE_IDLE]++;
    s->open++;
    http_count(&s->o.stats->accepted);
    http_count(&s->o.stats->open);
    http_server_room(s);
    http_server_arm(s);
}
