/* Power cuts of the log, simulated: what was not synced is lost, torn or reordered; every acknowledged line must be
 * there, whole and in order, and nothing else but what was being appended. A disk that lies must be caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "lib/base/draw.h"
#include "lib/store/seglog.h"
#include "tests/unit/store_tmp.h"

enum { FILES = 64, OPS = 4096, FILE_MAX = 8192, TEXT_MAX = 1 << 15, SECTOR = 512 };

struct image { /* the contents of one file */
    size_t n;
    char p[FILE_MAX];
};

struct op { /* a write or a cut that is not synced yet */
    int file;
    bool is_cut;
    size_t at, n;
    char p[512];
};

struct disk {
    char dir[256];
    uint64_t key, draws; /* randomness */
    bool lies;           /* fdatasync says yes and does nothing */
    int calls_left;      /* until the power goes */
    int fail_one_in;     /* a call fails with that chance; 0 = never */
    int faults;          /* calls that failed so */
    int n_files, n_ops;
    struct {
        char name[64];
        ino_t ino;
        bool named; /* its name is durable */
        struct image synced;
    } files[FILES];
    struct op ops[OPS];
};

static uint64_t draw(struct disk *d) { return draw_bits(d->key, d->draws++); }
static bool chance(struct disk *d, unsigned one_in) { return draw_below(draw(d), one_in) == 0; }

/* Finds files that are new in the directory; with names = true their names are durable from now on. */
static void look(struct disk *d, bool names) {
    struct dirent **list = NULL;
    int n = scandir(d->dir, &list, NULL, alphasort); /* sorted, so that a seed means the same everywhere */
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char path[512];
        struct stat st;
        if (list[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", d->dir, list[i]->d_name);
            assert_int_equal(stat(path, &st), 0);
            int k = 0;
            while (k < d->n_files && d->files[k].ino != st.st_ino) k++;
            if (k == d->n_files) {
                assert_true(d->n_files < FILES);
                d->n_files++;
                memset(&d->files[k], 0, sizeof d->files[k]);
                snprintf(d->files[k].name, sizeof d->files[k].name, "%.60s", list[i]->d_name);
                d->files[k].ino = st.st_ino;
            }
            if (names) d->files[k].named = true;
        }
        free(list[i]);
    }
    free(list);
}

static int file_of(struct disk *d, int fd, size_t *size) {
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    *size = (size_t)st.st_size;
    for (int tries = 0; tries < 2; tries++) {
        for (int k = 0; k < d->n_files; k++) {
            if (d->files[k].ino == st.st_ino) return k;
        }
        look(d, false);
    }
    fail_msg("a file outside the log's directory");
    return -1;
}

static void apply(struct image *i, const struct op *o, size_t from, size_t n) {
    if (o->is_cut) {
        if (o->n > i->n) memset(i->p + i->n, 0, o->n - i->n);
        i->n = o->n;
        return;
    }
    size_t end = o->at + from + n;
    assert_true(end <= FILE_MAX);
    if (end > i->n) {
        memset(i->p + i->n, 0, end - i->n); /* a hole reads as zero */
        i->n = end;
    }
    memcpy(i->p + o->at + from, o->p + from, n);
}

static int power(struct disk *d) {
    if (d->calls_left > 0) d->calls_left--;
    errno = EIO;
    if (d->calls_left == 0) return -1;
    if (!d->fail_one_in || !chance(d, (unsigned)d->fail_one_in)) return 0;
    d->faults++;
    return 1;
}

static struct op *new_op(struct disk *d, int file) {
    assert_true(d->n_ops < OPS);
    struct op *o = &d->ops[d->n_ops++];
    *o = (struct op){.file = file};
    return o;
}

static long disk_write(void *arg, int fd, const void *p, unsigned long n) {
    struct disk *d = arg;
    size_t size;
    int file = file_of(d, fd, &size), bad = power(d);
    if (bad < 0) { /* the power goes during this call: the write may be under way */
        if (chance(d, 2)) return -1;
    } else if (bad > 0) {
        n = draw_below(draw(d), (uint32_t)n + 1); /* a short write or none */
        errno = ENOSPC;
        if (n == 0) return -1;
    }
    struct op *o = new_op(d, file);
    assert_true(n <= sizeof o->p);
    o->at = size;
    o->n = n;
    memcpy(o->p, p, n);
    if (bad < 0) return -1;
    return write(fd, p, n);
}

static int disk_ftruncate(void *arg, int fd, long n) {
    struct disk *d = arg;
    size_t size;
    int file = file_of(d, fd, &size), bad = power(d);
    if (bad > 0 || (bad < 0 && chance(d, 2))) return -1;
    struct op *o = new_op(d, file);
    o->is_cut = true;
    o->n = (size_t)n;
    return bad < 0 ? -1 : ftruncate(fd, n);
}

/* Carries out some of the pending operations of a file, in order, by sectors; all of them when whole. */
static void settle(struct disk *d, int file, struct image *i, bool whole) {
    unsigned keep = 1 + draw_below(draw(d), 4); /* in one of `keep` cases a piece is lost */
    for (int k = 0; k < d->n_ops; k++) {
        const struct op *o = &d->ops[k];
        if (o->file != file) continue;
        if (o->is_cut) {
            if (whole || !chance(d, keep)) apply(i, o, 0, 0);
            continue;
        }
        size_t n = o->n;
        if (!whole && chance(d, 4)) n = draw_below(draw(d), (uint32_t)n + 1); /* the length grew by a part only */
        for (size_t from = 0; from < n;) {
            size_t piece = SECTOR - (o->at + from) % SECTOR;
            if (piece > n - from) piece = n - from;
            if (whole || !chance(d, keep))
                apply(i, o, from, piece);
            else if (chance(d, 2) && o->at + from + piece > i->n) {
                memset(i->p + i->n, 0, o->at + from + piece - i->n); /* the length is there, the bytes are not */
                i->n = o->at + from + piece;
            }
            from += piece;
        }
    }
}

static int disk_fdatasync(void *arg, int fd) {
    struct disk *d = arg;
    size_t size;
    int file = file_of(d, fd, &size), bad = power(d);
    if (bad) return -1;
    if (d->lies) return 0;
    settle(d, file, &d->files[file].synced, true);
    int kept = 0;
    for (int k = 0; k < d->n_ops; k++) {
        if (d->ops[k].file != file) d->ops[kept++] = d->ops[k];
    }
    d->n_ops = kept;
    return 0;
}

static int disk_fsync_dir(void *arg, const char *dir) {
    struct disk *d = arg;
    if (strcmp(dir, d->dir) != 0) return 0; /* the parent: always there */
    if (power(d)) return -1;
    look(d, true);
    return 0;
}

/* The power is gone: the directory becomes what may be found when it is back, and everything of it is durable. */
static void cut_power(struct disk *d) {
    static struct image i;
    look(d, false);
    tmp_clear(d->dir);
    for (int k = 0; k < d->n_files; k++) {
        char path[400];
        if (!d->files[k].named && chance(d, 2)) continue;
        i = d->files[k].synced;
        settle(d, k, &i, false);
        snprintf(path, sizeof path, "%s/%s", d->dir, d->files[k].name);
        tmp_write(path, i.p, i.n);
    }
    d->n_files = d->n_ops = 0;
    look(d, true);
    for (int k = 0; k < d->n_files; k++) {
        char path[400];
        size_t n = 0;
        snprintf(path, sizeof path, "%s/%s", d->dir, d->files[k].name);
        char *p = tmp_read(path, &n);
        assert_non_null(p);
        memcpy(d->files[k].synced.p, p, n);
        d->files[k].synced.n = n;
        free(p);
    }
}

/* What the log should hold. */
struct truth {
    size_t n;      /* acknowledged bytes */
    size_t flying; /* bytes behind them that were being appended when the power went: all of them or none */
    char p[TEXT_MAX];
};

/* The whole log as text; a negative code when it is found damaged. */
static int read_log(const char *dir, uint64_t until, char *text, size_t *n) {
    struct seglog_reader *r = NULL;
    struct slice line;
    uint64_t offset, next;
    int rc = seglog_reader_open(dir, 0, &r, NULL);
    *n = 0;
    if (rc) return rc;
    while ((rc = seglog_read(r, until, &line, &offset, &next, NULL)) == 1) {
        assert_int_equal(offset, *n);
        memcpy(text + *n, line.p, line.n);
        *n += line.n;
        text[(*n)++] = '\n';
    }
    seglog_reader_close(r);
    return rc;
}

/* True when the directory holds the truth; the reader without a writer, the range and the writer must agree. */
static bool holds(const struct disk *d, const struct truth *t) {
    static char text[TEXT_MAX];
    size_t n = 0;
    uint64_t start = 0, end = 0;
    if (read_log(d->dir, UINT64_MAX, text, &n) != 0) return false;
    if (seglog_range(d->dir, &start, &end, NULL) != 0 || start != 0 || end != n) return false;
    if (n != t->n && n != t->n + t->flying) return false;
    return memcmp(text, t->p, n) == 0;
}

/* One life: open, append until the power goes. False on a violation. */
static bool live(struct disk *d, struct truth *t, unsigned *line) {
    struct seglog_io io = {disk_write, disk_fdatasync, disk_fsync_dir, disk_ftruncate, d};
    struct seglog_options o = {d->dir, 300, &io};
    struct seglog *l = NULL;
    uint64_t cut = 0, end = t->n;
    d->calls_left = (int)draw_below(draw(d), 90) + 1;
    int rc = seglog_open(&o, &l, &cut, NULL);
    if (rc == 0) end = seglog_durable(l);
    bool good = rc == 0 || rc == ERR_IO || rc == ERR_FULL;
    if (rc == 0 && end != t->n) good = false;
    while (rc == 0 && d->calls_left > 0) {
        unsigned lines = 1 + draw_below(draw(d), 5);
        size_t n = 0;
        for (unsigned k = 0; k < lines; k++) {
            n += (size_t)sprintf(t->p + t->n + n, "%u:%.*s\n", ++*line, (int)draw_below(draw(d), 60),
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        }
        t->flying = 0;
        if (seglog_append(l, slice_of(t->p + t->n, n), NULL) == 0)
            t->n += n;
        else if (d->calls_left == 0)
            t->flying = n; /* an append that failed before the power went must not be there */
    }
    seglog_close(l);
    return good;
}

/* Some lives with a power cut behind each. */
static bool run_case(struct disk *d, uint64_t seed, bool lies, int fail_one_in) {
    static struct truth t;
    static char text[TEXT_MAX];
    unsigned line = 0;
    bool good = true;
    t.n = t.flying = 0;
    tmp_clear(d->dir);
    d->key = seed * 0x9E3779B97F4A7C15u;
    d->draws = 0;
    d->lies = lies;
    d->fail_one_in = fail_one_in;
    d->n_files = d->n_ops = 0;
    for (int k = 0; k < 4 && good; k++) {
        size_t before = t.n, n = 0;
        t.flying = 0;
        good = live(d, &t, &line);
        cut_power(d);
        good = good && t.n >= before && holds(d, &t);
        if (!good || read_log(d->dir, UINT64_MAX, text, &n) != 0) return false;
        t.n = n; /* what was in flight is settled now */
    }
    return good;
}

static int violations(int cases, bool lies, int fail_one_in) {
    static struct disk d;
    int bad = 0;
    tmp_make(d.dir);
    for (int k = 0; k < cases; k++) {
        uint64_t seed = (uint64_t)k + 1;
        if (run_case(&d, seed, lies, fail_one_in)) continue;
        bad++;
        if (!lies) print_message("violation: seed %llu, fail_one_in %d\n", (unsigned long long)seed, fail_one_in);
    }
    tmp_remove(d.dir);
    return bad;
}

static void test_no_acknowledged_line_is_lost(void **state) {
    (void)state;
    assert_int_equal(violations(300, false, 0), 0);
}

static void test_with_failing_calls_before_the_cut(void **state) {
    (void)state;
    assert_int_equal(violations(300, false, 25), 0);
}

static void test_a_lying_disk_is_caught(void **state) {
    (void)state;
    assert_true(violations(100, true, 0) > 50);
}

int main(void) {
    /* Nothing here reaches a real disk; many small files are quicker in memory. */
    if (access("/dev/shm", W_OK) == 0) (void)setenv("TMPDIR", "/dev/shm", 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_acknowledged_line_is_lost),
        cmocka_unit_test(test_with_failing_calls_before_the_cut),
        cmocka_unit_test(test_a_lying_disk_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
