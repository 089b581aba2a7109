/* A run of consecutive records of one partition on its way from a source to the learner, and the queue between them. */
#ifndef RANKD_DAEMON_BATCH_H
#define RANKD_DAEMON_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "proto/event.h"

#define BATCH_MAX_BYTES (256u * 1024u) /* raw bytes after which a source sends a batch on its way */

struct record {
    uint64_t offset, next;    /* its place, and that of the record after it as far as known */
    int64_t arrival_ms;       /* by a trusted clock (intake, broker's LogAppendTime), else EVENT_NO_TIME */
    uint64_t seen_ns;         /* steady clock when the source had it in hand; for the freshness histogram alone */
    uint32_t crc;             /* CRC-32 of the raw bytes */
    enum event_reason reason; /* EVENT_OK, or why it is bad */
    struct event event;       /* when EVENT_OK */
    struct slice raw;         /* the bytes as they came */
    char *error;              /* when bad: what, for people; in the batch's memory */
};

struct source;

struct batch {
    struct batch *next;
    struct source *source; /* daemon/source.h */
    uint32_t partition;
    struct record *records; /* (n) in order of offset */
    size_t n, cap, max;
    size_t bytes;      /* of memory, for the queue's bound */
    size_t raw_bytes;  /* of the records alone, against BATCH_MAX_BYTES */
    uint64_t first_ns; /* steady clock of the first record */
    struct event_arena *arena;
    struct batch_block *blocks; /* raw bytes; private to batch.c */
};

/* NULL when memory is refused. max: records after which batch_is_full answers true; so it does at BATCH_MAX_BYTES. */
struct batch *batch_new(struct source *source, uint32_t partition, size_t max);
void batch_free(struct batch *b); /* NULL is fine */
bool batch_is_full(const struct batch *b);
/* Copies raw, decodes it under c and appends the record, good or bad. raw.p NULL: a record without a value, bad.
 * ERR_NOMEM: nothing was added and the batch is as before. */
int batch_add(struct batch *b, uint64_t offset, uint64_t next, struct slice raw, int64_t arrival_ms,
              const struct event_context *c, struct err *e) ERR_MUST_CHECK;

/* The queue: any number of sources put, one learner takes. Bounded in bytes for each source apart. */
struct inbox;
struct inbox *inbox_new(uint64_t bytes_per_source);
void inbox_free(struct inbox *q);
/* Waits while the batch would take its source past the bound (one batch of any size always fits alone). False when the
 * inbox is closed: the batch stays the caller's. */
bool inbox_put(struct inbox *q, struct batch *b);
/* Waits until a put of b would not wait, or the inbox is closed: true; false after timeout_ms. */
bool inbox_wait_room(struct inbox *q, const struct batch *b, int64_t timeout_ms);
/* The oldest batch, now the caller's, waiting at most timeout_ms; NULL when there is none, after inbox_wake, or when
 * the inbox is closed and empty. */
struct batch *inbox_take(struct inbox *q, int64_t timeout_ms);
void inbox_wake(struct inbox *q);  /* lets inbox_take return at once */
void inbox_close(struct inbox *q); /* no more puts; what is inside can still be taken */
uint64_t inbox_bytes(struct inbox *q);

#endif
