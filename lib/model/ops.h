/* Changes of id and text rows since the last checkpoint began, in order, in one buffer (see model_ops_next). */
#ifndef RANKD_MODEL_OPS_H
#define RANKD_MODEL_OPS_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/model/model.h"

/* 0, or ERR_NOMEM with the buffer as before. */
int ops_put(struct buf *ops, enum model_op op, struct slice key, struct slice value);
/* Makes sure that the next puts of n bytes in all (with OPS_HEAD for each) succeed; 0 or ERR_NOMEM. n <= OPS_ROOM. */
#define OPS_HEAD 7u
#define OPS_ROOM 4096u
int ops_room(struct buf *ops, size_t n);
int ops_put_row(struct buf *ops, enum model_op op, uint32_t row, struct slice value); /* key: the row, big-endian */

#endif
