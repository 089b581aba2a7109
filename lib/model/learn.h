/* One learning step: a loss (lib/model/loss.h) of one item against sampled negatives, by the scores r = x . q + b.
 * Steps are AdaGrad's (Duchi, Hazan, Singer 2011) with one sum a row. */
#ifndef RANKD_MODEL_LEARN_H
#define RANKD_MODEL_LEARN_H

#include <stdint.h>

#include "lib/model/history.h"
#include "lib/model/model.h"

struct learn;
struct learn *learn_new(void); /* NULL when memory is refused */
void learn_free(struct learn *l);

struct learn_target { /* what is learned of a user */
    uint32_t item;
    float weight;                   /* w > 0 */
    float count;                    /* times that the user has had the item, this one included */
    const struct draw_place *place; /* of the draws */
    uint32_t over;                  /* the one negative, an item that the user does not want; ITEM_NONE: draw them */
};
/* Trains the pair (user, item) against what m->used does not hold. user's p and p_sum, q and b of the item and of the
 * negatives, y of the history's items change. Learner. */
void learn_pair(struct learn *l, struct model *m, struct user_row *user, const struct history *h,
                const struct learn_target *target);

#endif
