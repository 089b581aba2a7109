/* Figures that /admin/status and /metrics share. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api_priv.h"

/* "Name:   123 kB" in /proc/self/status, in bytes. */
static uint64_t kilobytes(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

struct api_memory api_memory(void) {
    char text[4096];
    struct api_memory m = {0};
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return m;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return m;
    text[n] = '\0';
    m.rss = kilobytes(text, "\nVmRSS:");
    m.rss_anon = kilobytes(text, "\nRssAnon:");
    return m;
}

const char *api_source_state(int state) {
    switch (state) {
    case SOURCE_STARTING:
        return "starting";
    case SOURCE_RUNNING:
        return "running";
    case SOURCE_AWAY:
        return "away";
    default:
        return "stopped";
    }
}

struct slice api_stop_reason(const struct source *s) {
    bool stopped = atomic_load_explicit(&s->state, memory_order_acquire) == SOURCE_STOPPED;
    return stopped ? slice_str(s->stop_reason) : slice_of(NULL, 0);
}

double api_event_bytes(const struct daemon *d) {
    if (d->intake) {
        const struct intake_stats *i = intake_stats(d->intake);
        uint64_t events = api_load(&i->events), bytes = api_load(&i->bytes);
        if (events && bytes > events) return (double)bytes / (double)events;
    }
    return API_EVENT_BYTES;
}

double api_unsaved_seconds(const struct daemon *d, uint64_t now_ns) {
    int64_t since = atomic_load_explicit(&learner_stats(d->learner)->unsaved_since_ns, memory_order_relaxed);
    return since && now_ns > (uint64_t)since ? (double)(now_ns - (uint64_t)since) / 1e9 : 0;
}
