/* Calls posted from any thread to the one that runs an event_base. */
#ifndef RANKD_DAEMON_MAILBOX_H
#define RANKD_DAEMON_MAILBOX_H

#include <stdbool.h>

#include "lib/base/err.h"

struct event_base;
struct mailbox;

int mailbox_new(struct event_base *base, struct mailbox **out,
                struct err *e) ERR_MUST_CHECK; /* owning thread, or before it runs */
/* fn(arg) runs on the owning thread, in order of posting. Any thread. Never fails: the letter is the caller's memory.
 */
struct letter {
    struct letter *next;
    void (*fn)(void *arg);
    void *arg;
};
void mailbox_post(struct mailbox *m, struct letter *l);
void mailbox_free(struct mailbox *m); /* runs what is left first */

#endif
