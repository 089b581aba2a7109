/* Ids, numbers and times of an event from their text, exactly. */
#include <stdlib.h>

#include "lib/base/clock.h"
#include "proto/event_priv.h"

#define MS_DIGITS      15 /* of the largest time in ms */
#define SECONDS_DIGITS 11 /* a number of more digits before the point is ms: from 1e11 on */
#define EXPONENT_CAP   100000

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *skip_digits(const char *p, const char *end) {
    while (p < end && is_digit(*p)) p++;
    return p;
}

bool event_is_number(struct slice text) {
    const char *p = text.p, *end = text.p + text.n;
    if (p < end && *p == '-') p++;
    const char *digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1)) return false;
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits) return false;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits) return false;
    }
    return p == end;
}

/* A plain integer within int64, as written. */
static bool is_int64(struct slice number) {
    static const char most[] = "9223372036854775807", least[] = "9223372036854775808";
    struct slice digits = number;
    bool negative = digits.n > 0 && *digits.p == '-';
    if (negative) digits.p++, digits.n--;
    if (digits.n == 0 || digits.n > sizeof most - 1 || (negative && *digits.p == '0')) return false;
    if (skip_digits(digits.p, digits.p + digits.n) != digits.p + digits.n) return false;
    return digits.n < sizeof most - 1 || memcmp(digits.p, negative ? least : most, digits.n) <= 0;
}

/* Of eight bytes, the high bit of each that is below 0x20 or is 0x7f; only the lowest bit set is sure to be right. */
static uint64_t controls(uint64_t v) {
    const uint64_t ones = 0x0101010101010101u, highs = ones * 0x80;
    const uint64_t del = v ^ ones * 0x7f;
    return (((v - ones * 0x20) & ~v) | ((del - ones) & ~del)) & highs;
}

static bool has_control(struct slice s) {
    uint64_t v, found = 0;
    if (s.n >= 8) {
        for (size_t i = 0; i + 8 <= s.n; i += 8) {
            memcpy(&v, s.p + i, 8);
            found |= controls(v);
        }
        memcpy(&v, s.p + s.n - 8, 8);
        return (found | controls(v)) != 0;
    }
    for (size_t i = 0; i < s.n; i++) found |= (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f;
    return found != 0;
}

bool event_is_id(const struct raw_value *v) {
    if (v->kind == RAW_NUMBER) return is_int64(v->text);
    return v->kind == RAW_TEXT && v->text.n > 0 && v->text.n <= EVENT_MAX_ID && !has_control(v->text);
}

/* A decimal number as its first significant digits and where its point is among all of them. */
struct decimal {
    bool negative;
    uint64_t head; /* the first `kept` significant digits */
    int kept;
    long digits; /* significant digits */
    long point;  /* significant digits before the point; negative: zeros after the point before the first one */
};

static long exponent_of(const char *p, const char *end) {
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    long n = 0;
    for (; p < end; p++)
        if (n < EXPONENT_CAP) n = n * 10 + (*p - '0');
    return negative ? -n : n;
}

static void add_digit(struct decimal *d, char c, int keep) {
    if (d->kept < keep) {
        d->head = d->head * 10 + (uint64_t)(c - '0');
        d->kept++;
    }
    d->digits++;
}

static struct decimal decimal_of(struct slice number, int keep) {
    struct decimal d = {0};
    const char *p = number.p, *end = p + number.n;
    if (p < end && *p == '-') d.negative = true, p++;
    while (p < end && *p == '0') p++;
    for (; p < end && is_digit(*p); p++) add_digit(&d, *p, keep);
    d.point = d.digits;
    if (p < end && *p == '.') {
        for (p++; d.digits == 0 && p < end && *p == '0'; p++) d.point--;
        for (; p < end && is_digit(*p); p++) add_digit(&d, *p, keep);
    }
    if (p < end) d.point += exponent_of(p + 1, end);
    return d;
}

/* Exact where mantissa and power of ten are doubles themselves (Clinger 1990); strtod rounds correctly for the rest. */
double event_number(struct slice number) {
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    struct decimal d = decimal_of(number, 15);
    double v;
    long power = d.point - d.kept;
    if (d.kept == 0) return 0;
    if (d.digits <= 15 && power >= -22 && power <= 22) {
        v = (double)d.head;
        v = power < 0 ? v / ten[-power] : v * ten[power];
        if (d.negative) v = -v;
    } else {
        v = strtod(number.p, NULL); /* stops at the byte behind; LC_NUMERIC stays "C" */
    }
    return v + 0.0; /* a tiny negative number may have become -0 */
}

static bool time_of_number(struct slice number, int64_t *ms) {
    struct decimal d = decimal_of(number, MS_DIGITS);
    if (d.kept == 0) {
        *ms = 0;
        return true;
    }
    if (d.negative || d.point > MS_DIGITS) return false;
    long take = d.point > SECONDS_DIGITS ? d.point : d.point + 3; /* digits of the time in ms */
    if (take < 0) take = 0;
    for (; d.kept > take; d.kept--) d.head /= 10;
    for (; d.kept < take; d.kept++) d.head *= 10;
    if (d.head > (uint64_t)CLOCK_MS_MAX) return false;
    *ms = (int64_t)d.head;
    return true;
}

bool event_time(const struct raw_value *v, int64_t *ms) {
    if (v->kind == RAW_NUMBER) return time_of_number(v->text, ms);
    if (v->kind != RAW_TEXT) return false;
    if (event_is_number(v->text)) return time_of_number(v->text, ms);
    return clock_parse(v->text, ms);
}
