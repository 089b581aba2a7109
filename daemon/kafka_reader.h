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

/* Topic of kafka.brokers with the options of kafka.rdkafka.*, all partitions from their oldest record, read_committed.
 */
int kafka_reader_open(const struct config *c, const char *topic, struct kafka_reader **out,
                      struct err *e) ERR_MUST_CHECK;
uint32_t kafka_reader_partitions(const struct kafka_reader *r);
/* 1 and the first record of the partition at or behind offset from; 0 when the partition ends before it (its end at the
 * time of opening). ERR_MISSING when retention has removed records between from and the oldest one kept. */
int kafka_reader_next(struct kafka_reader *r, uint32_t partition, uint64_t from, struct kafka_record *out,
                      struct err *e) ERR_MUST_CHECK;
void kafka_reader_close(struct kafka_reader *r);

#endif
