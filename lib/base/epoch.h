/* Epoch-based reclamation (Fraser 2004): readers see memory that its one writer has already replaced, safely.
 *
 * One writer thread replaces blocks and retires the old ones; up to n_readers registered readers read between
 * epoch_enter and epoch_leave and never wait. A retired block is freed once every reader that could have seen it has
 * left. A reader that never leaves stops reclamation: sections are short (one request). */
#ifndef RANKD_BASE_EPOCH_H
#define RANKD_BASE_EPOCH_H

#include <stddef.h>
#include <stdint.h>

struct epoch;

struct epoch *epoch_new(unsigned n_readers); /* NULL when memory is refused */
void epoch_free(struct epoch *e);            /* frees what is still retired; no reader may be inside; NULL is fine */

/* Reader number r (0 <= r < n_readers) belongs to one thread at a time. Not nested. */
void epoch_enter(struct epoch *e, unsigned r);
void epoch_leave(struct epoch *e, unsigned r);

/* Writer only. The block is no longer reachable for readers that enter from now on. size is for the count only. Never
 * fails: when memory for one more entry is refused, it waits until readers leave. */
void epoch_retire(struct epoch *e, void *block, size_t size, void (*release)(void *block));
/* Writer only: frees what no reader can see any more. Cheap; called once a batch. */
void epoch_reclaim(struct epoch *e);
/* Writer only: bytes retired and not yet freed. */
size_t epoch_pending_bytes(const struct epoch *e);

#endif
