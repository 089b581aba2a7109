/* Which pairs of items one event counts as neighbours. */
#ifndef RANKD_MODEL_PAIRS_H
#define RANKD_MODEL_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/history.h"
#include "lib/model/model.h"

/* Learner. Brings every neighbour row that pairs_count can change for an event of n items into the cache, before
 * anything changes. Errors of neighbours_touch. */
int pairs_touch(struct model *m, const struct user_row *user, const uint32_t *rows, uint32_t n,
                struct err *e) ERR_MUST_CHECK;

bool pairs_among(const uint32_t *rows, uint32_t n, uint32_t row); /* whether a row is among the event's first n */

/* Learner. Counts item number `index` of the event's rows, with weight w and time t, as coming
 *   after each of the newest params.neighbour_history items of the history of before the event, h, with w times
 *   what that item counts (history_part.near; forward, backward), and right after those of the newest event
 *   (successor);
 *   with as many items of the same event before it, in both directions: w * params.basket_weight as coming after
 *   and before each other, and w as in one basket (together, lately). */
void pairs_count(struct model *m, const struct history *h, const uint32_t *rows, uint32_t index, float w, int64_t t_ms);

#endif
