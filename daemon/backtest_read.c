/* Foreign files into a log: rows put into JSON, baskets formed. */
#include <string.h>

#include "daemon/backtest_log.h"
#include "lib/base/mem.h"

struct held_row {                /* of the moment at hand */
    size_t start, bytes;         /* in held */
    uint64_t line;               /* in the file */
    uint64_t number;             /* in all files */
    size_t moment, moment_bytes; /* in moments: user, type, ts, session and request */
    bool done;
};

struct reading {
    struct backtest_log *log;
    const struct backtest_input *in;
    uint32_t source, file;
    const char *path;
    struct form form;
    uint64_t number; /* of the line at hand in all files, from 1 */
    struct buf scratch, json;
    /* rows of one user and stamp, held until others come */
    struct buf held, moments, key, this_key, this_moment;
    struct held_row *rows; /* (n_rows) */
    size_t n_rows, cap_rows;
    struct row *parsed; /* (max_basket) */
};

static void reject(struct reading *r, uint64_t line, const char *reason, const char *text) {
    r->log->rejected++;
    if (r->in->reject) r->in->reject(r->in->arg, r->path, line, reason, text);
}

static int add(struct reading *r, struct slice text, uint64_t number, uint64_t line, uint32_t n_lines, struct err *e) {
    struct backtest_record rec = {.source = r->source,
                                  .file = r->file,
                                  .line = line,
                                  .n_lines = n_lines,
                                  .offset = number,
                                  .next = number + 1,
                                  .record_ms = EVENT_NO_TIME,
                                  .arrival_ms = EVENT_NO_TIME};
    return backtest_log_add(r->log, &rec, text, slice_of("", 0), e);
}

/* Room in the scratch for all that n fields of CSV can unquote to: slices into it stay. */
static void room_in_scratch(struct reading *r, size_t bytes) {
    buf_clear(&r->scratch);
    for (size_t k = 0; k < bytes; k++) buf_add_char(&r->scratch, '\0');
    buf_clear(&r->scratch);
}

static struct slice moment_of(const struct reading *r, const struct held_row *row) {
    return slice_of(r->moments.p + row->moment, row->moment_bytes);
}

/* The rows held that share type, session and request with the first not yet done become one record. */
static int flush_group(struct reading *r, size_t first, struct err *e) {
    size_t n = 0, bytes = 0;
    for (size_t k = first; k < r->n_rows; k++) bytes += r->rows[k].bytes + 2;
    room_in_scratch(r, bytes);
    for (size_t k = first; k < r->n_rows && n < (size_t)r->in->config->max_basket; k++) {
        struct held_row *row = &r->rows[k];
        if (row->done || !slice_equal(moment_of(r, row), moment_of(r, &r->rows[first]))) continue;
        int rc = row_parse(&r->form.columns, r->form.separator, slice_of(r->held.p + row->start, row->bytes),
                           &r->scratch, &r->parsed[n], e);
        if (rc < 0) return rc; /* it was parsed before: memory */
        row->done = true;
        n++;
    }
    buf_clear(&r->json);
    row_write(r->parsed, n, "", r->in->type, &r->json);
    if (r->json.failed) return err_set(e, ERR_NOMEM, "log", "no memory for a basket");
    const struct held_row *row = &r->rows[first];
    return add(r, slice_of(r->json.p, r->json.n), row->number, row->line, (uint32_t)n, e);
}

static int flush(struct reading *r, struct err *e) {
    int rc = 0;
    for (size_t k = 0; k < r->n_rows && rc == 0; k++)
        if (!r->rows[k].done) rc = flush_group(r, k, e);
    r->n_rows = 0;
    buf_clear(&r->held);
    buf_clear(&r->moments);
    return rc;
}

static int hold(struct reading *r, const struct row *row, const struct read_record *rec, struct err *e) {
    const struct slice user = row->field[COLUMN_USER], ts = row->field[COLUMN_TS];
    int rc = 0;
    buf_clear(&r->this_key);
    buf_put_u64(&r->this_key, user.n);
    buf_add_slice(&r->this_key, user);
    buf_add_slice(&r->this_key, ts);
    if (!r->n_rows || r->key.n != r->this_key.n || memcmp(r->key.p, r->this_key.p, r->key.n) != 0) {
        rc = flush(r, e);
        struct buf other = r->key;
        r->key = r->this_key;
        r->this_key = other;
    }
    if (rc < 0) return rc;
    if (r->n_rows == r->cap_rows) {
        size_t cap = r->cap_rows ? 2 * r->cap_rows : 64;
        struct held_row *rows = mem_realloc(r->rows, cap * sizeof *rows);
        if (!rows) return err_set(e, ERR_NOMEM, "log", "no memory for a basket of %zu lines", cap);
        r->rows = rows;
        r->cap_rows = cap;
    }
    row_moment(row, &r->this_moment);
    r->rows[r->n_rows++] = (struct held_row){.start = r->held.n,
                                             .bytes = rec->text.n,
                                             .line = rec->line,
                                             .number = r->number,
                                             .moment = r->moments.n,
                                             .moment_bytes = r->this_moment.n};
    buf_add_slice(&r->moments, slice_of(r->this_moment.p, r->this_moment.n));
    buf_add_slice(&r->held, rec->text);
    bool failed = r->moments.failed || r->held.failed || r->key.failed || r->this_moment.failed;
    return failed ? err_set(e, ERR_NOMEM, "log", "no memory for a basket") : 0;
}

static int take_row(struct reading *r, const struct read_record *rec, struct err *e) {
    struct row row;
    struct err why = {0};
    buf_clear(&r->scratch);
    if (row_parse(&r->form.columns, r->form.separator, rec->text, &r->scratch, &row, &why) < 0) {
        if (why.code == ERR_NOMEM) return err_set(e, ERR_NOMEM, "log", "no memory");
        reject(r, rec->line, "bad_record", why.text);
        return 0;
    }
    if (!r->in->serial) return hold(r, &row, rec, e);
    buf_clear(&r->json);
    row_write(&row, 1, "", r->in->type, &r->json);
    if (r->json.failed) return err_set(e, ERR_NOMEM, "log", "no memory for a line");
    return add(r, slice_of(r->json.p, r->json.n), r->number, rec->line, 1, e);
}

static int take_record(struct reading *r, const struct read_record *rec, struct err *e) {
    backtest_log_count(r->log, r->in);
    r->number++;
    if (rec->verdict == READ_TOO_LONG)
        reject(r, rec->line, "too_long", "the line is too long");
    else if (rec->verdict == READ_OPEN_QUOTE)
        reject(r, rec->line, "bad_record", "a quote is never closed");
    else if (rec->text.n > 0)
        return r->form.format == FORM_JSONL ? add(r, rec->text, r->number, rec->line, 1, e) : take_row(r, rec, e);
    return 0;
}

static int read_file(struct reading *r, struct err *e) {
    struct unpack *u = NULL;
    struct reader *reader = NULL;
    struct read_record rec;
    int rc = unpack_open(r->path, &u, e);
    if (rc == 0) rc = reader_new(u, READ_LINES, form_longest(r->path, &r->in->form), &reader, e);
    if (rc == 0) rc = form_find(r->path, reader, &r->in->form, &r->form, e);
    if (rc == 0 && r->form.format == FORM_JSONL) r->log->json = true;
    if (rc == 0 && r->form.header) rc = backtest_next(r->path, reader, &rec, e);
    if (rc > 0) rc = 0;
    while (rc == 0 && (rc = backtest_next(r->path, reader, &rec, e)) == 1) rc = take_record(r, &rec, e);
    if (rc == 0) rc = flush(r, e);
    reader_free(reader);
    unpack_close(u);
    return rc;
}

int backtest_read_files(struct backtest_log *l, const struct backtest_input *in, struct err *e) {
    struct reading r = {.log = l, .in = in};
    struct buf *bufs[] = {&r.scratch, &r.json, &r.held, &r.moments, &r.key, &r.this_key, &r.this_moment};
    for (size_t k = 0; k < sizeof bufs / sizeof *bufs; k++) buf_init(bufs[k], SIZE_MAX);
    int rc = backtest_log_source(l, BACKTEST_SOURCE, true, &r.source, e);
    r.parsed = mem_zalloc((size_t)in->config->max_basket * sizeof *r.parsed);
    if (rc == 0 && !r.parsed) rc = err_set(e, ERR_NOMEM, "log", "no memory");
    for (size_t k = 0; k < in->n_files && rc == 0; k++) {
        r.path = in->files[k];
        rc = backtest_log_file(l, r.path, &r.file, e);
        if (rc == 0) rc = read_file(&r, e);
    }
    for (size_t k = 0; k < sizeof bufs / sizeof *bufs; k++) buf_free(bufs[k]);
    mem_free(r.rows);
    mem_free(r.parsed);
    return rc;
}
