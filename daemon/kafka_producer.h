/* Puts the events of intake jobs into Kafka and tells when all of a job are there: idempotent, acks=all. */
#ifndef RANKD_DAEMON_KAFKA_PRODUCER_H
#define RANKD_DAEMON_KAFKA_PRODUCER_H

#include <stdatomic.h>
#include <stdint.h>

#include "daemon/config.h"
#include "daemon/intake.h"
#include "lib/base/err.h"

struct kafka_producer;

struct kafka_producer_stats {      /* relaxed atomics, any thread */
    _Atomic uint64_t queued_bytes; /* handed over and not reported yet, those of jobs past their deadline included */
    _Atomic uint64_t delivered, failed;     /* events */
    _Atomic uint64_t refused_full, unknown; /* jobs */
    _Atomic uint64_t renewed;               /* clients made anew after a fatal error of the idempotent producer */
};

/* Called on the producer's own thread, exactly once for each job that kafka_producer_submit took, with job->result and
 * job->error set: INTAKE_DURABLE when every event was acknowledged; INTAKE_FAILED when none of them is in the topic;
 * INTAKE_UNKNOWN when some are or may be, or at job->deadline_ns. The job is the callee's again; nothing of it is used
 * any more, late reports included. Must not call back into the producer. */
typedef void kafka_producer_finished(void *arg, struct intake_job *job);

/* Topic kafka.intake_topic, bound intake.queue_bytes. Starts the thread; the broker need not be there. *c outlives it.
 */
int kafka_producer_new(const struct config *c, kafka_producer_finished *finished, void *arg,
                       struct kafka_producer **out, struct err *e) ERR_MUST_CHECK;
/* Hands over every event of the job in order, keyed by its user (no key when that is empty), without its line break. 0:
 * the job may already be finished when this returns. Otherwise it stays the caller's: ERR_FULL past the bound (a job
 * that is alone is always taken), ERR_DENIED after kafka_producer_stop began, ERR_NOMEM, ERR_AGAIN while the client is
 * made anew. Never waits for the network. Any thread; events of one user keep their order only if their jobs come one
 * after the other. */
int kafka_producer_submit(struct kafka_producer *p, struct intake_job *job) ERR_MUST_CHECK;
const struct kafka_producer_stats *kafka_producer_stats(const struct kafka_producer *p);
/* Takes no more, waits at most limit_ms for what is under way, finishes the rest with INTAKE_UNKNOWN, ends the thread.
 */
void kafka_producer_stop(struct kafka_producer *p, int64_t limit_ms);
void kafka_producer_free(struct kafka_producer *p); /* after stop; NULL is fine */

#endif
