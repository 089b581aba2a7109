/* Events a second of the fast scanner and of jansson on the same flat events: decode_fast_events_per_s,
 * decode_jansson_events_per_s, decode_ratio. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "tests/unit/event_tools.h"

#define EVENTS 4096
#define ROUNDS 5

static char text[EVENTS][192];
static size_t length[EVENTS];

static void fill(void) {
    static const char *const types[] = {"click", "view", "cart", "purchase"};
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < EVENTS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        length[i] =
            (size_t)snprintf(text[i], sizeof text[i],
                             "{\"id\":\"e-%08x\",\"type\":\"%s\",\"user\":\"u%06u\",\"item\":\"sku-%05u\","
                             "\"ts\":17000%08u,\"value\":%u.%02u,\"quantity\":%u,\"session\":\"s-%04u\"}",
                             (unsigned)x, types[x >> 62], (unsigned)(x >> 8) % 1000000u, (unsigned)(x >> 16) % 100000u,
                             (unsigned)(x >> 20) % 100000000u, (unsigned)(x >> 30) % 100u, (unsigned)(x >> 36) % 100u,
                             (unsigned)(x >> 40) % 9u, (unsigned)(x >> 44) % 10000u);
    }
}

/* Events a second, the best of a few rounds. */
static double rate(const struct event_context *c, struct event_arena *a, bool fast, int passes) {
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t from = clock_steady_ns();
        for (int pass = 0; pass < passes; pass++) {
            for (size_t i = 0; i < EVENTS; i++) {
                struct event ev;
                const struct slice json = slice_of(text[i], length[i]);
                const int r =
                    fast ? event_decode_fast(json, c, a, &ev, NULL) : (int)event_decode_jansson(json, c, a, &ev, NULL);
                if (r != EVENT_OK) abort();
            }
            event_arena_reset(a);
        }
        const double took = (double)(clock_steady_ns() - from) / 1e9;
        const double now = (double)EVENTS * passes / took;
        if (now > best) best = now;
    }
    return best;
}

int main(void) {
    struct event_rules rules;
    tools_rules(&rules);
    const struct event_context c = tools_context(&rules);
    struct event_arena *a = event_arena_new();
    if (!a) return 1;
    fill();
    const double fast = rate(&c, a, true, 200), slow = rate(&c, a, false, 10);
    event_arena_free(a);
    printf("decode_fast_events_per_s %.0f\n", fast);
    printf("decode_jansson_events_per_s %.0f\n", slow);
    printf("decode_ratio %.2f\n", fast / slow);
    return 0;
}
