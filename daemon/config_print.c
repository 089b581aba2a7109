/* The configuration as text: what is in effect, what there is to set, what the model depends on. */
#include "daemon/config_priv.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/check.h"

#define WIDTH 100 /* of the comments in the reference */

/* ---- the effective configuration ---- */

static void add_origin(const struct config *c, const char *name, struct buf *out) {
    struct config_from from = config_origin(c, name);
    switch (from.where) {
    case CONFIG_DEFAULT:
        buf_add_str(out, "  # default\n");
        break;
    case CONFIG_FROM_FILE:
        buf_printf(out, "  # from file %s:%d\n", c->origins->path, from.line);
        break;
    case CONFIG_FROM_ENV:
        buf_add_str(out, "  # from environment\n");
        break;
    case CONFIG_FROM_OVERRIDE:
        buf_add_str(out, "  # from -o\n");
        break;
    }
}

static void add_options(const struct config *c, const char *section, const char *group, const void *row,
                        struct buf *out) {
    char name[CONFIG_MAX_NAME];
    buf_printf(out, "%s[%s]\n", out->n ? "\n" : "", section);
    for (size_t i = 0; i < config_n_options; i++) {
        const struct config_option *o = &config_options[i];
        if (strcmp(o->section, group) != 0) continue;
        snprintf(name, sizeof name, "%s.%s", section, o->key);
        buf_printf(out, "%s = ", o->key);
        config_value_print(o, config_get(o, row), out);
        add_origin(c, name, out);
    }
}

static void add_pass(const struct config *c, struct buf *out) {
    char name[CONFIG_MAX_NAME];
    for (size_t i = 0; i < c->n_kafka_pass; i++) {
        const struct config_pass *p = &c->kafka_pass[i];
        bool secret = config_is_secret(p->key);
        snprintf(name, sizeof name, "kafka.rdkafka.%s", p->key);
        buf_printf(out, "%srdkafka.%s = %s", secret ? "# " : "", p->key, secret ? "********" : p->value);
        add_origin(c, name, out);
    }
}

/* Types that were taken away: without this line a default one would be back when the text is read. */
static void add_disabled(const struct config *c, struct buf *out) {
    for (size_t i = 0; i < c->origins->n; i++) {
        char section[CONFIG_MAX_NAME];
        snprintf(section, sizeof section, "%s", c->origins->v[i].name);
        char *dot = strrchr(section, '.');
        if (strncmp(section, "type.", 5) != 0 || strcmp(dot, ".enabled") != 0) continue;
        *dot = '\0';
        bool kept = false;
        for (size_t t = 0; t < c->n_types; t++) kept = kept || strcmp(c->types[t].name, section + 5) == 0;
        if (kept) continue;
        buf_printf(out, "\n[%s]\nenabled = no", section);
        add_origin(c, c->origins->v[i].name, out);
    }
}

void config_print(const struct config *c, struct buf *out) {
    struct config_group groups[CONFIG_GROUPS];
    for (size_t i = 0; i < config_n_sections; i++) {
        const char *section = config_sections[i].name;
        add_options(c, section, section, c, out);
        if (strcmp(section, "kafka") == 0) add_pass(c, out);
    }
    config_groups(c, groups);
    for (size_t g = 0; g < CONFIG_GROUPS; g++) {
        for (size_t i = 0; i < groups[g].n; i++) {
            const char *row = (const char *)groups[g].rows + i * groups[g].row_size;
            char section[CONFIG_MAX_NAME];
            snprintf(section, sizeof section, "%s.%s", groups[g].name, row);
            add_options(c, section, groups[g].name, row, out);
        }
    }
    add_disabled(c, out);
}

/* ---- the reference ---- */

static const char head[] =
    "rankd's options. Each stands here commented out at its default; take the # away to set it.\n"
    "`rankd check-config` prints what is in effect and where each value came from.\n"
    "\n"
    "Later wins: default, this file, the environment, -o section.key=value on the command line. A variable of the "
    "environment is "
    "RANKD_SECTION_KEY in upper case: RANKD_MODEL_DIM=128. For librdkafka each dot is a _: "
    "RANKD_KAFKA_RDKAFKA_SASL_PASSWORD. "
    "Types, files and rules ([type.NAME], [file.NAME], [rule.NAME]) cannot be set there. RANKD_TEST_* is left to "
    "tests; any other variable "
    "that begins "
    "with RANKD_ is refused, as is any unknown section or key.\n"
    "\n"
    "Lines are `[section]`, `key = value`, comments with # or ; in the first column, or empty. After a space # and ; "
    "begin a "
    "comment behind a value too, so a value cannot have them there. A value ends with its line: an indented line is "
    "refused. "
    "A key that is set twice is refused; a section may be opened again.\n"
    "\n"
    "Sizes are bytes or have one of KiB, MiB, GiB, TiB; rates are the same with /s; times have one of ms, s, m, h, d. "
    "Numbers before a unit are whole.\n"
    "\n"
    "L: part of what is learned. A change begins a new epoch in the journal, and a replay must use the same.";

static const char type_head[] = "Events that learn, one section a type. cart (weight 1.5), click (1), purchase (2) and "
                                "view (1) are there without being "
                                "named; a section changes one of them or adds a type, at most 16 in all. The name is 1 "
                                "to 32 of a-z 0-9 - _; impression, "
                                "item, user and delete are rankd's own.";

static const char file_head[] = "Files of JSON Lines to follow, one section a file, at most 16. The name is 1 to 32 of "
                                "a-z 0-9 - _; the journal knows the "
                                "source as file:NAME.";

static const char rule_head[] =
    "Rules for seasons, promotions and broken trackers: what some events of the configured types and some impressions "
    "weigh, one section a rule, at most 64. The name is 1 to 32 of a-z 0-9 - _. All that a rule names must hold; of an "
    "event that several rules fit the weights multiply (to 1000 at most), and one history = no is enough. A change is "
    "read on SIGHUP and holds from a sequence on that the journal notes.";

static const char *group_head(const char *group) {
    return *group == 't' ? type_head : *group == 'f' ? file_head : rule_head;
}

/* Comment lines of text, broken at spaces; a newline in it ends a line. */
static void add_comment(const char *text, struct buf *out) {
    while (*text) {
        size_t n = strcspn(text, "\n"), most = WIDTH - 2;
        if (n > most) {
            const char *space = memrchr(text, ' ', most + 1);
            n = space && space > text ? (size_t)(space - text) : most;
        }
        buf_add_str(out, n ? "# " : "#");
        buf_add(out, text, n);
        buf_add_char(out, '\n');
        text += n;
        if (*text == ' ' || *text == '\n') text++;
    }
}

static void add_reference(const struct config_option *o, struct buf *out) {
    char allowed[192], line[256];
    add_comment(o->help, out);
    snprintf(line, sizeof line, "Allowed: %s.%s", config_value_allowed(o, allowed, sizeof allowed),
             o->reload ? " Read again on SIGHUP." : "");
    add_comment(line, out);
    buf_printf(out, "#%s =%s%s\n", o->key, *o->def ? " " : "", o->def);
}

static void add_section_head(const char *section, struct buf *out) {
    if (!strcmp(section, "type") || !strcmp(section, "file") || !strcmp(section, "rule")) {
        add_comment(group_head(section), out);
        buf_printf(out, "#[%s.NAME]\n", section);
        return;
    }
    for (size_t i = 0; i < config_n_sections; i++)
        if (strcmp(config_sections[i].name, section) == 0) add_comment(config_sections[i].help, out);
    buf_printf(out, "[%s]\n", section);
}

void config_print_reference(const char *section, struct buf *out) {
    const char *open = "";
    if (*section == '\0') add_comment(head, out);
    for (size_t i = 0; i < config_n_options; i++) {
        const struct config_option *o = &config_options[i];
        if (*section && strcmp(section, o->section) != 0) continue;
        if (strcmp(open, o->section) != 0) {
            if (out->n) buf_add_char(out, '\n');
            add_section_head(o->section, out);
            open = o->section;
        }
        buf_add_char(out, '\n');
        add_reference(o, out);
    }
}

/* ---- what the model depends on ---- */

#define MAX_LINES 1024

struct line {
    char name[CONFIG_MAX_NAME];
    const struct config_option *option;
    const void *row;
};

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct line *)a)->name, ((const struct line *)b)->name);
}

static size_t collect(const char *group, const char *section, const void *row, struct line *lines, size_t n) {
    for (size_t i = 0; i < config_n_options; i++) {
        const struct config_option *o = &config_options[i];
        if (strcmp(o->section, group) != 0 || !config_option_learning(o)) continue;
        CHECK(n < MAX_LINES);
        snprintf(lines[n].name, sizeof lines[n].name, "%s.%s", section, o->key);
        lines[n].option = o;
        lines[n++].row = row;
    }
    return n;
}

void config_learning_text(const struct config *c, struct buf *out) {
    struct line lines[MAX_LINES];
    struct config_group groups[CONFIG_GROUPS];
    size_t n = 0;
    for (size_t i = 0; i < config_n_sections; i++)
        n = collect(config_sections[i].name, config_sections[i].name, c, lines, n);
    config_groups(c, groups);
    for (size_t g = 0; g < CONFIG_GROUPS; g++) {
        for (size_t i = 0; i < groups[g].n; i++) {
            const char *row = (const char *)groups[g].rows + i * groups[g].row_size;
            char section[40];
            snprintf(section, sizeof section, "%s.%s", groups[g].name, row);
            n = collect(groups[g].name, section, row, lines, n);
        }
    }
    qsort(lines, n, sizeof lines[0], by_name);
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s=", lines[i].name);
        config_value_print(lines[i].option, config_get(lines[i].option, lines[i].row), out);
        buf_add_char(out, '\n');
    }
}
