/* Reads given offsets of given partitions of one topic, in any interleaving: for replays by journal. */
#ifndef RANKD_DAEMON_KAFKA_READER_H
#define RANKD_DAEMON_KAFKA_READER_H

#include <stdint.h>

#include "daemon/config.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct kafka_reader;

struct kafka_record { /* valid until the next call for the same partition */
    uint64_t offset;
    struct slice key, value;
    int64_t record_ms;  /* EVENT_NO_TIME when it has none */
    int64_t arrival_ms; /* when the broker stamped it (LogAppendTime), else EVENT_NO_TIME */
};

/* Topic of kafka.brokers with the options of kafka.rdkafka.*, read_committed. The brokers are waited for 30 s: ERR_IO
 * names them. ERR_MISSING: no such topic. ERR_RANGE: no brokers, or a name or option that is none. One thread. */
int kafka_reader_open(const struct config *c, const char *topic, struct kafka_reader **out,
                      struct err *e) ERR_MUST_CHECK;
uint32_t kafka_reader_partitions(const struct kafka_reader *r);
/* The oldest offset of a partition (below kafka_reader_partitions), at the time of opening. */
uint64_t kafka_reader_first(const struct kafka_reader *r, uint32_t partition);
/* 1 and the first record of the partition at or behind offset from; 0 when the partition ends before it (its end of
 * committed records at the time of opening). Any order of partitions and offsets; in ascending order it is fast.
 * ERR_MISSING: no such partition, or records between from and the oldest one kept were removed. ERR_IO: 30 s without an
 * answer, or refused. ERR_CORRUPT: a checksum of the log does not hold. */
int kafka_reader_next(struct kafka_reader *r, uint32_t partition, uint64_t from, struct kafka_record *out,
                      struct err *e) ERR_MUST_CHECK;
void kafka_reader_close(struct kafka_reader *r);

#endif
