/* An urn of item rows: each is drawn in proportion to its weight, exactly, while weights change.
 *
 * Weights are integers, so that the urn is a function of them alone and not of how they came about. A binary indexed
 * tree (Fenwick 1994): a change and a draw take log2(n) steps. The learner's. */
#ifndef RANKD_MODEL_URN_H
#define RANKD_MODEL_URN_H

#include <stdint.h>

struct urn;
struct urn *urn_new(uint32_t n); /* rows 0 to n - 1, n >= 1, all of weight 0; NULL when memory is refused */
void urn_free(struct urn *u);

/* The sum of all weights must stay below 2^63. */
void urn_set(struct urn *u, uint32_t row, uint64_t weight);
uint64_t urn_weight(const struct urn *u, uint32_t row);
uint64_t urn_total(const struct urn *u);

/* The row drawn by 64 uniform bits; urn_total must not be 0. */
uint32_t urn_draw(const struct urn *u, uint64_t bits);

#endif
