/* A point-in-time copy of everything an engine has changed, on its way into one LMDB transaction.
 *
 * begin and end run on the learner and take no longer than handing over lists; write runs on the store thread while the
 * learner goes on. A failed write changes nothing in memory: what was dirty goes with the next checkpoint. */
#ifndef RANKD_DAEMON_CHECKPOINT_H
#define RANKD_DAEMON_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/engine.h"
#include "lib/base/err.h"
#include "lib/store/store.h"

struct checkpoint;

struct checkpoint_figures {
    uint64_t sequence;                  /* up to which it holds */
    uint64_t bytes;                     /* of rows written */
    uint64_t blocks, users, neighbours; /* of each: values, or rows */
    uint64_t begin_ns, write_ns;        /* pause of the learner at begin; time to write and commit */
};

/* An object for reuse: one checkpoint at a time. reader: an epoch reader number for the store thread. */
int checkpoint_new(struct engine *g, unsigned reader, struct checkpoint **out, struct err *e) ERR_MUST_CHECK;
void checkpoint_free(struct checkpoint *c);

/* Learner, right after engine_publish. ERR_NOMEM: nothing has changed, try later. */
int checkpoint_begin(struct checkpoint *c, struct err *e) ERR_MUST_CHECK;
/* Store thread. All or nothing. */
int checkpoint_write(struct checkpoint *c, struct store *s, struct err *e) ERR_MUST_CHECK;
/* Learner, once write has returned. */
void checkpoint_end(struct checkpoint *c, bool durable);
struct checkpoint_figures checkpoint_figures(const struct checkpoint *c);

/* Bytes a checkpoint begun now would write, about. Learner. */
uint64_t checkpoint_estimate(const struct engine *g);
/* Half of a cache holds what is not durable: learning will have to wait for a checkpoint soon. Learner. */
bool checkpoint_pressing(const struct engine *g);
/* Anything at all to write? Learner. */
bool checkpoint_needed(const struct engine *g);

#endif
