/* Puts records of a log file into a topic: for rankctl load. Idempotent, acks=all, bounded queue, keyed by user. */
#ifndef RANKD_DAEMON_KAFKA_LOAD_H
#define RANKD_DAEMON_KAFKA_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct kafka_load;

/* Called inside kafka_load_send and kafka_load_poll, once for each record taken: why is NULL when it is in the topic,
 * else what the client or the broker said. lost: the record is not to blame, it was never delivered or nobody knows. */
typedef void kafka_load_done(void *arg, void *record, const char *why, bool lost);

/* brokers NULL: kafka.brokers of c. c may be NULL; its kafka.rdkafka.* options are used. ERR_AGAIN: no broker answers;
 * ERR_MISSING: no such topic; ERR_RANGE: an option librdkafka refuses; ERR_NOMEM. One thread. */
int kafka_load_open(const struct config *c, const char *brokers, const char *topic, kafka_load_done *done, void *arg,
                    struct kafka_load **out, struct err *e) ERR_MUST_CHECK;
/* Takes a record, copied; waits while the queue is full. An empty key is none. ERR_RANGE: the record is larger than the
 * cluster takes; ERR_IO: the client failed for good. */
int kafka_load_send(struct kafka_load *k, struct slice key, struct slice value, void *record,
                    struct err *e) ERR_MUST_CHECK;
void kafka_load_poll(struct kafka_load *k, int wait_ms);
/* What is still under way is given up without a call. NULL is fine. */
void kafka_load_close(struct kafka_load *k);

#endif
