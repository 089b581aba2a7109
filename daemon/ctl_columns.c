/* Records of columns, TSV or CSV, put into JSON events. */
#include <string.h>
#include <strings.h>

#include "daemon/ctl_line.h"
#include "lib/base/clock.h"
#include "lib/base/utf8.h"

static const struct {
    const char *name;
    enum column kind;
} column_names[] = {
    {"ts", COLUMN_TS},           {"timestamp", COLUMN_TS}, {"time", COLUMN_TS},         {"user", COLUMN_USER},
    {"user_id", COLUMN_USER},    {"item", COLUMN_ITEM},    {"item_id", COLUMN_ITEM},    {"type", COLUMN_TYPE},
    {"event_type", COLUMN_TYPE}, {"id", COLUMN_ID},        {"event_id", COLUMN_ID},     {"quantity", COLUMN_QUANTITY},
    {"price", COLUMN_PRICE},     {"value", COLUMN_VALUE},  {"session", COLUMN_SESSION}, {"request", COLUMN_REQUEST},
};

static enum column kind_of(struct slice name) {
    while (name.n && (name.p[0] == ' ' || name.p[0] == '"')) name = slice_of(name.p + 1, name.n - 1);
    while (name.n && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '"')) name.n--;
    for (size_t k = 0; k < sizeof column_names / sizeof *column_names; k++)
        if (strlen(column_names[k].name) == name.n && strncasecmp(column_names[k].name, name.p, name.n) == 0)
            return column_names[k].kind;
    return COLUMN_SKIP;
}

int columns_parse(struct slice names, char separator, struct columns *out, struct err *e) {
    struct columns c = {.n = 0};
    bool seen[COLUMN_KINDS] = {false};
    for (size_t at = 0; at <= names.n;) {
        const char *end = at < names.n ? memchr(names.p + at, separator, names.n - at) : NULL;
        size_t n = end ? (size_t)(end - names.p) - at : names.n - at;
        struct slice name = slice_of(names.p + at, n);
        enum column kind = kind_of(name);
        if (c.n == LINE_MAX_COLUMNS) return err_set(e, ERR_RANGE, "", "more than %d columns", LINE_MAX_COLUMNS);
        if (kind != COLUMN_SKIP && seen[kind])
            return err_set(e, ERR_RANGE, "", "column \"%.*s\" is named twice", (int)n, name.p);
        seen[kind] = true;
        c.kind[c.n++] = kind;
        at += n + 1;
    }
    if (!seen[COLUMN_ITEM]) return err_set(e, ERR_RANGE, "", "no column is named item");
    *out = c;
    return 0;
}

/* Takes one CSV field off the record from *at. Quoted ones without escapes point into the record. */
static int csv_field(struct slice r, size_t *at, struct buf *scratch, struct slice *out) {
    if (*at >= r.n || r.p[*at] != '"') {
        const char *end = *at < r.n ? memchr(r.p + *at, ',', r.n - *at) : NULL;
        size_t n = end ? (size_t)(end - r.p) - *at : r.n - *at;
        *out = slice_of(r.p + *at, n);
        *at += n;
        return 0;
    }
    size_t start = scratch->n, from = *at + 1;
    for (size_t k = from;; k++) {
        if (k >= r.n) return ERR_SYNTAX;
        if (r.p[k] != '"') continue;
        bool escaped = k + 1 < r.n && r.p[k + 1] == '"';
        buf_add(scratch, r.p + from, k - from + escaped);
        if (escaped) {
            from = ++k + 1;
            continue;
        }
        *at = k + 1;
        break;
    }
    *out = slice_of(scratch->p + start, scratch->n - start); /* scratch has room already: it does not move */
    return *at == r.n || r.p[*at] == ',' ? 0 : ERR_SYNTAX;
}

int row_parse(const struct columns *c, char separator, struct slice record, struct buf *scratch, struct row *out,
              struct err *e) {
    struct row row = {0};
    size_t k = 0, at = 0;
    if (!utf8_valid(record)) return err_set(e, ERR_SYNTAX, "", "not UTF-8: convert the file first");
    if (separator == ',') { /* room for all of it at once, so that slices into it stay */
        size_t n = scratch->n;
        buf_add_slice(scratch, record);
        buf_add_char(scratch, '\0');
        if (scratch->failed) return err_set(e, ERR_NOMEM, "", "no memory");
        scratch->n = n;
    }
    for (;; k++, at++) {
        struct slice field;
        if (separator == ',') {
            if (csv_field(record, &at, scratch, &field) < 0)
                return err_set(e, ERR_SYNTAX, "", "column %zu: a quote is not closed, or text follows it", k + 1);
        } else {
            const char *end = at < record.n ? memchr(record.p + at, separator, record.n - at) : NULL;
            field = slice_of(record.p + at, end ? (size_t)(end - record.p) - at : record.n - at);
            at += field.n;
        }
        if (k < c->n && c->kind[k] != COLUMN_SKIP) row.field[c->kind[k]] = field;
        if (at >= record.n) break;
    }
    if (k + 1 != c->n) return err_set(e, ERR_SYNTAX, "", "%zu columns, %zu are expected", k + 1, c->n);
    for (size_t t = 0; t < c->n; t++) /* the intake would take it for an event of now, and all others for late ones */
        if (c->kind[t] == COLUMN_TS && row.field[COLUMN_TS].n == 0)
            return err_set(e, ERR_SYNTAX, "ts", "the ts is empty");
    *out = row;
    return 0;
}

void row_moment(const struct row *row, struct buf *out) {
    static const enum column parts[] = {COLUMN_USER, COLUMN_TYPE, COLUMN_TS, COLUMN_SESSION, COLUMN_REQUEST};
    buf_clear(out);
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        buf_put_u64(out, row->field[parts[k]].n);
        buf_add_slice(out, row->field[parts[k]]);
    }
}

static size_t digits(struct slice s, size_t at) {
    size_t n = 0;
    while (at + n < s.n && s.p[at + n] >= '0' && s.p[at + n] <= '9') n++;
    return n;
}

bool row_is_number(struct slice s) {
    size_t at = s.n && s.p[0] == '-', n = digits(s, at);
    if (n == 0 || (n > 1 && s.p[at] == '0')) return false;
    at += n;
    if (at < s.n && s.p[at] == '.') {
        n = digits(s, ++at);
        if (n == 0) return false;
        at += n;
    }
    if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
        at++;
        if (at < s.n && (s.p[at] == '+' || s.p[at] == '-')) at++;
        n = digits(s, at);
        if (n == 0) return false;
        at += n;
    }
    return at == s.n;
}

/* The daemon reads numbers of 12 and more digits as milliseconds: seconds that get there are written so. A time without
 * a zone gets one. */
static void write_ts(struct slice ts, struct buf *out) {
    size_t whole = digits(ts, 0), decimals = 0;
    bool point = whole < ts.n && ts.p[whole] == '.';
    if (point) decimals = digits(ts, whole + 1);
    bool plain = whole + point + decimals == ts.n && whole && ts.p[0] != '0' && (!point || decimals);
    int64_t ms;
    char text[32];
    if (plain && whole >= 9 && whole <= 11 && decimals <= 3) {
        buf_add(out, ts.p, whole);
        if (point) buf_add(out, ts.p + whole + 1, decimals);
        buf_add(out, "000", 3 - decimals);
    } else if (row_is_number(ts)) {
        buf_add_slice(out, ts);
    } else if (!clock_parse(ts, &ms) && clock_parse_plain(ts, &ms)) {
        clock_format(ms, text);
        buf_add_json(out, slice_str(text));
    } else {
        buf_add_json(out, ts);
    }
}

static void write_member(struct buf *out, const char *name, struct slice value, bool number) {
    if (value.n == 0) return;
    if (out->p[out->n - 1] != '{') buf_add_char(out, ',');
    buf_add_char(out, '"');
    buf_add_str(out, name);
    buf_add_str(out, "\":");
    if (number && row_is_number(value))
        buf_add_slice(out, value);
    else
        buf_add_json(out, value);
}

static void write_items(const struct row *rows, size_t n, struct buf *out) {
    buf_add_str(out, ",\"items\":[");
    for (size_t k = 0; k < n; k++) {
        buf_add_str(out, k ? ",{" : "{");
        write_member(out, "item", rows[k].field[COLUMN_ITEM], false);
        write_member(out, "quantity", rows[k].field[COLUMN_QUANTITY], true);
        write_member(out, "price", rows[k].field[COLUMN_PRICE], true);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

void row_write(const struct row *rows, size_t n, const char *id, const char *type, struct buf *out) {
    const struct slice *f = rows[0].field;
    buf_add_char(out, '{');
    if (out->failed) return;
    write_member(out, "id", f[COLUMN_ID].n ? f[COLUMN_ID] : slice_str(id), false);
    write_member(out, "type", f[COLUMN_TYPE].n || !type ? f[COLUMN_TYPE] : slice_str(type), false);
    write_member(out, "user", f[COLUMN_USER], false);
    if (n == 1 && f[COLUMN_PRICE].n == 0) {
        write_member(out, "item", f[COLUMN_ITEM], false);
        write_member(out, "quantity", f[COLUMN_QUANTITY], true);
    } else {
        write_items(rows, n, out);
    }
    if (f[COLUMN_TS].n) {
        buf_add_str(out, ",\"ts\":");
        write_ts(f[COLUMN_TS], out);
    }
    write_member(out, "value", f[COLUMN_VALUE], true);
    write_member(out, "session", f[COLUMN_SESSION], false);
    write_member(out, "request", f[COLUMN_REQUEST], false);
    buf_add_char(out, '}');
}
