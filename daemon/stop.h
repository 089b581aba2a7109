/* SIGTERM and SIGINT: the process ends in order, whenever they come, and within STOP_LIMIT_MS. */
#ifndef RANKD_DAEMON_STOP_H
#define RANKD_DAEMON_STOP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "lib/base/err.h"

#define STOP_LIMIT_MS 4500 /* from the signal to the end; past it without the last checkpoint */

struct stop {               /* lives to the end of the process */
    _Atomic bool *stopping; /* set by the signal: whoever does something long looks at it */
    _Atomic bool *ready;    /* what the end leaves undone depends on it */
    int fd;                 /* readable from the signal on, for an event loop */
};

/* From here on these signals, and SIGHUP until stop_take_reloads, are held back from the calling thread and those it
 * starts; a thread of its own waits for them. When the process takes longer to end than the limit, that thread ends it
 * with exit code 0. Before any other thread. ERR_IO, ERR_NOMEM. */
int stop_watch(struct stop *s, struct err *e) ERR_MUST_CHECK;
/* Main thread: SIGHUP is delivered to it, also one that came before. */
void stop_take_reloads(void);

#endif
