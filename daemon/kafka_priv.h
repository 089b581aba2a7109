/* What the Kafka files share with each other and with nobody else. */
#ifndef RANKD_DAEMON_KAFKA_PRIV_H
#define RANKD_DAEMON_KAFKA_PRIV_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/batch.h"
#include "daemon/config.h"
#include "daemon/log.h"
#include "daemon/source.h"
#include "lib/base/err.h"

#define KAFKA_REFRESH_MS                                                                                               \
    10000 /* new partitions and ends are looked for this often, or as topic.metadata.refresh.interval.ms */
#define KAFKA_RETRY_MS   500   /* between attempts while the broker is away */
#define KAFKA_CALL_MS    1000  /* longest wait for one answer of the broker */
#define KAFKA_REMIND_MS  60000 /* between log lines while the broker stays away */
#define KAFKA_CLOSE_MS   1000  /* longest wait for a client's end */
#define KAFKA_CONFIRM_MS 3000  /* a log that ends before our position must still do so this much later */

/* --- kafka_conf.c: configuration shared by consumer and producer --- */

enum kafka_role { KAFKA_CONSUMER, KAFKA_PRODUCER };

/* What librdkafka's own threads tell; the first member of what is passed as opaque to kafka_client_new. */
struct kafka_watch {
    struct log_limit limit;
    _Atomic bool other_cluster;      /* brokers of another cluster than before were seen */
    _Atomic uint64_t metadata_asked; /* metadata requests sent: each one that is not ours means that a fetch was
                                        refused, a leader changed or a connection was made */
};
/* Makes the client of a role from kafka.* and the pass-through options; logs what is in effect, secrets masked.
 * ERR_RANGE: an option unknown to librdkafka, refused by it, or one that rankd fixes (e->field names it). */
struct kafka_callbacks {
    void (*error)(rd_kafka_t *rk, int code, const char *reason, void *opaque);
    void (*delivered)(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque); /* producer */
};
int kafka_client_new(const struct config *c, enum kafka_role role, const struct kafka_callbacks *callbacks,
                     void *opaque, rd_kafka_t **out, struct err *e) ERR_MUST_CHECK;
/* Ends a client, waiting at most KAFKA_CLOSE_MS: librdkafka 2.0 can wait for ever for a thread of its own once a topic
 * was deleted under it. False when it did not end: its threads, and the opaque they may still use, must then be left
 * alone for the rest of the process. */
bool kafka_client_close(rd_kafka_t *rk) ERR_MUST_CHECK;
/* Checks without making a client. */
int kafka_conf_check(const struct config *c, enum kafka_role role, struct err *e) ERR_MUST_CHECK;
/* The value passed through for a key of librdkafka; NULL when there is none. */
const char *kafka_conf_passed(const struct config *c, const char *key);

/* --- the consumer: everything below belongs to its one thread once started --- */

struct kafka_topic;

struct kafka_partition {
    struct kafka_topic *topic;
    uint32_t partition;
    bool assigned;  /* librdkafka reads it */
    bool unplaced;  /* no position yet: the start rule decides */
    bool due;       /* to be compared with the broker and (re)assigned at the next check */
    bool lost;      /* a break was passed: goes on from the log's first offset */
    bool comparing; /* the first record read decides whether the log is still ours */
    bool has_last;
    uint64_t next; /* offset expected */
    uint64_t last; /* of the last record staged or applied */
    uint32_t last_crc;
    uint64_t eof;      /* where the log's end was last reached; UINT64_MAX = not */
    uint64_t doubt_ns; /* since when the log seems to end before next; 0 = it does not */
    struct batch *staged;
    struct kafka_partition *older, *newer; /* staged ones in order of their first record */
};

struct kafka_topic {
    char name[250];
    struct source *source;
    struct source_kafka *kafka;
    rd_kafka_topic_t *handle; /* its opaque is this topic; NULL while it does not exist */
    bool seen;                /* some partition had a position, or was started by us */
    bool waited;              /* it did not exist when we looked first */
    bool forgotten;           /* the stored positions are of a log that is gone */
    uint64_t doubt_ns;        /* since when it seems to be gone or smaller; 0 = it does not */
    uint32_t n;
    struct kafka_partition *parts[SOURCE_MAX_PARTITIONS]; /* (n) */
};

enum kafka_start { KAFKA_EARLIEST, KAFKA_LATEST, KAFKA_TIME };

struct source_kafka {
    struct kafka_watch watch; /* first: see kafka_client_new */
    const struct source_env *env;
    enum kafka_start start;
    int64_t start_ms;
    bool stop_on_gap;
    uint64_t refresh_ns;
    size_t max_records;
    uint64_t max_age_ns;
    pthread_t thread;
    bool thread_runs;
    bool abandoned; /* a client that did not end may still use this struct */

    rd_kafka_t *rk;
    char cluster[64];
    bool away; /* the last attempt to reach the cluster failed */
    bool ever_up;
    bool suspect; /* a connection was lost or a partition refused: compare everything again */
    bool stopped;
    bool reopen; /* the cluster is another one: make a new client */
    uint64_t next_check_ns, last_check_ns;
    uint64_t metadata_known;                 /* of watch.metadata_asked: those accounted for */
    struct kafka_partition *oldest, *newest; /* staged */
    uint64_t remind_ns;                      /* when the next line about the absence is due */
    struct log_limit limit_other, limit_memory;
    size_t n_topics;
    struct kafka_topic *topics; /* (n_topics) */
};

static inline struct kafka_partition *kafka_part(struct kafka_topic *t, int32_t partition) {
    return partition >= 0 && (uint32_t)partition < t->n ? t->parts[partition] : NULL;
}

/* kafka_source.c */
/* Takes note that the log ends at high: control records at its end count as nothing. */
void kafka_end(struct kafka_partition *p, uint64_t high);
/* Sends what is staged of a partition on its way. False when the inbox is closed. */
bool kafka_flush(struct source_kafka *k, struct kafka_partition *p);

/* kafka_topics.c: talks to the broker: finds partitions, places positions, assigns. Sets k->next_check_ns. */
void kafka_check(struct source_kafka *k);
/* Takes note of where the logs end, and of nothing else: for while the queue is full and nothing can be read. */
void kafka_ends(struct source_kafka *k);
bool kafka_uneasy(const struct source_kafka *k); /* librdkafka asked for metadata by itself since the last check */
void kafka_state(struct source_kafka *k, enum source_state state);
/* Makes the partitions that have a stored position. False when memory is refused. */
bool kafka_topics_load(struct source_kafka *k);
/* Lets go of librdkafka's idea of a topic. */
void kafka_topic_close(struct kafka_topic *t);
/* Frees the partitions of a topic, what is staged in them first sent on its way. */
void kafka_topic_clear(struct source_kafka *k, struct kafka_topic *t);

/* kafka_gap.c: is this still the log we knew? Each answers true when it is; otherwise it has logged the break and
 * either stopped the source or, under on_gap = continue, marked what goes on from the start. */
bool kafka_gap_cluster(struct source_kafka *k, struct kafka_partition *p, const char *stored, const char *found);
bool kafka_gap_ends(struct source_kafka *k, struct kafka_partition *p, uint64_t low, uint64_t high, uint64_t now_ns);
bool kafka_gap_record(struct source_kafka *k, struct kafka_partition *p, uint32_t crc);
bool kafka_gap_topic(struct source_kafka *k, struct kafka_topic *t, uint32_t partitions_found, uint64_t now_ns);

#endif
