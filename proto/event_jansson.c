/* Any event: jansson judges the JSON, this takes its members apart. */
#include <jansson.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "proto/event_priv.h"

static _Thread_local bool refused; /* memory, since it was last cleared: jansson calls that bad JSON */

static void *json_alloc(size_t n) {
    void *p = mem_alloc(n);
    if (!p) refused = true;
    return p;
}

/* Before main: both must precede every other use of jansson and every thread. */
__attribute__((constructor)) static void set_up_jansson(void) {
    json_set_alloc_funcs(json_alloc, mem_free);
    json_object_seed(0);
}

/* One decoding under way. */
struct parts {
    const struct event_context *c;
    struct event_arena *a;
    struct err *e;
    struct event_raw raw;
};

/* The text is valid JSON from here on: these walk it without looking out for anything else. */
static const char *after_space(const char *p) {
    while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') p++;
    return p;
}

static const char *after_string(const char *p) {
    for (p++; *p != '"'; p++)
        if (*p == '\\') p++;
    return p + 1;
}

static const char *after_value(const char *p) {
    if (*p == '"') return after_string(p);
    if (*p != '[' && *p != '{') {
        while (*p != ',' && *p != ']' && *p != '}' && *p != ' ' && *p != '\t' && *p != '\n' && *p != '\r') p++;
        return p;
    }
    for (size_t depth = 0;;) {
        if (*p == '"') {
            p = after_string(p);
            continue;
        }
        if (*p == '[' || *p == '{') depth++;
        if ((*p == ']' || *p == '}') && --depth == 0) return p + 1;
        p++;
    }
}

/* From the end of a value or an opening bracket to the next value. */
static const char *next_value(const char *p) {
    p = after_space(p);
    return *p == ',' ? after_space(p + 1) : p;
}

/* From the start of a member to its value; checks that jansson and the text are at the same one. */
static const char *member_value(const char *p, struct slice name) {
    const char *end = after_string(p);
    const size_t n = (size_t)(end - p) - 2;
    CHECK(n >= name.n && (memchr(p + 1, '\\', n) != NULL || (n == name.n && memcmp(p + 1, name.p, n) == 0)));
    p = after_space(end);
    CHECK(*p == ':');
    return after_space(p + 1);
}

static struct slice name_of(void *it) { return slice_of(json_object_iter_key(it), json_object_iter_key_len(it)); }

static bool is_scalar(json_t *v) { return !json_is_object(v) && !json_is_array(v); }

/* text is the value as it came. */
static enum event_reason take_value(struct parts *s, json_t *v, struct slice text, struct raw_value *out) {
    *out = (struct raw_value){.text = text};
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        out->kind = RAW_OBJECT;
        break;
    case JSON_ARRAY:
        out->kind = RAW_LIST;
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        out->kind = RAW_NUMBER;
        break;
    case JSON_TRUE:
        out->kind = RAW_TRUE;
        break;
    case JSON_FALSE:
        out->kind = RAW_FALSE;
        break;
    case JSON_NULL:
        out->kind = RAW_NULL;
        break;
    case JSON_STRING: {
        const size_t n = json_string_length(v);
        out->kind = RAW_TEXT;
        out->text = slice_of(text.p + 1, n);
        if (n == text.n - 2) break; /* an escape is always longer than what it stands for */
        char *copy = event_arena_take(s->a, n);
        if (!copy) return event_no_memory(s->e);
        memcpy(copy, json_string_value(v), n);
        out->text.p = copy;
    }
    }
    return EVENT_OK;
}

static enum event_reason add_feature(struct parts *s, const struct raw_feature *f) {
    struct event_raw *raw = &s->raw;
    if (raw->n_features == EVENT_RAW_FEATURES) {
        raw->n_more++;
        return EVENT_OK;
    }
    if (!raw->features) raw->features = event_arena_take(s->a, EVENT_RAW_FEATURES * sizeof *raw->features);
    if (!raw->features) return event_no_memory(s->e);
    raw->features[raw->n_features++] = *f;
    return EVENT_OK;
}

/* One scalar, or each of a list. *ok is cleared by an object, a list in a list, and a category that is no id. */
static enum event_reason add_scalars(struct parts *s, json_t *v, struct slice text, struct raw_feature *f, bool *ok) {
    const bool list = json_is_array(v);
    const char *p = list ? text.p + 1 : text.p;
    enum event_reason why = EVENT_OK;
    for (size_t i = 0, n = list ? json_array_size(v) : 1; i < n && *ok && why == EVENT_OK; i++) {
        json_t *one = list ? json_array_get(v, i) : v;
        p = next_value(p);
        const char *end = after_value(p);
        *ok = is_scalar(one);
        if (*ok) why = take_value(s, one, slice_of(p, (size_t)(end - p)), &f->value);
        if (*ok && why == EVENT_OK && f->category) *ok = event_is_id(&f->value);
        if (*ok && why == EVENT_OK) why = add_feature(s, f);
        p = end;
    }
    return why;
}

/* The members of features. */
static enum event_reason take_features(struct parts *s, json_t *object, struct slice text, bool *ok) {
    const char *p = text.p + 1;
    enum event_reason why = EVENT_OK;
    *ok = true;
    for (void *it = json_object_iter(object); it && *ok && why == EVENT_OK; it = json_object_iter_next(object, it)) {
        struct raw_feature f = {.name = name_of(it)};
        p = member_value(next_value(p), f.name);
        const struct slice value = slice_of(p, (size_t)(after_value(p) - p));
        p += value.n;
        why = add_scalars(s, json_object_iter_value(it), value, &f, ok);
    }
    return why;
}

static enum event_reason take_categories(struct parts *s, json_t *list, struct slice text, bool *ok) {
    struct raw_feature f = {.category = true};
    *ok = true;
    return add_scalars(s, list, text, &f, ok);
}

static enum event_reason refuse_twice(struct parts *s, const char *field, struct slice name) {
    return event_refuse(s->e, EVENT_DUPLICATE_KEY, field, name, "the field stands twice, under two of its names");
}

/* The members of one object among items. */
static enum event_reason take_element(struct parts *s, json_t *object, const char *p, struct raw_element *out) {
    bool seen[3] = {false, false, false};
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        p = member_value(next_value(p), name_of(it));
        const struct slice text = slice_of(p, (size_t)(after_value(p) - p));
        p += text.n;
        const enum event_field f = event_element_field(s->c->rules, name_of(it));
        if (f == FIELD_UNKNOWN) continue;
        const int at = f == FIELD_ITEM ? 0 : f == FIELD_QUANTITY ? 1 : 2;
        if (seen[at]) return refuse_twice(s, "items", name_of(it));
        seen[at] = true;
        json_t *v = json_object_iter_value(it);
        if (json_is_null(v)) continue;
        struct raw_value *into = at == 0 ? &out->id : at == 1 ? &out->quantity : &out->price;
        *(at == 0 ? &out->has_id : at == 1 ? &out->has_quantity : &out->has_price) = true;
        enum event_reason why = take_value(s, v, text, into);
        if (why != EVENT_OK) return why;
    }
    return EVENT_OK;
}

static enum event_reason take_items(struct parts *s, json_t *list, struct slice text) {
    const size_t n = json_array_size(list);
    const char *p = text.p + 1;
    s->raw.n_items = s->raw.odd_item = n;
    if (n == 0 || n > s->c->rules->max_basket) return EVENT_OK;
    struct raw_element *elements = event_arena_take(s->a, n * sizeof *elements);
    if (!elements) return event_no_memory(s->e);
    s->raw.elements = elements;
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_array_get(list, i);
        enum event_reason why = EVENT_OK;
        elements[i] = (struct raw_element){0};
        p = next_value(p);
        const char *end = after_value(p);
        if (json_is_object(v)) {
            why = take_element(s, v, p + 1, &elements[i]);
        } else if (json_is_string(v) || json_is_number(v)) {
            elements[i].has_id = true;
            why = take_value(s, v, slice_of(p, (size_t)(end - p)), &elements[i].id);
        } else if (s->raw.odd_item == n) {
            s->raw.odd_item = i;
        }
        if (why != EVENT_OK) return why;
        p = end;
    }
    return EVENT_OK;
}

static enum event_reason take_members(struct parts *s, json_t *root) {
    const char *p = s->raw.object.p + 1;
    for (void *it = json_object_iter(root), *first = it; it; it = json_object_iter_next(root, it)) {
        p = member_value(next_value(p), name_of(it));
        const struct slice text = slice_of(p, (size_t)(after_value(p) - p));
        p += text.n;
        const enum event_field f = event_field_of(s->c->rules, name_of(it));
        if (f == FIELD_UNKNOWN) continue;
        if (s->raw.present >> f & 1) return refuse_twice(s, event_field_names[f], name_of(it));
        s->raw.present |= (uint32_t)1 << f;
        json_t *v = json_object_iter_value(it);
        struct raw_value *into = &s->raw.value[f];
        enum event_reason why = take_value(s, v, text, into);
        if (why == EVENT_OK && f == FIELD_ITEMS && into->kind == RAW_LIST) why = take_items(s, v, text);
        if (why == EVENT_OK && f == FIELD_CATEGORIES && into->kind == RAW_LIST)
            why = take_categories(s, v, text, &into->shape_ok);
        if (why == EVENT_OK && f == FIELD_FEATURES && into->kind == RAW_OBJECT)
            why = take_features(s, v, text, &into->shape_ok);
        if (why != EVENT_OK) return why;
        if (f == FIELD_ARRIVAL) {
            s->raw.arrival_first = it == first;
            s->raw.arrival_end = p;
        }
    }
    return EVENT_OK;
}

/* Of text that may be no JSON at all. */
static bool is_too_deep(struct slice s) {
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (quoted) {
            if (c == '\\') i++;
            if (c == '"') quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > EVENT_MAX_DEPTH) return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static enum event_reason refuse_json(const json_error_t *why, struct err *e) {
    if (refused) return event_no_memory(e);
    enum event_reason r;
    const char *what = "";
    switch (json_error_code(why)) {
    case json_error_out_of_memory:
        return event_no_memory(e);
    case json_error_duplicate_key:
        r = EVENT_DUPLICATE_KEY;
        break;
    case json_error_numeric_overflow:
        r = EVENT_BAD_NUMBER;
        what = "; a number must be finite as a double";
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return event_refuse(e, EVENT_NOT_UTF8, NULL, (struct slice){0}, "byte %d: \\u0000 is not allowed",
                            why->position);
    case json_error_invalid_utf8:
        r = EVENT_NOT_UTF8;
        break;
    default:
        r = EVENT_NOT_JSON;
    }
    return event_refuse(e, r, NULL, (struct slice){0}, "byte %d: %s%s", why->position, why->text, what);
}

enum event_reason event_decode_jansson(struct slice json, const struct event_context *c, struct event_arena *a,
                                       struct event *out, struct err *e) {
    const struct slice none = {0};
    enum event_reason why = event_check_length(json, c, e);
    if (why != EVENT_OK) return why;
    const struct slice object = event_trim(json);
    if (object.n == 0) return event_refuse(e, EVENT_NOT_JSON, NULL, none, "the record is empty");
    if (!utf8_valid(object)) return event_refuse(e, EVENT_NOT_UTF8, NULL, none, "the record is not strict UTF-8");
    if (memchr(object.p, '\0', object.n)) return event_refuse(e, EVENT_NOT_UTF8, NULL, none, "the record has a NUL");
    if (object.p[0] != '{') return event_refuse(e, EVENT_NOT_JSON, NULL, object, "an event is one JSON object");
    if (is_too_deep(object))
        return event_refuse(e, EVENT_NOT_JSON, NULL, none, "nested deeper than %d levels", EVENT_MAX_DEPTH);

    json_error_t error;
    refused = false;
    /* Integers as doubles: those beyond 64 bits may stand in a field nobody reads; ids are taken from the text. */
    json_t *root = json_loadb(object.p, object.n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
    if (!root) return refuse_json(&error, e);
    struct parts s = {.c = c, .a = a, .e = e, .raw = {.object = object}};
    why = take_members(&s, root);
    if (why == EVENT_OK) why = event_check(&s.raw, c, a, out, e);
    json_decref(root);
    return why;
}
