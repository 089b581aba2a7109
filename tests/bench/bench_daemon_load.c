/* Made-up events, printed or posted: what the benchmarks put on a daemon.
 *
 *   bench_daemon_load [HOST:PORT] KEY=VALUE...
 *     events=N seconds=S   the end, whichever comes first (default: 100000 events)
 *     rate=R               events a second, by the clock; 0 = as fast as they are taken
 *     users=N items=N first=N   the n-th event is a function of (n, users, items); ids are b-n
 *     cover=1              event n is of user n mod users and item n mod items
 *     batch=N connections=N
 *
 * Without an address the events are printed. With one they are posted as JSON Lines, a request a batch; each connection
 * has one request under way. A late request is sent as soon as it can be: the rate is kept on average. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/draw.h"

#define MAX_CONNECTIONS 256
#define MAX_BATCH       10000
#define LINE_ROOM       128
#define MAX_LATENCIES   4000000u

struct load {
    uint64_t events, seconds, rate, users, items, first, batch, connections, cover;
};

struct peer {
    int fd;
    bool busy;
    uint64_t sent_ns, n; /* of the request under way */
    char *out, in[4096];
    size_t out_n, out_at, in_n;
};

static struct load load = {.events = 100000, .users = 1000, .items = 1000, .batch = 100, .connections = 4};
static struct peer peers[MAX_CONNECTIONS];
static uint64_t made, accepted, requests, refused, failed;
static uint32_t *latency_us;

static _Noreturn void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Half of the events are of items near the front of the list, as in a shop. */
static int one_event(char *at, uint64_t n, int64_t now_ms) {
    uint64_t user = draw_bits(11, n) % load.users, item = draw_bits(12, n) % load.items;
    if (draw_bits(13, n) & 1) {
        float u = draw_unit(draw_bits(14, n));
        item = (uint64_t)((float)load.items * u * u * u);
    }
    if (load.cover) {
        user = n % load.users;
        item = n % load.items;
    }
    return snprintf(at, LINE_ROOM,
                    "{\"id\":\"b-%llu\",\"type\":\"click\",\"user\":\"u%llu\",\"item\":\"i%llu\",\"ts\":%lld}\n",
                    (unsigned long long)n, (unsigned long long)user, (unsigned long long)item, (long long)now_ms);
}

static void fill_request(struct peer *p, uint64_t n) {
    enum { HEAD = 256 };
    char head[HEAD];
    size_t body = 0;
    int64_t now_ms = clock_wall_ms();
    for (uint64_t k = 0; k < n; k++) body += (size_t)one_event(p->out + HEAD + body, load.first + made + k, now_ms);
    int h = snprintf(head, sizeof head,
                     "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     body);
    memcpy(p->out + HEAD - h, head, (size_t)h);
    p->out_at = (size_t)(HEAD - h);
    p->out_n = HEAD + body;
    p->in_n = 0;
    p->n = n;
}

static void push(struct peer *p) {
    while (p->out_at < p->out_n) {
        ssize_t w = write(p->fd, p->out + p->out_at, p->out_n - p->out_at);
        if (w < 0 && errno == EAGAIN) return;
        if (w < 0) die("write");
        p->out_at += (size_t)w;
    }
}

/* True when the answer is complete. */
static bool pull(struct peer *p) {
    ssize_t r = read(p->fd, p->in + p->in_n, sizeof p->in - 1 - p->in_n);
    if (r < 0 && errno == EAGAIN) return false;
    if (r <= 0) die("connection closed");
    p->in_n += (size_t)r;
    p->in[p->in_n] = 0;
    char *end = strstr(p->in, "\r\n\r\n"), *length = strstr(p->in, "Content-Length: ");
    if (!end || !length) return false;
    return p->in_n >= (size_t)(end + 4 - p->in) + strtoul(length + 16, NULL, 10);
}

static void take_answer(struct peer *p, uint64_t now) {
    const char *n = strstr(p->in, "\"accepted\":");
    int status = atoi(p->in + sizeof "HTTP/1.1");
    if (status == 200 && n)
        accepted += strtoul(n + sizeof "\"accepted\":" - 1, NULL, 10);
    else if (status == 429)
        refused++;
    else
        failed++;
    if (requests < MAX_LATENCIES) latency_us[requests] = (uint32_t)((now - p->sent_ns) / 1000);
    requests++;
    p->busy = false;
}

static int connect_to(const char *address) {
    char host[64];
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= sizeof host) die("HOST:PORT expected");
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die(address);
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) die("TCP_NODELAY");
    return fd;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(double seconds) {
    uint32_t kept = (uint32_t)(requests < MAX_LATENCIES ? requests : MAX_LATENCIES);
    qsort(latency_us, kept, sizeof *latency_us, by_size);
    printf("accepted %llu\nseconds %.3f\nrate %.0f\nrequests %llu\nrefused %llu\nfailed %llu\n",
           (unsigned long long)accepted, seconds, (double)accepted / seconds, (unsigned long long)requests,
           (unsigned long long)refused, (unsigned long long)failed);
    if (kept)
        printf("p50_ms %.2f\np99_ms %.2f\nmax_ms %.2f\n", latency_us[kept / 2] / 1e3,
               latency_us[(uint64_t)kept * 99 / 100] / 1e3, latency_us[kept - 1] / 1e3);
}

/* Starts what is due on idle connections; how many ms until the next is. */
static int start_due(uint64_t began, uint64_t now) {
    for (uint64_t c = 0; c < load.connections; c++) {
        struct peer *p = &peers[c];
        uint64_t n = load.events - made < load.batch ? load.events - made : load.batch;
        if (p->busy || n == 0) continue;
        if (load.rate) {
            uint64_t due = began + (uint64_t)((double)made * 1e9 / (double)load.rate);
            if (due > now) return (int)((due - now) / 1000000);
        }
        fill_request(p, n);
        made += n;
        p->busy = true;
        p->sent_ns = clock_steady_ns();
        push(p);
    }
    return 100;
}

static void post(const char *address) {
    int poller = epoll_create1(0);
    latency_us = calloc(MAX_LATENCIES, sizeof *latency_us);
    if (poller < 0 || !latency_us) die("epoll");
    for (uint64_t c = 0; c < load.connections; c++) {
        struct peer *p = &peers[c];
        p->out = malloc(256 + load.batch * LINE_ROOM);
        p->fd = connect_to(address);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
        if (!p->out || epoll_ctl(poller, EPOLL_CTL_ADD, p->fd, &ev) < 0) die("epoll_ctl");
    }
    uint64_t began = clock_steady_ns(), until = load.seconds ? began + load.seconds * 1000000000u : UINT64_MAX,
             now = began;
    while (now < until && (made < load.events || requests * load.batch < made)) {
        struct epoll_event ready[64];
        int wait_ms = start_due(began, now);
        int n = epoll_wait(poller, ready, 64, wait_ms);
        now = clock_steady_ns();
        for (int k = 0; k < n; k++) {
            struct peer *p = ready[k].data.ptr;
            if (pull(p)) take_answer(p, now);
        }
    }
    report((double)(now - began) / 1e9);
}

static void print_all(void) {
    char line[LINE_ROOM];
    int64_t now_ms = clock_wall_ms();
    for (uint64_t k = 0; k < load.events; k++) {
        int n = one_event(line, load.first + k, now_ms);
        if (fwrite(line, 1, (size_t)n, stdout) != (size_t)n) die("write");
    }
}

static void option(const char *text) {
    const struct {
        const char *name;
        uint64_t *value;
    } known[] = {{"events", &load.events}, {"seconds", &load.seconds}, {"rate", &load.rate},
                 {"users", &load.users},   {"items", &load.items},     {"first", &load.first},
                 {"batch", &load.batch},   {"cover", &load.cover},     {"connections", &load.connections}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        size_t n = strlen(known[k].name);
        if (strncmp(text, known[k].name, n) == 0 && text[n] == '=') {
            *known[k].value = strtoull(text + n + 1, NULL, 10);
            return;
        }
    }
    fprintf(stderr, "load: unknown option '%s'\n", text);
    exit(2);
}

int main(int argc, char **argv) {
    const char *address = argc > 1 && !strchr(argv[1], '=') ? argv[1] : NULL;
    for (int k = address ? 2 : 1; k < argc; k++) option(argv[k]);
    if (load.batch < 1 || load.batch > MAX_BATCH || load.connections < 1 || load.connections > MAX_CONNECTIONS ||
        load.users < 1 || load.items < 1)
        die("an option is out of range");
    if (address)
        post(address);
    else
        print_all();
    return fflush(stdout) == 0 ? 0 : 1;
}
