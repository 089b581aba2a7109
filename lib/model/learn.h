/* One learning step: a loss (lib/model/loss.h) of one item against sampled negatives, by the scores r = x . q + b.
 * Steps are AdaGrad's (Duchi, Hazan, Singer 2011) with one sum a row. */
#ifndef RANKD_MODEL_LEARN_H
#define RANKD_MODEL_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/history.h"
#include "lib/model/model.h"

struct learn;
struct learn *learn_new(const struct model_params *p); /* NULL when memory is refused */
void learn_free(struct learn *l);

/* Which items the user has: for the negatives. n entries of the user's row. */
void learn_set_used(struct learn *l, const struct model *m, const struct user_entry *entries, uint32_t n);
void learn_add_used(struct learn *l, uint32_t row);
/* The rows that the user has into out, at most learn_most_used of them; the number. */
uint32_t learn_copy_used(const struct learn *l, uint32_t *out);
uint32_t learn_most_used(const struct model_params *p);
bool learn_is_used(const struct learn *l, uint32_t row);

/* Where the first tries for the negatives of a pair with this key would be read, were it learned now: places that hold
 * item rows, into places (params.negatives); their number. Places stay readable as long as the model. */
uint32_t learn_places(const struct model *m, uint64_t key, const uint32_t **places);

struct learn_target { /* what is learned of a user */
    uint32_t item;
    float weight;                   /* w > 0 */
    float count;                    /* times that the user has had the item, this one included */
    const struct draw_place *place; /* of the draws */
};
/* Trains the pair (user, item). user's p and p_sum, q and b of the item and of the negatives, y of the history's items
 * change. Learner. */
void learn_pair(struct learn *l, struct model *m, struct user_row *user, const struct history *h,
                const struct learn_target *target);

#endif
