/* The metrics that have labels. Label values are ours or names from the configuration; both are escaped. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api_lag.h"
#include "daemon/api_metrics.h"

#define LABELS 512 /* bytes of a rendered set of labels; longer ones are cut between pairs */

struct labels {
    char text[LABELS];
    size_t n;
};

/* Appends name="value", escaped as the format asks for. */
static void label(struct labels *l, const char *name, const char *value) {
    char pair[LABELS];
    size_t n = (size_t)snprintf(pair, 64, "%s%s=\"", l->n ? "," : "", name);
    for (; *value && n + 4 < sizeof pair; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n') pair[n++] = '\\';
        pair[n++] = *value == '\n' ? 'n' : *value;
    }
    pair[n++] = '"';
    if (l->n + n >= sizeof l->text) return;
    memcpy(l->text + l->n, pair, n);
    l->n += n;
    l->text[l->n] = '\0';
}

static struct labels one(const char *name, const char *value) {
    struct labels l = {.n = 0};
    label(&l, name, value);
    return l;
}

static struct labels two(const char *name, const char *value, const char *name2, const char *value2) {
    struct labels l = one(name, value);
    label(&l, name2, value2);
    return l;
}

#define SET(collector) void api_metrics_##collector(const struct metrics *m, const char *metric)

static void put(const struct metrics *m, const char *metric, struct labels l, double value) {
    api_metric(m->out, metric, l.text, value);
}

static const char *const kind_names[] = {[EVENT_BEHAVIOUR] = "behaviour",
                                         [EVENT_IMPRESSION] = "impression",
                                         [EVENT_ITEM] = "item",
                                         [EVENT_USER] = "user",
                                         [EVENT_DELETE] = "delete"};

SET(set_build_info) { put(m, metric, one("version", RANKD_VERSION), 1); }

SET(set_kinds) {
    for (int k = 0; k <= EVENT_DELETE; k++)
        put(m, metric, one("kind", kind_names[k]), (double)api_load(&m->g->published_kinds[k]));
}

SET(set_skipped) {
    for (int k = EVENT_OK + 1; k < EVENT_REASONS; k++)
        put(m, metric, one("reason", event_reason_name((enum event_reason)k)),
            (double)api_load(&m->g->published_skipped[k]));
}

/* What was learned or stored always; what was skipped, for the reasons that have been met. */
static void put_outcomes(const struct metrics *m, const char *metric, const struct engine_source *s, size_t row) {
    const bool learns = row < EVENT_MAX_TYPES, unknown = row + 1 == ENGINE_COUNTED_TYPES;
    const char *type = learns ? m->g->types[row] : unknown ? "unknown" : kind_names[row - EVENT_MAX_TYPES + 1];
    for (int k = EVENT_OK; k < EVENT_REASONS; k++) {
        const char *outcome = k != EVENT_OK ? event_reason_name((enum event_reason)k) : learns ? "learned" : "stored";
        const uint64_t n = api_load(&s->outcomes->n[row][k]);
        struct labels l = two("source", s->name, "type", type);
        label(&l, "outcome", outcome);
        if (n > 0 || (k == EVENT_OK && !unknown)) put(m, metric, l, (double)n);
    }
}

SET(set_events) {
    for (size_t i = 0; i < m->d->n_sources; i++) {
        const struct engine_source *s = &m->g->sources[m->d->sources[i].index];
        for (size_t row = 0; row < ENGINE_COUNTED_TYPES; row++)
            if (row < m->g->n_types || row >= EVENT_MAX_TYPES) put_outcomes(m, metric, s, row);
    }
}

SET(set_rules) { /* on the main thread; see daemon/engine.h */
    epoch_enter(m->model->epoch, DAEMON_READER_MAIN);
    const struct reweight *w = engine_in_force(m->g);
    for (size_t k = 0; k < w->n; k++)
        put(m, metric, one("rule", w->rules[k].name), (double)api_load(&w->rules[k].matched));
    epoch_leave(m->model->epoch, DAEMON_READER_MAIN);
}

/* --- live quality --- */

/* Every figure of every cohort that was judged; value: of one of them, NaN is left out. */
static void each_figure(const struct metrics *m, const char *metric, double (*value)(const struct quality_mean *mean)) {
    static const char *const of_names[] = {"model", "popularity", "difference"};
    for (uint32_t c = 0; c < QUALITY_COHORTS; c++) {
        const char *by, *part;
        struct quality_view v;
        quality_read(&m->model->quality, c, &v);
        if (v.cases <= 0 || !api_quality_cohort(m->g, c, &by, &part)) continue;
        for (int f = 0; f < QUALITY_FIGURES; f++) {
            const struct quality_mean *const means[] = {&v.of[f].model, &v.of[f].popular, &v.of[f].difference};
            for (int k = 0; k < 3; k++) {
                struct labels l = two("by", by, "part", part);
                label(&l, "figure", quality_figure_name((enum quality_figure)f));
                label(&l, "of", of_names[k]);
                if (!isnan(value(means[k]))) put(m, metric, l, value(means[k]));
            }
        }
    }
}

static double mean_value(const struct quality_mean *mean) { return mean->value; }
static double mean_band(const struct quality_mean *mean) { return mean->band; }
SET(set_quality) { each_figure(m, metric, mean_value); }
SET(set_quality_band) { each_figure(m, metric, mean_band); }

SET(set_quality_judged) {
    for (uint32_t c = 0; c < QUALITY_COHORTS; c++) {
        const char *by, *part;
        struct quality_view v;
        quality_read(&m->model->quality, c, &v);
        if (v.cases > 0 && api_quality_cohort(m->g, c, &by, &part))
            put(m, metric, two("by", by, "part", part), v.cases);
    }
}

/* --- sources --- */

SET(set_source_up) {
    for (size_t i = 0; i < m->d->n_sources; i++) {
        const struct source *s = &m->d->sources[i];
        int state = atomic_load_explicit(&s->state, memory_order_relaxed);
        put(m, metric, two("source", s->name, "state", api_source_state(state)), state == SOURCE_RUNNING);
    }
}

/* One value for each partition. */
static void each_partition(const struct metrics *m, const char *metric,
                           double (*value)(const struct metrics *m, size_t source, uint32_t partition)) {
    for (size_t i = 0; i < m->d->n_sources; i++) {
        const struct source *s = &m->d->sources[i];
        uint32_t n = atomic_load_explicit(&s->n_partitions, memory_order_relaxed);
        for (uint32_t p = 0; p < n; p++) {
            char number[16];
            snprintf(number, sizeof number, "%u", p);
            put(m, metric, two("source", s->name, "partition", number), value(m, i, p));
        }
    }
}

static double position(const struct metrics *m, size_t i, uint32_t p) {
    return (double)api_lag_now(&m->d->sources[i], p, 1).position;
}
static double end(const struct metrics *m, size_t i, uint32_t p) {
    return (double)api_lag_now(&m->d->sources[i], p, 1).end;
}
static double lag_events(const struct metrics *m, size_t i, uint32_t p) {
    return (double)api_lag_now(&m->d->sources[i], p, api_event_bytes(m->d)).events;
}
static double lag_seconds(const struct metrics *m, size_t i, uint32_t p) {
    return (double)(api_lag_ns(m->a->lag, i, p) / 1000000) / 1e3;
}
SET(set_position) { each_partition(m, metric, position); }
SET(set_end) { each_partition(m, metric, end); }
SET(set_lag_events) { each_partition(m, metric, lag_events); }
SET(set_lag_seconds) { each_partition(m, metric, lag_seconds); }

#define SOURCE_SET(collector, member)                                                                                  \
    SET(collector) {                                                                                                   \
        for (size_t i = 0; i < m->d->n_sources; i++)                                                                   \
            put(m, metric, one("source", m->d->sources[i].name), (double)api_load(&m->d->sources[i].member));          \
    }
SOURCE_SET(set_gaps, gaps)
SOURCE_SET(set_duplicates, duplicates)
SOURCE_SET(set_reconnects, reconnects)
SOURCE_SET(set_breaks, breaks)
SOURCE_SET(set_waits, waits)

SET(set_unread) {
    for (size_t i = 0; i < m->d->n_sources; i++) {
        const struct source *s = &m->d->sources[i];
        put(m, metric, one("source", s->name), (double)atomic_load_explicit(&s->n_unread, memory_order_relaxed));
    }
}

/* --- intake and answers --- */

SET(set_intake_requests) {
    for (int k = 0; k < API_INTAKE_OUTCOMES; k++)
        put(m, metric, one("outcome", api_intake_outcomes[k]), (double)api_load(&m->a->intake[k]));
}

SET(set_intake_rejected) {
    for (int k = EVENT_OK + 1; k < EVENT_REASONS; k++)
        put(m, metric, one("reason", event_reason_name((enum event_reason)k)), (double)api_load(&m->a->rejected[k]));
}

SET(set_basis) {
    static const char *const names[] = {[RECOMMEND_PERSONAL] = "personal",
                                        [RECOMMEND_HISTORY] = "history",
                                        [RECOMMEND_DESCRIBED] = "described",
                                        [RECOMMEND_POPULAR] = "popular"};
    for (int k = RECOMMEND_PERSONAL; k <= RECOMMEND_POPULAR; k++)
        put(m, metric, one("basis", names[k]), (double)api_load(&m->a->basis[k]));
}

/* --- HTTP --- */

SET(set_latency) {
    static const char *const listeners[] = {[API_PUBLIC] = "public", [API_ADMIN] = "admin"};
    for (int k = 0; k < API_LISTENERS; k++) {
        for (size_t r = 0; r <= api_n_routes; r++) {
            const struct histogram *h = &m->a->latency[k][r];
            char route[80] = "none";
            if (api_load(&h->count) == 0) continue; /* a route nobody has asked for yet */
            if (r < api_n_routes)
                snprintf(route, sizeof route, "%s %s", api_routes[r].method == HTTP_GET ? "GET" : "POST",
                         api_routes[r].path);
            struct labels l = two("listener", listeners[k], "route", route);
            api_metric_histogram(m->out, metric, l.text, h);
        }
    }
}

SET(set_replies) {
    static const char *const classes[] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};
    const struct http_stats *const all[] = {&m->d->public_http, &m->d->admin_http, &m->d->metrics_http};
    static const char *const names[] = {"public", "admin", "metrics"};
    for (int i = 0; i < 3; i++)
        for (int c = 2; c < 6; c++)
            put(m, metric, two("listener", names[i], "class", classes[c]), (double)api_load(&all[i]->replies[c]));
}

SET(set_errors) {
    const struct http_stats *const all[] = {&m->d->public_http, &m->d->admin_http, &m->d->metrics_http};
    static const char *const names[] = {"public", "admin", "metrics"};
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < HTTP_ERROR_CODES; k++)
            if (api_load(&all[i]->errors[k]) > 0)
                put(m, metric, two("listener", names[i], "code", http_error_codes[k]),
                    (double)api_load(&all[i]->errors[k]));
}

#define HTTP_SET(collector, member)                                                                                    \
    SET(collector) {                                                                                                   \
        put(m, metric, one("listener", "public"), (double)api_load(&m->d->public_http.member));                        \
        put(m, metric, one("listener", "admin"), (double)api_load(&m->d->admin_http.member));                          \
        put(m, metric, one("listener", "metrics"), (double)api_load(&m->d->metrics_http.member));                      \
    }
HTTP_SET(set_open, open)
HTTP_SET(set_accepted, accepted)
HTTP_SET(set_at_limit, at_connection_limit)
HTTP_SET(set_no_descriptors, refused_emfile)
HTTP_SET(set_malformed, malformed)
HTTP_SET(set_timeouts, timeouts)
HTTP_SET(set_disconnects, disconnects)
