/* GET /metrics: the table metrics.def as Prometheus text. */
#include "daemon/api_metrics.h"

#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/model/feature.h"
#include "lib/model/item_aside.h"
#include "lib/model/segment.h"

#define TEXT_004 "text/plain; version=0.0.4; charset=utf-8"

#define LOAD(v)     ((double)atomic_load_explicit(&(v), memory_order_relaxed))
#define LOAD_I64(v) atomic_load_explicit(&(v), memory_order_relaxed)
#define SECONDS(ns) ((double)(ns) / 1e9)

struct api_metrics {
    struct api *api;
    struct http_server *server;
};

void api_metric(struct buf *out, const char *name, const char *labels, double value) {
    buf_add_str(out, name);
    if (*labels) {
        buf_add_char(out, '{');
        buf_add_str(out, labels);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ' ');
    buf_add_double(out, value);
    buf_add_char(out, '\n');
}

void api_metric_histogram(struct buf *out, const char *name, const char *labels, const struct histogram *h) {
    const char *comma = *labels ? "," : "";
    uint64_t sum = 0;
    for (int k = 0; k < HISTOGRAM_BUCKETS - 1; k++) {
        sum += api_load(&h->buckets[k]);
        buf_printf(out, "%s_bucket{%s%sle=\"%.9g\"} %llu\n", name, labels, comma, histogram_bound_seconds(k),
                   (unsigned long long)sum);
    }
    sum += api_load(&h->buckets[HISTOGRAM_BUCKETS - 1]); /* so that the last bucket equals the count */
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma, (unsigned long long)sum);
    buf_printf(out, *labels ? "%s_sum{%s} " : "%s_sum%s ", name, labels);
    buf_add_double(out, SECONDS(api_load(&h->sum_ns)));
    buf_printf(out, *labels ? "\n%s_count{%s} %llu\n" : "\n%s_count%s %llu\n", name, labels, (unsigned long long)sum);
}

static void head(struct buf *out, const char *name, const char *type, const char *help) {
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void api_metrics_write(const struct api *a, struct buf *out) {
    struct metrics all = {.a = a,
                          .d = a->d,
                          .g = a->d->engine,
                          .model = a->d->engine->model,
                          .l = learner_stats(a->d->learner),
                          .u = users_stats(a->d->engine->model->users),
                          .n = neighbours_stats(a->d->engine->model->neighbours),
                          .i = a->d->intake ? intake_stats(a->d->intake) : NULL,
                          .memory = api_memory(),
                          .drift = drift_read(&a->d->engine->model->drift),
                          .now_ns = clock_steady_ns(),
                          .out = out};
    const struct metrics *m = &all;
    struct err ignored; /* a store that does not answer just now shows as 0 bytes */
    if (store_size(a->d->store, &all.size, &ignored) < 0) all.size = (struct store_size){0};
#define METRIC(name, type, unit, help, expression)                                                                     \
    head(out, #name, #type, help);                                                                                     \
    api_metric(out, #name, "", (double)(expression));
#define METRIC_SET(name, type, unit, help, labels, collector)                                                          \
    head(out, #name, #type, help);                                                                                     \
    api_metrics_##collector(m, #name);
#define METRIC_HISTOGRAM(name, unit, help, expression)                                                                 \
    head(out, #name, "histogram", help);                                                                               \
    api_metric_histogram(out, #name, "", expression);
#include "daemon/metrics.def"
}

static API_HANDLER(get_metrics) {
    const struct api_metrics *m = seat;
    if (!api_known_params(x, r, "")) return;
    struct buf *b = http_scratch(x);
    api_metrics_write(m->api, b);
    if (b->failed)
        api_send(x, 200, b);
    else
        http_reply(x, 200, TEXT_004, NULL, slice_of(b->p, b->n));
}

static const struct http_route metrics_routes[] = {{"/metrics", HTTP_GET, HTTP_OPEN, NULL, get_metrics}};

int api_metrics_start(struct api *a, struct event_base *base, int fd, struct api_metrics **out, struct err *e) {
    struct api_metrics *m = mem_zalloc(sizeof *m);
    struct http_server_options o = {.routes = metrics_routes,
                                    .n_routes = 1,
                                    .arg = m,
                                    .limits = api_limits(&a->d->config),
                                    .hosts = "",
                                    .stats = &a->d->metrics_http};
    if (!m) {
        close(fd);
        return err_set(e, ERR_NOMEM, "metrics", "no memory");
    }
    int rc = http_server_new(base, &o, &m->server, e);
    if (rc == 0) rc = http_server_listen(m->server, fd, e);
    if (rc < 0) {
        close(fd);
        api_metrics_free(m);
        return rc;
    }
    m->api = a;
    *out = m;
    return 0;
}

void api_metrics_set_limits(struct api_metrics *m, const struct http_limits *l) {
    http_server_set_limits(m->server, l);
}

void api_metrics_free(struct api_metrics *m) {
    if (!m) return;
    if (m->server) http_server_free(m->server);
    mem_free(m);
}
