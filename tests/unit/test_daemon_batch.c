/* Batches: what is added stays where it was, bad records are kept with their reason, refused memory changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/source.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

static const struct event_rules rules = {
    .types = {"click"},
    .n_types = 1,
    .user = {.name = {"user"}, .n = 1},
    .item = {.name = {"item"}, .n = 1},
    .type = {.name = {"type"}, .n = 1},
    .ts = {.name = {"ts"}, .n = 1},
    .id = {.name = {"id"}, .n = 1},
    .max_event_bytes = 65536,
    .max_basket = 10,
};
static const struct event_context context = {
    .rules = &rules, .allow = ~0u, .default_type = -1, .record_ms = EVENT_NO_TIME};

static struct slice line(char *out, size_t size, unsigned i) {
    int n = snprintf(out, size, "{\"type\":\"click\",\"user\":\"u%u\",\"item\":\"i%u\",\"ts\":1700000000%03u}", i, i,
                     i % 1000);
    return slice_of(out, (size_t)n);
}

static void test_records_stay(void **state) {
    char text[128];
    (void)state;
    struct batch *b = batch_new(NULL, 3, 5000);
    assert_non_null(b);
    for (unsigned i = 0; i < 3000; i++) {
        struct slice raw = line(text, sizeof text, i);
        assert_int_equal(batch_add(b, i * 2, i * 2 + 1, raw, (int64_t)i, &context, NULL), 0);
    }
    assert_int_equal(b->n, 3000);
    size_t raw_bytes = 0;
    for (unsigned i = 0; i < 3000; i++) {
        const struct record *r = &b->records[i];
        struct slice raw = line(text, sizeof text, i);
        assert_true(slice_equal(r->raw, raw));
        assert_int_equal(r->crc, hash_crc32(0, raw.p, raw.n));
        assert_int_equal(r->offset, i * 2);
        assert_int_equal(r->next, i * 2 + 1);
        assert_int_equal(r->arrival_ms, i);
        assert_int_equal(r->reason, EVENT_OK);
        assert_true(r->event.user.n > 0);
        raw_bytes += raw.n;
    }
    assert_int_equal(b->raw_bytes, raw_bytes);
    assert_int_equal(b->first_ns, b->records[0].seen_ns);
    assert_true(b->bytes >= raw_bytes + 3000 * sizeof(struct record));
    batch_free(b);
}

static void test_full(void **state) {
    char text[128], *big = calloc(1, BATCH_MAX_BYTES);
    (void)state;
    struct batch *b = batch_new(NULL, 0, 2);
    assert_false(batch_is_full(b));
    assert_int_equal(batch_add(b, 0, 1, line(text, sizeof text, 0), 0, &context, NULL), 0);
    assert_false(batch_is_full(b));
    assert_int_equal(batch_add(b, 1, 2, line(text, sizeof text, 1), 0, &context, NULL), 0);
    assert_true(batch_is_full(b));
    batch_free(b);

    b = batch_new(NULL, 0, 100);
    assert_int_equal(batch_add(b, 0, 1, slice_of(big, BATCH_MAX_BYTES - 1), 0, &context, NULL), 0);
    assert_false(batch_is_full(b));
    assert_int_equal(batch_add(b, 1, 2, slice_of(big, 1), 0, &context, NULL), 0);
    assert_true(batch_is_full(b));
    assert_true(b->bytes >= BATCH_MAX_BYTES);
    batch_free(b);
    free(big);
}

static void test_bad_records_are_kept(void **state) {
    (void)state;
    struct batch *b = batch_new(NULL, 0, 10);
    assert_int_equal(batch_add(b, 7, 8, slice_of(NULL, 0), EVENT_NO_TIME, &context, NULL), 0);
    assert_int_equal(batch_add(b, 8, 9, slice_str(""), EVENT_NO_TIME, &context, NULL), 0);
    assert_int_equal(batch_add(b, 9, 10, slice_str("not json"), EVENT_NO_TIME, &context, NULL), 0);
    assert_int_equal(b->n, 3);
    assert_int_equal(b->records[0].reason, EVENT_NOT_JSON);
    assert_string_equal(b->records[0].error, "empty record");
    assert_int_equal(b->records[0].crc, 0);
    assert_int_equal(b->records[1].reason, EVENT_NOT_JSON);
    assert_int_equal(b->records[2].reason, EVENT_NOT_JSON);
    assert_non_null(b->records[2].error);
    assert_true(slice_is(b->records[2].raw, "not json"));
    batch_free(b);
}

/* Each request for memory fails once; what was there before stays, and the record can be added again. */
static void test_refused_memory(void **state) {
    char text[128];
    unsigned refused = 0;
    (void)state;
    for (uint64_t nth = 1; nth <= 4; nth++) {
        mem_fail_at(nth);
        struct batch *b = batch_new(NULL, 0, 64);
        if (!b) {
            mem_fail_at(0);
            refused++;
            continue;
        }
        for (unsigned i = 0; i < 64; i++) {
            struct err e = {0};
            int rc = batch_add(b, i, i + 1, line(text, sizeof text, i), 0, &context, &e);
            if (rc) {
                refused++;
                assert_int_equal(rc, ERR_NOMEM);
                assert_int_equal(e.code, ERR_NOMEM);
                assert_int_equal(b->n, i);
                assert_int_equal(batch_add(b, i, i + 1, line(text, sizeof text, i), 0, &context, NULL), 0);
            }
        }
        mem_fail_at(0);
        for (unsigned i = 0; i < 64; i++) assert_true(slice_equal(b->records[i].raw, line(text, sizeof text, i)));
        batch_free(b);
    }
    assert_true(refused >= 3);
    batch_free(NULL);
}

static void test_topics(void **state) {
    char topic[250], type[33];
    (void)state;
    const char *list = " clicks:click , raw,purchases:purchase,";
    assert_int_equal(source_kafka_topic(list, 0, topic, type), 1);
    assert_string_equal(topic, "clicks");
    assert_string_equal(type, "click");
    assert_int_equal(source_kafka_topic(list, 1, topic, type), 1);
    assert_string_equal(topic, "raw");
    assert_string_equal(type, "");
    assert_int_equal(source_kafka_topic(list, 2, topic, type), 1);
    assert_string_equal(topic, "purchases");
    assert_int_equal(source_kafka_topic(list, 3, topic, type), 0);
    assert_int_equal(source_kafka_topic("", 0, topic, type), 0);
}

static void test_source(void **state) {
    struct source *s = malloc(sizeof *s);
    char identity[64], longer[100];
    struct err e = {0};
    (void)state;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(source_init(s, longer, 1, 0, &e), ERR_RANGE);
    assert_int_equal(source_init(s, "", 1, 0, NULL), ERR_RANGE);
    assert_int_equal(source_init(s, "kafka:clicks", 5, 2, &e), 0);
    assert_int_equal(s->hash, hash64("kafka:clicks", 12, 0));
    assert_int_equal(s->allow, 5);
    assert_int_equal(s->default_type, 2);
    assert_int_equal(s->state, SOURCE_STARTING);
    source_identity(s, 0, identity);
    assert_string_equal(identity, "");
    source_set_identity(s, SOURCE_MAX_PARTITIONS - 1, "cluster-1");
    source_identity(s, SOURCE_MAX_PARTITIONS - 1, identity);
    assert_string_equal(identity, "cluster-1");
    source_set_identity(s, 0, longer);
    source_identity(s, 0, identity);
    assert_int_equal(strlen(identity), 63);
    source_set_identity(s, SOURCE_MAX_PARTITIONS, "beyond");
    source_identity(s, SOURCE_MAX_PARTITIONS, identity);
    assert_string_equal(identity, "");
    source_stop(s, "first");
    source_stop(s, "second");
    assert_int_equal(s->state, SOURCE_STOPPED);
    assert_string_equal(s->stop_reason, "first");
    source_done(s);
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_stay),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_bad_records_are_kept),
        cmocka_unit_test(test_refused_memory),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
