/* A server on a real socket: replies to the byte, refusals, routes, tokens, bodies, pipelines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <zlib.h>

#include "lib/base/mem.h"
#include "tests/unit/http_world.h"

static void say_hello(struct http_exchange *x, const struct http_request *r, void *arg) {
    assert_ptr_equal(arg, &world);
    assert_int_equal(r->method, HTTP_GET);
    assert_int_equal(r->body.n, 0);
    world.handled++;
    http_reply(x, 200, "text/plain", NULL, slice_str("hello"));
}

static void echo(struct http_exchange *x, const struct http_request *r, void *arg) {
    struct buf *b = http_scratch(x);
    (void)arg;
    assert_int_equal(b->n, 0);
    buf_add_slice(b, r->body);
    buf_add_char(b, '|');
    buf_add_slice(b, r->content_type);
    buf_add_char(b, '|');
    buf_add_slice(b, r->query);
    world.handled++;
    http_reply(x, 200, "text/plain", "X-Echo: yes\r\n", slice_of(b->p, b->n));
}

static void act(struct http_exchange *x, const struct http_request *r, void *arg) {
    (void)arg;
    assert_int_equal(r->body.n, 0);
    http_reply(x, 204, "text/plain", NULL, slice_str("never sent"));
}

static void overflow(struct http_exchange *x, const struct http_request *r, void *arg) {
    struct buf *b = http_scratch(x);
    (void)arg;
    (void)r;
    buf_add_str(b, "half");
    b->failed = true;
    http_reply(x, 200, "text/plain", NULL, slice_of(b->p, b->n));
}

static void error(struct http_exchange *x, const struct http_request *r, void *arg) {
    (void)arg;
    (void)r;
    http_reply_error(x, 429, "busy", "say \"later\"", "queue", "7", "Retry-After: 1\r\n");
}

static const struct http_route routes[] = {
    {"/hello", HTTP_GET, HTTP_READ, NULL, say_hello},
    {"/open", HTTP_GET, HTTP_OPEN, NULL, say_hello},
    {"/echo", HTTP_GET, HTTP_READ, NULL, echo},
    {"/echo", HTTP_POST, HTTP_INGEST, "application/json,application/x-ndjson", echo},
    {"/act", HTTP_POST, HTTP_ADMIN, NULL, act},
    {"/overflow", HTTP_GET, HTTP_READ, NULL, overflow},
    {"/error", HTTP_GET, HTTP_READ, NULL, error},
    {"/a b", HTTP_DELETE, HTTP_READ, NULL, act},
};

static int set_up(void **state) {
    struct http_server_options o;
    (void)state;
    world_options(&o, routes, sizeof routes / sizeof *routes);
    world_open(&o);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_close();
    return 0;
}

static void a_reply_to_the_byte(void **state) {
    (void)state;
    assert_string_equal(
        ask("GET /hello HTTP/1.1\r\n" LAST "\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\nhello");
    assert_int_equal(atomic_load(&world.stats.replies[2]), 1);
    assert_int_equal(world.done, 1);
    assert_int_equal(world.last_status, 200);
    assert_ptr_equal(world.last_route, &routes[0]);
    assert_has(ask("GET /echo?a=%20b HTTP/1.1\r\n" LAST "\r\n"), "X-Echo: yes\r\nConnection: close\r\n\r\n||a=%20b");
    assert_begins(ask("DELETE /a%20b HTTP/1.1\r\n" LAST "\r\n"), "HTTP/1.1 204 No Content\r\nCache-Control");
    assert_lacks(heard, "never sent");
}

static void head_is_get_without_a_body(void **state) {
    (void)state;
    int fd = dial();
    say(fd,
        "HEAD /hello HTTP/1.1\r\n" LINES "\r\nHEAD /none HTTP/1.1\r\n" LINES "\r\nGET /hello HTTP/1.1\r\n" LAST "\r\n");
    hear_all(fd);
    const char *second = strstr(heard, "\r\n\r\n") + 4, *third = strstr(second, "\r\n\r\n") + 4;
    assert_has(heard, "Content-Length: 5\r\n");
    assert_begins(second, "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: ");
    assert_begins(third, "HTTP/1.1 200 OK\r\n");
    assert_has(third, "\r\n\r\nhello");
    /* Malformed, but known to be HEAD. */
    assert_string_equal(strstr(ask("HEAD /hello HTTP/1.1\r\nbad\r\n\r\n"), "\r\n\r\n"), "\r\n\r\n");
}

static void one_request_in_pieces_of_one_byte(void **state) {
    static const char text[] =
        "POST /echo HTTP/1.1\r\n" LAST "Content-Type: application/json\r\nContent-Length: 4\r\n\r\n[12]";
    (void)state;
    int fd = dial();
    for (size_t i = 0; i < sizeof text - 1; i++) {
        say_bytes(fd, text + i, 1);
        world_loop();
    }
    assert_has(hear_all(fd), "\r\n\r\n[12]|application/json|");
    assert_int_equal(world.handled, 1);
}

static void errors_are_json(void **state) {
    (void)state;
    ask("GET /error HTTP/1.1\r\n" LAST "\r\n");
    assert_begins(heard, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n");
    assert_has(heard, "\r\nRetry-After: 1\r\n");
    assert_has(heard, "\r\n\r\n{\"error\":{\"code\":\"busy\",\"message\":\"say \\\"later\\\"\",\"field\":\"queue\","
                      "\"limit\":\"7\"}}\n");
    assert_begins(ask("GET /overflow HTTP/1.1\r\n" LAST "\r\n"), "HTTP/1.1 500 ");
    assert_has(heard, "\"code\":\"reply_too_large\"");
    assert_int_equal(atomic_load(&world.stats.replies[4]), 1);
    assert_int_equal(atomic_load(&world.stats.replies[5]), 1);
}

/* Each is answered once and ends the connection, though a good request follows. */
static void what_cannot_be_trusted_is_answered_and_closed(void **state) {
    static const struct {
        const char *text, *status, *code;
    } cases[] = {
        {"GET http://localhost/hello HTTP/1.1\r\n" LINES "\r\n", "400", "bad_target"},
        {"GET /hello HTTP/1.1\r\n\r\n", "400", "bad_host"},
        {"GET /hello HTTP/1.1\r\n" LINES LINES "\r\n", "400", "repeated_header"},
        {"GET /hello HTTP/3.0\r\n" LINES "\r\n", "505", "version_not_supported"},
        {"GET /hello HTTP/1.1\n" LINES "\r\n", "400", "bad_line_end"},
        {"GET /hello HTTP/1.1\r\n" LINES "A: b\r\n c\r\n\r\n", "400", "bad_header"},
        {"POST /echo HTTP/1.1\r\n" LINES "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "400", "repeated_header"},
        {"POST /echo HTTP/1.1\r\n" LINES "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "411", "length_required"},
        {"POST /echo HTTP/1.1\r\n" LINES "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400", "bad_header"},
        {"POST /echo HTTP/1.1\r\n" LINES "Content-Type: application/json\r\n\r\n", "411", "length_required"},
        {"POST /echo HTTP/1.1\r\n" LINES "Content-Type: a/b\r\nContent-Length: 3\r\n\r\nabc", "415",
         "unsupported_type"},
        {"POST /echo HTTP/1.1\r\n" LINES "Content-Length: 3\r\n\r\nabc", "415", "unsupported_type"},
        {"POST /echo HTTP/1.1\r\n" LINES "Content-Type: application/json\r\nContent-Encoding: br\r\n"
         "Content-Length: 3\r\n\r\nabc",
         "415", "unsupported_encoding"},
        {"POST /echo HTTP/1.1\r\n" LINES "Content-Length: 65537\r\n\r\n", "413", "body_too_large"},
        {"POST /echo HTTP/1.1\r\n" LINES "Content-Length: 99999999999999999999\r\n\r\n", "413", "body_too_large"},
        {"GET /hello HTTP/1.1\r\n" LINES "Content-Length: 3\r\n\r\nabc", "415", "body_refused"},
        {"POST /act HTTP/1.1\r\n" LINES "Content-Length: 3\r\n\r\nabc", "415", "body_refused"},
        {"POST /none HTTP/1.1\r\n" LINES "Content-Length: 3\r\n\r\nabc", "404", "not_found"},
        {"GET /hello HTTP/1.1\r\n" LINES "Expect: tea\r\n\r\n", "417", "expectation_failed"},
        {"BREW /hello HTTP/1.1\r\n" LINES "\r\n", "405", "method_not_allowed"},
        {"GET /hello HTTP/1.0\r\n" LINES "Connection: keep-alive\r\n\r\n", "200", "hello"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512], front[32];
        snprintf(text, sizeof text, "%sGET /hello HTTP/1.1\r\n" LAST "\r\n", cases[i].text);
        snprintf(front, sizeof front, "HTTP/1.1 %s ", cases[i].status);
        assert_begins(ask(text), front);
        assert_has(heard, cases[i].code);
        assert_has(heard, "\r\nConnection: close\r\n");
        assert_lacks(heard + 1, "\nHTTP/1.1 ");
    }
    assert_int_equal(world.handled, 1);
    assert_int_equal(world.done, sizeof cases / sizeof *cases);
    assert_int_equal(atomic_load(&world.stats.malformed), 10);
}

static void heads_are_bounded(void **state) {
    char text[6000];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text, "GET /", 5);
    assert_begins(ask(text), "HTTP/1.1 414 ");
    assert_has(heard, "\"field\":\"request line\",\"limit\":\"4096\"");
    memcpy(text, "GET /hello HTTP/1.1\r\nHost: h\r\nX: ", 33);
    assert_begins(ask(text), "HTTP/1.1 431 ");
    memcpy(text + 1100, " HTTP/1.1\r\n" LINES "\r\n", 31);
    memcpy(text, "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 40);
    text[1131] = '\0';
    assert_begins(ask(text), "HTTP/1.1 414 ");
    assert_has(heard, "\"field\":\"path\",\"limit\":\"1024\"");
}

static void paths_and_methods(void **state) {
    (void)state;
    int fd = dial();
    say(fd, "GET /nothing HTTP/1.1\r\n" LINES "\r\nDELETE /echo HTTP/1.1\r\n" LINES "\r\nGET /hello/ HTTP/1.1\r\n" LINES
            "\r\nGET /Hello HTTP/1.1\r\n" LINES "\r\nPUT /act HTTP/1.1\r\n" LAST "\r\n");
    hear_all(fd);
    assert_begins(heard, "HTTP/1.1 404 ");
    assert_has(heard, "HTTP/1.1 405 Method Not Allowed\r\n");
    assert_has(heard, "\r\nAllow: GET, HEAD, POST\r\n");
    assert_has(heard, "\r\nAllow: POST\r\nConnection: close\r\n");
    assert_int_equal(world.done, 5);
    assert_null(world.last_route);
    assert_int_equal(atomic_load(&world.stats.accepted), 1);
}

static void bodies(void **state) {
    (void)state;
    assert_has(
        ask("POST /echo HTTP/1.1\r\n" LAST "Content-Type: Application/X-NDJSON ; a=b\r\nContent-Length: 2\r\n\r\nab"),
        "\r\n\r\nab|application/x-ndjson|");
    assert_has(ask("POST /echo?q HTTP/1.1\r\n" LAST "Content-Length: 0\r\n\r\n"), "\r\n\r\n||q");
    assert_begins(ask("POST /act HTTP/1.1\r\n" LAST "\r\n"), "HTTP/1.1 204 ");
    assert_begins(ask("POST /echo HTTP/1.1\r\n" LAST "Content-Type: a/b\r\nContent-Length: 0\r\n\r\n"),
                  "HTTP/1.1 415 ");
    assert_has(ask("GET /hello HTTP/1.1\r\n" LAST "Content-Length: 0\r\n\r\n"), "hello");
}

static void a_body_as_large_as_allowed(void **state) {
    char head[256], *body = malloc(65536);
    (void)state;
    assert_non_null(body);
    memset(body, 'x', 65536);
    snprintf(head, sizeof head,
             "POST /echo HTTP/1.1\r\n" LAST "Content-Type: application/json\r\nContent-Length: 65536\r\n\r\n");
    int fd = dial();
    say(fd, head);
    for (int i = 0; i < 64; i++) {
        say_bytes(fd, body + i * 1024, 1024);
        world_loop();
    }
    hear_all(fd);
    assert_begins(heard, "HTTP/1.1 200 OK");
    assert_memory_equal(strstr(heard, "\r\n\r\n") + 4, body, 65536);
    free(body);
}

/* gzip of n bytes 'z' after what is in p; returns the length in all. */
static size_t add_gzip(char *p, size_t at, size_t cap, size_t n) {
    z_stream z = {0};
    char *plain = malloc(n + 1);
    assert_non_null(plain);
    memset(plain, 'z', n);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)plain;
    z.avail_in = (unsigned)n;
    z.next_out = (Bytef *)p + at;
    z.avail_out = (unsigned)(cap - at);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    at += z.total_out;
    deflateEnd(&z);
    free(plain);
    return at;
}

static const char *post_gzip(const char *body, size_t n) {
    char head[256];
    int fd = dial();
    snprintf(head, sizeof head,
             "POST /echo HTTP/1.1\r\n" LAST "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"
             "Content-Length: %zu\r\n\r\n",
             n);
    say(fd, head);
    say_bytes(fd, body, n);
    return hear_all(fd);
}

static void gzip(void **state) {
    char p[4096];
    (void)state;
    size_t one = add_gzip(p, 0, sizeof p, 3);
    assert_has(post_gzip(p, one), "\r\n\r\nzzz|application/json|");
    size_t two = add_gzip(p, one, sizeof p, 2);
    assert_has(post_gzip(p, two), "\r\n\r\nzzzzz|");
    assert_begins(post_gzip(p, two - 1), "HTTP/1.1 400 ");
    assert_has(heard, "\"code\":\"bad_gzip\"");
    memcpy(p + two, "tail", 4);
    assert_begins(post_gzip(p, two + 4), "HTTP/1.1 400 ");
    p[one - 6] ^= 1;
    assert_begins(post_gzip(p, one), "HTTP/1.1 400 ");
    assert_begins(post_gzip("plain text", 10), "HTTP/1.1 400 ");
    assert_begins(post_gzip(p, add_gzip(p, 0, sizeof p, 65536)), "HTTP/1.1 200 ");
    assert_begins(post_gzip(p, add_gzip(p, 0, sizeof p, 65537)), "HTTP/1.1 413 ");
    assert_has(heard, "\"limit\":\"65536\"");
    assert_begins(post_gzip(p, add_gzip(p, 0, sizeof p, 1000000)), "HTTP/1.1 413 ");
    assert_has(post_gzip(p, 0), "\r\n\r\n|application/json|");
}

static void expect_continue(void **state) {
    (void)state;
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\n" LAST
            "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n");
    assert_string_equal(hear_word(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "a");
    world_loop();
    say(fd, "bc");
    assert_begins(hear_all(fd), "HTTP/1.1 200 OK\r\n");
    /* Not for one that is refused, nor for one whose body is there already. */
    assert_begins(ask("POST /echo HTTP/1.1\r\n" LINES
                      "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 70000\r\n\r\n"),
                  "HTTP/1.1 413 ");
    assert_begins(ask("POST /echo HTTP/1.1\r\n" LAST
                      "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\nabc"),
                  "HTTP/1.1 200 ");
}

static void a_long_pipeline_is_answered_in_order(void **state) {
    char text[64 * 80] = "";
    (void)state;
    for (int i = 0; i < 50; i++) {
        char one[80];
        snprintf(one, sizeof one, "GET /echo?n%02d HTTP/1.1\r\n" LINES "%s\r\n", i,
                 i == 49 ? "Connection: close\r\n" : "");
        strcat(text, one);
    }
    int fd = dial();
    say(fd, text);
    const char *at = hear_all(fd);
    for (int i = 0; i < 50; i++) {
        char want[16];
        snprintf(want, sizeof want, "||n%02d", i);
        at = strstr(at, "\r\n\r\n");
        assert_non_null(at);
        assert_begins(at + 4, want);
        at += 4;
    }
    assert_int_equal(world.handled, 50);
}

/* Requests of every kind on one connection, the last one malformed: cut in two anywhere, the answers are the same. */
static void cuts_change_no_answer(void **state) {
    static const char text[] =
        "GET /hello HTTP/1.1\r\n" LINES "\r\nHEAD /hello HTTP/1.1\r\n" LINES "\r\nPOST /echo?a HTTP/1.1\r\n" LINES
        "Content-Type: application/json\r\nContent-Length: 5\r\n\r\n{\r\n\r}GET /none HTTP/1.1\r\n" LINES
        "\r\nDELETE /%61%20b HTTP/1.1\r\n" LINES "\r\nGET / HTTP/1.1\r\n" LINES "Content-Length: 1, 1\r\n\r\nGET /";
    char want[4096];
    (void)state;
    ask(text);
    assert_true(heard_n < sizeof want);
    memcpy(want, heard, heard_n + 1);
    assert_has(want, "bad_content_length");
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        int fd = dial();
        say_bytes(fd, text, cut);
        world_loop();
        world_loop();
        say(fd, text + cut);
        if (strcmp(hear_all(fd), want) != 0) fail_msg("cut at %zu: %s", cut, heard);
    }
    assert_int_equal(atomic_load(&world.stats.disconnects), 0);
}

static void tokens(void **state) {
    char path[] = "/tmp/rankd-unit-tokens-XXXXXX";
    struct http_tokens *t = NULL;
    struct err e;
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "# who may what\n\nreader-0123456789 read\nwriter-0123456789\tingest,read\r\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(http_tokens_load(path, &t, &e), 0);
    http_server_set_tokens(world.server, t);

    assert_has(ask("GET /open HTTP/1.1\r\n" LAST "\r\n"), "hello");
    assert_begins(ask("GET /hello HTTP/1.1\r\n" LAST "\r\n"), "HTTP/1.1 401 ");
    assert_has(heard, "\r\nWWW-Authenticate: Bearer\r\n");
    assert_begins(ask("GET /hello HTTP/1.1\r\n" LAST "Authorization: Bearer reader-012345678\r\n\r\n"),
                  "HTTP/1.1 401 ");
    assert_begins(ask("GET /hello HTTP/1.1\r\n" LAST "Authorization: Bearer reader-01234567890\r\n\r\n"),
                  "HTTP/1.1 401 ");
    assert_begins(ask("GET /hello HTTP/1.1\r\n" LAST "Authorization: Basic reader-0123456789\r\n\r\n"),
                  "HTTP/1.1 401 ");
    assert_begins(ask("GET /hello HTTP/1.1\r\n" LAST "Authorization: Bearer\r\n\r\n"), "HTTP/1.1 401 ");
    assert_has(ask("GET /hello HTTP/1.1\r\n" LAST "Authorization: bearer  reader-0123456789\r\n\r\n"), "hello");
    assert_has(ask("GET /hello HTTP/1.1\r\n" LAST "Authorization: Bearer writer-0123456789\r\n\r\n"), "hello");
    assert_begins(
        ask("POST /echo HTTP/1.1\r\n" LAST "Authorization: Bearer reader-0123456789\r\nContent-Length: 0\r\n\r\n"),
        "HTTP/1.1 403 ");
    assert_has(heard, "\"code\":\"insufficient_scope\"");
    assert_begins(
        ask("POST /echo HTTP/1.1\r\n" LAST "Authorization: Bearer writer-0123456789\r\nContent-Length: 0\r\n\r\n"),
        "HTTP/1.1 200 ");
    assert_begins(ask("POST /act HTTP/1.1\r\n" LAST "Authorization: Bearer writer-0123456789\r\n\r\n"),
                  "HTTP/1.1 403 ");

    http_server_set_tokens(world.server, NULL);
    assert_begins(ask("POST /act HTTP/1.1\r\n" LAST "\r\n"), "HTTP/1.1 204 ");
    http_tokens_free(t);
    close(fd);
    unlink(path);
}

static void hosts(void **state) {
    (void)state;
    assert_int_equal(http_server_set_hosts(world.server, ""), 0);
    assert_has(ask("GET /hello HTTP/1.1\r\n" LAST "\r\n"), "hello");
    assert_has(ask("GET /hello HTTP/1.1\r\nHost: LOCALHOST:99\r\nConnection: close\r\n\r\n"), "hello");
    assert_begins(ask("GET /hello HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"), "HTTP/1.1 403 ");
    assert_has(heard, "\"code\":\"host_not_allowed\"");
    assert_int_equal(http_server_set_hosts(world.server, "shop.example,api.example:80"), 0);
    assert_begins(ask("GET /hello HTTP/1.1\r\n" LAST "\r\n"), "HTTP/1.1 403 ");
    assert_has(ask("GET /hello HTTP/1.1\r\nHost: Shop.Example:8080\r\nConnection: close\r\n\r\n"), "hello");
    assert_has(ask("GET /hello HTTP/1.1\r\nHost: api.example:80\r\nConnection: close\r\n\r\n"), "hello");
    assert_begins(ask("GET /hello HTTP/1.1\r\nHost: api.example:81\r\nConnection: close\r\n\r\n"), "HTTP/1.1 403 ");
    assert_int_equal(http_server_set_hosts(world.server, "*"), 0);
    assert_has(ask("GET /hello HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"), "hello");
}

/* Each request for memory during a request is refused once: whatever the client sees, the server goes on. */
static void memory_may_fail_anywhere(void **state) {
    char p[600];
    (void)state;
    size_t n = add_gzip(p, 0, sizeof p, 60000);
    bool failed = true;
    int rounds = 0;
    for (uint64_t nth = 1; failed; nth++, rounds++) {
        mem_fail_at(nth);
        const char *got = post_gzip(p, n);
        failed = strncmp(got, "HTTP/1.1 200 ", 13) != 0;
        if (failed && *got) assert_begins(got, "HTTP/1.1 50");
        mem_fail_at(0);
        assert_has(ask("GET /hello HTTP/1.1\r\n" LAST "\r\n"), "hello");
        assert_true(nth < 100);
    }
    assert_true(rounds > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        WITH_SERVER(a_reply_to_the_byte),
        WITH_SERVER(head_is_get_without_a_body),
        WITH_SERVER(one_request_in_pieces_of_one_byte),
        WITH_SERVER(errors_are_json),
        WITH_SERVER(what_cannot_be_trusted_is_answered_and_closed),
        WITH_SERVER(heads_are_bounded),
        WITH_SERVER(paths_and_methods),
        WITH_SERVER(bodies),
        WITH_SERVER(a_body_as_large_as_allowed),
        WITH_SERVER(gzip),
        WITH_SERVER(expect_continue),
        WITH_SERVER(a_long_pipeline_is_answered_in_order),
        WITH_SERVER(cuts_change_no_answer),
        WITH_SERVER(tokens),
        WITH_SERVER(hosts),
        WITH_SERVER(memory_may_fail_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
