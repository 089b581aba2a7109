/* What the members of an event mean: which a kind needs, which it may have, and what each may hold. */
#include <math.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/utf8.h"
#include "proto/event_priv.h"

#define ID_ALLOWED     "an id is text of 1 to 256 bytes without control characters, or an integer of 64 bits"
#define AMOUNT_ALLOWED "allowed: a number from 0 to 1e12"
#define TIME_ALLOWED   "allowed: an RFC 3339 time, or epoch seconds (below 1e11) or milliseconds, from 1970 to 9999"

const char *const event_field_names[FIELD_UNKNOWN + 1] = {
    [FIELD_ID] = "id",
    [FIELD_TYPE] = "type",
    [FIELD_USER] = "user",
    [FIELD_ITEM] = "item",
    [FIELD_TS] = "ts",
    [FIELD_VALUE] = "value",
    [FIELD_QUANTITY] = "quantity",
    [FIELD_SESSION] = "session",
    [FIELD_REQUEST] = "request",
    [FIELD_ITEMS] = "items",
    [FIELD_CATEGORIES] = "categories",
    [FIELD_FEATURES] = "features",
    [FIELD_AVAILABLE] = "available",
    [FIELD_EXPIRES] = "expires",
    [FIELD_ARRIVAL] = "_arrival",
    [FIELD_UNKNOWN] = "",
};

static inline bool is_one_of(const struct event_names *names, struct slice s) {
    for (size_t i = 0; i < names->n; i++) {
        const char *name = names->name[i];
        if (name[0] == s.p[0] && name[s.n] == '\0' && event_same(name, s.p, s.n)) return true;
    }
    return false;
}

enum event_field event_field_of(const struct event_rules *rules, struct slice name) {
    enum event_field f = FIELD_UNKNOWN;
    if (name.n == 0 || name.n >= sizeof rules->user.name[0]) return f;
    if (is_one_of(&rules->user, name)) return FIELD_USER;
    if (is_one_of(&rules->item, name)) return FIELD_ITEM;
    if (is_one_of(&rules->type, name)) return FIELD_TYPE;
    if (is_one_of(&rules->ts, name)) return FIELD_TS;
    if (is_one_of(&rules->id, name)) return FIELD_ID;
    switch (name.n) {
    case 5:
        f = name.p[0] == 'v' ? FIELD_VALUE : FIELD_ITEMS;
        break;
    case 7:
        f = name.p[0] == 's' ? FIELD_SESSION : name.p[0] == 'r' ? FIELD_REQUEST : FIELD_EXPIRES;
        break;
    case 8:
        f = name.p[0] == 'q' ? FIELD_QUANTITY : name.p[0] == 'f' ? FIELD_FEATURES : FIELD_ARRIVAL;
        break;
    case 9:
        f = FIELD_AVAILABLE;
        break;
    case 10:
        f = FIELD_CATEGORIES;
        break;
    default:
        return FIELD_UNKNOWN;
    }
    return event_same(name.p, event_field_names[f], name.n) ? f : FIELD_UNKNOWN;
}

enum event_field event_element_field(const struct event_rules *rules, struct slice name) {
    if (slice_is(name, "quantity")) return FIELD_QUANTITY;
    if (slice_is(name, "price")) return FIELD_VALUE;
    const bool may_be_alias = name.n > 0 && name.n < sizeof rules->item.name[0];
    const bool id = slice_is(name, "item") || slice_is(name, "id") || (may_be_alias && is_one_of(&rules->item, name));
    return id ? FIELD_ITEM : FIELD_UNKNOWN;
}

/* One check under way. */
struct check {
    const struct event_raw *raw;
    const struct event_context *c;
    struct event_arena *a;
    struct err *e;
    struct event ev;
};

/* NULL when absent; null stands for absent (but not for ts and expires). */
static const struct raw_value *given(const struct check *k, enum event_field f) {
    const struct raw_value *v = &k->raw->value[f];
    return (k->raw->present >> f & 1) && v->kind != RAW_NULL ? v : NULL;
}

static enum event_reason refuse_value(const struct check *k, enum event_reason why, enum event_field f,
                                      const char *allowed) {
    return event_refuse(k->e, why, event_field_names[f], k->raw->value[f].text, "%s", allowed);
}

static enum event_reason refuse(const struct check *k, enum event_reason why, enum event_field f, const char *text) {
    return event_refuse(k->e, why, event_field_names[f], (struct slice){0}, "%s", text);
}

static enum event_reason take_id(const struct check *k, enum event_field f, struct slice *out) {
    const struct raw_value *v = given(k, f);
    if (!v) return EVENT_OK;
    if (!event_is_id(v)) return refuse_value(k, EVENT_BAD_ID, f, ID_ALLOWED);
    *out = v->text;
    return EVENT_OK;
}

static bool is_amount(const struct raw_value *v, double *out) {
    if (v->kind != RAW_NUMBER) return false;
    double amount = event_number(v->text);
    if (!(amount >= 0 && amount <= EVENT_MAX_AMOUNT)) return false;
    *out = amount;
    return true;
}

static enum event_reason take_numbers(struct check *k) {
    const struct raw_value *v = given(k, FIELD_VALUE);
    if (v) {
        if (v->kind != RAW_NUMBER) return refuse_value(k, EVENT_BAD_NUMBER, FIELD_VALUE, "allowed: a finite number");
        k->ev.value = event_number(v->text);
    }
    v = given(k, FIELD_QUANTITY);
    if (v && !is_amount(v, &k->ev.quantity)) return refuse_value(k, EVENT_BAD_NUMBER, FIELD_QUANTITY, AMOUNT_ALLOWED);
    return EVENT_OK;
}

/* Only what event_write_line writes is an arrival time: the first member, a plain integer of milliseconds. */
static enum event_reason take_arrival(struct check *k) {
    const struct event_raw *raw = k->raw;
    if (!(raw->present >> FIELD_ARRIVAL & 1)) return EVENT_OK;
    const struct raw_value *v = &raw->value[FIELD_ARRIVAL];
    if (!k->c->own_log || !raw->arrival_first)
        return refuse_value(k, EVENT_RESERVED, FIELD_ARRIVAL, "only rankd may write this field");
    int64_t ms = 0;
    bool plain = v->kind == RAW_NUMBER && v->text.n <= 15;
    for (size_t i = 0; plain && i < v->text.n; i++) {
        plain = v->text.p[i] >= '0' && v->text.p[i] <= '9';
        ms = ms * 10 + (v->text.p[i] - '0');
    }
    if (!plain || ms > CLOCK_MS_MAX) return refuse_value(k, EVENT_RESERVED, FIELD_ARRIVAL, "not what rankd writes");
    k->ev.arrival_ms = ms;
    return EVENT_OK;
}

static bool is_impression(const struct event_rules *rules, struct slice type) {
    if (slice_is(type, "impression")) return true;
    for (size_t t = 0; t < rules->n_shown; t++)
        if (slice_is(type, rules->shown[t])) return true;
    return false;
}

static enum event_reason take_type(struct check *k) {
    const struct raw_value *v = given(k, FIELD_TYPE);
    uint32_t bit;
    k->ev.type = -1;
    if (!v) {
        if (k->c->default_type < 0) return refuse(k, EVENT_NO_TYPE, FIELD_TYPE, "the event names no type");
        bit = (uint32_t)1 << k->c->default_type;
        if (k->c->default_type == EVENT_TYPE_IMPRESSION)
            k->ev.kind = EVENT_IMPRESSION;
        else
            k->ev.type = k->c->default_type;
    } else if (v->kind != RAW_TEXT) {
        return refuse_value(k, EVENT_UNKNOWN_TYPE, FIELD_TYPE, "a type is the text of its name");
    } else if ((k->ev.type = event_type_index(k->c->rules, v->text)) >= 0) {
        bit = (uint32_t)1 << k->ev.type;
    } else if (is_impression(k->c->rules, v->text)) {
        k->ev.kind = EVENT_IMPRESSION;
        bit = EVENT_ALLOW_IMPRESSION;
    } else if (slice_is(v->text, "item")) {
        k->ev.kind = EVENT_ITEM;
        bit = EVENT_ALLOW_ITEM;
    } else if (slice_is(v->text, "user")) {
        k->ev.kind = EVENT_USER;
        bit = EVENT_ALLOW_USER;
    } else if (slice_is(v->text, "delete")) {
        k->ev.kind = EVENT_DELETE;
        bit = EVENT_ALLOW_DELETE;
    } else {
        return refuse_value(k, EVENT_UNKNOWN_TYPE, FIELD_TYPE,
                            "neither a configured type nor impression, item, user or delete");
    }
    if (k->c->allow & bit) return EVENT_OK;
    return event_refuse(k->e, EVENT_TYPE_DENIED, "type",
                        v ? v->text : slice_str(k->ev.type >= 0 ? k->c->rules->types[k->ev.type] : "impression"),
                        "this source may not send this type");
}

/* A null is no time: whoever adds the missing one in front must not make it stand twice. */
static enum event_reason take_time(struct check *k) {
    if (k->raw->present >> FIELD_TS & 1) {
        if (event_time(&k->raw->value[FIELD_TS], &k->ev.ts_ms)) return EVENT_OK;
        return refuse_value(k, EVENT_BAD_TIME, FIELD_TS, TIME_ALLOWED);
    }
    k->ev.ts_ms = k->ev.arrival_ms != EVENT_NO_TIME ? k->ev.arrival_ms : k->c->record_ms;
    if (k->ev.ts_ms != EVENT_NO_TIME) return EVENT_OK;
    return refuse(k, EVENT_NO_TIME_AT_ALL, FIELD_TS, "the event has no time and its source gives none");
}

/* The user, or the record's key where the event names none. */
static enum event_reason take_user(struct check *k) {
    enum event_reason why = take_id(k, FIELD_USER, &k->ev.user);
    if (why != EVENT_OK || k->ev.user.n > 0) return why;
    const struct raw_value key = {.text = k->c->key, .kind = RAW_TEXT};
    if (key.text.n == 0) return refuse(k, EVENT_NO_USER, FIELD_USER, "the event names no user");
    if (!event_is_id(&key) || !utf8_valid(key.text))
        return event_refuse(k->e, EVENT_BAD_ID, "key", key.text, "%s", ID_ALLOWED);
    char *copy = event_arena_take(k->a, key.text.n);
    if (!copy) return event_no_memory(k->e);
    memcpy(copy, key.text.p, key.text.n);
    k->ev.user = slice_of(copy, key.text.n);
    return EVENT_OK;
}

static enum event_reason add_one_item(struct check *k, struct slice id) {
    struct event_item *item = event_arena_take(k->a, sizeof *item);
    if (!item) return event_no_memory(k->e);
    *item = (struct event_item){id, NAN, NAN};
    k->ev.items = item;
    k->ev.n_items = 1;
    return EVENT_OK;
}

static enum event_reason refuse_element(const struct check *k, enum event_reason why, size_t i, const char *part,
                                        struct slice value, const char *allowed) {
    char field[64];
    snprintf(field, sizeof field, "items[%zu]%s", i, part);
    return event_refuse(k->e, why, field, value, "%s", allowed);
}

static enum event_reason take_element(const struct check *k, size_t i, struct event_item *out) {
    const struct raw_element *el = &k->raw->elements[i];
    *out = (struct event_item){el->id.text, NAN, NAN};
    if (!el->has_id) return refuse_element(k, EVENT_BAD_ITEMS, i, "", (struct slice){0}, "the element names no item");
    if (!event_is_id(&el->id)) return refuse_element(k, EVENT_BAD_ID, i, ".item", el->id.text, ID_ALLOWED);
    if (el->has_quantity && !is_amount(&el->quantity, &out->quantity))
        return refuse_element(k, EVENT_BAD_NUMBER, i, ".quantity", el->quantity.text, AMOUNT_ALLOWED);
    if (el->has_price && !is_amount(&el->price, &out->price))
        return refuse_element(k, EVENT_BAD_NUMBER, i, ".price", el->price.text, AMOUNT_ALLOWED);
    return EVENT_OK;
}

static enum event_reason take_basket(struct check *k, const struct raw_value *v) {
    const size_t n = k->raw->n_items, most = k->c->rules->max_basket;
    if (v->kind != RAW_LIST || n == 0)
        return refuse_value(k, EVENT_BAD_ITEMS, FIELD_ITEMS, "allowed: a list of ids or of objects with one");
    if (n > most)
        return event_refuse(k->e, EVENT_BAD_ITEMS, "items", (struct slice){0}, "%zu items, allowed: %zu", n, most);
    if (k->raw->odd_item < n)
        return refuse_element(k, EVENT_BAD_ITEMS, k->raw->odd_item, "", (struct slice){0},
                              "an element is an id or an object with one");
    struct event_item *items = event_arena_take(k->a, n * sizeof *items);
    if (!items) return event_no_memory(k->e);
    for (size_t i = 0; i < n; i++) {
        enum event_reason why = take_element(k, i, &items[i]);
        if (why != EVENT_OK) return why;
    }
    k->ev.items = items;
    k->ev.n_items = n;
    k->ev.basket = true;
    return EVENT_OK;
}

/* Exactly one of item and items. */
static enum event_reason take_items(struct check *k) {
    struct slice id = {0};
    const struct raw_value *list = given(k, FIELD_ITEMS);
    enum event_reason why = take_id(k, FIELD_ITEM, &id);
    if (why != EVENT_OK) return why;
    if (list && id.n > 0) return refuse(k, EVENT_BAD_ITEMS, FIELD_ITEMS, "the event has both item and items");
    if (list) return take_basket(k, list);
    if (id.n > 0) return add_one_item(k, id);
    return refuse(k, EVENT_NO_ITEM, FIELD_ITEM, "the event names no item");
}

static enum event_reason check_behaviour(struct check *k) {
    enum event_reason why = take_user(k);
    if (why == EVENT_OK) why = take_items(k);
    if (why == EVENT_OK) why = take_numbers(k);
    if (why == EVENT_OK) why = take_id(k, FIELD_SESSION, &k->ev.session);
    if (why == EVENT_OK) why = take_id(k, FIELD_REQUEST, &k->ev.request);
    return why;
}

/* The event as it came: without the arrival time that the own log has in front. */
static enum event_reason take_description(struct check *k) {
    struct slice object = k->raw->object;
    if (k->ev.arrival_ms == EVENT_NO_TIME) {
        k->ev.description = object;
        return EVENT_OK;
    }
    struct slice rest = slice_of(k->raw->arrival_end, (size_t)(object.p + object.n - k->raw->arrival_end));
    rest = event_trim(rest);
    if (rest.p[0] == ',') rest.p++, rest.n--;
    char *copy = event_arena_take(k->a, 1 + rest.n);
    if (!copy) return event_no_memory(k->e);
    copy[0] = '{';
    memcpy(copy + 1, rest.p, rest.n);
    k->ev.description = slice_of(copy, 1 + rest.n);
    return EVENT_OK;
}

/* What items and users have in common with others of their kind. */
static enum event_reason take_features(struct check *k) {
    const struct raw_value *v = given(k, FIELD_CATEGORIES);
    if (v && !(v->kind == RAW_LIST && v->shape_ok))
        return refuse_value(k, EVENT_BAD_FIELD, FIELD_CATEGORIES, "allowed: a list of ids");
    v = given(k, FIELD_FEATURES);
    if (v && !(v->kind == RAW_OBJECT && v->shape_ok))
        return refuse_value(k, EVENT_BAD_FIELD, FIELD_FEATURES,
                            "allowed: an object of text, numbers, true, false, null and lists of these");
    return event_make_features(k->raw, k->c->rules, k->a, &k->ev, k->e);
}

static enum event_reason check_item(struct check *k) {
    if (given(k, FIELD_ITEMS)) return refuse(k, EVENT_BAD_ITEMS, FIELD_ITEMS, "a description is of one item");
    enum event_reason why = take_items(k);
    if (why != EVENT_OK) return why;
    why = take_features(k);
    if (why != EVENT_OK) return why;
    const struct raw_value *v = given(k, FIELD_AVAILABLE);
    if (v) {
        if (v->kind != RAW_TRUE && v->kind != RAW_FALSE)
            return refuse_value(k, EVENT_BAD_FIELD, FIELD_AVAILABLE, "allowed: true or false");
        k->ev.available = v->kind == RAW_TRUE;
    }
    v = given(k, FIELD_EXPIRES);
    if (v && !event_time(v, &k->ev.expires_ms))
        return refuse_value(k, EVENT_BAD_FIELD, FIELD_EXPIRES, TIME_ALLOWED ", or null");
    if (!v && (k->raw->present >> FIELD_EXPIRES & 1)) k->ev.expires_ms = -1;
    return take_description(k);
}

static enum event_reason check_user(struct check *k) {
    enum event_reason why = take_user(k);
    if (why == EVENT_OK) why = take_features(k);
    return why == EVENT_OK ? take_description(k) : why;
}

/* The key does not count here: what is erased must be named. */
static enum event_reason check_delete(struct check *k) {
    struct slice item = {0};
    if (given(k, FIELD_ITEMS)) return refuse(k, EVENT_BAD_ITEMS, FIELD_ITEMS, "a delete names one user or one item");
    enum event_reason why = take_id(k, FIELD_USER, &k->ev.user);
    if (why == EVENT_OK) why = take_id(k, FIELD_ITEM, &item);
    if (why != EVENT_OK) return why;
    if (item.n > 0 && k->ev.user.n > 0)
        return refuse(k, EVENT_BAD_FIELD, FIELD_ITEM, "a delete names a user or an item, not both");
    if (item.n > 0) return add_one_item(k, item);
    return k->ev.user.n > 0 ? EVENT_OK : refuse(k, EVENT_NO_USER, FIELD_USER, "a delete names a user or an item");
}

enum event_reason event_check(const struct event_raw *raw, const struct event_context *c, struct event_arena *a,
                              struct event *out, struct err *e) {
    struct check k = {.raw = raw,
                      .c = c,
                      .a = a,
                      .e = e,
                      .ev = {.kind = EVENT_BEHAVIOUR,
                             .ts_ms = EVENT_NO_TIME,
                             .arrival_ms = EVENT_NO_TIME,
                             .value = NAN,
                             .quantity = NAN,
                             .available = -1,
                             .expires_ms = EVENT_NO_TIME}};
    enum event_reason why = take_arrival(&k);
    if (why == EVENT_OK) why = take_type(&k);
    if (why == EVENT_OK) why = take_id(&k, FIELD_ID, &k.ev.id);
    if (why == EVENT_OK) why = take_time(&k);
    if (why != EVENT_OK) return why;
    switch (k.ev.kind) {
    case EVENT_BEHAVIOUR:
    case EVENT_IMPRESSION:
        why = check_behaviour(&k);
        break;
    case EVENT_ITEM:
        why = check_item(&k);
        break;
    case EVENT_USER:
        why = check_user(&k);
        break;
    case EVENT_DELETE:
        why = check_delete(&k);
        break;
    }
    if (why == EVENT_OK) *out = k.ev;
    return why;
}
