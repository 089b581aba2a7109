/* A borrowed run of bytes: not owned, not terminated. */
#ifndef RANKD_BASE_SLICE_H
#define RANKD_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

static inline struct slice slice_of(const char *p, size_t n) { return (struct slice){p, n}; }
static inline struct slice slice_str(const char *s) { return (struct slice){s, strlen(s)}; }
static inline bool slice_equal(struct slice a, struct slice b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool slice_is(struct slice a, const char *s) { return slice_equal(a, slice_str(s)); }

#endif
