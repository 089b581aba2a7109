/* Recent sessions, and for each item the newest of them that hold it.
 *
 * A session is what a user took without a pause of more than gap_ms, its newest SESSION_ITEMS distinct items; with
 * gap_ms 0 everything a user takes is one session without end. An item taken again moves to the end. */
#ifndef RANKD_EVAL_SESSIONS_H
#define RANKD_EVAL_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/past.h"

#define SESSION_ITEMS   50     /* kept of a session */
#define SESSIONS_MOST   131072 /* sessions kept; the oldest by their beginning make place */
#define SESSIONS_RECENT 500    /* sessions kept for an item, those that took it last */

struct session {
    uint32_t number; /* from 1, by their beginning */
    uint32_t n, room;
    uint32_t *items; /* (n) the oldest use first */
    int64_t ts_ms;   /* of its last event */
};

struct sessions;

/* Memory: for each user 4 bytes, for each session 32 and up to 200 for its items, for each item 20 and up to 2000 for
 * its sessions. ERR_NOMEM. */
int sessions_new(uint32_t n_users, uint32_t n_items, int64_t gap_ms, struct sessions **out,
                 struct err *e) ERR_MUST_CHECK;
void sessions_free(struct sessions *s); /* NULL is fine */

/* Takes an event in, its items in order. ERR_NOMEM: of no more use than to be freed. */
int sessions_learn(struct sessions *s, const struct past_event *ev, struct err *e) ERR_MUST_CHECK;

/* By number; NULL when it has made place. Valid until the next sessions_learn. */
const struct session *sessions_find(const struct sessions *s, uint32_t number);
/* Where a session's number stands in an array (SESSIONS_MOST); no two that can be found share a slot. */
static inline uint32_t sessions_slot(uint32_t number) { return number % SESSIONS_MOST; }
/* Numbers of the sessions that took the item, the last one last; some may not be found any more. */
const uint32_t *sessions_with(const struct sessions *s, uint32_t item, uint32_t *n);
uint32_t sessions_last_of(const struct sessions *s, uint32_t user); /* number of the user's newest session; 0: none */

uint32_t sessions_count(const struct sessions *s);                     /* sessions ever begun */
uint32_t sessions_count_with(const struct sessions *s, uint32_t item); /* times an item came into one that lacked it */
size_t sessions_size_bytes(const struct sessions *s);

#endif
