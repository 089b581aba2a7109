/* What the tests ask of a Kafka cluster beyond kcat: topics, records with a chosen time or transaction, watermarks. */
#include <librdkafka/rdkafka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_MS  30000
#define MAX_CONFIGS 32

struct tool {
    rd_kafka_t *kafka;
    char error[512];
};

static int fail(const char *what, const char *why) {
    fprintf(stderr, "kafka_tool: %s: %s\n", what, why);
    return 1;
}

static bool parse_number(const char *text, int64_t min, int64_t max, int64_t *out) {
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) return false;
    *out = value;
    return true;
}

struct produce {
    const char *topic;
    int64_t partition; /* -1 = by key */
    int64_t ts_ms;     /* 0 = now */
    const char *txn;   /* "commit", "abort", "open" (left dangling) or NULL */
    const char *txn_id;
    bool keys; /* KEY TAB VALUE lines; otherwise the whole line is the value */
    uint64_t sent, failed;
};

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque) {
    (void)kafka;
    struct produce *p = opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) p->failed++;
}

/* p: NULL for the admin commands. */
static int tool_open(struct tool *t, const char *brokers, struct produce *p) {
    const char *options[] = {"bootstrap.servers", brokers, "log_level",          "3",    "linger.ms",        "5",
                             "compression.type",  "lz4",   "enable.idempotence", "true", "transactional.id", NULL};
    size_t n = sizeof options / sizeof options[0] - 2;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (p != NULL) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_conf_set_opaque(conf, p);
        if (p->txn != NULL) {
            options[n + 1] = p->txn_id;
            n += 2;
        }
    }
    bool good = true;
    for (size_t i = 0; good && i < n; i += 2)
        good = rd_kafka_conf_set(conf, options[i], options[i + 1], t->error, sizeof t->error) == RD_KAFKA_CONF_OK;
    t->kafka = good ? rd_kafka_new(RD_KAFKA_PRODUCER, conf, t->error, sizeof t->error) : NULL;
    if (t->kafka != NULL) return 0;
    rd_kafka_conf_destroy(conf);
    return fail("client", t->error);
}

static void tool_close(struct tool *t) {
    if (t->kafka != NULL) rd_kafka_destroy(t->kafka);
    t->kafka = NULL;
}

/* The per-topic verdicts of one admin result. */
static int check_topics(const rd_kafka_topic_result_t **topics, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (rd_kafka_topic_result_error(topics[i]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            const char *why = rd_kafka_topic_result_error_string(topics[i]);
            return fail(rd_kafka_topic_result_name(topics[i]),
                        why != NULL ? why : rd_kafka_err2str(rd_kafka_topic_result_error(topics[i])));
        }
    return 0;
}

static int check_event(rd_kafka_event_t *event) {
    const rd_kafka_topic_result_t **topics;
    size_t n = 0;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
        topics = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
        return check_topics(topics, n);
    case RD_KAFKA_EVENT_DELETETOPICS_RESULT:
        topics = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &n);
        return check_topics(topics, n);
    case RD_KAFKA_EVENT_CREATEPARTITIONS_RESULT:
        topics = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &n);
        return check_topics(topics, n);
    case RD_KAFKA_EVENT_DELETERECORDS_RESULT: {
        const rd_kafka_topic_partition_list_t *list =
            rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
        for (int i = 0; i < list->cnt; i++)
            if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
                return fail(list->elems[i].topic, rd_kafka_err2str(list->elems[i].err));
        return 0;
    }
    default:
        return fail("admin", "unexpected answer");
    }
}

/* Waits for the one result that an admin call puts on the queue. */
static int await_result(rd_kafka_queue_t *queue) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (event == NULL) return fail("admin", "no answer in time");
    int rc = rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR
                 ? fail("admin", rd_kafka_event_error_string(event))
                 : check_event(event);
    rd_kafka_event_destroy(event);
    return rc;
}

/* create TOPIC PARTITIONS [KEY=VALUE]... */
static int cmd_create(struct tool *t, int argc, char **argv) {
    int64_t partitions;
    if (argc < 2 || !parse_number(argv[1], 1, 10000, &partitions))
        return fail("create", "TOPIC PARTITIONS [KEY=VALUE]...");
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(argv[0], (int)partitions, 1, t->error, sizeof t->error);
    if (topic == NULL) return fail("create", t->error);
    int rc = 0;
    for (int i = 2; i < argc && rc == 0; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL) {
            rc = fail(argv[i], "not KEY=VALUE");
            break;
        }
        *equals = '\0';
        if (rd_kafka_NewTopic_set_config(topic, argv[i], equals + 1) != RD_KAFKA_RESP_ERR_NO_ERROR)
            rc = fail(argv[i], "refused");
    }
    if (rc == 0) {
        rd_kafka_queue_t *queue = rd_kafka_queue_new(t->kafka);
        rd_kafka_CreateTopics(t->kafka, &topic, 1, NULL, queue);
        rc = await_result(queue);
        rd_kafka_queue_destroy(queue);
    }
    rd_kafka_NewTopic_destroy(topic);
    return rc;
}

/* delete TOPIC */
static int cmd_delete(struct tool *t, int argc, char **argv) {
    if (argc != 1) return fail("delete", "TOPIC");
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(argv[0]);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(t->kafka);
    rd_kafka_DeleteTopics(t->kafka, &topic, 1, NULL, queue);
    int rc = await_result(queue);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteTopic_destroy(topic);
    return rc;
}

/* add-partitions TOPIC TOTAL */
static int cmd_add_partitions(struct tool *t, int argc, char **argv) {
    int64_t total;
    if (argc != 2 || !parse_number(argv[1], 1, 10000, &total)) return fail("add-partitions", "TOPIC TOTAL");
    rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new(argv[0], (size_t)total, t->error, sizeof t->error);
    if (more == NULL) return fail("add-partitions", t->error);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(t->kafka);
    rd_kafka_CreatePartitions(t->kafka, &more, 1, NULL, queue);
    int rc = await_result(queue);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewPartitions_destroy(more);
    return rc;
}

/* delete-records TOPIC PARTITION OFFSET: everything before OFFSET goes (-1 = everything) */
static int cmd_delete_records(struct tool *t, int argc, char **argv) {
    int64_t partition, offset;
    if (argc != 3 || !parse_number(argv[1], 0, 100000, &partition) || !parse_number(argv[2], -1, INT64_MAX, &offset))
        return fail("delete-records", "TOPIC PARTITION OFFSET");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, argv[0], (int32_t)partition)->offset = offset;
    rd_kafka_DeleteRecords_t *records = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(t->kafka);
    rd_kafka_DeleteRecords(t->kafka, &records, 1, NULL, queue);
    int rc = await_result(queue);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteRecords_destroy(records);
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

/* watermarks TOPIC: a line "PARTITION LOW HIGH" for each partition */
static int cmd_watermarks(struct tool *t, int argc, char **argv) {
    if (argc != 1) return fail("watermarks", "TOPIC");
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(t->kafka, argv[0], NULL);
    rd_kafka_resp_err_t err = rd_kafka_metadata(t->kafka, 0, topic, &metadata, TIMEOUT_MS);
    rd_kafka_topic_destroy(topic);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) return fail("watermarks", rd_kafka_err2str(err));
    int rc = 0;
    if (metadata->topic_cnt != 1) rc = fail("watermarks", "no such topic");
    if (rc == 0 && metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
        rc = fail(argv[0], rd_kafka_err2str(metadata->topics[0].err));
    for (int32_t i = 0; rc == 0 && i < metadata->topics[0].partition_cnt; i++) {
        int64_t low = 0, high = 0;
        err = rd_kafka_query_watermark_offsets(t->kafka, argv[0], i, &low, &high, TIMEOUT_MS);
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
            rc = fail(argv[0], rd_kafka_err2str(err));
        else
            printf("%d %lld %lld\n", (int)i, (long long)low, (long long)high);
    }
    rd_kafka_metadata_destroy(metadata);
    return rc;
}

/* ready SECONDS: waits until a broker serves; prints the cluster's id */
static int cmd_ready(struct tool *t, int argc, char **argv) {
    int64_t seconds;
    if (argc != 1 || !parse_number(argv[0], 0, 3600, &seconds)) return fail("ready", "SECONDS");
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t deadline = now.tv_sec + seconds;
    rd_kafka_resp_err_t err;
    int n_brokers;
    do {
        const struct rd_kafka_metadata *metadata = NULL;
        n_brokers = 0;
        err = rd_kafka_metadata(t->kafka, 0, NULL, &metadata, 1000);
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            n_brokers = metadata->broker_cnt;
            rd_kafka_metadata_destroy(metadata);
        }
        if (n_brokers > 0) break;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < deadline);
    if (n_brokers == 0)
        return fail("ready", err != RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_err2str(err) : "no broker serves");
    char *id = rd_kafka_clusterid(t->kafka, 1000);
    printf("%s\n", id != NULL ? id : "?");
    if (id != NULL) rd_kafka_mem_free(t->kafka, id);
    return 0;
}

static int produce_line(struct tool *t, struct produce *p, char *line, size_t length) {
    char *value = line, *tab = p->keys ? memchr(line, '\t', length) : NULL;
    size_t key_bytes = 0;
    if (tab != NULL) {
        key_bytes = (size_t)(tab - line);
        value = tab + 1;
    }
    void *key = key_bytes > 0 ? line : NULL;
    size_t value_bytes = length - (size_t)(value - line);
    for (;;) {
        rd_kafka_resp_err_t err =
            rd_kafka_producev(t->kafka, RD_KAFKA_V_TOPIC(p->topic), RD_KAFKA_V_PARTITION((int32_t)p->partition),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_bytes),
                              RD_KAFKA_V_VALUE(value, value_bytes), RD_KAFKA_V_TIMESTAMP(p->ts_ms), RD_KAFKA_V_END);
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR) break;
        if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) return fail("produce", rd_kafka_err2str(err));
        rd_kafka_poll(t->kafka, 100);
    }
    p->sent++;
    rd_kafka_poll(t->kafka, 0);
    return 0;
}

static int produce_all(struct tool *t, struct produce *p) {
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int rc = 0;
    while (rc == 0 && (length = getline(&line, &size, stdin)) >= 0) {
        if (length > 0 && line[length - 1] == '\n') length--;
        if (length > 0) rc = produce_line(t, p, line, (size_t)length);
    }
    if (rc == 0 && ferror(stdin)) rc = fail("produce", "cannot read the input");
    free(line);
    if (rc == 0 && rd_kafka_flush(t->kafka, TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        rc = fail("produce", "not delivered in time");
    if (rc == 0 && p->failed > 0) rc = fail("produce", "records were refused");
    return rc;
}

static int txn_step(const char *what, rd_kafka_error_t *error) {
    if (error == NULL) return 0;
    int rc = fail(what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return rc;
}

static int produce_txn(struct tool *t, struct produce *p) {
    int rc = txn_step("init", rd_kafka_init_transactions(t->kafka, TIMEOUT_MS));
    if (rc == 0) rc = txn_step("begin", rd_kafka_begin_transaction(t->kafka));
    if (rc == 0) rc = produce_all(t, p);
    if (rc != 0 || strcmp(p->txn, "open") == 0) return rc;
    if (strcmp(p->txn, "commit") == 0) return txn_step("commit", rd_kafka_commit_transaction(t->kafka, TIMEOUT_MS));
    return txn_step("abort", rd_kafka_abort_transaction(t->kafka, TIMEOUT_MS));
}

static int produce_options(struct produce *p, int argc, char **argv) {
    if (argc < 1) return fail("produce", "TOPIC [partition=N] [keys=yes] [ts=MS] [txn=commit|abort|open] [txn-id=ID]");
    p->topic = argv[0];
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        bool good = true;
        if (strncmp(a, "partition=", 10) == 0)
            good = parse_number(a + 10, -1, 100000, &p->partition);
        else if (strncmp(a, "ts=", 3) == 0)
            good = parse_number(a + 3, 0, INT64_MAX, &p->ts_ms);
        else if (strcmp(a, "txn=commit") == 0 || strcmp(a, "txn=abort") == 0 || strcmp(a, "txn=open") == 0)
            p->txn = a + 4;
        else if (strncmp(a, "txn-id=", 7) == 0)
            p->txn_id = a + 7;
        else if (strcmp(a, "keys=yes") == 0)
            p->keys = true;
        else
            good = false;
        if (!good) return fail("produce: bad option", a);
    }
    return 0;
}

/* produce TOPIC [OPTION=VALUE]... reads lines from stdin, prints how many were sent */
static int cmd_produce(const char *brokers, int argc, char **argv) {
    struct produce p = {.partition = -1, .txn_id = "kafka_tool"};
    struct tool t = {0};
    if (produce_options(&p, argc, argv) != 0 || tool_open(&t, brokers, &p) != 0) return 1;
    int rc = p.txn != NULL ? produce_txn(&t, &p) : produce_all(&t, &p);
    if (rc == 0) printf("%llu\n", (unsigned long long)p.sent);
    tool_close(&t);
    return rc;
}

static const struct command {
    const char *name, *arguments;
    int (*run)(struct tool *t, int argc, char **argv);
} commands[] = {
    {"create", "TOPIC PARTITIONS [KEY=VALUE]...", cmd_create},
    {"delete", "TOPIC", cmd_delete},
    {"add-partitions", "TOPIC TOTAL", cmd_add_partitions},
    {"delete-records", "TOPIC PARTITION OFFSET", cmd_delete_records},
    {"watermarks", "TOPIC", cmd_watermarks},
    {"ready", "SECONDS", cmd_ready},
};

static int usage(void) {
    fprintf(stderr, "usage: kafka_tool BROKERS COMMAND ...\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(stderr, "  %s %s\n", commands[i].name, commands[i].arguments);
    fprintf(stderr, "  produce TOPIC [partition=N] [keys=yes] [ts=MS] [txn=commit|abort|open] [txn-id=ID] < LINES\n");
    return 2;
}

int main(int argc, char **argv) {
    if (argc < 3) return usage();
    if (strcmp(argv[2], "produce") == 0) return cmd_produce(argv[1], argc - 3, argv + 3);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[2], commands[i].name) != 0) continue;
        struct tool t = {0};
        if (tool_open(&t, argv[1], NULL) != 0) return 1;
        int rc = commands[i].run(&t, argc - 3, argv + 3);
        tool_close(&t);
        return rc;
    }
    return usage();
}
