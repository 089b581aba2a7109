/* Replies: the head in one piece, the body beside it, errors as JSON. */
#include <string.h>

#include "daemon/http_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"

const char *const http_error_codes[HTTP_ERROR_CODES] = {"unknown_parameter",
                                                        "missing_parameter",
                                                        "bad_parameter",
                                                        "out_of_range",
                                                        "bad_body",
                                                        "unknown_field",
                                                        "bad_field",
                                                        "bad_request_line",
                                                        "bad_target",
                                                        "bad_header",
                                                        "bad_host",
                                                        "bad_line_end",
                                                        "bad_content_length",
                                                        "repeated_header",
                                                        "bad_gzip",
                                                        "unauthorized",
                                                        "insufficient_scope",
                                                        "host_not_allowed",
                                                        "not_found",
                                                        "unknown_item",
                                                        "method_not_allowed",
                                                        "request_timeout",
                                                        "length_required",
                                                        "body_too_large",
                                                        "too_many_events",
                                                        "uri_too_long",
                                                        "header_too_large",
                                                        "unsupported_type",
                                                        "unsupported_encoding",
                                                        "body_refused",
                                                        "expectation_failed",
                                                        "version_not_supported",
                                                        "queue_full",
                                                        "busy",
                                                        "corrupt",
                                                        "io",
                                                        "reply_too_large",
                                                        "loading",
                                                        "stopping",
                                                        "lagging",
                                                        "outcome_unknown",
                                                        "not_stored",
                                                        "no_intake",
                                                        "no_memory",
                                                        "disk_full",
                                                        "other"};

static void count_error(struct http_stats *stats, const char *code) {
    size_t k = 0;
    while (k < HTTP_ERROR_CODES - 1 && strcmp(http_error_codes[k], code) != 0) k++;
    http_count(&stats->errors[k]);
}

static const char *reason_of(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "Other";
    }
}

static void write_head(struct http_conn *c, int status, const char *content_type, const char *headers, size_t body_n) {
    struct buf *b = &c->server->head;
    buf_clear(b);
    if (status == 200) {
        buf_add_str(b, "HTTP/1.1 200 OK\r\n");
    } else {
        buf_add_str(b, "HTTP/1.1 ");
        buf_add_u64(b, (uint64_t)status);
        buf_add_char(b, ' ');
        buf_add_str(b, reason_of(status));
        buf_add_str(b, "\r\n");
    }
    if (status != 204) {
        if (content_type) {
            buf_add_str(b, "Content-Type: ");
            buf_add_str(b, content_type);
            buf_add_str(b, "\r\n");
        }
        buf_add_str(b, "Content-Length: ");
        buf_add_u64(b, body_n);
        buf_add_str(b, "\r\n");
    }
    buf_add_str(b, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if (headers) buf_add_str(b, headers);
    buf_add_str(b, c->last ? "Connection: close\r\n\r\n" : "\r\n");
}

/* c may be gone afterwards, unless it is marked running. */
static void reply(struct http_conn *c, int status, const char *content_type, const char *headers, struct slice body) {
    struct http_server *s = c->server;
    uint64_t now = clock_steady_ns(), started = c->exchange.started_ns;
    const struct http_route *route = c->exchange.route;
    CHECK(status >= 200 && status <= 599);
    if (s->stopped) c->last = true;
    write_head(c, status, content_type, headers, body.n);
    if (c->parser.head.method == HTTP_HEAD || status == 204) body.n = 0;
    http_count(&s->o.stats->replies[status / 100]);
    /* Before it is sent: whoever has it finds it counted. */
    if (s->o.done) s->o.done(s->o.arg, route, status, now > started ? now - started : 0);
    http_server_ref(s);
    if (s->head.failed) {
        http_conn_phase(c, PHASE_IDLE, now);
        http_count(&s->o.stats->disconnects);
        http_conn_close(c);
    } else {
        http_conn_send(c, slice_of(s->head.p, s->head.n), body, now);
    }
    http_server_unref(s);
}

static void add_text(struct buf *b, const char *key, const char *value) {
    buf_add_str(b, key);
    if (value)
        buf_add_json(b, slice_str(value));
    else
        buf_add_str(b, "null");
}

static struct slice error_body(struct http_server *s, const char *code, const char *message, const char *field,
                               const char *limit) {
    struct buf *b = &s->error;
    count_error(s->o.stats, code);
    buf_clear(b);
    add_text(b, "{\"error\":{\"code\":", code);
    add_text(b, ",\"message\":", message);
    add_text(b, ",\"field\":", field);
    add_text(b, ",\"limit\":", limit);
    buf_add_str(b, "}}\n");
    if (b->failed)
        return slice_str("{\"error\":{\"code\":\"no_memory\",\"message\":\"no memory for the error\",\"field\":null,"
                         "\"limit\":null}}\n");
    return slice_of(b->p, b->n);
}

void http_conn_error(struct http_conn *c, const struct http_fault *f, const char *headers) {
    char text[24], *limit = NULL;
    if (f->limit) {
        size_t at = sizeof text - 1;
        text[at] = '\0';
        for (size_t v = f->limit; v > 0; v /= 10) text[--at] = (char)('0' + v % 10);
        limit = text + at;
    }
    reply(c, f->status, "application/json", headers, error_body(c->server, f->code, f->message, f->field, limit));
}

/* Ends what the handler owed, whether the connection still is there or not. */
static void answer(struct http_exchange *x, int status, const char *content_type, const char *headers,
                   struct slice body) {
    struct http_conn *c = x->conn;
    bool within = c->running;
    CHECK(c->phase == PHASE_HANDLER);
    if (c->closed) {
        c->phase = PHASE_IDLE;
        if (!within) http_conn_free(c);
        return;
    }
    c->running = true;
    reply(c, status, content_type, headers, body);
    if (within) return; /* http_conn_run goes on by itself */
    c->running = false;
    if (c->closed)
        http_conn_free(c);
    else if (c->phase == PHASE_IDLE)
        http_conn_run(c);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, const char *headers, struct slice body) {
    struct buf *scratch = &x->conn->server->scratch;
    if (scratch->failed && body.p == scratch->p)
        http_reply_error(x, 500, "reply_too_large", "no room for the reply", NULL, NULL, NULL);
    else
        answer(x, status, content_type, headers, body);
}

void http_reply_error(struct http_exchange *x, int status, const char *code, const char *message, const char *field,
                      const char *limit, const char *headers) {
    struct slice body = error_body(x->conn->server, code, message, field, limit);
    answer(x, status, "application/json", headers, body);
}

struct buf *http_scratch(struct http_exchange *x) {
    struct buf *b = &x->conn->server->scratch;
    if (b->cap > HTTP_KEPT_MEMORY)
        buf_free(b);
    else
        buf_clear(b);
    return b;
}

struct event_base *http_base(struct http_exchange *x) {
    return x->conn->server->base;
}
