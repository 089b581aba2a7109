/* What users did since nothing is learned any more: a frontend would send it along with its questions. */
#include <string.h>

#include "daemon/backtest.h"
#include "lib/base/mem.h"

struct backtest_frozen {
    const struct backtest_table *t;
    uint32_t *newest; /* (numbers of users) 1 + index of the newest use; 0: none */
    struct use {
        uint32_t item, before; /* before: as newest, of the same user */
    } * uses;                  /* (n) */
    size_t n, cap;
    struct slice *ids; /* (cap_ids) of one user, oldest first */
    size_t cap_ids;
};

int backtest_frozen_new(const struct backtest_table *t, struct backtest_frozen **out, struct err *e) {
    struct backtest_frozen *f = mem_zalloc(sizeof *f);
    if (f) f->newest = mem_zalloc((backtest_ids_count(t->user_ids) + 1) * sizeof *f->newest);
    if (!f || !f->newest) {
        mem_free(f);
        return err_set(e, ERR_NOMEM, "users", "no memory");
    }
    f->t = t;
    *out = f;
    return 0;
}

void backtest_frozen_free(struct backtest_frozen *f) {
    if (!f) return;
    mem_free(f->newest);
    mem_free(f->uses);
    mem_free(f->ids);
    mem_free(f);
}

int backtest_frozen_add(struct backtest_frozen *f, const struct backtest_event *ev, struct err *e) {
    size_t need = f->n + ev->n_items;
    if (need > f->cap) {
        struct use *uses = mem_realloc(f->uses, 2 * need * sizeof *uses);
        if (uses) f->uses = uses;
        struct slice *ids = mem_realloc(f->ids, 2 * need * sizeof *ids); /* one user may have them all */
        if (ids) f->ids = ids;
        if (!uses || !ids) return err_set(e, ERR_NOMEM, "users", "no memory for %zu uses of items", need);
        f->cap = f->cap_ids = 2 * need;
    }
    for (uint32_t k = 0; k < ev->n_items; k++) {
        f->uses[f->n] = (struct use){f->t->items[ev->items + k], f->newest[ev->user]};
        f->newest[ev->user] = (uint32_t)++f->n;
    }
    return 0;
}

void backtest_frozen_ask(struct backtest_frozen *f, uint32_t user, struct recommend_request *q) {
    size_t n = 0;
    for (uint32_t at = f->newest[user]; at; at = f->uses[at - 1].before) n++;
    size_t k = n;
    for (uint32_t at = f->newest[user]; at; at = f->uses[at - 1].before)
        f->ids[--k] = backtest_ids_text(f->t->item_ids, f->uses[at - 1].item);
    q->history = f->ids;
    q->n_history = n;
    if (q->keep_used) return;
    q->exclude = f->ids;
    q->n_exclude = n;
}
