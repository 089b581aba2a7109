/* rankctl load: the records of one file made events of batches. */
#include <stdio.h>
#include <string.h>

#include "daemon/ctl_load.h"
#include "lib/base/mem.h"

#define WORK_EVERY 256 /* records */
#define NO_LIMIT   SIZE_MAX

struct feed {
    struct load *l;
    struct reader *reader;
    struct form form;
    struct buf scratch;
    /* the rows of one basket, held until another one begins */
    struct buf held, moment, this_moment;
    struct {
        size_t start, bytes;
    } * spans;        /* (max_basket) */
    struct row *rows; /* (max_basket) */
    size_t n_held;
    uint64_t held_line;
};

static int find_format(struct feed *f) {
    const struct load_options *o = f->l->o;
    struct err e;
    int rc = form_find(f->l->path, f->reader, &o->form, &f->form, &e);
    if (rc < 0) {
        ctl_say("%s", e.text);
        return rc == ERR_RANGE ? CTL_BAD_USE : CTL_FAILED;
    }
    if (f->form.format == FORM_JSONL && o->baskets) {
        ctl_say("%s holds JSON Lines: --baskets is for TSV and CSV", f->l->path);
        return CTL_BAD_USE;
    }
    return CTL_DONE;
}

static struct load_event *begin_event(struct load_batch *b, uint64_t line) {
    struct load_event *e = &b->events[b->n];
    *e = (struct load_event){.batch = b, .line = line, .start = b->body.n, .key = b->keys.n};
    return e;
}

/* Takes the event built at the end of the body into the batch. */
static int end_event(struct load *l, struct load_event *e, struct load_place behind) {
    struct load_batch *b = e->batch;
    buf_add_char(&b->body, '\n');
    if (b->body.failed || b->keys.failed) {
        ctl_say("no memory for a batch of events");
        return CTL_FAILED;
    }
    e->bytes = b->body.n - e->start;
    e->key_bytes = b->keys.n - e->key;
    b->n++;
    b->next = behind;
    return b->n == b->max || b->body.n >= LOAD_BATCH_BYTES ? load_submit(l) : CTL_DONE;
}

static void id_of(const struct load *l, uint64_t line, char out[64]) {
    snprintf(out, 64, "%s%llu", l->prefix, (unsigned long long)line);
}

static int feed_json(struct feed *f, const struct read_record *r) {
    struct load *l = f->l;
    struct load_batch *b = load_current(l);
    struct line_json j;
    struct err e;
    char id[64];
    if (line_json_scan(r->text, &j, &e) < 0) {
        load_bad(l, r->line, "not_json", e.text, r->text);
        return CTL_DONE;
    }
    struct load_event *at = begin_event(b, r->line);
    if (!j.has_id) id_of(l, r->line, id);
    line_json_write(r->text, &j, j.has_id ? NULL : id, l->o->type, &b->body);
    if (l->o->kafka_topic && !line_json_user(j.user, &b->keys)) b->keys.n = at->key;
    return end_event(l, at, (struct load_place){r->next, r->line_after});
}

static int write_rows(struct feed *f, const struct row *rows, size_t n, uint64_t line, struct load_place behind) {
    struct load *l = f->l;
    struct load_batch *b = load_current(l);
    char id[64];
    struct load_event *at = begin_event(b, line);
    id_of(l, line, id);
    row_write(rows, n, id, l->o->type, &b->body);
    if (l->o->kafka_topic) buf_add_slice(&b->keys, rows[0].field[COLUMN_USER]);
    return end_event(l, at, behind);
}

/* The rows held become an event. The place behind it is that of the record that ended it, set by the caller. */
static int flush_basket(struct feed *f, struct load_place behind) {
    struct err e;
    size_t n = f->n_held;
    if (n == 0) return CTL_DONE;
    f->n_held = 0;
    buf_clear(&f->scratch); /* room for all at once: what row_parse gives points into it */
    buf_add(&f->scratch, f->held.p, f->held.n);
    for (size_t k = 0; k < n; k++) buf_add(&f->scratch, "\0\0", 2);
    buf_clear(&f->scratch);
    for (size_t k = 0; k < n; k++)
        if (row_parse(&f->form.columns, f->form.separator, slice_of(f->held.p + f->spans[k].start, f->spans[k].bytes),
                      &f->scratch, &f->rows[k], &e) < 0) {
            ctl_say("%s", e.text);
            return CTL_FAILED; /* it was parsed before: memory */
        }
    return write_rows(f, f->rows, n, f->held_line, behind);
}

static int hold_row(struct feed *f, const struct row *row, const struct read_record *r) {
    row_moment(row, &f->this_moment);
    bool same = f->n_held && f->n_held < f->l->o->max_basket && f->moment.n == f->this_moment.n &&
                memcmp(f->moment.p, f->this_moment.p, f->moment.n) == 0;
    if (!same) {
        int rc = flush_basket(f, (struct load_place){r->offset, r->line});
        if (rc != CTL_DONE) return rc;
        struct buf other = f->moment;
        f->moment = f->this_moment;
        f->this_moment = other;
        buf_clear(&f->held);
        f->held_line = r->line;
    }
    f->spans[f->n_held].start = f->held.n;
    f->spans[f->n_held].bytes = r->text.n;
    buf_add_slice(&f->held, r->text);
    f->n_held++;
    return CTL_DONE;
}

static int feed_row(struct feed *f, const struct read_record *r) {
    struct row row;
    struct err e;
    buf_clear(&f->scratch);
    if (row_parse(&f->form.columns, f->form.separator, r->text, &f->scratch, &row, &e) < 0) {
        load_bad(f->l, r->line, "bad_record", e.text, r->text);
        return CTL_DONE;
    }
    return f->l->o->baskets ? hold_row(f, &row, r)
                            : write_rows(f, &row, 1, r->line, (struct load_place){r->next, r->line_after});
}

static int feed_record(struct feed *f, const struct read_record *r) {
    f->l->lines++;
    if (r->verdict == READ_TOO_LONG) {
        load_bad(f->l, r->line, "too_long", "the line is too long",
                 slice_of(r->text.p, r->text.n < 200 ? r->text.n : 200));
        return CTL_DONE;
    }
    if (r->verdict == READ_OPEN_QUOTE) {
        load_bad(f->l, r->line, "bad_record", "a quote is never closed", r->text);
        return CTL_DONE;
    }
    if (r->text.n == 0) return CTL_DONE;
    return f->form.format == FORM_JSONL ? feed_json(f, r) : feed_row(f, r);
}

/* To the place to begin at: behind the header, or where an earlier run stopped. 0 or an error. */
static int go_to(struct feed *f, struct load_place from, struct err *e) {
    struct read_record r;
    if (from.offset) return reader_skip(f->reader, from.offset, from.line, e);
    int rc = f->form.header ? reader_next(f->reader, &r, e) : 0;
    return rc < 0 ? rc : 0;
}

static int feed_all(struct feed *f, struct load_place from) {
    struct load *l = f->l;
    struct read_record r = {.next = 0};
    struct err e;
    int rc = CTL_DONE, got = go_to(f, from, &e);
    while (got >= 0 && rc == CTL_DONE && !load_interrupted && (got = reader_next(f->reader, &r, &e)) == 1) {
        rc = feed_record(f, &r);
        if (f->n_held == 0 && rc == CTL_DONE) load_current(l)->next = (struct load_place){r.next, r.line_after};
        if (l->lines % WORK_EVERY != 0) continue;
        l->sink.work(l->sink.impl);
        load_progress(l, false);
    }
    if (rc == CTL_DONE && got < 0) {
        load_clear_line(l);
        ctl_say("%s: %s", l->path, e.text);
        return CTL_FAILED;
    }
    if (rc != CTL_DONE || load_interrupted) return rc;
    return flush_basket(f, (struct load_place){r.next, r.line_after});
}

int load_feed(struct load *l, struct load_place from) {
    struct feed f = {.l = l};
    struct err e;
    int rc = CTL_DONE;
    struct buf *bufs[] = {&f.scratch, &f.held, &f.moment, &f.this_moment};
    for (size_t k = 0; k < 4; k++) buf_init(bufs[k], NO_LIMIT);
    if (l->o->baskets) {
        f.spans = mem_zalloc(l->o->max_basket * sizeof *f.spans);
        f.rows = mem_zalloc(l->o->max_basket * sizeof *f.rows);
    }
    if ((l->o->baskets && (!f.spans || !f.rows)) ||
        reader_new(l->unpack, READ_LINES, form_longest(l->path, &l->o->form), &f.reader, &e) < 0) {
        ctl_say("no memory");
        rc = CTL_FAILED;
    }
    if (rc == CTL_DONE) rc = find_format(&f);
    if (rc == CTL_DONE) rc = feed_all(&f, from);
    reader_free(f.reader);
    for (size_t k = 0; k < 4; k++) buf_free(bufs[k]);
    mem_free(f.spans);
    mem_free(f.rows);
    return rc;
}
