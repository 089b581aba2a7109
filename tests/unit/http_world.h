/* A server and raw clients in one thread: the client's waits run the server's loop, so nothing depends on timing. */
#ifndef RANKD_TESTS_UNIT_HTTP_WORLD_H
#define RANKD_TESTS_UNIT_HTTP_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http.h"
#include "lib/base/clock.h"

#define HEARD    (8U << 20)
#define MAX_KEPT 64

static struct world {
    struct event_base *base;
    struct http_server *server;
    struct http_stats stats;
    uint16_t port;
    struct http_exchange *kept[MAX_KEPT]; /* deferred, in order of arrival */
    size_t n_kept;
    unsigned handled, done;
    int last_status; /* given to done */
    const struct http_route *last_route;
} world;

static char heard[HEARD + 1]; /* what hear() received, terminated */
static size_t heard_n;

static inline void on_done(void *arg, const struct http_route *route, int status, uint64_t latency_ns) {
    assert_ptr_equal(arg, &world);
    assert_true(latency_ns < UINT64_C(600000000000));
    world.done++;
    world.last_status = status;
    world.last_route = route;
}

static inline void world_loop(void) { assert_true(event_base_loop(world.base, EVLOOP_NONBLOCK) >= 0); }

static inline void world_options(struct http_server_options *o, const struct http_route *routes, size_t n) {
    *o = (struct http_server_options){.routes = routes,
                                      .n_routes = n,
                                      .arg = &world,
                                      .limits = {4096, 65536, 100, 10000, 60000},
                                      .stats = &world.stats,
                                      .done = on_done};
}

static inline void world_open(const struct http_server_options *o) {
    struct err e;
    char bound[64];
    bool loopback = false;
    int fd = -1;
    memset(&world, 0, sizeof world);
    world.base = event_base_new();
    assert_non_null(world.base);
    assert_int_equal(http_server_new(world.base, o, &world.server, &e), 0);
    assert_int_equal(http_listen_tcp("127.0.0.1:0", false, &fd, bound, &loopback, &e), 0);
    assert_true(loopback);
    world.port = (uint16_t)atoi(strrchr(bound, ':') + 1);
    assert_int_equal(http_server_listen(world.server, fd, &e), 0);
}

static inline void world_close(void) {
    http_server_free(world.server);
    world.server = NULL;
    for (size_t i = 0; i < world.n_kept; i++) http_reply(world.kept[i], 200, NULL, NULL, slice_str(""));
    event_base_free(world.base);
    assert_int_equal(atomic_load(&world.stats.open), 0);
}

static inline int dial(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(world.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Sends all of it, running the server while the socket is full. */
static inline void say_bytes(int fd, const void *p, size_t n) {
    const char *at = p;
    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent < 0) {
            assert_int_equal(errno, EAGAIN);
            world_loop();
            continue;
        }
        at += sent;
        n -= (size_t)sent;
    }
}

static inline void say(int fd, const char *text) { say_bytes(fd, text, strlen(text)); }

/* Runs the server until the connection ends, want bytes came, or (with word) word was heard. Ten seconds at most.
 * Returns true when it ended. */
static inline bool hear_more(int fd, size_t want, const char *word) {
    for (int idle = 0; idle < 10000;) {
        world_loop();
        ssize_t n = recv(fd, heard + heard_n, HEARD - heard_n, 0);
        if (n == 0) return true;
        if (n < 0 && errno != EAGAIN) {
            assert_int_equal(errno, ECONNRESET);
            return true;
        }
        if (n > 0) {
            heard_n += (size_t)n;
            heard[heard_n] = '\0';
            idle = 0;
            if (heard_n >= want || (word && strstr(heard, word))) return false;
        } else {
            struct pollfd p = {fd, POLLIN, 0};
            (void)poll(&p, 1, 1);
            idle++;
        }
    }
    fail_msg("nothing came; so far: %s", heard);
    return false;
}

static inline void hush(void) { heard[heard_n = 0] = '\0'; }

/* Until the server closes. */
static inline const char *hear_all(int fd) {
    hush();
    assert_true(hear_more(fd, HEARD, NULL));
    close(fd);
    return heard;
}

/* Until word is heard; the connection stays. */
static inline const char *hear_word(int fd, const char *word) {
    hush();
    assert_false(hear_more(fd, HEARD, word));
    return heard;
}

static inline const char *ask(const char *request) {
    int fd = dial();
    say(fd, request);
    return hear_all(fd);
}

static inline void assert_begins(const char *text, const char *front) {
    if (strncmp(text, front, strlen(front)) != 0) fail_msg("wanted %s\ngot %s", front, text);
}

static inline void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("wanted %s\nin %s", part, text);
}

static inline void assert_lacks(const char *text, const char *part) {
    if (strstr(text, part)) fail_msg("unwanted %s\nin %s", part, text);
}

/* Runs the server until a condition holds; ten seconds at most. */
#define RUN_UNTIL(condition)                                                                                           \
    do {                                                                                                               \
        int tries_ = 0;                                                                                                \
        while (!(condition)) {                                                                                         \
            world_loop();                                                                                              \
            if (++tries_ > 10000) fail_msg("never: %s", #condition);                                                   \
            if (tries_ > 100) (void)poll(NULL, 0, 1);                                                                  \
        }                                                                                                              \
    } while (0)

#define LINES "Host: localhost\r\n"
#define LAST  LINES "Connection: close\r\n"

#endif
