/* Injected errors only (librdkafka's mock is no proof of delivery): refused options, a refused fetch, failed produce
 * requests, deadlines, the bound, the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>

#include <librdkafka/rdkafka_mock.h> /* after the other one */

#include "daemon/kafka_priv.h"
#include "daemon/kafka_producer.h"
#include "lib/base/clock.h"

#define LIMIT       60 /* seconds after which a test that hangs has failed */
#define API_PRODUCE 0
#define API_FETCH   1

struct fixture {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;
    struct config config;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned finished;
};

static int setup(void **state) {
    char why[256];
    struct fixture *f = calloc(1, sizeof *f);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "client.id", "mock", why, sizeof why);
    f->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    f->cluster = rd_kafka_mock_cluster_new(f->rk, 1);
    rd_kafka_mock_topic_create(f->cluster, "clicks", 1, 1);
    f->config = (struct config){
        .data_dir = "/nowhere",
        .kafka_topics = "clicks:click",
        .kafka_allowed_types = "behaviour",
        .kafka_start = "earliest",
        .kafka_on_gap = "stop",
        .kafka_intake_topic = "clicks",
        .intake_queue_bytes = 1 << 20,
        .intake_deadline_ms = 10000,
        .batch_events = 64,
        .batch_time_ms = 10,
    };
    f->config.kafka_brokers = (char *)(uintptr_t)rd_kafka_mock_cluster_bootstraps(f->cluster);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    log_set_level(LOG_ERROR);
    alarm(LIMIT);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    alarm(0);
    rd_kafka_mock_cluster_destroy(f->cluster);
    rd_kafka_destroy(f->rk);
    free(f);
    return 0;
}

/* --- options --- */

static void test_options(void **state) {
    struct fixture *f = *state;
    struct err e;
    static const char *const refused[][2] = {
        {"enable.auto.commit", "true"},
        {"auto.offset.reset", "earliest"},
        {"isolation.level", "read_uncommitted"},
        {"enable.idempotence", "false"},
        {"acks", "1"},
        {"bootstrap.servers", "x:1"},
        {"no.such.option", "1"},
        {"socket.timeout.ms", "fast"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct config_pass pass = {(char *)(uintptr_t)refused[i][0], (char *)(uintptr_t)refused[i][1]};
        f->config.kafka_pass = &pass;
        f->config.n_kafka_pass = 1;
        e = (struct err){0};
        assert_int_equal(kafka_conf_check(&f->config, KAFKA_CONSUMER, &e), ERR_RANGE);
        assert_non_null(strstr(e.text, refused[i][0]));
        assert_non_null(strstr(e.field, refused[i][0]));
    }
    struct config_pass pass = {"sasl.mechanisms", "PLAIN"};
    f->config.kafka_pass = &pass;
    assert_int_equal(kafka_conf_check(&f->config, KAFKA_CONSUMER, &e), 0);
    assert_int_equal(kafka_conf_check(&f->config, KAFKA_PRODUCER, &e), 0);
    assert_string_equal(kafka_conf_passed(&f->config, "sasl.mechanisms"), "PLAIN");
    assert_null(kafka_conf_passed(&f->config, "sasl.password"));
    assert_true(config_is_secret("sasl.password"));
    assert_true(config_is_secret("ssl.key.password"));
    assert_true(config_is_secret("ssl.key.pem"));
    assert_true(config_is_secret("sasl.oauthbearer.client.secret"));
    assert_false(config_is_secret("sasl.mechanisms"));
    assert_false(config_is_secret("ssl.ca.location"));
}

/* --- producer --- */

static void finished(void *arg, struct intake_job *job) {
    struct fixture *f = arg;
    pthread_mutex_lock(&f->lock);
    f->finished++;
    job->left++; /* how often */
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void wait_for(struct fixture *f, unsigned n) {
    pthread_mutex_lock(&f->lock);
    while (f->finished < n) pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

static struct intake_job *job_new(size_t n, int64_t limit_ms) {
    struct intake_job *job = calloc(1, sizeof *job);
    char text[128];
    buf_init(&job->lines, 1 << 20);
    buf_init(&job->keys, 1 << 20);
    job->events = calloc(n ? n : 1, sizeof *job->events);
    job->n_events = n;
    for (size_t i = 0; i < n; i++) {
        int bytes = snprintf(text, sizeof text, "{\"type\":\"click\",\"user\":\"u%zu\",\"item\":\"i\"}\n", i);
        job->events[i].line_start = (uint32_t)job->lines.n;
        job->events[i].line_bytes = (uint32_t)bytes;
        job->events[i].key_start = (uint32_t)job->keys.n;
        job->events[i].key_bytes = 1;
        buf_add(&job->lines, text, (size_t)bytes);
        buf_add(&job->keys, "u", 1);
    }
    job->deadline_ns = clock_steady_ns() + (uint64_t)limit_ms * 1000000u;
    return job;
}

static void job_free(struct intake_job *job) {
    buf_free(&job->lines);
    buf_free(&job->keys);
    free(job->events);
    free(job);
}

static void test_delivered(void **state) {
    struct fixture *f = *state;
    struct kafka_producer *p;
    struct intake_job *jobs[] = {job_new(100, 20000), job_new(0, 20000), job_new(1, 20000)};
    assert_int_equal(kafka_producer_new(&f->config, finished, f, &p, NULL), 0);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(kafka_producer_submit(p, jobs[i]), 0);
    wait_for(f, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(jobs[i]->result, INTAKE_DURABLE);
        assert_int_equal(jobs[i]->left, 1);
        assert_string_equal(jobs[i]->error, "");
        job_free(jobs[i]);
    }
    assert_int_equal(kafka_producer_stats(p)->delivered, 101);
    assert_int_equal(kafka_producer_stats(p)->queued_bytes, 0);
    kafka_producer_stop(p, 1000);
    kafka_producer_free(p);
}

static void test_refused_by_broker(void **state) {
    struct fixture *f = *state;
    struct kafka_producer *p;
    struct intake_job *job = job_new(3, 20000);
    f->config.intake_deadline_ms = 20000;
    rd_kafka_mock_push_request_errors(f->cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_int_equal(kafka_producer_new(&f->config, finished, f, &p, NULL), 0);
    assert_int_equal(kafka_producer_submit(p, job), 0);
    wait_for(f, 1);
    assert_int_equal(job->left, 1);
    assert_int_not_equal(job->result, INTAKE_DURABLE);
    assert_non_null(strstr(job->error, "Kafka"));
    kafka_producer_stop(p, 1000);
    kafka_producer_free(p);
    job_free(job);
}

/* The broker is down: the deadline ends the job once, with the bound still held by what is under way. */
static void test_deadline_bound_and_stop(void **state) {
    struct fixture *f = *state;
    struct kafka_producer *p;
    struct intake_job *late = job_new(10, 100), *full = job_new(10, 20000), *open = job_new(1, 20000);
    f->config.intake_queue_bytes = 420; /* the first job has 410 */
    rd_kafka_mock_broker_set_down(f->cluster, 1);
    assert_int_equal(kafka_producer_new(&f->config, finished, f, &p, NULL), 0);
    assert_int_equal(kafka_producer_submit(p, late), 0);
    assert_int_equal(kafka_producer_submit(p, full), ERR_FULL);
    assert_int_equal(kafka_producer_stats(p)->refused_full, 1);
    wait_for(f, 1);
    assert_int_equal(late->result, INTAKE_UNKNOWN);
    assert_non_null(strstr(late->error, "deadline"));
    job_free(late); /* its reports are still to come */
    f->config.intake_queue_bytes = 1 << 20;
    assert_int_equal(kafka_producer_submit(p, open), 0);
    kafka_producer_stop(p, 10);
    assert_int_equal(open->result, INTAKE_UNKNOWN);
    assert_int_equal(open->left, 1);
    assert_int_equal(f->finished, 2);
    assert_int_equal(kafka_producer_submit(p, full), ERR_DENIED);
    assert_int_equal(kafka_producer_stats(p)->queued_bytes, 0);
    kafka_producer_free(p);
    job_free(full);
    job_free(open);
}

/* --- consumer --- */

static void no_position(void *arg, const char *name, uint32_t partition, struct position *out) {
    (void)arg, (void)name, (void)partition;
    *out = (struct position){0};
}

static void end_source(struct source_kafka *k, struct source *s, struct inbox *q, _Atomic bool *stopping) {
    *stopping = true;
    inbox_close(q);
    source_kafka_join(k);
    source_kafka_free(k);
    source_done(s);
    inbox_free(q);
    free(s);
}

static void test_partitions_past_the_bound_are_counted(void **state) {
    struct fixture *f = *state;
    struct event_rules rules = {.types = {"click"}, .n_types = 1, .max_event_bytes = 65536, .max_basket = 10};
    struct source *s = calloc(1, sizeof *s);
    struct inbox *q = inbox_new(1 << 20);
    _Atomic bool stopping = false;
    struct source_env env = {&f->config, &rules, q, no_position, NULL, &stopping};
    struct source_kafka *k;
    struct err e = {0};
    rd_kafka_mock_topic_create(f->cluster, "wide", SOURCE_MAX_PARTITIONS + 3, 1);
    f->config.kafka_topics = "wide:click";
    assert_int_equal(source_init(s, "kafka:wide", UINT32_MAX, 0, &e), 0);
    assert_int_equal(source_kafka_new(&env, s, 1, &k, &e), 0);
    assert_int_equal(source_kafka_start(k, &e), 0);
    while (s->n_partitions == 0) clock_sleep_ms(5);
    assert_int_equal(s->n_partitions, SOURCE_MAX_PARTITIONS);
    assert_int_equal(s->n_unread, 3);
    end_source(k, s, q, &stopping);
}

/* Refused fetches in the middle: every record is delivered once, in order. */
static void test_refused_fetches(void **state) {
    enum { N = 2000 };
    struct fixture *f = *state;
    struct event_rules rules = {.types = {"click"}, .n_types = 1, .max_event_bytes = 65536, .max_basket = 10};
    snprintf(rules.user.name[0], 33, "user"), rules.user.n = 1;
    snprintf(rules.item.name[0], 33, "item"), rules.item.n = 1;
    snprintf(rules.type.name[0], 33, "type"), rules.type.n = 1;
    snprintf(rules.ts.name[0], 33, "ts"), rules.ts.n = 1;
    snprintf(rules.id.name[0], 33, "id"), rules.id.n = 1;
    struct kafka_producer *p;
    struct intake_job *job = job_new(N, 20000);
    assert_int_equal(kafka_producer_new(&f->config, finished, f, &p, NULL), 0);
    assert_int_equal(kafka_producer_submit(p, job), 0);
    wait_for(f, 1);
    assert_int_equal(job->result, INTAKE_DURABLE);
    kafka_producer_stop(p, 1000);
    kafka_producer_free(p);
    job_free(job);

    struct source *s = calloc(1, sizeof *s);
    struct inbox *q = inbox_new(1 << 20);
    _Atomic bool stopping = false;
    struct source_env env = {&f->config, &rules, q, no_position, NULL, &stopping};
    struct source_kafka *k;
    struct err e = {0};
    rd_kafka_mock_push_request_errors(f->cluster, API_FETCH, 3, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(source_init(s, "kafka:clicks", UINT32_MAX, 0, &e), 0);
    assert_int_equal(source_kafka_new(&env, s, 1, &k, &e), 0);
    assert_int_equal(source_kafka_start(k, &e), 0);
    uint64_t next = 0;
    bool again = false;
    while (next < N) {
        struct batch *b = inbox_take(q, LIMIT * 1000);
        assert_non_null(b);
        assert_ptr_equal(b->source, s);
        for (size_t i = 0; i < b->n; i++) {
            assert_int_equal(b->records[i].offset, next);
            next = b->records[i].next;
        }
        batch_free(b);
        if (!again && next < N) {
            again = true;
            rd_kafka_mock_push_request_errors(f->cluster, API_FETCH, 2, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
                                              RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
        }
    }
    assert_int_equal(s->gaps, 0);
    assert_int_equal(s->breaks, 0);
    assert_int_equal(s->n_partitions, 1);
    assert_int_not_equal(s->state, SOURCE_STOPPED);
    end_source(k, s, q, &stopping);
}

int main(void) {
#ifdef __SANITIZE_THREAD__
    puts("not run under ThreadSanitizer: it does not know the C11 threads that librdkafka starts, and crashes");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delivered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_by_broker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_bound_and_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_fetches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_partitions_past_the_bound_are_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
