/* Inside a checkpoint: what the learner hands over and the store thread writes. */
#ifndef RANKD_DAEMON_CHECKPOINT_PRIV_H
#define RANKD_DAEMON_CHECKPOINT_PRIV_H

#include "daemon/checkpoint.h"

/* Changed by the learner from begin to the hand-over and from the result to the end; between them by the store thread.
 */
struct checkpoint {
    struct engine *g;
    unsigned reader;
    struct buf ops;   /* of this checkpoint, and of earlier ones that failed */
    struct buf small; /* puts of small rows: table u8, key u16, value u32, bytes; an empty value deletes */
    struct engine_run *runs;
    size_t n_runs;
    struct engine_bad *bad;
    size_t n_bad;
    uint64_t bad_next;
    struct user_list *users;
    size_t n_epochs; /* of the engine's that wait */
    struct buf row;  /* scratch of the store thread */
    void *block;     /* one item block */
    struct checkpoint_figures figures;
};

#endif
