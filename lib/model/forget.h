/* Forgetting: with its next event a row loses what the time since its last one takes, and what an alarm took.
 *
 * Embeddings and biases are multiplied by 2^-(d / row_half_life), AdaGrad sums by 2^-(d / sum_half_life), where d is
 * the time from the row's own newest event before (of the item: not its turns as a negative or in a history) to this
 * one; a late event takes nothing. With its first event after the model forgot (lib/model/drift.h) the row also keeps
 * only drift_sums of its sums, which raises its steps until they have grown again, and an item 2^-drift_age of its
 * count, as its neighbours do. With both half-lives 0 and no alarm nothing changes. Learner. */
#ifndef RANKD_MODEL_FORGET_H
#define RANKD_MODEL_FORGET_H

#include "lib/model/model.h"

/* Before the pair with an event of the item at t is learned, and before the event is counted. */
void forget_item(struct model *m, uint32_t row, int64_t t);
/* Before the user's vector is made for an event at t. */
void forget_user(const struct model *m, struct user_row *user, int64_t t);

#endif
