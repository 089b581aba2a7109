/* Ticks of an axis of time. */
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/eval/plot_priv.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct date {
    int year, month, day, hour, minute; /* month from 1 */
};

static int digits(const char *p, int n) {
    int v = 0;
    for (int i = 0; i < n; i++) v = 10 * v + (p[i] - '0');
    return v;
}

static struct date date_of(int64_t ts_ms) {
    char text[32];
    clock_format(ts_ms, text);
    return (struct date){digits(text, 4), digits(text + 5, 2), digits(text + 8, 2), digits(text + 11, 2),
                         digits(text + 14, 2)};
}

/* The first moment of a month, counted from January of year 0; -1 outside what can be told. */
static int64_t month_start(int month) {
    char text[40];
    int64_t ms = -1;
    (void)snprintf(text, sizeof text, "%04d-%02d-01T00:00:00Z", month / 12, month % 12 + 1);
    return clock_parse(slice_str(text), &ms) ? ms : -1;
}

static void label(struct plot_tick *t, int64_t step, bool years) {
    struct date d = date_of(t->ts_ms);
    const char *month = months[(unsigned)(d.month - 1) % 12];
    if (step >= 28 * DAY && (years || d.month == 1))
        (void)snprintf(t->label, sizeof t->label, "%s %d", month, d.year);
    else if (step >= 28 * DAY)
        (void)snprintf(t->label, sizeof t->label, "%s", month);
    else if (step >= DAY || d.hour + d.minute == 0)
        (void)snprintf(t->label, sizeof t->label, "%d %s", d.day, month);
    else
        (void)snprintf(t->label, sizeof t->label, "%02d:%02d", d.hour, d.minute);
}

static unsigned by_month(int64_t from, int64_t to, int step, struct plot_tick *out) {
    struct date d = date_of(from);
    unsigned n = 0;
    int month = 12 * d.year + d.month - 1;
    month += (step - month % step) % step;
    for (; n < PLOT_TICKS_MOST; month += step) {
        int64_t ts = month_start(month);
        if (ts < 0 || ts > to) break;
        if (ts < from) continue;
        out[n].ts_ms = ts;
        label(&out[n], 28 * DAY, n == 0);
        n++;
    }
    return n;
}

unsigned plot_time_ticks(int64_t from, int64_t to, unsigned most, struct plot_tick *out) {
    static const int64_t steps[] = {HOUR / 4, HOUR,    2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
                                    DAY,      2 * DAY, 4 * DAY,  7 * DAY,  14 * DAY};
    static const int month_steps[] = {1, 2, 3, 6, 12, 24, 60, 120};
    if (from < CLOCK_MS_MIN || to > CLOCK_MS_MAX || from > to) return 0;
    int64_t span = to - from;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (span / steps[i] > (int64_t)most - 1) continue;
        unsigned n = 0;
        int64_t first = from + (steps[i] - from % steps[i]) % steps[i];
        for (int64_t ts = first; ts <= to && n < PLOT_TICKS_MOST; ts += steps[i]) {
            out[n].ts_ms = ts;
            label(&out[n++], steps[i], false);
        }
        return n;
    }
    for (size_t i = 0; i < sizeof month_steps / sizeof *month_steps; i++)
        if (span / (month_steps[i] * 30 * DAY) < (int64_t)most) return by_month(from, to, month_steps[i], out);
    return by_month(from, to, 1200, out);
}
