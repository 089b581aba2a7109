/* The records of a log to be loaded: lines or CSV records of a file, plain or packed. */
#ifndef RANKD_DAEMON_CTL_READ_H
#define RANKD_DAEMON_CTL_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

/* --- bytes: ctl_unpack.c --- */

struct unpack; /* one file, unpacked by what its first bytes say: gzip, zstd or plain */

/* "-" is standard input. ERR_MISSING, ERR_IO, ERR_NOMEM. */
int unpack_open(const char *path, struct unpack **out, struct err *e) ERR_MUST_CHECK;
/* Bytes, 0 at the end. ERR_IO, ERR_CORRUPT (a packed file that is damaged or ends too soon), ERR_NOMEM. */
int64_t unpack_read(struct unpack *u, char *p, size_t n, struct err *e) ERR_MUST_CHECK;
uint64_t unpack_taken(const struct unpack *u); /* bytes of the file itself used so far */
uint64_t unpack_size(const struct unpack *u);  /* of the file itself; 0 when unknown (pipes) */
void unpack_close(struct unpack *u);           /* NULL is fine */

/* --- records: ctl_read.c --- */

enum read_form { READ_LINES, READ_CSV };
enum read_verdict { READ_OK, READ_TOO_LONG, READ_OPEN_QUOTE };

struct reader;

/* Records past longest bytes are cut and say so. u is borrowed. ERR_NOMEM. */
int reader_new(struct unpack *u, enum read_form form, size_t longest, struct reader **out,
               struct err *e) ERR_MUST_CHECK;
void reader_free(struct reader *r); /* NULL is fine */

struct read_record {
    struct slice text;         /* without its line break ("\n" or "\r\n"); valid until the next call */
    uint64_t line, line_after; /* of its beginning, from 1, and of the record behind it */
    uint64_t offset, next;     /* in the unpacked bytes */
    enum read_verdict verdict; /* READ_OPEN_QUOTE: a CSV record whose quote never closes: its first line alone */
};
/* 1 a record, 0 at the end. A byte order mark in front of the first is passed over. In CSV a record goes on over line
 * breaks inside quotes (RFC 4180). Errors as unpack_read. */
int reader_next(struct reader *r, struct read_record *out, struct err *e) ERR_MUST_CHECK;

/* Before the first record: up to 64 KiB of what is there, unpacked, without taking it. The form can still be changed.
 */
int reader_peek(struct reader *r, struct slice *out, struct err *e) ERR_MUST_CHECK;
void reader_set_form(struct reader *r, enum read_form form);
/* Goes on at an offset behind the place reached, where line begins. ERR_RANGE when the file ends before it. */
int reader_skip(struct reader *r, uint64_t offset, uint64_t line, struct err *e) ERR_MUST_CHECK;

#endif
