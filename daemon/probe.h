/* The watchdog's self-probe: asks the public listener for /healthz over a real connection. */
#ifndef RANKD_DAEMON_PROBE_H
#define RANKD_DAEMON_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct event_base;
struct probe;

/* address: as bound ("127.0.0.1:8080"); limit_us: in which an answer must have come. done is called after each
 * probe_begin, at once or later, with whether it was answered with 200 in time. All on the main thread. */
int probe_new(struct event_base *base, const char *address, uint64_t limit_us, void (*done)(void *arg, bool ok),
              void *arg, struct probe **out, struct err *e) ERR_MUST_CHECK;
void probe_begin(struct probe *p); /* none may be under way */
void probe_free(struct probe *p);

#endif
