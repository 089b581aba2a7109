/* Sidecar entries: names of files, bytes of an entry, a walk that tells whole from torn from damaged. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/store/seglog_priv.h"

static const char *const suffix[] = {[SEGLOG_DATA] = "jsonl", [SEGLOG_SUM] = "sum"};

int seglog_path(const char *dir, uint64_t base, enum seglog_part part, char out[SEGLOG_PATH], struct err *e) {
    int n = snprintf(out, SEGLOG_PATH, "%s/%020llu.%s", dir, (unsigned long long)base, suffix[part]);
    if (n > 0 && n < SEGLOG_PATH) return 0;
    return err_set(e, ERR_RANGE, "data_dir", "the name %.64s... is too long", dir);
}

int seglog_code(int error) {
    switch (error) {
    case ENOENT:
        return ERR_MISSING;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    default:
        return ERR_IO;
    }
}

int seglog_fail(struct err *e, const char *dir, uint64_t base, enum seglog_part part, const char *doing) {
    return err_set(e, seglog_code(errno), "log", "%s/%020llu.%s: %s: %s", dir, (unsigned long long)base, suffix[part],
                   doing, strerror(errno));
}

int seglog_damage(struct err *e, const char *dir, uint64_t base, enum seglog_part part, uint64_t offset,
                  const char *what) {
    return err_set(e, ERR_CORRUPT, "log", "%s/%020llu.%s: log offset %llu: %s; restore the file from a backup", dir,
                   (unsigned long long)base, suffix[part], (unsigned long long)offset, what);
}

int seglog_open_part(const char *dir, uint64_t base, enum seglog_part part, int flags, int *fd, struct err *e) {
    char path[SEGLOG_PATH];
    int rc = seglog_path(dir, base, part, path, e);
    if (rc) return rc;
    int f;
    do {
        f = open(path, flags | O_CLOEXEC, 0640);
    } while (f < 0 && errno == EINTR);
    if (f < 0) return seglog_fail(e, dir, base, part, "opening");
    *fd = f;
    return 0;
}

long seglog_pread(int fd, void *p, size_t n, uint64_t at) {
    size_t got = 0;
    while (got < n) {
        ssize_t k = pread(fd, (char *)p + got, n - got, (off_t)(at + got));
        if (k == 0) break;
        if (k > 0)
            got += (size_t)k;
        else if (errno != EINTR)
            return -1;
    }
    return (long)got;
}

static void put_le(unsigned char *p, uint64_t v, int n) {
    for (int k = 0; k < n; k++) p[k] = (unsigned char)(v >> (8 * k));
}

static uint64_t get_le(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int k = 0; k < n; k++) v |= (uint64_t)p[k] << (8 * k);
    return v;
}

void seglog_entry_put(const struct seglog_entry *x, unsigned char out[SEGLOG_ENTRY]) {
    put_le(out, x->offset, 8);
    put_le(out + 8, x->length, 4);
    put_le(out + 12, x->crc, 4);
    put_le(out + 16, hash_crc32(0, out, 16), 4);
}

static bool entry_get(const unsigned char *p, struct seglog_entry *x) {
    if (get_le(p + 16, 4) != hash_crc32(0, p, 16)) return false;
    *x = (struct seglog_entry){get_le(p, 8), (uint32_t)get_le(p + 8, 4), (uint32_t)get_le(p + 12, 4)};
    return x->length > 0 && x->length <= SEGLOG_ENTRY_MAX;
}

void seglog_walk_begin(struct seglog_walk *w, int fd, uint64_t at, uint64_t pos, uint64_t limit) {
    w->fd = fd;
    w->at = at;
    w->pos = pos;
    w->limit = limit;
    w->have = w->used = 0;
}

int seglog_walk_next(struct seglog_walk *w, struct seglog_entry *x) {
    if (w->pos >= w->limit) return SEGLOG_WALK_END;
    if (w->have - w->used < SEGLOG_ENTRY) {
        long n = seglog_pread(w->fd, w->raw, sizeof w->raw, w->at);
        if (n < 0) return ERR_IO;
        w->have = (size_t)n;
        w->used = 0;
        if (w->have < SEGLOG_ENTRY) return SEGLOG_WALK_END;
    }
    struct seglog_entry found;
    if (!entry_get(w->raw + w->used, &found) || found.offset != w->pos || found.length > w->limit - w->pos) {
        return SEGLOG_WALK_BAD;
    }
    w->used += SEGLOG_ENTRY;
    w->at += SEGLOG_ENTRY;
    w->pos += found.length;
    *x = found;
    return SEGLOG_WALK_ENTRY;
}

/* The entry that would cover all data behind w->pos: data is durable before its entry is written, and nothing follows
 * until the entry is durable too. */
static int expected_entry(const struct seglog_walk *w, int data_fd, uint64_t base, struct seglog_entry *x) {
    unsigned char part[16384];
    struct stat st;
    if (fstat(data_fd, &st) != 0) return -1;
    uint64_t at = w->pos - base, size = (uint64_t)st.st_size;
    if (size <= at || size - at > SEGLOG_ENTRY_MAX) return 0;
    *x = (struct seglog_entry){w->pos, (uint32_t)(size - at), 0};
    while (at < size) {
        long n = seglog_pread(data_fd, part, sizeof part, at);
        if (n <= 0) return (int)n;
        x->crc = hash_crc32(x->crc, part, (size_t)n);
        at += (uint64_t)n;
    }
    return 1;
}

/* Torn is: the last thing in the sidecar, and of the sectors it touches some were written and some are still zero.
 * Anything else was changed after it had been written. */
int seglog_walk_torn(const struct seglog_walk *w, int data_fd, uint64_t base) {
    static const unsigned char zero[SEGLOG_ENTRY];
    const unsigned char *raw = w->raw + w->used;
    struct stat st;
    if (fstat(w->fd, &st) != 0) return -1;
    if ((uint64_t)st.st_size > w->at + SEGLOG_ENTRY) return 0;
    if (memcmp(raw, zero, SEGLOG_ENTRY) == 0) return 1;
    size_t head = (size_t)(SEGLOG_SECTOR - w->at % SEGLOG_SECTOR);
    if (head >= SEGLOG_ENTRY) return 0;
    struct seglog_entry x;
    unsigned char want[SEGLOG_ENTRY];
    int rc = expected_entry(w, data_fd, base, &x);
    if (rc <= 0) return rc;
    seglog_entry_put(&x, want);
    size_t tail = SEGLOG_ENTRY - head;
    bool front = memcmp(raw, want, head) == 0 && memcmp(raw + head, zero, tail) == 0;
    bool back = memcmp(raw, zero, head) == 0 && memcmp(raw + head, want + head, tail) == 0;
    return front || back;
}
