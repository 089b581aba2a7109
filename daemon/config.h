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
#define CONFIG_MAX_RULES 64
#define CONFIG_TRENDS    3

struct config_type { /* [type.NAME] */
    char name[33];   /* 1 to 32 lower-case letters, digits, - and _ */
    bool enabled;    /* always true once loaded: types with enabled = no are left out */
    double weight, history_weight;
    bool negative, repeats;
    int64_t late_half_life_ms /* 0 = the model's */, history_half_life_ms /* -1 = none */;
};

struct config_file { /* [file.NAME]: one followed file */
    char name[33];   /* as above; the source's name is "file:NAME" */
    char *path, *type, *allowed_types;
};

struct config_rule {                                   /* [rule.NAME]: what some events weigh; see daemon/reweight.h */
    char name[33];                                     /* as above */
    bool enabled;                                      /* always true once loaded, as above */
    char *types, *sources, *from, *until, *attributes; /* all of them must hold; empty ones do */
    double weight;
    bool history;
};

struct config_pass { /* kafka.rdkafka.KEY = VALUE */
    char *key, *value;
};

struct config {
    char *data_dir, *log_level;
    bool verify_at_start;

    int64_t dim, seed, max_items, user_items, negatives, recent_events, history;
    double recent_share, step, under_root, start_item, start_user, clip, history_decay, tau, lambda[6],
        mu[CONFIG_TRENDS];
    int64_t neighbours, neighbour_history, pair_half_life_ms, successor_half_life_ms;
    int64_t lately_half_life_ms, lately_history;
    double lately_scale, segment_scale;
    double neighbour_decay, neighbour_scale, neighbour_shrink, neighbour_popularity, basket_weight;
    int64_t max_features, item_features, user_features, affinity_history, succession_history, succession_features;
    double feature_scale, content[4]; /* start weights: affinity, succession, trend of features, untouched */
    double blend_step, blend_step_neighbours;
    char *terms;
    char *loss, *confidence;
    double temperature, margin, label_smoothing, score_l2, confidence_alpha, entropy;
    bool log_correction;
    bool normalise;
    double normalise_scale;
    double popular_share, popular_exponent, hard_share, hard_skip, exposed_share;
    int64_t hard_pool, exposed_items, exposed_age_ms;
    double l2_user, l2_item, l2_history, history_dropout, popularity_penalty;
    int64_t row_half_life_ms, sum_half_life_ms; /* -1 = none */
    int64_t late_half_life_ms, count_half_life_ms, trend_ms[CONFIG_TRENDS];

    char *drift_action;
    double drift_tolerance, drift_threshold, drift_age, drift_sums;

    int64_t dedup_window, max_ahead_ms, max_clock_step_ms /* -1 = none */, max_basket, bad_events_kept;
    uint64_t max_event_bytes;
    char *field_user, *field_item, *field_type, *field_ts, *field_id; /* comma-separated names */
    char *impression_types;
    char *word_features, *band_features; /* the same, of members of features */

    /* Both sorted by name, whatever the order in the file: an index depends on the set of names alone, and changes
     * with it. Types: cart (weight 1.5), click (1), purchase (2) and view (1) unless the configuration changes them. */
    struct config_type types[CONFIG_MAX_TYPES]; /* n_types of them, at least 1 */
    size_t n_types;
    struct config_file files[CONFIG_MAX_FILES]; /* n_files of them */
    size_t n_files;
    struct config_rule rules[CONFIG_MAX_RULES]; /* n_rules of them, sorted too */
    size_t n_rules;

    char *kafka_brokers, *kafka_topics, *kafka_allowed_types, *kafka_start, *kafka_on_gap, *kafka_intake_topic;
    struct config_pass
        *kafka_pass; /* keys without "rdkafka.", in the order given; a later layer changes a value in place */
    size_t n_kafka_pass;

    char *log_enabled, *log_allowed_types;
    uint64_t log_segment_bytes, log_retain_bytes, log_max_bytes;

    uint64_t intake_queue_bytes;
    int64_t intake_deadline_ms, intake_max_batch;

    uint64_t queue_bytes, user_cache_bytes, neighbour_cache_bytes, feature_cache_bytes;
    int64_t batch_events, batch_time_ms;
    char *kernel;

    uint64_t write_budget, map_size, preallocate_bytes, page_memory_bytes;
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

/* Fills *c: defaults, then the INI file at path (NULL = none), then environment variables, then the n overrides
 * "section.key=value" in order. On failure *c is empty, which config_free takes. Main thread.
 *
 * Environment: RANKD_SECTION_KEY in upper case (RANKD_MODEL_DIM), for librdkafka RANKD_KAFKA_RDKAFKA_SASL_PASSWORD with
 * _ for each dot. [type.NAME], [file.NAME] and [rule.NAME] cannot be set there. RANKD_TEST_* is left to tests; any
 * other RANKD_* variable is an error like an unknown key.
 *
 * Errors: ERR_MISSING or ERR_IO (the file cannot be read), ERR_NOMEM, ERR_FULL (too many types, files or rules),
 * ERR_SYNTAX (unknown names, duplicates, text that is no value), ERR_RANGE (values out of range, options that
 * contradict each other). e->field is "section.key" or the section; e->text begins with the origin ("FILE:LINE:",
 * "RANKD_X:", "-o:", "default:") and names key, value, what is allowed and the nearest known name. */
int config_load(struct config *c, const char *path, char *const *overrides, size_t n, struct err *e) ERR_MUST_CHECK;
void config_free(struct config *c);

/* Copies from next (loaded the same way) what may change while running; appends one line "section.key" to refused for
 * every other difference ("type.NAME" or "file.NAME" for one added or removed). Rules change as a whole. If the values
 * that stay contradict the new ones, or memory is refused, nothing is copied and all differences are listed.
 *
 * A struct config belongs to the main thread once others run. Values they need are handed over by explicit calls: at
 * start as arguments, after a reload by main (log_set_level, http_server_set_limits and _set_tokens,
 * intake_set_limits, and so on for every option with reload = yes in options.def). */
void config_reload(struct config *c, const struct config *next, struct buf *refused);

/* The effective configuration as an INI text that reads back the same, each value followed by its origin:
 * "dim = 64  # from file /etc/rankd.conf:12", "# default", "# from environment", "# from -o". Pass-through options that
 * look like secrets are masked and commented out. */
void config_print(const struct config *c, struct buf *out);

/* The options of one section ("model", "type", "file", "rule"; "" = all, which is etc/rankd.conf to the byte) with
 * default, range, unit and help. An unknown section appends nothing. */
void config_print_reference(const char *section, struct buf *out);

/* "name=value\n" of every option that is part of the model's arithmetic (L), sorted, canonical ("24h" is "1d"): the
 * text whose hash is the configuration epoch. Includes the types and the rules. */
void config_learning_text(const struct config *c, struct buf *out);
/* *out = c with the rules that such a text names in place of its own, as they stand there; it borrows everything else
 * from c, and only config_drop_rules may be called on it. ERR_SYNTAX, ERR_RANGE: a rule that this program cannot read.
 */
int config_with_rules(const struct config *c, struct slice learning_text, struct config *out,
                      struct err *e) ERR_MUST_CHECK;
void config_drop_rules(struct config *c);

/* The event type of that name; NULL when it is not configured. */
const struct config_type *config_type_of(const struct config *c, const char *name);
/* Whether a term of the score is on under this configuration (names as terms_name gives them). */
bool config_has_term(const struct config *c, const char *name);

/* Whether the own log is the embedded source under this configuration. */
bool config_own_log(const struct config *c);

/* A listen address taken apart: "ADDRESS:PORT", "[IPV6]:PORT" or "localhost:PORT" (127.0.0.1). */
struct config_listen {
    char host[64]; /* numeric, without brackets */
    uint16_t port; /* 0 = any free one */
    bool ipv6, loopback;
};
bool config_parse_listen(const char *text, struct config_listen *out); /* false: none of these, *out untouched */

/* Whether an option of librdkafka is likely to hold a secret: never shown. */
bool config_is_secret(const char *key);

#endif
