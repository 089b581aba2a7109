/* The records of a log to be loaded: one buffer that holds at least one record, quotes of CSV followed once. */
#include "daemon/ctl_read.h"

#include <string.h>

#include "lib/base/mem.h"

#define CHUNK (1u << 20)
#define PEEK  (64u * 1024u)
#define BOM   "\xef\xbb\xbf"

struct reader {
    struct unpack *u;
    enum read_form form;
    size_t longest, cap, head, have;
    bool eof, begun;
    uint64_t offset, line; /* of head */
    char *buf;
};

int reader_new(struct unpack *u, enum read_form form, size_t longest, struct reader **out, struct err *e) {
    struct reader *r = mem_zalloc(sizeof *r);
    char *buf = r ? mem_alloc(longest + 2 + CHUNK) : NULL;
    if (!buf) {
        mem_free(r);
        return err_set(e, ERR_NOMEM, "", "no memory for lines of %zu bytes", longest);
    }
    *r = (struct reader){.u = u, .form = form, .longest = longest, .cap = longest + 2 + CHUNK, .line = 1, .buf = buf};
    *out = r;
    return 0;
}

void reader_free(struct reader *r) {
    if (!r) return;
    mem_free(r->buf);
    mem_free(r);
}

/* Reads more behind what is there, which moves to the front. */
static int refill(struct reader *r, struct err *e) {
    memmove(r->buf, r->buf + r->head, r->have - r->head);
    r->have -= r->head;
    r->head = 0;
    int64_t n = r->have < r->cap ? unpack_read(r->u, r->buf + r->have, r->cap - r->have, e) : 0;
    if (n < 0) return (int)n;
    r->eof |= n == 0;
    r->have += (size_t)n;
    return 0;
}

/* Where the search for a record's end stands; kept over refills. */
struct scan {
    size_t at;         /* bytes looked at */
    size_t first_line; /* length of the first line once it was passed, else SIZE_MAX */
    uint64_t breaks;   /* line breaks passed inside quotes */
    enum { FIELD_START, UNQUOTED, QUOTED, QUOTE } state;
};

/* Looks on to the line break that ends the record: true, and s->at stands on it. */
static bool find_csv(struct scan *s, const char *p, size_t n) {
    for (; s->at < n; s->at++) {
        char c = p[s->at];
        if (s->state == QUOTED) {
            if (c == '"') s->state = QUOTE;
            if (c == '\n') {
                if (s->first_line == SIZE_MAX) s->first_line = s->at;
                s->breaks++;
            }
            continue;
        }
        if (c == '\n') return true;
        if (c == ',')
            s->state = FIELD_START;
        else if (c == '"' && s->state == FIELD_START)
            s->state = QUOTED;
        else if (c == '"' && s->state == QUOTE)
            s->state = QUOTED;
        else
            s->state = UNQUOTED;
    }
    return false;
}

static bool find_line(struct scan *s, const char *p, size_t n) {
    const char *end = memchr(p + s->at, '\n', n - s->at);
    s->at = end ? (size_t)(end - p) : n;
    return end != NULL;
}

static void give(struct reader *r, size_t n, size_t with_break, uint64_t lines, enum read_verdict verdict,
                 struct read_record *out) {
    size_t shown = n > r->longest ? r->longest : n;
    if (n > r->longest && verdict == READ_OK) verdict = READ_TOO_LONG;
    if (shown == n && with_break && shown && r->buf[r->head + shown - 1] == '\r') shown--;
    *out = (struct read_record){.text = slice_of(r->buf + r->head, shown),
                                .line = r->line,
                                .offset = r->offset,
                                .next = r->offset + n + with_break,
                                .verdict = verdict};
    out->line_after = r->line + lines;
    r->offset = out->next;
    r->line = out->line_after;
    r->head += n + with_break;
}

/* A line that does not fit stands at the front without its break: the rest is read and dropped. */
static int give_too_long(struct reader *r, struct read_record *out, struct err *e) {
    uint64_t n = r->have;
    const char *end = NULL;
    r->head = r->have = r->longest;
    while (!end) {
        char *rest = r->buf + r->longest;
        int64_t got = unpack_read(r->u, rest, r->cap - r->longest, e);
        if (got < 0) return (int)got;
        r->eof = got == 0;
        if (r->eof) break;
        end = memchr(rest, '\n', (size_t)got);
        size_t of_line = end ? (size_t)(end - rest) : (size_t)got;
        n += of_line;
        r->head = r->longest + of_line + (end != NULL);
        r->have = r->longest + (size_t)got;
    }
    *out = (struct read_record){.text = slice_of(r->buf, r->longest),
                                .line = r->line,
                                .offset = r->offset,
                                .next = r->offset + n + (end != NULL),
                                .verdict = READ_TOO_LONG};
    out->line_after = ++r->line;
    r->offset = out->next;
    return 1;
}

/* The byte order mark is no part of the first record. */
static int begin(struct reader *r, struct err *e) {
    while (!r->eof && r->have < 3) {
        int rc = refill(r, e);
        if (rc < 0) return rc;
    }
    r->begun = true;
    if (r->have < 3 || memcmp(r->buf, BOM, 3) != 0) return 0;
    r->head = 3;
    r->offset = 3;
    return 0;
}

int reader_next(struct reader *r, struct read_record *out, struct err *e) {
    struct scan s = {.first_line = SIZE_MAX, .state = FIELD_START};
    int rc = r->begun ? 0 : begin(r, e);
    if (rc < 0) return rc;
    for (;;) {
        const char *p = r->buf + r->head;
        size_t n = r->have - r->head;
        if (r->form == READ_CSV ? find_csv(&s, p, n) : find_line(&s, p, n)) {
            give(r, s.at, 1, s.breaks + 1, READ_OK, out);
            return 1;
        }
        bool open = s.state == QUOTED;
        if (open && s.first_line != SIZE_MAX && (r->eof || n > r->longest)) {
            give(r, s.first_line, 1, 1, READ_OPEN_QUOTE, out);
            return 1;
        }
        if (r->eof) {
            if (n == 0) return 0;
            give(r, n, 0, 1, open ? READ_OPEN_QUOTE : READ_OK, out);
            return 1;
        }
        if (n > r->longest && s.first_line == SIZE_MAX && r->head == 0) return give_too_long(r, out, e);
        rc = refill(r, e);
        if (rc < 0) return rc;
    }
}

int reader_peek(struct reader *r, struct slice *out, struct err *e) {
    while (!r->eof && r->have - r->head < PEEK) {
        int rc = refill(r, e);
        if (rc < 0) return rc;
    }
    *out = slice_of(r->buf + r->head, r->have - r->head < PEEK ? r->have - r->head : PEEK);
    if (out->n >= 3 && memcmp(out->p, BOM, 3) == 0) *out = slice_of(out->p + 3, out->n - 3);
    return 0;
}

void reader_set_form(struct reader *r, enum read_form form) { r->form = form; }

int reader_skip(struct reader *r, uint64_t offset, uint64_t line, struct err *e) {
    if (offset < r->offset) return err_set(e, ERR_RANGE, "", "offset %llu was passed", (unsigned long long)offset);
    while (r->offset < offset) {
        uint64_t here = r->have - r->head, want = offset - r->offset, n = here < want ? here : want;
        r->head += (size_t)n;
        r->offset += n;
        if (n == want) break;
        int rc = refill(r, e);
        if (rc < 0) return rc;
        if (r->eof && r->have == r->head)
            return err_set(e, ERR_RANGE, "", "it ends at byte %llu, %llu were loaded", (unsigned long long)r->offset,
                           (unsigned long long)offset);
    }
    r->begun = true;
    r->line = line;
    return 0;
}
