/* systemd's watchdog: fed in the interval it asks for (sd_watchdog_enabled(3)), as long as the listener answers. */
#ifndef RANKD_DAEMON_WATCHDOG_H
#define RANKD_DAEMON_WATCHDOG_H

#include "lib/base/err.h"

struct event_base;
struct watchdog;

/* Where WATCHDOG_USEC is set, and for this process (WATCHDOG_PID): asks the public listener, address as bound, for
 * /healthz at once and then each half of that time, feeds the watchdog with every answer, and asks again after an
 * eighth when none came within a quarter (5 s at most). Else *out is NULL. Main thread. */
int watchdog_start(struct event_base *base, const char *address, struct watchdog **out, struct err *e) ERR_MUST_CHECK;
void watchdog_free(struct watchdog *w);

#endif
