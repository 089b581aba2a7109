/* Lines of a file that still grows, with their offsets, in bounded memory. */
#ifndef RANKD_DAEMON_LINES_H
#define RANKD_DAEMON_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct lines {      /* one thread */
    int fd;         /* borrowed */
    uint64_t start; /* offset of the line at head: the next one not yet given */
    /* private */
    size_t longest, cap, head, have, scanned;
    uint64_t read_at, dropped;
    char *buf;
};

/* Of a line longer than longest only the first longest + 1 bytes are given, so that it shows. ERR_NOMEM. */
int lines_init(struct lines *l, size_t longest, struct err *e) ERR_MUST_CHECK;
void lines_free(struct lines *l); /* a zeroed one is fine */
/* Goes on with fd at an offset where a line begins. */
void lines_at(struct lines *l, int fd, uint64_t offset);
/* 1: the next line without its line break, valid until the next call; l->start was moved behind it. 0: the file ends
 * here, or within a line; a later call goes on. With final true what stands before the end counts as a line. ERR_IO. */
int lines_next(struct lines *l, bool final, struct slice *line, uint64_t *offset, struct err *e) ERR_MUST_CHECK;

#endif
