/* A request: for whom, allowed by whom, with which body; then its handler. */
#include <string.h>

#include "daemon/http_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

static struct slice span_of(const struct http_conn *c, struct http_span s) {
    return slice_of(c->in + c->begin + s.at, s.n);
}

void http_request_refuse(struct http_conn *c, const struct http_fault *f, const char *headers) {
    c->last = true;
    http_conn_error(c, f, headers);
}

/* Answers a request whose head is good but which is not served; its body, when it has one, is not waited for. */
static bool deny(struct http_conn *c, const struct http_fault *f, const char *headers) {
    const struct http_head *head = &c->parser.head;
    if (head->content_length > 0 || head->method == 0) c->last = true;
    c->need = head->size;
    http_conn_error(c, f, headers);
    return false;
}

/* Decodes the path in place, and cuts the content type to the media type in lower case: nothing of the head is read by
 * the parser any more. */
static void tidy_head(struct http_conn *c) {
    struct http_head *head = &c->parser.head;
    char *path = c->in + c->begin + head->path.at, *type = c->in + c->begin + head->content_type.at;
    ptrdiff_t decoded = http_decode(path, head->path.n, path, false);
    CHECK(decoded >= 0);
    head->path.n = (size_t)decoded;
    size_t n = 0;
    while (n < head->content_type.n && type[n] != ';' && type[n] != ' ' && type[n] != '\t') {
        if (type[n] >= 'A' && type[n] <= 'Z') type[n] = (char)(type[n] + ('a' - 'A'));
        n++;
    }
    head->content_type.n = n;
}

/* The request's slices, which hold until more is read. */
static void point_into_buffer(struct http_conn *c) {
    const struct http_head *head = &c->parser.head;
    struct http_request *r = &c->exchange.request;
    r->path = span_of(c, head->path);
    r->query = span_of(c, head->query);
    r->content_type = span_of(c, head->content_type);
}

static bool is_listed(struct slice type, const char *list) {
    for (;;) {
        size_t n = strcspn(list, ",");
        if (type.n > 0 && slice_equal(type, slice_of(list, n))) return true;
        if (list[n] == '\0') return false;
        list += n + 1;
        while (*list == ' ') list++;
    }
}

static bool find_route(struct http_conn *c) {
    static const struct http_fault not_found = {404, "not_found", "there is nothing at this path", "path", 0};
    static const struct http_fault not_allowed = {405, "method_not_allowed", "this path has other methods, see Allow",
                                                  "method", 0};
    struct http_exchange *x = &c->exchange;
    char allow[64];
    x->route = x->request.method ? http_route_find(c->server, x->request.path, x->request.method) : NULL;
    if (x->route) return true;
    if (!http_route_allow(c->server, x->request.path, allow)) return deny(c, &not_found, NULL);
    return deny(c, &not_allowed, allow);
}

static bool may_ask(struct http_conn *c) {
    static const struct http_fault unknown = {401, "unauthorized", "a known bearer token is needed", "Authorization",
                                              0};
    static const struct http_fault too_little = {403, "insufficient_scope", "the token does not allow this",
                                                 "Authorization", 0};
    struct slice authorization = span_of(c, c->parser.head.authorization);
    switch (http_tokens_check(c->server->o.tokens, authorization, c->exchange.route->scope)) {
    case ACCESS_GRANTED:
        return true;
    case ACCESS_TOO_LITTLE:
        return deny(c, &too_little, "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n");
    case ACCESS_UNKNOWN:
        break;
    }
    return deny(c, &unknown, "WWW-Authenticate: Bearer\r\n");
}

/* Length, coding and type of the body, before any of it is waited for. */
static bool may_send(struct http_conn *c) {
    static const struct http_fault length = {411, "length_required", "send Content-Length", "Content-Length", 0};
    static const struct http_fault no_body = {415, "body_refused", "this request takes no body", "Content-Length", 0};
    static const struct http_fault coding = {415, "unsupported_encoding", "a body comes plain or in gzip",
                                             "Content-Encoding", 0};
    static const struct http_fault type = {415, "unsupported_type", "the body has a media type not taken here",
                                           "Content-Type", 0};
    const struct http_head *head = &c->parser.head;
    const char *types = c->exchange.route->body_types;
    size_t max = c->server->o.limits.max_body;
    if (!types) return head->content_length > 0 ? deny(c, &no_body, NULL) : true;
    if (head->content_length < 0 && (head->method == HTTP_POST || head->method == HTTP_PUT)) {
        c->last = true;
        return deny(c, &length, NULL);
    }
    if (head->content_length > 0 && (uint64_t)head->content_length > max) {
        const struct http_fault large = {413, "body_too_large", "the body is too large", "Content-Length", max};
        return deny(c, &large, NULL);
    }
    if (head->coding == HTTP_FOREIGN) return deny(c, &coding, "Accept-Encoding: gzip\r\n");
    if ((head->content_length > 0 || head->content_type.n > 0) && !is_listed(c->exchange.request.content_type, types))
        return deny(c, &type, NULL);
    return true;
}

bool http_request_head(struct http_conn *c) {
    static const struct http_fault host = {403, "host_not_allowed", "this Host is not served here, see http.hosts",
                                           "Host", 0};
    const struct http_head *head = &c->parser.head;
    struct http_request *r = &c->exchange.request;
    c->last = head->close;
    r->method = head->method == HTTP_HEAD ? HTTP_GET : head->method;
    tidy_head(c);
    point_into_buffer(c);
    if (!http_host_allowed(c->server->o.hosts, span_of(c, head->host), c->fd)) return deny(c, &host, NULL);
    if (!find_route(c) || !may_ask(c) || !may_send(c)) return false;
    c->need = head->size + (head->content_length > 0 ? (size_t)head->content_length : 0);
    return true;
}

/* The body unpacked; false after an error reply. */
static bool unpack(struct http_conn *c, struct slice *body) {
    static const struct http_fault damaged = {400, "bad_gzip", "the body is not whole gzip", "body", 0};
    static const struct http_fault no_memory = {503, "no_memory", "no memory for the request", NULL, 0};
    size_t n = 0, max = c->server->o.limits.max_body;
    switch (http_gunzip(*body, max, &c->unpacked, &n)) {
    case 0:
        *body = slice_of(c->unpacked, n);
        return true;
    case ERR_FULL: {
        const struct http_fault large = {413, "body_too_large", "the body unpacks to more than is allowed", "body",
                                         max};
        http_conn_error(c, &large, NULL);
        return false;
    }
    case ERR_NOMEM:
        http_conn_error(c, &no_memory, "Retry-After: 1\r\n");
        return false;
    default:
        http_conn_error(c, &damaged, NULL);
        return false;
    }
}

void http_request_whole(struct http_conn *c) {
    struct http_exchange *x = &c->exchange;
    size_t head = c->parser.head.size;
    struct slice body = slice_of(c->in + c->begin + head, c->need - head);
    if (c->parser.head.coding == HTTP_GZIP && body.n > 0 && !unpack(c, &body)) return;
    point_into_buffer(c); /* the buffer may have moved since the head was read */
    x->request.body = body;
    http_conn_phase(c, PHASE_HANDLER, x->started_ns);
    x->route->handle(x, &x->request, c->server->o.arg);
}
