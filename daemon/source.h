/* Where events come from: a named log of partitions, read by a thread of its own from a stored position. */
#ifndef RANKD_DAEMON_SOURCE_H
#define RANKD_DAEMON_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/batch.h"
#include "daemon/config.h"
#include "lib/base/err.h"
#include "proto/event.h"

#define SOURCE_MAX_PARTITIONS 1024

struct position {      /* how far one partition was applied */
    bool known;        /* false: never read */
    uint64_t next;     /* offset of the first record not applied */
    uint64_t last;     /* offset of the last record applied */
    uint32_t last_crc; /* CRC-32 of its raw bytes; compared after each connection */
    bool has_last;     /* last and last_crc are set */
    char identity[64]; /* of the log: Kafka cluster id, fingerprint of a file; may be empty */
};

enum source_state { SOURCE_STARTING, SOURCE_RUNNING, SOURCE_AWAY, SOURCE_STOPPED };

struct source {     /* one name in the journal; a Kafka thread serves several (one a topic) */
    char name[96];  /* "log", "file:NAME", "kafka:TOPIC" */
    uint64_t hash;  /* of the name: enters the draws */
    uint32_t allow; /* EVENT_ALLOW bits */
    int default_type;
    uint32_t index; /* in the daemon's list */
    void *impl;

    /* relaxed atomics, any thread */
    _Atomic int state; /* enum source_state */
    _Atomic uint32_t n_partitions;
    _Atomic uint32_t n_unread;                   /* partitions past SOURCE_MAX_PARTITIONS */
    _Atomic uint64_t end[SOURCE_MAX_PARTITIONS]; /* offset behind the newest record known to exist */
    _Atomic uint64_t
        sent[SOURCE_MAX_PARTITIONS]; /* offset behind the last record put into the inbox, at start the position */
    _Atomic uint64_t
        applied[SOURCE_MAX_PARTITIONS];             /* while queued: offset behind the last one applied and published */
    _Atomic uint32_t queued[SOURCE_MAX_PARTITIONS]; /* batches put into the inbox, not yet applied and published */
    _Atomic uint64_t gaps;                          /* legal gaps passed (offsets without a record) */
    _Atomic uint64_t duplicates;                    /* records below the position, passed over */
    _Atomic uint64_t reconnects;
    _Atomic uint64_t waits;  /* times that a batch found the queue full; the inbox counts them */
    _Atomic uint64_t breaks; /* losses or changes of the log noticed (on_gap says what follows) */

    uint64_t inbox_bytes; /* in the queue; under the inbox's lock */
    pthread_mutex_t lock; /* of identity; private to source.c */
    char identity[SOURCE_MAX_PARTITIONS][64];
    char stop_reason[256]; /* written before state becomes SOURCE_STOPPED */
};

/* Offset behind the last record that was applied and published. Any thread. */
static inline uint64_t source_position(const struct source *s, uint32_t partition) {
    const bool queued = atomic_load_explicit(&s->queued[partition], memory_order_acquire) > 0;
    return atomic_load_explicit(queued ? &s->applied[partition] : &s->sent[partition], memory_order_relaxed);
}

struct source_env { /* what the daemon gives to every source; outlives them */
    const struct config *config;
    const struct event_rules *rules;
    struct inbox *inbox;
    /* The applied position of a partition as loaded at start; known = false when there is none. Any thread. */
    void (*position)(void *arg, const char *name, uint32_t partition, struct position *out);
    void *arg;
    _Atomic bool *stopping; /* set before the threads are joined */
};

/* The identity of a partition's log, kept with its position: the learner stores what the source says here. Any thread.
 * A longer one is cut; a partition past SOURCE_MAX_PARTITIONS has none. */
void source_identity(const struct source *s, uint32_t partition, char out[64]);
void source_set_identity(struct source *s, uint32_t partition, const char *identity);

/* Each kind: make (for sources that source_init has filled; checks what can be checked at once), start its thread, join
 * it after *stopping was set and the inbox closed, free. The struct is large: keep it on the heap. ERR_RANGE: name too
 * long. source_done frees nothing but the lock; the kinds leave it to the owner of the struct. */
int source_init(struct source *s, const char *name, uint32_t allow, int default_type, struct err *e) ERR_MUST_CHECK;
void source_done(struct source *s);
/* Ends a source for good: keeps the first reason given, then state = SOURCE_STOPPED. The source's own thread. */
void source_stop(struct source *s, const char *reason);

struct source_log;
int source_log_new(const struct source_env *env, const char *dir, struct source *s, struct source_log **out,
                   struct err *e) ERR_MUST_CHECK;
/* How far the log is durable; called by the intake thread. Wakes the reader. */
void source_log_durable(struct source_log *l, uint64_t end);
/* Whether the log is the one that was learned; before source_log_start. ERR_MISMATCH: it is another, nothing may be
 * appended. Any other error is the reader's to report. */
int source_log_check(const struct source_log *l, struct err *e) ERR_MUST_CHECK;
int source_log_start(struct source_log *l, struct err *e) ERR_MUST_CHECK;
void source_log_join(struct source_log *l);
void source_log_free(struct source_log *l);

struct source_file;
int source_file_new(const struct source_env *env, const struct config_file *file, struct source *s,
                    struct source_file **out, struct err *e) ERR_MUST_CHECK;
int source_file_start(struct source_file *f, struct err *e) ERR_MUST_CHECK;
void source_file_join(struct source_file *f);
void source_file_free(struct source_file *f);

/* One consumer for all topics of kafka.topics; sources (n_sources of them), named "kafka:TOPIC", in that order. */
struct source_kafka;
int source_kafka_new(const struct source_env *env, struct source *sources, size_t n_sources, struct source_kafka **out,
                     struct err *e) ERR_MUST_CHECK;
int source_kafka_start(struct source_kafka *k, struct err *e) ERR_MUST_CHECK;
void source_kafka_join(struct source_kafka *k);
void source_kafka_free(struct source_kafka *k);

/* Splits kafka.topics: the i-th topic and its type ("" = none). 1, or 0 past the end. */
int source_kafka_topic(const char *topics, size_t i, char topic[250], char type[33]);

#endif
