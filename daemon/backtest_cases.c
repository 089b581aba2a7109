/* Which targets are judged. */
#include <string.h>

#include "daemon/backtest.h"
#include "daemon/config_priv.h"
#include "lib/base/mem.h"

struct choosing {
    const struct backtest_table *t;
    const struct backtest_protocol *p;
    struct backtest_cases *out;
    bool wanted[EVENT_MAX_TYPES]; /* types that are targets */
    struct backtest_pairs *had;
    uint32_t *touched; /* (items) events of each so far */
    size_t line, first;
};

static int find_targets(struct choosing *c, struct err *e) {
    const char *rest = c->p->targets;
    struct slice name;
    for (size_t k = 0; !rest && k < c->t->n_types; k++) c->wanted[k] = c->t->types[k].weight > 0;
    while (rest && config_list_next(&rest, &name)) {
        size_t k = 0;
        while (k < c->t->n_types && !slice_is(name, c->t->types[k].name)) k++;
        if (k == c->t->n_types)
            return err_set(e, ERR_RANGE, "targets", "--targets %.*s: neither configured nor in the log", (int)name.n,
                           name.p);
        c->wanted[k] = true;
    }
    return 0;
}

static int add_case(struct backtest_cases *out, const struct backtest_case *add, struct err *e) {
    if (out->n == out->cap) {
        size_t cap = out->cap ? 2 * out->cap : 4096;
        struct backtest_case *cases = mem_realloc(out->cases, cap * sizeof *cases);
        if (!cases) return err_set(e, ERR_NOMEM, "cases", "no memory for %zu cases", cap);
        out->cases = cases;
        out->cap = cap;
    }
    out->cases[out->n++] = *add;
    return 0;
}

/* The targets of one moment, from what was before it: events [from, to). */
static int choose_moment(struct choosing *c, size_t from, size_t to, struct err *e) {
    int rc = 0;
    for (size_t at = from; at < to; at++) {
        const struct backtest_event *ev = &c->t->events[at];
        if (!backtest_is_behaviour(ev)) continue;
        for (uint32_t k = 0; k < ev->n_items && rc == 0; k++, c->line++) {
            uint32_t item = c->t->items[ev->items + k];
            struct backtest_case one = {.event = at, .line = c->line, .item = item, .cold = c->touched[item] == 0};
            bool judged = c->line % c->p->every == 0 && c->line >= c->first && c->wanted[ev->type];
            if (!judged || (one.cold && c->p->skip_cold)) continue;
            if (!c->p->repeats && backtest_pairs_has(c->had, ev->user, item)) continue;
            rc = add_case(c->out, &one, e);
        }
    }
    return rc;
}

static int learn_moment(struct choosing *c, size_t from, size_t to, struct err *e) {
    for (size_t at = from; at < to; at++) {
        const struct backtest_event *ev = &c->t->events[at];
        if (!backtest_is_behaviour(ev)) continue;
        for (uint32_t k = 0; k < ev->n_items; k++) {
            uint32_t item = c->t->items[ev->items + k];
            int rc = backtest_pairs_add(c->had, ev->user, item, e);
            if (rc < 0) return rc;
            c->touched[item]++;
        }
    }
    return 0;
}

int backtest_cases_make(const struct backtest_table *t, const struct backtest_protocol *p, struct backtest_cases *out,
                        struct err *e) {
    struct backtest_cases made = {.n = 0};
    struct choosing c = {.t = t, .p = p, .out = &made, .first = (size_t)(p->skip * (double)t->lines)};
    c.touched = mem_zalloc((backtest_ids_count(t->item_ids) + 1) * sizeof *c.touched);
    int rc = c.touched ? 0 : err_set(e, ERR_NOMEM, "cases", "no memory");
    if (rc == 0) rc = backtest_pairs_new(&c.had, e);
    if (rc == 0) rc = find_targets(&c, e);
    for (size_t from = 0, to; from < t->n && rc == 0; from = to) {
        to = backtest_moment_end(t, from);
        rc = choose_moment(&c, from, to, e);
        if (rc == 0) rc = learn_moment(&c, from, to, e);
    }
    backtest_pairs_free(c.had);
    mem_free(c.touched);
    if (rc == 0)
        *out = made;
    else
        backtest_cases_free(&made);
    return rc;
}

void backtest_cases_free(struct backtest_cases *c) {
    mem_free(c->cases);
    *c = (struct backtest_cases){.n = 0};
}
