/* Which pairs of features one event counts: what came after what in the newest items of a user. */
#ifndef RANKD_MODEL_SUCCESSION_H
#define RANKD_MODEL_SUCCESSION_H

#include <stdint.h>

#include "lib/model/history.h"
#include "lib/model/model.h"

#define SUCCESSION_MAX 16 /* of params.succession_history and params.succession_features */

/* Learner. Brings every row of pairs that succession_count can change for an event of n items into the cache, before
 * anything changes. Errors of neighbours_touch. */
int succession_touch(struct model *m, const struct user_row *user, const uint32_t *rows, uint32_t n,
                     struct err *e) ERR_MUST_CHECK;
/* Learner. Each of the item's first params.succession_features features comes after each of those of the newest
 * params.succession_history items of the history of before the event, h, with w * kappa^rank (params.neighbour_decay).
 */
void succession_count(struct model *m, const struct history *h, uint32_t item, float w, int64_t t_ms);

#endif
