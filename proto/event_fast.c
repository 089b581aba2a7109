/* The flat common form: members with text without escapes, numbers, true, false or null; leaves the rest alone. */
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "lib/base/check.h"
#include "lib/base/utf8.h"
#include "proto/event_priv.h"

#define MAX_UNKNOWN  16 /* members with unknown names; they must differ too */
#define MAX_EXPONENT 2  /* digits: with at most MAX_NUMBER digits such a number is finite */
#define MAX_NUMBER   64

struct scan {
    const char *p, *end;
    struct slice unknown[MAX_UNKNOWN];
    size_t n_unknown;
};

static inline void skip_space(struct scan *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) s->p++;
}

static inline bool take(struct scan *s, char c) {
    if (UNLIKELY(s->p == s->end || *s->p != c)) return false;
    s->p++;
    return true;
}

/* The first quote, backslash, control character or (with its own flag raised) byte past ASCII; end when none. */
static inline const char *text_stop(const char *p, const char *end, bool *wide) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1f);
    while (end - p >= 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, control), v); /* at most 0x1f */
        const __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)), low);
        const unsigned stop = (unsigned)_mm_movemask_epi8(hit), high = (unsigned)_mm_movemask_epi8(v);
        if (stop) {
            const unsigned at = (unsigned)__builtin_ctz(stop);
            *wide |= (high & ((1u << at) - 1)) != 0;
            return p + at;
        }
        *wide |= high != 0;
        p += 16;
    }
#endif
    for (; p < end && *p != '"' && *p != '\\' && (unsigned char)*p > 0x1f; p++) *wide |= (unsigned char)*p >= 0x80;
    return p;
}

/* At the opening quote. */
static inline bool take_text(struct scan *s, struct slice *out) {
    if (!take(s, '"')) return false;
    bool wide = false;
    const char *stop = text_stop(s->p, s->end, &wide);
    if (UNLIKELY(stop == s->end || *stop != '"')) return false;
    *out = slice_of(s->p, (size_t)(stop - s->p));
    s->p = stop + 1;
    return LIKELY(!wide) || utf8_valid(*out);
}

static inline bool take_digits(struct scan *s, size_t *n) {
    const char *from = s->p;
    while (s->p < s->end && (unsigned char)(*s->p - '0') <= 9) s->p++;
    *n = (size_t)(s->p - from);
    return *n > 0;
}

/* By the JSON grammar, and surely finite. */
static bool take_number(struct scan *s, struct slice *out) {
    const char *from = s->p;
    size_t n;
    (void)take(s, '-');
    const char *digits = s->p;
    if (!take_digits(s, &n) || (n > 1 && *digits == '0')) return false;
    if (take(s, '.') && !take_digits(s, &n)) return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '-')) (void)take(s, '+');
        if (!take_digits(s, &n) || n > MAX_EXPONENT) return false;
    }
    *out = slice_of(from, (size_t)(s->p - from));
    return out->n <= MAX_NUMBER;
}

static bool take_word(struct scan *s, const char *word, size_t n, enum raw_kind kind, struct raw_value *out) {
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) return false;
    *out = (struct raw_value){slice_of(s->p, n), kind, false};
    s->p += n;
    return true;
}

static inline bool take_value(struct scan *s, struct raw_value *out) {
    if (s->p == s->end) return false;
    switch (*s->p) {
    case '"':
        out->kind = RAW_TEXT;
        return take_text(s, &out->text);
    case 't':
        return take_word(s, "true", 4, RAW_TRUE, out);
    case 'f':
        return take_word(s, "false", 5, RAW_FALSE, out);
    case 'n':
        return take_word(s, "null", 4, RAW_NULL, out);
    default:
        out->kind = RAW_NUMBER;
        return take_number(s, &out->text);
    }
}

static bool is_new(struct scan *s, struct slice name) {
    if (s->n_unknown == MAX_UNKNOWN) return false;
    for (size_t i = 0; i < s->n_unknown; i++)
        if (slice_equal(s->unknown[i], name)) return false;
    s->unknown[s->n_unknown++] = name;
    return true;
}

static bool take_member(struct scan *s, const struct event_rules *rules, struct event_raw *raw, bool first) {
    struct slice name;
    struct raw_value ignored, *into = &ignored;
    if (!take_text(s, &name)) return false;
    const enum event_field f = event_field_of(rules, name);
    if (f == FIELD_UNKNOWN) {
        if (!is_new(s, name)) return false;
    } else {
        if (raw->present >> f & 1) return false;
        raw->present |= (uint32_t)1 << f;
        into = &raw->value[f];
    }
    skip_space(s);
    if (!take(s, ':')) return false;
    skip_space(s);
    if (!take_value(s, into)) return false;
    if (f == FIELD_ARRIVAL) {
        raw->arrival_first = first;
        raw->arrival_end = s->p;
    }
    return true;
}

/* False when the record is anything but a flat object. */
static bool take_object(struct scan *s, const struct event_rules *rules, struct event_raw *raw) {
    skip_space(s);
    const char *from = s->p;
    if (!take(s, '{')) return false;
    for (bool first = true;; first = false) {
        skip_space(s);
        if (!take_member(s, rules, raw, first)) return false;
        skip_space(s);
        if (!take(s, ',')) break;
    }
    if (!take(s, '}')) return false;
    raw->object = slice_of(from, (size_t)(s->p - from));
    skip_space(s);
    return s->p == s->end;
}

int event_decode_fast(struct slice json, const struct event_context *c, struct event_arena *a, struct event *out,
                      struct err *e) {
    enum event_reason why = event_check_length(json, c, e);
    if (why != EVENT_OK) return (int)why;
    struct scan s;
    struct event_raw raw; /* 400 bytes that need no clearing: values count only where present says so */
    s.p = json.p;
    s.end = json.p + json.n;
    s.n_unknown = 0;
    raw.present = 0;
    raw.n_items = raw.odd_item = raw.n_features = 0; /* lists and objects are left to the other half */
    if (!take_object(&s, c->rules, &raw)) return -1;
    return (int)event_check(&raw, c, a, out, e);
}
