/* The writing end of the log: append, rotate, retain, and what to do when the disk refuses. */
#include "lib/store/seglog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/store/seglog_priv.h"

struct seglog {
    char *dir;
    uint64_t segment_bytes;
    struct seglog_io io;

    struct seglog_survey segs; /* oldest first; the last one is or was written to */
    size_t cap;
    int data_fd, sum_fd; /* of the last; -1 = the next append begins a new one */
    bool broken;         /* an append failed and its entry may still stand in the last sidecar */

    atomic_uint_least64_t start, durable, bytes; /* any thread reads */
};

static long io_write(void *arg, int fd, const void *p, unsigned long n) {
    (void)arg;
    return (long)write(fd, p, n);
}

static int io_fdatasync(void *arg, int fd) {
    (void)arg;
    return fdatasync(fd);
}

static int io_fsync_dir(void *arg, const char *dir) {
    (void)arg;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int rc = fsync(fd), saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

static int io_ftruncate(void *arg, int fd, long n) {
    (void)arg;
    return ftruncate(fd, (off_t)n);
}

static const struct seglog_io system_io = {io_write, io_fdatasync, io_fsync_dir, io_ftruncate, NULL};

static struct seglog_segment *last_segment(struct seglog *l) { return l->segs.n ? &l->segs.p[l->segs.n - 1] : NULL; }

static uint64_t end_of(const struct seglog *l) { return atomic_load_explicit(&l->durable, memory_order_relaxed); }

static int write_data(struct seglog *l, int fd, const void *p, size_t n) {
    const char *at = p;
    while (n > 0) {
        long k = l->io.write(l->io.arg, fd, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k == 0) errno = ENOSPC;
        if (k <= 0) return -1;
        at += k;
        n -= (size_t)k;
    }
    return l->io.fdatasync(l->io.arg, fd);
}

/* In one piece or not at all: an entry written in two could not be told from a damaged one after a power cut. */
static int write_entry(struct seglog *l, int fd, const unsigned char raw[SEGLOG_ENTRY]) {
    long k;
    do {
        k = l->io.write(l->io.arg, fd, raw, SEGLOG_ENTRY);
    } while (k < 0 && errno == EINTR);
    if (k >= 0 && k < (long)SEGLOG_ENTRY) errno = ENOSPC;
    return k == (long)SEGLOG_ENTRY ? l->io.fdatasync(l->io.arg, fd) : -1;
}

static void close_files(struct seglog *l) {
    if (l->data_fd >= 0) close(l->data_fd);
    if (l->sum_fd >= 0) close(l->sum_fd);
    l->data_fd = l->sum_fd = -1;
}

/* Cuts the open segment to what is durable. The sidecar first: an entry must never stand there without its data. */
static int cut(struct seglog *l, const struct seglog_segment *g) {
    if (l->io.ftruncate(l->io.arg, l->sum_fd, (long)g->sum_bytes) != 0) return -1;
    if (l->io.fdatasync(l->io.arg, l->sum_fd) != 0) return -1;
    if (l->io.ftruncate(l->io.arg, l->data_fd, (long)(g->end - g->base)) != 0) return -1;
    return l->io.fdatasync(l->io.arg, l->data_fd);
}

/* After a failed append: closes the segment at its durable length. What else stands in the data file does no harm, nor
 * does a cut that is not durable yet (the next segment's name says where this one ends); an entry of the failed append
 * that a reader can see does. */
static int close_broken(struct seglog *l) {
    const struct seglog_segment *g = last_segment(l);
    struct stat st;
    if (cut(l, g) != 0) { /* once more, and at least out of a reader's sight */
        if (fstat(l->sum_fd, &st) != 0) return -1;
        bool longer = (uint64_t)st.st_size > g->sum_bytes;
        if (longer && l->io.ftruncate(l->io.arg, l->sum_fd, (long)g->sum_bytes) != 0) return -1;
        (void)l->io.fdatasync(l->io.arg, l->sum_fd);
    }
    close_files(l);
    l->broken = false;
    return 0;
}

/* Opens both files of the segment that begins at base and makes their names durable. The sidecar is made first: a
 * reader that finds the data file finds both. */
static int open_files(struct seglog *l, uint64_t base, struct err *e) {
    int sum = -1, data = -1, flags = O_RDWR | O_CREAT | O_APPEND;
    int rc = seglog_open_part(l->dir, base, SEGLOG_SUM, flags, &sum, e);
    if (!rc) rc = seglog_open_part(l->dir, base, SEGLOG_DATA, flags, &data, e);
    if (!rc && l->io.fsync_dir(l->io.arg, l->dir) != 0) {
        rc = err_set(e, seglog_code(errno), "log", "%s: making a new segment durable: %s", l->dir, strerror(errno));
    }
    if (rc) {
        if (sum >= 0) close(sum);
        if (data >= 0) close(data);
        return rc == ERR_MISSING ? ERR_IO : rc;
    }
    l->sum_fd = sum;
    l->data_fd = data;
    return 0;
}

static int reserve_segment(struct seglog *l, struct err *e) {
    if (l->segs.n < l->cap) return 0;
    size_t cap = l->segs.n < 16 ? 32 : 2 * l->segs.n;
    struct seglog_segment *p = mem_realloc(l->segs.p, cap * sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, "log", "%s: no memory for the list of segments", l->dir);
    l->segs.p = p;
    l->cap = cap;
    return 0;
}

/* A segment that begins at the durable end. When the one before holds nothing durable its name is the same, and its
 * files are used again from the start. */
static int begin_segment(struct seglog *l, struct err *e) {
    uint64_t base = end_of(l);
    int rc = reserve_segment(l, e);
    if (rc) return rc;
    if (l->broken && close_broken(l) != 0) {
        return err_set(e, seglog_code(errno), "log", "%s: cutting off what an earlier failed append left: %s", l->dir,
                       strerror(errno));
    }
    close_files(l);
    rc = open_files(l, base, e);
    if (rc) return rc;
    struct seglog_segment fresh = {.base = base, .end = base, .has_data = true, .has_sum = true}, *g = last_segment(l);
    if (cut(l, &fresh) != 0) {
        rc = err_set(e, seglog_code(errno), "log", "%s: beginning a segment: %s", l->dir, strerror(errno));
        close_files(l);
        return rc;
    }
    if (!g || g->base != base) l->segs.n++;
    *last_segment(l) = fresh;
    if (l->segs.n == 1) atomic_store(&l->start, base);
    return 0;
}

/* Bytes of data that go into one entry: all, or whole lines up to the bound; 0 when a line is longer. */
static size_t entry_length(struct slice data) {
    if (data.n <= SEGLOG_ENTRY_MAX) return data.n;
    const char *nl = memrchr(data.p, '\n', SEGLOG_ENTRY_MAX);
    return nl ? (size_t)(nl - data.p) + 1 : 0;
}

static int check_data(struct slice data, struct err *e) {
    if (data.p[data.n - 1] != '\n') return err_set(e, ERR_RANGE, "log", "data must end with a line feed");
    while (data.n > 0) {
        size_t n = entry_length(data);
        if (n == 0) return err_set(e, ERR_RANGE, "log", "a line is longer than %u bytes", SEGLOG_ENTRY_MAX);
        data = slice_of(data.p + n, data.n - n);
    }
    return 0;
}

static int append_entry(struct seglog *l, uint64_t offset, struct slice data) {
    unsigned char raw[SEGLOG_ENTRY];
    struct seglog_entry x = {offset, (uint32_t)data.n, hash_crc32(0, data.p, data.n)};
    if (write_data(l, l->data_fd, data.p, data.n) != 0) return -1;
    seglog_entry_put(&x, raw);
    return write_entry(l, l->sum_fd, raw);
}

int seglog_append(struct seglog *l, struct slice data, struct err *e) {
    if (data.n == 0) return 0;
    int rc = check_data(data, e);
    struct seglog_segment *g = last_segment(l);
    if (!rc && (l->data_fd < 0 || l->broken || g->end - g->base >= l->segment_bytes)) rc = begin_segment(l, e);
    if (rc) return rc;
    g = last_segment(l);
    uint64_t end = g->end, sums = 0;
    while (data.n > 0) {
        size_t n = entry_length(data);
        if (append_entry(l, end, slice_of(data.p, n)) != 0) {
            int why = errno;
            l->broken = true;
            (void)close_broken(l); /* else tried again before the next append */
            return err_set(e, seglog_code(why), "log", "%s: appending at offset %llu: %s", l->dir,
                           (unsigned long long)end, strerror(why));
        }
        end += n;
        sums += SEGLOG_ENTRY;
        data = slice_of(data.p + n, data.n - n);
    }
    atomic_fetch_add(&l->bytes, end - g->end + sums);
    g->sum_bytes += sums;
    g->end = end;
    atomic_store_explicit(&l->durable, end, memory_order_release);
    return 0;
}

/* Its name is made durable even if it exists: the process that made it may have died before it did. */
static int make_dir(struct seglog *l, struct err *e) {
    char parent[SEGLOG_PATH];
    bool made = mkdir(l->dir, 0750) == 0;
    if (!made && errno != EEXIST) return err_set(e, ERR_IO, "log", "%s: %s", l->dir, strerror(errno));
    size_t n = strlen(l->dir);
    while (n > 1 && l->dir[n - 1] == '/') n--;
    while (n > 0 && l->dir[n - 1] != '/') n--;
    int k = n ? snprintf(parent, sizeof parent, "%.*s", (int)n, l->dir) : snprintf(parent, sizeof parent, ".");
    if (k < (int)sizeof parent && (l->io.fsync_dir(l->io.arg, parent) == 0 || !made)) return 0;
    return err_set(e, ERR_IO, "log", "%s: making the directory durable: %s", l->dir, strerror(errno));
}

/* Cuts closed segment g where the following one begins: what stands behind is an append that failed. */
static int cut_closed(struct seglog *l, struct seglog_segment *g, struct err *e) {
    int rc = seglog_open_part(l->dir, g->base, SEGLOG_SUM, O_RDWR, &l->sum_fd, e);
    if (!rc) rc = seglog_open_part(l->dir, g->base, SEGLOG_DATA, O_RDWR, &l->data_fd, e);
    if (!rc && cut(l, g) != 0) rc = seglog_fail(e, l->dir, g->base, SEGLOG_DATA, "cutting off an unfinished append");
    close_files(l);
    return rc;
}

/* The last segment goes on being written. What an earlier process wrote but did not make durable is made so now, before
 * anybody learns from it. */
static int open_last(struct seglog *l, struct seglog_segment *g, struct err *e) {
    int rc = open_files(l, g->base, e);
    if (rc) return rc;
    if (g->data_size > g->end - g->base || g->sum_size > g->sum_bytes) rc = cut(l, g);
    if (!rc) rc = l->io.fdatasync(l->io.arg, l->data_fd);
    if (!rc) rc = l->io.fdatasync(l->io.arg, l->sum_fd);
    return rc ? seglog_fail(e, l->dir, g->base, SEGLOG_DATA, "making the end of the log durable") : 0;
}

static int recover(struct seglog *l, uint64_t *cut_bytes, struct err *e) {
    struct seglog_survey *s = &l->segs;
    uint64_t bytes = 0, gone = 0;
    int rc = seglog_survey(l->dir, s, e);
    if (rc) return rc;
    l->cap = s->n;
    for (size_t k = 0; k < s->stale; k++) {
        char path[SEGLOG_PATH];
        if (seglog_path(l->dir, s->p[k].base, SEGLOG_SUM, path, NULL) == 0) (void)unlink(path);
    }
    if (s->stale) memmove(s->p, s->p + s->stale, (s->n - s->stale) * sizeof *s->p);
    s->n -= s->stale;
    s->stale = 0;
    for (size_t k = 0; k < s->n; k++) {
        struct seglog_segment *g = &s->p[k];
        uint64_t size = g->end - g->base, over = g->data_size - size + (g->sum_size - g->sum_bytes);
        bytes += size + g->sum_bytes;
        gone += over;
        if (k + 1 == s->n)
            rc = open_last(l, g, e);
        else if (over)
            rc = cut_closed(l, g, e);
        if (rc) return rc;
    }
    atomic_store(&l->start, s->n ? s->p[0].base : 0);
    atomic_store(&l->durable, s->n ? s->p[s->n - 1].end : 0);
    atomic_store(&l->bytes, bytes);
    *cut_bytes = gone;
    return 0;
}

int seglog_open(const struct seglog_options *o, struct seglog **out, uint64_t *cut_bytes, struct err *e) {
    struct seglog *l = mem_zalloc(sizeof *l);
    size_t n = strlen(o->dir) + 1;
    if (!l) return err_set(e, ERR_NOMEM, "log", "no memory to open %s", o->dir);
    l->data_fd = l->sum_fd = -1;
    l->segment_bytes = o->segment_bytes;
    l->io = o->io ? *o->io : system_io;
    l->dir = mem_alloc(n);
    if (l->dir) memcpy(l->dir, o->dir, n);
    int rc = l->dir ? make_dir(l, e) : err_set(e, ERR_NOMEM, "log", "no memory to open %s", o->dir);
    if (!rc) rc = recover(l, cut_bytes, e);
    if (rc) {
        seglog_close(l);
        return rc;
    }
    *out = l;
    return 0;
}

void seglog_close(struct seglog *l) {
    if (!l) return;
    close_files(l);
    seglog_survey_free(&l->segs);
    mem_free(l->dir);
    mem_free(l);
}

uint64_t seglog_start(const struct seglog *l) { return atomic_load(&l->start); }
uint64_t seglog_durable(const struct seglog *l) { return atomic_load_explicit(&l->durable, memory_order_acquire); }
uint64_t seglog_bytes(const struct seglog *l) { return atomic_load(&l->bytes); }

/* Data first, then its sidecar: a crash between leaves a sidecar without data, which the next open removes. */
int seglog_retain(struct seglog *l, uint64_t keep_bytes, uint64_t limit, struct err *e) {
    struct seglog_survey *s = &l->segs;
    char data[SEGLOG_PATH], sum[SEGLOG_PATH];
    while (s->n > 1 && seglog_bytes(l) > keep_bytes && s->p[0].end <= limit) {
        const struct seglog_segment g = s->p[0];
        int rc = seglog_path(l->dir, g.base, SEGLOG_DATA, data, e);
        if (!rc) rc = seglog_path(l->dir, g.base, SEGLOG_SUM, sum, e);
        if (!rc && unlink(data) != 0 && errno != ENOENT) {
            rc = err_set(e, ERR_IO, "log", "deleting %s: %s", data, strerror(errno));
        }
        if (rc) return rc;
        s->n--;
        memmove(s->p, s->p + 1, s->n * sizeof *s->p);
        atomic_store(&l->start, s->p[0].base);
        atomic_fetch_sub(&l->bytes, g.end - g.base + g.sum_bytes);
        if (l->io.fsync_dir(l->io.arg, l->dir) != 0) {
            return err_set(e, ERR_IO, "log", "%s: making a deletion durable: %s", l->dir, strerror(errno));
        }
        if (unlink(sum) != 0 && errno != ENOENT) {
            return err_set(e, ERR_IO, "log", "deleting %s: %s", sum, strerror(errno));
        }
    }
    return 0;
}
