/* Reads one topic by partition and offset: a queue of its own for each partition, so that one can be read while the
 * others wait. */
#include "daemon/kafka_reader.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/kafka_priv.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proto/event.h"

#define WAIT_MS      30000 /* longest wait for the brokers without any progress */
#define SLICE_MS     100   /* of a wait */
#define QUEUE_KBYTES 65536 /* waiting in all partitions together */
#define SKIP_MAX     10000 /* records read over rather than asking for a further offset */

#define QUEUE_OPTION "queued.max.messages.kbytes"

/* As timestamps, ListOffsets takes these for the two ends of a log. */
#define AT_LOW  (-2)
#define AT_HIGH (-1)

struct part {
    uint64_t low, end;         /* at the time of opening; end: of committed records */
    rd_kafka_queue_t *queue;   /* NULL until first asked for */
    bool assigned;             /* librdkafka reads it, and gives next first */
    uint64_t next;             /* offset behind the last record taken from the queue */
    uint64_t empty_from;       /* no record from here to end; UINT64_MAX = not known */
    rd_kafka_message_t *given; /* the record handed out last */
};

struct kafka_reader {
    struct kafka_watch watch; /* first: see kafka_client_new */
    rd_kafka_t *rk;
    char topic[250];
    char brokers[200];
    char reason[200]; /* what librdkafka last complained about; empty = nothing */
    uint32_t n;
    struct part *parts; /* (n) */
};

static uint64_t deadline_ns(void) { return clock_steady_ns() + WAIT_MS * UINT64_C(1000000); }

static int left_ms(uint64_t until_ns) {
    const uint64_t now_ns = clock_steady_ns();
    return now_ns >= until_ns ? 0 : (int)((until_ns - now_ns) / 1000000) + 1;
}

static void error_cb(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
    struct kafka_reader *r = opaque;
    (void)rk, (void)code;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
}

static int away(struct kafka_reader *r, struct err *e) {
    rd_kafka_poll(r->rk, 0);
    return err_set(e, ERR_IO, "kafka.brokers", "%s: topic %.100s: no answer for %d s%s%.150s", r->brokers, r->topic,
                   WAIT_MS / 1000, r->reason[0] ? ", last reason: " : "", r->reason);
}

static int refused(const struct kafka_reader *r, rd_kafka_resp_err_t code, struct err *e) {
    return err_set(
        e, code == RD_KAFKA_RESP_ERR__BAD_MSG || code == RD_KAFKA_RESP_ERR__BAD_COMPRESSION ? ERR_CORRUPT : ERR_IO,
        "kafka.brokers", "%s: topic %.100s: %s", r->brokers, r->topic, rd_kafka_err2str(code));
}

static int gone(const struct kafka_reader *r, struct err *e) {
    return err_set(e, ERR_MISSING, "kafka", "there is no topic \"%.100s\" at %s", r->topic, r->brokers);
}

static bool passes_by_itself(rd_kafka_resp_err_t code) {
    switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
        return true;
    default:
        return false;
    }
}

/* --- opening --- */

/* Takes over what is told of a topic: 1 = its leaders are known, 0 = not yet. */
static int take_metadata(struct kafka_reader *r, const rd_kafka_metadata_topic_t *t, struct err *e) {
    if (t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) return gone(r, e);
    if (t->err && !passes_by_itself(t->err)) return refused(r, t->err, e);
    if (t->err || t->partition_cnt == 0) return 0;
    for (int i = 0; i < t->partition_cnt; i++)
        if (t->partitions[i].leader < 0) return 0;
    r->n = (uint32_t)t->partition_cnt;
    return 1;
}

static int ask_partitions(struct kafka_reader *r, uint64_t until_ns, struct err *e) {
    rd_kafka_topic_t *handle = rd_kafka_topic_new(r->rk, r->topic, NULL);
    if (!handle) return err_set(e, ERR_RANGE, "kafka", "\"%.100s\" is no name of a topic", r->topic);
    int rc = 0;
    while (!rc) {
        const rd_kafka_metadata_t *md = NULL;
        const int ms = left_ms(until_ns);
        if (ms == 0) {
            rc = away(r, e);
            break;
        }
        rd_kafka_resp_err_t code = rd_kafka_metadata(r->rk, 0, handle, &md, ms);
        if (code && !passes_by_itself(code))
            rc = refused(r, code, e);
        else if (!code && md->topic_cnt == 1)
            rc = take_metadata(r, &md->topics[0], e);
        if (md) rd_kafka_metadata_destroy(md);
        if (!rc) rd_kafka_poll(r->rk, SLICE_MS); /* also the pause between two tries */
    }
    rd_kafka_topic_destroy(handle);
    return rc < 0 ? rc : 0;
}

/* One end of all partitions. */
static int ask_ends(struct kafka_reader *r, int64_t which, uint64_t until_ns, struct err *e) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)r->n);
    bool settled = false;
    int rc = 0;
    while (!rc && !settled) {
        const int ms = left_ms(until_ns);
        if (ms == 0) {
            rc = away(r, e);
            break;
        }
        list->cnt = 0;
        for (uint32_t i = 0; i < r->n; i++)
            rd_kafka_topic_partition_list_add(list, r->topic, (int32_t)i)->offset = which;
        rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(r->rk, list, ms);
        settled = !code;
        for (int i = 0; i < list->cnt && (!code || passes_by_itself(code)); i++) {
            if (list->elems[i].err) code = list->elems[i].err;
            if (code || list->elems[i].offset < 0) settled = false;
        }
        if (code && !passes_by_itself(code))
            rc = refused(r, code, e);
        else if (!settled)
            rd_kafka_poll(r->rk, SLICE_MS);
    }
    for (int i = 0; i < list->cnt && !rc; i++) {
        struct part *p = &r->parts[list->elems[i].partition];
        *(which == AT_LOW ? &p->low : &p->end) = (uint64_t)list->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

/* Adds a preference unless the operator has one. */
static void prefer(struct config *with, const struct config *c, char *key, char *value) {
    if (!kafka_conf_passed(c, key)) with->kafka_pass[with->n_kafka_pass++] = (struct config_pass){key, value};
}

/* kbytes: bound of each partition's queue. */
static int client_open(struct kafka_reader *r, const struct config *c, uint32_t kbytes, struct err *e) {
    const struct kafka_callbacks callbacks = {.error = error_cb};
    struct config with = *c;
    char queue[] = QUEUE_OPTION, bound[16], wait[] = "fetch.wait.max.ms", wait_ms[] = "10";
    with.kafka_pass = mem_alloc((c->n_kafka_pass + 2) * sizeof *with.kafka_pass);
    if (!with.kafka_pass) return err_set(e, ERR_NOMEM, "kafka", "no memory");
    if (c->n_kafka_pass) memcpy(with.kafka_pass, c->kafka_pass, c->n_kafka_pass * sizeof *with.kafka_pass);
    snprintf(bound, sizeof bound, "%" PRIu32, kbytes);
    prefer(&with, c, queue, bound);
    prefer(&with, c, wait, wait_ms); /* a partition read to its end must not delay the others */
    int rc = kafka_client_new(&with, KAFKA_CONSUMER, &callbacks, r, &r->rk, e);
    mem_free(with.kafka_pass);
    return rc;
}

/* A reader whose client does not end is left alone: librdkafka's threads may still use it. */
static bool client_close(struct kafka_reader *r) {
    rd_kafka_t *rk = r->rk;
    r->rk = NULL;
    return !rk || kafka_client_close(rk);
}

static int open_all(struct kafka_reader *r, const struct config *c, bool *abandoned, struct err *e) {
    const uint64_t until_ns = deadline_ns();
    int rc = client_open(r, c, QUEUE_KBYTES, e);
    if (!rc) rc = ask_partitions(r, until_ns, e);
    if (rc) return rc;
    if (r->n > 1 && !kafka_conf_passed(c, QUEUE_OPTION)) { /* the number of queues is only known now */
        const uint32_t kbytes = QUEUE_KBYTES / r->n;
        if (!client_close(r)) {
            *abandoned = true;
            return err_set(e, ERR_IO, "kafka", "librdkafka did not end in time");
        }
        rc = client_open(r, c, kbytes < 256 ? 256 : kbytes, e);
        if (rc) return rc;
    }
    r->parts = mem_zalloc(r->n * sizeof *r->parts);
    if (!r->parts) return err_set(e, ERR_NOMEM, "kafka", "no memory");
    for (uint32_t i = 0; i < r->n; i++) r->parts[i].empty_from = UINT64_MAX;
    rc = ask_ends(r, AT_HIGH, until_ns, e);
    if (!rc) rc = ask_ends(r, AT_LOW, until_ns, e);
    return rc;
}

int kafka_reader_open(const struct config *c, const char *topic, struct kafka_reader **out, struct err *e) {
    bool abandoned = false;
    if (!c->kafka_brokers[0])
        return err_set(e, ERR_RANGE, "kafka.brokers", "kafka.brokers is empty: where is topic \"%.100s\" to be read?",
                       topic);
    if (strlen(topic) >= sizeof((struct kafka_reader *)0)->topic)
        return err_set(e, ERR_RANGE, "kafka", "the topic's name is longer than 249 bytes");
    struct kafka_reader *r = mem_zalloc(sizeof *r);
    if (!r) return err_set(e, ERR_NOMEM, "kafka", "no memory");
    snprintf(r->topic, sizeof r->topic, "%s", topic);
    snprintf(r->brokers, sizeof r->brokers, "%s", c->kafka_brokers);
    int rc = open_all(r, c, &abandoned, e);
    if (!rc)
        *out = r;
    else if (!abandoned)
        kafka_reader_close(r);
    return rc;
}

void kafka_reader_close(struct kafka_reader *r) {
    if (!r) return;
    for (uint32_t i = 0; r->parts && i < r->n; i++) {
        if (r->parts[i].given) rd_kafka_message_destroy(r->parts[i].given);
        if (r->parts[i].queue) rd_kafka_queue_destroy(r->parts[i].queue);
    }
    mem_free(r->parts);
    if (client_close(r)) mem_free(r);
}

uint32_t kafka_reader_partitions(const struct kafka_reader *r) { return r->n; }

uint64_t kafka_reader_first(const struct kafka_reader *r, uint32_t partition) { return r->parts[partition].low; }

/* --- reading --- */

static int reason_of(const struct kafka_reader *r, rd_kafka_error_t *error, struct err *e) {
    int rc = err_set(e, ERR_IO, "kafka", "topic %.100s cannot be assigned: %s", r->topic, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return rc;
}

/* Has the partition's queue go on at offset from. */
static int place(struct kafka_reader *r, uint32_t partition, uint64_t from, struct err *e) {
    struct part *p = &r->parts[partition];
    rd_kafka_error_t *error = NULL;
    if (!p->queue) {
        p->queue = rd_kafka_queue_get_partition(r->rk, r->topic, (int32_t)partition);
        if (!p->queue) return err_set(e, ERR_NOMEM, "kafka", "no queue for a partition of topic %.100s", r->topic);
        rd_kafka_queue_forward(p->queue, NULL); /* ours, not the consumer's */
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, r->topic, (int32_t)partition)->offset = (int64_t)from;
    if (p->assigned) error = rd_kafka_incremental_unassign(r->rk, list);
    p->assigned = false;
    if (!error) error = rd_kafka_incremental_assign(r->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (error) return reason_of(r, error, e);
    p->assigned = true;
    p->next = from;
    return 0;
}

static int removed(const struct kafka_reader *r, uint32_t partition, uint64_t from, uint64_t low, struct err *e) {
    return err_set(e, ERR_MISSING, "kafka",
                   "topic %.100s partition %" PRIu32 ": offset %" PRIu64 " is needed, the log goes on from %" PRIu64
                   ": what is before was removed",
                   r->topic, partition, from, low);
}

/* The offset asked for is not there any more. */
static int out_of_range(struct kafka_reader *r, uint32_t partition, uint64_t from, struct err *e) {
    int64_t low, high;
    if (rd_kafka_query_watermark_offsets(r->rk, r->topic, (int32_t)partition, &low, &high, WAIT_MS)) return away(r, e);
    if (low >= 0 && (uint64_t)low > from) return removed(r, partition, from, (uint64_t)low, e);
    return err_set(e, ERR_MISSING, "kafka",
                   "topic %.100s partition %" PRIu32 " has become shorter while it was read: offset %" PRIu64
                   " is needed, it ends at %" PRId64,
                   r->topic, partition, from, high);
}

/* What is no record: 1 = wait on, 0 = the end. */
static int on_event(struct kafka_reader *r, uint32_t partition, uint64_t from, const rd_kafka_message_t *m,
                    struct err *e) {
    const char *text;
    switch (m->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        return (uint64_t)m->offset < r->parts[partition].end;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return out_of_range(r, partition, from, e);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return gone(r, e);
    default:
        if (!passes_by_itself(m->err)) return refused(r, m->err, e);
        text = rd_kafka_message_errstr(m);
        snprintf(r->reason, sizeof r->reason, "%s", text ? text : rd_kafka_err2str(m->err));
        return 1;
    }
}

static void give(struct part *p, rd_kafka_message_t *m, struct kafka_record *out) {
    rd_kafka_timestamp_type_t kind;
    int64_t ms = rd_kafka_message_timestamp(m, &kind);
    if (kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0) ms = EVENT_NO_TIME;
    p->given = m;
    *out = (struct kafka_record){
        .offset = (uint64_t)m->offset,
        .key = slice_of(m->key, m->key ? m->key_len : 0),
        .value = slice_of(m->payload, m->payload ? m->len : 0),
        .record_ms = ms,
        .arrival_ms = kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? ms : EVENT_NO_TIME,
    };
}

/* Takes from the queue until there is a record at or behind from. */
static int take(struct kafka_reader *r, uint32_t partition, uint64_t from, struct kafka_record *out, struct err *e) {
    struct part *p = &r->parts[partition];
    uint64_t until_ns = 0;
    for (int rc = 1; rc == 1;) {
        rd_kafka_message_t *m = rd_kafka_consume_queue(p->queue, SLICE_MS);
        if (!m || m->err) {
            if (until_ns == 0) until_ns = deadline_ns();
            rd_kafka_poll(r->rk, 0);
            if (m) {
                rc = on_event(r, partition, from, m, e);
                rd_kafka_message_destroy(m);
            }
            if (rc < 0) return rc;
            if (rc == 1 && left_ms(until_ns) == 0) return away(r, e);
            continue;
        }
        const uint64_t offset = (uint64_t)m->offset;
        if (offset >= p->next) p->next = offset + 1;
        if (offset >= from && offset < p->end) {
            give(p, m, out);
            return 1;
        }
        rd_kafka_message_destroy(m);
        if (offset >= p->end) rc = 0;
        until_ns = 0;
    }
    p->empty_from = from;
    return 0;
}

int kafka_reader_next(struct kafka_reader *r, uint32_t partition, uint64_t from, struct kafka_record *out,
                      struct err *e) {
    if (partition >= r->n)
        return err_set(e, ERR_MISSING, "kafka",
                       "topic %.100s has %" PRIu32 " partitions: there is no partition %" PRIu32, r->topic, r->n,
                       partition);
    struct part *p = &r->parts[partition];
    if (p->given) rd_kafka_message_destroy(p->given);
    p->given = NULL;
    if (from >= p->end || from >= p->empty_from) return 0;
    if (from < p->low) return removed(r, partition, from, p->low, e);
    if (!p->assigned || from < p->next || from - p->next > SKIP_MAX) {
        int rc = place(r, partition, from, e);
        if (rc) return rc;
    }
    return take(r, partition, from, out, e);
}
