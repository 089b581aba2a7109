/* rankctl top: status and metrics once a second, as rates and percentiles. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "daemon/ctl.h"
#include "lib/base/clock.h"

#define MAX_BOUNDS 40
#define MAX_LINE   400

struct durations { /* a histogram summed over its series */
    double le[MAX_BOUNDS];
    uint64_t count[MAX_BOUNDS]; /* cumulative; (n) */
    size_t n;
};

struct sample {
    uint64_t ns;
    struct jdoc *status;
    struct durations freshness, serving;
    bool metrics; /* could be read */
};

static volatile sig_atomic_t ended;
static void on_signal(int number) { ended = number; }

/* --- what is sampled --- */

static void add_bucket(struct durations *d, double le, uint64_t count) {
    size_t k = 0;
    while (k < d->n && d->le[k] < le) k++;
    if (k == d->n || d->le[k] > le) {
        if (d->n == MAX_BOUNDS) return;
        memmove(&d->le[k + 1], &d->le[k], (d->n - k) * sizeof d->le[0]);
        memmove(&d->count[k + 1], &d->count[k], (d->n - k) * sizeof d->count[0]);
        d->le[k] = le;
        d->count[k] = 0;
        d->n++;
    }
    d->count[k] += count;
}

/* The buckets of a histogram in Prometheus text, of the series whose labels contain a text. */
static void read_durations(const char *text, const char *name, const char *labels, struct durations *d) {
    size_t n = strlen(name);
    d->n = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        char copy[MAX_LINE];
        if (strncmp(line, name, n) != 0 || strncmp(line + n, "_bucket{", 8) != 0) continue;
        snprintf(copy, sizeof copy, "%.*s", (int)strcspn(line, "\n"), line);
        const char *le = strstr(copy, "le=\""), *value = strrchr(copy, ' ');
        if (le && value && strstr(copy, labels)) add_bucket(d, strtod(le + 4, NULL), strtoull(value, NULL, 10));
    }
}

/* The q-quantile in seconds of what was added between a and b, as Prometheus interpolates; negative: nothing was. */
static double quantile(const struct durations *a, const struct durations *b, double q) {
    bool since = a->n == b->n && a->n;
    double below = 0, all = 0;
    if (b->n) all = (double)(b->count[b->n - 1] - (since ? a->count[a->n - 1] : 0));
    if (all <= 0) return -1;
    for (size_t k = 0; k < b->n; k++) {
        double upto = (double)(b->count[k] - (since ? a->count[k] : 0)), from = k ? b->le[k - 1] : 0;
        if (upto >= q * all) {
            if (k + 1 == b->n) return from; /* the bucket without a bound */
            return from + (b->le[k] - from) * (upto > below ? (q * all - below) / (upto - below) : 1);
        }
        below = upto;
    }
    return -1;
}

static void sample_free(struct sample *s) {
    jdoc_free(s->status);
    *s = (struct sample){0};
}

static int take_sample(struct ctl *c, struct sample *s, struct ctl_reply *r) {
    struct err e;
    char url[128], at[80];
    *s = (struct sample){0};
    int rc = ctl_request(c, "/admin/status", NULL, slice_of(NULL, 0), r);
    if (rc != CTL_DONE) return rc;
    if (r->status != 200 || jdoc_parse(slice_of(r->body.p, r->body.n), &s->status, &e) < 0) return CTL_FAILED;
    s->ns = clock_steady_ns();
    struct slice metrics = jdoc_text(jdoc_get(jdoc_root(s->status), "addresses.metrics"), "");
    snprintf(url, sizeof url, "http://%s/metrics", ctl_clean(at, sizeof at, metrics));
    if (metrics.n && ctl_request(c, url, NULL, slice_of(NULL, 0), r) == CTL_DONE && r->status == 200 && r->body.p) {
        s->metrics = true;
        read_durations(r->body.p, "rankd_freshness_seconds", "", &s->freshness);
        read_durations(r->body.p, "rankd_http_request_duration_seconds", "listener=\"public\"", &s->serving);
    }
    return CTL_DONE;
}

/* --- a frame --- */

static double get(const struct sample *s, const char *path) {
    return jdoc_number(jdoc_get(jdoc_root(s->status), path), 0);
}

static double rate(const struct sample *a, const struct sample *b, const char *path) {
    double s = (double)(b->ns - a->ns) / 1e9, n = get(b, path) - get(a, path);
    return s > 0 && n > 0 ? n / s : 0;
}

static const char *whole(char out[CTL_TEXT], const struct sample *s, const char *path) {
    double v = get(s, path);
    return ctl_count(out, v > 0 ? (uint64_t)v : 0);
}

static double skipped(const struct sample *s) {
    struct jdoc_members m = {0};
    double n = 0;
    while (jdoc_next(jdoc_get(jdoc_root(s->status), "events.skipped"), &m)) n += jdoc_number(m.value, 0);
    return n;
}

static const char *percentiles(char out[2 * CTL_TEXT], const struct durations *a, const struct durations *b) {
    char p50[CTL_TEXT], p99[CTL_TEXT];
    snprintf(out, 2 * CTL_TEXT, "p50 %s  p99 %s", ctl_seconds(p50, quantile(a, b, 0.5)),
             ctl_seconds(p99, quantile(a, b, 0.99)));
    return out;
}

static void add_head(struct buf *f, const struct sample *b) {
    char x[4][CTL_TEXT], clock[16], version[32], state[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &tm));
    struct jdoc_value s = jdoc_root(b->status);
    buf_printf(f, "rankd %s  %s for %s  %s\n\n",
               ctl_clean(version, sizeof version, jdoc_text(jdoc_get(s, "version"), "-")),
               ctl_clean(state, sizeof state, jdoc_text(jdoc_get(s, "state"), "-")),
               ctl_seconds(x[0], get(b, "uptime_s")), clock);
    buf_printf(f, "sequence    %s (durable %s), model clock %s\n", whole(x[0], b, "sequence"),
               whole(x[1], b, "durable_sequence"), ctl_clean(x[2], sizeof x[2], jdoc_text(jdoc_get(s, "as_of"), "-")));
}

static void add_figures(struct buf *f, const struct sample *a, const struct sample *b) {
    char x[4][CTL_TEXT], p[2 * CTL_TEXT];
    double s = (double)(b->ns - a->ns) / 1e9, bad = skipped(b) - skipped(a);
    uint64_t asked = b->serving.n && a->serving.n == b->serving.n
                         ? b->serving.count[b->serving.n - 1] - a->serving.count[a->serving.n - 1]
                         : 0;
    buf_printf(f, "learning    %s  skipped %s  learned %s\n", ctl_rate(x[0], rate(a, b, "events.learned")),
               ctl_rate(x[1], s > 0 && bad > 0 ? bad / s : 0), whole(x[2], b, "events.learned"));
    buf_printf(f, "lag         %s events  %s  queue %s\n", whole(x[0], b, "lag_events"),
               ctl_seconds(x[1], get(b, "lag_seconds")), ctl_bytes(x[2], get(b, "queue_bytes")));
    buf_printf(f, "freshness   %s\n",
               b->metrics ? percentiles(p, &a->freshness, &b->freshness) : "no metrics listener");
    buf_printf(f, "serving     %s  %s\n", ctl_rate(x[0], s > 0 ? (double)asked / s : 0),
               b->metrics ? percentiles(p, &a->serving, &b->serving) : "no metrics listener");
    buf_printf(f, "replies     2xx %s  4xx %s  5xx %s  open %s\n",
               ctl_rate(x[0], rate(a, b, "http.public.replies_2xx")),
               ctl_rate(x[1], rate(a, b, "http.public.replies_4xx")),
               ctl_rate(x[2], rate(a, b, "http.public.replies_5xx")), whole(x[3], b, "http.public.open"));
    buf_printf(f, "intake      %s  rejected %s  waiting %s\n", ctl_rate(x[0], rate(a, b, "intake.accepted")),
               ctl_rate(x[1], rate(a, b, "intake.rejected")), ctl_bytes(x[2], get(b, "intake.queued_bytes")));
    buf_printf(f, "checkpoint  last %s in %s  longest pause %s", ctl_bytes(x[0], get(b, "checkpoint.last_bytes")),
               ctl_seconds(x[1], get(b, "checkpoint.last_ms") / 1e3),
               ctl_seconds(x[2], get(b, "checkpoint.longest_pause_ms") / 1e3));
    buf_printf(f, "  unsaved %s\n", ctl_seconds(x[0], get(b, "checkpoint.unsaved_seconds")));
    buf_printf(f, "items       %s of %s, %s live\n", whole(x[0], b, "items"), whole(x[1], b, "max_items"),
               whole(x[2], b, "live_items"));
    buf_printf(f, "user cache  %s users  %s of %s  %.1f %% hits\n", whole(x[0], b, "users_cached"),
               ctl_bytes(x[1], get(b, "user_cache.bytes")), ctl_bytes(x[2], get(b, "user_cache.max_bytes")),
               100 * get(b, "user_cache.hit_rate"));
    buf_printf(f, "neighbours  %s rows  %s of %s  %.1f %% hits\n", whole(x[0], b, "neighbour_cache.rows"),
               ctl_bytes(x[1], get(b, "neighbour_cache.bytes")), ctl_bytes(x[2], get(b, "neighbour_cache.max_bytes")),
               100 * get(b, "neighbour_cache.hit_rate"));
    buf_printf(f, "memory      %s (anonymous %s)\n", ctl_bytes(x[0], get(b, "memory.rss")),
               ctl_bytes(x[1], get(b, "memory.rss_anon")));
}

static void add_sources(struct buf *f, const struct sample *b, size_t most) {
    struct jdoc_value list = jdoc_get(jdoc_root(b->status), "sources");
    char name[32], state[16], x[3][CTL_TEXT];
    size_t n = jdoc_count(list);
    if (n == 0 || most < 3) return;
    buf_printf(f, "\n%-20s %4s  %-8s %15s %11s  %s\n", "source", "part", "state", "position", "lag", "lag time");
    for (size_t k = 0; k < n && k < most - 2; k++) {
        struct jdoc_value s = jdoc_at(list, k);
        buf_printf(f, "%-20s %4lld  %-8s %15s %11s  %s\n", ctl_clean(name, 21, jdoc_text(jdoc_get(s, "name"), "-")),
                   (long long)jdoc_integer(jdoc_get(s, "partition"), 0),
                   ctl_clean(state, sizeof state, jdoc_text(jdoc_get(s, "state"), "-")),
                   ctl_count(x[0], (uint64_t)jdoc_integer(jdoc_get(s, "position"), 0)),
                   ctl_count(x[1], (uint64_t)jdoc_integer(jdoc_get(s, "lag_events"), 0)),
                   ctl_seconds(x[2], jdoc_number(jdoc_get(s, "lag_seconds"), -1)));
    }
    if (n > most - 2) buf_printf(f, "and %zu more\n", n - (most - 2));
}

static void make_frame(struct buf *f, const struct sample *a, const struct sample *b, size_t rows) {
    buf_clear(f);
    add_head(f, b);
    add_figures(f, a, b);
    size_t used = 0;
    for (size_t k = 0; k < f->n; k++) used += f->p[k] == '\n';
    add_sources(f, b, rows > used + 1 ? rows - used - 1 : 0);
}

/* --- the screen --- */

/* Draws over the last frame: lines cut to the width, the rest of each cleared, no more of them than fit. */
static void draw(const struct buf *f, size_t rows, size_t columns) {
    struct buf out;
    size_t row = 0;
    buf_init(&out, 1u << 20);
    buf_add_str(&out, "\033[H");
    for (size_t at = 0; at < f->n && row + 1 < rows; row++) {
        const char *end = memchr(f->p + at, '\n', f->n - at);
        size_t n = end ? (size_t)(end - f->p) - at : f->n - at, shown = n < columns ? n : columns;
        while (shown < n && shown && ((unsigned char)f->p[at + shown] & 0xc0) == 0x80) shown--;
        buf_add(&out, f->p + at, shown);
        buf_add_str(&out, "\033[K\r\n");
        at += n + 1;
    }
    buf_add_str(&out, "\033[J\033[2mq ends\033[0m");
    if (!out.failed) fwrite(out.p, 1, out.n, stdout);
    fflush(stdout);
    buf_free(&out);
}

/* Waits a second; true when q was pressed or a signal came. */
static bool wait_key(void) {
    uint64_t until = clock_steady_ns() + UINT64_C(1000000000);
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        uint64_t now = clock_steady_ns();
        char key;
        if (ended) return true;
        if (now >= until) return false;
        if (poll(&in, 1, (int)((until - now) / 1000000) + 1) <= 0) continue;
        ssize_t n = read(STDIN_FILENO, &key, 1);
        if (n == 1 && (key == 'q' || key == 'Q')) return true;
        if (n <= 0) in.fd = -1; /* nobody there to press anything */
    }
}

static void show_live(struct ctl *c, struct sample *last, struct ctl_reply *r) {
    struct buf frame;
    struct sample now;
    buf_init(&frame, 1u << 20);
    while (!wait_key()) {
        struct winsize size = {0};
        bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 && size.ws_col > 10;
        size_t rows = known ? size.ws_row : 24, columns = known ? size.ws_col : 80;
        if (take_sample(c, &now, r) == CTL_DONE) {
            make_frame(&frame, last, &now, rows);
            sample_free(last);
            *last = now;
        } else {
            sample_free(&now);
            buf_clear(&frame);
            buf_printf(&frame, "the daemon does not answer: %s\n", r->status ? "it refused" : r->why);
        }
        draw(&frame, rows, columns);
    }
    buf_free(&frame);
}

static int show_once(struct ctl *c, const struct sample *first, struct ctl_reply *r) {
    struct sample now;
    struct buf frame;
    clock_sleep_ms(1000); /* a rate needs two looks */
    int rc = take_sample(c, &now, r);
    if (rc != CTL_DONE) {
        ctl_say("the daemon does not answer: %s", r->why);
    } else {
        buf_init(&frame, 1u << 20);
        make_frame(&frame, first, &now, 1000);
        if (!frame.failed) fwrite(frame.p, 1, frame.n, stdout);
        buf_free(&frame);
    }
    sample_free(&now);
    return rc;
}

static void run_screen(struct ctl *c, struct sample *first, struct ctl_reply *r) {
    struct termios before, raw;
    struct sigaction on = {.sa_handler = on_signal};
    bool keys = tcgetattr(STDIN_FILENO, &before) == 0;
    sigaction(SIGINT, &on, NULL);
    sigaction(SIGTERM, &on, NULL);
    sigaction(SIGHUP, &on, NULL);
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    fputs("\033[?1049h\033[?25l\033[2J\033[Hone second ...", stdout);
    fflush(stdout);
    show_live(c, first, r);
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (keys) tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

int ctl_top(int argc, char **argv) {
    struct ctl c = {0};
    struct sample first;
    struct ctl_reply r;
    int rc = ctl_parse(
        &c, argc, argv,
        "usage: rankctl top [options]\n\n"
        "Shows rates, lag, freshness, latencies, caches and memory, new every second; q or Ctrl-C ends it.\n"
        "Into a pipe or a file it writes one frame. Freshness and latencies come from the metrics listener.\n",
        0, 0);
    if (rc >= 0) return rc;
    ctl_reply_init(&r);
    rc = ctl_open(&c);
    if (rc == CTL_DONE) {
        rc = take_sample(&c, &first, &r);
        if (rc == CTL_UNREACHABLE) ctl_say("the daemon cannot be reached: %s", r.why);
        if (rc == CTL_FAILED) ctl_say_error(&r);
        if (rc == CTL_DONE && isatty(STDOUT_FILENO))
            run_screen(&c, &first, &r);
        else if (rc == CTL_DONE)
            rc = show_once(&c, &first, &r);
        sample_free(&first);
    }
    ctl_reply_free(&r);
    ctl_close(&c);
    return rc;
}
