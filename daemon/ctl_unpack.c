/* The bytes of a file, unpacked: gzip by zlib, zstd by libzstd, known by their first bytes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "daemon/ctl_read.h"
#include "lib/base/mem.h"

#define PACKED_BYTES (256u * 1024u)

struct unpack {
    int fd;
    enum { PLAIN, GZIP, ZSTD } kind;
    uint64_t size, taken; /* taken: read from the file */
    size_t at, n;         /* in buf: used, there */
    bool eof, inside;     /* inside: of a packed member or frame */
    bool some;            /* a member was begun ever */
    z_stream gzip;
    ZSTD_DStream *zstd;
    char buf[PACKED_BYTES];
};

/* Reads more of the file behind what is there. */
static int fill(struct unpack *u, struct err *e) {
    if (u->at == u->n) u->at = u->n = 0;
    while (!u->eof && u->n < sizeof u->buf) {
        ssize_t n = read(u->fd, u->buf + u->n, sizeof u->buf - u->n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set(e, ERR_IO, "", "reading: %s", strerror(errno));
        if (n == 0) u->eof = true;
        u->n += (size_t)n;
        u->taken += (uint64_t)n;
        break;
    }
    return 0;
}

static int look(struct unpack *u, struct err *e) {
    while (!u->eof && u->n < 4) {
        int rc = fill(u, e);
        if (rc < 0) return rc;
    }
    if (u->n >= 2 && memcmp(u->buf, "\x1f\x8b", 2) == 0) {
        u->kind = GZIP;
        if (inflateInit2(&u->gzip, 15 + 16) != Z_OK) return err_set(e, ERR_NOMEM, "", "no memory to unpack");
    } else if (u->n >= 4 && memcmp(u->buf, "\x28\xb5\x2f\xfd", 4) == 0) {
        u->kind = ZSTD;
        u->zstd = ZSTD_createDStream();
        if (!u->zstd) return err_set(e, ERR_NOMEM, "", "no memory to unpack");
    }
    return 0;
}

int unpack_open(const char *path, struct unpack **out, struct err *e) {
    struct stat st;
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
        int why = fd < 0 ? errno : EISDIR;
        if (fd >= 0) close(fd);
        return err_set(e, why == ENOENT ? ERR_MISSING : ERR_IO, "", "%.200s: %s", path, strerror(why));
    }
    struct unpack *u = mem_zalloc(sizeof *u);
    if (!u) {
        close(fd);
        return err_set(e, ERR_NOMEM, "", "no memory");
    }
    u->fd = fd;
    if (S_ISREG(st.st_mode) && st.st_size > 0) u->size = (uint64_t)st.st_size;
    int rc = look(u, e);
    if (rc == 0)
        *out = u;
    else
        unpack_close(u);
    return rc;
}

void unpack_close(struct unpack *u) {
    if (!u) return;
    if (u->kind == GZIP) inflateEnd(&u->gzip);
    if (u->zstd) ZSTD_freeDStream(u->zstd);
    close(u->fd);
    mem_free(u);
}

uint64_t unpack_taken(const struct unpack *u) { return u->taken - (u->n - u->at); }
uint64_t unpack_size(const struct unpack *u) { return u->size; }

/* What one step unpacked, of the bytes at hand; *ended when a member ended. Bytes put into p, or ERR_CORRUPT. */
static int64_t step_gzip(struct unpack *u, char *p, size_t n, bool *ended) {
    u->gzip.next_in = (z_const Bytef *)(u->buf + u->at);
    u->gzip.avail_in = (unsigned)(u->n - u->at);
    u->gzip.next_out = (Bytef *)p;
    u->gzip.avail_out = (unsigned)n;
    int rc = inflate(&u->gzip, Z_NO_FLUSH);
    u->at = u->n - u->gzip.avail_in;
    *ended = rc == Z_STREAM_END;
    if (*ended && inflateReset(&u->gzip) != Z_OK) return ERR_CORRUPT;
    if (rc == Z_MEM_ERROR) return ERR_NOMEM;
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) return ERR_CORRUPT;
    return (int64_t)(n - u->gzip.avail_out);
}

static int64_t step_zstd(struct unpack *u, char *p, size_t n, bool *ended) {
    ZSTD_inBuffer in = {u->buf, u->n, u->at};
    ZSTD_outBuffer out = {p, n, 0};
    size_t rc = ZSTD_decompressStream(u->zstd, &out, &in);
    u->at = in.pos;
    *ended = rc == 0;
    return ZSTD_isError(rc) ? ERR_CORRUPT : (int64_t)out.pos;
}

static int64_t read_plain(struct unpack *u, char *p, size_t n, struct err *e) {
    if (u->at == u->n) {
        int rc = fill(u, e);
        if (rc < 0) return rc;
    }
    if (n > u->n - u->at) n = u->n - u->at;
    memcpy(p, u->buf + u->at, n);
    u->at += n;
    return (int64_t)n;
}

int64_t unpack_read(struct unpack *u, char *p, size_t n, struct err *e) {
    if (n > 1u << 30) n = 1u << 30;
    if (u->kind == PLAIN) return read_plain(u, p, n, e);
    for (;;) {
        if (u->at == u->n) {
            int rc = fill(u, e);
            if (rc < 0) return rc;
        }
        bool dry = u->at == u->n; /* the end of the file; what was taken in may still give something */
        if (dry && !u->inside) return 0;
        bool ended = false;
        int64_t got = u->kind == GZIP ? step_gzip(u, p, n, &ended) : step_zstd(u, p, n, &ended);
        if (got == ERR_NOMEM) return err_set(e, ERR_NOMEM, "", "no memory to unpack");
        if (got < 0 && u->some && !u->inside) { /* padding behind the last member */
            u->eof = true;
            u->at = u->n;
            return 0;
        }
        if (got < 0)
            return err_set(e, ERR_CORRUPT, "", "the packed file is damaged near byte %llu",
                           (unsigned long long)unpack_taken(u));
        u->inside = !ended;
        u->some |= ended;
        if (got > 0) return got;
        if (dry && !ended) return err_set(e, ERR_CORRUPT, "", "the packed file ends too soon");
    }
}
