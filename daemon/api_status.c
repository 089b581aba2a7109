/* GET /admin/status: everything an operator looks at first, as one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api_lag.h"
#include "daemon/api_priv.h"
#include "lib/base/clock.h"

static const char *const kind_names[] = {[EVENT_BEHAVIOUR] = "behaviour",
                                         [EVENT_IMPRESSION] = "impression",
                                         [EVENT_ITEM] = "item",
                                         [EVENT_USER] = "user",
                                         [EVENT_DELETE] = "delete"};

static void open_object(struct buf *b, const char *name) {
    if (b->n && b->p[b->n - 1] != '{') buf_add_char(b, ',');
    buf_add_json(b, slice_str(name));
    buf_add_str(b, ":{");
}

static void name_of(struct buf *b, const char *name) {
    if (b->n && b->p[b->n - 1] != '{') buf_add_char(b, ',');
    buf_add_json(b, slice_str(name));
    buf_add_char(b, ':');
}

static void add_u64(struct buf *b, const char *name, uint64_t v) {
    name_of(b, name);
    buf_add_u64(b, v);
}

static void add_double(struct buf *b, const char *name, double v) {
    name_of(b, name);
    buf_add_double(b, v);
}

static void add_text(struct buf *b, const char *name, const char *text) {
    name_of(b, name);
    if (*text)
        buf_add_json(b, slice_str(text));
    else
        buf_add_str(b, "null");
}

static void add_stat(struct buf *b, const char *name, const _Atomic uint64_t *v) { add_u64(b, name, api_load(v)); }

static void add_events(struct buf *b, const struct engine *g) {
    open_object(b, "events");
    add_stat(b, "learned", &g->published_learned);
    open_object(b, "skipped");
    for (int k = EVENT_OK + 1; k < EVENT_REASONS; k++)
        if (api_load(&g->published_skipped[k]))
            add_stat(b, event_reason_name((enum event_reason)k), &g->published_skipped[k]);
    buf_add_char(b, '}');
    open_object(b, "kinds");
    for (int k = 0; k <= EVENT_DELETE; k++) add_stat(b, kind_names[k], &g->published_kinds[k]);
    buf_add_char(b, '}');
    open_object(b, "types"); /* since the start */
    for (size_t t = 0; t < g->n_types; t++) add_u64(b, g->types[t], engine_learned_of(g, t));
    buf_add_str(b, "}}");
}

static void add_partition(struct buf *b, const struct api *a, size_t at, int64_t partition, double event_bytes) {
    const struct source *s = &a->d->sources[at];
    struct api_lag_now lag = {.bytes = strncmp(s->name, "kafka:", 6) != 0};
    if (partition >= 0) lag = api_lag_now(s, (uint32_t)partition, event_bytes);
    buf_add_char(b, '{');
    add_text(b, "name", s->name);
    add_text(b, "state", api_source_state(atomic_load_explicit(&s->state, memory_order_relaxed)));
    name_of(b, "stop_reason");
    struct slice reason = api_stop_reason(s);
    if (reason.n)
        buf_add_json(b, reason);
    else
        buf_add_str(b, "null");
    add_text(b, "unit", lag.bytes ? "bytes" : "events");
    if (partition < 0) { /* nothing is known of its partitions yet */
        buf_add_str(b, ",\"partition\":null,\"position\":null,\"end\":null,\"lag_events\":null,\"lag_seconds\":null}");
        return;
    }
    add_u64(b, "partition", (uint64_t)partition);
    add_u64(b, "position", lag.position);
    add_u64(b, "end", lag.end);
    add_u64(b, "lag_events", lag.events);
    add_double(b, "lag_seconds", (double)(api_lag_ns(a->lag, at, (uint32_t)partition) / 1000000) / 1e3);
    buf_add_char(b, '}');
}

static void add_sources(struct buf *b, const struct api *a) {
    const struct daemon *d = a->d;
    double event_bytes = api_event_bytes(d);
    uint64_t lag_events = 0;
    bool first = true;
    name_of(b, "sources");
    buf_add_char(b, '[');
    for (size_t i = 0; i < d->n_sources; i++) {
        uint32_t n = atomic_load_explicit(&d->sources[i].n_partitions, memory_order_relaxed);
        for (int64_t p = n ? 0 : -1; p < (int64_t)n; p++) {
            if (!first) buf_add_char(b, ',');
            first = false;
            add_partition(b, a, i, p, event_bytes);
            if (p >= 0) lag_events += api_lag_now(&d->sources[i], (uint32_t)p, event_bytes).events;
        }
    }
    buf_add_char(b, ']');
    add_u64(b, "lag_events", lag_events);
    add_double(b, "lag_seconds", (double)atomic_load_explicit(&a->lag_ms, memory_order_relaxed) / 1e3);
}

static const char *learning_state(const struct daemon *d) {
    if (learner_paused(d->learner)) return "paused";
    for (size_t i = 0; i < d->n_sources; i++)
        if (atomic_load_explicit(&d->sources[i].state, memory_order_relaxed) == SOURCE_STOPPED) return "stopped";
    return "running";
}

/* The reweighting rules in force. The learner may put others in their place meanwhile. */
static void add_rules(struct buf *b, const struct daemon *d) {
    struct epoch *epoch = d->engine->model->epoch;
    epoch_enter(epoch, DAEMON_READER_MAIN);
    const struct reweight *w = engine_in_force(d->engine);
    open_object(b, "rules");
    add_u64(b, "since", w->since);
    name_of(b, "pending");
    buf_add_str(b, learner_has_new_rules(d->learner) ? "true" : "false");
    name_of(b, "in_force");
    buf_add_char(b, '[');
    for (size_t k = 0; k < w->n; k++) {
        const struct reweight_rule *r = &w->rules[k];
        buf_add_str(b, k ? ",{" : "{");
        add_text(b, "name", r->name);
        add_text(b, "types", r->types);
        add_text(b, "sources", r->sources);
        add_text(b, "from", r->from);
        add_text(b, "until", r->until);
        add_text(b, "attributes", r->attributes);
        add_double(b, "weight", (double)r->weight);
        name_of(b, "history");
        buf_add_str(b, r->apart ? "false" : "true");
        add_stat(b, "matched", &r->matched);
        buf_add_char(b, '}');
    }
    buf_add_str(b, "]}");
    epoch_leave(epoch, DAEMON_READER_MAIN);
}

static void add_hit_rate(struct buf *b, uint64_t hits, uint64_t misses) {
    add_double(b, "hit_rate", hits + misses ? (double)hits / (double)(hits + misses) : 1);
}

static void add_model(struct buf *b, const struct daemon *d) {
    const struct model *m = d->engine->model;
    const struct users_stats *u = users_stats(m->users);
    const struct neighbours_stats *n = neighbours_stats(m->neighbours);
    add_stat(b, "items", &m->stats.items);
    add_stat(b, "live_items", &m->stats.live);
    add_u64(b, "max_items", m->params.max_items);
    add_stat(b, "items_full", &m->stats.items_full);
    add_stat(b, "users_cached", &u->cached);
    open_object(b, "user_cache");
    add_stat(b, "bytes", &u->cached_bytes);
    add_u64(b, "max_bytes", users_cache_bytes(m->users));
    add_stat(b, "dirty_bytes", &u->dirty_bytes);
    add_hit_rate(b, api_load(&u->hits), api_load(&u->misses));
    add_stat(b, "evicted", &u->evicted);
    buf_add_char(b, '}');
    open_object(b, "neighbour_cache");
    add_stat(b, "rows", &n->cached);
    add_stat(b, "bytes", &n->cached_bytes);
    add_u64(b, "max_bytes", neighbours_cache_bytes(m->neighbours));
    add_stat(b, "dirty_bytes", &n->dirty_bytes);
    add_hit_rate(b, api_load(&n->hits), api_load(&n->misses));
    add_stat(b, "evicted", &n->evicted);
    buf_add_char(b, '}');
}

static void add_checkpoint(struct buf *b, const struct daemon *d) {
    const struct learner_stats *l = learner_stats(d->learner);
    open_object(b, "checkpoint");
    add_double(b, "last_ms", (double)api_load(&l->last_checkpoint_ns) / 1e6);
    add_stat(b, "last_bytes", &l->last_checkpoint_bytes);
    add_stat(b, "count", &l->checkpoints);
    add_stat(b, "failures", &l->checkpoint_failures);
    add_double(b, "longest_pause_ms", (double)api_load(&l->longest_pause_ns) / 1e6);
    add_double(b, "unsaved_seconds", api_unsaved_seconds(d, clock_steady_ns()));
    add_stat(b, "budget_overruns", &l->budget_overrun);
    buf_add_char(b, '}');
}

static void add_http_stats(struct buf *b, const char *name, const struct http_stats *h) {
    open_object(b, name);
    add_stat(b, "open", &h->open);
    add_stat(b, "accepted", &h->accepted);
    add_stat(b, "replies_2xx", &h->replies[2]);
    add_stat(b, "replies_4xx", &h->replies[4]);
    add_stat(b, "replies_5xx", &h->replies[5]);
    add_stat(b, "malformed", &h->malformed);
    add_stat(b, "timeouts", &h->timeouts);
    add_stat(b, "disconnects", &h->disconnects);
    add_stat(b, "at_connection_limit", &h->at_connection_limit);
    buf_add_char(b, '}');
}

static void add_intake(struct buf *b, const struct api *a) {
    name_of(b, "intake");
    if (!a->d->intake) {
        buf_add_str(b, "null");
        return;
    }
    const struct intake_stats *i = intake_stats(a->d->intake);
    uint64_t rejected = 0;
    for (int k = 0; k < EVENT_REASONS; k++) rejected += api_load(&a->rejected[k]);
    buf_add_char(b, '{');
    add_text(b, "into", a->to_kafka ? "kafka" : "log");
    add_stat(b, "accepted", &a->accepted);
    add_stat(b, "without_id", &a->without_id);
    add_u64(b, "rejected", rejected);
    add_stat(b, "queued_bytes", &i->queued_bytes);
    add_stat(b, "commits", &i->commits);
    add_stat(b, "failures", &i->failures);
    add_stat(b, "refused_full", &i->refused_full);
    add_stat(b, "unknown", &i->unknown);
    buf_add_char(b, '}');
}

static void add_places(struct buf *b, const struct daemon *d) {
    struct api_memory m = api_memory();
    open_object(b, "memory");
    add_u64(b, "rss", m.rss);
    add_u64(b, "rss_anon", m.rss_anon);
    buf_add_char(b, '}');
    open_object(b, "http");
    add_http_stats(b, "public", &d->public_http);
    add_http_stats(b, "admin", &d->admin_http);
    add_http_stats(b, "metrics", &d->metrics_http);
    buf_add_char(b, '}');
    add_text(b, "data_dir", d->config.data_dir);
    open_object(b, "addresses");
    add_text(b, "http", d->http_bound);
    add_text(b, "metrics", d->metrics_bound);
    add_text(b, "admin", d->admin_bound);
    add_text(b, "admin_socket", d->admin_socket);
    buf_add_char(b, '}');
}

API_HANDLER(api_get_status) {
    struct api_seat *s = seat;
    const struct daemon *d = s->api->d;
    if (!api_known_params(x, r, "")) return;
    struct api_mark mark = api_mark(d);
    struct buf *b = http_scratch(x);
    buf_add_char(b, '{');
    add_text(b, "version", RANKD_VERSION);
    api_add_mark(s, &mark, b);
    add_text(b, "state", learning_state(d));
    add_double(b, "uptime_s", (double)(clock_wall_ms() - d->started_wall_ms) / 1e3);
    add_events(b, d->engine);
    add_sources(b, s->api);
    add_model(b, d);
    add_rules(b, d);
    api_add_quality(d->engine, b);
    add_u64(b, "queue_bytes", inbox_bytes(d->inbox));
    add_checkpoint(b, d);
    add_intake(b, s->api);
    add_places(b, d);
    buf_add_char(b, '}');
    api_send(x, 200, b);
}
