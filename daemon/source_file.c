/* A followed file of JSON Lines as a source: offsets count on through rotations, anything else than growth stops it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/lines.h"
#include "daemon/log.h"
#include "daemon/rotation.h"
#include "daemon/source.h"
#include "daemon/sources.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define POLL_MS     100
#define QUIET_POLLS 5 /* a rotated file that did not grow this long is at its end */

struct source_file {
    const struct source_env *env;
    struct source *source;
    const char *path; /* of the configuration */
    pthread_t thread;
    bool started;

    /* the thread's own */
    int fd;        /* of the file being read; -1 before the first */
    uint64_t base; /* offset in the log where it begins */
    uint64_t checked_size;
    struct timespec checked_time; /* of its content when the fingerprint was compared last */
    struct rotation_print print;
    struct lines lines;
    unsigned quiet;
    struct log_limit limit;
};

int source_file_new(const struct source_env *env, const struct config_file *file, struct source *s,
                    struct source_file **out, struct err *e) {
    struct source_file *f = mem_zalloc(sizeof *f);
    if (!f) return err_set(e, ERR_NOMEM, "file", "no memory");
    int rc = lines_init(&f->lines, env->rules->max_event_bytes, e);
    if (rc < 0) {
        mem_free(f);
        return rc;
    }
    f->env = env;
    f->source = s;
    f->path = file->path;
    f->fd = -1;
    s->impl = f;
    atomic_store_explicit(&s->n_partitions, 1, memory_order_relaxed);
    *out = f;
    return 0;
}

void source_file_free(struct source_file *f) {
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    lines_free(&f->lines);
    mem_free(f);
}

static bool stopping(const struct source_file *f) {
    return atomic_load_explicit(f->env->stopping, memory_order_relaxed);
}

static void set_state(struct source_file *f, enum source_state state) {
    atomic_store_explicit(&f->source->state, state, memory_order_relaxed);
}

static int open_file(const char *path, struct stat *st) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))) {
        close(fd);
        errno = EINVAL;
        fd = -1;
    }
    return fd;
}

/* Tells the fingerprint of the open file to whoever stores positions. */
static void mark(struct source_file *f, const struct rotation_print *print) {
    char identity[ROTATION_PRINT_TEXT];
    f->print = *print;
    rotation_write(f->base, print, identity);
    source_set_identity(f->source, 0, identity);
}

/* From now on fd, taken over, is read from an offset in it. */
static int adopt(struct source_file *f, int fd, uint64_t base, uint64_t offset, const char *path, struct err *e) {
    struct rotation_print print;
    int rc = rotation_print(fd, &print, e);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    if (f->fd >= 0) close(f->fd);
    f->fd = fd;
    f->base = base;
    f->quiet = 0;
    f->checked_size = UINT64_MAX;
    lines_at(&f->lines, fd, offset);
    char quoted[1024];
    uint64_t at = base + offset;
    log_line(LOG_INFO, "file_opened", "source=%s path=%s base=%llu offset=%llu", f->source->name,
             log_quote(quoted, sizeof quoted, path, strlen(path)), (unsigned long long)base, (unsigned long long)at);
    atomic_store_explicit(&f->source->sent[0], at, memory_order_relaxed);
    mark(f, &print);
    set_state(f, SOURCE_RUNNING);
    return 0;
}

/* --- the place after a restart --- */

/* Whether the file holds the record applied last where it was; false too when there is a doubt. */
static bool holds_last(struct source_file *f, int fd, uint64_t base, const struct position *at) {
    struct slice line;
    uint64_t offset;
    if (!at->has_last || at->last < base) return true;
    lines_at(&f->lines, fd, at->last - base);
    return lines_next(&f->lines, true, &line, &offset, NULL) == 1 && base + f->lines.start == at->next &&
           hash_crc32(0, line.p, line.n) == at->last_crc;
}

/* The file in which the stored identity says the position is: its index and descriptor. */
static int find_known(struct source_file *f, const struct rotation_file *list, size_t n, const struct position *at,
                      uint64_t base, const struct rotation_print *print, size_t *index) {
    struct stat st;
    for (size_t k = n; k-- > 0;) {
        int fd = list[k].packed ? -1 : open_file(list[k].path, &st);
        if (fd < 0) continue;
        bool here = rotation_matches(fd, print);
        if (here && at->next >= base) here = (uint64_t)st.st_size >= at->next - base && holds_last(f, fd, base, at);
        if (here) {
            *index = k;
            return fd;
        }
        close(fd);
    }
    return -1;
}

/* The identity stored may be that of a newer file than the one the position is in: back through the older ones. */
static int find_older(struct source_file *f, const struct rotation_file *list, size_t newest, const struct position *at,
                      uint64_t *base, size_t *index) {
    struct stat st;
    for (size_t k = newest; k-- > 0 && !list[k].packed;) {
        int fd = open_file(list[k].path, &st);
        if (fd < 0) return -1;
        if ((uint64_t)st.st_size <= *base)
            *base -= (uint64_t)st.st_size;
        else
            st.st_size = -1;
        if (st.st_size >= 0 && *base <= at->next && holds_last(f, fd, *base, at)) {
            *index = k;
            return fd;
        }
        close(fd);
        if (st.st_size < 0 || *base <= at->next) return -1;
    }
    return -1;
}

/* Looks for the position in the rotated files, or in all beside the path. A descriptor or -1; ERR as *rc. */
static int find(struct source_file *f, bool all, const struct position *at, uint64_t *base,
                struct rotation_print *print, char path[4096], int *rc, struct err *e) {
    struct rotation_file *list;
    size_t n, k = 0;
    *rc = rotation_list(f->path, all, &list, &n, e);
    if (*rc < 0) return -1;
    int fd = find_known(f, list, n, at, *base, print, &k);
    if (fd >= 0 && at->next < *base) {
        close(fd);
        fd = find_older(f, list, k, at, base, &k);
    }
    if (fd >= 0) memcpy(path, list[k].path, sizeof list[k].path);
    mem_free(list);
    return fd;
}

/* 1: a file is open; 0: there is none yet; ERR_MISMATCH: the log is another one. */
static int place(struct source_file *f, struct err *e) {
    struct position at;
    struct stat st;
    char path[4096];
    int rc = 0;
    f->env->position(f->env->arg, f->source->name, 0, &at);
    if (!at.known) {
        int fd = open_file(f->path, &st);
        if (fd < 0 && errno != ENOENT)
            return err_set(e, ERR_IO, "path", "%s: %s", f->path, errno == EINVAL ? "not a file" : strerror(errno));
        if (fd >= 0 && st.st_size == 0) {
            close(fd);
            fd = -1;
        }
        if (fd < 0) return 0;
        rc = adopt(f, fd, 0, 0, f->path, e);
        return rc < 0 ? rc : 1;
    }
    for (int all = 0; all < 2; all++) {
        struct rotation_print print = {0};
        uint64_t base = 0;
        if (at.identity[0]) (void)rotation_parse(at.identity, &base, &print);
        int fd = find(f, all, &at, &base, &print, path, &rc, e);
        if (rc < 0) return rc;
        if (fd < 0) continue;
        rc = adopt(f, fd, base, at.next - base, path, e);
        return rc < 0 ? rc : 1;
    }
    if (stat(f->path, &st) != 0) return 0;
    return err_set(e, ERR_MISMATCH, "file",
                   "%.200s is not the file that was read up to offset %llu, and no file beside it is", f->path,
                   (unsigned long long)at.next);
}

/* --- while it grows --- */

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is the open file still what was read? Extends its fingerprint while it is shorter than it could be. */
static int check_content(struct source_file *f, struct stat *st, struct err *e) {
    if (fstat(f->fd, st) != 0) return err_set(e, ERR_IO, "file", "%.200s: %s", f->path, strerror(errno));
    if ((uint64_t)st->st_size < f->lines.read_at)
        return err_set(e, ERR_MISMATCH, "file", "%.200s was cut to %lld bytes, %llu had been read", f->path,
                       (long long)st->st_size, (unsigned long long)f->lines.read_at);
    if ((uint64_t)st->st_size == f->checked_size && st->st_mtim.tv_sec == f->checked_time.tv_sec &&
        st->st_mtim.tv_nsec == f->checked_time.tv_nsec)
        return 0;
    if (!rotation_matches(f->fd, &f->print))
        return err_set(e, ERR_MISMATCH, "file", "%.200s was overwritten: its first %u bytes are others", f->path,
                       f->print.n);
    f->checked_size = (uint64_t)st->st_size;
    f->checked_time = st->st_mtim;
    if (f->print.n == ROTATION_PRINT_BYTES || (uint64_t)st->st_size <= f->print.n) return 0;
    struct rotation_print longer;
    int rc = rotation_print(f->fd, &longer, e);
    if (rc == 0) mark(f, &longer);
    return rc;
}

static struct batch *next_batch(struct source_file *f) {
    for (;;) {
        struct batch *b = batch_new(f->source, 0, (size_t)f->env->config->batch_events);
        if (b || stopping(f)) return b;
        clock_sleep_ms(50); /* memory is short: later */
    }
}

/* Puts lines into the batch until it is full: 1; 0 at the end of the file. */
static int fill(struct source_file *f, struct batch *b, bool final, struct err *e) {
    struct event_context c = source_context(f->source, f->env->rules);
    struct slice line;
    uint64_t offset;
    while (!batch_is_full(b)) {
        int rc = lines_next(&f->lines, final, &line, &offset, e);
        if (rc != 1) return rc;
        uint64_t next = f->base + f->lines.start;
        while ((rc = batch_add(b, f->base + offset, next, line, EVENT_NO_TIME, &c, e)) == ERR_NOMEM && !stopping(f))
            clock_sleep_ms(50);
        if (rc < 0) return rc;
    }
    return 1;
}

/* Sends all lines there are on their way. 1 when there were any. */
static int drain(struct source_file *f, bool final, struct err *e) {
    int any = 0, more = 1;
    while (more == 1 && !stopping(f)) {
        struct batch *b = next_batch(f);
        if (!b) break;
        more = fill(f, b, final, e);
        uint64_t behind = b->n ? b->records[b->n - 1].next : 0;
        if (b->n == 0 || !inbox_put(f->env->inbox, b)) {
            if (b->n) more = 0; /* the inbox is closed */
            batch_free(b);
        } else {
            any = 1;
            atomic_store_explicit(&f->source->sent[0], behind, memory_order_relaxed);
        }
    }
    return more < 0 ? more : any;
}

/* Takes the oldest file that is newer than the open one, which was read to its end. */
static int advance(struct source_file *f, const struct stat *now, struct err *e) {
    struct rotation_file *list;
    size_t n;
    int rc = rotation_list(f->path, false, &list, &n, e);
    if (rc < 0) return rc;
    for (size_t k = 0; k < n && rc == 0; k++) {
        struct rotation_file *next = &list[k];
        bool is_path = strcmp(next->path, f->path) == 0;
        struct stat st;
        if (same_file(&next->st, now) || (!is_path && (!rotation_newer(&next->st, now) || next->st.st_size == 0)))
            continue;
        if (next->packed) {
            rc = err_set(e, ERR_MISMATCH, "file", "%.200s follows the file read last, but is packed", next->path);
            break;
        }
        int fd = open_file(next->path, &st);
        if (fd < 0) break; /* renamed meanwhile: look again */
        if (st.st_size == 0 ||
            (!is_path && rotation_matches(fd, &f->print))) { /* a copy of the open one is no next one */
            close(fd);
            continue;
        }
        rc = adopt(f, fd, f->base + f->lines.start, 0, next->path, e);
        break;
    }
    mem_free(list);
    return rc;
}

/* The path names another file now: the same log copied, or the next one once the open one is at its end. */
static int follow_path(struct source_file *f, const struct stat *now, int any, struct err *e) {
    struct stat st;
    int fd = open_file(f->path, &st);
    if (fd < 0 || same_file(&st, now) || st.st_size == 0) {
        if (fd >= 0) close(fd);
        f->quiet = 0;
        return 0;
    }
    if ((uint64_t)st.st_size >= f->lines.read_at && rotation_matches(fd, &f->print))
        return adopt(f, fd, f->base, f->lines.start, f->path, e);
    close(fd);
    f->quiet = any ? 0 : f->quiet + 1;
    if (f->quiet < QUIET_POLLS) return 0;
    int rc = drain(f, true, e);
    return rc < 0 || stopping(f) ? rc : advance(f, now, e);
}

static int poll_file(struct source_file *f, struct err *e) {
    struct stat st;
    int rc = check_content(f, &st, e);
    if (rc < 0) return rc;
    atomic_store_explicit(&f->source->end[0], f->base + (uint64_t)st.st_size, memory_order_relaxed);
    int any = drain(f, false, e);
    return any < 0 || stopping(f) ? any : follow_path(f, &st, any, e);
}

static void stop(struct source_file *f, const struct err *e) {
    char quoted[2048];
    source_stop(f->source, e->text);
    atomic_fetch_add_explicit(&f->source->breaks, 1, memory_order_relaxed);
    log_line(
        LOG_ERROR, "source_stopped",
        "source=%s error=%s action=\"bring the file back (unpacked, under any name beside the path) and restart, or "
        "give it a new section name to read it from its start\"",
        f->source->name, log_quote(quoted, sizeof quoted, e->text, strlen(e->text)));
}

/* Said once, not at each attempt. */
static void away(struct source_file *f, const char *why) {
    char quoted[2048];
    if (atomic_load_explicit(&f->source->state, memory_order_relaxed) == SOURCE_AWAY) return;
    set_state(f, SOURCE_AWAY);
    log_limited(&f->limit, LOG_WARN, "file_unreadable", "source=%s error=%s", f->source->name,
                log_quote(quoted, sizeof quoted, why, strlen(why)));
}

static void *run(void *arg) {
    struct source_file *f = arg;
    struct err e;
    while (!stopping(f)) {
        int rc = f->fd < 0 ? place(f, &e) : poll_file(f, &e);
        if (rc == ERR_MISMATCH) {
            stop(f, &e);
            break;
        }
        if (rc < 0) {
            away(f, e.text);
        } else if (f->fd < 0) {
            err_set(&e, ERR_MISSING, "path", "%s: no such file yet, or nothing in it", f->path);
            away(f, e.text);
        } else {
            set_state(f, SOURCE_RUNNING);
            if (rc == 1) continue; /* just placed */
        }
        if (!stopping(f)) clock_sleep_ms(POLL_MS);
    }
    return NULL;
}

int source_file_start(struct source_file *f, struct err *e) {
    if (pthread_create(&f->thread, NULL, run, f) != 0)
        return err_set(e, ERR_IO, "file", "the thread of %s cannot be started", f->source->name);
    pthread_setname_np(f->thread, "source-file");
    f->started = true;
    return 0;
}

void source_file_join(struct source_file *f) {
    if (!f || !f->started) return;
    pthread_join(f->thread, NULL);
    f->started = false;
}
