/* rankctl load: what it shows while it runs and at its end. */
#include <stdio.h>
#include <unistd.h>

#include "daemon/ctl_load.h"
#include "lib/base/clock.h"

#define TERMINAL_NS UINT64_C(200000000)
#define PLAIN_NS    UINT64_C(10000000000)
#define RATE_NS     UINT64_C(2000000000)

void load_clear_line(struct load *l) {
    if (l->line_open) fputs("\r\033[K", stderr);
    l->line_open = false;
}

static double seconds(uint64_t from, uint64_t to) { return (double)(to - from) / 1e9; }

void load_progress(struct load *l, bool last) {
    uint64_t now = clock_steady_ns();
    char n[CTL_TEXT], rate[CTL_TEXT], rest[CTL_TEXT], percent[32] = "", left[64] = "";
    if (now - l->shown_ns < (l->terminal ? TERMINAL_NS : PLAIN_NS) || last) {
        if (last) load_clear_line(l);
        return;
    }
    l->shown_ns = now;
    if (now - l->rate_ns >= RATE_NS) {
        l->rate = (double)(l->accepted - l->rate_accepted) / seconds(l->rate_ns, now);
        l->rate_ns = now;
        l->rate_accepted = l->accepted;
    }
    double rate_now = l->rate > 0 ? l->rate : (double)l->accepted / (seconds(l->start_ns, now) + 1e-9);
    double done = (double)(l->bytes_done + (l->unpack ? unpack_taken(l->unpack) : 0));
    if (l->bytes_all && done > 0) {
        double share = done / (double)l->bytes_all;
        if (share > 1) share = 1;
        snprintf(percent, sizeof percent, "%5.1f %%  ", 100 * share);
        if (share > 0.001)
            snprintf(left, sizeof left, "  %s left",
                     ctl_seconds(rest, seconds(l->start_ns, now) * (1 - share) / share));
    }
    fprintf(stderr, "%s%s%s events  %s  %s rejected%s%s", l->terminal ? "\r\033[K" : "", percent,
            ctl_count(n, l->accepted), ctl_rate(rate, rate_now), ctl_count((char[CTL_TEXT]){0}, l->rejected), left,
            l->terminal ? "" : "\n");
    l->line_open = l->terminal;
    fflush(stderr);
}

void load_summary(struct load *l, bool json) {
    char a[CTL_TEXT], b[CTL_TEXT], c[CTL_TEXT], d[CTL_TEXT], e[CTL_TEXT], f[CTL_TEXT];
    double s = seconds(l->start_ns, clock_steady_ns());
    double rate = (double)l->accepted / (s > 0 ? s : 1);
    load_clear_line(l);
    if (json)
        printf(
            "{\"lines\":%llu,\"accepted\":%llu,\"rejected\":%llu,\"without_id\":%llu,\"seconds\":%.3f,\"rate\":%.1f}\n",
            (unsigned long long)l->lines, (unsigned long long)l->accepted, (unsigned long long)l->rejected,
            (unsigned long long)l->without_id, s, rate);
    else
        printf("%s lines read, %s events accepted, %s rejected, %s without id, in %s (%s)\n", ctl_count(a, l->lines),
               ctl_count(b, l->accepted), ctl_count(c, l->rejected), ctl_count(d, l->without_id), ctl_seconds(e, s),
               ctl_rate(f, rate));
}
