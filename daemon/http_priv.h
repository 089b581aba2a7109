/* What the files of the HTTP front share. All of it belongs to the thread of the server's base. */
#ifndef RANKD_DAEMON_HTTP_PRIV_H
#define RANKD_DAEMON_HTTP_PRIV_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "daemon/http.h"
#include "daemon/http_parse.h"

#define HTTP_SWEEP_MS    100       /* how exact deadlines are; also the wait after EMFILE */
#define HTTP_LINGER_MS   1000      /* how long a closing connection still takes in what the peer sends */
#define HTTP_BUFFER      4096      /* bytes a connection begins with */
#define HTTP_MAX_HEAD    32768     /* bytes of a reply's head and of an error's body */
#define HTTP_MAX_SCRATCH (1 << 28) /* bytes of a reply's body */
#define HTTP_KEPT_MEMORY (1 << 20) /* scratch memory kept between replies */
#define HTTP_TURN        16        /* pipelined requests of one connection before the others' turn */

/* Where a connection stands; each phase is a queue ordered by the time of entry, so that a sweep looks at heads only.
 */
enum http_phase {
    PHASE_IDLE,    /* no byte of a request yet; read on */
    PHASE_REQUEST, /* some bytes of one; read on */
    PHASE_HANDLER, /* the handler has it; not read */
    PHASE_WRITE,   /* a reply did not fit into the socket; not read */
    PHASE_LINGER,  /* our side is shut; what comes is dropped until the peer closes or HTTP_LINGER_MS have passed */
    PHASES
};

union http_address { /* what getsockname fills */
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_storage largest;
};

struct http_exchange {
    struct http_conn *conn;
    const struct http_route *route; /* NULL when none matched */
    struct http_request request;
    uint64_t started_ns; /* first byte of the request, or when its turn came */
};

struct http_conn {
    struct http_server *server;
    int fd;
    enum http_phase phase;
    uint64_t since_ns; /* in this phase */
    TAILQ_ENTRY(http_conn) link;
    struct event readable, writable;
    bool paused;  /* readable is not in the base */
    bool eof;     /* the peer shut its writing side */
    bool last;    /* close after the reply under way */
    bool running; /* http_conn_run is on the stack: it frees */
    bool closed;  /* no descriptor any more; freed when neither running nor in a handler */
    bool waiting; /* in server->waiting */
    TAILQ_ENTRY(http_conn) turn;

    char *in; /* (cap), in use [begin, end); NULL while idle */
    size_t cap, begin, end;
    struct http_parser parser;
    bool continued; /* 100 Continue was sent */
    size_t need;    /* bytes of the whole request at begin; 0 until its head is judged */
    char *unpacked; /* body that came gzipped */

    char *out; /* (out_n), sent up to out_at */
    size_t out_n, out_at;
    struct http_exchange exchange;
};

TAILQ_HEAD(http_conns, http_conn);

struct http_listener {
    struct http_server *server;
    int fd;
    struct event event;
    bool on;
    struct http_listener *next;
};

struct http_server {
    struct event_base *base;
    struct http_server_options o; /* o.hosts is ours */
    struct http_listener *listeners;
    struct event sweep; /* armed while a connection or a disabled listener is there */
    struct event again; /* armed while waiting is not empty */
    struct http_conns phases[PHASES], waiting;
    unsigned count[PHASES], open, n_waiting;
    unsigned refs; /* connections not yet freed, calls on the stack, and 1 until http_server_free */
    bool stopped, freed;
    uint64_t retry_ns; /* listeners stay off until then; 0 = not for want of descriptors */
    struct buf head, scratch, error;
    struct http_stats own; /* when none were given */
};

static inline void http_count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* http_server.c */
void http_server_ref(struct http_server *s);
void http_server_unref(struct http_server *s);
void http_server_arm(struct http_server *s);  /* the sweep */
void http_server_room(struct http_server *s); /* listeners on or off by the number of connections */
const struct http_route *http_route_find(const struct http_server *s, struct slice path, enum http_method method);
/* The header line with the methods of a path ("Allow: GET, HEAD, POST\r\n"); false when no route has the path. */
bool http_route_allow(const struct http_server *s, struct slice path, char out[64]);

/* http_conn.c */
void http_conn_open(struct http_server *s, int fd); /* takes fd */
void http_conn_close(struct http_conn *c);
void http_conn_free(struct http_conn *c); /* of a closed one whose reply was still owed */
void http_conn_run(struct http_conn *c);  /* goes on with what was read; c may be gone afterwards */
void http_conn_phase(struct http_conn *c, enum http_phase phase, uint64_t now_ns);
/* Sends a reply and ends the request at begin: c is idle, writing, lingering or closed afterwards. */
void http_conn_send(struct http_conn *c, struct slice head, struct slice body, uint64_t now_ns);
void http_conn_sweep(struct http_server *s, uint64_t now_ns);
void http_conn_again(struct http_server *s); /* one turn for each that waits for one */

/* http_request.c */
/* Judges the head of c's request: sets exchange and need, or replies with an error and closes. False after a reply. */
bool http_request_head(struct http_conn *c);
/* Hands a whole request to its handler, or replies with an error. */
void http_request_whole(struct http_conn *c);
/* A reply that ends the connection, to a request that is not whole or not understood. */
void http_request_refuse(struct http_conn *c, const struct http_fault *f, const char *headers);

/* http_reply.c */
/* The error reply to the request at begin, without a handler; c may be gone afterwards. limit: 0 = none. */
void http_conn_error(struct http_conn *c, const struct http_fault *f, const char *headers);

/* http_gunzip.c */
/* Unpacks gzip members; *out (mem_free) has *n bytes, at most max. ERR_SYNTAX not gzip, ERR_FULL past max, ERR_NOMEM.
 */
int http_gunzip(struct slice packed, size_t max, char **out, size_t *n) ERR_MUST_CHECK;

/* http_tokens.c */
enum http_access { ACCESS_GRANTED, ACCESS_UNKNOWN, ACCESS_TOO_LITTLE };
/* authorization: the value of that header, empty when absent. */
enum http_access http_tokens_check(const struct http_tokens *t, struct slice authorization, enum http_scope scope);

/* http_hosts.c */
/* hosts: as option http.hosts. fd: the connection, whose own address is accepted when hosts is empty. */
bool http_host_allowed(const char *hosts, struct slice host, int fd);

#endif
