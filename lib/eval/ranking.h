/* Exact full rankings: the ranks of targets among all candidates, and the best k, from sparse scores.
 *
 * An item with a score comes before all items without one; among those with a score the higher score comes first.
 * Equals, and the items without a score, are ordered by the fall-back, higher first, and then by number, lower first.
 * Excluded items and those that are no candidates are not there at all. A score that is NaN or -INFINITY counts as
 * none. */
#ifndef RANKD_EVAL_RANKING_H
#define RANKD_EVAL_RANKING_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/scores.h"

#define RANKING_NONE UINT32_MAX /* the rank of a target that is excluded or no candidate */

struct ranking_question {
    const struct scores *scores; /* of the ranking's n_items */
    const double *fallback;      /* (n_items), not NaN for candidates; NULL: by number alone */
    const uint32_t *candidates;  /* (n_candidates), each once */
    uint32_t n_candidates;
    const bool *is_candidate; /* (n_items) the same as flags */
    const uint32_t *excluded; /* (n_excluded), any order, each any number of times */
    uint32_t n_excluded;
    const uint32_t *targets; /* (n_targets); each is ranked among all others, targets of the same event included */
    uint32_t n_targets;
    uint32_t k; /* length of the list of the best; 0: ranks alone */
};

struct ranking; /* scratch memory of one thread */
int ranking_new(uint32_t n_items, struct ranking **out, struct err *e) ERR_MUST_CHECK; /* ERR_NOMEM */
void ranking_free(struct ranking *r);                                                  /* NULL is fine */

/* Fills ranks (n_targets), 0 = the best or RANKING_NONE, and best (k) with *n_best items, the best first; *n_best < k
 * only when fewer candidates are left. Takes time for each target and for the list: linear in the items with a score
 * while that decides, in all candidates otherwise. */
void ranking_ask(struct ranking *r, const struct ranking_question *q, uint32_t *ranks, uint32_t *best,
                 uint32_t *n_best);
/* The same by sorting everything: the oracle of the tests. ERR_NOMEM. */
int ranking_ask_naive(struct ranking *r, const struct ranking_question *q, uint32_t *ranks, uint32_t *best,
                      uint32_t *n_best, struct err *e) ERR_MUST_CHECK;

#endif
