/* Order within one stamp. */
#include "daemon/backtest_order.h"

#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"

/* --- baskets of JSON Lines --- */

struct line { /* of the moment at hand */
    size_t record;
    size_t kind, kind_bytes; /* in kinds: all members that lines of one event share */
    bool whole;              /* it has items of its own */
    bool done;
};

struct forming {
    struct backtest_log *from, to;
    const struct backtest_input *in;
    const struct backtest_table *t;
    struct event_names item, id;
    struct line *lines; /* (n) */
    size_t n, cap;
    struct buf kinds, json;
    bool changed;
};

static bool is_one_of(const struct event_names *names, struct slice name) {
    for (size_t k = 0; k < names->n; k++)
        if (slice_is(name, names->name[k])) return true;
    return false;
}

/* Members that belong to one item of a basket. */
static bool is_of_item(const struct forming *f, struct slice name) {
    return is_one_of(&f->item, name) || slice_is(name, "quantity") || slice_is(name, "price") ||
           slice_is(name, "value");
}

static int note_line(struct forming *f, size_t record, struct err *e) {
    struct line_cursor c;
    struct slice name, value;
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 64;
        struct line *lines = mem_realloc(f->lines, cap * sizeof *lines);
        if (!lines) return err_set(e, ERR_NOMEM, "log", "no memory for a basket of %zu lines", cap);
        f->lines = lines;
        f->cap = cap;
    }
    struct line *line = &f->lines[f->n++];
    *line = (struct line){.record = record, .kind = f->kinds.n};
    if (line_json_begin(backtest_text(f->from, &f->from->records[record]), &c, NULL) < 0) return 0;
    while (line_json_next(&c, &name, &value, NULL) == 1) {
        if (slice_is(name, "items")) line->whole = true;
        if (is_of_item(f, name) || is_one_of(&f->id, name)) continue;
        buf_add_slice(&f->kinds, name);
        buf_add_char(&f->kinds, ':');
        buf_add_slice(&f->kinds, value);
        buf_add_char(&f->kinds, ',');
    }
    line->kind_bytes = f->kinds.n - line->kind;
    return f->kinds.failed ? err_set(e, ERR_NOMEM, "log", "no memory for a basket") : 0;
}

static bool same_kind(const struct forming *f, const struct line *a, const struct line *b) {
    return !a->whole && !b->whole && a->kind_bytes == b->kind_bytes &&
           memcmp(f->kinds.p + a->kind, f->kinds.p + b->kind, a->kind_bytes) == 0;
}

static void write_element(struct forming *f, struct slice text) {
    struct line_cursor c;
    struct slice name, value;
    size_t written = 0;
    if (line_json_begin(text, &c, NULL) < 0) return;
    buf_add_char(&f->json, '{');
    while (line_json_next(&c, &name, &value, NULL) == 1) {
        bool is_item = is_one_of(&f->item, name);
        if (!is_item && !slice_is(name, "quantity") && !slice_is(name, "price")) continue;
        if (written++) buf_add_char(&f->json, ',');
        buf_add_char(&f->json, '"');
        buf_add_slice(&f->json, is_item ? slice_str("item") : name);
        buf_add_str(&f->json, "\":");
        buf_add_slice(&f->json, value);
    }
    buf_add_char(&f->json, '}');
}

/* The first line without what is of its item; the elements of all follow. */
static void begin_event(struct forming *f, struct slice text) {
    struct line_cursor c;
    struct slice name, value;
    buf_clear(&f->json);
    buf_add_char(&f->json, '{');
    if (line_json_begin(text, &c, NULL) < 0) return;
    while (line_json_next(&c, &name, &value, NULL) == 1) {
        if (is_of_item(f, name)) continue;
        buf_add_char(&f->json, '"');
        buf_add_slice(&f->json, name);
        buf_add_str(&f->json, "\":");
        buf_add_slice(&f->json, value);
        buf_add_char(&f->json, ',');
    }
    buf_add_str(&f->json, "\"items\":[");
}

/* The lines of one kind from first on become one record, as far as an event may hold them. */
static int form_one(struct forming *f, size_t first, struct err *e) {
    const struct config *c = f->in->config;
    struct backtest_record rec = f->from->records[f->lines[first].record];
    struct slice text = backtest_text(f->from, &rec);
    size_t n = 0;
    begin_event(f, text);
    for (size_t k = first; k < f->n && n < (size_t)c->max_basket; k++) {
        struct line *line = &f->lines[k];
        struct slice more = backtest_text(f->from, &f->from->records[line->record]);
        if (line->done || (k > first && !same_kind(f, &f->lines[first], line))) continue;
        if (n > 0 && f->json.n + more.n + 2 > c->max_event_bytes) break;
        if (n > 0) buf_add_char(&f->json, ',');
        write_element(f, more);
        line->done = true;
        n++;
    }
    buf_add_str(&f->json, "]}");
    if (f->json.failed) return err_set(e, ERR_NOMEM, "log", "no memory for a basket");
    rec.n_lines = (uint32_t)n;
    f->changed |= n > 1;
    return backtest_log_add(&f->to, &rec, n > 1 ? slice_of(f->json.p, f->json.n) : text, slice_of("", 0), e);
}

static int form_moment(struct forming *f, size_t from, size_t to, struct err *e) {
    int rc = 0;
    f->n = 0;
    buf_clear(&f->kinds);
    for (size_t at = from; at < to && rc == 0; at++) {
        bool again = f->t->events[at].reason == EVENT_DUPLICATE; /* of an id that may vanish into a basket */
        f->changed |= again;
        if (!again) rc = note_line(f, at, e);
    }
    for (size_t k = 0; k < f->n && rc == 0; k++)
        if (!f->lines[k].done) rc = form_one(f, k, e);
    return rc;
}

int backtest_order_baskets(struct backtest_log *l, const struct backtest_input *in, const struct backtest_table *t,
                           struct err *e) {
    struct forming f = {.from = l, .in = in, .t = t};
    backtest_log_init(&f.to);
    buf_init(&f.kinds, SIZE_MAX);
    buf_init(&f.json, SIZE_MAX);
    int rc = event_names_parse(in->config->field_item, &f.item, e);
    if (rc == 0) rc = event_names_parse(in->config->field_id, &f.id, e);
    for (size_t from = 0, to; from < t->n && rc == 0; from = to) {
        to = backtest_moment_end(t, from);
        rc = form_moment(&f, from, to, e);
    }
    if (rc == 0 && f.changed) { /* what was in the log but its records */
        struct buf texts = l->texts;
        struct backtest_record *records = l->records;
        l->texts = f.to.texts;
        l->records = f.to.records;
        l->n = f.to.n;
        l->cap = f.to.cap;
        f.to.texts = texts;
        f.to.records = records;
    }
    backtest_log_free(&f.to);
    buf_free(&f.kinds);
    buf_free(&f.json);
    mem_free(f.lines);
    return rc < 0 ? rc : f.changed;
}

/* --- shuffling --- */

struct span { /* records of one moment */
    size_t from, to;
};

static void shuffle(struct span *spans, size_t n, uint64_t key, uint64_t *drawn) {
    for (size_t k = n; k > 1; k--) { /* Fisher and Yates */
        size_t other = draw_below(draw_bits(key, (*drawn)++), (uint32_t)k);
        struct span moved = spans[k - 1];
        spans[k - 1] = spans[other];
        spans[other] = moved;
    }
}

int backtest_order_shuffle(struct backtest_log *l, const struct backtest_table *t, uint64_t seed, struct err *e) {
    struct span *spans = mem_alloc((l->n + 1) * sizeof *spans);
    struct backtest_record *records = mem_alloc((l->n + 1) * sizeof *records);
    uint64_t key = draw_mix(seed + 1), drawn = 0;
    size_t n = 0, at = 0, begin = 0;
    if (!spans || !records) {
        mem_free(spans);
        mem_free(records);
        return err_set(e, ERR_NOMEM, "log", "no memory for another order of %zu records", l->n);
    }
    for (size_t from = 0, to; from < l->n; from = to) {
        to = from < l->n_described ? from + 1 : backtest_moment_end(t, from);
        spans[n++] = (struct span){from, to};
    }
    for (size_t k = 1; k <= n; k++) {
        bool same = k < n && spans[begin].from >= l->n_described &&
                    t->events[spans[k].from].ts_ms == t->events[spans[begin].from].ts_ms &&
                    t->events[spans[k].from].ts_ms != EVENT_NO_TIME;
        if (same) continue;
        shuffle(spans + begin, k - begin, key, &drawn);
        begin = k;
    }
    for (size_t k = 0; k < n; k++)
        for (size_t from = spans[k].from; from < spans[k].to; from++) records[at++] = l->records[from];
    for (size_t k = l->n_described; k < l->n; k++) {
        records[k].offset = k;
        records[k].next = k + 1;
    }
    mem_free(l->records);
    mem_free(spans);
    l->records = records;
    l->cap = l->n + 1;
    return 1;
}
