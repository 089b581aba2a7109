/* The store thread: LMDB's write transaction, one checkpoint in flight. */
#ifndef RANKD_DAEMON_STORER_H
#define RANKD_DAEMON_STORER_H

#include <stdbool.h>

#include "daemon/checkpoint.h"

struct storer;

/* wake(arg) is called on the store thread whenever a checkpoint is over. */
int storer_start(struct store *s, struct checkpoint *c, void (*wake)(void *arg), void *arg, struct storer **out,
                 struct err *e) ERR_MUST_CHECK;
/* Learner: the checkpoint was begun; write it. Only when storer_idle. */
void storer_submit(struct storer *w);
bool storer_idle(struct storer *w);
/* Learner: 1 and how it ended (0 or an error code, *e) once after each submit; 0 while it is being written. */
int storer_result(struct storer *w, int *rc, struct err *e);
/* Waits for the checkpoint under way (its result is still to be fetched), then ends the thread. */
void storer_stop(struct storer *w);

#endif
