/* Lag from the ends seen in the past. */
#include "daemon/api_lag.h"

#include <string.h>

#include "lib/base/mem.h"

struct lag_source {
    struct api_lag_track *tracks; // (n)
    uint64_t *lag_ns;             // (n)
    uint32_t n;
};

struct api_lag {
    const struct source *sources;
    size_t n;
    struct lag_source by_source[];
};

static void forget_half(struct api_lag_track *t) {
    for (size_t i = 0; i < API_LAG_SAMPLES / 2; i++)
        t->points[i] = (struct api_lag_point){t->points[2 * i].since_ns, t->points[2 * i + 1].end};
    t->n = API_LAG_SAMPLES / 2;
}

uint64_t api_lag_note(struct api_lag_track *t, uint64_t position, uint64_t end, uint64_t now_ns) {
    size_t passed = 0;
    while (passed < t->n && t->points[passed].end <= position) passed++;
    if (passed) {
        t->n -= passed;
        memmove(t->points, t->points + passed, t->n * sizeof t->points[0]);
    }
    if (end <= position) {
        t->n = 0; /* also when the log is no longer the one it was */
        return 0;
    }
    if (t->n == 0 || end > t->points[t->n - 1].end) {
        if (t->n == API_LAG_SAMPLES) forget_half(t);
        t->points[t->n++] = (struct api_lag_point){now_ns, end};
    }
    return now_ns - t->points[0].since_ns;
}

struct api_lag *api_lag_new(const struct source *sources, size_t n) {
    struct api_lag *l = mem_zalloc(sizeof *l + n * sizeof l->by_source[0]);
    if (!l) return NULL;
    l->sources = sources;
    l->n = n;
    return l;
}

void api_lag_free(struct api_lag *l) {
    if (!l) return;
    for (size_t i = 0; i < l->n; i++) {
        mem_free(l->by_source[i].tracks);
        mem_free(l->by_source[i].lag_ns);
    }
    mem_free(l);
}

/* Partitions may be added while running. Without memory the new ones are seen at a later tick. */
static void make_room(struct lag_source *g, uint32_t n) {
    if (n <= g->n) return;
    struct api_lag_track *tracks = mem_realloc(g->tracks, n * sizeof *tracks);
    if (tracks) g->tracks = tracks;
    uint64_t *lag_ns = tracks ? mem_realloc(g->lag_ns, n * sizeof *lag_ns) : NULL;
    if (!lag_ns) return;
    g->lag_ns = lag_ns;
    memset(g->tracks + g->n, 0, (n - g->n) * sizeof *tracks);
    memset(g->lag_ns + g->n, 0, (n - g->n) * sizeof *lag_ns);
    g->n = n;
}

uint64_t api_lag_tick(struct api_lag *l, uint64_t now_ns) {
    uint64_t most = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct source *s = &l->sources[i];
        struct lag_source *g = &l->by_source[i];
        make_room(g, atomic_load_explicit(&s->n_partitions, memory_order_relaxed));
        for (uint32_t p = 0; p < g->n; p++) {
            struct api_lag_now now = api_lag_now(s, p, 1);
            g->lag_ns[p] = api_lag_note(&g->tracks[p], now.position, now.end, now_ns);
            if (g->lag_ns[p] > most) most = g->lag_ns[p];
        }
    }
    return most;
}

uint64_t api_lag_ns(const struct api_lag *l, size_t source, uint32_t partition) {
    const struct lag_source *g = &l->by_source[source];
    return partition < g->n ? g->lag_ns[partition] : 0;
}

struct api_lag_now api_lag_now(const struct source *s, uint32_t partition, double event_bytes) {
    struct api_lag_now l = {.bytes = strncmp(s->name, "kafka:", 6) != 0};
    l.position = source_position(s, partition);
    l.end = atomic_load_explicit(&s->end[partition], memory_order_relaxed);
    l.offsets = l.end > l.position ? l.end - l.position : 0;
    l.events = l.offsets;
    if (l.bytes && l.offsets) l.events = 1 + (uint64_t)((double)(l.offsets - 1) / event_bytes);
    return l;
}
