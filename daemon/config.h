/* The effective configuration: one table of options (options.def), filled from defaults, file, environment and -o. */
#ifndef RANKD_DAEMON_CONFIG_H
#define RANKD_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

#define CONFIG_MAX_TYPES 16
#define CONFIG_MAX_FILES 16
#define CONFIG_TRENDS    3

struct config_type { /* [type.NAME] */
    char name[33];   /* lower-case letters, digits, - and _ */
    double weight, history_weight;
};

struct config_file { /* [file.NAME]: one followed file */
    char name[33];   /* the source's name is "file:NAME" */
    char *path, *type, *allowed_types;
};

struct config_pass { /* kafka.rdkafka.KEY = VALUE */
    char *key, *value;
};

struct config {
    char *data_dir, *log_level;
    bool verify_at_start;

    int64_t dim, seed, max_items, user_items, negatives, recent_events, history;
    double recent_share, step, under_root, start_item, start_user, clip, history_decay, tau, mu;
    int64_t late_half_life_ms, count_half_life_ms, trend_ms[CONFIG_TRENDS];

    int64_t dedup_window, max_ahead_ms, max_clock_step_ms /* -1 = none */, max_basket, bad_events_kept;
    uint64_t max_event_bytes;
    char *field_user, *field_item, *field_type, *field_ts, *field_id; /* comma-separated names */

    struct config_type types[CONFIG_MAX_TYPES]; /* click, view, cart, purchase unless the file changes them */
    size_t n_types;
    struct config_file files[CONFIG_MAX_FILES];
    size_t n_files;

    char *kafka_brokers, *kafka_topics, *kafka_allowed_types, *kafka_start, *kafka_on_gap, *kafka_intake_topic;
    struct config_pass *kafka_pass;
    size_t n_kafka_pass;

    char *log_enabled, *log_allowed_types;
    uint64_t log_segment_bytes, log_retain_bytes, log_max_bytes;

    uint64_t intake_queue_bytes;
    int64_t intake_deadline_ms, intake_max_batch;

    uint64_t queue_bytes, user_cache_bytes;
    int64_t batch_events, batch_time_ms;
    char *kernel;

    uint64_t write_budget, map_size, preallocate_bytes;
    int64_t checkpoint_min_ms, checkpoint_max_ms;

    char *http_listen, *http_hosts, *http_tokens_file;
    int64_t http_workers, http_max_connections, http_max_k, http_max_items;
    uint64_t http_max_header, http_max_body;
    int64_t http_request_timeout_ms, http_idle_timeout_ms, ready_max_lag_ms /* -1 = none */;
    bool http_public_without_token;

    char *admin_socket, *admin_listen, *admin_token_file;
    char *metrics_listen;

    struct config_origins *origins; /* where each value came from; private to config.c */
};

/* Fills *c: defaults, then the INI file at path (NULL = none), then environment variables RANKD_SECTION_KEY, then the
 * n overrides "section.key=value" in order. Unknown names, values out of range and contradictions are errors whose text
 * names file, line, key, value, what is allowed and the nearest known name. On failure *c is empty. config_free takes
 * an empty one. Main thread. */
int config_load(struct config *c, const char *path, char *const *overrides, size_t n, struct err *e) ERR_MUST_CHECK;
void config_free(struct config *c);

/* Copies from next what may change while running; appends one line "section.key" to refused for every other
 * difference. Main thread; others read reloadable values through config_* accessors only. */
void config_reload(struct config *c, const struct config *next, struct buf *refused);

/* The effective configuration as an INI text that reads back the same, each value followed by its origin. Secrets
 * (rdkafka passwords, keys, sasl.*) are masked. */
void config_print(const struct config *c, struct buf *out);

/* The options of one section ("" = all) with default, range, unit and help; the form of etc/rankd.conf. */
void config_print_reference(const char *section, struct buf *out);

/* "name=value\n" of every option that is part of the model's arithmetic (L), sorted, canonical: the text whose hash is the
 * configuration epoch. Includes the types. */
void config_learning_text(const struct config *c, struct buf *out);

/* Whether the own log is the embedded source under this configuration. */
bool config_own_log(const struct config *c);

#endif
