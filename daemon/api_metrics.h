/* What the two halves of the metrics share: the table's scalars and its sets. */
#ifndef RANKD_DAEMON_API_METRICS_H
#define RANKD_DAEMON_API_METRICS_H

#include <stdint.h>

#include "daemon/api_priv.h"

struct metrics { /* one scrape */
    const struct api *a;
    const struct daemon *d;
    const struct engine *g;
    const struct model *model;
    const struct learner_stats *l;
    const struct users_stats *u;
    const struct neighbours_stats *n;
    const struct intake_stats *i; /* NULL without an intake */
    struct store_size size;
    struct api_memory memory;
    struct drift_view drift;
    uint64_t now_ns;
    struct buf *out;
};

/* Everything as Prometheus text 0.0.4, appended to out. Main thread. */
void api_metrics_write(const struct api *a, struct buf *out);

/* name{labels} value. labels as they stand between the braces, "" = none. */
void api_metric(struct buf *out, const char *name, const char *labels, double value);
void api_metric_histogram(struct buf *out, const char *name, const char *labels, const struct histogram *h);

#define METRIC(name, type, unit, help, expression)
#define METRIC_HISTOGRAM(name, unit, help, expression)
#define METRIC_SET(name, type, unit, help, labels, collector)                                                          \
    void api_metrics_##collector(const struct metrics *m, const char *metric);
#include "daemon/metrics.def"
#undef METRIC
#undef METRIC_HISTOGRAM
#undef METRIC_SET

#endif
