/* A timer, a probe, and a message to systemd. */
#include "daemon/watchdog.h"

#include <event2/event.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/log.h"
#include "daemon/probe.h"
#include "lib/base/mem.h"

#define MOST_LIMIT_US UINT64_C(5000000)
#define LEAST_US      UINT64_C(1000)

struct watchdog {
    uint64_t within_us; /* systemd ends the process when it is not fed in this time */
    struct event *timer;
    struct probe *probe;
};

static int again_in(struct watchdog *w, uint64_t us) {
    if (us < LEAST_US) us = LEAST_US;
    const struct timeval delay = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
    return event_add(w->timer, &delay);
}

static void on_answer(void *arg, bool ok) {
    struct watchdog *w = arg;
    if (ok) sd_notify(0, "WATCHDOG=1");
    (void)again_in(w, w->within_us / (ok ? 2 : 8)); /* cannot be: systemd starts the process again */
}

static void on_time(evutil_socket_t fd, short what, void *arg) {
    struct watchdog *w = arg;
    (void)fd;
    (void)what;
    probe_begin(w->probe);
}

int watchdog_start(struct event_base *base, const char *address, struct watchdog **out, struct err *e) {
    uint64_t within_us = 0;
    *out = NULL;
    int enabled = sd_watchdog_enabled(0, &within_us);
    if (enabled < 0)
        log_line(LOG_WARN, "watchdog_unreadable", " error=\"%s\" action=\"see WATCHDOG_USEC and WATCHDOG_PID\"",
                 strerror(-enabled));
    if (enabled <= 0) return 0;
    struct watchdog *w = mem_zalloc(sizeof *w);
    if (!w) return err_set(e, ERR_NOMEM, "watchdog", "no memory");
    uint64_t limit_us = within_us / 4 < MOST_LIMIT_US ? within_us / 4 : MOST_LIMIT_US;
    w->within_us = within_us;
    w->timer = evtimer_new(base, on_time, w);
    int rc = probe_new(base, address, limit_us < LEAST_US ? LEAST_US : limit_us, on_answer, w, &w->probe, e);
    if (rc == 0 && (!w->timer || again_in(w, 0) != 0)) rc = err_set(e, ERR_NOMEM, "watchdog", "no timer");
    if (rc < 0) {
        watchdog_free(w);
        return rc;
    }
    log_line(LOG_INFO, "watchdog", " within_ms=%.3f fed_each_ms=%.3f", (double)within_us / 1e3,
             (double)within_us / 2e3);
    *out = w;
    return 0;
}

void watchdog_free(struct watchdog *w) {
    if (!w) return;
    probe_free(w->probe);
    if (w->timer) event_free(w->timer);
    mem_free(w);
}
