/* Lines of a file that still grows: one buffer, read with pread, that never holds more than one line and a chunk. */
#include "daemon/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"

#define CHUNK (64u * 1024u)

int lines_init(struct lines *l, size_t longest, struct err *e) {
    char *buf = mem_alloc(longest + 1 + CHUNK);
    if (!buf) return err_set(e, ERR_NOMEM, "", "no memory for lines of %zu bytes", longest);
    *l = (struct lines){.fd = -1, .longest = longest, .cap = longest + 1 + CHUNK, .buf = buf};
    return 0;
}

void lines_free(struct lines *l) {
    mem_free(l->buf);
    *l = (struct lines){.fd = -1};
}

void lines_at(struct lines *l, int fd, uint64_t offset) {
    l->fd = fd;
    l->start = l->read_at = offset;
    l->head = l->have = l->scanned = 0;
    l->dropped = 0;
}

/* Reads a chunk behind what is there. Bytes read, 0 at the end. */
static int refill(struct lines *l, struct err *e) {
    if (l->head) {
        memmove(l->buf, l->buf + l->head, l->have - l->head);
        l->have -= l->head;
        l->scanned -= l->head;
        l->head = 0;
    }
    if (l->have > l->longest + 1) { /* no line break up to scanned = have: the rest of a long line is not kept */
        l->dropped += l->have - (l->longest + 1);
        l->have = l->scanned = l->longest + 1;
    }
    ssize_t n;
    do n = pread(l->fd, l->buf + l->have, l->cap - l->have, (off_t)l->read_at);
    while (n < 0 && errno == EINTR);
    if (n < 0) return err_set(e, ERR_IO, "", "reading at %llu: %s", (unsigned long long)l->read_at, strerror(errno));
    l->have += (size_t)n;
    l->read_at += (uint64_t)n;
    return n > 0;
}

static void give(struct lines *l, size_t n, size_t with_break, struct slice *line, uint64_t *offset) {
    size_t shown = n > l->longest ? l->longest + 1 : n;
    *line = slice_of(l->buf + l->head, shown);
    *offset = l->start;
    l->start += n + l->dropped + with_break;
    l->head += n + with_break;
    l->scanned = l->head;
    l->dropped = 0;
}

int lines_next(struct lines *l, bool final, struct slice *line, uint64_t *offset, struct err *e) {
    for (;;) {
        const char *end = l->have > l->scanned ? memchr(l->buf + l->scanned, '\n', l->have - l->scanned) : NULL;
        if (end) {
            give(l, (size_t)(end - l->buf) - l->head, 1, line, offset);
            return 1;
        }
        l->scanned = l->have;
        int rc = refill(l, e);
        if (rc < 0) return rc;
        if (rc > 0) continue;
        if (!final || l->have == l->head) return 0;
        give(l, l->have - l->head, 0, line, offset);
        return 1;
    }
}
