/* SIGHUP: what of a newly loaded configuration can be taken over, and what cannot. */
#include "daemon/config_priv.h"

#include <string.h>

#include "lib/base/mem.h"

static bool differs(const struct config_option *o, const struct config *a, const struct config *b) {
    return !config_option_grouped(o) && !config_value_equal(o, config_get(o, a), config_get(o, b));
}

static bool is_text(const struct config_option *o) { return o->kind == CONFIG_STR || o->kind == CONFIG_LIST; }

static size_t value_bytes(const struct config_option *o) {
    return o->kind == CONFIG_BOOL ? sizeof(bool) : is_text(o) ? sizeof(char *) : 8;
}

/* Undoes take_over: frees the copies of text that mix holds. */
static void drop(struct config *mix, const struct config *c) {
    config_drop_rules(mix);
    for (size_t i = 0; i < config_n_options; i++) {
        const struct config_option *o = &config_options[i];
        if (config_option_grouped(o) || !is_text(o)) continue;
        if (*(char *const *)config_get(o, mix) != *(char *const *)config_get(o, c))
            config_value_clear(o, config_at(o, mix));
    }
}

/* Makes *mix: c with the reloadable values of next. It borrows from c all text that is equal or stays. */
static int take_over(struct config *mix, const struct config *c, const struct config *next) {
    *mix = *c;
    mix->n_rules = 0;
    if (config_copy_rules(mix, next) < 0) {
        config_drop_rules(mix);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < config_n_options; i++) {
        const struct config_option *o = &config_options[i];
        if (config_option_grouped(o) || !o->reload || !differs(o, c, next)) continue;
        if (!is_text(o)) {
            memcpy(config_at(o, mix), config_get(o, next), value_bytes(o));
            continue;
        }
        const char *text = *(char *const *)config_get(o, next);
        char *copy = config_text_copy(text, strlen(text));
        if (!copy) {
            drop(mix, c);
            return ERR_NOMEM;
        }
        *(char **)config_at(o, mix) = copy;
    }
    return config_check(mix, NULL);
}

/* The rules of mix change hands. */
static void commit_rules(struct config *c, struct config *mix, const struct config *next) {
    char name[CONFIG_MAX_NAME];
    config_drop_rules(c);
    memcpy(c->rules, mix->rules, sizeof c->rules);
    c->n_rules = mix->n_rules;
    for (size_t r = 0; r < c->n_rules; r++)
        for (size_t i = 0; i < config_n_options; i++) {
            if (strcmp(config_options[i].section, "rule") != 0) continue;
            snprintf(name, sizeof name, "rule.%s.%s", c->rules[r].name, config_options[i].key);
            if (config_note_origin(c, name, config_origin(next, name))) continue; /* as below */
        }
}

/* c takes the values that mix changed, and them alone: other threads read the rest of c. Replaced text is freed;
 * origins follow. */
static void commit(struct config *c, struct config *mix, const struct config *next) {
    if (config_same_rules(c, mix))
        config_drop_rules(mix);
    else
        commit_rules(c, mix, next);
    for (size_t i = 0; i < config_n_options; i++) {
        const struct config_option *o = &config_options[i];
        char name[CONFIG_MAX_NAME];
        if (config_option_grouped(o) || config_value_equal(o, config_get(o, c), config_get(o, mix))) continue;
        config_value_clear(o, config_at(o, c));
        memcpy(config_at(o, c), config_get(o, mix), value_bytes(o));
        snprintf(name, sizeof name, "%s.%s", o->section, o->key);
        /* Without memory for it the value is right and its origin is that of before. */
        if (config_note_origin(c, name, config_origin(next, name))) continue;
    }
}

static const void *row_named(const struct config_group *g, const char *name) {
    for (size_t i = 0; i < g->n; i++)
        if (strcmp((const char *)g->rows + i * g->row_size, name) == 0) return (const char *)g->rows + i * g->row_size;
    return NULL;
}

static void list_group(const struct config_group *old, const struct config_group *new, struct buf *refused) {
    for (size_t i = 0; i < old->n; i++) {
        const char *row = (const char *)old->rows + i * old->row_size;
        const void *other = row_named(new, row);
        if (!other) buf_printf(refused, "%s.%s\n", old->name, row);
        for (size_t k = 0; other && k < config_n_options; k++) {
            const struct config_option *o = &config_options[k];
            if (strcmp(o->section, old->name) != 0 || config_value_equal(o, config_get(o, row), config_get(o, other)))
                continue;
            buf_printf(refused, "%s.%s.%s\n", old->name, row, o->key);
        }
    }
    for (size_t i = 0; i < new->n; i++) {
        const char *row = (const char *)new->rows + i *new->row_size;
        if (!row_named(old, row)) buf_printf(refused, "%s.%s\n", new->name, row);
    }
}

static const char *pass_value(const struct config *c, const char *key) {
    for (size_t i = 0; i < c->n_kafka_pass; i++)
        if (strcmp(c->kafka_pass[i].key, key) == 0) return c->kafka_pass[i].value;
    return NULL;
}

static void list_pass(const struct config *c, const struct config *next, struct buf *refused) {
    for (size_t i = 0; i < c->n_kafka_pass; i++) {
        const char *value = pass_value(next, c->kafka_pass[i].key);
        if (!value || strcmp(value, c->kafka_pass[i].value) != 0)
            buf_printf(refused, "kafka.rdkafka.%s\n", c->kafka_pass[i].key);
    }
    for (size_t i = 0; i < next->n_kafka_pass; i++)
        if (!pass_value(c, next->kafka_pass[i].key)) buf_printf(refused, "kafka.rdkafka.%s\n", next->kafka_pass[i].key);
}

void config_reload(struct config *c, const struct config *next, struct buf *refused) {
    struct config_group old[CONFIG_GROUPS], new[CONFIG_GROUPS];
    struct config mix;
    int rc = take_over(&mix, c, next);
    if (rc == 0) {
        commit(c, &mix, next);
    } else if (rc != ERR_NOMEM) {
        drop(&mix, c);
    }
    for (size_t i = 0; i < config_n_options; i++)
        if (differs(&config_options[i], c, next))
            buf_printf(refused, "%s.%s\n", config_options[i].section, config_options[i].key);
    config_groups(c, old);
    config_groups(next, new);
    for (size_t g = 0; g < CONFIG_GROUPS; g++) list_group(&old[g], &new[g], refused);
    list_pass(c, next, refused);
}
