/* The table of options made from options.def, and the look-up in it. */
#include "daemon/config_priv.h"

#include <string.h>

/* The offset of a field; does not compile when the field is not of the type that its option's kind stores. */
#define FIELD(row, f, c_type) (offsetof(row, f) + sizeof(char[_Generic(((row *)0)->f, c_type : 1, default : -1)]) - 1)
#define RELOAD_yes            true
#define RELOAD_no             false
#define OPTION(s, k, kind, row, c_type, f, d, lo, hi, u, r, h)                                                         \
    {#s, #k, kind, FIELD(row, f, c_type), d, lo, hi, u, h, RELOAD_##r},
#define OF_TYPE(k, kind, c_type, f, d, lo, hi, u, h)                                                                   \
    OPTION(type, k, kind, struct config_type, c_type, f, d, lo, hi, u, no, h)
#define OF_FILE(k, kind, c_type, f, d, lo, hi, u, h)                                                                   \
    OPTION(file, k, kind, struct config_file, c_type, f, d, lo, hi, u, no, h)

#define OF_RULE(k, kind, c_type, f, d, lo, hi, u, h)                                                                   \
    OPTION(rule, k, kind, struct config_rule, c_type, f, d, lo, hi, u, yes, h)

#define SECTION(name, help)
#define OPT_int(s, k, f, d, lo, hi, u, r, h)   OPTION(s, k, CONFIG_INT, struct config, int64_t, f, d, lo, hi, u, r, h)
#define OPT_time(s, k, f, d, lo, hi, u, r, h)  OPTION(s, k, CONFIG_TIME, struct config, int64_t, f, d, lo, hi, u, r, h)
#define OPT_float(s, k, f, d, lo, hi, u, r, h) OPTION(s, k, CONFIG_FLOAT, struct config, double, f, d, lo, hi, u, r, h)
#define OPT_bool(s, k, f, d, lo, hi, u, r, h)  OPTION(s, k, CONFIG_BOOL, struct config, bool, f, d, lo, hi, u, r, h)
#define OPT_size(s, k, f, d, lo, hi, u, r, h)  OPTION(s, k, CONFIG_SIZE, struct config, uint64_t, f, d, lo, hi, u, r, h)
#define OPT_rate(s, k, f, d, lo, hi, u, r, h)  OPTION(s, k, CONFIG_RATE, struct config, uint64_t, f, d, lo, hi, u, r, h)
#define OPT_str(s, k, f, d, lo, hi, u, r, h)   OPTION(s, k, CONFIG_STR, struct config, char *, f, d, lo, hi, u, r, h)
#define OPT_list(s, k, f, d, lo, hi, u, r, h)  OPTION(s, k, CONFIG_LIST, struct config, char *, f, d, lo, hi, u, r, h)
#define TYPE_bool(k, f, d, lo, hi, u, h)       OF_TYPE(k, CONFIG_BOOL, bool, f, d, lo, hi, u, h)
#define TYPE_float(k, f, d, lo, hi, u, h)      OF_TYPE(k, CONFIG_FLOAT, double, f, d, lo, hi, u, h)
#define TYPE_time(k, f, d, lo, hi, u, h)       OF_TYPE(k, CONFIG_TIME, int64_t, f, d, lo, hi, u, h)
#define FILE_str(k, f, d, lo, hi, u, h)        OF_FILE(k, CONFIG_STR, char *, f, d, lo, hi, u, h)
#define FILE_list(k, f, d, lo, hi, u, h)       OF_FILE(k, CONFIG_LIST, char *, f, d, lo, hi, u, h)
#define RULE_bool(k, f, d, lo, hi, u, h)       OF_RULE(k, CONFIG_BOOL, bool, f, d, lo, hi, u, h)
#define RULE_float(k, f, d, lo, hi, u, h)      OF_RULE(k, CONFIG_FLOAT, double, f, d, lo, hi, u, h)
#define RULE_str(k, f, d, lo, hi, u, h)        OF_RULE(k, CONFIG_STR, char *, f, d, lo, hi, u, h)
#define RULE_list(k, f, d, lo, hi, u, h)       OF_RULE(k, CONFIG_LIST, char *, f, d, lo, hi, u, h)

const struct config_option config_options[] = {
#include "daemon/options.def"
};
const size_t config_n_options = sizeof config_options / sizeof config_options[0];

#undef SECTION
#undef OPTION
#define SECTION(name, help) {#name, help},
#define OPTION(...)
const struct config_section config_sections[] = {
#include "daemon/options.def"
};
const size_t config_n_sections = sizeof config_sections / sizeof config_sections[0];

const struct config_option *config_option_find(const char *section, const char *key) {
    for (size_t i = 0; i < config_n_options; i++)
        if (strcmp(config_options[i].section, section) == 0 && strcmp(config_options[i].key, key) == 0)
            return &config_options[i];
    return NULL;
}

bool config_option_learning(const struct config_option *o) {
    return strcmp(o->section, "model") == 0 || strncmp(o->help, "L.", 2) == 0;
}

bool config_option_grouped(const struct config_option *o) {
    return strcmp(o->section, "type") == 0 || strcmp(o->section, "file") == 0 || strcmp(o->section, "rule") == 0;
}

/* The nearest of the keys of a section, of the plain sections, or of the names in the environment is looked for in one
 * walk over the table; see config_nearest. */
static const char *candidate(const struct config_option *o, const char *section, char *room, size_t size) {
    if (section && *section) return strcmp(o->section, section) == 0 ? o->key : NULL;
    if (section) {
        if (!config_option_grouped(o)) return o->section;
        snprintf(room, size, "%s.NAME", o->section);
        return room;
    }
    if (config_option_grouped(o)) return NULL;
    char name[CONFIG_MAX_NAME];
    snprintf(name, sizeof name, "%s.%s", o->section, o->key);
    return config_env_name(name, room, size);
}

const char *config_nearest(const char *section, const char *name, char *out, size_t size) {
    size_t best = SIZE_MAX;
    char room[CONFIG_MAX_ENV];
    *out = '\0';
    for (size_t i = 0; i < config_n_options; i++) {
        const char *known = candidate(&config_options[i], section, room, sizeof room);
        size_t edits = known ? config_distance(name, known) : SIZE_MAX;
        if (edits >= best) continue;
        best = edits;
        snprintf(out, size, "%s", known);
    }
    return out;
}
