/* What the files of the configuration share: the table of options, typed values, origins. */
#ifndef RANKD_DAEMON_CONFIG_PRIV_H
#define RANKD_DAEMON_CONFIG_PRIV_H

#include "daemon/config.h"
#include "lib/base/slice.h"

#define CONFIG_MAX_VALUE 4000 /* bytes of a value */
#define CONFIG_MAX_NAME  160  /* "section.key" with its NUL */
#define CONFIG_MAX_ENV   (CONFIG_MAX_NAME + 8)
#define CONFIG_MAX_LINE  4200

enum config_kind {
    CONFIG_INT,
    CONFIG_FLOAT,
    CONFIG_BOOL,
    CONFIG_STR,
    CONFIG_LIST,
    CONFIG_SIZE,
    CONFIG_TIME,
    CONFIG_RATE,
};

struct config_option {   /* one line of options.def */
    const char *section; /* "type", "file" and "rule" for the repeated ones */
    const char *key;
    enum config_kind kind;
    size_t offset; /* in struct config, config_type, config_file or config_rule */
    const char *def, *min, *max, *unit, *help;
    bool reload;
};

struct config_section {
    const char *name, *help;
};

extern const struct config_option config_options[];
extern const size_t config_n_options;
extern const struct config_section config_sections[];
extern const size_t config_n_sections;

/* The option of a plain section, or of "type", "file" and "rule"; NULL when there is none. */
const struct config_option *config_option_find(const char *section, const char *key);

bool config_option_learning(const struct config_option *o);
/* Whether it is a key of sections that may be repeated. */
bool config_option_grouped(const struct config_option *o);
/* The known name nearest to name: a key of section, a section (section ""), or a variable of the environment (section
 * NULL); returns out. */
const char *config_nearest(const char *section, const char *name, char *out, size_t size);

/* ---- origins (config.c) ---- */

enum config_where { CONFIG_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_ENV, CONFIG_FROM_OVERRIDE };

struct config_from {
    enum config_where where;
    int line; /* of the file; 0 otherwise */
};

struct config_origin { /* of one value that is not a default */
    char name[CONFIG_MAX_NAME];
    struct config_from from;
};

struct config_origins {
    char *path; /* of the file; NULL when there is none */
    struct config_origin *v;
    size_t n, cap;
};

struct config_from config_origin(const struct config *c, const char *name);
int config_note_origin(struct config *c, const char *name, struct config_from from) ERR_MUST_CHECK;
/* The name under which the origin of a section [GROUP.NAME] itself is kept. */
void config_section_name(const char *section, char out[CONFIG_MAX_NAME]);
void config_drop_origins(struct config_origins *all); /* frees what it holds */
/* Where the value of "section.key" came from: "FILE:LINE", "RANKD_SECTION_KEY", "-o" or "default", cut to fit; returns
 * out. */
const char *config_from_text(const struct config *c, const char *name, struct config_from from, char *out, size_t size);

/* Sets one value from its text. section is "model", "type.like", ...; key may be "rdkafka.KEY". */
int config_set(struct config *c, const char *section, const char *key, const char *value, struct config_from from,
               struct err *e) ERR_MUST_CHECK;
/* A section named without a key: must be known; a repeated one is created with its defaults. */
int config_open_section(struct config *c, const char *section, struct config_from from, struct err *e) ERR_MUST_CHECK;

/* Where the values of o are stored in one row of its group (struct config, config_type, config_file or config_rule). */
static inline void *config_at(const struct config_option *o, void *row) { return (char *)row + o->offset; }
static inline const void *config_get(const struct config_option *o, const void *row) {
    return (const char *)row + o->offset;
}

/* The rows of one group of options. The first member of a row of "type", "file" and "rule" is its name. */
struct config_group {
    const char *name; /* "" = struct config itself */
    const void *rows;
    size_t row_size, n;
};
#define CONFIG_GROUPS 3
void config_groups(const struct config *c, struct config_group out[CONFIG_GROUPS]); /* "type", "file", "rule" */
/* Frees the texts of one row. */
void config_clear_row(const char *group, void *row);

/* A type with the defaults of [type.NAME], whatever its name, at the end of c->types. ERR_FULL; ERR_NOMEM. */
int config_add_type(struct config *c, const char *name, struct err *e) ERR_MUST_CHECK;

/* ---- config_file.c ---- */
int config_file_read(struct config *c, const char *path, struct err *e) ERR_MUST_CHECK;

/* ---- config_env.c ---- */
/* "RANKD_SECTION_KEY" of "section.key", cut to fit; returns out. */
const char *config_env_name(const char *name, char *out, size_t size);
int config_environment(struct config *c, char *const *environment, struct err *e) ERR_MUST_CHECK;

/* ---- config_check.c: options that contradict each other ---- */
int config_check(const struct config *c, struct err *e) ERR_MUST_CHECK;
/* "ORIGIN: a = VALUE contradicts b = VALUE (ORIGIN): why" as ERR_RANGE; b may be NULL. */
int config_clash(const struct config *c, struct err *e, const char *a, const char *b, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
bool config_is_type(const struct config *c, struct slice name);
int config_unknown_type(const struct config *c, const char *option, struct slice type, struct err *e) ERR_MUST_CHECK;

/* ---- config_rules.c ---- */
int config_check_rules(const struct config *c, struct err *e) ERR_MUST_CHECK;
/* Copies of from's rules in c, which has none. ERR_NOMEM. */
int config_copy_rules(struct config *c, const struct config *from) ERR_MUST_CHECK;
bool config_same_rules(const struct config *a, const struct config *b);

/* ---- config_value.c ---- */

/* Reads text into *at, which has the type of o->kind (a string there is freed first). On failure *at is untouched and
 * why says what is wrong. */
int config_value_set(const struct config_option *o, const char *text, void *at, char *why,
                     size_t why_size) ERR_MUST_CHECK;
/* Frees a string, or does nothing. */
void config_value_clear(const struct config_option *o, void *at);
bool config_value_equal(const struct config_option *o, const void *a, const void *b);
/* The canonical text: 24h and 1d are both "1d". */
void config_value_print(const struct config_option *o, const void *at, struct buf *out);
/* What is allowed, in words: "a size from 1KiB to 1GiB"; returns out. */
const char *config_value_allowed(const struct config_option *o, char *out, size_t size);
/* A copy of n bytes of s; NULL when memory is refused. */
char *config_text_copy(const char *s, size_t n);
/* Takes the next item off a comma-separated list, without white space around it; false at its end. */
bool config_list_next(const char **rest, struct slice *item);
/* 1 to 32 of a-z 0-9 _ - */
bool config_name_valid(struct slice name);
/* Edits between two names: insertions, deletions, substitutions and swaps of neighbours (Damerau 1964, in the
 * restricted form: no part is edited twice). Names longer than CONFIG_MAX_NAME count by their front. */
size_t config_distance(const char *a, const char *b);

#endif
