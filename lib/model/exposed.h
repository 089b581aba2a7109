/* What was shown to a user lately: items that he saw and did not take stand against what he takes.
 *
 * The newest params.exposed_items of them are kept in the user's row with the time they were shown at; of the row they
 * have everything else: they are stored, copied for checkpoints, digested and erased with it. Kept only where
 * params.exposed_share is above 0. The learner's. */
#ifndef RANKD_MODEL_EXPOSED_H
#define RANKD_MODEL_EXPOSED_H

#include <stdint.h>

#include "lib/model/model.h"

struct exposed { /* what stands against the event under way, most lately shown first */
    uint32_t n;
    uint32_t rows[MODEL_MAX_EXPOSED];
};

/* The items (n) were shown to the user at ts_ms (from model_event_time), the first of them in the best place. Those not
 * known are passed over; of more than params.exposed_items the first are kept. An item shown again is remembered once,
 * at its newest time. Errors of users_touch and users_reserve: nothing was remembered, to be given again. */
int exposed_show(struct model *m, struct slice user, const struct slice *items, size_t n, int64_t ts_ms,
                 struct err *e) ERR_MUST_CHECK;

/* What was shown to the user within params.exposed_age_ms before ts_ms, without the rows (n_rows) of the event itself
 * and items erased since. Whether he has it, or it may stand as a negative, is not looked at. */
void exposed_set(struct exposed *x, const struct model *m, const struct user_row *user, const uint32_t *rows,
                 uint32_t n_rows, int64_t ts_ms);

#endif
