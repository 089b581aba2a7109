/* A JSON line looked through without decoding it: the daemon judges, this only adds what is missing. */
#include "daemon/ctl_line.h"

#include <string.h>

#include "proto/jdoc.h"

#define MAX_DEPTH 64

static size_t skip_blanks(struct slice s, size_t at) {
    while (at < s.n && (s.p[at] == ' ' || s.p[at] == '\t' || s.p[at] == '\r' || s.p[at] == '\n')) at++;
    return at;
}

/* Behind the closing quote of the string that begins at `at`; 0 when there is none. */
static size_t string_end(struct slice s, size_t at) {
    for (at++; at < s.n; at++) {
        if (s.p[at] == '\\')
            at++;
        else if (s.p[at] == '"')
            return at + 1;
    }
    return 0;
}

/* Behind the value that begins at `at`: its strings are closed and its brackets match. 0: they do not. */
static size_t value_end(struct slice s, size_t at) {
    char open[MAX_DEPTH];
    size_t depth = 0;
    while (at < s.n) {
        char c = s.p[at];
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) return at;
        if (c == '"') {
            at = string_end(s, at);
            if (at == 0) return 0;
            continue;
        }
        if (c == '{' || c == '[') {
            if (depth == MAX_DEPTH) return 0;
            open[depth++] = c == '{' ? '}' : ']';
        }
        if (c == '}' || c == ']') {
            if (open[--depth] != c) return 0;
        }
        at++;
    }
    return 0;
}

static bool is_name(struct slice s, const char *a, const char *b) { return slice_is(s, a) || slice_is(s, b); }

static void note(struct line_json *j, struct slice name, struct slice value) {
    if (is_name(name, "id", "event_id")) j->has_id = true;
    if (is_name(name, "type", "event_type")) j->has_type = true;
    if (is_name(name, "user", "user_id")) j->user = value;
}

int line_json_begin(struct slice line, struct line_cursor *c, struct err *e) {
    size_t at = skip_blanks(line, 0);
    if (at == line.n || line.p[at] != '{') return err_set(e, ERR_SYNTAX, "", "no JSON object");
    *c = (struct line_cursor){.line = line, .open = at, .at = skip_blanks(line, at + 1)};
    c->empty = c->done = c->at < line.n && line.p[c->at] == '}';
    return 0;
}

int line_json_next(struct line_cursor *c, struct slice *name, struct slice *value, struct err *e) {
    struct slice line = c->line;
    size_t at = c->at, begin = at;
    if (c->done) {
        if (skip_blanks(line, at + 1) == line.n) return 0;
        return err_set(e, ERR_SYNTAX, "", "something follows the JSON object");
    }
    if (at >= line.n || line.p[at] != '"' || (at = string_end(line, at)) == 0) goto broken;
    struct slice key = slice_of(line.p + begin + 1, at - begin - 2);
    at = skip_blanks(line, at);
    if (at >= line.n || line.p[at] != ':') goto broken;
    begin = skip_blanks(line, at + 1);
    at = value_end(line, begin);
    if (at == 0 || at == begin || line.p[at] == ']') goto broken;
    struct slice found = slice_of(line.p + begin, at - begin);
    while (found.n && strchr(" \t\r\n", found.p[found.n - 1])) found.n--;
    c->done = line.p[at] == '}';
    c->at = c->done ? at : skip_blanks(line, at + 1);
    *name = key;
    *value = found;
    return 1;
broken:
    return err_set(e, ERR_SYNTAX, "", "no JSON object: a quote, a bracket or a name is missing");
}

int line_json_scan(struct slice line, struct line_json *out, struct err *e) {
    struct line_cursor c;
    struct slice name, value;
    int rc = line_json_begin(line, &c, e);
    if (rc < 0) return rc;
    struct line_json j = {.open = c.open, .empty = c.empty};
    while ((rc = line_json_next(&c, &name, &value, e)) == 1) note(&j, name, value);
    if (rc == 0) *out = j;
    return rc;
}

void line_json_write(struct slice line, const struct line_json *j, const char *id, const char *type, struct buf *out) {
    bool add_id = !j->has_id && id, add_type = !j->has_type && type;
    buf_add_char(out, '{');
    if (add_id) {
        buf_add_str(out, "\"id\":");
        buf_add_json(out, slice_str(id));
    }
    if (add_type) {
        buf_add_str(out, add_id ? ",\"type\":" : "\"type\":");
        buf_add_json(out, slice_str(type));
    }
    if ((add_id || add_type) && !j->empty) buf_add_char(out, ',');
    size_t n = line.n;
    while (n && strchr(" \t\r\n", line.p[n - 1])) n--;
    buf_add(out, line.p + j->open + 1, n - j->open - 1);
}

bool line_json_user(struct slice value, struct buf *out) {
    if (value.n == 0) return false;
    if (value.p[0] != '"') {
        buf_add_slice(out, value);
        return value.p[0] == '-' || (value.p[0] >= '0' && value.p[0] <= '9');
    }
    if (!memchr(value.p, '\\', value.n)) {
        buf_add(out, value.p + 1, value.n - 2);
        return true;
    }
    struct jdoc *j;
    if (jdoc_parse(value, &j, NULL) < 0) return false;
    buf_add_slice(out, jdoc_text(jdoc_root(j), ""));
    jdoc_free(j);
    return true;
}
