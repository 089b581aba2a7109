/* Ids of users whom readers had to ask the backing for, on their way to the learner, which alone may bring them into
 * the cache. Bounded and lossy: a place for each of USER_WANTED hashes, and whoever finds his place in use goes on
 * without. Nobody waits. */
#ifndef RANKD_MODEL_USER_WANTED_H
#define RANKD_MODEL_USER_WANTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"
#include "lib/model/params.h"

#define USER_WANTED 256u /* places: as many as an idle learner takes at once */

struct user_wanted;

struct user_wanted *user_wanted_new(void); /* NULL when memory is refused */
void user_wanted_free(struct user_wanted *w);

/* Any thread. hash is that of the id, which has at most MODEL_MAX_ID bytes and is copied. */
void user_wanted_put(struct user_wanted *w, uint64_t hash, struct slice id);
/* Learner. One of the ids and its length, which leaves its place; false when there is none. Their places take turns. */
bool user_wanted_take(struct user_wanted *w, char id[MODEL_MAX_ID], size_t *n);

#endif
