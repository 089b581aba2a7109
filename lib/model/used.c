/* A list of rows with a filter of bits in front of it. */
#include "lib/model/used.h"

#include <string.h>

#include "lib/base/mem.h"

#define MOST_OF_EVENT 65536u

uint32_t used_most(const struct model_params *p) { return p->user_items + MOST_OF_EVENT; }

struct used *used_new(const struct model_params *p) {
    struct used *u = mem_zalloc(sizeof *u);
    if (!u) return NULL;
    u->cap = used_most(p);
    u->rows = mem_alloc(u->cap * sizeof *u->rows);
    if (u->rows) return u;
    mem_free(u);
    return NULL;
}

void used_free(struct used *u) {
    if (!u) return;
    mem_free(u->rows);
    mem_free(u);
}

void used_add(struct used *u, uint32_t row) {
    uint32_t bit = row & (USED_WORDS * 64 - 1);
    u->filter[bit / 64] |= UINT64_C(1) << bit % 64;
    if (u->n < u->cap) u->rows[u->n++] = row;
}

void used_set(struct used *u, const struct items *t, const struct user_entry *entries, uint32_t n) {
    memset(u->filter, 0, sizeof u->filter);
    u->n = 0;
    for (uint32_t k = 0; k < n; k++)
        if ((uint16_t)item_head(t, entries[k].row)->generation == entries[k].generation) used_add(u, entries[k].row);
}

bool used_lists(const struct used *u, uint32_t row) {
    for (uint32_t k = 0; k < u->n; k++)
        if (u->rows[k] == row) return true;
    return false;
}
