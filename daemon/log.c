/* Writes log lines: built on the stack, escaped, one write(2) each. */
#include "daemon/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define LINE_BYTES 4096 /* longest line with its newline: POSIX keeps a write of PIPE_BUF whole */
#define CUT        " cut=yes"
#define LIMIT_MS   1000

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static _Atomic int least_level = LOG_INFO;

void log_set_level(enum log_level level) { atomic_store_explicit(&least_level, (int)level, memory_order_relaxed); }

bool log_parse_level(const char *name, enum log_level *level) {
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcmp(name, level_names[i]) != 0) continue;
        *level = (enum log_level)i;
        return true;
    }
    return false;
}

static bool is_off(enum log_level level) {
    return (int)level < atomic_load_explicit(&least_level, memory_order_relaxed);
}

/* One byte as it may stand in a line; returns how many were written to out (at most 4). */
static size_t escape(unsigned char byte, char out[4]) {
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "nrt", control[] = "\n\r\t";
    const char *named = byte ? strchr(control, byte) : NULL;
    if (byte >= 0x20 && byte < 0x7f) {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '\\';
    if (named) {
        out[1] = plain[named - control];
        return 2;
    }
    out[1] = 'x';
    out[2] = hex[byte >> 4];
    out[3] = hex[byte & 15];
    return 4;
}

struct line {
    char text[LINE_BYTES];
    size_t n;
    bool quoted; /* inside a quoted value */
    bool cut;
};

/* Room is kept for a closing quote, the mark of a cut and the newline. */
static void add(struct line *l, const char *bytes, size_t n) {
    const size_t most = LINE_BYTES - 1 - (sizeof CUT - 1) - 1;
    for (size_t i = 0; i < n && !l->cut; i++) {
        char unit[5];
        size_t length = 0;
        bool pair = l->quoted && bytes[i] == '\\' && i + 1 < n; /* an escape is copied whole or not at all */
        if (pair) unit[length++] = bytes[i++];
        length += escape((unsigned char)bytes[i], unit + length);
        if (l->n + length > most) {
            l->cut = true;
            break;
        }
        if (!pair && bytes[i] == '"') l->quoted = !l->quoted;
        memcpy(l->text + l->n, unit, length);
        l->n += length;
    }
}

static void add_text(struct line *l, const char *text) { add(l, text, strlen(text)); }

static void begin(struct line *l, enum log_level level, const char *event) {
    char stamp[32];
    l->n = 0;
    l->quoted = l->cut = false;
    clock_format(clock_wall_ms(), stamp);
    add_text(l, "ts=");
    add_text(l, stamp);
    add_text(l, " level=");
    add_text(l, level_names[level]);
    add_text(l, " event=");
    add_text(l, event);
}

__attribute__((format(printf, 2, 0))) static void add_pairs(struct line *l, const char *fmt, va_list args) {
    char text[LINE_BYTES];
    if (!fmt || *fmt == '\0') return;
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n <= 0) return;
    if (text[0] != ' ') add_text(l, " ");
    add(l, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    l->cut = l->cut || (size_t)n >= sizeof text;
}

static void end(struct line *l) {
    int saved = errno;
    if (l->cut) {
        if (l->quoted) l->text[l->n++] = '"';
        memcpy(l->text + l->n, CUT, sizeof CUT - 1);
        l->n += sizeof CUT - 1;
    }
    l->text[l->n++] = '\n';
    for (size_t done = 0; done < l->n;) {
        ssize_t n = write(STDERR_FILENO, l->text + done, l->n - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break; /* nobody is there to be told */
        done += (size_t)n;
    }
    errno = saved;
}

void log_line(enum log_level level, const char *event, const char *pairs_fmt, ...) {
    struct line l;
    va_list args;
    if (is_off(level)) return;
    begin(&l, level, event);
    va_start(args, pairs_fmt);
    add_pairs(&l, pairs_fmt, args);
    va_end(args);
    end(&l);
}

void log_err(enum log_level level, const char *event, const struct err *e) {
    char field[160], text[1024];
    log_line(level, event, "code=%s field=%s error=%s", err_name(e->code),
             log_quote(field, sizeof field, e->field, strlen(e->field)),
             log_quote(text, sizeof text, e->text, strlen(e->text)));
}

void log_limited(struct log_limit *limit, enum log_level level, const char *event, const char *pairs_fmt, ...) {
    struct line l;
    va_list args;
    if (is_off(level)) return;
    long long now = (long long)(clock_steady_ns() / 1000000u);
    long long next = atomic_load_explicit(&limit->next_ms, memory_order_relaxed);
    if (now < next || !atomic_compare_exchange_strong(&limit->next_ms, &next, now + LIMIT_MS)) {
        atomic_fetch_add(&limit->suppressed, 1);
        return;
    }
    unsigned suppressed = atomic_exchange(&limit->suppressed, 0);
    begin(&l, level, event);
    if (suppressed) {
        char pair[32];
        snprintf(pair, sizeof pair, " suppressed=%u", suppressed);
        add_text(&l, pair);
    }
    va_start(args, pairs_fmt);
    add_pairs(&l, pairs_fmt, args);
    va_end(args);
    end(&l);
}

char *log_quote(char *out, unsigned long size, const char *text, unsigned long n) {
    size_t at = 0;
    if (size < 3) {
        if (size) *out = '\0';
        return out;
    }
    out[at++] = '"';
    for (unsigned long i = 0; i < n; i++) {
        char unit[5] = "\\";
        bool special = text[i] == '"' || text[i] == '\\';
        size_t length = special + escape((unsigned char)text[i], unit + special);
        if (at + length + 2 > size) break;
        memcpy(out + at, unit, length);
        at += length;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
