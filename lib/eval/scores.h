/* Sparse scores of items: a baseline fills in those it has something to say about and leaves the rest out. */
#ifndef RANKD_EVAL_SCORES_H
#define RANKD_EVAL_SCORES_H

#include <math.h>
#include <stdint.h>

#include "lib/base/err.h"

#define SCORES_NONE (-INFINITY) /* the item has no score */

/* Filled between scores_clear calls through the functions below; read freely. */
struct scores {
    float *of;       /* (n_items) SCORES_NONE where there is none */
    uint32_t *items; /* (n) those that have one, in the order in which they got it */
    uint32_t n;
    uint32_t n_items; /* bound of item numbers */
};

/* For items below n_items, at least 1; all without a score. ERR_NOMEM. One thread at a time. */
int scores_new(uint32_t n_items, struct scores **out, struct err *e) ERR_MUST_CHECK;
void scores_free(struct scores *s); /* NULL is fine */

void scores_clear(struct scores *s); /* costs what was filled in */

/* value: anything finite */
static inline void scores_set(struct scores *s, uint32_t item, float value) {
    if (s->of[item] == SCORES_NONE) s->items[s->n++] = item;
    s->of[item] = value;
}

/* Adds to the score; one that the item lacks counts as 0. */
static inline void scores_add(struct scores *s, uint32_t item, float value) {
    if (s->of[item] == SCORES_NONE) {
        s->items[s->n++] = item;
        s->of[item] = value;
    } else {
        s->of[item] += value;
    }
}

#endif
