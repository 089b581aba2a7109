/* What both ends of the log share: names, sidecar entries, and what a directory holds. */
#ifndef RANKD_STORE_SEGLOG_PRIV_H
#define RANKD_STORE_SEGLOG_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/store/seglog.h"

#define SEGLOG_ENTRY    20u /* bytes of a sidecar entry: offset u64, length u32, CRC of data u32, CRC of these u32 */
#define SEGLOG_SECTOR   512 /* what a disk writes as a whole */
#define SEGLOG_OPEN_END UINT64_MAX

enum seglog_part { SEGLOG_DATA, SEGLOG_SUM };
enum { SEGLOG_PATH = 4096 };
int seglog_path(const char *dir, uint64_t base, enum seglog_part part, char out[SEGLOG_PATH],
                struct err *e) ERR_MUST_CHECK;
int seglog_open_part(const char *dir, uint64_t base, enum seglog_part part, int flags, int *fd,
                     struct err *e) ERR_MUST_CHECK; /* ERR_MISSING when it is not there */
/* Bytes read, fewer than n at the end of the file; -1 with errno. */
long seglog_pread(int fd, void *p, size_t n, uint64_t at);
int seglog_code(int error); /* for an errno */
int seglog_fail(struct err *e, const char *dir, uint64_t base, enum seglog_part part, const char *doing);
int seglog_damage(struct err *e, const char *dir, uint64_t base, enum seglog_part part, uint64_t offset,
                  const char *what);

struct seglog_entry {
    uint64_t offset;
    uint32_t length, crc;
};
void seglog_entry_put(const struct seglog_entry *x, unsigned char out[SEGLOG_ENTRY]);

/* Goes through a sidecar from one entry's start. */
struct seglog_walk {
    int fd;
    uint64_t at;    /* of the next entry in the sidecar */
    uint64_t pos;   /* log offset where the next entry must begin */
    uint64_t limit; /* the segment ends here: start of the following one, or SEGLOG_OPEN_END */
    size_t have, used;
    unsigned char raw[256 * SEGLOG_ENTRY];
};
enum { SEGLOG_WALK_END = 0, SEGLOG_WALK_ENTRY = 1, SEGLOG_WALK_BAD = 2 };
void seglog_walk_begin(struct seglog_walk *w, int fd, uint64_t at, uint64_t pos, uint64_t limit);
/* SEGLOG_WALK_ENTRY moves on. END: less than an entry is left, or the limit is reached. BAD: what stands there is no
 * entry that may follow. ERR_IO with errno. */
int seglog_walk_next(struct seglog_walk *w, struct seglog_entry *x);
/* Whether the bad entry under w is what a power cut leaves of one that was being written. 1, 0, or -1 with errno. */
int seglog_walk_torn(const struct seglog_walk *w, int data_fd, uint64_t base);

struct seglog_segment {
    uint64_t base, end;           /* log offsets of its first byte and behind its last durable one */
    uint64_t sum_bytes;           /* of the sidecar, up to its last whole entry */
    uint64_t data_size, sum_size; /* on disk */
    bool has_data, has_sum;
};
/* What a directory holds. list: names and sizes, ends unknown. survey: ends too, contiguity and last entries checked.
 */
struct seglog_survey {
    struct seglog_segment *p; /* by base */
    size_t n;
    size_t stale; /* the first ones: sidecars whose data retention had deleted before a crash */
};
int seglog_list(const char *dir, struct seglog_survey *out, struct err *e) ERR_MUST_CHECK;
int seglog_survey(const char *dir, struct seglog_survey *out, struct err *e) ERR_MUST_CHECK;
void seglog_survey_free(struct seglog_survey *s);

#endif
