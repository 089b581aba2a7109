/* The INI file: inih takes lines apart, we read and count them, so that every error has its line. */
#include "daemon/config_priv.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

struct reading {
    FILE *file;
    const char *path;
    struct config *config;
    struct err *err;
    int line;
    int rc;                        /* of the first error, with *err set */
    char section[CONFIG_MAX_NAME]; /* whole; inih cuts long ones */
};

static int fail(struct reading *r, const char *field, const char *what) {
    r->rc = err_set(r->err, ERR_SYNTAX, field, "%s:%d: %s", r->path, r->line, what);
    return r->rc;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* Looks at a line before inih does: sections without keys count too, and a value cannot go on in the next line. */
static int look_at(struct reading *r, const char *line) {
    const char *p = line;
    while (is_blank(*p)) p++;
    if (*p == '\0' || *p == ';' || *p == '#') return 0;
    if (p != line)
        return fail(r, r->section,
                    "an indented line; sections and keys begin in the first column, and a value ends with its line");
    if (*p != '[') return *r->section ? 0 : fail(r, "", "a key before the first [section]");
    size_t n = strcspn(p + 1, "]");
    if (p[1 + n] != ']') return fail(r, "", "a section without its closing ]");
    if (n >= sizeof r->section) return fail(r, "", "unknown section: its name is too long");
    const char *rest = p + n + 2;
    while (is_blank(*rest)) rest++;
    if (*rest != '\0' && ((*rest != ';' && *rest != '#') || rest == p + n + 2))
        return fail(r, "", "text after the ] of a section");
    memcpy(r->section, p + 1, n);
    r->section[n] = '\0';
    r->rc = config_open_section(r->config, r->section, (struct config_from){CONFIG_FROM_FILE, r->line}, r->err);
    return r->rc;
}

/* As fgets, for ini_parse_stream: one whole line a call, NULL at the end and after an error. */
static char *next_line(char *line, int size, void *arg) {
    struct reading *r = arg;
    size_t n = 0;
    int byte = EOF;
    if (r->rc) return NULL;
    r->line++;
    while ((byte = getc(r->file)) != EOF && byte != '\n') {
        if (byte == '\0') {
            fail(r, r->section, "a NUL byte");
            return NULL;
        }
        if (n + 2 >= (size_t)size) {
            fail(r, r->section, "a line longer than 4000 bytes");
            return NULL;
        }
        line[n++] = (char)byte;
    }
    if (ferror(r->file)) {
        r->rc = err_set(r->err, ERR_IO, "", "%s: cannot be read: %s", r->path, strerror(errno));
        return NULL;
    }
    if (byte == EOF && n == 0) return NULL;
    if (n > 0 && line[n - 1] == '\r') n--;
    line[n] = '\0';
    size_t mark = r->line == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; /* inih skips this mark */
    return look_at(r, line + mark) ? NULL : line;
}

static int handle_pair(void *arg, const char *section, const char *key, const char *value) {
    struct reading *r = arg;
    (void)section; /* cut to 49 bytes by inih; r->section is whole */
    if (r->rc == 0)
        r->rc = config_set(r->config, r->section, key, value, (struct config_from){CONFIG_FROM_FILE, r->line}, r->err);
    return r->rc == 0;
}

static char comment_marks[] = ";#"; /* inih wants it writable */

int config_file_read(struct config *c, const char *path, struct err *e) {
    struct reading r = {.path = path, .config = c, .err = e};
    r.file = fopen(path, "re");
    if (!r.file)
        return err_set(e, errno == ENOENT ? ERR_MISSING : ERR_IO, "", "%s: cannot be opened: %s", path,
                       strerror(errno));
    ini_use_stack = false;
    ini_max_line = ini_initial_alloc = CONFIG_MAX_LINE;
    ini_allow_realloc = false;
    ini_allow_multiline = false;
    ini_allow_inline_comments = true;
    ini_inline_comment_prefixes = comment_marks;
    ini_stop_on_first_error = true;
    int at = ini_parse_stream(next_line, &r, handle_pair, &r);
    if (r.rc == 0 && at == -2) r.rc = err_set(e, ERR_NOMEM, "", "%s: memory was refused", path);
    if (r.rc == 0 && at != 0) fail(&r, r.section, "neither a [section], nor key = value, nor a comment");
    fclose(r.file);
    return r.rc;
}
