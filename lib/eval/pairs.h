/* Decayed counts of ordered pairs of items: for each item, those that were counted most with it. */
#ifndef RANKD_EVAL_PAIRS_H
#define RANKD_EVAL_PAIRS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/forward.h"

/* To be read at ts_ms times pairs_fade(p, ts_ms). */
struct pairs_row {
    uint32_t *items; /* (n) */
    float *counts;   /* (n) above 0 */
    uint32_t n, room;
};

struct pairs;

/* For items below n_items, at most `most` pairs for each; half_life_ms 0: counts do not decay. Memory: 24 bytes for
 * each item and 8 for each pair. ERR_NOMEM. */
int pairs_new(uint32_t n_items, uint32_t most, int64_t half_life_ms, struct pairs **out, struct err *e) ERR_MUST_CHECK;
void pairs_free(struct pairs *p); /* NULL is fine */

/* Counts weight, above 0, for (from, to) at ts_ms. In a full row a new pair takes the place of the one with the least
 * count. ERR_NOMEM leaves the counts as they were. */
int pairs_add(struct pairs *p, uint32_t from, uint32_t to, float weight, int64_t ts_ms, struct err *e) ERR_MUST_CHECK;

const struct pairs_row *pairs_row(const struct pairs *p, uint32_t from); /* valid until the next pairs_add */
float pairs_fade(const struct pairs *p, int64_t ts_ms);
size_t pairs_size_bytes(const struct pairs *p);

#endif
