/* A JSON text read as a tree. */
#include "proto/jdoc.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *node(struct jdoc_value v) { return (json_t *)(uintptr_t)v.node; }

int jdoc_parse(struct slice text, struct jdoc **out, struct err *e) {
    json_error_t why;
    json_t *root = json_loadb(text.p ? text.p : "", text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (!root && json_error_code(&why) == json_error_out_of_memory)
        return err_set(e, ERR_NOMEM, "", "no memory for a JSON text of %zu bytes", text.n);
    if (!root) return err_set(e, ERR_SYNTAX, "", "no JSON: %s at byte %d", why.text, why.position);
    *out = (struct jdoc *)root; /* a jdoc is jansson's node under another name */
    return 0;
}

void jdoc_free(struct jdoc *j) {
    if (j) json_decref((json_t *)j);
}

struct jdoc_value jdoc_root(const struct jdoc *j) {
    return (struct jdoc_value){j};
}

/* Takes one step off *path. */
static json_t *step(json_t *at, const char **path) {
    char name[256];
    const char *p = *path;
    if (*p == '[') {
        char *end;
        unsigned long i = strtoul(p + 1, &end, 10);
        if (end == p + 1 || *end != ']') return NULL;
        *path = end + 1;
        return json_array_get(at, i);
    }
    p += *p == '.';
    size_t n = strcspn(p, ".[");
    if (n == 0 || n >= sizeof name) return NULL;
    memcpy(name, p, n);
    name[n] = '\0';
    *path = p + n;
    return json_object_get(at, name);
}

struct jdoc_value jdoc_get(struct jdoc_value v, const char *path) {
    json_t *at = node(v);
    while (at && *path) at = step(at, &path);
    return (struct jdoc_value){at};
}

enum jdoc_kind jdoc_kind_of(struct jdoc_value v) {
    if (!v.node) return JDOC_ABSENT;
    switch (json_typeof(node(v))) {
    case JSON_OBJECT:
        return JDOC_OBJECT;
    case JSON_ARRAY:
        return JDOC_ARRAY;
    case JSON_STRING:
        return JDOC_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return JDOC_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return JDOC_BOOL;
    case JSON_NULL:
        break;
    }
    return JDOC_NULL;
}

struct slice jdoc_text(struct jdoc_value v, const char *fallback) {
    json_t *n = node(v);
    return json_is_string(n) ? slice_of(json_string_value(n), json_string_length(n)) : slice_str(fallback);
}

double jdoc_number(struct jdoc_value v, double fallback) {
    return json_is_number(node(v)) ? json_number_value(node(v)) : fallback;
}

int64_t jdoc_integer(struct jdoc_value v, int64_t fallback) {
    return json_is_integer(node(v)) ? json_integer_value(node(v)) : fallback;
}

bool jdoc_bool(struct jdoc_value v, bool fallback) {
    return json_is_boolean(node(v)) ? json_is_true(node(v)) : fallback;
}

size_t jdoc_count(struct jdoc_value v) {
    return json_is_array(node(v)) ? json_array_size(node(v)) : json_object_size(node(v));
}

struct jdoc_value jdoc_at(struct jdoc_value v, size_t i) {
    return (struct jdoc_value){json_array_get(node(v), i)};
}

bool jdoc_next(struct jdoc_value object, struct jdoc_members *m) {
    json_t *o = node(object);
    m->at = m->at ? json_object_iter_next(o, m->at) : json_object_iter(o);
    if (!m->at) return false;
    const char *name = json_object_iter_key(m->at);
    m->name = slice_str(name);
    m->value = (struct jdoc_value){json_object_iter_value(m->at)};
    return true;
}
