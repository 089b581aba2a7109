/* What a log directory holds: which segments, where each ends, what of it was never acknowledged. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/store/seglog_priv.h"

#define VERIFY_BYTES (4u << 20) /* data checked at the end of the log when it is opened */

void seglog_survey_free(struct seglog_survey *s) {
    mem_free(s->p);
    *s = (struct seglog_survey){0};
}

/* "00000000000000001234.jsonl" and ".sum"; false for anything else. */
static bool parse_name(const char *name, uint64_t *base, enum seglog_part *part) {
    uint64_t v = 0;
    for (int k = 0; k < 20; k++) {
        if (name[k] < '0' || name[k] > '9') return false;
        uint64_t digit = (uint64_t)(name[k] - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *base = v;
    *part = strcmp(name + 20, ".jsonl") == 0 ? SEGLOG_DATA : SEGLOG_SUM;
    return *part == SEGLOG_DATA || strcmp(name + 20, ".sum") == 0;
}

static int by_base(const void *a, const void *b) {
    const struct seglog_segment *x = a, *y = b;
    return x->base < y->base ? -1 : x->base > y->base;
}

/* One record a file, unsorted. */
static int read_names(DIR *d, struct seglog_survey *s) {
    size_t cap = 0;
    struct dirent *f;
    while (errno = 0, (f = readdir(d)) != NULL) {
        uint64_t base;
        enum seglog_part part;
        struct stat st;
        if (!parse_name(f->d_name, &base, &part)) continue;
        if (fstatat(dirfd(d), f->d_name, &st, 0) != 0) {
            if (errno == ENOENT) continue; /* retention was quicker */
            return ERR_IO;
        }
        if (s->n == cap) {
            cap = cap ? cap * 2 : 16;
            struct seglog_segment *p = mem_realloc(s->p, cap * sizeof *p);
            if (!p) return ERR_NOMEM;
            s->p = p;
        }
        s->p[s->n++] = (struct seglog_segment){.base = base,
                                               .end = base,
                                               .has_data = part == SEGLOG_DATA,
                                               .has_sum = part == SEGLOG_SUM,
                                               .data_size = part == SEGLOG_DATA ? (uint64_t)st.st_size : 0,
                                               .sum_size = part == SEGLOG_SUM ? (uint64_t)st.st_size : 0};
    }
    return errno ? ERR_IO : 0;
}

static void join_pairs(struct seglog_survey *s) {
    if (s->n == 0) return;
    qsort(s->p, s->n, sizeof *s->p, by_base);
    size_t n = 0;
    for (size_t k = 1; k < s->n; k++) {
        if (s->p[k].base == s->p[n].base) {
            s->p[n].has_data |= s->p[k].has_data;
            s->p[n].has_sum |= s->p[k].has_sum;
            s->p[n].data_size += s->p[k].data_size;
            s->p[n].sum_size += s->p[k].sum_size;
        } else {
            s->p[++n] = s->p[k];
        }
    }
    s->n = n + 1;
}

/* Reading a directory may miss what is made meanwhile: a half that was not seen is asked for by name. */
static int complete_pairs(const char *dir, struct seglog_survey *s, struct err *e) {
    char path[SEGLOG_PATH];
    struct stat st;
    for (size_t k = 0; k < s->n; k++) {
        struct seglog_segment *g = &s->p[k];
        if (g->has_data && g->has_sum) continue;
        int rc = seglog_path(dir, g->base, g->has_data ? SEGLOG_SUM : SEGLOG_DATA, path, e);
        if (rc) return rc;
        if (stat(path, &st) != 0) continue;
        if (g->has_data)
            g->sum_size = (uint64_t)st.st_size;
        else
            g->data_size = (uint64_t)st.st_size;
        g->has_data = g->has_sum = true;
    }
    return 0;
}

/* Every segment has both files, except: the newest when its creation was cut short (then nothing is in it), and the
 * oldest when their deletion was (data goes first). */
static int check_pairs(const char *dir, struct seglog_survey *s, struct err *e) {
    bool seen = false;
    s->stale = 0;
    for (size_t k = 0; k < s->n; k++) {
        struct seglog_segment *g = &s->p[k];
        bool last = k + 1 == s->n;
        if (!g->has_data && !seen && !last)
            s->stale = k + 1;
        else if (!g->has_data && !(last && g->sum_size == 0))
            return seglog_damage(e, dir, g->base, SEGLOG_DATA, g->base, "the file is missing");
        if (g->has_data && !g->has_sum && !(last && g->data_size == 0))
            return seglog_damage(e, dir, g->base, SEGLOG_SUM, g->base, "the file is missing");
        seen |= g->has_data;
    }
    return 0;
}

int seglog_list(const char *dir, struct seglog_survey *out, struct err *e) {
    struct seglog_survey s = {0};
    int rc = 0;
    for (int tries = 0; tries < 3; tries++) { /* a live writer may delete some while we look */
        DIR *d = opendir(dir);
        if (!d) return err_set(e, errno == ENOENT ? ERR_MISSING : ERR_IO, "log", "%s: %s", dir, strerror(errno));
        rc = read_names(d, &s);
        if (rc) err_set(e, rc, "log", "%s: reading the directory: %s", dir, strerror(errno));
        closedir(d);
        if (rc) break;
        join_pairs(&s);
        rc = complete_pairs(dir, &s, e);
        if (!rc) rc = check_pairs(dir, &s, e);
        if (rc == 0) {
            *out = s;
            return 0;
        }
        seglog_survey_free(&s);
    }
    seglog_survey_free(&s);
    return rc;
}

/* Checks the data of the last entries, newest first. */
static int verify_last(const char *dir, const struct seglog_segment *g, int data_fd, int sum_fd, struct err *e) {
    uint64_t first = g->sum_bytes / SEGLOG_ENTRY, budget = VERIFY_BYTES, pos = g->end;
    struct seglog_walk w;
    struct seglog_entry x;
    int rc = 0;
    char *p = NULL;
    size_t cap = 0;
    while (first > 0 && budget > 0 && rc == 0) {
        unsigned char raw[SEGLOG_ENTRY];
        first--;
        if (seglog_pread(sum_fd, raw, sizeof raw, first * SEGLOG_ENTRY) != (long)sizeof raw) goto unreadable;
        uint32_t length = (uint32_t)raw[8] | (uint32_t)raw[9] << 8 | (uint32_t)raw[10] << 16 | (uint32_t)raw[11] << 24;
        if (length > pos - g->base) break; /* was whole a moment ago: left to the reader */
        pos -= length;
        seglog_walk_begin(&w, sum_fd, first * SEGLOG_ENTRY, pos, g->end);
        if (seglog_walk_next(&w, &x) != SEGLOG_WALK_ENTRY) break;
        if (!p || cap < x.length) {
            char *bigger = mem_realloc(p, x.length);
            if (!bigger) {
                rc = err_set(e, ERR_NOMEM, "log", "no memory to check the end of the log");
                break;
            }
            p = bigger;
            cap = x.length;
        }
        if (seglog_pread(data_fd, p, x.length, pos - g->base) != (long)x.length) goto unreadable;
        if (hash_crc32(0, p, x.length) != x.crc || p[x.length - 1] != '\n')
            rc = seglog_damage(e, dir, g->base, SEGLOG_DATA, pos, "the data does not match its checksum");
        budget -= x.length < budget ? x.length : budget;
    }
    mem_free(p);
    return rc;
unreadable:
    mem_free(p);
    return seglog_fail(e, dir, g->base, SEGLOG_DATA, "reading");
}

/* Finds where segment g ends. limit: the start of the following one, where it must end; or SEGLOG_OPEN_END. */
static int find_end(const char *dir, struct seglog_segment *g, uint64_t limit, int data_fd, int sum_fd, struct err *e) {
    struct seglog_walk w;
    struct seglog_entry x;
    int rc;
    seglog_walk_begin(&w, sum_fd, 0, g->base, limit);
    while ((rc = seglog_walk_next(&w, &x)) == SEGLOG_WALK_ENTRY) {
    }
    if (rc < 0) return seglog_fail(e, dir, g->base, SEGLOG_SUM, "reading");
    if (limit != SEGLOG_OPEN_END && w.pos != limit) {
        return rc == SEGLOG_WALK_BAD
                   ? seglog_damage(e, dir, g->base, SEGLOG_SUM, w.pos, "the entry for this offset is damaged")
                   : seglog_damage(e, dir, g->base, SEGLOG_SUM, w.pos, "the log ends here and goes on later");
    }
    if (rc == SEGLOG_WALK_BAD) {
        int torn = seglog_walk_torn(&w, data_fd, g->base);
        if (torn < 0) return seglog_fail(e, dir, g->base, SEGLOG_DATA, "reading");
        if (!torn) return seglog_damage(e, dir, g->base, SEGLOG_SUM, w.pos, "the entry for this offset is damaged");
    }
    g->end = w.pos;
    g->sum_bytes = w.at;
    return 0;
}

/* A closed segment is known by its last entry; only a failed append before a crash makes the whole walk necessary. */
static bool ends_at(const struct seglog_segment *g, uint64_t limit, int sum_fd) {
    struct seglog_walk w;
    struct seglog_entry x;
    unsigned char raw[SEGLOG_ENTRY];
    if (g->sum_size < SEGLOG_ENTRY || g->sum_size % SEGLOG_ENTRY) return false;
    uint64_t at = g->sum_size - SEGLOG_ENTRY, pos = 0;
    if (seglog_pread(sum_fd, raw, sizeof raw, at) != (long)sizeof raw) return false;
    for (int k = 0; k < 8; k++) pos |= (uint64_t)raw[k] << (8 * k);
    if (pos < g->base) return false;
    seglog_walk_begin(&w, sum_fd, at, pos, limit);
    return seglog_walk_next(&w, &x) == SEGLOG_WALK_ENTRY && w.pos == limit;
}

static int survey_segment(const char *dir, struct seglog_segment *g, uint64_t limit, struct err *e) {
    int data_fd = -1, sum_fd = -1;
    if (!g->has_data || !g->has_sum) return 0; /* empty: see check_pairs */
    int rc = seglog_open_part(dir, g->base, SEGLOG_DATA, O_RDONLY, &data_fd, e);
    if (!rc) rc = seglog_open_part(dir, g->base, SEGLOG_SUM, O_RDONLY, &sum_fd, e);
    if (!rc && limit != SEGLOG_OPEN_END && ends_at(g, limit, sum_fd)) {
        g->end = limit;
        g->sum_bytes = g->sum_size;
    } else if (!rc) {
        rc = find_end(dir, g, limit, data_fd, sum_fd, e);
    }
    if (!rc && g->data_size < g->end - g->base)
        rc = seglog_damage(e, dir, g->base, SEGLOG_DATA, g->base + g->data_size, "the file is cut short here");
    if (!rc && limit == SEGLOG_OPEN_END) rc = verify_last(dir, g, data_fd, sum_fd, e);
    if (data_fd >= 0) close(data_fd);
    if (sum_fd >= 0) close(sum_fd);
    return rc;
}

int seglog_survey(const char *dir, struct seglog_survey *out, struct err *e) {
    struct seglog_survey s = {0};
    int rc = seglog_list(dir, &s, e);
    for (size_t k = s.stale; k < s.n && rc == 0; k++) {
        rc = survey_segment(dir, &s.p[k], k + 1 < s.n ? s.p[k + 1].base : SEGLOG_OPEN_END, e);
    }
    if (rc) {
        seglog_survey_free(&s);
        return rc;
    }
    *out = s;
    return 0;
}

int seglog_range(const char *dir, uint64_t *start, uint64_t *end, struct err *e) {
    struct seglog_survey s = {0};
    int rc = seglog_survey(dir, &s, e);
    if (rc) return rc;
    *start = s.n > s.stale ? s.p[s.stale].base : 0;
    *end = s.n > s.stale ? s.p[s.n - 1].end : 0;
    seglog_survey_free(&s);
    return 0;
}
