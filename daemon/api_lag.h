/* How far learning is behind each partition of each source, in offsets, events and seconds.
 *
 * Lag in seconds is how long ago the end of the log first lay beyond where we are now: the tracker remembers when it
 * saw the end move, at most API_LAG_SAMPLES times a partition, old ones ever more coarsely. What was behind at the
 * start counts from the start. One thread, but api_lag_seconds' inputs are the sources' atomics. */
#ifndef RANKD_DAEMON_API_LAG_H
#define RANKD_DAEMON_API_LAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/source.h"

#define API_LAG_SAMPLES 64

struct api_lag_point { /* from since_ns on the end was beyond what it was before, and at end or less */
    uint64_t since_ns, end;
};

struct api_lag_track {                            /* of one partition */
    struct api_lag_point points[API_LAG_SAMPLES]; // (n) ascending, all beyond the position
    size_t n;
};

/* Notes position and end at now_ns; the lag in ns, 0 when nothing is behind. */
uint64_t api_lag_note(struct api_lag_track *t, uint64_t position, uint64_t end, uint64_t now_ns);

struct api_lag;
/* sources (n) outlive it. NULL when memory is refused. */
struct api_lag *api_lag_new(const struct source *sources, size_t n);
void api_lag_free(struct api_lag *l);
/* Looks at every partition; the largest lag in ns. Cheap enough for four times a second. */
uint64_t api_lag_tick(struct api_lag *l, uint64_t now_ns);
/* As of the last tick. */
uint64_t api_lag_ns(const struct api_lag *l, size_t source, uint32_t partition);

/* What one partition is behind. */
struct api_lag_now {
    uint64_t position, end, offsets; /* offsets = end - position, bytes for logs and files */
    bool bytes;                      /* offsets count bytes */
    uint64_t events;                 /* offsets, or an estimate from event_bytes */
};
/* event_bytes: bytes of a mean event, at least 1. */
struct api_lag_now api_lag_now(const struct source *s, uint32_t partition, double event_bytes);

#endif
