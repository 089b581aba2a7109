/* Which files a followed log consists of. */
#include "daemon/rotation.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"

static ssize_t read_front(int fd, char *p, size_t n) {
    size_t have = 0;
    while (have < n) {
        ssize_t got = pread(fd, p + have, n - have, (off_t)have);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

int rotation_print(int fd, struct rotation_print *out, struct err *e) {
    char front[ROTATION_PRINT_BYTES];
    ssize_t n = read_front(fd, front, sizeof front);
    if (n < 0) return err_set(e, ERR_IO, "", "reading the first bytes: %s", strerror(errno));
    *out = (struct rotation_print){.n = (uint32_t)n, .hash = hash128(front, (size_t)n)};
    return 0;
}

bool rotation_matches(int fd, const struct rotation_print *p) {
    char front[ROTATION_PRINT_BYTES];
    if (read_front(fd, front, p->n) != (ssize_t)p->n) return false;
    struct hash128 h = hash128(front, p->n);
    return h.lo == p->hash.lo && h.hi == p->hash.hi;
}

void rotation_write(uint64_t base, const struct rotation_print *p, char out[ROTATION_PRINT_TEXT]) {
    snprintf(out, ROTATION_PRINT_TEXT, "%" PRIu64 ":%" PRIu32 ":%016" PRIx64 "%016" PRIx64, base, p->n, p->hash.hi,
             p->hash.lo);
}

bool rotation_parse(const char *text, uint64_t *base, struct rotation_print *p) {
    uint64_t b;
    struct rotation_print r;
    int end = 0;
    if (sscanf(text, "%" SCNu64 ":%" SCNu32 ":%16" SCNx64 "%16" SCNx64 "%n", &b, &r.n, &r.hash.hi, &r.hash.lo, &end) !=
            4 ||
        text[end] != '\0' || r.n > ROTATION_PRINT_BYTES)
        return false;
    *base = b;
    *p = r;
    return true;
}

bool rotation_newer(const struct stat *a, const struct stat *b) {
    if (a->st_mtim.tv_sec != b->st_mtim.tv_sec) return a->st_mtim.tv_sec > b->st_mtim.tv_sec;
    return a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

static int by_age(const void *x, const void *y) {
    const struct rotation_file *a = x, *b = y;
    if (rotation_newer(&a->st, &b->st)) return 1;
    if (rotation_newer(&b->st, &a->st)) return -1;
    return -strcmp(a->path, b->path); /* log.2 is older than log.1 */
}

/* Whether the name ends as a packed file; *stem is the length of the rest. */
static bool is_packed(const char *name, size_t *stem) {
    static const char *const ends[] = {".gz", ".zst", ".bz2", ".xz", ".lz4"};
    size_t n = strlen(name);
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
        size_t m = strlen(ends[k]);
        if (n <= m || strcmp(name + n - m, ends[k]) != 0) continue;
        *stem = n - m;
        return true;
    }
    return false;
}

static void mark_packed(struct rotation_file *f) {
    size_t stem;
    if (!is_packed(f->path, &stem)) return;
    char plain[sizeof f->path];
    struct stat st;
    memcpy(plain, f->path, stem);
    plain[stem] = '\0';
    f->packed = true;
    if (stat(plain, &st) == 0) f->st.st_mode = 0; /* being packed just now: the plain one counts */
}

static int look_at(struct rotation_file **list, size_t *n, size_t *cap, const char *path, struct err *e) {
    if (*n == *cap) {
        size_t more = *cap ? *cap * 2 : 8;
        struct rotation_file *grown = mem_realloc(*list, more * sizeof *grown);
        if (!grown) return err_set(e, ERR_NOMEM, "", "no memory for the files beside %s", path);
        *list = grown;
        *cap = more;
    }
    struct rotation_file *f = &(*list)[*n];
    *f = (struct rotation_file){.packed = false};
    if ((size_t)snprintf(f->path, sizeof f->path, "%s", path) >= sizeof f->path || stat(path, &f->st) != 0) return 0;
    mark_packed(f);
    if (S_ISREG(f->st.st_mode)) ++*n;
    return 0;
}

static bool is_rotated(const char *rest) {
    return ((*rest == '.' || *rest == '-') && isdigit((unsigned char)rest[1])) || strcmp(rest, ".old") == 0;
}

int rotation_list(const char *path, bool all, struct rotation_file **out, size_t *n, struct err *e) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t dir_n = slash ? (size_t)(slash - path) + 1 : 0, name_n = strlen(name), count = 0, cap = 0;
    struct rotation_file *list = NULL;
    struct dirent *entry;
    char dir[4096], full[4096 + 256];
    int rc = 0;
    if (dir_n >= sizeof dir) return err_set(e, ERR_RANGE, "", "the path %.100s... is too long", path);
    snprintf(dir, sizeof dir, "%.*s", dir_n ? (int)dir_n : 1, dir_n ? path : ".");
    DIR *d = opendir(dir);
    if (!d) return err_set(e, ERR_IO, "", "%s: %s", dir, strerror(errno));
    while (rc == 0 && (entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, name) == 0) continue;
        if (!all && (strncmp(entry->d_name, name, name_n) != 0 || !is_rotated(entry->d_name + name_n))) continue;
        snprintf(full, sizeof full, "%.*s%s", (int)dir_n, path, entry->d_name);
        rc = look_at(&list, &count, &cap, full, e);
    }
    closedir(d);
    if (rc == 0 && count) qsort(list, count, sizeof *list, by_age);
    if (rc == 0) rc = look_at(&list, &count, &cap, path, e);
    if (rc < 0) {
        mem_free(list);
        return rc;
    }
    *out = list;
    *n = count;
    return 0;
}
