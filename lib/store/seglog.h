/* The own log: segments of JSON Lines, each with a sidecar of checksummed entries that says what is durable.
 *
 * dir/00000000000000000000.jsonl (named by the log offset of its first byte) and the same with .sum. Positions are byte
 * offsets in the log as a whole. Data is written and fdatasynced, then its entry (offset, length, CRC-32 of the data,
 * CRC-32 of the entry) is written to the sidecar and fdatasynced: then it is durable. What stands behind the last whole
 * entry was never acknowledged and is cut at open; data that does not match its entry is damage. */
#ifndef RANKD_STORE_SEGLOG_H
#define RANKD_STORE_SEGLOG_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct seglog_io { /* the system calls, replaceable by a test that fails them or simulates a power cut */
    long (*write)(void *arg, int fd, const void *p, unsigned long n);
    int (*fdatasync)(void *arg, int fd);
    int (*fsync_dir)(void *arg, const char *dir);
    int (*ftruncate)(void *arg, int fd, long n);
    void *arg;
};

#define SEGLOG_ENTRY_MAX (64u << 20) /* bytes of one entry's data; a longer line is ERR_RANGE */

/* The writing end: one thread. */
struct seglog;
struct seglog_options {
    const char *dir; /* made if absent */
    uint64_t segment_bytes;
    const struct seglog_io *io; /* NULL = the system's */
};
/* *cut_bytes tells what was cut from an unacknowledged tail. ERR_CORRUPT names file and offset. Each segment's end and
 * the data of the last entries are checked; a reader checks the rest. The system's part is copied. */
int seglog_open(const struct seglog_options *o, struct seglog **out, uint64_t *cut_bytes, struct err *e) ERR_MUST_CHECK;
void seglog_close(struct seglog *l);

/* Appends whole lines (data ends in '\n', else ERR_RANGE) and makes them durable, as one entry (data past
 * SEGLOG_ENTRY_MAX as several, cut at line ends). On failure nothing of data will ever be read: the segment ends at its
 * last durable length and the next append begins a new one, once the old sidecar could be cut. (Only a disk that
 * refuses that cut too, then loses power, can bring such an entry back.) ERR_FULL: the disk is full. */
int seglog_append(struct seglog *l, struct slice data, struct err *e) ERR_MUST_CHECK;
uint64_t seglog_start(const struct seglog *l);   /* offset of the oldest byte kept; any thread */
uint64_t seglog_durable(const struct seglog *l); /* offset behind the last durable byte; an acquire load, any thread */
uint64_t seglog_bytes(const struct seglog *l);   /* on disk, sidecars included; any thread */
/* Deletes oldest whole segments while the log is larger than keep_bytes and the segment ends at or before limit. The
 * newest one stays. keep_bytes of 0 is taken literally. */
int seglog_retain(struct seglog *l, uint64_t keep_bytes, uint64_t limit, struct err *e) ERR_MUST_CHECK;

/* The reading end: any thread, several at once, of a directory (also one without a writer). Every line is checked
 * against its entry before it is given out. */
struct seglog_reader;
/* from must be a line's start (the first read answers ERR_RANGE if it is not). ERR_MISSING when retention has removed
 * it: *e says from where the log goes on; also when there is no such directory. ERR_RANGE: from lies behind the end. */
int seglog_reader_open(const char *dir, uint64_t from, struct seglog_reader **out, struct err *e) ERR_MUST_CHECK;
/* 1 and the next line (without '\n', valid until the next call) that lies below until, with its offset and that of the
 * line after it; 0 when there is none yet; ERR_CORRUPT names file and offset, again at each call. until is at most the
 * durable offset of the writer or seglog_range (what is not there below it is ERR_CORRUPT), or UINT64_MAX: as far as
 * whole entries go, for a directory without a writer. */
int seglog_read(struct seglog_reader *r, uint64_t until, struct slice *line, uint64_t *offset, uint64_t *next,
                struct err *e) ERR_MUST_CHECK;
void seglog_reader_close(struct seglog_reader *r);
/* First and last durable offset of a directory, without a writer. */
int seglog_range(const char *dir, uint64_t *start, uint64_t *end, struct err *e) ERR_MUST_CHECK;

#endif
