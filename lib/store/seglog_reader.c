/* The reading end of the log: lines, each checked against its entry before it is given out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/store/seglog_priv.h"

#define BATCH_BYTES (256u << 10) /* small entries are read together up to this */

struct seglog_reader {
    char *dir;
    uint64_t pos;           /* offset of the next line */
    int data_fd, sum_fd;    /* -1 = no segment is open */
    uint64_t base, limit;   /* of the open segment; limit as in seglog_walk */
    uint64_t next, next_at; /* the first entry not in the buffer: its offset, its place in the sidecar */
    char *buf;              /* checked data */
    size_t cap, n, at;      /* at: of the next line */
    struct seglog_walk walk;
};

static void close_segment(struct seglog_reader *r) {
    if (r->data_fd >= 0) close(r->data_fd);
    if (r->sum_fd >= 0) close(r->sum_fd);
    r->data_fd = r->sum_fd = -1;
    r->n = r->at = 0;
}

void seglog_reader_close(struct seglog_reader *r) {
    if (!r) return;
    close_segment(r);
    mem_free(r->buf);
    mem_free(r->dir);
    mem_free(r);
}

static int behind_end(const struct seglog_reader *r, uint64_t end, struct err *e) {
    return err_set(e, ERR_RANGE, "log", "%s: offset %llu lies behind the end of the log, which is %llu", r->dir,
                   (unsigned long long)r->pos, (unsigned long long)end);
}

/* The segment that holds r->pos; NULL when r->pos is where the next one will begin. */
static int find_segment(struct seglog_reader *r, const struct seglog_survey *s, const struct seglog_segment **out,
                        struct err *e) {
    const struct seglog_segment *g = NULL;
    r->limit = SEGLOG_OPEN_END;
    if (s->n > s->stale && r->pos < s->p[s->stale].base) {
        unsigned long long start = s->p[s->stale].base;
        return err_set(e, ERR_MISSING, "log", "%s: offset %llu is no longer kept; the log goes on from %llu", r->dir,
                       (unsigned long long)r->pos, start);
    }
    for (size_t k = s->stale; k < s->n && s->p[k].base <= r->pos; k++) {
        g = &s->p[k];
        r->limit = k + 1 < s->n ? s->p[k + 1].base : SEGLOG_OPEN_END;
    }
    bool made = g && g->has_data && g->has_sum;
    uint64_t end = g ? g->base : 0;
    if (!made && r->pos != end) return behind_end(r, end, e);
    *out = made ? g : NULL;
    return 0;
}

/* 1 when the segment that holds r->pos was opened, 0 when there is none yet. */
static int open_segment(struct seglog_reader *r, struct err *e) {
    struct seglog_survey s = {0};
    const struct seglog_segment *g = NULL;
    int rc = seglog_list(r->dir, &s, e);
    if (!rc) rc = find_segment(r, &s, &g, e);
    if (!rc && g) {
        r->base = r->next = g->base;
        r->next_at = 0;
        rc = seglog_open_part(r->dir, r->base, SEGLOG_DATA, O_RDONLY, &r->data_fd, e);
        if (!rc) rc = seglog_open_part(r->dir, r->base, SEGLOG_SUM, O_RDONLY, &r->sum_fd, e);
        if (!rc) rc = 1;
        if (rc < 0) close_segment(r);
    }
    seglog_survey_free(&s);
    return rc;
}

static bool segment_begins_at(const struct seglog_reader *r, uint64_t base) {
    char path[SEGLOG_PATH];
    return base != r->base && seglog_path(r->dir, base, SEGLOG_DATA, path, NULL) == 0 && access(path, F_OK) == 0;
}

/* What stands at r->next in the sidecar is no whole entry, although until lies behind it. 0 = none yet. */
static int judge_bad_entry(struct seglog_reader *r, uint64_t until, int walked, struct err *e) {
    if (walked == SEGLOG_WALK_END) {
        if (until == SEGLOG_OPEN_END && r->limit == SEGLOG_OPEN_END) return 0;
        return seglog_damage(e, r->dir, r->base, SEGLOG_SUM, r->next, "the log ends here and should go on");
    }
    if (until == SEGLOG_OPEN_END && r->limit == SEGLOG_OPEN_END) {
        int torn = seglog_walk_torn(&r->walk, r->data_fd, r->base);
        if (torn < 0) return seglog_fail(e, r->dir, r->base, SEGLOG_DATA, "reading");
        if (torn) return 0;
    }
    return seglog_damage(e, r->dir, r->base, SEGLOG_SUM, r->next, "the entry for this offset is damaged");
}

static int walk_to_start(struct seglog_reader *r, struct err *e) {
    struct seglog_entry x;
    int rc;
    seglog_walk_begin(&r->walk, r->sum_fd, 0, r->base, r->limit);
    do {
        r->next = r->walk.pos;
        r->next_at = r->walk.at;
        if (r->next == r->pos) return 0;
        rc = seglog_walk_next(&r->walk, &x);
    } while (rc == SEGLOG_WALK_ENTRY && r->walk.pos <= r->pos);
    if (rc == SEGLOG_WALK_ENTRY) return 0;
    if (rc < 0) return seglog_fail(e, r->dir, r->base, SEGLOG_SUM, "reading");
    rc = judge_bad_entry(r, SEGLOG_OPEN_END, rc, e);
    return rc ? rc : behind_end(r, r->next, e);
}

int seglog_reader_open(const char *dir, uint64_t from, struct seglog_reader **out, struct err *e) {
    struct seglog_reader *r = mem_zalloc(sizeof *r);
    size_t n = strlen(dir) + 1;
    if (!r) return err_set(e, ERR_NOMEM, "log", "no memory to read %s", dir);
    r->data_fd = r->sum_fd = -1;
    r->pos = from;
    r->dir = mem_alloc(n);
    if (r->dir) memcpy(r->dir, dir, n);
    int rc = r->dir ? open_segment(r, e) : err_set(e, ERR_NOMEM, "log", "no memory to read %s", dir);
    if (rc == 1) rc = walk_to_start(r, e);
    if (rc) {
        seglog_reader_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

static int reserve(struct seglog_reader *r, size_t n, struct err *e) {
    if (n <= r->cap && r->cap <= 4 * BATCH_BYTES) return 0;
    if (n <= r->cap && n > r->cap / 4) return 0;
    size_t cap = n < BATCH_BYTES ? BATCH_BYTES : n; /* gives a large buffer back, too */
    char *p = mem_realloc(r->buf, cap);
    if (!p) return err_set(e, ERR_NOMEM, "log", "%s: no memory for %zu bytes", r->dir, cap);
    r->buf = p;
    r->cap = cap;
    return 0;
}

/* Reads and checks the data of k entries; keeps those before the first damaged one. */
static int load(struct seglog_reader *r, const struct seglog_entry *x, size_t k, struct err *e) {
    size_t total = 0, n = 0;
    for (size_t i = 0; i < k; i++) total += x[i].length;
    int rc = reserve(r, total, e);
    if (rc) return rc;
    long got = seglog_pread(r->data_fd, r->buf, total, r->next - r->base);
    if (got < 0) return seglog_fail(e, r->dir, r->base, SEGLOG_DATA, "reading");
    size_t good = 0;
    for (; good < k; good++) {
        size_t len = x[good].length;
        if (n + len > (size_t)got || hash_crc32(0, r->buf + n, len) != x[good].crc || r->buf[n + len - 1] != '\n')
            break;
        n += len;
    }
    if (good == 0) {
        return seglog_damage(e, r->dir, r->base, SEGLOG_DATA, r->next,
                             (size_t)got < x[0].length ? "the file is cut short here"
                                                       : "the data does not match its checksum");
    }
    size_t skip = (size_t)(r->pos - r->next);
    if (skip >= n || (skip > 0 && r->buf[skip - 1] != '\n')) {
        return err_set(e, ERR_RANGE, "log", "%s: offset %llu is not the start of a line", r->dir,
                       (unsigned long long)r->pos);
    }
    r->n = n;
    r->at = skip;
    r->next += n;
    r->next_at += good * SEGLOG_ENTRY;
    return 1;
}

/* Fills the buffer from r->next, which is at most r->pos < until. 1, or 0 when there is nothing yet. Entries that begin
 * at or behind until are not looked at: they may still change. */
static int fill(struct seglog_reader *r, uint64_t until, struct err *e) {
    struct seglog_entry x[64];
    for (;;) {
        if (r->data_fd < 0) {
            int rc = open_segment(r, e);
            if (rc < 0) return rc;
            if (rc == 0 && until == SEGLOG_OPEN_END) return 0;
            if (rc == 0) {
                return err_set(e, ERR_CORRUPT, "log", "%s: log offset %llu: there is no segment for it", r->dir,
                               (unsigned long long)r->pos);
            }
        }
        size_t k = 0, total = 0;
        int rc = SEGLOG_WALK_END;
        seglog_walk_begin(&r->walk, r->sum_fd, r->next_at, r->next, r->limit);
        while (k < sizeof x / sizeof *x && r->walk.pos < until && total < BATCH_BYTES) {
            rc = seglog_walk_next(&r->walk, &x[k]);
            if (rc != SEGLOG_WALK_ENTRY) break;
            if (k > 0 && total + x[k].length > BATCH_BYTES) break;
            total += x[k++].length;
        }
        if (rc < 0) return seglog_fail(e, r->dir, r->base, SEGLOG_SUM, "reading");
        if (k > 0) return load(r, x, k, e);
        if (r->next != r->limit && !segment_begins_at(r, r->next)) return judge_bad_entry(r, until, rc, e);
        close_segment(r);
    }
}

int seglog_read(struct seglog_reader *r, uint64_t until, struct slice *line, uint64_t *offset, uint64_t *next,
                struct err *e) {
    if (r->pos >= until) return 0;
    if (r->at == r->n) {
        int rc = fill(r, until, e);
        if (rc <= 0) return rc;
    }
    const char *p = r->buf + r->at;
    const char *nl = memchr(p, '\n', r->n - r->at); /* there is one: checked when the entry was loaded */
    size_t n = (size_t)(nl - p);
    if (until - r->pos < n + 1) return 0;
    *line = slice_of(p, n);
    *offset = r->pos;
    r->at += n + 1;
    r->pos += n + 1;
    *next = r->pos;
    return 1;
}
