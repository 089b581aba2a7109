/* A strict HTTP/1.1 front on libevent: parse, bound, authorise, route, reply.
 *
 * One struct http_server belongs to one thread with its own event_base; every function is called on that thread unless
 * it says otherwise. Only requests that cannot be read in two ways get through: exactly one Host, at most one
 * Content-Length of digits, no Transfer-Encoding (411), no NUL, bare LF, folded or nameless header. Everything else is
 * answered with a JSON error and the connection is closed. HEAD is GET without its body. Pipelined requests are
 * answered in order: the next one is not looked at before the reply. A POST or PUT without Content-Length is answered
 * 411 where the route takes a body, and has none where it does not. Each connection has a deadline for a whole request,
 * one for idling, and one for taking the reply (request_timeout_ms again); each server has a bound on connections (it
 * stops accepting, and again at EMFILE until a timer has passed). No signal is raised by a peer that went away. */
#ifndef RANKD_DAEMON_HTTP_H
#define RANKD_DAEMON_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct event_base;
struct http_server;
struct http_exchange; /* one request and its reply to come */

enum http_method { HTTP_GET = 1, HTTP_HEAD = 2, HTTP_POST = 4, HTTP_PUT = 8, HTTP_DELETE = 16 };
enum http_scope { HTTP_OPEN, HTTP_READ, HTTP_INGEST, HTTP_ADMIN }; /* what a token must allow */

struct http_limits {             /* copied; http_server_set_limits changes them while running */
    size_t max_header, max_body; /* bytes; max_header at least 1 */
    unsigned max_connections;    /* of this server, at least 1 */
    int64_t request_timeout_ms, idle_timeout_ms;
};

struct http_request {          /* valid until the exchange is replied to */
    enum http_method method;   /* HEAD is given to handlers as HTTP_GET */
    struct slice path;         /* decoded, no NUL, at most 1 KiB */
    struct slice query;        /* still encoded; see http_query */
    struct slice body;         /* unpacked when it came gzipped */
    struct slice content_type; /* media type alone, lower case, empty when absent */
};

struct http_route {
    const char *path; /* exact */
    enum http_method method;
    enum http_scope scope;
    const char *body_types; /* media types accepted for a body, comma-separated; NULL = a body is refused (415) */
    void (*handle)(struct http_exchange *x, const struct http_request *r, void *arg);
};

struct http_tokens; /* bearer tokens with scopes, immutable once loaded; compared in constant time */
/* File of lines "TOKEN SCOPE[,SCOPE]" (read, ingest, admin), # comments. Tokens are 16 to 256 printable bytes; the file
 * must not be readable by others. */
int http_tokens_load(const char *path, struct http_tokens **out, struct err *e) ERR_MUST_CHECK;
void http_tokens_free(struct http_tokens *t);

/* The codes of error replies, as docs/http.md lists them; the last one stands for all others. */
#define HTTP_ERROR_CODES 46
extern const char *const http_error_codes[HTTP_ERROR_CODES];

/* Relaxed atomics, readable by any thread. timeouts: requests and replies cut by a deadline, not idle connections;
 * disconnects: peers that went away in the middle of a request or reply; malformed: refused by the parser. */
struct http_stats {
    _Atomic uint64_t accepted, refused_emfile, at_connection_limit, open, timeouts, disconnects, malformed;
    _Atomic uint64_t replies[6];               /* by hundreds: [2] = 2xx */
    _Atomic uint64_t errors[HTTP_ERROR_CODES]; /* by code, see http_error_codes */
};

struct http_server_options {
    const struct http_route *routes; /* static, n_routes of them */
    size_t n_routes;
    void *arg; /* given to handlers */
    struct http_limits limits;
    /* As option http.hosts, copied. NULL or "*" = any (unix sockets); "" = localhost, 127.0.0.1, [::1] and the address
     * in digits the connection came to; else a comma-separated list, each with a port or for any port. */
    const char *hosts;
    const struct http_tokens *tokens; /* NULL = every request has every scope; otherwise HTTP_OPEN alone is free */
    struct http_stats *stats;         /* shared by the servers of one listener */
    /* Called once a reply was handed to the socket: route (NULL when none matched), status, time since the first byte
     * of the request. May be NULL. */
    void (*done)(void *arg, const struct http_route *route, int status, uint64_t latency_ns);
};

int http_server_new(struct event_base *base, const struct http_server_options *o, struct http_server **out,
                    struct err *e) ERR_MUST_CHECK;
void http_server_set_limits(struct http_server *s, const struct http_limits *limits);
/* The old ones may then be freed. */
void http_server_set_tokens(struct http_server *s, const struct http_tokens *tokens);
int http_server_set_hosts(struct http_server *s, const char *hosts) ERR_MUST_CHECK; /* copied; ERR_NOMEM */

/* Takes over a listening socket, unless it fails; several servers may listen on one address, each with a socket made
 * with SO_REUSEPORT or a dup of the same one. */
int http_server_listen(struct http_server *s, int fd, struct err *e) ERR_MUST_CHECK;
/* Stops accepting and closes idle connections; open exchanges go on and end with Connection: close. http_server_free
 * closes everything at once (deferred exchanges stay valid until their http_reply, which then does nothing but free
 * them). */
void http_server_stop(struct http_server *s);
void http_server_free(struct http_server *s);
unsigned http_server_open(const struct http_server *s); /* connections with a request under way */

/* Listening sockets. address is "host:port" ("[::1]:8080" for IPv6); a port of 0 picks a free one. joins: this process
 * listens there already, with another socket; false: nobody may. *fd is non-blocking, close-on-exec. bound (NULL
 * allowed) receives the text of the address really bound. loopback tells whether the address is reachable from this
 * machine alone. A unix socket has mode 0600; a stale file is replaced, a live one refused (ERR_BUSY), anything else at
 * the path too (ERR_MISMATCH). */
int http_listen_tcp(const char *address, bool joins, int *fd, char bound[64], bool *loopback,
                    struct err *e) ERR_MUST_CHECK;
int http_listen_unix(const char *path, int *fd, struct err *e) ERR_MUST_CHECK;

/* Replies. Exactly one reply per exchange, on the owning thread, inside the handler or later; x is gone afterwards.
 * status is 200 to 599. body is copied; from a scratch that failed it becomes a 500.
 * headers: extra header lines "Name: value\r\n" or NULL. */
void http_reply(struct http_exchange *x, int status, const char *content_type, const char *headers, struct slice body);
/* {"error":{"code","message","field","limit"}}; field and limit may be NULL. 405 needs headers with Allow, 429 and 503
 * Retry-After. */
void http_reply_error(struct http_exchange *x, int status, const char *code, const char *message, const char *field,
                      const char *limit, const char *headers);
/* A buffer of the server (at most 256 MiB) for building the body of the current reply: cleared at each call, never
 * freed by handlers. */
struct buf *http_scratch(struct http_exchange *x);
/* The base that owns x, for a handler that replies later. */
struct event_base *http_base(struct http_exchange *x);

/* Value of a query parameter, percent-decoded into out ('+' is a space). 1 found, 0 absent, ERR_SYNTAX for bad
 * encoding, a NUL (anywhere in the query) or a repeated name, ERR_RANGE when longer than size - 1. */
int http_query(struct slice query, const char *name, char *out, size_t size) ERR_MUST_CHECK;
/* The first query parameter whose name is not in the comma-separated list known: copied into out, 1; else 0. */
int http_query_unknown(struct slice query, const char *known, char *out, size_t size);

#endif
