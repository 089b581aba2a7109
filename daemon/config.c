/* The effective configuration: values set layer by layer, and where each came from. */
#include "daemon/config_priv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"

static const struct {
    const char *name, *weight;
} default_types[] = {{"cart", "1.5"}, {"click", "1"}, {"purchase", "2"}, {"view", "1"}};

#define PASS_PREFIX "rdkafka."

/* ---- origins ---- */

static struct config_origin *origin_find(const struct config *c, const char *name) {
    for (size_t i = 0; i < c->origins->n; i++)
        if (strcmp(c->origins->v[i].name, name) == 0) return &c->origins->v[i];
    return NULL;
}

struct config_from config_origin(const struct config *c, const char *name) {
    const struct config_origin *at = origin_find(c, name);
    return at ? at->from : (struct config_from){CONFIG_DEFAULT, 0};
}

void config_section_name(const char *section, char out[CONFIG_MAX_NAME]) {
    snprintf(out, CONFIG_MAX_NAME, "[%s]", section);
}

int config_note_origin(struct config *c, const char *name, struct config_from from) {
    struct config_origins *all = c->origins;
    struct config_origin *at = origin_find(c, name);
    if (!at && from.where == CONFIG_DEFAULT) return 0;
    if (!at) {
        if (all->n == all->cap) {
            size_t cap = all->cap ? all->cap * 2 : 32;
            struct config_origin *v = mem_realloc(all->v, cap * sizeof *v);
            if (!v) return ERR_NOMEM;
            all->v = v;
            all->cap = cap;
        }
        at = &all->v[all->n++];
        snprintf(at->name, sizeof at->name, "%s", name);
    }
    at->from = from;
    return 0;
}

void config_drop_origins(struct config_origins *all) {
    mem_free(all->path);
    mem_free(all->v);
}

const char *config_from_text(const struct config *c, const char *name, struct config_from from, char *out,
                             size_t size) {
    switch (from.where) {
    case CONFIG_DEFAULT:
        snprintf(out, size, "default");
        break;
    case CONFIG_FROM_FILE:
        snprintf(out, size, "%s:%d", c->origins->path, from.line);
        break;
    case CONFIG_FROM_ENV:
        config_env_name(name, out, size);
        break;
    case CONFIG_FROM_OVERRIDE:
        snprintf(out, size, "-o");
        break;
    }
    return out;
}

/* ---- sections ---- */

void config_groups(const struct config *c, struct config_group out[CONFIG_GROUPS]) {
    out[0] = (struct config_group){"type", c->types, sizeof c->types[0], c->n_types};
    out[1] = (struct config_group){"file", c->files, sizeof c->files[0], c->n_files};
    out[2] = (struct config_group){"rule", c->rules, sizeof c->rules[0], c->n_rules};
}

/* The group of a section "type.NAME", "file.NAME" or "rule.NAME", or NULL. */
static const char *group_of(const char *section) {
    static const char *const groups[] = {"type", "file", "rule"};
    for (size_t g = 0; g < CONFIG_GROUPS; g++)
        if (strncmp(section, groups[g], 4) == 0 && section[4] == '.') return groups[g];
    return NULL;
}

void config_clear_row(const char *group, void *row) {
    for (size_t i = 0; i < config_n_options; i++)
        if (strcmp(config_options[i].section, group) == 0)
            config_value_clear(&config_options[i], config_at(&config_options[i], row));
}

static int default_row(const char *group, void *row) {
    char why[64];
    for (size_t i = 0; i < config_n_options; i++) {
        const struct config_option *o = &config_options[i];
        if (strcmp(o->section, group) != 0) continue;
        int rc = config_value_set(o, o->def, config_at(o, row), why, sizeof why);
        if (rc) return rc;
    }
    return 0;
}

static size_t most_of(const char *group) {
    return *group == 't' ? CONFIG_MAX_TYPES : *group == 'f' ? CONFIG_MAX_FILES : CONFIG_MAX_RULES;
}

/* The row of [GROUP.NAME], made with its defaults when it is new. name is at most 32 bytes. */
static int group_row(struct config *c, const char *group, const char *name, void **row) {
    size_t *n = *group == 't' ? &c->n_types : *group == 'f' ? &c->n_files : &c->n_rules;
    size_t size = *group == 't' ? sizeof c->types[0] : *group == 'f' ? sizeof c->files[0] : sizeof c->rules[0];
    char *rows = *group == 't' ? (char *)c->types : *group == 'f' ? (char *)c->files : (char *)c->rules;
    for (size_t i = 0; i < *n; i++) {
        *row = rows + i * size;
        if (strcmp(*row, name) == 0) return 0;
    }
    if (*n == most_of(group)) return ERR_FULL;
    *row = rows + *n * size;
    memset(*row, 0, size);
    snprintf(*row, 33, "%s", name);
    int rc = default_row(group, *row);
    if (rc) {
        config_clear_row(group, *row);
        return rc;
    }
    ++*n;
    return 0;
}

int config_add_type(struct config *c, const char *name, struct err *e) {
    void *row;
    int rc = group_row(c, "type", name, &row);
    return rc ? err_set(e, rc, "type", "type \"%s\" is one too many, or memory was refused", name) : 0;
}

static bool is_reserved_type(const char *name) {
    return !strcmp(name, "impression") || !strcmp(name, "item") || !strcmp(name, "user") || !strcmp(name, "delete");
}

static int open_group(struct config *c, const char *group, const char *section, const char *at, void **row,
                      struct err *e) {
    const char *name = section + 5;
    if (!config_name_valid(slice_str(name)))
        return err_set(e, ERR_SYNTAX, section, "%s: section [%s]: a name has 1 to 32 of a-z 0-9 - _", at, section);
    if (*group == 't' && is_reserved_type(name))
        return err_set(
            e, ERR_SYNTAX, section,
            "%s: section [%s]: impression, item, user and delete are types of rankd's own and cannot be configured", at,
            section);
    int rc = group_row(c, group, name, row);
    if (rc == ERR_FULL)
        return err_set(e, rc, section, "%s: section [%s]: there are %zu %ss already, the most allowed", at, section,
                       most_of(group), group);
    return rc ? err_set(e, rc, section, "%s: section [%s]: memory was refused", at, section) : 0;
}

/* Where a repeated section was named first: what it lacks has no place of its own. */
static int note_section(struct config *c, const char *section, struct config_from from) {
    char name[CONFIG_MAX_NAME];
    config_section_name(section, name);
    return origin_find(c, name) ? 0 : config_note_origin(c, name, from);
}

/* Finds what a section name stands for: its options' group (of repeated ones, or its own name) and their row. */
static int resolve(struct config *c, const char *section, const char *at, struct config_from from, const char **group,
                   void **row, struct err *e) {
    *row = c;
    if ((*group = group_of(section))) {
        int rc = open_group(c, *group, section, at, row, e);
        if (rc == 0 && note_section(c, section, from) < 0)
            rc = err_set(e, ERR_NOMEM, section, "%s: section [%s]: memory was refused", at, section);
        return rc;
    }
    for (size_t i = 0; i < config_n_sections; i++) {
        *group = config_sections[i].name;
        if (strcmp(section, *group) == 0) return 0;
    }
    char near[CONFIG_MAX_NAME];
    config_nearest("", section, near, sizeof near);
    return err_set(e, ERR_SYNTAX, section, "%s: unknown section [%s]; the nearest known one is [%s]", at, section,
                   near);
}

int config_open_section(struct config *c, const char *section, struct config_from from, struct err *e) {
    char at[256];
    const char *group;
    void *row;
    return resolve(c, section, config_from_text(c, section, from, at, sizeof at), from, &group, &row, e);
}

/* ---- values ---- */

static int set_pass(struct config *c, const char *key, const char *value) {
    for (size_t i = 0; i < c->n_kafka_pass; i++) {
        struct config_pass *p = &c->kafka_pass[i];
        if (strcmp(p->key, key) != 0) continue;
        char *copy = config_text_copy(value, strlen(value));
        if (!copy) return ERR_NOMEM;
        mem_free(p->value);
        p->value = copy;
        return 0;
    }
    struct config_pass *all = mem_realloc(c->kafka_pass, (c->n_kafka_pass + 1) * sizeof *all);
    if (!all) return ERR_NOMEM;
    c->kafka_pass = all;
    struct config_pass *p = &all[c->n_kafka_pass];
    p->key = config_text_copy(key, strlen(key));
    p->value = config_text_copy(value, strlen(value));
    if (!p->key || !p->value) {
        mem_free(p->key);
        mem_free(p->value);
        return ERR_NOMEM;
    }
    c->n_kafka_pass++;
    return 0;
}

static bool pass_key_valid(const char *key) {
    size_t n = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && key[n] == '\0';
}

static int unknown_key(const char *section, const char *group, const char *key, const char *at, struct err *e) {
    char near[CONFIG_MAX_NAME];
    for (size_t i = 0; i < config_n_options; i++)
        if (strcmp(config_options[i].key, key) == 0)
            return err_set(e, ERR_SYNTAX, section,
                           "%s: unknown key %.80s in [%s]; the nearest known one is %s in [%s%s]", at, key, section,
                           key, config_options[i].section, config_option_grouped(&config_options[i]) ? ".NAME" : "");
    config_nearest(group, key, near, sizeof near);
    return err_set(e, ERR_SYNTAX, section, "%s: unknown key %.80s in [%s]; the nearest known one is %s", at, key,
                   section, near);
}

/* Text that a line of the file cannot carry is refused from everywhere, so that what is printed reads back. */
static const char *unwritable(const char *value) {
    if (strlen(value) > CONFIG_MAX_VALUE) return "longer than 4000 bytes";
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) return "a control byte in it";
        if ((*p == ';' || *p == '#') && (p == value || p[-1] == ' '))
            return "a ; or # at its front or after a space: a comment";
        if (*p == ' ' && (p == value || p[1] == '\0')) return "white space around it";
    }
    return NULL;
}

static int set_typed(const struct config_option *o, const char *name, const char *value, void *at, const char *origin,
                     struct err *e) {
    char why[96] = "", allowed[192];
    int rc = config_value_set(o, value, at, why, sizeof why);
    if (rc == 0) return 0;
    return err_set(e, rc, name, "%s: %s = %.80s: %s; allowed: %s", origin, name, value, why,
                   config_value_allowed(o, allowed, sizeof allowed));
}

int config_set(struct config *c, const char *section, const char *key, const char *value, struct config_from from,
               struct err *e) {
    char name[CONFIG_MAX_NAME], at[256], before[256];
    const char *group;
    void *row;
    if (snprintf(name, sizeof name, "%s.%s", section, key) >= (int)sizeof name) {
        name[60] = '\0';
        return err_set(e, ERR_SYNTAX, name, "%s: unknown key %.80s...", config_from_text(c, name, from, at, sizeof at),
                       name);
    }
    config_from_text(c, name, from, at, sizeof at);
    int rc = resolve(c, section, at, from, &group, &row, e);
    if (rc) return rc;
    bool pass = strcmp(group, "kafka") == 0 && strncmp(key, PASS_PREFIX, strlen(PASS_PREFIX)) == 0;
    const char *pass_key = key + (pass ? strlen(PASS_PREFIX) : 0);
    const struct config_option *o = pass ? NULL : config_option_find(group, key);
    if (pass ? !pass_key_valid(pass_key) : !o) return unknown_key(section, group, key, at, e);

    struct config_from old = config_origin(c, name);
    if (from.where == CONFIG_FROM_FILE && old.where == CONFIG_FROM_FILE)
        return err_set(e, ERR_SYNTAX, name, "%s: %s is set twice; first at %s", at, name,
                       config_from_text(c, name, old, before, sizeof before));
    const char *wrong = pass && from.where != CONFIG_FROM_FILE && config_is_secret(pass_key) ? NULL : unwritable(value);
    if (wrong) return err_set(e, ERR_SYNTAX, name, "%s: %s: the value has %s", at, name, wrong);
    if (pass) {
        rc = set_pass(c, pass_key, value);
        if (rc) err_set(e, rc, name, "%s: %s: memory was refused", at, name);
    } else {
        rc = set_typed(o, name, value, config_at(o, row), at, e);
    }
    if (rc) return rc;
    rc = config_note_origin(c, name, from);
    return rc ? err_set(e, rc, name, "%s: %s: memory was refused", at, name) : 0;
}

/* ---- layers ---- */

static int load_defaults(struct config *c, const char *path, struct err *e) {
    int rc = ERR_NOMEM;
    c->origins = mem_zalloc(sizeof *c->origins);
    if (!c->origins) goto out;
    if (path && !(c->origins->path = config_text_copy(path, strlen(path)))) goto out;
    for (size_t i = 0; i < config_n_sections; i++) {
        rc = default_row(config_sections[i].name, c);
        if (rc) goto out;
    }
    for (size_t i = 0; i < sizeof default_types / sizeof default_types[0]; i++) {
        char section[40];
        snprintf(section, sizeof section, "type.%s", default_types[i].name);
        rc = config_set(c, section, "weight", default_types[i].weight, (struct config_from){CONFIG_DEFAULT, 0}, e);
        if (rc) goto out;
    }
out:
    return rc ? err_set(e, rc, "config", "memory was refused") : 0;
}

static char *trim(char *s) {
    while (*s == ' ' || *s == '\t') s++;
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t')) s[--n] = '\0';
    return s;
}

/* "section.key=value"; in GROUP.NAME.key the section is the part before the second dot. */
static int load_override(struct config *c, const char *text, struct err *e) {
    char *copy = config_text_copy(text, strlen(text));
    if (!copy) return err_set(e, ERR_NOMEM, "-o", "-o: memory was refused");
    int rc;
    char *equals = strchr(copy, '='), *dot = NULL;
    if (equals) {
        *equals = '\0';
        dot = strchr(copy, '.');
        if (dot && group_of(copy)) dot = strchr(dot + 1, '.');
    }
    if (dot) {
        *dot = '\0';
        rc = config_set(c, trim(copy), trim(dot + 1), trim(equals + 1), (struct config_from){CONFIG_FROM_OVERRIDE, 0},
                        e);
    } else {
        rc = err_set(e, ERR_SYNTAX, "-o", "-o %.80s: the form is section.key=value", text);
    }
    mem_free(copy);
    return rc;
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void finish_groups(struct config *c) {
    size_t kept = 0;
    for (size_t i = 0; i < c->n_types; i++)
        if (c->types[i].enabled) c->types[kept++] = c->types[i];
    c->n_types = kept;
    kept = 0;
    for (size_t i = 0; i < c->n_rules; i++) {
        if (c->rules[i].enabled)
            c->rules[kept++] = c->rules[i];
        else
            config_clear_row("rule", &c->rules[i]);
    }
    c->n_rules = kept;
    qsort(c->types, c->n_types, sizeof c->types[0], by_name);
    qsort(c->files, c->n_files, sizeof c->files[0], by_name);
    qsort(c->rules, c->n_rules, sizeof c->rules[0], by_name);
}

int config_load(struct config *c, const char *path, char *const *overrides, size_t n, struct err *e) {
    memset(c, 0, sizeof *c);
    int rc = load_defaults(c, path, e);
    if (rc == 0 && path) rc = config_file_read(c, path, e);
    if (rc == 0) rc = config_environment(c, environ, e);
    for (size_t i = 0; rc == 0 && i < n; i++) rc = load_override(c, overrides[i], e);
    if (rc == 0) {
        finish_groups(c);
        rc = config_check(c, e);
    }
    if (rc) config_free(c);
    return rc;
}

void config_free(struct config *c) {
    struct config_group groups[CONFIG_GROUPS];
    config_groups(c, groups);
    for (size_t g = 0; g < CONFIG_GROUPS; g++)
        for (size_t i = 0; i < groups[g].n; i++)
            config_clear_row(groups[g].name, (char *)groups[g].rows + i * groups[g].row_size);
    for (size_t i = 0; i < config_n_sections; i++) config_clear_row(config_sections[i].name, c);
    for (size_t i = 0; i < c->n_kafka_pass; i++) {
        mem_free(c->kafka_pass[i].key);
        mem_free(c->kafka_pass[i].value);
    }
    mem_free(c->kafka_pass);
    if (c->origins) config_drop_origins(c->origins);
    mem_free(c->origins);
    memset(c, 0, sizeof *c);
}

const struct config_type *config_type_of(const struct config *c, const char *name) {
    for (size_t t = 0; t < c->n_types; t++)
        if (strcmp(c->types[t].name, name) == 0) return &c->types[t];
    return NULL;
}

bool config_has_term(const struct config *c, const char *name) {
    struct slice term;
    bool on = false;
    for (const char *rest = c->terms; config_list_next(&rest, &term);) {
        if (slice_is(term, name) || slice_is(term, "all")) on = true;
        if (term.n > 0 && term.p[0] == '-' && slice_is(slice_of(term.p + 1, term.n - 1), name)) on = false;
    }
    return on;
}

bool config_own_log(const struct config *c) {
    return strcmp(c->log_enabled, "yes") == 0 || (strcmp(c->log_enabled, "auto") == 0 && *c->kafka_brokers == '\0');
}
