/* What a frontend asks: recommend, similar, popular, score, and whether we are there. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api_priv.h"
#include "lib/base/clock.h"

static const char *const basis_names[] = {[RECOMMEND_PERSONAL] = "personal",
                                          [RECOMMEND_HISTORY] = "history",
                                          [RECOMMEND_DESCRIBED] = "described",
                                          [RECOMMEND_POPULAR] = "popular"};

static uint32_t max_k(const struct api_seat *s) {
    return (uint32_t)atomic_load_explicit(&s->api->d->max_k, memory_order_relaxed);
}
static size_t max_items(const struct api_seat *s) {
    return (size_t)atomic_load_explicit(&s->api->d->max_items, memory_order_relaxed);
}

static uint32_t default_k(const struct api_seat *s) { return max_k(s) < API_DEFAULT_K ? max_k(s) : API_DEFAULT_K; }

static void add_user(struct buf *b, struct slice user) {
    buf_add_str(b, "{\"user\":");
    if (user.n)
        buf_add_json(b, user);
    else
        buf_add_str(b, "null");
}

/* Ranks or scores, and replies. */
static void answer(struct http_exchange *x, struct api_seat *s, const struct recommend_request *q, bool score) {
    struct recommend_answer a;
    struct err e = {0};
    struct api_mark mark = api_mark(s->api->d);
    int rc = score ? recommend_score(s->recommend, q, &a, &e) : recommend_rank(s->recommend, q, &a, &e);
    if (rc < 0) {
        api_send_err(x, &e);
        return;
    }
    struct buf *b = http_scratch(x);
    add_user(b, q->user);
    buf_add_str(b, ",\"basis\":\"");
    buf_add_str(b, basis_names[a.basis]);
    buf_add_char(b, '"');
    api_add_mark(s, &mark, b);
    if (a.n_unknown) {
        buf_add_str(b, ",\"unknown_items\":");
        buf_add_u64(b, a.n_unknown);
        api_count(&s->api->unknown_items, a.n_unknown);
    }
    buf_add_char(b, ',');
    api_add_items(&a, b);
    buf_add_char(b, '}');
    api_count(&s->api->basis[a.basis], 1);
    recommend_done(s->recommend);
    api_send(x, 200, b);
}

API_HANDLER(api_get_recommend) {
    struct api_seat *s = seat;
    struct recommend_request q = {.wall_ms = clock_wall_ms()};
    int64_t k = default_k(s);
    size_t most = max_items(s) < API_MAX_LIST ? max_items(s) : API_MAX_LIST;
    if (!api_known_params(x, r, "user,k,exclude,history,cart,keep_used,explain")) return;
    if (api_param_id(x, r, "user", s->user, &q.user) < 0) return;
    if (api_param_int(x, r, "k", 1, max_k(s), &k) < 0) return;
    if (api_param_flag(x, r, "keep_used", &q.keep_used) < 0) return;
    if (api_param_flag(x, r, "explain", &q.explain) < 0) return;
    if (api_param_list(x, r, "exclude", s->exclude_text, s->exclude, most, &q.n_exclude) < 0) return;
    if (api_param_list(x, r, "history", s->history_text, s->history, most, &q.n_history) < 0) return;
    if (api_param_list(x, r, "cart", s->cart_text, s->cart, most, &q.n_cart) < 0) return;
    q.k = (uint32_t)k;
    q.cart = s->cart;
    q.exclude = s->exclude;
    q.history = s->history;
    answer(x, s, &q, false);
}

/* Parses the body and answers; a refusal of the body is a 400. */
static void post(struct http_exchange *x, const struct http_request *r, struct api_seat *s, enum request_kind kind) {
    struct request_limits limits = {.max_k = max_k(s), .max_items = max_items(s)};
    struct request body = {0};
    char limit[REQUEST_LIMIT_TEXT];
    struct err e = {0};
    if (!api_known_params(x, r, "")) return;
    int rc = request_parse(r->body, kind, &limits, &body, limit, &e);
    if (rc == ERR_NOMEM) {
        api_send_err(x, &e);
        return;
    }
    if (rc < 0) {
        const char *code = e.field[0] ? "bad_field" : "bad_body";
        if (rc == ERR_RANGE) code = "out_of_range";
        if (rc == ERR_MISMATCH) code = "unknown_field";
        http_reply_error(x, 400, code, e.text, e.field[0] ? e.field : NULL, limit[0] ? limit : NULL, NULL);
        return;
    }
    struct recommend_request q = {.user = body.user,
                                  .history = body.history,
                                  .n_history = body.n_history,
                                  .cart = body.cart,
                                  .n_cart = body.n_cart,
                                  .exclude = body.exclude,
                                  .n_exclude = body.n_exclude,
                                  .only = body.items,
                                  .n_only = body.n_items,
                                  .keep_used = body.keep_used,
                                  .explain = body.explain,
                                  .k = body.k ? body.k : default_k(s),
                                  .wall_ms = clock_wall_ms()};
    answer(x, s, &q, kind == REQUEST_SCORE);
    request_free(&body);
}

API_HANDLER(api_post_recommend) { post(x, r, seat, REQUEST_RECOMMEND); }
API_HANDLER(api_post_score) { post(x, r, seat, REQUEST_SCORE); }

API_HANDLER(api_get_similar) {
    struct api_seat *s = seat;
    struct slice item = {0};
    struct recommend_answer a;
    struct err e = {0};
    int64_t k = default_k(s);
    if (!api_known_params(x, r, "item,k")) return;
    int rc = api_param_id(x, r, "item", s->item, &item);
    if (rc < 0 || api_param_int(x, r, "k", 1, max_k(s), &k) < 0) return;
    if (rc == 0) {
        http_reply_error(x, 400, "missing_parameter", "item is missing", "item", NULL, NULL);
        return;
    }
    struct api_mark mark = api_mark(s->api->d);
    rc = recommend_similar(s->recommend, item, (uint32_t)k, clock_wall_ms(), &a, &e);
    if (rc == ERR_MISSING) {
        http_reply_error(x, 404, "unknown_item", "no item of that name has been seen", "item", NULL, NULL);
        return;
    }
    if (rc < 0) {
        api_send_err(x, &e);
        return;
    }
    struct buf *b = http_scratch(x);
    buf_add_str(b, "{\"item\":");
    buf_add_json(b, item);
    api_add_mark(s, &mark, b);
    buf_add_char(b, ',');
    api_add_items(&a, b);
    buf_add_char(b, '}');
    recommend_done(s->recommend);
    api_send(x, 200, b);
}

API_HANDLER(api_get_popular) {
    struct api_seat *s = seat;
    struct recommend_answer a;
    struct err e = {0};
    int64_t k = default_k(s);
    if (!api_known_params(x, r, "k") || api_param_int(x, r, "k", 1, max_k(s), &k) < 0) return;
    struct api_mark mark = api_mark(s->api->d);
    if (recommend_popular(s->recommend, (uint32_t)k, clock_wall_ms(), &a, &e) < 0) {
        api_send_err(x, &e);
        return;
    }
    struct buf *b = http_scratch(x);
    buf_add_str(b, "{\"basis\":\"popular\"");
    api_add_mark(s, &mark, b);
    buf_add_char(b, ',');
    api_add_items(&a, b);
    buf_add_char(b, '}');
    recommend_done(s->recommend);
    api_send(x, 200, b);
}

static void add_extremes(struct buf *b, const char *name, const struct factor_item *items, uint32_t n) {
    buf_printf(b, ",\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++) {
        buf_add_str(b, i ? ",{\"item\":" : "{\"item\":");
        buf_add_json(b, items[i].id);
        buf_add_str(b, ",\"value\":");
        buf_add_float(b, items[i].value);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

static void add_factors(struct buf *b, const struct factors *f) {
    buf_printf(b, ",\"items_considered\":%u,\"factors\":[", f->n_items);
    for (uint32_t d = 0; d < f->dim; d++) {
        const struct factor *one = &f->factor[d];
        buf_printf(b, "%s{\"dimension\":%u,\"mean\":", d ? "," : "", one->dimension);
        buf_add_float(b, (float)one->mean);
        buf_add_str(b, ",\"deviation\":");
        buf_add_float(b, (float)one->deviation);
        add_extremes(b, "highest", one->highest, one->n);
        add_extremes(b, "lowest", one->lowest, one->n);
        buf_add_char(b, '}');
    }
    buf_add_str(b, "]}");
}

/* Of the most popular items: nobody knows what to make of the others' names. */
API_HANDLER(api_get_factors) {
    struct api_seat *s = seat;
    struct recommend_answer a;
    struct factors f = {0};
    struct err e = {0};
    int64_t k = API_DEFAULT_EXTREMES;
    if (!api_known_params(x, r, "k") || api_param_int(x, r, "k", 1, FACTORS_MAX, &k) < 0) return;
    struct api_mark mark = api_mark(s->api->d);
    int rc = recommend_popular(s->recommend, TOPK_MAX, clock_wall_ms(), &a, &e);
    if (rc == 0) {
        rc = factors_find(s->api->d->engine->model->items, &a, (uint32_t)k, &f, &e);
        if (rc < 0) recommend_done(s->recommend);
    }
    if (rc < 0) {
        api_send_err(x, &e);
        return;
    }
    struct buf *b = http_scratch(x);
    buf_add_str(b, "{\"basis\":\"popular\"");
    api_add_mark(s, &mark, b);
    add_factors(b, &f);
    recommend_done(s->recommend);
    factors_free(&f);
    api_send(x, 200, b);
}

API_HANDLER(api_healthz) {
    (void)seat;
    if (!api_known_params(x, r, "")) return;
    http_reply(x, 200, API_JSON, NULL, slice_str("{\"status\":\"ok\"}"));
}

API_HANDLER(api_readyz) {
    struct api_seat *s = seat;
    struct daemon *d = s->api->d;
    if (!api_known_params(x, r, "")) return;
    int64_t most = atomic_load_explicit(&d->ready_max_lag_ms, memory_order_relaxed);
    int64_t lag = atomic_load_explicit(&s->api->lag_ms, memory_order_relaxed);
    bool loading = !atomic_load(&d->ready), stopping = atomic_load(&d->stopping), behind = most >= 0 && lag > most;
    if (!loading && !stopping && !behind) {
        http_reply(x, 200, API_JSON, NULL, slice_str("{\"status\":\"ready\"}"));
        return;
    }
    char text[160], limit[24];
    snprintf(limit, sizeof limit, "%" PRId64 "ms", most);
    snprintf(text, sizeof text, "%s", stopping ? "stopping" : "loading the model");
    if (!loading && !stopping)
        snprintf(text, sizeof text, "learning is %" PRId64 " ms behind; http.ready_max_lag allows %" PRId64 " ms", lag,
                 most);
    const char *code = stopping ? "stopping" : loading ? "loading" : "lagging";
    http_reply_error(x, 503, code, text, NULL, behind && !loading && !stopping ? limit : NULL, "Retry-After: 1\r\n");
}
