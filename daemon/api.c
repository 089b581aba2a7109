/* The table of routes, and what the answering threads share. */
#include <string.h>

#include "daemon/api_lag.h"
#include "daemon/api_priv.h"
#include "lib/base/check.h"
#include "lib/base/mem.h"

#define EVENT_BODIES "application/json,application/x-ndjson,application/ndjson,application/jsonl,application/json-lines"

const struct http_route api_routes[] = {
    {"/healthz", HTTP_GET, HTTP_OPEN, NULL, api_healthz},
    {"/readyz", HTTP_GET, HTTP_OPEN, NULL, api_readyz},
    {"/v1/recommend", HTTP_GET, HTTP_READ, NULL, api_get_recommend},
    {"/v1/recommend", HTTP_POST, HTTP_READ, API_JSON, api_post_recommend},
    {"/v1/similar", HTTP_GET, HTTP_READ, NULL, api_get_similar},
    {"/v1/popular", HTTP_GET, HTTP_READ, NULL, api_get_popular},
    {"/v1/factors", HTTP_GET, HTTP_READ, NULL, api_get_factors},
    {"/v1/score", HTTP_POST, HTTP_READ, API_JSON, api_post_score},
    {"/v1/events", HTTP_POST, HTTP_INGEST, EVENT_BODIES, api_post_events},
    /* from here on the admin listener alone */
    {"/admin/status", HTTP_GET, HTTP_ADMIN, NULL, api_get_status},
    {"/admin/digest", HTTP_GET, HTTP_ADMIN, NULL, api_get_digest},
    {"/admin/checkpoint", HTTP_POST, HTTP_ADMIN, NULL, api_post_checkpoint},
    {"/admin/pause", HTTP_POST, HTTP_ADMIN, NULL, api_post_pause},
    {"/admin/resume", HTTP_POST, HTTP_ADMIN, NULL, api_post_resume},
    {"/admin/bad-events", HTTP_GET, HTTP_ADMIN, NULL, api_get_bad_events},
    {"/admin/config", HTTP_GET, HTTP_ADMIN, NULL, api_get_config},
};
const size_t api_n_public = 9, api_n_routes = sizeof api_routes / sizeof api_routes[0];
_Static_assert(sizeof api_routes / sizeof api_routes[0] <= API_MAX_ROUTES, "room for the histogram of every route");

/* What POST /v1/events takes: never what its source would refuse afterwards. */
static int allow_events(struct api *a, struct err *e) {
    const struct config *c = &a->d->config;
    const struct event_rules *rules = &a->d->engine->rules;
    uint32_t behaviour = 0, source = 0;
    int rc = event_allow_parse(rules, "behaviour", &behaviour, e);
    if (rc == 0) rc = event_allow_parse(rules, a->to_kafka ? c->kafka_allowed_types : c->log_allowed_types, &source, e);
    if (rc < 0) return rc;
    a->allow[API_PUBLIC] = behaviour & source;
    a->allow[API_ADMIN] = source;
    return 0;
}

int api_new(struct daemon *d, struct api **out, struct err *e) {
    struct api *a = mem_zalloc(sizeof *a);
    if (!a) return err_set(e, ERR_NOMEM, "api", "no memory");
    a->d = d;
    a->to_kafka = !config_own_log(&d->config);
    a->max_batch = (size_t)d->config.intake_max_batch;
    a->deadline_ns = (uint64_t)d->config.intake_deadline_ms * 1000000;
    a->lag = api_lag_new(d->sources, d->n_sources);
    int rc = a->lag ? allow_events(a, e) : err_set(e, ERR_NOMEM, "api", "no memory");
    if (rc == 0)
        *out = a;
    else
        api_free(a);
    return rc;
}

void api_free(struct api *a) {
    if (!a) return;
    api_lag_free(a->lag);
    mem_free(a);
}

struct http_limits api_limits(const struct config *c) {
    return (struct http_limits){.max_header = c->http_max_header,
                                .max_body = c->http_max_body,
                                .max_connections = (unsigned)c->http_max_connections,
                                .request_timeout_ms = c->http_request_timeout_ms,
                                .idle_timeout_ms = c->http_idle_timeout_ms};
}

int api_seat_new(struct api *a, enum api_listener listener, struct event_base *base, unsigned reader,
                 struct api_seat **out, struct err *e) {
    struct api_seat *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "api", "no memory for an answering thread");
    s->api = a;
    s->listener = listener;
    s->base = base;
    s->as_of_ms = INT64_MIN;
    s->arena = event_arena_new();
    int rc = s->arena ? mailbox_new(base, &s->mailbox, e) : err_set(e, ERR_NOMEM, "api", "no memory for events");
    if (rc == 0) rc = recommend_new(a->d->engine->model, reader, &s->recommend, e);
    if (rc == 0)
        *out = s;
    else
        api_seat_free(s);
    return rc;
}

void api_seat_free(struct api_seat *s) {
    if (!s) return;
    if (s->mailbox) mailbox_free(s->mailbox);
    CHECK(atomic_load(&s->jobs) == 0);
    recommend_free(s->recommend);
    event_arena_free(s->arena);
    mem_free(s);
}

static void note_latency(void *arg, const struct http_route *route, int status, uint64_t latency_ns) {
    struct api_seat *s = arg;
    size_t at = route ? (size_t)(route - api_routes) : api_n_routes;
    (void)status;
    histogram_add(&s->api->latency[s->listener][at], latency_ns);
}

struct http_server_options api_server_options(struct api_seat *s, const struct http_tokens *tokens) {
    struct daemon *d = s->api->d;
    bool public = s->listener == API_PUBLIC;
    return (struct http_server_options){.routes = api_routes,
                                        .n_routes = public ? api_n_public : api_n_routes,
                                        .arg = s,
                                        .limits = api_limits(&d->config),
                                        .hosts = d->config.http_hosts,
                                        .tokens = tokens,
                                        .stats = public ? &d->public_http : &d->admin_http,
                                        .done = note_latency};
}
