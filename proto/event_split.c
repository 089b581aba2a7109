/* Bodies of POST /v1/events taken apart: one object, an array of objects, or JSON Lines. */
#include "proto/event_priv.h"

/* Past the object or array that starts at from, or NULL when it does not end before end or a string breaks off. */
static const char *balanced_end(const char *from, const char *end) {
    size_t depth = 0;
    bool quoted = false;
    for (const char *p = from; p < end; p++) {
        if (quoted) {
            if (*p == '\\' && p + 1 < end)
                p++;
            else if (*p == '"')
                quoted = false;
            else if (*p == '\n')
                return NULL;
        } else if (*p == '"') {
            quoted = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if ((*p == '}' || *p == ']') && --depth == 0) {
            return p + 1;
        }
    }
    return NULL;
}

/* The comma or bracket behind the element that starts at from; end when there is none. */
static const char *element_end(const char *from, const char *end) {
    size_t depth = 0;
    bool quoted = false;
    for (const char *p = from; p < end; p++) {
        if (quoted) {
            if (*p == '\\' && p + 1 < end)
                p++;
            else if (*p == '"')
                quoted = false;
        } else if (*p == '"') {
            quoted = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (depth == 0 && (*p == ',' || *p == ']')) {
            return p;
        } else if ((*p == '}' || *p == ']') && depth > 0) {
            depth--;
        }
    }
    return end;
}

static struct slice between(const char *from, const char *to) {
    return event_trim(slice_of(from, (size_t)(to - from)));
}

/* What does not end, or is followed by more, gives one more record for the decoder to refuse. */
static int split_array(struct slice body, int (*each)(void *arg, struct slice record), void *arg) {
    const char *p = body.p + 1, *end = body.p + body.n, *stop;
    struct slice rest = between(p, end);
    if (rest.n > 0 && rest.p[0] == ']') {
        stop = rest.p;
    } else {
        for (;; p = stop + 1) {
            stop = element_end(p, end);
            int rc = each(arg, between(p, stop));
            if (rc) return rc;
            if (stop == end) return each(arg, slice_of(end, 0));
            if (*stop == ']') break;
        }
    }
    rest = between(stop + 1, end);
    return rest.n > 0 ? each(arg, rest) : 0;
}

static const char *line_end(const char *p, const char *end) {
    const char *stop = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return stop ? stop : end;
}

static int split_lines(struct slice body, int (*each)(void *arg, struct slice record), void *arg) {
    const char *end = body.p + body.n;
    for (const char *p = body.p, *stop; p < end; p = stop + 1) {
        stop = line_end(p, end);
        struct slice line = between(p, stop);
        int rc = line.n > 0 ? each(arg, line) : 0;
        if (rc) return rc;
        if (stop == end) break;
    }
    return 0;
}

/* A first line that is an object means lines. Otherwise it may be one object over several lines, whole or broken; lines
 * again when it is not whole and a later line starts with an object. */
static bool is_lines(struct slice body) {
    const char *end = body.p + body.n, *first = line_end(body.p, end);
    if (first == end || balanced_end(body.p, first)) return true;
    if (balanced_end(body.p, end) == end) return false;
    for (const char *p = first; p < end; p = line_end(p + 1, end)) {
        struct slice line = between(p, line_end(p + 1, end));
        if (line.n > 0 && line.p[0] == '{') return true;
    }
    return false;
}

int event_split(struct slice body, int (*each)(void *arg, struct slice record), void *arg, struct err *e) {
    body = event_trim(body);
    if (body.n == 0) return err_set(e, ERR_SYNTAX, NULL, "the body is empty");
    if (body.p[0] == '[') return split_array(body, each, arg);
    if (body.p[0] != '{')
        return err_set(e, ERR_SYNTAX, NULL, "the body is neither an object, an array of objects, nor JSON Lines");
    return is_lines(body) ? split_lines(body, each, arg) : each(arg, body);
}
