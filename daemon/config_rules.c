/* The rules of a configuration: what they may name, copies of them, and those that a journal holds. */
#include <stdlib.h>
#include <string.h>

#include "daemon/config_priv.h"
#include "lib/base/clock.h"
#include "proto/event_match.h"

/* ---- checks ---- */

static bool is_source(const struct config *c, struct slice name) {
    if (slice_is(name, "log")) return true;
    if (name.n > 5 && memcmp(name.p, "file:", 5) == 0) {
        for (size_t k = 0; k < c->n_files; k++)
            if (slice_is(slice_of(name.p + 5, name.n - 5), c->files[k].name)) return true;
        return false;
    }
    if (name.n <= 6 || memcmp(name.p, "kafka:", 6) != 0) return false;
    struct slice entry;
    for (const char *rest = c->kafka_topics; config_list_next(&rest, &entry);) {
        const char *colon = entry.n ? memchr(entry.p, ':', entry.n) : NULL;
        if (colon) entry.n = (size_t)(colon - entry.p);
        if (slice_equal(slice_of(name.p + 6, name.n - 6), entry)) return true;
    }
    return false;
}

static const char *option(const struct config_rule *r, const char *key, char out[CONFIG_MAX_NAME]) {
    snprintf(out, CONFIG_MAX_NAME, "rule.%s.%s", r->name, key);
    return out;
}

static int check_times(const struct config *c, const struct config_rule *r, struct err *e) {
    char name[CONFIG_MAX_NAME], other[CONFIG_MAX_NAME];
    int64_t from = 0, until = CLOCK_MS_MAX;
    if (*r->from && !clock_parse(slice_str(r->from), &from))
        return config_clash(c, e, option(r, "from", name), NULL, "allowed: a time like 2024-05-01T00:00:00Z");
    if (*r->until && !clock_parse(slice_str(r->until), &until))
        return config_clash(c, e, option(r, "until", name), NULL, "allowed: a time like 2024-05-01T00:00:00Z");
    if (from < until) return 0;
    return config_clash(c, e, option(r, "from", name), option(r, "until", other), "no time lies between them");
}

static int check_rule(const struct config *c, const struct config_rule *r, struct err *e) {
    char name[CONFIG_MAX_NAME];
    struct slice item;
    struct event_match *match;
    struct err why;
    for (const char *rest = r->types; config_list_next(&rest, &item);)
        if (!slice_is(item, "impression") && !config_is_type(c, item))
            return config_unknown_type(c, option(r, "types", name), item, e);
    for (const char *rest = r->sources; config_list_next(&rest, &item);)
        if (!is_source(c, item))
            return config_clash(c, e, option(r, "sources", name), NULL,
                                "%.*s is no configured source; allowed: log, file:NAME, kafka:TOPIC",
                                (int)(item.n < 40 ? item.n : 40), item.p);
    int rc = check_times(c, r, e);
    if (rc < 0) return rc;
    rc = event_match_parse(r->attributes, &match, &why);
    if (rc == ERR_NOMEM) return err_set(e, rc, option(r, "attributes", name), "%s", why.text);
    if (rc < 0)
        return config_clash(c, e, option(r, "attributes", name), NULL,
                            "%s; allowed: PATH, PATH=VALUE|..., PATH!=VALUE|..., separated by commas", why.text);
    event_match_free(match);
    return 0;
}

int config_check_rules(const struct config *c, struct err *e) {
    int rc = 0;
    for (size_t k = 0; k < c->n_rules && rc == 0; k++) rc = check_rule(c, &c->rules[k], e);
    return rc;
}

/* ---- copies ---- */

void config_drop_rules(struct config *c) {
    for (size_t k = 0; k < c->n_rules; k++) config_clear_row("rule", &c->rules[k]);
    c->n_rules = 0;
}

static char **text_of(struct config_rule *r, int k) {
    char **const texts[] = {&r->types, &r->sources, &r->from, &r->until, &r->attributes};
    return k < 5 ? texts[k] : NULL;
}

int config_copy_rules(struct config *c, const struct config *from) {
    for (size_t n = 0; n < from->n_rules; n++) {
        struct config_rule source = from->rules[n], *r = &c->rules[c->n_rules++];
        bool whole = true;
        *r = source;
        for (int k = 0; text_of(r, k); k++) {
            *text_of(r, k) = config_text_copy(*text_of(&source, k), strlen(*text_of(&source, k)));
            whole = whole && *text_of(r, k);
        }
        if (!whole) return ERR_NOMEM;
    }
    return 0;
}

bool config_same_rules(const struct config *a, const struct config *b) {
    if (a->n_rules != b->n_rules) return false;
    for (size_t r = 0; r < a->n_rules; r++) {
        if (strcmp(a->rules[r].name, b->rules[r].name) != 0) return false;
        for (size_t i = 0; i < config_n_options; i++) {
            const struct config_option *o = &config_options[i];
            if (strcmp(o->section, "rule") != 0) continue;
            if (!config_value_equal(o, config_get(o, &a->rules[r]), config_get(o, &b->rules[r]))) return false;
        }
    }
    return true;
}

/* ---- from a journal ---- */

static int set_line(struct config *c, struct slice line, struct err *e) {
    char text[CONFIG_MAX_NAME + CONFIG_MAX_VALUE + 2];
    struct config_from from = {CONFIG_FROM_OVERRIDE, 0};
    if (line.n >= sizeof text) return err_set(e, ERR_RANGE, "rule", "a line of %zu bytes", line.n);
    memcpy(text, line.p, line.n);
    text[line.n] = '\0';
    char *equals = strchr(text, '='), *dot = strchr(text + 5, '.');
    if (!equals || !dot || dot > equals) return err_set(e, ERR_SYNTAX, "rule", "\"%.80s\" is no option", text);
    *equals = *dot = '\0';
    return config_set(c, text, dot + 1, equals + 1, from, e);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

int config_with_rules(const struct config *c, struct slice learning_text, struct config *out, struct err *e) {
    struct config_origins none = {.n = 0};
    int rc = 0;
    *out = *c;
    out->n_rules = 0;
    out->origins = &none; /* of a journal's rules nobody asks where they came from */
    while (learning_text.n > 0 && rc == 0) {
        const char *end = memchr(learning_text.p, '\n', learning_text.n);
        size_t n = end ? (size_t)(end - learning_text.p) : learning_text.n;
        if (n > 5 && memcmp(learning_text.p, "rule.", 5) == 0) rc = set_line(out, slice_of(learning_text.p, n), e);
        learning_text = slice_of(learning_text.p + n + (end != NULL), learning_text.n - n - (end != NULL));
    }
    qsort(out->rules, out->n_rules, sizeof out->rules[0], by_name); /* lines of "a-b" stand before those of "a" */
    config_drop_origins(&none);
    out->origins = c->origins;
    if (rc < 0) config_drop_rules(out);
    return rc;
}
