/* The watchdog's self-probe: asks the public listener for /healthz over a real connection. */
#ifndef RANKD_DAEMON_PROBE_H
#define RANKD_DAEMON_PROBE_H

#include <stdbool.h>

#include "lib/base/err.h"

struct event_base;
struct probe;

/* address: as bound ("127.0.0.1:8080"). Main thread. */
int probe_new(struct event_base *base, const char *address, struct probe **out, struct err *e) ERR_MUST_CHECK;
/* Begins a probe unless one is under way; true when the one before was answered with 200 in time. */
bool probe_serving(struct probe *p);
void probe_free(struct probe *p);

#endif
