/* Which files a followed log consists of: fingerprints of their first bytes, and their order in time. */
#ifndef RANKD_DAEMON_ROTATION_H
#define RANKD_DAEMON_ROTATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"

#define ROTATION_PRINT_BYTES 1024u
#define ROTATION_PRINT_TEXT  64

struct rotation_print { /* of the first n bytes of a file: one that grew still matches */
    uint32_t n;         /* 0 matches every file */
    struct hash128 hash;
};

/* Of the first 1024 bytes, or of all there are. ERR_IO. */
int rotation_print(int fd, struct rotation_print *out, struct err *e) ERR_MUST_CHECK;
bool rotation_matches(int fd, const struct rotation_print *p); /* false when it cannot be read, too */

/* "base:length:hash", at most 59 bytes; base is the offset in the log where the file begins. */
void rotation_write(uint64_t base, const struct rotation_print *p, char out[ROTATION_PRINT_TEXT]);
bool rotation_parse(const char *text, uint64_t *base, struct rotation_print *p);

struct rotation_file {
    char path[4096];
    struct stat st;
    bool packed; /* .gz and the like: cannot be read */
};

/* path and the regular files beside it, oldest change first, path itself last; of the others those alone whose names
 * are path's with '.' or '-' and a digit, or ".old", behind it, or all of them. A packed file counts only while there
 * is none of its name without the suffix. *out is freed with mem_free. ERR_IO, ERR_NOMEM, ERR_RANGE. */
int rotation_list(const char *path, bool all, struct rotation_file **out, size_t *n, struct err *e) ERR_MUST_CHECK;
bool rotation_newer(const struct stat *a, const struct stat *b); /* a was changed after b */

#endif
