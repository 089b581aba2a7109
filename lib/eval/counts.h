/* Decayed counts of items. */
#ifndef RANKD_EVAL_COUNTS_H
#define RANKD_EVAL_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/forward.h"

struct counts {
    float *of;             /* (n_items) to be read at ts_ms times counts_fade(c, ts_ms) */
    uint32_t n_items, top; /* items from top on were never counted */
    struct forward decay;
};

/* half_life_ms 0: no decay. Memory: 4 bytes for each item. ERR_NOMEM. */
int counts_new(uint32_t n_items, int64_t half_life_ms, struct counts **out, struct err *e) ERR_MUST_CHECK;
void counts_free(struct counts *c); /* NULL is fine */
void counts_add(struct counts *c, uint32_t item, float weight, int64_t ts_ms);
float counts_fade(const struct counts *c, int64_t ts_ms);
size_t counts_size_bytes(const struct counts *c);

#endif
