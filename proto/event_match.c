/* Conditions: parsing them, and looking for their values in one walk over the text of an event. */
#include "proto/event_match.h"

#include "lib/base/mem.h"
#include "proto/event_priv.h"

#define SHOWN 40 /* bytes of a condition in an error */

struct condition {
    bool negated;
    size_t n_steps, n_values; /* no values: something must stand there */
    struct slice steps[EVENT_MATCH_STEPS];
    struct slice values[EVENT_MATCH_VALUES]; /* each followed by a NUL */
};

struct event_match {
    size_t n;
    struct condition conditions[EVENT_MATCH_CONDITIONS];
    char text[]; /* of names and values, without backslashes */
};

/* ---- parsing ---- */

struct parsing {
    const char *p;
    char *out;
    const char *condition; /* where the current one begins */
    struct err *e;
};

static int refuse(const struct parsing *s, int code, const char *what) {
    size_t n = strcspn(s->condition, ",");
    return err_set(s->e, code, "attributes", "in \"%.*s\": %s", (int)(n < SHOWN ? n : SHOWN), s->condition, what);
}

static bool is_end(char c, const char *ends) { return c == '\0' || strchr(ends, c); }

/* Text up to one of `ends`, without spaces around it and without backslashes. */
static int take_word(struct parsing *s, const char *ends, struct slice *word) {
    char *from = s->out, *last = s->out; /* last: behind the last byte that is no space of its own */
    while (*s->p == ' ') s->p++;
    while (!is_end(*s->p, ends)) {
        bool quoted = *s->p == '\\';
        if (quoted && s->p[1] == '\0') return refuse(s, ERR_SYNTAX, "a backslash with nothing behind it");
        if (*s->p == '"') return refuse(s, ERR_SYNTAX, "values stand without quotes; \\\" is one that belongs to it");
        s->p += quoted;
        *s->out++ = *s->p;
        if (quoted || *s->p != ' ') last = s->out;
        s->p++;
    }
    s->out = last;
    *word = slice_of(from, (size_t)(last - from));
    *s->out++ = '\0';
    return word->n ? 0 : refuse(s, ERR_SYNTAX, "a name or a value is empty");
}

static int take_path(struct parsing *s, struct condition *c) {
    for (;;) {
        if (c->n_steps == EVENT_MATCH_STEPS) return refuse(s, ERR_RANGE, "a path of more than 8 names");
        int rc = take_word(s, ".=!,", &c->steps[c->n_steps++]);
        if (rc < 0) return rc;
        if (*s->p != '.') return 0;
        s->p++;
    }
}

static int take_values(struct parsing *s, struct condition *c) {
    if (*s->p == '\0' || *s->p == ',') return 0;
    c->negated = *s->p == '!';
    s->p += c->negated;
    if (*s->p != '=') return refuse(s, ERR_SYNTAX, "a ! without its =");
    do {
        s->p++;
        if (c->n_values == EVENT_MATCH_VALUES) return refuse(s, ERR_RANGE, "more than 32 values");
        int rc = take_word(s, "|,", &c->values[c->n_values++]);
        if (rc < 0) return rc;
    } while (*s->p == '|');
    return 0;
}

static int parse(struct event_match *m, const char *text, struct err *e) {
    struct parsing s = {.p = text, .out = m->text, .condition = text, .e = e};
    while (*s.p == ' ') s.p++;
    if (*s.p == '\0') return 0;
    for (;;) {
        s.condition = s.p;
        if (m->n == EVENT_MATCH_CONDITIONS) return refuse(&s, ERR_RANGE, "more than 8 conditions");
        struct condition *c = &m->conditions[m->n++];
        int rc = take_path(&s, c);
        if (rc == 0) rc = take_values(&s, c);
        if (rc < 0) return rc;
        if (*s.p == '\0') return 0;
        s.p++;
    }
}

int event_match_parse(const char *text, struct event_match **out, struct err *e) {
    /* Each name and value adds its NUL where the text has a separator, or the end. */
    struct event_match *m = mem_zalloc(sizeof *m + strlen(text) + 2);
    if (!m) return err_set(e, ERR_NOMEM, "attributes", "no memory");
    int rc = parse(m, text, e);
    if (rc == 0)
        *out = m;
    else
        event_match_free(m);
    return rc;
}

void event_match_free(struct event_match *m) { mem_free(m); }

/* ---- looking ---- */

struct walk {
    const char *p, *end;
};

static void skip_space(struct walk *w) {
    while (w->p < w->end && (*w->p == ' ' || *w->p == '\t' || *w->p == '\n' || *w->p == '\r')) w->p++;
}

/* Behind the closing quote; what is between the quotes, escapes and all. */
static struct slice take_string(struct walk *w) {
    const char *from = ++w->p;
    while (w->p < w->end && *w->p != '"') w->p += *w->p == '\\' && w->end - w->p > 1 ? 2 : 1;
    struct slice inside = slice_of(from, (size_t)(w->p - from));
    if (w->p < w->end) w->p++;
    return inside;
}

/* A number or a word. */
static struct slice take_scalar(struct walk *w) {
    const char *from = w->p;
    while (w->p < w->end && !strchr(",]} \t\n\r", *w->p)) w->p++;
    if (w->p == from && w->p < w->end) w->p++; /* no JSON: go on anyway */
    return slice_of(from, (size_t)(w->p - from));
}

static void skip_value(struct walk *w) {
    for (size_t depth = 0; w->p < w->end;) {
        char c = *w->p;
        if (c == '"')
            (void)take_string(w);
        else if (c == '{' || c == '[')
            depth++, w->p++;
        else if (c == '}' || c == ']')
            depth -= depth > 0, w->p++;
        else if (c == ',' || c == ':' || c == ' ' || c == '\t' || c == '\n' || c == '\r')
            w->p++;
        else
            (void)take_scalar(w);
        if (depth == 0) return;
    }
}

static unsigned hex4(const char *p) {
    unsigned v = 0;
    for (int k = 0; k < 4; k++) {
        char c = p[k];
        v = v << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

/* The bytes that an escape stands for; behind it. */
static const char *unescape(const char *p, const char *end, char out[4], size_t *n) {
    static const char plain[] = "\"\\/bfnrt", stands[] = "\"\\/\b\f\n\r\t";
    const char *at = end - p > 1 ? strchr(plain, p[1]) : NULL;
    *n = 1;
    out[0] = at && *at ? stands[at - plain] : '?';
    if (end - p < 6 || p[1] != 'u') return end - p > 1 ? p + 2 : end;
    unsigned v = hex4(p + 2);
    p += 6;
    if (v >= 0xd800 && v < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        v = 0x10000 + ((v - 0xd800) << 10) + (hex4(p + 2) - 0xdc00);
        p += 6;
    }
    *n = v < 0x80 ? 1 : v < 0x800 ? 2 : v < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    for (size_t k = *n; k-- > 1; v >>= 6) out[k] = (char)(0x80 | (v & 0x3f));
    out[0] = (char)((first[*n] | v) & 0xff);
    return p;
}

static bool is_text(struct slice json, struct slice text) {
    const char *p = json.p, *end = json.p + json.n;
    if (!json.n || !memchr(json.p, '\\', json.n)) return slice_equal(json, text);
    while (p < end) {
        char bytes[4] = {*p};
        size_t n = 1;
        p = *p == '\\' ? unescape(p, end, bytes, &n) : p + 1;
        if (text.n < n || memcmp(text.p, bytes, n) != 0) return false;
        text.p += n;
        text.n -= n;
    }
    return text.n == 0;
}

static bool is_value(struct slice json, bool quoted, struct slice value) {
    if (quoted) return is_text(json, value);
    if (slice_equal(json, value)) return true;
    return event_is_number(json) && event_is_number(value) && event_number(json) == event_number(value);
}

static bool is_wanted(const struct condition *c, struct slice json, bool quoted) {
    if (!quoted && slice_is(json, "null")) return false;
    for (size_t k = 0; k < c->n_values; k++)
        if (is_value(json, quoted, c->values[k])) return true;
    return c->n_values == 0;
}

static bool look(struct walk *w, const struct condition *c, size_t step, size_t depth);

/* Elements of a list, or members of an object that have the path's next name. */
static bool look_inside(struct walk *w, const struct condition *c, size_t step, size_t depth, bool object) {
    bool found = false;
    w->p++;
    for (skip_space(w); w->p < w->end && *w->p != ']' && *w->p != '}'; skip_space(w)) {
        bool named = true;
        if (object && *w->p == '"') {
            named = is_text(take_string(w), c->steps[step]);
            skip_space(w);
            if (w->p < w->end && *w->p == ':') w->p++;
            skip_space(w);
        }
        if (named)
            found |= look(w, c, step + object, depth + 1);
        else
            skip_value(w);
        skip_space(w);
        if (w->p < w->end && *w->p == ',') w->p++;
    }
    if (w->p < w->end) w->p++;
    return found;
}

/* Whether the value here, or what the rest of the path finds in it, is wanted. Behind it afterwards. */
static bool look(struct walk *w, const struct condition *c, size_t step, size_t depth) {
    if (w->p == w->end) return false;
    char first = *w->p;
    bool inside = first == '[' || (first == '{' && step < c->n_steps);
    if (inside && depth <= EVENT_MAX_DEPTH) return look_inside(w, c, step, depth, first == '{');
    if (inside || first == '{') {
        skip_value(w);
        return !inside && c->n_values == 0;
    }
    bool quoted = first == '"';
    struct slice json = quoted ? take_string(w) : take_scalar(w);
    return step == c->n_steps && is_wanted(c, json, quoted);
}

bool event_match_holds(const struct event_match *m, struct slice json) {
    for (size_t k = 0; k < m->n; k++) {
        struct walk w = {json.p, json.p + json.n};
        skip_space(&w);
        if (look(&w, &m->conditions[k], 0, 1) == m->conditions[k].negated) return false;
    }
    return true;
}
