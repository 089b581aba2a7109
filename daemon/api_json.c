/* Parameters in, JSON out. */
#include <stdio.h>
#include <string.h>

#include "daemon/api_priv.h"
#include "lib/base/clock.h"
#include "lib/base/utf8.h"

static void refuse(struct http_exchange *x, const char *code, const char *field, const char *limit,
                   const struct err *e) {
    http_reply_error(x, 400, code, e->text, field, limit, NULL);
}

bool api_known_params(struct http_exchange *x, const struct http_request *r, const char *known) {
    char name[64];
    struct err e;
    if (r->query.n == 0 || !http_query_unknown(r->query, known, name, sizeof name)) return true;
    if (*known)
        err_set(&e, ERR_SYNTAX, NULL, "unknown parameter \"%s\"; known: %s", name, known);
    else
        err_set(&e, ERR_SYNTAX, NULL, "unknown parameter \"%s\"; this path takes none", name);
    refuse(x, "unknown_parameter", utf8_valid(slice_str(name)) ? name : NULL, NULL, &e);
    return false;
}

/* http_query with its errors answered. */
static int param(struct http_exchange *x, const struct http_request *r, const char *name, char *out, size_t size) {
    if (r->query.n == 0) return 0;
    int rc = http_query(r->query, name, out, size);
    char limit[24];
    struct err e;
    if (rc == ERR_RANGE) {
        snprintf(limit, sizeof limit, "%zu", size - 1);
        err_set(&e, rc, name, "%s is longer than %zu bytes", name, size - 1);
        refuse(x, "out_of_range", name, limit, &e);
    } else if (rc < 0) {
        err_set(&e, rc, name, "%s is given twice, or the query has a bad percent-encoding or a NUL", name);
        refuse(x, "bad_parameter", name, NULL, &e);
    }
    return rc;
}

int api_param_id(struct http_exchange *x, const struct http_request *r, const char *name, char out[REQUEST_MAX_ID + 1],
                 struct slice *id) {
    int rc = param(x, r, name, out, REQUEST_MAX_ID + 1);
    if (rc != 1) return rc;
    struct err e;
    struct slice got = slice_str(out);
    rc = request_check_id(got, name, &e);
    if (rc < 0) {
        refuse(x, rc == ERR_RANGE ? "out_of_range" : "bad_parameter", name, rc == ERR_RANGE ? "256" : NULL, &e);
        return rc;
    }
    *id = got;
    return 1;
}

bool api_parse_int(const char *text, int64_t *out) {
    bool minus = *text == '-';
    const char *p = text + minus;
    int64_t v = 0;
    if (*p == '\0' || (*p == '0' && (p[1] || minus))) return false;
    for (; *p; p++) {
        if (*p < '0' || *p > '9') return false;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *p - '0', &v)) return false;
    }
    if (!minus && __builtin_sub_overflow(0, v, &v)) return false;
    *out = v;
    return true;
}

int api_param_int(struct http_exchange *x, const struct http_request *r, const char *name, int64_t min, int64_t max,
                  int64_t *out) {
    char text[32], limit[24];
    int64_t v;
    struct err e;
    int rc = param(x, r, name, text, sizeof text);
    if (rc != 1) return rc;
    if (!api_parse_int(text, &v)) {
        err_set(&e, ERR_SYNTAX, name, "%s is an integer from %lld to %lld, not \"%s\"", name, (long long)min,
                (long long)max, text);
        refuse(x, "bad_parameter", name, NULL, &e);
        return ERR_SYNTAX;
    }
    if (v < min || v > max) {
        snprintf(limit, sizeof limit, "%lld", (long long)max);
        err_set(&e, ERR_RANGE, name, "%s = %lld; allowed: %lld to %lld", name, (long long)v, (long long)min,
                (long long)max);
        refuse(x, "out_of_range", name, limit, &e);
        return ERR_RANGE;
    }
    *out = v;
    return 1;
}

int api_param_flag(struct http_exchange *x, const struct http_request *r, const char *name, bool *out) {
    char text[8];
    struct err e;
    int rc = param(x, r, name, text, sizeof text);
    if (rc != 1) return rc;
    bool yes = strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "0") != 0 && strcmp(text, "false") != 0) {
        err_set(&e, ERR_SYNTAX, name, "%s is 1 or 0, not \"%s\"", name, text);
        refuse(x, "bad_parameter", name, NULL, &e);
        return ERR_SYNTAX;
    }
    *out = yes;
    return 1;
}

int api_split_list(struct slice text, const char *name, struct slice *ids, size_t max, size_t *n, struct err *e) {
    size_t found = 0;
    for (;;) {
        const char *end = text.n ? memchr(text.p, ',', text.n) : NULL;
        struct slice id = slice_of(text.p, end ? (size_t)(end - text.p) : text.n);
        if (found == max) return err_set(e, ERR_FULL, name, "more than %zu entries in %s", max, name);
        int rc = request_check_id(id, name, e);
        if (rc < 0) return rc;
        ids[found++] = id;
        if (!end) break;
        text = slice_of(end + 1, text.n - id.n - 1);
    }
    *n = found;
    return 0;
}

int api_param_list(struct http_exchange *x, const struct http_request *r, const char *name, char text[API_LIST_TEXT],
                   struct slice *ids, size_t max, size_t *n) {
    int rc = param(x, r, name, text, API_LIST_TEXT);
    if (rc != 1) return rc;
    char limit[24];
    struct err e;
    rc = api_split_list(slice_str(text), name, ids, max, n, &e);
    if (rc < 0) {
        snprintf(limit, sizeof limit, "%zu", rc == ERR_FULL ? max : REQUEST_MAX_ID);
        bool range = rc != ERR_SYNTAX;
        refuse(x, range ? "out_of_range" : "bad_parameter", name, range ? limit : NULL, &e);
        return rc;
    }
    return 1;
}

struct api_mark api_mark(const struct daemon *d) {
    struct api_mark m;
    const struct engine *g = d->engine;
    m.durable = api_load(&g->durable_sequence); /* first: it is never beyond what was published before it */
    m.sequence = atomic_load_explicit(&g->published_sequence, memory_order_acquire);
    m.clock_ms = atomic_load_explicit(&g->model->published_clock_ms, memory_order_acquire);
    m.generation = g->generation;
    return m;
}

void api_add_time(struct buf *b, int64_t ms) {
    char text[32];
    if (ms < CLOCK_MS_MIN || ms > CLOCK_MS_MAX) {
        buf_add_str(b, "null");
        return;
    }
    clock_format(ms, text);
    buf_add_char(b, '"');
    buf_add_str(b, text);
    buf_add_char(b, '"');
}

static const char *as_of(struct api_seat *s, int64_t ms) {
    if (ms != s->as_of_ms || s->as_of[0] == '\0') {
        struct buf text;
        buf_init(&text, 256);
        api_add_time(&text, ms);
        snprintf(s->as_of, sizeof s->as_of, "%s", text.failed ? "null" : text.p);
        s->as_of_ms = text.failed ? INT64_MIN : ms;
        buf_free(&text);
    }
    return s->as_of;
}

void api_add_mark(struct api_seat *s, const struct api_mark *m, struct buf *b) {
    buf_add_str(b, ",\"generation\":");
    buf_add_u64(b, m->generation);
    buf_add_str(b, ",\"sequence\":");
    buf_add_u64(b, m->sequence);
    buf_add_str(b, ",\"durable_sequence\":");
    buf_add_u64(b, m->durable);
    buf_add_str(b, ",\"as_of\":");
    buf_add_str(b, as_of(s, m->clock_ms));
}

static void add_reason(const struct recommend_reason *r, struct buf *b) {
    buf_add_str(b, ",\"terms\":{");
    for (int f = 0; f < TERMS; f++) {
        buf_add_str(b, f ? ",\"" : "\"");
        buf_add_str(b, terms_name(f));
        buf_add_str(b, "\":");
        buf_add_float(b, r->share[f]);
    }
    buf_add_str(b, "},\"because\":[");
    for (uint32_t k = 0; k < r->n; k++) {
        buf_add_str(b, k ? ",{\"item\":" : "{\"item\":");
        buf_add_json(b, r->because[k].item);
        buf_add_str(b, ",\"share\":");
        buf_add_float(b, r->because[k].share);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

void api_add_items(const struct recommend_answer *a, struct buf *b) {
    buf_add_str(b, "\"items\":[");
    for (size_t i = 0; i < a->n; i++) {
        buf_add_str(b, i ? ",{\"item\":" : "{\"item\":");
        buf_add_json(b, a->hits[i].id);
        buf_add_str(b, ",\"score\":");
        buf_add_float(b, a->hits[i].score);
        if (a->reasons) add_reason(&a->reasons[i], b);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

void api_send(struct http_exchange *x, int status, const struct buf *b) {
    if (b->failed)
        http_reply_error(x, 500, "no_memory", "no memory for the reply", NULL, NULL, NULL);
    else
        http_reply(x, status, API_JSON, NULL, slice_of(b->p, b->n));
}

void api_send_err(struct http_exchange *x, const struct err *e) {
    const char *field = e->field[0] ? e->field : NULL;
    switch (e->code) {
    case ERR_MISSING:
        http_reply_error(x, 404, "not_found", e->text, field, NULL, NULL);
        break;
    case ERR_NOMEM:
    case ERR_BUSY:
    case ERR_AGAIN:
        http_reply_error(x, 503, e->code == ERR_NOMEM ? "no_memory" : "busy", e->text, field, NULL,
                         "Retry-After: 1\r\n");
        break;
    case ERR_FULL:
        http_reply_error(x, 507, "disk_full", e->text, field, NULL, NULL);
        break;
    default:
        http_reply_error(x, 500, err_name(e->code), e->text, field, NULL, NULL);
    }
}
