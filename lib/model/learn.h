/* One learning step: weighted Bayesian personalised ranking of one item over sampled negatives.
 *
 *   L = - w sum_{j in J} a_j log sigmoid(r_i - r_j),   r = x . q + b,   a_j = softmax_j(r_j - log often_j), held
 * constant
 *
 * BPR: Rendle, Freudenthaler, Gantner, Schmidt-Thieme 2009. The weights a_j are those of a softmax over the negatives;
 * often_j is how much more often j is drawn than uniformly. Steps are AdaGrad's (Duchi, Hazan, Singer 2011) with one
 * sum a row. */
#ifndef RANKD_MODEL_LEARN_H
#define RANKD_MODEL_LEARN_H

#include <stdint.h>

#include "lib/model/history.h"
#include "lib/model/model.h"

struct learn;
struct learn *learn_new(const struct model_params *p); /* NULL when memory is refused */
void learn_free(struct learn *l);

/* Which items the user has: for the negatives. n entries of the user's row. */
void learn_set_used(struct learn *l, const struct model *m, const struct user_entry *entries, uint32_t n);
void learn_add_used(struct learn *l, uint32_t row);

/* Trains the pair (user, item) with weight w > 0. user's p and p_sum, q and b of the item and of the negatives, y of
 * the history's items change. key: of the draws. Learner. */
void learn_pair(struct learn *l, struct model *m, struct user_row *user, const struct history *h, uint32_t item,
                float w, uint64_t key);

#endif
