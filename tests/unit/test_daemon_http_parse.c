/* The head parser: what it accepts, what it refuses and how, and that cuts change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http_parse.h"

#define LIMIT 1024
#define HOST  "Host: h\r\n"

struct refusal {
    const char *text;
    size_t n; /* 0 = strlen */
    int status;
    const char *code;
};

#define LINE(text, status, code)                                                                                       \
    { text " HTTP/1.1\r\n" HOST "\r\n", 0, status, code }
#define FIELD(text, status, code)                                                                                      \
    { "GET / HTTP/1.1\r\n" HOST text "\r\n\r\n", 0, status, code }
#define BINARY(text, status, code)                                                                                     \
    { text, sizeof(text) - 1, status, code }

static const struct refusal refusals[] = {
    /* the request line */
    {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0, 400, "bad_request_line"},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 0, 400, "bad_request_line"},
    {"\x16\x03\x01\x02", 0, 400, "bad_request_line"},
    {"GET\r\n\r\n", 0, 400, "bad_request_line"},
    {"GET /\r\n\r\n", 0, 400, "bad_request_line"},
    {"GET  / HTTP/1.1\r\n\r\n", 0, 400, "bad_request_line"},
    {"GET / HTTP/1.1 \r\n\r\n", 0, 400, "bad_request_line"},
    {"GET / x HTTP/1.1\r\n\r\n", 0, 400, "bad_request_line"},
    {"GET\t/ HTTP/1.1\r\n\r\n", 0, 400, "bad_request_line"},
    {"GET / http/1.1\r\n\r\n", 0, 400, "bad_request_line"},
    {"GET / HTTP/1.10\r\n\r\n", 0, 400, "bad_request_line"},
    {"G(T / HTTP/1.1\r\n\r\n", 0, 400, "bad_request_line"},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 0, 505, "version_not_supported"},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", 0, 505, "version_not_supported"},
    {"PRI * HTTP/2.0\r\n\r\n", 0, 505, "version_not_supported"},
    LINE("GET http://h/", 400, "bad_target"),
    LINE("OPTIONS *", 400, "bad_target"),
    LINE("CONNECT h:80", 400, "bad_target"),
    LINE("GET /a#b", 400, "bad_target"),
    LINE("GET /a\tb", 400, "bad_target"),
    LINE("GET /\xc3\xa4", 400, "bad_target"),
    LINE("GET /%", 400, "bad_target"),
    LINE("GET /%4", 400, "bad_target"),
    LINE("GET /%4g", 400, "bad_target"),
    LINE("GET /%00", 400, "bad_target"),
    BINARY("GET /a\0b HTTP/1.1\r\n\r\n", 400, "bad_target"),
    /* line ends */
    {"GET / HTTP/1.1\n" HOST "\r\n", 0, 400, "bad_line_end"},
    {"GET / HTTP/1.1\r\nHost: h\n\r\n", 0, 400, "bad_line_end"},
    {"GET / HTTP/1.1\r\n" HOST "\n", 0, 400, "bad_line_end"},
    {"GET / HTTP/1.1\r\r\n" HOST "\r\n", 0, 400, "bad_line_end"},
    FIELD("A: b\rc", 400, "bad_line_end"),
    FIELD("A: b\r", 400, "bad_line_end"),
    FIELD("A: b\nC: d", 400, "bad_line_end"),
    /* header lines */
    FIELD("no colon", 400, "bad_header"),
    FIELD(": nameless", 400, "bad_header"),
    FIELD("A : b", 400, "bad_header"),
    FIELD("A\t: b", 400, "bad_header"),
    FIELD(" A: b", 400, "bad_header"),
    FIELD("A: b\r\n folded", 400, "bad_header"),
    FIELD("A: b\r\n\tfolded: x", 400, "bad_header"),
    FIELD("A(b: c", 400, "bad_header"),
    FIELD("\xc3\xa4: c", 400, "bad_header"),
    FIELD("A: \x01", 400, "bad_header"),
    FIELD("A: b\x7f", 400, "bad_header"),
    BINARY("GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n", 400, "bad_header"),
    BINARY("GET / HTTP/1.1\r\n" HOST "A\0: b\r\n\r\n", 400, "bad_header"),
    FIELD("Transfer-Encoding : chunked", 400, "bad_header"),
    /* framing */
    FIELD("Transfer-Encoding: chunked", 411, "length_required"),
    FIELD("transfer-ENCODING:identity", 411, "length_required"),
    FIELD("Transfer-Encoding:", 411, "length_required"),
    FIELD("Content-Length: 5\r\nTransfer-Encoding: chunked", 411, "length_required"),
    FIELD("Content-Length: 5\r\nContent-Length: 5", 400, "repeated_header"),
    FIELD("Content-Length: 5\r\ncontent-length: 6", 400, "repeated_header"),
    FIELD("Content-Length: 5, 5", 400, "bad_content_length"),
    FIELD("Content-Length:", 400, "bad_content_length"),
    FIELD("Content-Length: +5", 400, "bad_content_length"),
    FIELD("Content-Length: -1", 400, "bad_content_length"),
    FIELD("Content-Length: 0x5", 400, "bad_content_length"),
    FIELD("Content-Length: 5 5", 400, "bad_content_length"),
    FIELD("Content-Length: 5.0", 400, "bad_content_length"),
    /* Host */
    {"GET / HTTP/1.1\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.0\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 0, 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: []\r\n\r\n", 0, 400, "bad_host"},
    FIELD("Host: h", 400, "repeated_header"),
    /* others */
    FIELD("Content-Type: a/b\r\nContent-Type: a/b", 400, "repeated_header"),
    FIELD("Authorization: Bearer a\r\nAuthorization: Bearer b", 400, "repeated_header"),
    FIELD("Content-Encoding: gzip\r\nContent-Encoding: gzip", 400, "repeated_header"),
    FIELD("Expect: 100-continue\r\nExpect: 100-continue", 400, "repeated_header"),
    FIELD("Expect: tea", 417, "expectation_failed"),
};

/* The verdict on n bytes given one more at a time in memory of exactly that size, at a new address each time. */
static struct http_parser one_by_one(const char *text, size_t n, size_t step, size_t limit) {
    struct http_parser p;
    http_parse_init(&p, limit);
    for (size_t have = step < n ? step : n;; have = have + step < n ? have + step : n) {
        char *copy = malloc(have + 1);
        assert_non_null(copy);
        memcpy(copy + 1, text, have);
        http_parse(&p, copy + 1, have);
        free(copy);
        if (have == n) return p;
    }
}

static void same_head(const struct http_head *a, const struct http_head *b) {
    const struct http_span *x[] = {&a->path, &a->query, &a->host, &a->content_type, &a->authorization};
    const struct http_span *y[] = {&b->path, &b->query, &b->host, &b->content_type, &b->authorization};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) assert_true(x[i]->at == y[i]->at && x[i]->n == y[i]->n);
    assert_true(a->method == b->method && a->minor == b->minor && a->size == b->size);
    assert_true(a->content_length == b->content_length && a->coding == b->coding);
    assert_true(a->continues == b->continues && a->close == b->close);
}

static void same_verdict(const struct http_parser *a, const struct http_parser *b) {
    assert_int_equal(a->verdict, b->verdict);
    if (a->verdict == HTTP_WHOLE) same_head(&a->head, &b->head);
    if (a->verdict == HTTP_BAD) {
        assert_int_equal(a->fault.status, b->fault.status);
        assert_ptr_equal(a->fault.message, b->fault.message);
    }
}

static struct http_parser parse(const char *text, size_t n) {
    struct http_parser whole, cut;
    memset(&whole, 0, sizeof whole);
    whole = one_by_one(text, n, n ? n : 1, LIMIT);
    for (size_t step = 1; step < 4; step++) {
        cut = one_by_one(text, n, step, LIMIT);
        same_verdict(&whole, &cut);
    }
    return whole;
}

static struct http_parser parse_text(const char *text) { return parse(text, strlen(text)); }

static void refused_with_status_and_code(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        struct http_parser p = parse(r->text, r->n ? r->n : strlen(r->text));
        if (p.verdict != HTTP_BAD || p.fault.status != r->status || strcmp(p.fault.code, r->code) != 0)
            fail_msg("case %zu, %s: verdict %d, %d %s", i, r->text, p.verdict, p.fault.status,
                     p.fault.code ? p.fault.code : "");
        assert_non_null(p.fault.message);
    }
}

static void assert_span(const char *text, struct http_span s, const char *want) {
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(text + s.at, want, s.n);
}

static void a_whole_head_is_taken_apart(void **state) {
    static const char text[] = "POST /v1/%65vents?a=1&b=%20? HTTP/1.1\r\nhOST:[::1]:8080 \r\nContent-Length:\t007 \r\n"
                               "Content-Type: Application/JSON; charset=utf-8\r\nAUTHORIZATION: Bearer x\r\n"
                               "Content-Encoding: GZIP\r\nExpect: 100-Continue\r\nX-Empty:\r\nTE: xchunked\r\n"
                               "Accept: a\tb \xc3\xa4\r\nConnection: keep-alive\r\n\r\n";
    (void)state;
    struct http_parser p = parse(text, sizeof text - 1);
    assert_int_equal(p.verdict, HTTP_WHOLE);
    assert_int_equal(p.head.method, HTTP_POST);
    assert_int_equal(p.head.minor, 1);
    assert_span(text, p.head.path, "/v1/%65vents");
    assert_span(text, p.head.query, "a=1&b=%20?");
    assert_span(text, p.head.host, "[::1]:8080");
    assert_span(text, p.head.content_type, "Application/JSON; charset=utf-8");
    assert_span(text, p.head.authorization, "Bearer x");
    assert_int_equal(p.head.content_length, 7);
    assert_int_equal(p.head.coding, HTTP_GZIP);
    assert_true(p.head.continues);
    assert_false(p.head.close);
    assert_int_equal(p.head.size, sizeof text - 1);
}

static void absent_fields_have_their_defaults(void **state) {
    (void)state;
    struct http_parser p = parse_text("DELETE / HTTP/1.1\r\nHost: a.b-c_d:1\r\n\r\n{rest is not looked at\n\n");
    assert_int_equal(p.verdict, HTTP_WHOLE);
    assert_int_equal(p.head.method, HTTP_DELETE);
    assert_int_equal(p.head.content_length, -1);
    assert_int_equal(p.head.coding, HTTP_PLAIN);
    assert_int_equal(p.head.query.n + p.head.content_type.n + p.head.authorization.n, 0);
    assert_false(p.head.continues || p.head.close);
}

static void methods(void **state) {
    static const struct {
        const char *text;
        int method;
    } cases[] = {
        {"GET", HTTP_GET}, {"HEAD", HTTP_HEAD}, {"POST", HTTP_POST}, {"PUT", HTTP_PUT}, {"DELETE", HTTP_DELETE},
        {"get", 0},        {"BREW", 0},         {"PATCH", 0},        {"G", 0},          {"OPTIONS", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: h\r\n\r\n", cases[i].text);
        struct http_parser p = parse_text(text);
        assert_int_equal(p.verdict, HTTP_WHOLE);
        assert_int_equal(p.head.method, cases[i].method);
    }
}

static void closing(void **state) {
    static const struct {
        const char *text;
        bool close;
    } cases[] = {{"GET / HTTP/1.0\r\n" HOST "\r\n", true},
                 {"GET / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n", true},
                 {"GET / HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n", true},
                 {"GET / HTTP/1.1\r\n" HOST "Connection: a ,\t,close\r\n\r\n", true},
                 {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\nConnection: b\r\n\r\n", true},
                 {"GET / HTTP/1.1\r\n" HOST "Connection: closed, enclose\r\n\r\n", false},
                 {"GET / HTTP/1.1\r\n" HOST "Connection:\r\n\r\n", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_parser p = parse_text(cases[i].text);
        assert_int_equal(p.verdict, HTTP_WHOLE);
        assert_int_equal(p.head.close, cases[i].close);
    }
    /* HTTP/1.0 knows no 100 Continue. */
    assert_false(parse_text("GET / HTTP/1.0\r\n" HOST "Expect: 100-continue\r\n\r\n").head.continues);
}

static void content_length_saturates(void **state) {
    (void)state;
    assert_true(
        parse_text("GET / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775806\r\n\r\n").head.content_length ==
        INT64_MAX - 1);
    assert_true(
        parse_text("GET / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n").head.content_length ==
        INT64_MAX);
    assert_true(parse_text("GET / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999999\r\n\r\n")
                    .head.content_length == INT64_MAX);
}

static void an_unknown_coding_is_told_apart(void **state) {
    (void)state;
    assert_int_equal(parse_text("GET / HTTP/1.1\r\n" HOST "Content-Encoding: br\r\n\r\n").head.coding, HTTP_FOREIGN);
    assert_int_equal(parse_text("GET / HTTP/1.1\r\n" HOST "Content-Encoding: gzip, gzip\r\n\r\n").head.coding,
                     HTTP_FOREIGN);
    assert_int_equal(parse_text("GET / HTTP/1.1\r\n" HOST "Content-Encoding: identity\r\n\r\n").head.coding,
                     HTTP_PLAIN);
}

/* "GET /aaa HTTP/1.1\r\nHost: h\r\nX: bbb\r\n\r\n" with n bytes in all; path takes the fill, or X does. */
static char *filled(size_t n, bool path) {
    static const char front[] = "GET /", middle[] = " HTTP/1.1\r\nHost: h\r\nX: ", back[] = "\r\n\r\n";
    char *text = malloc(n + 1);
    assert_non_null(text);
    size_t fill = n - (sizeof front + sizeof middle + sizeof back - 3), at = 0;
    memcpy(text, front, sizeof front - 1);
    at = sizeof front - 1;
    if (path) {
        memset(text + at, 'a', fill);
        at += fill;
    }
    memcpy(text + at, middle, sizeof middle - 1);
    at += sizeof middle - 1;
    if (!path) {
        memset(text + at, 'b', fill);
        at += fill;
    }
    memcpy(text + at, back, sizeof back);
    return text;
}

static struct http_parser parse_filled(size_t n, bool path, size_t limit) {
    char *text = filled(n, path);
    struct http_parser whole = one_by_one(text, n, n, limit), cut = one_by_one(text, n, 7, limit);
    same_verdict(&whole, &cut);
    free(text);
    return whole;
}

static void too_long_is_told_by_what_is_too_long(void **state) {
    (void)state;
    assert_int_equal(parse_filled(LIMIT, false, LIMIT).verdict, HTTP_WHOLE);
    struct http_parser p = parse_filled(LIMIT + 1, false, LIMIT);
    assert_int_equal(p.fault.status, 431);
    assert_int_equal(p.fault.limit, LIMIT);
    p = parse_filled(LIMIT + 300, true, LIMIT);
    assert_int_equal(p.fault.status, 414);
    assert_int_equal(p.fault.limit, LIMIT);
    assert_int_equal(parse_filled(LIMIT + 300, true, 4 * LIMIT).fault.status, 414);
    assert_int_equal(parse_filled(LIMIT + 300, true, 4 * LIMIT).fault.limit, HTTP_MAX_PATH);
}

static void a_path_is_measured_decoded(void **state) {
    char text[4 * HTTP_MAX_PATH] = "GET /";
    size_t at = 5;
    (void)state;
    for (int i = 0; i < HTTP_MAX_PATH - 1; i++, at += 3) memcpy(text + at, "%41", 3);
    strcpy(text + at, "?q HTTP/1.1\r\nHost: h\r\n\r\n");
    struct http_parser p = one_by_one(text, strlen(text), 1000, sizeof text);
    assert_int_equal(p.verdict, HTTP_WHOLE);
    strcpy(text + at, "b?q HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(one_by_one(text, strlen(text), 1000, sizeof text).fault.status, 414);
}

static void no_verdict_before_the_end(void **state) {
    static const char text[] = "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
    (void)state;
    for (size_t n = 0; n < sizeof text - 1; n++) assert_int_equal(parse(text, n).verdict, HTTP_MORE);
    assert_int_equal(parse(text, sizeof text - 1).verdict, HTTP_WHOLE);
}

static void a_verdict_is_final(void **state) {
    static const char good[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", evil[] = "GET\r\n";
    struct http_parser p;
    (void)state;
    http_parse_init(&p, LIMIT);
    assert_int_equal(http_parse(&p, good, sizeof good - 1), HTTP_WHOLE);
    assert_int_equal(http_parse(&p, good, sizeof good - 1), HTTP_WHOLE);
    http_parse_init(&p, LIMIT);
    assert_int_equal(http_parse(&p, evil, sizeof evil - 1), HTTP_BAD);
    assert_int_equal(http_parse(&p, good, sizeof good - 1), HTTP_BAD);
}

static void decoding(void **state) {
    char text[] = "a%2Fb%c3%A4+c";
    (void)state;
    assert_int_equal(http_decode(text, strlen(text), NULL, false), 7);
    assert_int_equal(http_decode("+%2b", 4, text, true), 2);
    assert_memory_equal(text, " +", 2);
    char again[] = "a%2Fb%c3%A4+c";
    assert_int_equal(http_decode(again, strlen(again), again, false), 7);
    assert_memory_equal(again, "a/b\xc3\xa4+c", 7);
    assert_int_equal(http_decode("", 0, NULL, true), 0);
    assert_int_equal(http_decode("%0", 2, NULL, true), ERR_SYNTAX);
    assert_int_equal(http_decode("%00", 3, NULL, true), ERR_SYNTAX);
    assert_int_equal(http_decode("a\0", 2, NULL, true), ERR_SYNTAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_with_status_and_code),
        cmocka_unit_test(a_whole_head_is_taken_apart),
        cmocka_unit_test(absent_fields_have_their_defaults),
        cmocka_unit_test(methods),
        cmocka_unit_test(closing),
        cmocka_unit_test(content_length_saturates),
        cmocka_unit_test(an_unknown_coding_is_told_apart),
        cmocka_unit_test(too_long_is_told_by_what_is_too_long),
        cmocka_unit_test(a_path_is_measured_decoded),
        cmocka_unit_test(no_verdict_before_the_end),
        cmocka_unit_test(a_verdict_is_final),
        cmocka_unit_test(decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
