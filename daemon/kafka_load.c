/* Puts records of a log file into a topic. */
#include "daemon/kafka_load.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

#define METADATA_MS 10000
#define END_MS      2000

struct kafka_load {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    kafka_load_done *done;
    void *arg;
    bool fatal;
    char why[256];
};

/* What a load needs; options of the configuration come after and may change those not named in `fixed`. */
static const struct {
    const char *key, *value;
} settings[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"partitioner", "murmur2_random"}, /* as the Java clients: a key's records stay together */
    {"linger.ms", "20"},
    {"compression.codec", "lz4"},
    {"message.timeout.ms", "120000"},
    {"queue.buffering.max.messages", "100000"},
    {"queue.buffering.max.kbytes", "65536"},
};
static const char *const fixed[] = {"enable.idempotence", "acks", "request.required.acks", "bootstrap.servers",
                                    "metadata.broker.list"};

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    struct kafka_load *k = opaque;
    (void)rk;
    bool refused = m->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || m->err == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE ||
                   m->err == RD_KAFKA_RESP_ERR_INVALID_RECORD || m->err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION;
    k->done(k->arg, m->_private, m->err ? rd_kafka_err2str(m->err) : NULL, m->err && !refused);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
    struct kafka_load *k = opaque;
    snprintf(k->why, sizeof k->why, "%s", reason);
    if (code == RD_KAFKA_RESP_ERR__FATAL) rd_kafka_fatal_error(rk, k->why, sizeof k->why);
    k->fatal |= code == RD_KAFKA_RESP_ERR__FATAL;
}

static int set(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *e) {
    char why[256];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) == RD_KAFKA_CONF_OK) return 0;
    return err_set(e, ERR_RANGE, key, "%s: %s", key, why);
}

static bool is_fixed(const char *key) {
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++)
        if (strcmp(fixed[k], key) == 0) return true;
    return false;
}

static int configure(rd_kafka_conf_t *conf, const struct config *c, const char *brokers, struct err *e) {
    int rc = 0;
    for (size_t k = 0; k < sizeof settings / sizeof *settings && rc == 0; k++)
        rc = set(conf, settings[k].key, settings[k].value, e);
    for (size_t k = 0; c && k < c->n_kafka_pass && rc == 0; k++)
        if (!is_fixed(c->kafka_pass[k].key)) rc = set(conf, c->kafka_pass[k].key, c->kafka_pass[k].value, e);
    return rc == 0 ? set(conf, "bootstrap.servers", brokers, e) : rc;
}

/* A broker answers and knows the topic. */
static int check_topic(struct kafka_load *k, const char *topic, const char *brokers, struct err *e) {
    const struct rd_kafka_metadata *m = NULL;
    rd_kafka_resp_err_t rc = rd_kafka_metadata(k->rk, 0, k->topic, &m, METADATA_MS);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_poll(k->rk, 0); /* what on_error tells is nearer to the cause */
        return err_set(e, ERR_AGAIN, "kafka", "no broker answers at %s: %s", brokers,
                       k->why[0] ? k->why : rd_kafka_err2str(rc));
    }
    bool known = m->topic_cnt == 1 && m->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR && m->topics[0].partition_cnt > 0;
    const char *why =
        m->topic_cnt == 1 && m->topics[0].err ? rd_kafka_err2str(m->topics[0].err) : "it has no partition";
    int out = known ? 0 : err_set(e, ERR_MISSING, "kafka", "topic %s: %s", topic, why);
    rd_kafka_metadata_destroy(m);
    return out;
}

static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
    (void)rk, (void)level, (void)facility, (void)text; /* on_error says what matters */
}

int kafka_load_open(const struct config *c, const char *brokers, const char *topic, kafka_load_done *done, void *arg,
                    struct kafka_load **out, struct err *e) {
    char why[256];
    if (!brokers && c) brokers = c->kafka_brokers;
    if (!brokers || !*brokers) return err_set(e, ERR_RANGE, "brokers", "no brokers are named");
    struct kafka_load *k = mem_zalloc(sizeof *k);
    rd_kafka_conf_t *conf = k ? rd_kafka_conf_new() : NULL;
    int rc = conf ? configure(conf, c, brokers, e) : err_set(e, ERR_NOMEM, "kafka", "no memory");
    if (rc == 0) {
        k->done = done;
        k->arg = arg;
        rd_kafka_conf_set_opaque(conf, k);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
        rd_kafka_conf_set_error_cb(conf, on_error);
        rd_kafka_conf_set_log_cb(conf, quiet);
        k->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
        if (k->rk)
            conf = NULL; /* the client's now */
        else
            rc = err_set(e, ERR_RANGE, "kafka", "librdkafka: %s", why);
    }
    if (conf) rd_kafka_conf_destroy(conf);
    if (rc == 0 && !(k->topic = rd_kafka_topic_new(k->rk, topic, NULL)))
        rc = err_set(e, ERR_RANGE, "kafka", "topic %s: %s", topic, rd_kafka_err2str(rd_kafka_last_error()));
    if (rc == 0) rc = check_topic(k, topic, brokers, e);
    if (rc == 0)
        *out = k;
    else
        kafka_load_close(k);
    return rc;
}

int kafka_load_send(struct kafka_load *k, struct slice key, struct slice value, void *record, struct err *e) {
    for (;;) {
        if (k->fatal) return err_set(e, ERR_IO, "kafka", "%s", k->why);
        if (rd_kafka_produce(k->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value.p, value.n,
                             key.n ? key.p : NULL, key.n, record) == 0)
            return 0;
        rd_kafka_resp_err_t why = rd_kafka_last_error();
        if (why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
            return err_set(e, ERR_RANGE, "kafka", "%s", rd_kafka_err2str(why));
        if (why != RD_KAFKA_RESP_ERR__QUEUE_FULL) return err_set(e, ERR_IO, "kafka", "%s", rd_kafka_err2str(why));
        rd_kafka_poll(k->rk, 10);
    }
}

void kafka_load_poll(struct kafka_load *k, int wait_ms) { rd_kafka_poll(k->rk, wait_ms); }

static void nobody(void *arg, void *record, const char *why, bool lost) {
    (void)arg, (void)record, (void)why, (void)lost;
}

void kafka_load_close(struct kafka_load *k) {
    if (!k) return;
    k->done = nobody;
    if (k->rk && rd_kafka_outq_len(k->rk) > 0) {
        rd_kafka_purge(k->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(k->rk, END_MS);
    }
    if (k->topic) rd_kafka_topic_destroy(k->topic);
    if (k->rk) rd_kafka_destroy(k->rk);
    mem_free(k);
}
