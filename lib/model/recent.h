/* The items of the newest events: a ring that the negatives are drawn from, with how often each item is in it. */
#ifndef RANKD_MODEL_RECENT_H
#define RANKD_MODEL_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

#define RECENT_BLOCK 4096u /* entries in a stored block */

struct urn;

struct recent {
    uint32_t cap, max_items;
    uint64_t n;      /* events ever; the ring holds the newest min(n, cap) */
    uint32_t *ring;  /* (cap) item rows, event e at e % cap */
    uint32_t *often; /* (max_items) times an item stands in the ring */
    uint8_t *dirty;  /* (blocks) changed since they were last taken */
    uint32_t loaded; /* entries that stored blocks reached to */
    struct urn *urn; /* items by (times in the ring)^exponent; NULL unless recent_weigh was called */
    float exponent;
};

int recent_new(uint32_t cap, uint32_t max_items, struct recent **out, struct err *e) ERR_MUST_CHECK;
void recent_free(struct recent *r);
/* Makes ready for draws in proportion to (times in the ring)^exponent, 0 <= exponent <= 2; before anything is added.
 * ERR_NOMEM. */
int recent_weigh(struct recent *r, float exponent, struct err *e) ERR_MUST_CHECK;
/* An item drawn so by 64 uniform bits (recent_size > 0), and with which probability it is. */
uint32_t recent_draw_popular(const struct recent *r, uint64_t bits);
float recent_popular_part(const struct recent *r, uint32_t row);

void recent_add(struct recent *r, uint32_t row);
/* An erased item leaves the ring; the others keep their order. */
void recent_remove(struct recent *r, uint32_t row);
static inline uint32_t recent_size(const struct recent *r) { return r->n < r->cap ? (uint32_t)r->n : r->cap; }

/* The bytes of changed block number block (little-endian u32), borrowed until the next change, and marked as taken;
 * p NULL when unchanged, n 0 when the block holds nothing any more and is to be deleted. */
uint32_t recent_blocks(const struct recent *r);
struct slice recent_take(struct recent *r, uint32_t block);
/* ERR_MISMATCH: the state was made with another number of recent events. */
int recent_load(struct recent *r, uint32_t block, struct slice bytes, struct err *e) ERR_MUST_CHECK;
int recent_load_end(struct recent *r, uint64_t n, struct err *e) ERR_MUST_CHECK;
void recent_mark_dirty(struct recent *r);

#endif
