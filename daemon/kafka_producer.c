/* Produces intake jobs: one ticket a job counts its delivery reports and outlives the job past its deadline. */
#include "daemon/kafka_producer.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/kafka_priv.h"
#include "daemon/log.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define MS      UINT64_C(1000000)
#define POLL_MS 20 /* how late a deadline may be noticed */

struct ticket {
    struct intake_job *job;      /* NULL once finished */
    struct ticket *next, **link; /* in the list of those not finished; link NULL = not in it */
    size_t left;                 /* reports to come, and one for the submitter while it hands over */
    size_t delivered, possible, failed;
    uint64_t bytes;
    rd_kafka_resp_err_t error; /* the first */
};

struct kafka_producer {
    struct kafka_watch watch; /* first: see kafka_client_new */
    const struct config *config;
    kafka_producer_finished *finished;
    void *arg;
    struct log_limit limit_error;
    struct kafka_producer_stats stats;
    pthread_t thread;
    _Atomic bool fatal;
    _Atomic uint64_t stop_at_ns; /* 0 = not stopping */

    pthread_rwlock_t client; /* read: rk is used; write: it is replaced. Taken before lock. */
    rd_kafka_t *rk;          /* NULL while there is none */
    rd_kafka_topic_t *topic;
    bool abandoned; /* a client that did not end may still use this struct */

    pthread_mutex_t lock; /* of what follows and of the tickets */
    bool denied;
    struct ticket *open;
};

/* --- tickets; under the lock --- */

static void ticket_unlink(struct ticket *t) {
    if (!t->link) return;
    *t->link = t->next;
    if (t->next) t->next->link = t->link;
    t->link = NULL;
}

static void ticket_link(struct kafka_producer *p, struct ticket *t) {
    t->next = p->open;
    t->link = &p->open;
    if (t->next) t->next->link = &t->next;
    p->open = t;
}

/* Takes the job off its ticket with its result. */
static struct intake_job *conclude(struct kafka_producer *p, struct ticket *t, const char *late) {
    struct intake_job *job = t->job;
    t->job = NULL;
    ticket_unlink(t);
    const bool all = !late && t->delivered == job->n_events;
    const bool none = !late && t->delivered == 0 && t->possible == 0;
    job->result = all ? INTAKE_DURABLE : none ? INTAKE_FAILED : INTAKE_UNKNOWN;
    job->error[0] = '\0';
    if (late)
        snprintf(job->error, sizeof job->error, "%s; repeat with the same ids", late);
    else if (!all)
        snprintf(job->error, sizeof job->error, "Kafka: %s (%zu of %zu events acknowledged)%s",
                 rd_kafka_err2str(t->error), t->delivered, job->n_events, none ? "" : "; repeat with the same ids");
    if (job->result == INTAKE_UNKNOWN) atomic_fetch_add_explicit(&p->stats.unknown, 1, memory_order_relaxed);
    return job;
}

/* One report less to come. The job when it is to be finished now; the ticket is gone after the last report. */
static struct intake_job *count_down(struct kafka_producer *p, struct ticket *t) {
    if (--t->left > 0) return NULL;
    struct intake_job *job = t->job ? conclude(p, t, NULL) : NULL;
    mem_free(t);
    return job;
}

static void finish(struct kafka_producer *p, struct intake_job *job) {
    if (job) p->finished(p->arg, job);
}

/* --- reports, on the producer's thread --- */

static void delivered_cb(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    struct kafka_producer *p = opaque;
    struct ticket *t = m->_private;
    (void)rk;
    pthread_mutex_lock(&p->lock);
    if (!m->err) {
        t->delivered++;
    } else {
        if (!t->error) t->error = m->err;
        if (rd_kafka_message_status(m) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
            t->failed++;
        else
            t->possible++;
    }
    atomic_fetch_add_explicit(m->err ? &p->stats.failed : &p->stats.delivered, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->stats.queued_bytes, (uint64_t)(m->len + m->key_len), memory_order_relaxed);
    struct intake_job *job = count_down(p, t);
    pthread_mutex_unlock(&p->lock);
    finish(p, job);
}

static void error_cb(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
    struct kafka_producer *p = opaque;
    char quoted[300], why[256];
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        code = rd_kafka_fatal_error(rk, why, sizeof why);
        reason = why;
        atomic_store(&p->fatal, true);
    }
    log_quote(quoted, sizeof quoted, reason, strlen(reason));
    log_limited(&p->limit_error, LOG_WARN, "kafka_producer", " code=%s text=%s", rd_kafka_err2name(code), quoted);
}

/* --- submitting --- */

static struct slice line_of(const struct intake_job *job, const struct intake_event *ev) {
    struct slice line = slice_of(job->lines.p + ev->line_start, ev->line_bytes);
    if (line.n && line.p[line.n - 1] == '\n') line.n--;
    return line;
}

static uint64_t bytes_of(const struct intake_job *job) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < job->n_events; i++) bytes += line_of(job, &job->events[i]).n + job->events[i].key_bytes;
    return bytes;
}

static rd_kafka_resp_err_t produce(struct kafka_producer *p, const struct intake_job *job, size_t i, struct ticket *t) {
    const struct intake_event *ev = &job->events[i];
    const struct slice line = line_of(job, ev);
    const char *key = ev->key_bytes ? job->keys.p + ev->key_start : NULL;
    int rc = rd_kafka_produce(p->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)line.p, line.n,
                              key, ev->key_bytes, t);
    return rc ? rd_kafka_last_error() : RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Hands over the events; those refused by the client count as failed. The first refusal of a job of which nothing was
 * handed over is returned. */
static rd_kafka_resp_err_t hand_over(struct kafka_producer *p, struct intake_job *job, struct ticket *t) {
    const size_t n = job->n_events;
    for (size_t i = 0; i < n; i++) {
        const uint64_t bytes = line_of(job, &job->events[i]).n + job->events[i].key_bytes;
        rd_kafka_resp_err_t err = produce(p, job, i, t);
        if (!err) continue;
        if (i == 0 && err == RD_KAFKA_RESP_ERR__QUEUE_FULL) return err;
        pthread_mutex_lock(&p->lock);
        if (!t->error) t->error = err;
        t->failed++;
        t->left--; /* the submitter's own count keeps it above 0 */
        pthread_mutex_unlock(&p->lock);
        atomic_fetch_add_explicit(&p->stats.failed, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&p->stats.queued_bytes, bytes, memory_order_relaxed);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Takes bytes of the bound; a job that is alone is always let in. */
static bool reserve(struct kafka_producer *p, uint64_t bytes) {
    uint64_t have = atomic_load_explicit(&p->stats.queued_bytes, memory_order_relaxed);
    do {
        if (have && (have > p->config->intake_queue_bytes || bytes > p->config->intake_queue_bytes - have))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&p->stats.queued_bytes, &have, have + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static int full(struct kafka_producer *p) {
    atomic_fetch_add_explicit(&p->stats.refused_full, 1, memory_order_relaxed);
    return ERR_FULL;
}

int kafka_producer_submit(struct kafka_producer *p, struct intake_job *job) {
    int rc = 0;
    const uint64_t bytes = bytes_of(job);
    struct ticket *t = mem_zalloc(sizeof *t);
    if (!t) return ERR_NOMEM;
    pthread_rwlock_rdlock(&p->client);
    pthread_mutex_lock(&p->lock);
    if (p->denied)
        rc = ERR_DENIED;
    else if (!p->rk || atomic_load(&p->fatal))
        rc = ERR_AGAIN;
    else if (!reserve(p, bytes))
        rc = full(p);
    if (!rc) {
        t->job = job;
        t->left = job->n_events + 1;
    }
    pthread_mutex_unlock(&p->lock);
    if (rc) goto out;

    rd_kafka_resp_err_t err = hand_over(p, job, t);
    pthread_mutex_lock(&p->lock);
    if (err) {
        atomic_fetch_sub_explicit(&p->stats.queued_bytes, bytes, memory_order_relaxed);
        rc = full(p);
    } else {
        ticket_link(p, t);
        t->left--; /* at 0 already: the next sweep finishes the job */
        t = NULL;
    }
    pthread_mutex_unlock(&p->lock);
out:
    pthread_rwlock_unlock(&p->client);
    mem_free(t);
    return rc;
}

/* --- the thread --- */

/* Finishes the jobs that are past their deadline, or all with a reason. */
static void sweep(struct kafka_producer *p, const char *all) {
    const uint64_t now = clock_steady_ns();
    for (;;) {
        struct intake_job *job = NULL;
        pthread_mutex_lock(&p->lock);
        for (struct ticket *t = p->open, *next; t && !job; t = next) {
            next = t->next;
            if (t->left == 0) {
                job = conclude(p, t, NULL);
                mem_free(t);
            } else if (all || t->job->deadline_ns <= now) {
                job = conclude(p, t, all ? all : "Kafka did not acknowledge within the deadline");
            }
        }
        pthread_mutex_unlock(&p->lock);
        if (!job) return;
        finish(p, job);
    }
}

static bool nothing_open(struct kafka_producer *p) {
    pthread_mutex_lock(&p->lock);
    bool none = !p->open;
    pthread_mutex_unlock(&p->lock);
    return none;
}

/* Every message gets its report, then the client is gone. */
static void client_close(struct kafka_producer *p) {
    if (!p->rk) return;
    rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    for (int i = 0; i < 10 && rd_kafka_outq_len(p->rk) > 0; i++) rd_kafka_flush(p->rk, 100);
    if (p->topic) rd_kafka_topic_destroy(p->topic);
    if (!kafka_client_close(p->rk)) p->abandoned = true;
    p->topic = NULL;
    p->rk = NULL;
}

static int client_open(struct kafka_producer *p, struct err *e) {
    const struct kafka_callbacks callbacks = {.error = error_cb, .delivered = delivered_cb};
    const char *topic = p->config->kafka_intake_topic;
    int rc = kafka_client_new(p->config, KAFKA_PRODUCER, &callbacks, p, &p->rk, e);
    if (rc) return rc;
    p->topic = rd_kafka_topic_new(p->rk, topic, NULL);
    if (p->topic) return 0;
    rc =
        err_set(e, ERR_RANGE, "kafka.intake_topic", "topic \"%s\": %s", topic, rd_kafka_err2str(rd_kafka_last_error()));
    client_close(p);
    return rc;
}

/* After a fatal error of the idempotent producer nothing can be sent any more: begin anew. */
static void renew(struct kafka_producer *p) {
    struct err e = {0};
    pthread_rwlock_wrlock(&p->client);
    client_close(p);
    if (client_open(p, &e)) {
        log_err(LOG_ERROR, "kafka_producer", &e);
    } else {
        atomic_store(&p->fatal, false);
        atomic_fetch_add_explicit(&p->stats.renewed, 1, memory_order_relaxed);
    }
    pthread_rwlock_unlock(&p->client);
}

static void *run(void *arg) {
    struct kafka_producer *p = arg;
    uint64_t swept = 0;
    for (;;) {
        if (p->rk)
            rd_kafka_poll(p->rk, POLL_MS);
        else
            nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
        const uint64_t now = clock_steady_ns(), stop_at = atomic_load(&p->stop_at_ns);
        if (now - swept >= POLL_MS * MS) {
            sweep(p, NULL);
            swept = now;
        }
        if (stop_at && (now >= stop_at || nothing_open(p))) break;
        if (atomic_load(&p->fatal)) renew(p);
    }
    sweep(p, "rankd is stopping");
    pthread_rwlock_wrlock(&p->client);
    client_close(p);
    pthread_rwlock_unlock(&p->client);
    return NULL;
}

int kafka_producer_new(const struct config *c, kafka_producer_finished *finished, void *arg,
                       struct kafka_producer **out, struct err *e) {
    struct kafka_producer *p = mem_zalloc(sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, "kafka", "no memory");
    p->config = c;
    p->finished = finished;
    p->arg = arg;
    pthread_rwlock_init(&p->client, NULL);
    pthread_mutex_init(&p->lock, NULL);
    int rc = client_open(p, e);
    if (!rc && pthread_create(&p->thread, NULL, run, p))
        rc = err_set(e, ERR_IO, "kafka", "the producer's thread could not be started");
    if (rc) {
        client_close(p);
        kafka_producer_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

const struct kafka_producer_stats *kafka_producer_stats(const struct kafka_producer *p) { return &p->stats; }

void kafka_producer_stop(struct kafka_producer *p, int64_t limit_ms) {
    pthread_mutex_lock(&p->lock);
    const bool first = !p->denied;
    p->denied = true;
    pthread_mutex_unlock(&p->lock);
    if (!first) return;
    atomic_store(&p->stop_at_ns, clock_steady_ns() + (uint64_t)(limit_ms > 0 ? limit_ms : 0) * MS);
    pthread_join(p->thread, NULL);
}

void kafka_producer_free(struct kafka_producer *p) {
    if (!p) return;
    pthread_rwlock_destroy(&p->client);
    pthread_mutex_destroy(&p->lock);
    if (!p->abandoned) mem_free(p);
}
