/* librdkafka's configuration: what rankd fixes, what it prefers, what the operator passes through. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/kafka_priv.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define BOTH (-1)

struct setting {
    int role; /* enum kafka_role or BOTH */
    const char *key, *value;
    const char *why; /* fixed, and this is why; NULL = a preference that may be overridden */
};

/* value NULL: set from elsewhere, listed to be refused from the operator. */
static const struct setting settings[] = {
    {BOTH, "bootstrap.servers", NULL, "use kafka.brokers"},
    {BOTH, "metadata.broker.list", NULL, "use kafka.brokers"},
    {BOTH, "log.queue", "false", "rankd reads no log queue"},
    {BOTH, "allow.auto.create.topics", "false", "rankd creates no topics"},
    {BOTH, "client.id", "rankd", NULL},
    {BOTH, "reconnect.backoff.max.ms", "2000", NULL},
    {KAFKA_CONSUMER, "enable.auto.commit", "false", "positions are kept with the model"},
    {KAFKA_CONSUMER, "auto.commit.enable", NULL, "positions are kept with the model"},
    {KAFKA_CONSUMER, "enable.auto.offset.store", "false", "positions are kept with the model"},
    {KAFKA_CONSUMER, "auto.offset.reset", "error", "a lost position must be noticed; see kafka.start and kafka.on_gap"},
    {KAFKA_CONSUMER, "isolation.level", "read_committed", "aborted records must not be learned"},
    {KAFKA_CONSUMER, "enable.partition.eof", "true", "the end of a log must be noticed"},
    {KAFKA_CONSUMER, "group.instance.id", NULL, "rankd joins no group"},
    {KAFKA_CONSUMER, "max.poll.interval.ms", "86400000", "a full queue may make reading wait"},
    {KAFKA_CONSUMER, "topic.metadata.refresh.interval.ms", "-1", NULL}, /* rankd refreshes by itself this often */
    /* A refused fetch makes librdkafka ask for metadata, which we notice, before it fetches again. */
    {KAFKA_CONSUMER, "topic.metadata.refresh.fast.interval.ms", "10", "a replaced topic must be noticed"},
    {KAFKA_CONSUMER, "fetch.error.backoff.ms", "500", "a replaced topic must be noticed"},
    {KAFKA_CONSUMER, "queued.max.messages.kbytes", "65536", NULL},
    {KAFKA_CONSUMER, "queued.min.messages", "250000", NULL}, /* a full queue is looked at again only a second later */
    {KAFKA_CONSUMER, "check.crcs", "true", NULL},
    {KAFKA_PRODUCER, "enable.idempotence", "true", "an acknowledged event is in the log once"},
    {KAFKA_PRODUCER, "acks", "all", "an acknowledged event is durable"},
    {KAFKA_PRODUCER, "request.required.acks", NULL, "an acknowledged event is durable"},
    {KAFKA_PRODUCER, "delivery.report.only.error", "false", "intake answers by delivery reports"},
    {KAFKA_PRODUCER, "transactional.id", NULL, "intake uses no transactions"},
    {KAFKA_PRODUCER, "partitioner", "murmur2_random", NULL}, /* as the Java clients: a key's records stay together */
    {KAFKA_PRODUCER, "linger.ms", "1", NULL},
};
#define N_SETTINGS (sizeof settings / sizeof settings[0])

const char *kafka_conf_passed(const struct config *c, const char *key) {
    for (size_t i = 0; i < c->n_kafka_pass; i++)
        if (strcmp(c->kafka_pass[i].key, key) == 0) return c->kafka_pass[i].value;
    return NULL;
}

static const struct setting *fixed(const char *key) {
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (settings[i].why && strcmp(settings[i].key, key) == 0) return &settings[i];
    return NULL;
}

static int set_one(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *e) {
    char why[256], field[128];
    rd_kafka_conf_res_t r = rd_kafka_conf_set(conf, key, value, why, sizeof why);
    if (r == RD_KAFKA_CONF_OK) return 0;
    snprintf(field, sizeof field, "kafka.rdkafka.%s", key);
    return err_set(e, ERR_RANGE, field, "%s = %s: %s", field, config_is_secret(key) ? "(secret)" : value,
                   r == RD_KAFKA_CONF_UNKNOWN ? "librdkafka knows no such option" : why);
}

static int set_passed(rd_kafka_conf_t *conf, const struct config *c, enum kafka_role role, struct err *e) {
    for (size_t i = 0; i < c->n_kafka_pass; i++) {
        const char *key = c->kafka_pass[i].key;
        const struct setting *f = fixed(key);
        if (role == KAFKA_CONSUMER && strcmp(key, "topic.metadata.refresh.interval.ms") == 0) continue; /* we refresh */
        if (f) {
            char field[128];
            snprintf(field, sizeof field, "kafka.rdkafka.%s", key);
            return err_set(e, ERR_RANGE, field, "%s cannot be set%s%s: %s", field,
                           f->value ? ", rankd fixes it to " : "", f->value ? f->value : "", f->why);
        }
        int rc = set_one(conf, key, c->kafka_pass[i].value, e);
        if (rc) return rc;
    }
    return 0;
}

static void default_group(const struct config *c, char out[32]) {
    snprintf(out, 32, "rankd-%016llx", (unsigned long long)hash64(c->data_dir, strlen(c->data_dir), 0));
}

/* A message must be given up before the request that waits for it, so that the answer can be definite. */
static void delivery_limit(const struct config *c, char out[32]) {
    int64_t ms = c->intake_deadline_ms * 8 / 10;
    snprintf(out, 32, "%lld", (long long)(ms < 1 ? 1 : ms > 2147483647 ? 2147483647 : ms));
}

static int conf_new(const struct config *c, enum kafka_role role, rd_kafka_conf_t **out, struct err *e) {
    char text[32];
    int rc = 0;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!conf) return err_set(e, ERR_NOMEM, "kafka", "no memory");
    for (size_t i = 0; !rc && i < N_SETTINGS; i++)
        if (settings[i].value && (settings[i].role == BOTH || settings[i].role == (int)role))
            rc = set_one(conf, settings[i].key, settings[i].value, e);
    if (!rc) rc = set_one(conf, "bootstrap.servers", c->kafka_brokers, e);
    if (!rc && role == KAFKA_CONSUMER) {
        default_group(c, text);
        rc = set_one(conf, "group.id", text, e);
    }
    if (!rc && role == KAFKA_PRODUCER) {
        delivery_limit(c, text);
        rc = set_one(conf, "message.timeout.ms", text, e);
        /* Bounded by intake.queue_bytes before it gets here; the client's own bounds must not be met first. */
        if (!rc) rc = set_one(conf, "queue.buffering.max.messages", "10000000", e);
        if (!rc) rc = set_one(conf, "queue.buffering.max.kbytes", "2147483647", e);
    }
    if (!rc) rc = set_passed(conf, c, role, e);
    if (rc) {
        rd_kafka_conf_destroy(conf);
        return rc;
    }
    *out = conf;
    return 0;
}

int kafka_conf_check(const struct config *c, enum kafka_role role, struct err *e) {
    rd_kafka_conf_t *conf;
    int rc = conf_new(c, role, &conf, e);
    if (!rc) rd_kafka_conf_destroy(conf);
    return rc;
}

/* --- logging --- */

static void log_cb(const rd_kafka_t *rk, int level, const char *fac, const char *text) {
    struct kafka_watch *l = rd_kafka_opaque(rk);
    char quoted[768];
    if (strcmp(fac, "CLUSTERID") == 0) atomic_store(&l->other_cluster, true);
    if (strcmp(fac, "CONFWARN") == 0) level = 7; /* options of the other role: passed to both by intent */
    log_quote(quoted, sizeof quoted, text, strlen(text));
    if (level >= 7)
        log_line(LOG_DEBUG, "rdkafka", " facility=%s text=%s", fac, quoted);
    else
        log_limited(&l->limit, level <= 4 ? LOG_WARN : LOG_INFO, "rdkafka", " facility=%s text=%s", fac, quoted);
}

#define API_METADATA 3

static rd_kafka_resp_err_t on_request_sent(rd_kafka_t *rk, int fd, const char *broker, int32_t id, int16_t api,
                                           int16_t version, int32_t correlation, size_t size, void *opaque) {
    struct kafka_watch *w = opaque;
    (void)rk, (void)fd, (void)broker, (void)id, (void)version, (void)correlation, (void)size;
    if (api == API_METADATA) atomic_fetch_add(&w->metadata_asked, 1);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *why, size_t n) {
    (void)conf, (void)why, (void)n;
    return rd_kafka_interceptor_add_on_request_sent(rk, "rankd", on_request_sent, opaque);
}

static bool is_listed(const struct config *c, enum kafka_role role, const char *key) {
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (settings[i].value && settings[i].role != 1 - (int)role && strcmp(settings[i].key, key) == 0) return true;
    return kafka_conf_passed(c, key) || strcmp(key, role == KAFKA_CONSUMER ? "group.id" : "message.timeout.ms") == 0;
}

static void log_dump(const struct config *c, enum kafka_role role, const char **dump, size_t n) {
    char quoted[512];
    for (size_t i = 0; i + 1 < n; i += 2) {
        const char *key = dump[i];
        const char *value = config_is_secret(key) ? "(secret)" : dump[i + 1];
        log_line(is_listed(c, role, key) ? LOG_INFO : LOG_DEBUG, "kafka_option", " role=%s key=%s value=%s",
                 role == KAFKA_CONSUMER ? "consumer" : "producer", key,
                 log_quote(quoted, sizeof quoted, value, strlen(value)));
    }
    rd_kafka_conf_dump_free(dump, n);
}

/* What the client really uses, read back from it. */
static void log_effective(const struct config *c, enum kafka_role role, rd_kafka_t *rk) {
    size_t n = 0;
    const char **dump = rd_kafka_conf_dump((rd_kafka_conf_t *)rd_kafka_conf(rk), &n);
    if (dump) log_dump(c, role, dump, n);
    rd_kafka_topic_conf_t *topic = rd_kafka_default_topic_conf_dup(rk);
    if (!topic) return;
    dump = rd_kafka_topic_conf_dump(topic, &n);
    if (dump) log_dump(c, role, dump, n);
    rd_kafka_topic_conf_destroy(topic);
}

int kafka_client_new(const struct config *c, enum kafka_role role, const struct kafka_callbacks *callbacks,
                     void *opaque, rd_kafka_t **out, struct err *e) {
    char why[384];
    rd_kafka_conf_t *conf;
    int rc = conf_new(c, role, &conf, e);
    if (rc) return rc;
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_conf_set_log_cb(conf, log_cb);
    if (role == KAFKA_CONSUMER) rd_kafka_conf_interceptor_add_on_new(conf, "rankd", on_new, opaque);
    if (callbacks->error) rd_kafka_conf_set_error_cb(conf, callbacks->error);
    if (role == KAFKA_PRODUCER && callbacks->delivered) rd_kafka_conf_set_dr_msg_cb(conf, callbacks->delivered);
    rd_kafka_t *rk =
        rd_kafka_new(role == KAFKA_CONSUMER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return err_set(e, ERR_RANGE, "kafka", "librdkafka: %s", why);
    }
    log_effective(c, role, rk);
    *out = rk;
    return 0;
}

/* --- ending --- */

struct closing { /* shared by who waits and who closes; the last one frees it */
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    rd_kafka_t *rk;
    bool done, abandoned;
};

static void *close_run(void *arg) {
    struct closing *c = arg;
    rd_kafka_destroy_flags(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    pthread_mutex_lock(&c->lock);
    c->done = true;
    const bool mine = c->abandoned;
    pthread_cond_signal(&c->done_cond);
    pthread_mutex_unlock(&c->lock);
    if (mine) mem_free(c);
    return NULL;
}

bool kafka_client_close(rd_kafka_t *rk) {
    struct closing *c = mem_zalloc(sizeof *c);
    pthread_condattr_t steady;
    pthread_t thread;
    struct timespec until;
    if (!c) return false;
    c->rk = rk;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&c->done_cond, &steady);
    pthread_condattr_destroy(&steady);
    if (pthread_create(&thread, NULL, close_run, c)) {
        mem_free(c);
        return false;
    }
    pthread_detach(thread);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += KAFKA_CLOSE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&c->lock);
    while (!c->done && pthread_cond_timedwait(&c->done_cond, &c->lock, &until) != ETIMEDOUT) {
    }
    const bool done = c->done;
    c->abandoned = !done;
    pthread_mutex_unlock(&c->lock);
    if (done) mem_free(c);
    return done;
}
