/* Group commit into the own log: one thread appends whatever has gathered while the last append was under way. A second
 * one ends jobs whose deadline passes while the disk does not answer. With Kafka the producer does both. */
#include "daemon/intake.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "daemon/kafka_producer.h"
#include "daemon/log.h"
#include "daemon/source.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/store/seglog.h"

#define GROUP_BYTES (16u << 20) /* most bytes in one append */
#define REAP_MS     100

struct job_list {
    struct intake_job *first, **last;
};

struct intake {
    const struct config *config;
    struct seglog *log; /* NULL: Kafka */
    struct source_log *reader;
    struct err refused; /* code != 0: the log is not the one that was learned, and takes nothing */
    struct kafka_producer *producer;
    struct intake_stats stats;
    struct log_limit limit;

    pthread_t writer, reaper;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t change;
    struct job_list queued, flying; /* waiting; in the append under way */
    bool stopping, writer_done;
    uint64_t retain_bytes, max_bytes, checkpointed;

    struct buf group; /* writer */
};

static void list_init(struct job_list *l) {
    l->first = NULL;
    l->last = &l->first;
}

static void list_add(struct job_list *l, struct intake_job *job) {
    job->next = NULL;
    *l->last = job;
    l->last = &job->next;
}

static void letter_done(void *arg) {
    struct intake_job *job = arg;
    job->done(job);
}

/* The job goes home; not to be touched afterwards. */
static void finish_job(struct intake *i, struct intake_job *job, enum intake_result result, const char *error) {
    job->result = result;
    snprintf(job->error, sizeof job->error, "%s", error);
    if (result == INTAKE_UNKNOWN) atomic_fetch_add_explicit(&i->stats.unknown, 1, memory_order_relaxed);
    if (i->log) atomic_fetch_sub_explicit(&i->stats.queued_bytes, job->lines.n, memory_order_relaxed);
    job->letter.fn = letter_done;
    job->letter.arg = job;
    mailbox_post(job->reply_to, &job->letter);
}

static void finish_all(struct intake *i, struct job_list *l, enum intake_result result, const char *error) {
    for (struct intake_job *job = l->first, *next; job; job = next) {
        next = job->next;
        if (result == INTAKE_DURABLE) atomic_fetch_add_explicit(&i->stats.events, job->n_events, memory_order_relaxed);
        finish_job(i, job, result, error);
    }
    list_init(l);
}

static void producer_finished(void *arg, struct intake_job *job) {
    finish_job(arg, job, job->result, strdupa(job->error));
}

/* Locked: moves jobs into the next append. */
static void gather(struct intake *i) {
    buf_clear(&i->group);
    while (i->queued.first && i->group.n < GROUP_BYTES) {
        struct intake_job *job = i->queued.first;
        buf_add(&i->group, job->lines.p, job->lines.n);
        if (i->group.failed) break;
        i->queued.first = job->next;
        if (!i->queued.first) i->queued.last = &i->queued.first;
        list_add(&i->flying, job);
    }
}

static void retain(struct intake *i, uint64_t keep, uint64_t limit) {
    struct err e;
    const uint64_t before = seglog_bytes(i->log);
    if (keep == 0 || before <= keep) return;
    if (seglog_retain(i->log, keep, limit, &e) < 0)
        log_limited(&i->limit, LOG_ERROR, "log_retention_failed", " error=\"%s\"", e.text);
    atomic_fetch_add_explicit(&i->stats.deleted_bytes, before - seglog_bytes(i->log), memory_order_relaxed);
}

/* Unlocked: one append; how it ended. */
static enum intake_result append(struct intake *i, uint64_t max_bytes, struct err *e) {
    if (i->refused.code) {
        *e = i->refused;
        return INTAKE_FAILED;
    }
    if (max_bytes && seglog_bytes(i->log) + i->group.n > max_bytes) {
        err_set(e, ERR_FULL, "log.max_bytes", "the own log has reached log.max_bytes = %llu",
                (unsigned long long)max_bytes);
        return INTAKE_LOG_FULL;
    }
    int rc = seglog_append(i->log, slice_of(i->group.p, i->group.n), e);
    if (rc < 0) return rc == ERR_FULL ? INTAKE_DISK_FULL : INTAKE_FAILED;
    atomic_fetch_add_explicit(&i->stats.commits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&i->stats.bytes, i->group.n, memory_order_relaxed);
    source_log_durable(i->reader, seglog_durable(i->log));
    return INTAKE_DURABLE;
}

static void *write_loop(void *arg) {
    struct intake *i = arg;
    pthread_mutex_lock(&i->lock);
    for (;;) {
        while (!i->queued.first && !i->stopping) pthread_cond_wait(&i->change, &i->lock);
        if (!i->queued.first) break;
        gather(i);
        uint64_t keep = i->retain_bytes, max_bytes = i->max_bytes, limit = i->checkpointed;
        bool failed = i->group.failed;
        pthread_mutex_unlock(&i->lock);
        struct err e = {.text = "no memory to gather events"};
        if (!failed && !i->refused.code) retain(i, keep, limit);
        enum intake_result result = failed ? INTAKE_FAILED : append(i, max_bytes, &e);
        if (result != INTAKE_DURABLE) {
            atomic_fetch_add_explicit(&i->stats.failures, 1, memory_order_relaxed);
            log_limited(&i->limit, LOG_ERROR, "intake_failed",
                        " error=\"%s\" action=\"nothing was acknowledged; clients repeat\"", e.text);
        }
        pthread_mutex_lock(&i->lock);
        if (failed && !i->flying.first) finish_all(i, &i->queued, result, e.text);
        finish_all(i, &i->flying, result, result == INTAKE_DURABLE ? "" : e.text);
    }
    i->writer_done = true;
    pthread_cond_broadcast(&i->change);
    pthread_mutex_unlock(&i->lock);
    return NULL;
}

static void reap(struct intake *i, struct job_list *l, enum intake_result result, const char *error, uint64_t now) {
    struct intake_job **at = &l->first;
    for (struct intake_job *job; (job = *at);) {
        if (job->deadline_ns > now) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        finish_job(i, job, result, error);
    }
    l->last = at;
}

static void *reap_loop(void *arg) {
    struct intake *i = arg;
    pthread_mutex_lock(&i->lock);
    while (!i->writer_done) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REAP_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        (void)pthread_cond_timedwait(&i->change, &i->lock, &until);
        uint64_t now = clock_steady_ns();
        reap(i, &i->queued, INTAKE_FAILED, "not written within intake.deadline", now);
        reap(i, &i->flying, INTAKE_UNKNOWN, "not known to be durable within intake.deadline", now);
    }
    pthread_mutex_unlock(&i->lock);
    return NULL;
}

static int start_threads(struct intake *i, struct err *e) {
    if (pthread_create(&i->writer, NULL, write_loop, i) != 0)
        return err_set(e, ERR_IO, "intake", "the intake thread cannot be started");
    if (pthread_create(&i->reaper, NULL, reap_loop, i) != 0) {
        i->stopping = true;
        pthread_cond_broadcast(&i->change);
        pthread_join(i->writer, NULL);
        return err_set(e, ERR_IO, "intake", "the intake thread cannot be started");
    }
    pthread_setname_np(i->writer, "intake");
    pthread_setname_np(i->reaper, "intake-deadline");
    return 0;
}

int intake_start(const struct config *c, struct seglog *log, struct source_log *reader, struct intake **out,
                 struct err *e) {
    struct intake *i = mem_zalloc(sizeof *i);
    if (!i) return err_set(e, ERR_NOMEM, "intake", "no memory");
    i->config = c;
    i->log = log;
    i->reader = reader;
    struct err why = {0};
    if (reader && source_log_check(reader, &why) == ERR_MISMATCH) i->refused = why;
    i->retain_bytes = c->log_retain_bytes;
    i->max_bytes = c->log_max_bytes;
    list_init(&i->queued);
    list_init(&i->flying);
    buf_init(&i->group, GROUP_BYTES + c->intake_queue_bytes);
    pthread_mutex_init(&i->lock, NULL);
    pthread_cond_init(&i->change, NULL);
    int rc = log ? start_threads(i, e) : kafka_producer_new(c, producer_finished, i, &i->producer, e);
    if (rc == 0)
        *out = i;
    else
        intake_free(i);
    return rc;
}

int intake_submit(struct intake *i, struct intake_job *job) {
    if (!i->log) return kafka_producer_submit(i->producer, job);
    int rc = 0;
    pthread_mutex_lock(&i->lock);
    uint64_t queued = atomic_load_explicit(&i->stats.queued_bytes, memory_order_relaxed);
    if (i->stopping) {
        rc = ERR_DENIED;
    } else if (queued && queued + job->lines.n > i->config->intake_queue_bytes) {
        atomic_fetch_add_explicit(&i->stats.refused_full, 1, memory_order_relaxed);
        rc = ERR_FULL;
    } else {
        atomic_fetch_add_explicit(&i->stats.queued_bytes, job->lines.n, memory_order_relaxed);
        list_add(&i->queued, job);
        pthread_cond_broadcast(&i->change);
    }
    pthread_mutex_unlock(&i->lock);
    return rc;
}

void intake_stop(struct intake *i, int64_t limit_ms) {
    if (!i) return;
    if (!i->log) {
        kafka_producer_stop(i->producer, limit_ms);
        return;
    }
    pthread_mutex_lock(&i->lock);
    i->stopping = true;
    pthread_cond_broadcast(&i->change);
    pthread_mutex_unlock(&i->lock);
    pthread_join(i->writer, NULL);
    pthread_join(i->reaper, NULL);
}

void intake_free(struct intake *i) {
    if (!i) return;
    kafka_producer_free(i->producer);
    buf_free(&i->group);
    pthread_cond_destroy(&i->change);
    pthread_mutex_destroy(&i->lock);
    mem_free(i);
}

const struct intake_stats *intake_stats(const struct intake *i) { return &i->stats; }

void intake_checkpointed(struct intake *i, uint64_t durable_offset) {
    pthread_mutex_lock(&i->lock);
    i->checkpointed = durable_offset;
    pthread_mutex_unlock(&i->lock);
}

void intake_set_limits(struct intake *i, uint64_t retain_bytes, uint64_t max_bytes) {
    pthread_mutex_lock(&i->lock);
    i->retain_bytes = retain_bytes;
    i->max_bytes = max_bytes;
    pthread_mutex_unlock(&i->lock);
}
