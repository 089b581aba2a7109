/* Decoding a log into numbers. */
#include "daemon/backtest_table.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/config_priv.h"
#include "daemon/engine.h"
#include "daemon/sources.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/dedup.h"
#include "proto/jdoc.h"

#define HOUR_MS INT64_C(3600000)

struct decoding {
    const struct backtest_log *log;
    const struct backtest_input *in;
    struct backtest_table *t;
    struct event_rules rules;
    struct source *sources; /* (log.n_sources) */
    struct event_arena *arena;
    struct dedup *dedup;
    bool moments;
    uint32_t moment; /* of the newest behaviour, from 0 */
    bool any;
    int64_t last_ms;
    uint32_t last_user;
};

/* Named in the configuration with enabled = no. */
static bool is_taken_away(const struct config *c, const char *name) {
    char option[CONFIG_MAX_NAME];
    snprintf(option, sizeof option, "type.%s.enabled", name);
    return !config_type_of(c, name) && config_origin(c, option).where != CONFIG_DEFAULT;
}

static void add_type(struct decoding *d, const char *name) {
    struct backtest_type *type = &d->t->types[d->t->n_types++];
    *type = (struct backtest_type){.weight = 1};
    snprintf(type->name, sizeof type->name, "%s", name);
    memcpy(d->rules.types[d->rules.n_types++], type->name, sizeof type->name);
}

static int begin_rules(struct decoding *d, struct err *e) {
    const struct config *c = d->in->config;
    char types[CONFIG_MAX_TYPES][33] = {{0}};
    for (size_t k = 0; k < c->n_types; k++) {
        struct backtest_type *type = &d->t->types[k];
        memcpy(types[k], c->types[k].name, sizeof types[k]);
        memcpy(type->name, c->types[k].name, sizeof type->name);
        type->configured = true;
        type->weight = (float)c->types[k].weight;
        type->negative = c->types[k].negative;
    }
    d->t->n_types = c->n_types;
    int rc = engine_rules(c, types, c->n_types, &d->rules, e);
    const char *given = d->in->type;
    if (rc == 0 && given && strlen(given) < sizeof types[0] && c->n_types < EVENT_MAX_TYPES &&
        !config_type_of(c, given) && !is_taken_away(c, given))
        add_type(d, given);
    return rc;
}

/* The rights of the sources follow from the rules: made anew when a type came in. */
static int find_sources(struct decoding *d, struct err *e) {
    struct source *sources;
    int rc = backtest_log_sources(d->log, d->in->config, &d->rules, d->in->type, &sources, e);
    if (rc < 0) return rc;
    backtest_log_sources_free(d->log, d->sources);
    d->sources = sources;
    return 0;
}

/* The type that an event of an unknown one names; empty when it cannot be told. */
static void type_of(const struct event_rules *rules, struct slice text, char out[33]) {
    struct jdoc *j;
    out[0] = '\0';
    if (jdoc_parse(text, &j, NULL) < 0) return;
    for (size_t k = 0; k < rules->type.n; k++) {
        struct slice name = jdoc_text(jdoc_get(jdoc_root(j), rules->type.name[k]), "");
        if (name.n == 0 || name.n > 32 || memchr(name.p, '\0', name.n)) continue;
        memcpy(out, name.p, name.n);
        out[name.n] = '\0';
    }
    jdoc_free(j);
}

/* 1: a new type was added and the record is to be decoded again. */
static int learn_type(struct decoding *d, struct slice text, struct err *e) {
    char name[33];
    type_of(&d->rules, text, name);
    if (!name[0] || is_taken_away(d->in->config, name)) return 0;
    if (d->t->n_types == EVENT_MAX_TYPES) {
        d->t->types_full++;
        return 0;
    }
    add_type(d, name);
    int rc = find_sources(d, e);
    return rc < 0 ? rc : 1;
}

static int add_item(struct decoding *d, struct backtest_event *ev, struct slice id, struct err *e) {
    struct backtest_table *t = d->t;
    if (t->n_items == t->cap_items) {
        size_t cap = t->cap_items ? 2 * t->cap_items : 4096;
        uint32_t *items = mem_realloc(t->items, cap * sizeof *items);
        if (!items) return err_set(e, ERR_NOMEM, "log", "no memory for %zu lines", cap);
        t->items = items;
        t->cap_items = cap;
    }
    int rc = backtest_ids_number(t->item_ids, id, &t->items[t->n_items], e);
    if (rc < 0) return rc;
    t->n_items++;
    ev->n_items++;
    return 0;
}

/* Behaviour of the same user at the same stamp goes on with the moment. */
static void number_moment(struct decoding *d, struct backtest_event *ev) {
    bool same = d->moments && d->any && ev->user == d->last_user && ev->ts_ms == d->last_ms;
    if (d->any && !same) d->moment++;
    d->any = true;
    d->last_user = ev->user;
    d->last_ms = ev->ts_ms;
    ev->moment = d->moment;
}

static int note_event(struct decoding *d, const struct event *from, struct backtest_event *ev, struct err *e) {
    struct backtest_table *t = d->t;
    int rc = 0;
    ev->kind = (uint8_t)from->kind;
    t->kinds[from->kind]++;
    t->featured[from->kind] += from->n_features > 0;
    if (from->kind != EVENT_BEHAVIOUR) d->last_user = BACKTEST_NO_ID;
    if (from->kind == EVENT_DELETE) {
        if (from->user.n)
            backtest_ids_forget(t->user_ids, from->user);
        else
            backtest_ids_forget(t->item_ids, from->items[0].id);
        return 0;
    }
    if (from->user.n) rc = backtest_ids_number(t->user_ids, from->user, &ev->user, e);
    for (size_t k = 0; k < from->n_items && rc == 0; k++) rc = add_item(d, ev, from->items[k].id, e);
    if (rc < 0 || from->kind != EVENT_BEHAVIOUR) return rc;
    ev->type = (uint8_t)from->type;
    t->types[from->type].events += from->n_items;
    t->lines += from->n_items;
    number_moment(d, ev);
    return 0;
}

/* EVENT_OK or why the daemon would skip it; a negative code. */
static int judge(struct decoding *d, size_t at, struct event *ev, struct err *why) {
    const struct backtest_record *r = &d->log->records[at];
    struct event_context c = source_context(&d->sources[r->source], &d->rules);
    struct slice text = backtest_text(d->log, r);
    c.key = backtest_key(d->log, r);
    c.record_ms = backtest_record_ms(d->log, d->t, at);
    for (;;) {
        enum event_reason reason = event_decode(text, &c, d->arena, ev, why);
        if (reason == EVENT_NO_MEMORY) return ERR_NOMEM;
        if (reason != EVENT_UNKNOWN_TYPE) return (int)reason;
        int rc = learn_type(d, text, why);
        if (rc <= 0) return rc < 0 ? rc : EVENT_UNKNOWN_TYPE;
        c.allow = d->sources[r->source].allow;
    }
}

static int note_record(struct decoding *d, size_t at, struct err *e) {
    const struct backtest_record *r = &d->log->records[at];
    struct backtest_event *ev = &d->t->events[at];
    struct event from;
    struct err why = {0};
    event_arena_reset(d->arena);
    *ev = (struct backtest_event){.user = BACKTEST_NO_ID, .items = d->t->n_items, .ts_ms = EVENT_NO_TIME};
    int verdict = judge(d, at, &from, &why);
    if (verdict < 0) return err_set(e, verdict, why.field, "%s", why.text);
    struct hash128 id = {0, 0};
    if (verdict == EVENT_OK) {
        int64_t arrival = r->arrival_ms != EVENT_NO_TIME ? r->arrival_ms : from.arrival_ms;
        ev->ts_ms = from.ts_ms != EVENT_NO_TIME ? from.ts_ms : arrival;
        if (from.id.n) id = hash128(from.id.p, from.id.n);
        if (from.id.n && dedup_seen(d->dedup, id))
            verdict = EVENT_DUPLICATE;
        else if (ev->ts_ms == EVENT_NO_TIME)
            verdict = EVENT_NO_TIME_AT_ALL;
    }
    ev->reason = (uint8_t)verdict;
    d->t->reasons[verdict]++;
    if (verdict != EVENT_OK) {
        if (d->in->reject && verdict != EVENT_DUPLICATE)
            d->in->reject(d->in->arg, r->line ? d->log->files[r->file] : d->log->sources[r->source].name,
                          r->line ? r->line : r->offset, event_reason_name((enum event_reason)verdict), why.text);
        return 0;
    }
    if (from.id.n) {
        if (dedup_prepare(d->dedup) < 0) return err_set(e, ERR_NOMEM, "log", "no memory for ids");
        dedup_add(d->dedup, id);
    }
    return note_event(d, &from, ev, e);
}

/* Descriptions in front of the log are of the time when it begins. */
static int find_begin(struct decoding *d, struct err *e) {
    struct event from;
    struct err why = {0};
    d->t->begin_ms = EVENT_NO_TIME;
    for (size_t at = d->log->n_described; at < d->log->n && d->t->begin_ms == EVENT_NO_TIME; at++) {
        event_arena_reset(d->arena);
        int verdict = judge(d, at, &from, &why);
        if (verdict < 0) return err_set(e, verdict, why.field, "%s", why.text);
        if (verdict == EVENT_OK) d->t->begin_ms = from.ts_ms;
    }
    return 0;
}

int backtest_table_make(const struct backtest_log *l, const struct backtest_input *in, bool moments,
                        struct backtest_table *out, struct err *e) {
    struct backtest_table t = {.n = l->n};
    struct decoding d = {.log = l, .in = in, .t = &t, .moments = moments};
    t.events = mem_zalloc((l->n + 1) * sizeof *t.events);
    d.arena = event_arena_new();
    int rc = t.events && d.arena ? 0 : err_set(e, ERR_NOMEM, "log", "no memory for %zu events", l->n);
    if (rc == 0) rc = backtest_ids_new(&t.user_ids, e);
    if (rc == 0) rc = backtest_ids_new(&t.item_ids, e);
    if (rc == 0) rc = dedup_new((uint64_t)in->config->dedup_window, &d.dedup, e);
    if (rc == 0) rc = begin_rules(&d, e);
    if (rc == 0) rc = find_sources(&d, e);
    if (rc == 0 && l->n_described > 0) rc = find_begin(&d, e);
    for (size_t k = 0; k < l->n && rc == 0; k++) rc = note_record(&d, k, e);
    backtest_log_sources_free(l, d.sources);
    event_arena_free(d.arena);
    dedup_free(d.dedup);
    if (rc == 0)
        *out = t;
    else
        backtest_table_free(&t);
    return rc;
}

uint64_t backtest_late_lines(const struct backtest_table *t) {
    uint64_t late = 0;
    int64_t newest = INT64_MIN;
    for (size_t k = 0; k < t->n; k++) {
        const struct backtest_event *ev = &t->events[k];
        if (!backtest_is_behaviour(ev) || ev->ts_ms == EVENT_NO_TIME) continue;
        if (newest != INT64_MIN && ev->ts_ms < newest - HOUR_MS) late += ev->n_items;
        if (ev->ts_ms > newest) newest = ev->ts_ms;
    }
    return late;
}

int backtest_apart_lines(const struct backtest_table *t, uint64_t *lines, struct err *e) {
    struct last {
        int64_t ts_ms;
        uint64_t moment; /* number + 1; 0: none yet */
    } *last = mem_zalloc((backtest_ids_count(t->user_ids) + 1) * sizeof *last);
    if (!last) return err_set(e, ERR_NOMEM, "log", "no memory for the newest moment of each user");
    *lines = 0;
    for (size_t k = 0; k < t->n; k++) {
        const struct backtest_event *ev = &t->events[k];
        if (!backtest_is_behaviour(ev) || ev->ts_ms == EVENT_NO_TIME) continue;
        struct last *of = &last[ev->user];
        bool again = of->moment != 0 && of->moment != (uint64_t)ev->moment + 1 && of->ts_ms == ev->ts_ms;
        if (again) *lines += ev->n_items;
        if (!again) *of = (struct last){ev->ts_ms, (uint64_t)ev->moment + 1}; /* parts are all apart from the first */
    }
    mem_free(last);
    return 0;
}

size_t backtest_moment_end(const struct backtest_table *t, size_t from) {
    size_t to = from + 1;
    if (!backtest_is_behaviour(&t->events[from])) return to;
    while (to < t->n && (t->events[to].reason != EVENT_OK ||
                         (t->events[to].kind == EVENT_BEHAVIOUR && t->events[to].moment == t->events[from].moment)))
        to++;
    return to;
}

void backtest_table_free(struct backtest_table *t) {
    mem_free(t->events);
    mem_free(t->items);
    backtest_ids_free(t->user_ids);
    backtest_ids_free(t->item_ids);
    *t = (struct backtest_table){.n_items = 0};
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

int backtest_table_add_types(const struct backtest_table *t, struct config *c, struct err *e) {
    for (size_t k = 0; k < t->n_types; k++) {
        const char *name = t->types[k].name;
        if (config_type_of(c, name) || is_taken_away(c, name)) continue;

        int rc = config_add_type(c, name, e);
        if (rc < 0) return rc;
    }
    qsort(c->types, c->n_types, sizeof c->types[0], by_name);
    return 0;
}
