/* Text for people: numbers as they are read, and the escaping that a page of HTML needs. */
#include "lib/eval/page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/utf8.h"

#define REPLACED "\xEF\xBF\xBD"
#define LARGEST  1e9

static const char *entity(unsigned char c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return c < 0x20 && c != '\n' && c != '\t' ? REPLACED : c == 0x7F ? REPLACED : NULL;
    }
}

void page_escape(struct buf *b, const char *text) {
    struct slice s = slice_str(text ? text : "");
    while (s.n > 0) {
        const char *instead = entity((unsigned char)*s.p);
        size_t step = instead ? 1 : utf8_step(s);
        if (step == 0) {
            instead = REPLACED;
            step = 1;
        }
        if (instead)
            buf_add_str(b, instead);
        else
            buf_add(b, s.p, step);
        s = slice_of(s.p + step, s.n - step);
    }
}

/* v >= 0 with so many decimals, rounded half up. */
static void add_decimal(struct buf *b, double v, int decimals) {
    uint64_t scale = 1;
    for (int i = 0; i < decimals; i++) scale *= 10;
    uint64_t scaled = (uint64_t)(v * (double)scale + 0.5), fraction = scaled % scale;
    buf_add_u64(b, scaled / scale);
    if (decimals == 0) return;
    buf_add_char(b, '.');
    for (uint64_t place = scale / 10; place > fraction && place > 1; place /= 10) buf_add_char(b, '0');
    buf_add_u64(b, fraction);
}

/* Whether v is shown as something below 0. */
static bool negative(double v, int decimals) {
    double half = 0.5;
    for (int i = 0; i < decimals; i++) half /= 10;
    return v <= -half;
}

void page_fixed(struct buf *b, double v, int decimals) {
    if (isnan(v)) {
        buf_add_str(b, PAGE_DASH);
        return;
    }
    if (negative(v, decimals)) buf_add_str(b, PAGE_MINUS);
    v = v < 0 ? -v : v;
    add_decimal(b, v < LARGEST ? v : LARGEST, decimals);
}

void page_coordinate(struct buf *b, double v) {
    if (isnan(v)) v = 0;
    if (negative(v, 1)) buf_add_char(b, '-');
    v = v < 0 ? -v : v;
    add_decimal(b, v < LARGEST ? v : LARGEST, 1);
}

void page_count(struct buf *b, uint64_t n) {
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) buf_add_char(b, ',');
        buf_add_char(b, text[i]);
    }
}

void page_share(struct buf *b, double v) {
    double percent = 100 * v;
    page_fixed(b, percent, percent >= 9.95 || percent == 0 ? 0 : 1);
    if (!isnan(v)) buf_add_str(b, PAGE_PERCENT);
}

/* How a ratio is told. */
enum unit { UNIT_NONE, UNIT_PERCENT, UNIT_TIMES };

static enum unit unit_of(double ratio) {
    if (isnan(ratio) || isinf(ratio)) return UNIT_NONE;
    return ratio >= 2 ? UNIT_TIMES : UNIT_PERCENT;
}

static void add_ratio(struct buf *b, double ratio) {
    if (isnan(ratio)) {
        buf_add_str(b, PAGE_DASH);
    } else if (isinf(ratio)) {
        buf_add_str(b, "endlessly");
    } else if (unit_of(ratio) == UNIT_TIMES) {
        page_fixed(b, ratio, ratio < 9.95 ? 1 : 0);
    } else {
        double percent = 100 * (ratio - 1);
        if (percent >= 0.05) buf_add_char(b, '+');
        page_fixed(b, percent, 1);
    }
}

static void add_unit(struct buf *b, enum unit unit) {
    static const char *const units[] = {"", PAGE_PERCENT, "\xC2\xA0times"};
    buf_add_str(b, units[unit]);
}

void page_change(struct buf *b, double ratio) {
    add_ratio(b, ratio);
    add_unit(b, unit_of(ratio));
}

void page_range(struct buf *b, double low, double high) {
    add_ratio(b, low);
    if (unit_of(low) != unit_of(high)) add_unit(b, unit_of(low));
    buf_add_str(b, " to ");
    page_change(b, high);
}

void page_bytes(struct buf *b, uint64_t n) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double v = (double)n;
    int unit = 0;
    for (; v >= 999.5 && unit < 4; unit++) v /= 1000;
    page_fixed(b, v, unit > 0 && v < 99.5 ? 1 : 0);
    buf_printf(b, "\xC2\xA0%s", units[unit]);
}

/* The first n characters of the time in RFC 3339. */
static void add_time(struct buf *b, int64_t ts_ms, size_t n) {
    char text[32];
    if (ts_ms < CLOCK_MS_MIN || ts_ms > CLOCK_MS_MAX) {
        buf_add_str(b, PAGE_DASH);
        return;
    }
    clock_format(ts_ms, text);
    text[10] = ' ';
    buf_add(b, text, n);
}

void page_date(struct buf *b, int64_t ts_ms) { add_time(b, ts_ms, 10); }
void page_time(struct buf *b, int64_t ts_ms) { add_time(b, ts_ms, 16); }
