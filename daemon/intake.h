/* Makes accepted events durable before they are acknowledged: into the own log by group commit, or into Kafka. */
#ifndef RANKD_DAEMON_INTAKE_H
#define RANKD_DAEMON_INTAKE_H

#include <stdatomic.h>
#include <stdint.h>

#include "daemon/config.h"
#include "daemon/mailbox.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

struct seglog;
struct source_log;
struct intake;

struct intake_event {                /* one accepted event of a job */
    uint32_t line_start, line_bytes; /* in job->lines */
    uint32_t key_start, key_bytes;   /* its user, in job->keys: the Kafka key */
};

/* INTAKE_LOG_FULL: log.max_bytes is reached. */
enum intake_result { INTAKE_DURABLE, INTAKE_UNKNOWN, INTAKE_FAILED, INTAKE_DISK_FULL, INTAKE_LOG_FULL };

struct intake_job {          /* owned by the submitter again once done is called */
    struct letter letter;    /* private while submitted */
    struct intake_job *next; /* private */
    struct mailbox *reply_to;
    void (*done)(struct intake_job *job); /* on the thread of reply_to; exactly once after a successful submit */
    void *arg;
    struct buf lines, keys; /* lines: each ends in '\n' */
    struct intake_event *events;
    size_t n_events, cap_events;
    uint64_t deadline_ns; /* steady clock; past it done is called with INTAKE_UNKNOWN */
    enum intake_result result;
    char error[192];
    _Atomic uint32_t refs; /* private */
    size_t left;           /* private */
};

struct intake_stats { /* relaxed atomics */
    _Atomic uint64_t queued_bytes, commits, events, bytes, failures, refused_full, unknown;
    _Atomic uint64_t deleted_bytes; /* of old segments, past log.retain_bytes */
};

/* log non-NULL: the own log (taken over by the intake thread alone; reader is told what became durable).
 * log NULL: Kafka, topic kafka.intake_topic. */
int intake_start(const struct config *c, struct seglog *log, struct source_log *reader, struct intake **out,
                 struct err *e) ERR_MUST_CHECK;
/* ERR_FULL past intake.queue_bytes (answer 429); ERR_DENIED after intake_stop began. Any thread. */
int intake_submit(struct intake *i, struct intake_job *job) ERR_MUST_CHECK;
/* Takes no more and finishes what is queued, then ends the thread. Kafka is waited for limit_ms at most, later jobs get
 * INTAKE_UNKNOWN; the own log's appends are waited for as long as they take (the daemon's stop has a limit of its own).
 */
void intake_stop(struct intake *i, int64_t limit_ms);
void intake_free(struct intake *i);
const struct intake_stats *intake_stats(const struct intake *i);
/* Retention of the own log: nothing at or beyond durable_offset (of the last checkpoint) is deleted. Any thread. */
void intake_checkpointed(struct intake *i, uint64_t durable_offset);
/* SIGHUP: new limits. */
void intake_set_limits(struct intake *i, uint64_t retain_bytes, uint64_t max_bytes);

#endif
