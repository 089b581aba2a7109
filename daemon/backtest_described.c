/* Files of items and of users, `id TAB feature,feature,...`, made item and user events that stand before the log. */
#include <stdio.h>
#include <string.h>

#include "daemon/backtest_log.h"
#include "lib/base/mem.h"

#define LONGEST      (1u << 20)
#define MAX_FEATURES 1000

struct feature { /* "name=value", or a value alone */
    struct slice name, value;
    bool done;
};

struct listing {
    struct backtest_log *log;
    const struct backtest_input *in;
    const char *path, *what; /* "item", "user": the type of the events */
    uint32_t source, file;
    uint64_t number;
    struct event_names type, id; /* what the configuration calls these fields */
    struct feature *features;    /* (MAX_FEATURES) */
    struct buf json;
};

static size_t take_features(struct slice list, struct feature *out) {
    size_t n = 0;
    while (list.n > 0 && n < MAX_FEATURES) {
        const char *end = memchr(list.p, ',', list.n);
        struct slice one = slice_of(list.p, end ? (size_t)(end - list.p) : list.n);
        list = end ? slice_of(end + 1, list.n - one.n - 1) : slice_of(list.p, 0);
        const char *equals = one.n ? memchr(one.p, '=', one.n) : NULL;
        size_t name = equals ? (size_t)(equals - one.p) : 0;
        if (one.n == 0) continue;
        out[n++] = equals && name > 0
                       ? (struct feature){slice_of(one.p, name), slice_of(equals + 1, one.n - name - 1), false}
                       : (struct feature){slice_str("feature"), one, false};
    }
    return n;
}

static void write_values(struct buf *out, struct feature *f, size_t first, size_t n) {
    size_t same = 0, written = 0;
    for (size_t k = first; k < n; k++) same += slice_equal(f[k].name, f[first].name);
    if (same > 1) buf_add_char(out, '[');
    for (size_t k = first; k < n; k++) {
        if (!slice_equal(f[k].name, f[first].name)) continue;
        if (written++) buf_add_char(out, ',');
        buf_add_json(out, f[k].value);
        f[k].done = true;
    }
    if (same > 1) buf_add_char(out, ']');
}

static void write_event(struct listing *l, struct slice id, size_t n) {
    struct buf *out = &l->json;
    bool any = false;
    buf_clear(out);
    buf_add_char(out, '{');
    buf_add_json(out, slice_str(l->type.name[0]));
    buf_add_char(out, ':');
    buf_add_json(out, slice_str(l->what));
    buf_add_char(out, ',');
    buf_add_json(out, slice_str(l->id.name[0]));
    buf_add_char(out, ':');
    buf_add_json(out, id);
    buf_add_str(out, ",\"features\":{");
    for (size_t k = 0; k < n; k++) {
        if (l->features[k].done) continue;
        if (any) buf_add_char(out, ',');
        any = true;
        buf_add_json(out, l->features[k].name);
        buf_add_char(out, ':');
        write_values(out, l->features, k, n);
    }
    buf_add_str(out, "}}");
}

static int take_line(struct listing *l, const struct read_record *r, struct err *e) {
    struct slice line = r->text;
    backtest_log_count(l->log, l->in);
    l->number++;
    if (line.n == 0) return 0;
    const char *tab = memchr(line.p, '\t', line.n);
    struct slice id = slice_of(line.p, tab ? (size_t)(tab - line.p) : line.n);
    struct slice rest = tab ? slice_of(tab + 1, line.n - id.n - 1) : slice_of(line.p, 0);
    char why[96] = "";
    if (r->verdict != READ_OK)
        snprintf(why, sizeof why, "the line is too long");
    else if (id.n == 0)
        snprintf(why, sizeof why, "no %s before the first tab", l->what);
    else if (rest.n > 0 && memchr(rest.p, '\t', rest.n))
        snprintf(why, sizeof why, "more than the two columns of %s TAB feature,feature,...", l->what);
    if (why[0]) {
        l->log->rejected++;
        if (l->in->reject) l->in->reject(l->in->arg, l->path, r->line, "bad_record", why);
        return 0;
    }
    write_event(l, id, take_features(rest, l->features));
    if (l->json.failed) return err_set(e, ERR_NOMEM, "log", "no memory for a description");
    struct backtest_record rec = {.source = l->source,
                                  .file = l->file,
                                  .line = r->line,
                                  .n_lines = 1,
                                  .offset = l->number,
                                  .next = l->number + 1,
                                  .record_ms = EVENT_NO_TIME,
                                  .arrival_ms = EVENT_NO_TIME};
    return backtest_log_add(l->log, &rec, slice_of(l->json.p, l->json.n), slice_of("", 0), e);
}

/* field: the option that names the field of the id. */
static int read_file(struct listing *l, const char *source, const char *field, struct err *e) {
    struct unpack *u = NULL;
    struct reader *reader = NULL;
    struct read_record r;
    buf_init(&l->json, SIZE_MAX);
    l->features = mem_zalloc(MAX_FEATURES * sizeof *l->features);
    int rc = l->features ? 0 : err_set(e, ERR_NOMEM, source, "no memory");
    if (rc == 0) rc = event_names_parse(l->in->config->field_type, &l->type, e);
    if (rc == 0) rc = event_names_parse(field, &l->id, e);
    if (rc == 0) rc = backtest_log_source(l->log, source, true, &l->source, e);
    if (rc == 0) rc = backtest_log_file(l->log, l->path, &l->file, e);
    if (rc == 0) rc = unpack_open(l->path, &u, e);
    if (rc == 0) rc = reader_new(u, READ_LINES, LONGEST, &reader, e);
    while (rc == 0 && (rc = backtest_next(l->path, reader, &r, e)) == 1) rc = take_line(l, &r, e);
    reader_free(reader);
    unpack_close(u);
    buf_free(&l->json);
    mem_free(l->features);
    return rc;
}

int backtest_read_described(struct backtest_log *log, const struct backtest_input *in, struct err *e) {
    struct listing items = {.log = log, .in = in, .path = in->items, .what = "item"};
    struct listing users = {.log = log, .in = in, .path = in->users, .what = "user"};
    int rc = in->items ? read_file(&items, BACKTEST_ITEMS, in->config->field_item, e) : 0;
    if (rc == 0 && in->users) rc = read_file(&users, BACKTEST_USERS, in->config->field_user, e);
    log->n_described = log->n;
    return rc;
}
