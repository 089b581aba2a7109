/* Segments: the users who share a feature ("f:country=de"), and what they take. Somebody who was described and has done
 * nothing yet wants what others of his kind want (demographic filtering: Pazzani 1999).
 *
 * Row P_v (kind SEGMENT of the neighbours) counts the pairs (user, item) that teach, of users with feature v, for each
 * item, N_v all of them; N counts the events of everybody, each decayed with params.count_half_life_ms, as N_i of an
 * item is. lib/model/terms.h has what they become.
 *
 * A text is hashed to one of SEGMENT_ROWS rows (Weinberger et al. 2009): nothing has to be found, numbered or given
 * back, whatever texts come, and two that share a row are one segment. The features of a user stand in his row
 * (lib/model/user.h).
 *
 * Learner, but where any thread is said. */
#ifndef RANKD_MODEL_SEGMENT_H
#define RANKD_MODEL_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/model/history.h"
#include "lib/model/params.h"

#define SEGMENT_ALL     SEGMENT_ROWS /* the row of N: everybody, described or not */
#define SEGMENT_BLOCK   256u         /* rows of a stored block */
#define SEGMENT_BLOCKS  (SEGMENT_ROWS / SEGMENT_BLOCK + 1)
#define SEGMENT_LEARNER UINT32_MAX /* in place of a reader's number */

struct model;
struct terms;
struct segments {
    const struct model_params *params;
    _Atomic double *log_count; /* (SEGMENT_ROWS + 1) log2 of N_v, plus clock / half-life; ITEM_NO_COUNT */
    bool dirty[SEGMENT_BLOCKS];
    _Atomic uint32_t n_known; /* segments of which something is known; any thread */
};

/* ERR_NOMEM. params outlive it. */
int segments_new(const struct model_params *p, struct segments **out, struct err *e) ERR_MUST_CHECK;
void segments_free(struct segments *s);

/* Rows of the first params.user_features of n texts, each row once, into out; their number. */
uint32_t segments_rows(const struct model_params *p, const struct slice *text, size_t n, uint16_t *out);

/* Any thread. */
static inline double segment_log_count(const struct segments *s, uint32_t row) {
    return atomic_load_explicit(&s->log_count[row], memory_order_relaxed);
}

/* Adds the term of the segments of h, at the moment of s. Inside an epoch section of `reader`, which is left while a
 * row is read from the backing; or on the learner (SEGMENT_LEARNER). Errors of neighbours_read. */
int segments_fill(struct terms *s, const struct model *m, const struct history *h, unsigned reader,
                  struct err *e) ERR_MUST_CHECK;

/* Brings every row that segments_count can change for an event of n items of a user with this history into the cache,
 * before anything changes. Errors of neighbours_touch. */
int segments_touch(struct model *m, const struct history *h, uint32_t n, struct err *e) ERR_MUST_CHECK;
/* A pair with the item that counts w, at t, for the segments of the history. */
void segments_count(struct model *m, const struct history *h, uint32_t item, float w, int64_t t_ms);
/* An event that counts w, at t. */
void segments_count_all(struct model *m, float w, int64_t t_ms);

/* The stored form of a changed block (log_count of its rows), appended to *out and marked as taken; false when it is
 * unchanged. */
bool segments_take(struct segments *s, uint32_t block, struct buf *out);
void segments_mark_dirty(struct segments *s);
/* Before any other thread runs. ERR_CORRUPT. */
int segments_load(struct segments *s, uint32_t block, struct slice value, struct err *e) ERR_MUST_CHECK;

#endif
