/* A byte buffer that grows up to a limit: bytes, text and JSON. */
#include "lib/base/buf.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"

#define FIRST_CAPACITY 256
#define LIMIT_MAX      (SIZE_MAX / 4) /* so that doubling cannot wrap */

void buf_init(struct buf *b, size_t limit) { *b = (struct buf){.limit = limit < LIMIT_MAX ? limit : LIMIT_MAX}; }

void buf_free(struct buf *b) {
    mem_free(b->p);
    buf_init(b, b->limit);
}

void buf_clear(struct buf *b) {
    b->n = 0;
    b->failed = false;
    if (b->p != NULL) b->p[0] = '\0';
}

static bool grow(struct buf *b, size_t n) {
    size_t cap = b->cap == 0 ? FIRST_CAPACITY : b->cap;
    while (cap - 1 < b->n + n) cap *= 2;
    if (cap - 1 > b->limit) cap = b->limit + 1;
    char *p = mem_realloc(b->p, cap);
    if (p == NULL) return false;
    b->p = p;
    b->cap = cap;
    return true;
}

/* Room for n more bytes and the NUL; NULL when the buffer failed now or before. */
static char *reserve(struct buf *b, size_t n) {
    if (UNLIKELY(b->failed)) return NULL;
    if (UNLIKELY(n >= b->cap - b->n) && (n > b->limit - b->n || !grow(b, n))) {
        b->failed = true;
        return NULL;
    }
    return b->p + b->n;
}

static void advance(struct buf *b, size_t n) {
    b->n += n;
    b->p[b->n] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n) {
    char *at = reserve(b, n);
    if (at == NULL) return;
    if (n > 0) memcpy(at, p, n);
    advance(b, n);
}

void buf_add_str(struct buf *b, const char *s) { buf_add(b, s, strlen(s)); }

void buf_add_slice(struct buf *b, struct slice s) { buf_add(b, s.p, s.n); }

void buf_add_char(struct buf *b, char c) { buf_add(b, &c, 1); }

void buf_printf(struct buf *b, const char *fmt, ...) {
    if (b->failed) return;
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *at = n < 0 ? NULL : reserve(b, (size_t)n);
    if (at != NULL && vsnprintf(at, (size_t)n + 1, fmt, again) == n) {
        b->n += (size_t)n;
    } else {
        if (at != NULL) *at = '\0';
        b->failed = true;
    }
    va_end(again);
    va_end(args);
}

/* Decimal digits of v, ending before end; gives where they start. */
static char *digits_before(char *end, uint64_t v) {
    do {
        *--end = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return end;
}

void buf_add_u64(struct buf *b, uint64_t v) {
    char text[20], *end = text + sizeof text, *start = digits_before(end, v);
    buf_add(b, start, (size_t)(end - start));
}

void buf_add_i64(struct buf *b, int64_t v) {
    char text[21], *end = text + sizeof text;
    char *start = digits_before(end, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
    if (v < 0) *--start = '-';
    buf_add(b, start, (size_t)(end - start));
}

/* Whether none of eight bytes is a control character, a quote, a backslash or outside ASCII. */
static bool eight_plain(const char *p) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    /* A false alarm is possible beside a real one only. */
    uint64_t control = w - ones * 0x20, quote = (w ^ ones * '"') - ones, backslash = (w ^ ones * '\\') - ones;
    return ((w | control | quote | backslash) & tops) == 0;
}

/* Bytes at the front of s that stand for themselves in a JSON string. */
static size_t plain_run(struct slice s) {
    size_t i = 0;
    while (i < s.n) {
        if (s.n - i >= 8 && eight_plain(s.p + i)) {
            i += 8;
            continue;
        }
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == '"' || c == '\\') break;
        size_t step = utf8_step(slice_of(s.p + i, s.n - i));
        if (step == 0) break;
        i += step;
    }
    return i;
}

static void add_escaped(struct buf *b, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    char text[] = "\\u0000";
    switch (c) {
    case '"':
        buf_add(b, "\\\"", 2);
        return;
    case '\\':
        buf_add(b, "\\\\", 2);
        return;
    case '\b':
        buf_add(b, "\\b", 2);
        return;
    case '\f':
        buf_add(b, "\\f", 2);
        return;
    case '\n':
        buf_add(b, "\\n", 2);
        return;
    case '\r':
        buf_add(b, "\\r", 2);
        return;
    case '\t':
        buf_add(b, "\\t", 2);
        return;
    default:
        break;
    }
    if (c >= 0x80) {
        buf_add(b, "\xEF\xBF\xBD", 3);
        return;
    }
    text[4] = hex[c >> 4];
    text[5] = hex[c & 15];
    buf_add(b, text, 6);
}

void buf_add_json(struct buf *b, struct slice s) {
    if (b->failed) return;
    size_t before = b->n;
    buf_add(b, "\"", 1);
    while (s.n > 0 && !b->failed) {
        size_t n = plain_run(s);
        buf_add(b, s.p, n);
        if (n < s.n) add_escaped(b, (unsigned char)s.p[n++]);
        s = slice_of(s.p + n, s.n - n);
    }
    buf_add(b, "\"", 1);
    if (b->failed && b->p != NULL) { /* nothing of it stays */
        b->n = before;
        b->p[before] = '\0';
    }
}

/* A decimal number: digits * 10^exponent. */
struct decimal {
    uint64_t digits; /* up to 17 of them */
    int exponent;
};

/* Writes it as a JSON number: as it stands from 1e-5 to below 1e17, with an exponent elsewhere. */
static void add_decimal(struct buf *b, bool negative, struct decimal d) {
    while (d.digits != 0 && d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    char digits[20], *end = digits + sizeof digits, *start = digits_before(end, d.digits);
    int n = (int)(end - start), point = n + d.exponent; /* digits before the point */
    char text[48], *at = text;
    if (negative) *at++ = '-';
    if (d.digits == 0) {
        *at++ = '0';
    } else if (point > 17 || point < -4) {
        *at++ = *start++;
        if (n > 1) *at++ = '.';
        memcpy(at, start, (size_t)n - 1);
        at += n - 1;
        at += sprintf(at, "e%d", point - 1);
    } else if (point <= 0) {
        memcpy(at, "0.00000", 7);
        at += 2 - point;
        memcpy(at, start, (size_t)n);
        at += n;
    } else {
        int whole = point < n ? point : n;
        memcpy(at, start, (size_t)whole);
        at += whole;
        for (int i = n; i < point; i++) *at++ = '0';
        if (n > point) {
            *at++ = '.';
            memcpy(at, start + point, (size_t)(n - point));
            at += n - point;
        }
    }
    buf_add(b, text, (size_t)(at - text));
}

/* Whether d reads back as v, a positive float or double. No decimal point is involved, hence no locale. */
static bool reads_back(struct decimal d, double v, bool is_float) {
    char text[40];
    snprintf(text, sizeof text, "%" PRIu64 "e%d", d.digits, d.exponent);
    return is_float ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v;
}

/* The decimal of `precision` digits nearest to v > 0. */
static struct decimal nearest(double v, int precision) {
    char text[40];
    snprintf(text, sizeof text, "%.*e", precision - 1, v);
    struct decimal d = {.exponent = 1 - precision};
    const char *at = text;
    for (; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9') d.digits = d.digits * 10 + (uint64_t)(*at - '0');
    }
    d.exponent += atoi(at + 1);
    return d;
}

/* Tries one digit more at a time. The last of these always reads back (9 digits for a float, 17 for a double). At a
 * power of two the gap below is half the gap above, so that the nearest decimal, below, may miss where the next one
 * above still reads back. */
static struct decimal shortest(double v, bool is_float, int first, int last) {
    for (int precision = first; precision < last; precision++) {
        struct decimal d = nearest(v, precision);
        if (reads_back(d, v, is_float)) return d;
        d.digits++;
        if (reads_back(d, v, is_float)) return d;
    }
    return nearest(v, last);
}

/* Scores: 1e-5 <= v < 1e6 with 6 to 9 digits, without text in between. A decimal of up to 14 digits and its power of
 * ten are exact as doubles, so that their quotient is rounded once; strictly between the midpoints to the two
 * neighbours of v it proves that the decimal reads back as v. False when undecided. */
static bool quick_float(float v, struct decimal *out) {
    static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};
    static const double below[] = {1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5}; /* starts of decades */
    if (!(v >= 1e-5f && v < 1e6f)) return false;
    uint32_t bits, other;
    float lower, upper;
    memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x007FFFFF) == 0) return false; /* a power of two, see shortest */
    other = bits - 1;
    memcpy(&lower, &other, sizeof lower);
    other = bits + 1;
    memcpy(&upper, &other, sizeof upper);
    double low = ((double)lower + (double)v) * 0.5, high = ((double)v + (double)upper) * 0.5;
    int decade = -5;
    while (decade < 5 && (double)v >= below[decade + 5]) decade++;
    for (int precision = 6; precision <= 9; precision++) {
        int places = precision - 1 - decade;
        uint64_t digits = (uint64_t)((double)v * power[places] + 0.5);
        double back = (double)digits / power[places];
        if (back > low && back < high) {
            *out = (struct decimal){.digits = digits, .exponent = -places};
            return true;
        }
    }
    return false;
}

void buf_add_float(struct buf *b, float v) {
    if (!isfinite(v)) {
        buf_add(b, "null", 4);
        return;
    }
    bool negative = signbit(v) != 0;
    float size = fabsf(v);
    struct decimal d = {0};
    if (size < 1e6f && size == (float)(uint32_t)size) {
        d.digits = (uint32_t)size;
    } else if (!quick_float(size, &d)) {
        d = shortest((double)size, true, size < 0x1p-126f ? 1 : 6, 9);
    }
    add_decimal(b, negative, d);
}

void buf_add_double(struct buf *b, double v) {
    if (!isfinite(v)) {
        buf_add(b, "null", 4);
        return;
    }
    bool negative = signbit(v) != 0;
    double size = fabs(v);
    struct decimal d = {0};
    if (size < 1e15 && size == (double)(uint64_t)size) {
        d.digits = (uint64_t)size;
    } else {
        d = shortest(size, false, size < 0x1p-1022 ? 1 : 15, 17);
    }
    add_decimal(b, negative, d);
}

void buf_put_u8(struct buf *b, uint8_t v) { buf_add(b, &v, 1); }

/* The low n bytes of v, least first. */
static void put_low(struct buf *b, uint64_t v, size_t n) {
    uint8_t bytes[8];
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(v >> (8 * i));
    buf_add(b, bytes, n);
}

void buf_put_u16(struct buf *b, uint16_t v) { put_low(b, v, 2); }
void buf_put_u32(struct buf *b, uint32_t v) { put_low(b, v, 4); }
void buf_put_u64(struct buf *b, uint64_t v) { put_low(b, v, 8); }

struct slice cursor_bytes(struct cursor *c, size_t n) {
    if (c->failed || n > c->n) {
        c->failed = true;
        return (struct slice){NULL, 0};
    }
    struct slice taken = slice_of((const char *)c->p, n);
    if (n > 0) c->p += n; /* c->p may be NULL when c->n is 0 */
    c->n -= n;
    return taken;
}

static uint64_t take_low(struct cursor *c, size_t n) {
    struct slice s = cursor_bytes(c, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) v |= (uint64_t)(uint8_t)s.p[i] << (8 * i);
    return v;
}

uint8_t cursor_u8(struct cursor *c) { return (uint8_t)take_low(c, 1); }
uint16_t cursor_u16(struct cursor *c) { return (uint16_t)take_low(c, 2); }
uint32_t cursor_u32(struct cursor *c) { return (uint32_t)take_low(c, 4); }
uint64_t cursor_u64(struct cursor *c) { return take_low(c, 8); }

void buf_put_f32(struct buf *b, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    buf_put_u32(b, bits);
}

void buf_put_f64(struct buf *b, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    buf_put_u64(b, bits);
}

float cursor_f32(struct cursor *c) {
    uint32_t bits = cursor_u32(c);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

double cursor_f64(struct cursor *c) {
    uint64_t bits = cursor_u64(c);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
