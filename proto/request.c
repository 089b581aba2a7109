/* Request bodies by jansson: the tree is kept, the slices point into it. */
#include "proto/request.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"

#define INTEGER_TEXT 24 /* bytes of a decimal int64 with sign and NUL */

struct parser {
    enum request_kind kind;
    const struct request_limits *limits;
    struct request r;
    struct slice *slices; /* room for what is still to come */
    char *integers;
    char *limit;
    struct err *e;
};

int request_check_id(struct slice id, const char *field, struct err *e) {
    if (id.n == 0 || id.n > REQUEST_MAX_ID)
        return err_set(e, ERR_RANGE, field, "an id of %zu bytes; allowed: 1 to %d", id.n, REQUEST_MAX_ID);
    if (memchr(id.p, 0, id.n) || !utf8_valid(id)) return err_set(e, ERR_SYNTAX, field, "an id is UTF-8 without NUL");
    return 0;
}

static int past(struct parser *p, const char *field, uint64_t most) {
    snprintf(p->limit, REQUEST_LIMIT_TEXT, "%" PRIu64, most);
    return err_set(p->e, ERR_RANGE, field, "more than %" PRIu64 " entries in %s", most, field);
}

static int read_id(struct parser *p, const char *field, const json_t *value, struct slice *out) {
    if (json_is_integer(value)) {
        int n = snprintf(p->integers, INTEGER_TEXT, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        *out = slice_of(p->integers, (size_t)n);
        p->integers += INTEGER_TEXT;
        return 0;
    }
    if (!json_is_string(value)) return err_set(p->e, ERR_SYNTAX, field, "%s: an id is text or an integer", field);
    struct slice id = slice_of(json_string_value(value), json_string_length(value));
    int rc = request_check_id(id, field, p->e);
    if (rc == ERR_RANGE) snprintf(p->limit, REQUEST_LIMIT_TEXT, "%d", REQUEST_MAX_ID);
    if (rc == 0) *out = id;
    return rc;
}

static int read_list(struct parser *p, const char *field, const json_t *value, const struct slice **out, size_t *n) {
    if (!json_is_array(value)) return err_set(p->e, ERR_SYNTAX, field, "%s is a list of ids", field);
    size_t size = json_array_size(value);
    if (size > p->limits->max_items) return past(p, field, p->limits->max_items);
    struct slice *ids = p->slices;
    for (size_t i = 0; i < size; i++) {
        int rc = read_id(p, field, json_array_get(value, i), &ids[i]);
        if (rc < 0) return rc;
    }
    p->slices += size;
    *out = ids;
    *n = size;
    return 0;
}

static int read_k(struct parser *p, const json_t *value) {
    if (!json_is_integer(value)) return err_set(p->e, ERR_SYNTAX, "k", "k is an integer");
    json_int_t k = json_integer_value(value);
    if (k < 1 || k > (json_int_t)p->limits->max_k) {
        snprintf(p->limit, REQUEST_LIMIT_TEXT, "%" PRIu32, p->limits->max_k);
        return err_set(p->e, ERR_RANGE, "k", "k = %" JSON_INTEGER_FORMAT "; allowed: 1 to %" PRIu32, k,
                       p->limits->max_k);
    }
    p->r.k = (uint32_t)k;
    return 0;
}

static int read_flag(struct parser *p, const char *name, const json_t *value, bool *out) {
    if (!json_is_null(value) && !json_is_boolean(value))
        return err_set(p->e, ERR_SYNTAX, name, "%s is true or false", name);
    *out = json_is_true(value);
    return 0;
}

static int read_field(struct parser *p, const char *name, const json_t *value) {
    bool all = p->kind == REQUEST_RECOMMEND, none = json_is_null(value);
    if (strcmp(name, "user") == 0) return none ? 0 : read_id(p, "user", value, &p->r.user);
    if (strcmp(name, "items") == 0) return none ? 0 : read_list(p, "items", value, &p->r.items, &p->r.n_items);
    if (strcmp(name, "cart") == 0) return none ? 0 : read_list(p, "cart", value, &p->r.cart, &p->r.n_cart);
    if (strcmp(name, "history") == 0) return none ? 0 : read_list(p, "history", value, &p->r.history, &p->r.n_history);
    if (all && strcmp(name, "exclude") == 0)
        return none ? 0 : read_list(p, "exclude", value, &p->r.exclude, &p->r.n_exclude);
    if (all && strcmp(name, "k") == 0) return none ? 0 : read_k(p, value);
    if (all && strcmp(name, "keep_used") == 0) return read_flag(p, "keep_used", value, &p->r.keep_used);
    if (all && strcmp(name, "explain") == 0) return read_flag(p, "explain", value, &p->r.explain);
    char field[64];
    snprintf(field, sizeof field, "%s", name);
    return err_set(p->e, ERR_MISMATCH, field, "unknown field \"%s\"; known: %s", field,
                   all ? "user, history, cart, exclude, items, k, keep_used, explain" : "user, items, history, cart");
}

/* How many slices and integer texts the fields may need; lists past their limit are refused before any of it is used.
 */
static size_t count_ids(const json_t *root, size_t most) {
    static const char *const lists[] = {"history", "cart", "exclude", "items"};
    size_t n = 1; /* the user */
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        size_t size = json_array_size(json_object_get(root, lists[i]));
        n += size > most ? most : size;
    }
    return n;
}

static int read_object(struct parser *p, json_t *root) {
    const char *name;
    json_t *value;
    int rc = 0;
    json_object_foreach(root, name, value) {
        rc = read_field(p, name, value);
        if (rc < 0) return rc;
    }
    if (p->kind == REQUEST_SCORE && !p->r.items) return err_set(p->e, ERR_SYNTAX, "items", "items is missing");
    return 0;
}

static json_t *load(struct slice body, struct err *e) {
    json_error_t why;
    json_t *root = body.n ? json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &why) : NULL;
    if (root && json_is_object(root)) return root;
    if (root || !body.n)
        err_set(e, ERR_SYNTAX, NULL, "the body is not a JSON object");
    else if (json_error_code(&why) == json_error_out_of_memory)
        err_set(e, ERR_NOMEM, NULL, "no memory for the body");
    else
        err_set(e, ERR_SYNTAX, NULL, "not JSON: %s (line %d, column %d)", why.text, why.line, why.column);
    json_decref(root);
    return NULL;
}

int request_parse(struct slice body, enum request_kind kind, const struct request_limits *l, struct request *out,
                  char limit[REQUEST_LIMIT_TEXT], struct err *e) {
    struct err why = {0};
    limit[0] = '\0';
    json_t *root = load(body, &why);
    if (!root) {
        if (e) *e = why;
        return why.code;
    }
    size_t ids = count_ids(root, l->max_items);
    char *memory = mem_alloc(ids * (sizeof(struct slice) + INTEGER_TEXT));
    if (!memory) {
        json_decref(root);
        return err_set(e, ERR_NOMEM, NULL, "no memory for %zu ids", ids);
    }
    struct parser p = {.kind = kind, .limits = l, .limit = limit, .e = e, .slices = (struct slice *)(void *)memory};
    p.integers = memory + ids * sizeof(struct slice);
    p.r.json = root;
    p.r.memory = memory;
    int rc = read_object(&p, root);
    if (rc == 0)
        *out = p.r;
    else
        request_free(&p.r);
    return rc;
}

void request_free(struct request *r) {
    json_decref(r->json);
    mem_free(r->memory);
    *r = (struct request){0};
}
