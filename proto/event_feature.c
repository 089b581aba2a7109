/* What a description says of an item or a user as short strings that others of his kind share: categories, bands,
 * values, words. */
#include <stdio.h>
#include <string.h>

#include "proto/event_priv.h"

#define MAX_LEVELS 8u  /* of a category path */
#define MAX_WORDS  32u /* of one value */
#define MIN_WORD   2u
#define MAX_WORD   40u
#define MAX_NUMBER 64u /* bytes of a number that is put into a band */

struct maker {
    const struct event_rules *rules;
    struct event_arena *a;
    struct slice *out; /* (EVENT_MAX_FEATURES) */
    size_t n, left_out;
    bool refused; /* memory */
};

static void add(struct maker *m, struct slice text) {
    if (m->refused) return;
    for (size_t k = 0; k < m->n; k++)
        if (slice_equal(m->out[k], text)) return;
    if (m->n == EVENT_MAX_FEATURES) {
        m->left_out++;
        return;
    }
    char *copy = event_arena_take(m->a, text.n);
    if (!copy) {
        m->refused = true;
        return;
    }
    memcpy(copy, text.p, text.n);
    m->out[m->n++] = slice_of(copy, text.n);
}

/* space, then name and "=" where there is a name, then the value. */
static void add_joined(struct maker *m, const char *space, struct slice name, struct slice value) {
    char text[EVENT_MAX_FEATURE];
    size_t n = strlen(space), equals = name.n > 0;
    if (n + name.n + equals + value.n > sizeof text) {
        m->left_out++;
        return;
    }
    memcpy(text, space, n);
    if (name.n > 0) {
        memcpy(text + n, name.p, name.n);
        n += name.n;
        text[n++] = '=';
    }
    memcpy(text + n, value.p, value.n);
    add(m, slice_of(text, n + value.n));
}

/* The part before the next separator, taken off the front, without spaces around it. */
static struct slice next_level(struct slice *path) {
    size_t n = 0;
    while (n < path->n && path->p[n] != '/' && path->p[n] != '>') n++;
    struct slice level = slice_of(path->p, n);
    n += n < path->n;
    path->p += n;
    path->n -= n;
    while (level.n > 0 && level.p[0] == ' ') level.p++, level.n--;
    while (level.n > 0 && level.p[level.n - 1] == ' ') level.n--;
    return level;
}

/* a/b/c, or a > b > c: each prefix is a feature. */
static void add_category(struct maker *m, struct slice path) {
    char text[EVENT_MAX_FEATURE] = "cat:";
    size_t n = 4;
    for (unsigned levels = 0; path.n > 0;) {
        struct slice level = next_level(&path);
        if (level.n == 0) continue;
        if (levels == MAX_LEVELS || n + 1 + level.n > sizeof text) {
            m->left_out++;
            return;
        }
        if (levels++) text[n++] = '/';
        memcpy(text + n, level.p, level.n);
        n += level.n;
        add(m, slice_of(text, n));
    }
}

/* floor(log2 v), by the exponent of the double. */
static void add_band(struct maker *m, struct slice name, struct slice number) {
    char copy[MAX_NUMBER], band[16];
    if (number.n >= sizeof copy) {
        m->left_out++;
        return;
    }
    memcpy(copy, number.p, number.n);
    copy[number.n] = '\0';
    const double v = event_number(slice_of(copy, number.n));
    if (!(v > 0)) return;
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    snprintf(band, sizeof band, "%d", (int)(bits >> 52) - 1023);
    add_joined(m, "band:", name, slice_str(band));
}

/* One character of valid UTF-8; its bytes. */
static size_t take_char(const char *p, uint32_t *c) {
    const unsigned char *s = (const unsigned char *)p;
    if (s[0] < 0x80) return *c = s[0], 1;
    if (s[0] < 0xE0) return *c = (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu), 2;
    if (s[0] < 0xF0) return *c = (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu), 3;
    return *c = (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu), 4;
}

/* Everything but spaces, punctuation and symbols, by the blocks of Unicode that have them. */
static bool is_part_of_word(uint32_t c) {
    if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c < 0xC0 || c == 0xD7 || c == 0xF7) return false;
    return !(c >= 0x2000 && c < 0x2C00) && !(c >= 0x3000 && c < 0x3040) && !(c >= 0xFE30 && c < 0xFE70) &&
           !(c >= 0xFF00 && c < 0xFF10) && !(c >= 0xFFF0 && c < 0x10000);
}

/* Small letters of the Latin, Greek and Cyrillic ones that shops write; they are as long in UTF-8. */
static uint32_t lower(uint32_t c) {
    if ((c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0xDE) || (c >= 0x391 && c <= 0x3A9) || (c >= 0x410 && c <= 0x42F))
        return c + 32;
    if (c >= 0x400 && c <= 0x40F) return c + 80;
    if (c == 0x178) return 0xFF;
    if (c == 0x130 || c == 0x138 || c == 0x149 || c == 0x17F) return c;
    if ((c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177)) return c | 1;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E)) return c + (c & 1);
    return c;
}

static void put_char(char *out, uint32_t c, size_t n) {
    if (n == 1) {
        out[0] = (char)c;
    } else if (n == 2) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
    }
}

static void add_words(struct maker *m, struct slice text) {
    char word[MAX_WORD];
    size_t n = 0, words = 0; /* n > MAX_WORD: too long a word */
    for (size_t at = 0, bytes; at <= text.n; at += bytes) {
        uint32_t c = ' ';
        bytes = at < text.n ? take_char(text.p + at, &c) : 1;
        if (is_part_of_word(c)) {
            if (n + bytes <= MAX_WORD) {
                memcpy(word + n, text.p + at, bytes);
                put_char(word + n, lower(c), bytes);
            }
            n += bytes;
            continue;
        }
        if (n >= MIN_WORD && (n > MAX_WORD || words == MAX_WORDS))
            m->left_out++;
        else if (n >= MIN_WORD) {
            words++;
            add_joined(m, "word:", (struct slice){0}, slice_of(word, n));
        }
        n = 0;
    }
}

enum what { CATEGORY, VALUE, WORDS, KINDS };

static bool is_in(const struct event_names *names, struct slice name) {
    for (size_t k = 0; k < names->n; k++)
        if (slice_is(name, names->name[k])) return true;
    return false;
}

static void add_one(struct maker *m, const struct raw_feature *f, enum what what) {
    const struct raw_value *v = &f->value;
    const bool words = !f->category && v->kind == RAW_TEXT && is_in(&m->rules->words, f->name);
    if (what != (f->category ? CATEGORY : words ? WORDS : VALUE) || v->kind == RAW_NULL || v->text.n == 0) return;
    const bool number = v->kind == RAW_NUMBER || (v->kind == RAW_TEXT && event_is_number(v->text));
    if (f->category)
        add_category(m, v->text);
    else if (words)
        add_words(m, v->text);
    else if (number && is_in(&m->rules->bands, f->name))
        add_band(m, f->name, v->text);
    else
        add_joined(m, "f:", f->name, v->text);
}

enum event_reason event_make_features(const struct event_raw *raw, const struct event_rules *rules,
                                      struct event_arena *a, struct event *ev, struct err *e) {
    if (raw->n_features == 0) return EVENT_OK;
    struct maker m = {.rules = rules, .a = a, .left_out = raw->n_more};
    m.out = event_arena_take(a, EVENT_MAX_FEATURES * sizeof *m.out);
    if (!m.out) return event_no_memory(e);
    for (int what = 0; what < KINDS; what++)
        for (size_t k = 0; k < raw->n_features; k++) add_one(&m, &raw->features[k], (enum what)what);
    if (m.refused) return event_no_memory(e);
    ev->features = m.out;
    ev->n_features = m.n;
    ev->n_left_out = m.left_out;
    return EVENT_OK;
}
