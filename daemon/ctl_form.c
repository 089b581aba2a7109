/* The form of a log file. */
#include "daemon/ctl_form.h"

#include <string.h>
#include <strings.h>

#define LONGEST_JSON   (16u << 20)
#define LONGEST_RECORD (1u << 20)

bool form_parse(const char *name, enum form_format *out) {
    static const char *const formats[] = {[FORM_JSONL] = "jsonl", [FORM_TSV] = "tsv", [FORM_CSV] = "csv"};
    for (int k = FORM_JSONL; k <= FORM_CSV; k++)
        if (strcmp(name, formats[k]) == 0) {
            *out = (enum form_format)k;
            return true;
        }
    return false;
}

static bool ends_in(const char *name, size_t n, const char *end) {
    size_t m = strlen(end);
    return n > m && strncasecmp(name + n - m, end, m) == 0;
}

static enum form_format by_name(const char *path) {
    size_t n = strlen(path);
    if (ends_in(path, n, ".gz"))
        n -= 3;
    else if (ends_in(path, n, ".zst"))
        n -= 4;
    if (ends_in(path, n, ".jsonl") || ends_in(path, n, ".ndjson") || ends_in(path, n, ".json")) return FORM_JSONL;
    if (ends_in(path, n, ".tsv") || ends_in(path, n, ".tab")) return FORM_TSV;
    return ends_in(path, n, ".csv") ? FORM_CSV : FORM_GUESS;
}

static enum form_format by_content(struct slice front) {
    size_t at = 0;
    while (at < front.n && strchr(" \t\r\n", front.p[at])) at++;
    if (at < front.n && front.p[at] == '{') return FORM_JSONL;
    const char *end = front.n ? memchr(front.p, '\n', front.n) : NULL;
    size_t n = end ? (size_t)(end - front.p) : front.n;
    if (n && memchr(front.p, '\t', n)) return FORM_TSV;
    return n && memchr(front.p, ',', n) ? FORM_CSV : FORM_JSONL;
}

size_t form_longest(const char *path, const struct form_wish *w) {
    bool json = w->format == FORM_JSONL || (w->format == FORM_GUESS && by_name(path) <= FORM_JSONL);
    return json ? LONGEST_JSON : LONGEST_RECORD;
}

/* Which columns there are: as named, as the first line says, or the usual ones of a TSV. */
static int find_columns(const char *path, struct slice front, const struct form_wish *w, struct form *f,
                        struct err *e) {
    struct columns named;
    struct err why = {0};
    const char *end = front.n ? memchr(front.p, '\n', front.n) : NULL;
    size_t n = end ? (size_t)(end - front.p) : front.n;
    if (n && front.p[n - 1] == '\r') n--;
    bool is_header = columns_parse(slice_of(front.p, n), f->separator, &named, &why) == 0;
    if (is_header && !w->header) { /* not by chance: it names another column, too */
        size_t known = 0;
        for (size_t k = 0; k < named.n; k++) known += named.kind[k] != COLUMN_SKIP;
        is_header = known >= 2;
    }
    f->header = w->header || is_header;
    if (w->columns) {
        if (columns_parse(slice_str(w->columns), ',', &f->columns, &why) == 0) return 0;
        return err_set(e, why.code, "columns", "--columns %s: %s", w->columns, why.text);
    }
    if (is_header) {
        f->columns = named;
        return 0;
    }
    if (!w->header && f->format == FORM_TSV && n)
        return columns_parse(slice_str("ts,user,item,type"), ',', &f->columns, e);
    if (n == 0) return 0;
    return err_set(e, ERR_RANGE, "columns", "%s: the columns are not known: %s%s", path,
                   w->header ? "in the header line " : "",
                   w->header ? why.text : "name them, as in --columns ts,user,item,type");
}

int form_find(const char *path, struct reader *r, const struct form_wish *w, struct form *out, struct err *e) {
    struct slice front;
    struct form f = {.format = w->format};
    int rc = reader_peek(r, &front, e);
    if (rc < 0) return err_set(e, rc, "log", "%s: %s", path, e ? e->text : "");
    if (f.format == FORM_GUESS) f.format = by_name(path);
    if (f.format == FORM_GUESS) f.format = by_content(front);
    f.separator = f.format == FORM_CSV ? ',' : '\t';
    reader_set_form(r, f.format == FORM_CSV ? READ_CSV : READ_LINES);
    if (f.format != FORM_JSONL) {
        rc = find_columns(path, front, w, &f, e);
        if (rc < 0) return rc;
    } else if (front.n && front.p[0] == '[') {
        return err_set(e, ERR_RANGE, "format",
                       "%s is a JSON array: one object a line is wanted (jq -c '.[]' makes them)", path);
    } else if (w->columns) {
        return err_set(e, ERR_RANGE, "columns", "%s holds JSON Lines: --columns is for TSV and CSV", path);
    }
    *out = f;
    return 0;
}
