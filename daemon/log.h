/* One logfmt line per fact on stderr, rate-limited, bytes escaped. */
#ifndef RANKD_DAEMON_LOG_H
#define RANKD_DAEMON_LOG_H

#include <stdbool.h>

#include "lib/base/err.h"

/* syslog.h has macros of these names: do not include both. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
bool log_parse_level(const char *name, enum log_level *level);

/* Writes: ts=... level=... event=EVENT followed by the formatted pairs ("key=value key=value"; quote text with
 * log_quote). Any thread; a line is one write(2) of at most 4 KiB to stderr. Bytes outside printable ASCII come out as
 * \n, \r, \t or \xNN. A longer line is cut, a value left open is closed, and cut=yes ends it. Nothing is allocated;
 * errno is kept. */
void log_line(enum log_level level, const char *event, const char *pairs_fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for an error: code=NAME field="..." error="...". */
void log_err(enum log_level level, const char *event, const struct err *e);

/* At most one line a second of the steady clock per limiter; the next one that passes carries suppressed=N. Lines below
 * the level do not count. Zero-initialised; any thread. */
struct log_limit {
    _Atomic long long next_ms;
    _Atomic unsigned suppressed;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *event, const char *pairs_fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* text as a quoted, escaped logfmt value, terminated, cut to fit between its quotes (size below 3 gives ""); returns
 * out. A byte takes at most 4, so size = 4 * n + 3 always holds it. */
char *log_quote(char *out, unsigned long size, const char *text, unsigned long n);

#endif
