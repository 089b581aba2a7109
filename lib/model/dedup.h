/* The window of accepted event ids: a ring of 128-bit hashes with an index. */
#ifndef RANKD_MODEL_DEDUP_H
#define RANKD_MODEL_DEDUP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/slice.h"

#define DEDUP_BLOCK 1024u /* hashes in a stored block */

/* The window is rounded up to whole blocks. A full block does not change until the ring comes round to it: a checkpoint
 * reads it as it stands, and should the ring come round meanwhile a new block takes its place. */
struct dedup;
int dedup_new(uint64_t window, struct dedup **out, struct err *e) ERR_MUST_CHECK;
void dedup_free(struct dedup *d);
bool dedup_seen(const struct dedup *d, struct hash128 id);
int dedup_prepare(struct dedup *d) ERR_MUST_CHECK;  /* memory for the next dedup_add: 0 or ERR_NOMEM */
void dedup_add(struct dedup *d, struct hash128 id); /* after dedup_prepare */
uint64_t dedup_count(const struct dedup *d);        /* ids ever added */
uint64_t dedup_forgotten(const struct dedup *d);    /* of these, ids that have left the window */

/* Checkpoint. begin (learner): what changed since the last one is handed over. next (store thread): 1 and the next
 * block as it stood at begin, 0 at the end. end (learner): when not durable, the same blocks are handed over again next
 * time. */
int dedup_checkpoint_begin(struct dedup *d) ERR_MUST_CHECK; /* 0 or ERR_NOMEM */
int dedup_checkpoint_next(struct dedup *d, uint32_t *block, struct slice *bytes);
void dedup_checkpoint_end(struct dedup *d, bool durable);

int dedup_load(struct dedup *d, uint32_t block, struct slice bytes, struct err *e) ERR_MUST_CHECK;
int dedup_load_end(struct dedup *d, uint64_t count, struct err *e) ERR_MUST_CHECK;

#endif
