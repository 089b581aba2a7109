/* Configured sources and their threads. */
#include "daemon/sources.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

struct sources {
    struct source_log *log;
    struct source_file *files[CONFIG_MAX_FILES];
    size_t n_files;
    struct source_kafka *kafka;
};

static int add(struct source *out, size_t *n, const struct event_rules *rules, const char *name, const char *allowed,
               const char *type, struct err *e) {
    uint32_t allow;
    int default_type = -1, rc = event_allow_parse(rules, allowed, &allow, e);
    if (rc < 0) return rc;
    if (type && type[0]) {
        default_type =
            strcmp(type, "impression") == 0 ? EVENT_TYPE_IMPRESSION : event_type_index(rules, slice_str(type));
        if (default_type < 0)
            return err_set(e, ERR_RANGE, "type", "source \"%s\": no event type \"%s\" is configured", name, type);
    }
    if (*n == SOURCES_MAX) return err_set(e, ERR_FULL, "sources", "more than %d sources", SOURCES_MAX);
    rc = source_init(&out[*n], name, allow, default_type, e);
    if (rc == 0) ++*n;
    return rc;
}

int sources_configure(const struct config *c, const struct event_rules *rules, struct source out[SOURCES_MAX],
                      size_t *n, struct err *e) {
    int rc = 0;
    char name[300], topic[250], type[33];
    *n = 0;
    if (config_own_log(c)) rc = add(out, n, rules, "log", c->log_allowed_types, "", e);
    for (size_t k = 0; k < c->n_files && rc == 0; k++) {
        snprintf(name, sizeof name, "file:%s", c->files[k].name);
        rc = add(out, n, rules, name, c->files[k].allowed_types, c->files[k].type, e);
    }
    for (size_t k = 0; rc == 0 && c->kafka_brokers[0] && source_kafka_topic(c->kafka_topics, k, topic, type); k++) {
        snprintf(name, sizeof name, "kafka:%s", topic);
        rc = add(out, n, rules, name, c->kafka_allowed_types, type, e);
    }
    if (rc < 0) sources_done(out, *n);
    return rc;
}

void sources_done(struct source *sources, size_t n) {
    for (size_t k = 0; k < n; k++) source_done(&sources[k]);
}

struct event_context source_context(const struct source *s, const struct event_rules *rules) {
    return (struct event_context){.rules = rules,
                                  .allow = s->allow,
                                  .default_type = s->default_type,
                                  .record_ms = EVENT_NO_TIME,
                                  .own_log = strcmp(s->name, "log") == 0};
}

int sources_new(const struct source_env *env, const char *log_dir, struct source *list, size_t n, struct sources **out,
                struct err *e) {
    struct sources *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "sources", "no memory");
    int rc = 0;
    size_t k = 0;
    if (k < n && strcmp(list[k].name, "log") == 0) rc = source_log_new(env, log_dir, &list[k++], &s->log, e);
    for (size_t f = 0; f < env->config->n_files && rc == 0; f++) {
        rc = source_file_new(env, &env->config->files[f], &list[k++], &s->files[f], e);
        if (rc == 0) s->n_files++;
    }
    if (rc == 0 && k < n) rc = source_kafka_new(env, list + k, n - k, &s->kafka, e);
    if (rc == 0)
        *out = s;
    else
        sources_free(s);
    return rc;
}

struct source_log *sources_log(const struct sources *s) {
    return s->log;
}

int sources_start(struct sources *s, struct err *e) {
    int rc = s->log ? source_log_start(s->log, e) : 0;
    for (size_t k = 0; k < s->n_files && rc == 0; k++) rc = source_file_start(s->files[k], e);
    if (rc == 0 && s->kafka) rc = source_kafka_start(s->kafka, e);
    return rc;
}

void sources_join(struct sources *s) {
    if (!s) return;
    if (s->log) source_log_join(s->log);
    for (size_t k = 0; k < s->n_files; k++) source_file_join(s->files[k]);
    if (s->kafka) source_kafka_join(s->kafka);
}

void sources_free(struct sources *s) {
    if (!s) return;
    source_log_free(s->log);
    for (size_t k = 0; k < s->n_files; k++) source_file_free(s->files[k]);
    source_kafka_free(s->kafka);
    mem_free(s);
}
