/* One logfmt line per fact on stderr, rate-limited, bytes escaped. */
#ifndef RANKD_DAEMON_LOG_H
#define RANKD_DAEMON_LOG_H

#include <stdbool.h>

#include "lib/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
bool log_parse_level(const char *name, enum log_level *level);

/* Writes: ts=... level=... event=EVENT followed by the formatted pairs (" key=value key=value"; quote text with
 * log_quote). Any thread; a line is one write(2). */
void log_line(enum log_level level, const char *event, const char *pairs_fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same for an error: adds code=, field= and error="...". */
void log_err(enum log_level level, const char *event, const struct err *e);

/* At most one line a second per limiter; the next one that passes carries suppressed=N. Zero-initialised. */
struct log_limit {
    _Atomic long long next_ms;
    _Atomic unsigned suppressed;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *event, const char *pairs_fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* text as a quoted, escaped logfmt value, cut to fit; returns out. */
char *log_quote(char *out, unsigned long size, const char *text, unsigned long n);

#endif
