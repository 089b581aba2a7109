/* Connections over time: replies that come later, peers that go away, deadlines, bounds, the end of a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "tests/unit/http_world.h"

#define GET_HELLO "GET /hello HTTP/1.1\r\n" LINES "\r\n"
#define GET_LATER "GET /later HTTP/1.1\r\n" LINES "\r\n"
#define GET_BIG   "GET /big HTTP/1.1\r\n" LINES "\r\n"
#define BIG       (6U << 20)

static void say_hello(struct http_exchange *x, const struct http_request *r, void *arg) {
    (void)r;
    (void)arg;
    world.handled++;
    http_reply(x, 200, "text/plain", NULL, slice_str("hello"));
}

static void keep(struct http_exchange *x, const struct http_request *r, void *arg) {
    (void)r;
    (void)arg;
    assert_ptr_equal(http_base(x), world.base);
    assert_true(world.n_kept < MAX_KEPT);
    world.handled++;
    world.kept[world.n_kept++] = x;
}

static void send_much(struct http_exchange *x, const struct http_request *r, void *arg) {
    char *body = malloc(BIG);
    (void)r;
    (void)arg;
    assert_non_null(body);
    for (size_t i = 0; i < BIG; i++) body[i] = (char)('a' + i % 23);
    http_reply(x, 200, "text/plain", NULL, slice_of(body, BIG));
    free(body);
}

static void end_server(struct http_exchange *x, const struct http_request *r, void *arg) {
    (void)r;
    (void)arg;
    http_server_free(world.server);
    world.server = NULL;
    http_reply(x, 200, "text/plain", NULL, slice_str("too late"));
}

static const struct http_route routes[] = {
    {"/hello", HTTP_GET, HTTP_OPEN, NULL, say_hello}, {"/later", HTTP_GET, HTTP_OPEN, NULL, keep},
    {"/later", HTTP_POST, HTTP_OPEN, "a/b", keep},    {"/big", HTTP_GET, HTTP_OPEN, NULL, send_much},
    {"/end", HTTP_GET, HTTP_OPEN, NULL, end_server},
};

static int64_t now_ms; /* the clock of the server; libevent's own runs on */
static int64_t stopped_clock(void) { return now_ms; }

static int set_up(void **state) {
    struct http_server_options o;
    (void)state;
    now_ms = 1000000;
    clock_replace(stopped_clock);
    world_options(&o, routes, sizeof routes / sizeof *routes);
    world_open(&o);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_close();
    clock_replace(NULL);
    return 0;
}

static void reply_kept(size_t i, const char *text) {
    struct http_exchange *x = world.kept[i];
    memmove(world.kept + i, world.kept + i + 1, (--world.n_kept - i) * sizeof *world.kept);
    http_reply(x, 200, "text/plain", NULL, slice_str(text));
}

static void reset(int fd) {
    struct linger now = {1, 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(fd);
}

static uint64_t count_of(_Atomic uint64_t *counter) { return atomic_load(counter); }

/* Some turns of the loop, for what must not happen. */
static void turns(void) {
    for (int i = 0; i < 20; i++) world_loop();
}

static void a_later_reply_holds_back_the_next_request(void **state) {
    (void)state;
    int fd = dial();
    say(fd, GET_LATER GET_HELLO);
    RUN_UNTIL(world.n_kept == 1);
    say(fd, "GET /hello HTTP/1.1\r\n" LAST "\r\n");
    turns();
    assert_int_equal(world.handled, 1);
    assert_int_equal(http_server_open(world.server), 1);
    reply_kept(0, "first");
    hear_all(fd);
    const char *second = strstr(heard + 1, "HTTP/1.1 200");
    assert_non_null(second);
    assert_true(strstr(heard, "first") < second);
    assert_non_null(strstr(second + 1, "HTTP/1.1 200"));
    assert_int_equal(world.handled, 3);
    assert_int_equal(http_server_open(world.server), 0);
}

static void replies_in_another_order_than_asked(void **state) {
    (void)state;
    int one = dial(), two = dial();
    say(one, GET_LATER);
    RUN_UNTIL(world.n_kept == 1);
    say(two, GET_LATER);
    RUN_UNTIL(world.n_kept == 2);
    reply_kept(1, "for two");
    assert_has(hear_word(two, "for two"), "200 OK");
    reply_kept(0, "for one");
    assert_has(hear_word(one, "for one"), "200 OK");
    close(one);
    close(two);
    RUN_UNTIL(count_of(&world.stats.open) == 0);
    assert_int_equal(count_of(&world.stats.disconnects), 0);
}

static void a_peer_gone_before_a_later_reply(void **state) {
    (void)state;
    for (int how = 0; how < 4; how++) {
        int fd = dial();
        say(fd, how & 1 ? GET_LATER GET_LATER : GET_LATER);
        RUN_UNTIL(world.n_kept == 1);
        if (how & 2)
            reset(fd);
        else
            close(fd);
        turns();
        assert_int_equal(world.n_kept, 1);
        reply_kept(0, "nobody listens");
        RUN_UNTIL(count_of(&world.stats.open) == world.n_kept);
        while (world.n_kept > 0) reply_kept(0, "nor to this");
        RUN_UNTIL(count_of(&world.stats.open) == 0);
    }
    assert_has(ask("GET /hello HTTP/1.1\r\n" LAST "\r\n"), "hello");
}

static void a_server_freed_before_a_later_reply(void **state) {
    (void)state;
    int one = dial(), two = dial();
    say(one, GET_LATER GET_HELLO);
    say(two, "POST /later HTTP/1.1\r\n" LINES "Content-Type: a/b\r\nContent-Length: 3\r\n\r\nabc");
    RUN_UNTIL(world.n_kept == 2);
    http_server_free(world.server);
    world.server = NULL;
    assert_string_equal(hear_all(one), "");
    struct buf *b = http_scratch(world.kept[0]);
    buf_add_str(b, "built for nobody");
    reply_kept(0, b->p);
    http_reply_error(world.kept[0], 503, "gone", "gone", NULL, NULL, NULL);
    world.n_kept = 0;
    assert_string_equal(hear_all(two), "");
    assert_int_equal(world.done, 0);
}

static void a_server_freed_by_its_handler(void **state) {
    (void)state;
    assert_string_equal(ask("GET /end HTTP/1.1\r\n" LINES "\r\n" GET_HELLO), "");
}

static void a_peer_that_shut_its_side_gets_its_reply(void **state) {
    (void)state;
    int fd = dial();
    say(fd, GET_HELLO GET_HELLO);
    shutdown(fd, SHUT_WR);
    hear_all(fd);
    assert_non_null(strstr(heard + 1, "HTTP/1.1 200"));
    fd = dial();
    say(fd, GET_LATER);
    shutdown(fd, SHUT_WR);
    RUN_UNTIL(world.n_kept == 1);
    turns();
    reply_kept(0, "still here");
    assert_has(hear_all(fd), "still here");
    assert_int_equal(count_of(&world.stats.disconnects), 0);
    /* Half a request is none. */
    fd = dial();
    say(fd, "GET /hello HTTP/1.1\r\nHo");
    shutdown(fd, SHUT_WR);
    assert_string_equal(hear_all(fd), "");
    assert_int_equal(count_of(&world.stats.disconnects), 1);
}

static void a_large_reply_arrives_whole(void **state) {
    (void)state;
    int fd = dial();
    say(fd, GET_BIG);
    say(fd, "GET /hello HTTP/1.1\r\n" LAST "\r\n");
    RUN_UNTIL(http_server_open(world.server) == 1);
    turns();
    assert_int_equal(world.handled, 0); /* the second waits for the socket, too */
    hear_all(fd);
    const char *body = strstr(heard, "\r\n\r\n") + 4;
    for (size_t i = 0; i < BIG; i++) {
        if (body[i] != (char)('a' + i % 23)) fail_msg("byte %zu", i);
    }
    assert_begins(body + BIG, "HTTP/1.1 200 OK\r\n");
    assert_has(body + BIG, "hello");
}

static void a_peer_that_resets_a_large_reply(void **state) {
    (void)state;
    int fd = dial();
    say(fd, GET_BIG);
    RUN_UNTIL(world.done == 1);
    reset(fd);
    RUN_UNTIL(count_of(&world.stats.open) == 0);
    assert_int_equal(count_of(&world.stats.disconnects), 1);
}

static void a_peer_that_does_not_read_is_cut(void **state) {
    (void)state;
    int fd = dial();
    say(fd, GET_BIG);
    RUN_UNTIL(world.done == 1);
    assert_int_equal(http_server_open(world.server), 1);
    now_ms += 10001;
    RUN_UNTIL(count_of(&world.stats.open) == 0);
    assert_int_equal(count_of(&world.stats.timeouts), 1);
    close(fd);
}

static void a_slow_request_is_timed_out_whole(void **state) {
    static const char slow[] = "POST /later HTTP/1.1\r\n" LINES "Content-Type: a/b\r\nContent-Length: 100\r\n\r\n";
    (void)state;
    for (int body = 0; body < 2; body++) {
        int fd = dial();
        size_t n = body ? sizeof slow - 1 : 30;
        say_bytes(fd, slow, n);
        RUN_UNTIL(http_server_open(world.server) == 1);
        for (int i = 0; i < 9; i++) { /* each byte in time, the request not */
            now_ms += 1000;
            say(fd, "x");
            turns();
        }
        assert_int_equal(http_server_open(world.server), 1);
        now_ms += 1001;
        assert_begins(hear_all(fd), "HTTP/1.1 408 Request Timeout\r\n");
        assert_has(heard, "\"code\":\"request_timeout\"");
        assert_has(heard, "\r\nConnection: close\r\n");
        RUN_UNTIL(count_of(&world.stats.open) == 0);
    }
    assert_int_equal(count_of(&world.stats.timeouts), 2);
    assert_int_equal(world.n_kept, 0);
}

static void an_idle_connection_is_closed_without_a_word(void **state) {
    (void)state;
    int fresh = dial(), used = dial();
    say(used, GET_HELLO);
    hear_word(used, "hello");
    RUN_UNTIL(count_of(&world.stats.open) == 2);
    now_ms += 59000;
    say(used, GET_HELLO);
    hear_word(used, "hello");
    now_ms += 1001;
    assert_string_equal(hear_all(fresh), "");
    assert_int_equal(count_of(&world.stats.open), 1);
    now_ms += 60000;
    assert_string_equal(hear_all(used), "");
    assert_int_equal(count_of(&world.stats.timeouts), 0);
}

static void a_handler_has_no_deadline_here(void **state) {
    (void)state;
    int fd = dial();
    say(fd, GET_LATER);
    RUN_UNTIL(world.n_kept == 1);
    now_ms += 300000;
    turns();
    reply_kept(0, "at last");
    assert_has(hear_word(fd, "at last"), "200 OK");
    close(fd);
}

static void a_peer_that_never_closes_is_dropped(void **state) {
    (void)state;
    int fd = dial();
    say(fd, "nonsense\r\n");
    RUN_UNTIL(world.done == 1);
    say(fd, "more of it");
    turns();
    assert_int_equal(count_of(&world.stats.open), 1);
    now_ms += 1001;
    RUN_UNTIL(count_of(&world.stats.open) == 0);
    assert_begins(hear_all(fd), "HTTP/1.1 400 ");
}

static void connections_are_bounded(void **state) {
    struct http_limits two = {4096, 65536, 2, 10000, 60000}, three = {4096, 65536, 3, 10000, 60000};
    (void)state;
    http_server_set_limits(world.server, &two);
    int fd[4];
    for (int i = 0; i < 4; i++) {
        fd[i] = dial();
        say(fd[i], GET_HELLO);
    }
    hear_word(fd[0], "hello");
    hear_word(fd[1], "hello");
    turns();
    assert_int_equal(world.handled, 2);
    assert_int_equal(count_of(&world.stats.open), 2);
    assert_int_equal(count_of(&world.stats.at_connection_limit), 1);
    close(fd[0]);
    hear_word(fd[2], "hello");
    assert_int_equal(world.handled, 3);
    http_server_set_limits(world.server, &three);
    hear_word(fd[3], "hello");
    for (int i = 1; i < 4; i++) close(fd[i]);
    RUN_UNTIL(count_of(&world.stats.open) == 0);
    assert_has(ask("GET /hello HTTP/1.1\r\n" LAST "\r\n"), "hello");
}

static void no_descriptors_left(void **state) {
    struct rlimit before, none;
    (void)state;
    int fd = dial(), next = dup(fd);
    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    say(fd, GET_HELLO);
    for (int i = 0; i < 1000; i++) world_loop(); /* in vain, but once alone */
    uint64_t refused = count_of(&world.stats.refused_emfile);
    for (int i = 0; i < 3; i++) {
        now_ms += 101;
        RUN_UNTIL(count_of(&world.stats.refused_emfile) == refused + (uint64_t)i + 1);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(refused, 1);
    now_ms += 101;
    hear_word(fd, "hello");
    close(fd);
}

static void a_stopped_server_finishes_what_it_has(void **state) {
    (void)state;
    int idle = dial(), busy = dial(), half = dial();
    say(busy, GET_LATER);
    RUN_UNTIL(world.n_kept == 1);
    say(half, "GET /hello HTTP/1.1\r\n");
    RUN_UNTIL(http_server_open(world.server) == 2 && count_of(&world.stats.open) == 3);
    http_server_stop(world.server);
    assert_string_equal(hear_all(idle), "");
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(world.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&a, sizeof a), -1);
    close(late);
    say(half, LINES "\r\n");
    assert_has(hear_all(half), "\r\nConnection: close\r\n");
    reply_kept(0, "done");
    assert_has(hear_all(busy), "\r\nConnection: close\r\n\r\ndone");
    RUN_UNTIL(count_of(&world.stats.open) == 0);
    assert_int_equal(http_server_open(world.server), 0);
}

/* A client that sends without end while its first request is being answered makes nothing grow. */
static void input_is_bounded_while_a_reply_is_owed(void **state) {
    static char flood[65536];
    (void)state;
    memset(flood, 'x', sizeof flood);
    int fd = dial();
    say(fd, GET_LATER);
    RUN_UNTIL(world.n_kept == 1);
    size_t total = 0;
    for (int full = 0; full < 50;) {
        ssize_t n = send(fd, flood, sizeof flood, MSG_NOSIGNAL);
        world_loop();
        if (n < 0)
            full++;
        else
            total += (size_t)n;
        assert_true(total < (64U << 20));
    }
    reply_kept(0, "now");
    hear_word(fd, "HTTP/1.1 414 ");
    close(fd);
}

static uint32_t draw(uint32_t *seed, uint32_t n) {
    *seed = *seed * 1664525U + 1013904223U;
    return (*seed >> 8) % n;
}

static bool none_is_open_once_all_have_replies(void) {
    while (world.n_kept > 0) reply_kept(0, "last");
    return count_of(&world.stats.open) == 0;
}

/* A few thousand steps of clients that send whole and half requests, pipeline, stall, reset and leave, with replies in
 * any order; afterwards nothing is left over. Repeatable by its seed. */
static void hostile_clients(void **state) {
    static const char *const texts[] = {
        GET_HELLO,
        GET_LATER,
        GET_BIG,
        GET_LATER GET_LATER GET_HELLO,
        "GET /hel",
        "bad\r\n",
        "POST /later HTTP/1.1\r\n" LINES "Content-Type: a/b\r\nContent-Length: 9\r\n\r\nshort",
        "GET /later HTTP/1.1\r\n" LAST "\r\n",
    };
    int fds[16];
    uint32_t seed = 7;
    (void)state;
    for (int i = 0; i < 16; i++) fds[i] = -1;
    for (int step = 0; step < 6000; step++) {
        int *fd = &fds[draw(&seed, 16)];
        uint32_t what = draw(&seed, 10);
        if (*fd < 0) {
            *fd = dial();
        } else if (what < 5) {
            const char *text = texts[draw(&seed, 8)];
            (void)!send(*fd, text, strlen(text), MSG_NOSIGNAL);
        } else if (what == 5) {
            reset(*fd);
            *fd = -1;
        } else if (what == 6) {
            (void)!recv(*fd, heard, HEARD, 0);
            close(*fd);
            *fd = -1;
        } else if (what == 7) {
            shutdown(*fd, SHUT_WR);
        } else if (what == 8) {
            now_ms += draw(&seed, 400);
        }
        world_loop();
        while (world.n_kept > draw(&seed, 12)) reply_kept(draw(&seed, (uint32_t)world.n_kept), "later");
    }
    for (int i = 0; i < 16; i++) {
        if (fds[i] >= 0) close(fds[i]);
    }
    RUN_UNTIL(none_is_open_once_all_have_replies());
    assert_int_equal(http_server_open(world.server), 0);
    assert_true(count_of(&world.stats.disconnects) > 10 && count_of(&world.stats.malformed) > 10);
    assert_has(ask("GET /hello HTTP/1.1\r\n" LAST "\r\n"), "hello");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        WITH_SERVER(a_later_reply_holds_back_the_next_request),
        WITH_SERVER(replies_in_another_order_than_asked),
        WITH_SERVER(a_peer_gone_before_a_later_reply),
        WITH_SERVER(a_server_freed_before_a_later_reply),
        WITH_SERVER(a_server_freed_by_its_handler),
        WITH_SERVER(a_peer_that_shut_its_side_gets_its_reply),
        WITH_SERVER(a_large_reply_arrives_whole),
        WITH_SERVER(a_peer_that_resets_a_large_reply),
        WITH_SERVER(a_peer_that_does_not_read_is_cut),
        WITH_SERVER(a_slow_request_is_timed_out_whole),
        WITH_SERVER(an_idle_connection_is_closed_without_a_word),
        WITH_SERVER(a_handler_has_no_deadline_here),
        WITH_SERVER(a_peer_that_never_closes_is_dropped),
        WITH_SERVER(connections_are_bounded),
        WITH_SERVER(no_descriptors_left),
        WITH_SERVER(a_stopped_server_finishes_what_it_has),
        WITH_SERVER(input_is_bounded_while_a_reply_is_owed),
        WITH_SERVER(hostile_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
