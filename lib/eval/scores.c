/* Sparse scores. */
#include "lib/eval/scores.h"

#include "lib/base/check.h"
#include "lib/base/mem.h"

int scores_new(uint32_t n_items, struct scores **out, struct err *e) {
    CHECK(n_items > 0);
    struct scores *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, NULL, "no memory");
    s->n_items = n_items;
    s->of = mem_map((size_t)n_items * sizeof *s->of);
    s->items = mem_map((size_t)n_items * sizeof *s->items);
    if (!s->of || !s->items) {
        scores_free(s);
        return err_set(e, ERR_NOMEM, NULL, "no memory for the scores of %u items", n_items);
    }
    for (uint32_t i = 0; i < n_items; i++) s->of[i] = SCORES_NONE;
    *out = s;
    return 0;
}

void scores_free(struct scores *s) {
    if (!s) return;
    mem_unmap(s->of, (size_t)s->n_items * sizeof *s->of);
    mem_unmap(s->items, (size_t)s->n_items * sizeof *s->items);
    mem_free(s);
}

void scores_clear(struct scores *s) {
    for (uint32_t k = 0; k < s->n; k++) s->of[s->items[k]] = SCORES_NONE;
    s->n = 0;
}
