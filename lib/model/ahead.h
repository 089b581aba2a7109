/* Brings what coming events will need from memory while earlier ones are learned. Hints: they change speed alone.
 *
 * An event needs its user and the rows of its item and of its negatives: some 70 random places, most found only by
 * reading others first. Each call of ahead_expect begins with one event and takes the MODEL_AHEAD - 1 before it a
 * station further; between the calls nothing is kept but hashes, the key of the draws, and places in arrays that never
 * move. */
#ifndef RANKD_MODEL_AHEAD_H
#define RANKD_MODEL_AHEAD_H

#include <stdint.h>

#include "lib/model/model.h"

struct ahead;
struct ahead *ahead_new(void); /* NULL when memory is refused */
void ahead_free(struct ahead *a);

/* As model_expect. Learner. */
void ahead_expect(struct ahead *a, const struct model *m, const struct model_event *ev);

/* Brings the next AHEAD_ROWS of the rows that the negatives of the next event want (fewer when all were); called now
 * and then by the step of the one that is being learned. In such portions because a prefetch waits for its address to
 * be translated: one row at a time paid for each translation (with 1 M items 5.2 M steps/s, in portions 7.0 M, all at
 * once 6.4 M). Learner. */
#define AHEAD_ROWS 8u
void ahead_bring(struct ahead *a, const struct model *m);

/* What negatives_places would find now for the event that is being learned, if its hint came in time and nothing has
 * changed since; else NULL. Learner. */
const uint32_t *const *ahead_places(const struct ahead *a, const struct model *m, uint64_t key);

#endif
