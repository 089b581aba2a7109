/* Records of a replay by source, partition and offset, from log files or Kafka. */
#ifndef RANKD_DAEMON_REPLAY_FEED_H
#define RANKD_DAEMON_REPLAY_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/replay.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct replay_feed;

struct replay_record { /* valid until the next call */
    uint64_t offset, next;
    struct slice key, value;
    int64_t record_ms, arrival_ms; /* EVENT_NO_TIME when there is none */
};

/* A directory, or a segment with its sidecar: part of an own log and no other file. */
bool replay_feed_is_own(const char *path);
int replay_feed_open(const struct replay_options *o, struct replay_feed **out, struct err *e) ERR_MUST_CHECK;
void replay_feed_close(struct replay_feed *f);
/* 1 and the first record of the source's partition at or behind offset from, 0 at its end. ERR_MISSING names what is
 * not there. */
int replay_feed_next(struct replay_feed *f, const char *source, uint32_t partition, uint64_t from,
                     struct replay_record *out, struct err *e) ERR_MUST_CHECK;
/* The source of a replay without a journal: its name and first offset. ERR_RANGE when there are several partitions. */
int replay_feed_only(struct replay_feed *f, const char **source, uint64_t *first, struct err *e) ERR_MUST_CHECK;

#endif
