/* Which targets are judged, and what was known of each before its moment. */
#include <string.h>

#include "daemon/backtest.h"
#include "daemon/backtest_feature.h"
#include "daemon/config_priv.h"
#include "lib/base/mem.h"

#define RECENT_MS    (30 * 60 * 1000)
#define CHOOSE_SHARE 0.2 /* of the log, where the figures begin at its start */

struct item_past {
    int64_t first_ms; /* of its first event */
    uint32_t events;
};

struct user_past {
    int64_t last_ms; /* of the newest event */
    uint32_t items;  /* different ones */
};

struct choosing {
    const struct backtest_table *t;
    const struct backtest_protocol *p;
    struct backtest_cases *out;
    bool wanted[EVENT_MAX_TYPES];     /* types that are targets */
    struct backtest_feature *feature; /* NULL: none was asked for */
    struct backtest_pairs *had;
    struct item_past *items; /* (numbers of items) */
    struct user_past *users; /* (numbers of users) */
    uint64_t line;           /* of behaviour, from 0 */
};

static int find_targets(struct choosing *c, struct err *e) {
    const char *rest = c->p->targets;
    struct slice name;
    for (size_t k = 0; !rest && k < c->t->n_types; k++)
        c->wanted[k] = c->t->types[k].weight > 0 && !c->t->types[k].negative;
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

static int name_types(struct choosing *c, struct err *e) {
    int rc = 0;
    for (size_t k = 0; k < c->t->n_types && rc == 0; k++) {
        const struct backtest_type *type = &c->t->types[k];
        uint16_t index;
        rc = outcome_set_type(&c->out->set, slice_str(type->name), &index, e);
        if (rc < 0) break;
        c->out->set.types[index].events = type->events;
        c->out->set.types[index].configured = type->configured;
    }
    return rc;
}

/* Where the figures begin: as a share of the lines, or at a time. */
static void find_lines(struct choosing *c) {
    const struct backtest_protocol *p = c->p;
    uint64_t lines = c->t->lines, line = 0;
    c->out->figures_line = (uint64_t)(p->skip * (double)lines);
    if (p->until_ms != EVENT_NO_TIME) c->out->figures_line = lines;
    for (size_t at = 0; at < c->t->n && p->until_ms != EVENT_NO_TIME; at++) {
        const struct backtest_event *ev = &c->t->events[at];
        if (!backtest_is_behaviour(ev)) continue;
        if (ev->ts_ms >= p->until_ms) {
            c->out->figures_line = line;
            break;
        }
        line += ev->n_items;
    }
    if (!p->choosing) return;
    c->out->choose_to = p->choose < 0 ? c->out->figures_line : (uint64_t)(p->choose * (double)lines);
    if (p->choose < 0 && c->out->figures_line == 0) c->out->choose_to = (uint64_t)(CHOOSE_SHARE * (double)lines);
    if (p->choose >= 0 && c->out->figures_line < c->out->choose_to) c->out->figures_line = c->out->choose_to;
    c->out->choose_from = c->out->choose_to / 4; /* an empty model tells nothing about configurations */
}

static int add_case(struct choosing *c, size_t event, uint32_t item, const struct outcome_case *add, struct err *e) {
    struct backtest_cases *out = c->out;
    size_t n = out->set.n;
    if (n == out->cap) {
        size_t cap = out->cap ? 2 * out->cap : 4096;
        size_t *events = mem_realloc(out->event, cap * sizeof *events);
        if (events) out->event = events;
        uint32_t *targets = mem_realloc(out->target, cap * sizeof *targets);
        if (targets) out->target = targets;
        if (!events || !targets) return err_set(e, ERR_NOMEM, "cases", "no memory for %zu cases", cap);
        out->cap = cap;
    }
    out->event[n] = event;
    out->target[n] = item;
    return outcome_set_add(&out->set, add, e);
}

static bool is_judged(const struct choosing *c, const struct backtest_event *ev, uint32_t item) {
    bool for_choice = c->line >= c->out->choose_from && c->line < c->out->choose_to;
    if (c->line % c->p->every != 0 || (c->line < c->out->figures_line && !for_choice)) return false;
    if (!c->wanted[ev->type] || (c->p->skip_cold && c->items[item].events == 0)) return false;
    return c->p->repeats || !backtest_pairs_has(c->had, ev->user, item);
}

/* The targets of one moment, from what was before it: events [from, to). */
static int choose_moment(struct choosing *c, size_t from, size_t to, struct err *e) {
    const struct backtest_table *t = c->t;
    uint32_t flags = 0, n_lines = 0;
    int rc = 0;
    for (size_t at = from; at < to; at++) n_lines += backtest_is_behaviour(&t->events[at]) ? t->events[at].n_items : 0;
    if (n_lines > 1) flags = OUTCOME_BASKET;
    for (size_t at = from; at < to; at++) {
        const struct backtest_event *ev = &t->events[at];
        if (!backtest_is_behaviour(ev)) continue;
        const struct user_past *user = &c->users[ev->user];
        for (uint32_t k = 0; k < ev->n_items && rc == 0; k++, c->line++) {
            uint32_t number = t->items[ev->items + k];
            const struct item_past *item = &c->items[number];
            if (c->line == c->out->figures_line) {
                outcome_set_figures_begin(&c->out->set);
                c->out->figures_event = at;
                flags &= ~(uint32_t)OUTCOME_SAME_MOMENT;
            }
            if (!is_judged(c, ev, number)) continue;
            struct outcome_case one = {.ts_ms = ev->ts_ms,
                                       .user = ev->user,
                                       .item_age_ms = item->events ? ev->ts_ms - item->first_ms : -1,
                                       .item_events = item->events,
                                       .history = user->items,
                                       .type = ev->type,
                                       .flags = flags};
            if (c->feature) one.feature = backtest_feature_of(c->feature, ev->user, number);
            if (item->events && one.item_age_ms < 0) one.item_age_ms = 0;
            if (user->items && ev->ts_ms - user->last_ms <= RECENT_MS) one.flags |= OUTCOME_RECENT;
            if (backtest_pairs_has(c->had, ev->user, number)) one.flags |= OUTCOME_REPEAT;
            rc = add_case(c, at, number, &one, e);
            if (c->line < c->out->choose_to) c->out->n_choosing = c->out->set.n;
            flags |= OUTCOME_SAME_MOMENT;
        }
    }
    return rc;
}

static int learn_moment(struct choosing *c, size_t from, size_t to, struct err *e) {
    for (size_t at = from; at < to; at++) {
        const struct backtest_event *ev = &c->t->events[at];
        int taken = c->feature ? backtest_feature_take(c->feature, at, e) : 0;
        if (taken < 0) return taken;
        if (!backtest_is_behaviour(ev)) continue;
        struct user_past *user = &c->users[ev->user];
        for (uint32_t k = 0; k < ev->n_items; k++) {
            uint32_t number = c->t->items[ev->items + k];
            int rc = backtest_pairs_add(c->had, ev->user, number, e);
            if (rc < 0) return rc;
            if (!backtest_is_positive(c->t, ev)) continue; /* he has it no more, and it counts in nothing */
            user->items += (uint32_t)rc;
            if (c->items[number].events++ == 0) c->items[number].first_ms = ev->ts_ms;
        }
        if (user->last_ms < ev->ts_ms) user->last_ms = ev->ts_ms;
    }
    return 0;
}

static bool any_feature(const struct outcome_set *set) {
    for (size_t k = 0; k < set->n; k++)
        if (set->cases[k].feature != 0) return true;
    return false;
}

int backtest_cases_make(const struct backtest_log *l, const struct backtest_table *t, const struct backtest_protocol *p,
                        struct backtest_cases *out, struct err *e) {
    struct backtest_cases made = {.figures_event = t->n};
    struct choosing c = {.t = t, .p = p, .out = &made};
    outcome_set_init(&made.set);
    c.items = mem_zalloc((backtest_ids_count(t->item_ids) + 1) * sizeof *c.items);
    c.users = mem_zalloc((backtest_ids_count(t->user_ids) + 1) * sizeof *c.users);
    int rc = c.items && c.users ? 0 : err_set(e, ERR_NOMEM, "cases", "no memory");
    if (rc == 0) rc = backtest_pairs_new(&c.had, e);
    if (rc == 0) rc = find_targets(&c, e);
    if (rc == 0) rc = name_types(&c, e);
    if (rc == 0 && p->cohort) rc = backtest_feature_new(p->cohort, l, t, &made.set, &c.feature, e);
    if (rc == 0) find_lines(&c);
    for (size_t from = 0, to; from < t->n && rc == 0; from = to) {
        to = backtest_moment_end(t, from);
        rc = choose_moment(&c, from, to, e);
        if (rc == 0) rc = learn_moment(&c, from, to, e);
    }
    if (rc == 0 && p->cohort && made.set.n > 0 && !any_feature(&made.set))
        rc = err_set(e, ERR_RANGE, "cohort", "--cohort %s: no target has a feature of this name when it comes",
                     p->cohort);
    if (rc == 0 && made.figures_event == t->n) outcome_set_figures_begin(&made.set); /* no line gives figures */
    backtest_feature_free(c.feature);
    backtest_pairs_free(c.had);
    mem_free(c.items);
    mem_free(c.users);
    if (rc == 0)
        *out = made;
    else
        backtest_cases_free(&made);
    return rc;
}

void backtest_cases_free(struct backtest_cases *c) {
    outcome_set_free(&c->set);
    mem_free(c->event);
    mem_free(c->target);
    *c = (struct backtest_cases){.cap = 0};
}
