/* Which items stand against a positive: a mixture of draws by share, without what the user has.
 *
 * Of the params.negatives draws of a pair, a share is hard (the best of a pool by the current score); of the others
 *   recent_share   come from the ring of recent events: an item as often as it stands in it,
 *   popular_share  from the same ring, an item in proportion to (times in it)^popular_exponent,
 *   and the rest is uniform over live items.
 * A share of all is not drawn: what was shown to the user lately and not taken (lib/model/exposed.h), each once, most
 * lately shown first; where there is less of it, the others fill the places. Shares are of all negatives. Never drawn:
 * what the user has, the positive, items that are not live or have expired. Draws are functions of the place of the
 * event (lib/base/draw.h). The learner's. */
#ifndef RANKD_MODEL_NEGATIVES_H
#define RANKD_MODEL_NEGATIVES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/draw.h"
#include "lib/model/model.h"
#include "lib/model/used.h"

/* How many of a pair's draws are hard. */
static inline uint32_t negatives_hard(const struct model_params *p) {
    return (uint32_t)(p->hard_share * (float)p->negatives + 0.5f);
}

/* How many of a pair's negatives may be exposed ones. */
static inline uint32_t negatives_exposed(const struct model_params *p) {
    return (uint32_t)(p->exposed_share * (float)p->negatives + 0.5f);
}

struct negatives_candidate { /* of the hard ones */
    float r;
    uint32_t row;
};

struct negatives { /* of one pair */
    uint32_t n;
    uint32_t n_exposed; /* how many of them were shown to the user */
    uint32_t rows[MODEL_MAX_NEGATIVES];
    float often[MODEL_MAX_NEGATIVES]; /* how many times more often it is drawn than by a uniform draw */
    float r[MODEL_MAX_NEGATIVES];     /* scores x . q + b of the hard ones; the others' are the caller's to fill */

    uint32_t first[MODEL_MAX_NEGATIVES]; /* scratch */
    struct negatives_candidate pool[MODEL_MAX_POOL];
};

/* All but the hard ones for the positive item: drawn ones, then exposed ones. Fewer are found where few items are left:
 * a draw is given up after ten tries. */
void negatives_draw(struct negatives *s, const struct model *m, const struct draw_place *place, uint32_t item);

/* One alone: an item that the user does not want. */
static inline void negatives_one(struct negatives *s, uint32_t row) {
    s->n = 1;
    s->n_exposed = 0;
    s->rows[0] = row;
    s->often[0] = 1;
}

/* Where the first tries of a pair with this key (DRAW_NEGATIVES) would be read, were it learned now: places that hold
 * item rows, into places (params.negatives), one for each that is not hard; their number. NULL for draws by
 * popularity. They follow from n_live of the items and the size of the ring; places stay readable as long as the model.
 */
uint32_t negatives_places(const struct model *m, uint64_t key, const uint32_t **places);

/* Adds the hard ones: of hard_pool further draws from the same mixture, scored by x (dim), the best by score without
 * the first hard_skip of them, which may be what the user would have liked. Their often is that of the mixture. */
void negatives_add_hard(struct negatives *s, const struct model *m, const struct draw_place *place, uint32_t item,
                        const float *x);

#endif
