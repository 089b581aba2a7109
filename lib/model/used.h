/* What the user of the event under way has: never a negative, never ranked. The learner's. */
#ifndef RANKD_MODEL_USED_H
#define RANKD_MODEL_USED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/item.h"
#include "lib/model/user.h"

#define USED_WORDS 128u /* of 64 bits */

struct used {
    uint64_t filter[USED_WORDS]; /* one bit by row; a hit is looked up in rows */
    uint32_t *rows;              /* (n) in the order they came */
    uint32_t n, cap;             /* a user's items and the largest event's; what is more is not remembered */
};

uint32_t used_most(const struct model_params *p);    /* cap */
struct used *used_new(const struct model_params *p); /* NULL when memory is refused */
void used_free(struct used *u);

/* The items of a user's n entries, as far as they still exist. */
void used_set(struct used *u, const struct items *t, const struct user_entry *entries, uint32_t n);
void used_add(struct used *u, uint32_t row);

bool used_lists(const struct used *u, uint32_t row); /* by looking through rows */
static inline bool used_has(const struct used *u, uint32_t row) {
    uint32_t bit = row & (USED_WORDS * 64 - 1);
    return u->filter[bit / 64] >> bit % 64 & 1 && used_lists(u, row);
}

#endif
