/* Reads all Kafka topics on one thread: polls, stages by partition, hands batches to the inbox. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/kafka_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define MS       UINT64_C(1000000)
#define POLL_MS  100
#define PAUSE_MS 100 /* least time between two checks */

static bool stopping(const struct source_kafka *k) {
    return atomic_load_explicit(k->env->stopping, memory_order_relaxed);
}

static bool leaving(const struct source_kafka *k) { return k->stopped || stopping(k); }

/* --- staging --- */

static void unlink_staged(struct source_kafka *k, struct kafka_partition *p) {
    *(p->older ? &p->older->newer : &k->oldest) = p->newer;
    *(p->newer ? &p->newer->older : &k->newest) = p->older;
    p->older = p->newer = NULL;
}

static void link_staged(struct source_kafka *k, struct kafka_partition *p) {
    p->older = k->newest;
    *(k->newest ? &k->newest->newer : &k->oldest) = p;
    k->newest = p;
}

void kafka_end(struct kafka_partition *p, uint64_t high) {
    if (p->partition >= SOURCE_MAX_PARTITIONS) return;
    if (p->eof == high || high < p->next) high = p->next;
    atomic_store_explicit(&p->topic->source->end[p->partition], high, memory_order_relaxed);
}

bool kafka_flush(struct source_kafka *k, struct kafka_partition *p) {
    struct batch *b = p->staged;
    int64_t low, high;
    CHECK(b);
    p->staged = NULL;
    unlink_staged(k, p);
    while (b->n && !stopping(k) && !inbox_wait_room(k->env->inbox, b, (int64_t)(k->refresh_ns / MS))) kafka_ends(k);
    if (b->n == 0 || stopping(k) || !inbox_put(k->env->inbox, b)) {
        batch_free(b);
        return false;
    }
    atomic_store_explicit(&p->topic->source->sent[p->partition], p->next, memory_order_relaxed);
    if (!rd_kafka_get_watermark_offsets(k->rk, p->topic->name, (int32_t)p->partition, &low, &high) && high >= 0)
        kafka_end(p, (uint64_t)high);
    return true;
}

static void flush_all(struct source_kafka *k) {
    while (k->oldest) kafka_flush(k, k->oldest);
}

/* Adds a message to its partition's batch; waits for memory if it must. False when leaving. */
static bool stage(struct source_kafka *k, struct kafka_partition *p, const rd_kafka_message_t *m) {
    rd_kafka_timestamp_type_t kind;
    int64_t ms = rd_kafka_message_timestamp(m, &kind);
    if (kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0) ms = EVENT_NO_TIME;
    const struct source *s = p->topic->source;
    const struct event_context context = {
        .rules = k->env->rules,
        .allow = s->allow,
        .default_type = s->default_type,
        .key = slice_of(m->key, m->key ? m->key_len : 0),
        .record_ms = ms,
    };
    const uint64_t offset = (uint64_t)m->offset;
    const struct slice raw = slice_of(m->payload, m->payload ? m->len : 0);
    for (;;) {
        struct err e = {0};
        if (!p->staged) {
            p->staged = batch_new(p->topic->source, p->partition, k->max_records);
            if (p->staged) link_staged(k, p);
        }
        if (p->staged && !batch_add(p->staged, offset, offset + 1, raw,
                                    kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? ms : EVENT_NO_TIME, &context, &e))
            break;
        log_limited(&k->limit_memory, LOG_ERROR, "kafka_memory", " topic=%s bytes=%zu", p->topic->name, m->len);
        flush_all(k);
        if (leaving(k)) return false;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    const struct record *r = &p->staged->records[p->staged->n - 1];
    p->next = offset + 1;
    p->last = offset;
    p->last_crc = r->crc;
    p->has_last = true;
    return true;
}

/* --- messages --- */

static void on_record(struct source_kafka *k, struct kafka_partition *p, const rd_kafka_message_t *m) {
    struct source *s = p->topic->source;
    const uint64_t offset = (uint64_t)m->offset;
    if (k->suspect || p->due || kafka_uneasy(k)) return; /* read again once the log is known to be ours */
    if (p->comparing) {
        p->comparing = false;
        if (offset == p->last) {
            kafka_gap_record(k, p, hash_crc32(0, m->payload, m->payload ? m->len : 0));
            return;
        }
    }
    if (offset < p->next) {
        atomic_fetch_add_explicit(&s->duplicates, 1, memory_order_relaxed);
        return;
    }
    if (offset > p->next) atomic_fetch_add_explicit(&s->gaps, 1, memory_order_relaxed);
    if (stage(k, p, m) && batch_is_full(p->staged)) kafka_flush(k, p);
}

static void on_end(struct source_kafka *k, struct kafka_partition *p, int64_t offset) {
    if (k->suspect || p->due || kafka_uneasy(k)) return;
    p->comparing = false;
    p->eof = (uint64_t)offset;
    kafka_end(p, p->eof);
    if (p->staged) kafka_flush(k, p);
}

static void on_error(struct source_kafka *k, const rd_kafka_message_t *m, struct kafka_partition *p) {
    char quoted[300];
    const char *text = rd_kafka_message_errstr(m);
    switch (m->err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        if (p) p->due = true;
        k->next_check_ns = 0;
        return;
    default:
        log_quote(quoted, sizeof quoted, text ? text : "", text ? strlen(text) : 0);
        log_limited(&k->limit_other, LOG_WARN, "kafka_error", " code=%s text=%s", rd_kafka_err2name(m->err), quoted);
    }
}

static void on_message(struct source_kafka *k, const rd_kafka_message_t *m) {
    struct kafka_topic *t = m->rkt ? rd_kafka_topic_opaque(m->rkt) : NULL;
    struct kafka_partition *p = t ? kafka_part(t, m->partition) : NULL;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (p) on_end(k, p, m->offset);
    } else if (m->err) {
        on_error(k, m, p);
    } else if (p) {
        on_record(k, p, m);
    }
}

/* From rd_kafka_consumer_poll, so on our thread. */
static void error_cb(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
    struct source_kafka *k = opaque;
    char quoted[300];
    (void)rk;
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
        code == RD_KAFKA_RESP_ERR__RESOLVE) {
        k->suspect = true;
        if (!k->away) k->next_check_ns = 0;
    }
    if (code == RD_KAFKA_RESP_ERR__FATAL) k->reopen = true;
    log_quote(quoted, sizeof quoted, reason, strlen(reason));
    if (k->away) /* said already */
        log_line(LOG_DEBUG, "kafka_error", " code=%s text=%s", rd_kafka_err2name(code), quoted);
    else
        log_limited(&k->limit_other, LOG_WARN, "kafka_error", " code=%s text=%s", rd_kafka_err2name(code), quoted);
}

/* --- the thread --- */

static void step(struct source_kafka *k) {
    uint64_t now = clock_steady_ns();
    if (!k->suspect && kafka_uneasy(k)) {
        k->suspect = true;
        if (!k->away) k->next_check_ns = 0;
    }
    if (now >= k->next_check_ns && now - k->last_check_ns >= PAUSE_MS * MS) {
        kafka_check(k);
        k->last_check_ns = clock_steady_ns();
        return;
    }
    rd_kafka_message_t *m = rd_kafka_consumer_poll(k->rk, k->oldest ? 0 : POLL_MS);
    if (!m) {
        flush_all(k);
        return;
    }
    on_message(k, m);
    rd_kafka_message_destroy(m);
    if (k->oldest && now - k->oldest->staged->first_ns >= k->max_age_ns && now > k->oldest->staged->first_ns)
        kafka_flush(k, k->oldest);
}

static void client_close(struct source_kafka *k) {
    for (size_t i = 0; i < k->n_topics; i++) kafka_topic_close(&k->topics[i]);
    if (k->rk && !kafka_client_close(k->rk)) {
        k->abandoned = true;
        log_line(LOG_WARN, "kafka_close", " text=\"librdkafka did not end in time, its threads are left behind\"");
    }
    k->rk = NULL;
}

static int client_open(struct source_kafka *k, struct err *e) {
    const struct kafka_callbacks callbacks = {.error = error_cb};
    int rc = kafka_client_new(k->env->config, KAFKA_CONSUMER, &callbacks, k, &k->rk, e);
    if (rc) return rc;
    rd_kafka_poll_set_consumer(k->rk);
    for (size_t i = 0; i < k->n_topics; i++) {
        struct kafka_topic *t = &k->topics[i];
        for (uint32_t p = 0; p < t->n; p++) {
            t->parts[p]->assigned = false;
            t->parts[p]->due = true;
        }
    }
    atomic_store(&k->watch.other_cluster, false);
    k->reopen = false;
    k->suspect = true; /* all is compared first */
    k->next_check_ns = 0;
    return 0;
}

static void *run(void *arg) {
    struct source_kafka *k = arg;
    struct err e = {0};
    for (;;) {
        while (!leaving(k) && !k->reopen) step(k);
        flush_all(k); /* what came before a break is good */
        client_close(k);
        if (leaving(k)) break;
        if (client_open(k, &e)) {
            log_err(LOG_ERROR, "kafka_client", &e);
            for (size_t i = 0; i < k->n_topics; i++) source_stop(k->topics[i].source, e.text);
            break;
        }
    }
    return NULL;
}

/* --- making and ending --- */

static int start_rule(struct source_kafka *k, struct err *e) {
    const char *start = k->env->config->kafka_start;
    if (strcmp(start, "earliest") == 0) {
        k->start = KAFKA_EARLIEST;
    } else if (strcmp(start, "latest") == 0) {
        k->start = KAFKA_LATEST;
    } else if (clock_parse(slice_str(start), &k->start_ms)) {
        k->start = KAFKA_TIME;
    } else {
        return err_set(e, ERR_SYNTAX, "kafka.start", "kafka.start = %.60s: earliest, latest or an RFC 3339 time",
                       start);
    }
    return 0;
}

static int topic_init(struct source_kafka *k, size_t i, struct source *s, struct err *e) {
    struct kafka_topic *t = &k->topics[i];
    char type[33];
    if (!source_kafka_topic(k->env->config->kafka_topics, i, t->name, type))
        return err_set(e, ERR_RANGE, "kafka.topics", "kafka.topics has fewer topics than sources");
    for (size_t j = 0; j < i; j++)
        if (strcmp(k->topics[j].name, t->name) == 0)
            return err_set(e, ERR_RANGE, "kafka.topics", "kafka.topics names %.249s twice", t->name);
    t->source = s;
    t->kafka = k;
    s->impl = k;
    return 0;
}

static uint64_t refresh_ns(const struct config *c) {
    const char *text = kafka_conf_passed(c, "topic.metadata.refresh.interval.ms");
    long ms = text ? strtol(text, NULL, 10) : KAFKA_REFRESH_MS;
    return (uint64_t)(ms > 0 && ms < KAFKA_REFRESH_MS ? ms : KAFKA_REFRESH_MS) * MS;
}

int source_kafka_new(const struct source_env *env, struct source *sources, size_t n_sources, struct source_kafka **out,
                     struct err *e) {
    char topic[250], type[33];
    size_t ready = 0;
    if (n_sources == 0 || source_kafka_topic(env->config->kafka_topics, n_sources, topic, type))
        return err_set(e, ERR_RANGE, "kafka.topics", "kafka.topics has %s than the %zu sources made for it",
                       n_sources ? "more topics" : "no topic, fewer", n_sources);
    struct source_kafka *k = mem_zalloc(sizeof *k);
    struct kafka_topic *topics = mem_zalloc(n_sources * sizeof *topics);
    int rc = ERR_NOMEM;
    if (!k || !topics) {
        mem_free(topics);
        err_set(e, rc, "kafka", "no memory");
        goto out;
    }
    k->env = env;
    k->topics = topics;
    k->n_topics = n_sources;
    k->stop_on_gap = strcmp(env->config->kafka_on_gap, "continue") != 0;
    k->refresh_ns = refresh_ns(env->config);
    k->max_records = (size_t)env->config->batch_events;
    k->max_age_ns = (uint64_t)env->config->batch_time_ms * MS;
    rc = start_rule(k, e);
    if (!rc) rc = kafka_conf_check(env->config, KAFKA_CONSUMER, e);
    for (; !rc && ready < n_sources; ready++)
        if ((rc = topic_init(k, ready, &sources[ready], e))) break;
    if (rc) goto out;
    *out = k;
out:
    if (rc) source_kafka_free(k);
    return rc;
}

int source_kafka_start(struct source_kafka *k, struct err *e) {
    if (!kafka_topics_load(k)) return err_set(e, ERR_NOMEM, "kafka", "no memory for the partitions");
    int rc = client_open(k, e);
    if (rc) return rc;
    if (pthread_create(&k->thread, NULL, run, k)) {
        client_close(k);
        return err_set(e, ERR_IO, "kafka", "the thread could not be started");
    }
    k->thread_runs = true;
    return 0;
}

void source_kafka_join(struct source_kafka *k) {
    if (!k || !k->thread_runs) return;
    pthread_join(k->thread, NULL);
    k->thread_runs = false;
}

void source_kafka_free(struct source_kafka *k) {
    if (!k) return;
    for (size_t i = 0; i < k->n_topics; i++)
        for (uint32_t p = 0; p < k->topics[i].n; p++) mem_free(k->topics[i].parts[p]);
    mem_free(k->topics);
    if (!k->abandoned) mem_free(k);
}
