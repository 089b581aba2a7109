/* Whether a log is still the one we knew: four comparisons, one place that says so and decides what follows. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/kafka_priv.h"

#define ADVICE                                                                                                         \
    "restore the topic, or set kafka.on_gap = continue and restart to go on from what the topic holds now, or start "  \
    "with "                                                                                                            \
    "an empty data_dir"

/* Logs the break and applies on_gap. False when the source is stopped now. */
static bool passed(struct source_kafka *k, struct kafka_topic *t, int64_t partition, const char *expected,
                   const char *found) {
    char reason[sizeof t->source->stop_reason], q[3][400];
    if (partition >= 0)
        snprintf(reason, sizeof reason, "topic %.100s partition %" PRId64 ": expected %s, found %s", t->name, partition,
                 expected, found);
    else
        snprintf(reason, sizeof reason, "topic %.100s: expected %s, found %s", t->name, expected, found);
    log_quote(q[0], sizeof q[0], t->name, strlen(t->name));
    log_quote(q[1], sizeof q[1], expected, strlen(expected));
    log_quote(q[2], sizeof q[2], found, strlen(found));
    atomic_fetch_add_explicit(&t->source->breaks, 1, memory_order_relaxed);
    if (!k->stop_on_gap) {
        log_line(LOG_WARN, "kafka_gap", " topic=%s partition=%" PRId64 " expected=%s found=%s action=continue", q[0],
                 partition, q[1], q[2]);
        return true;
    }
    log_line(LOG_ERROR, "kafka_gap", " topic=%s partition=%" PRId64 " expected=%s found=%s action=stop do=\"%s\"", q[0],
             partition, q[1], q[2], ADVICE);
    k->stopped = true;
    for (size_t i = 0; i < k->n_topics; i++) source_stop(k->topics[i].source, reason);
    return false;
}

__attribute__((format(printf, 3, 4))) static void say(char *out, size_t size, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(out, size, fmt, args);
    va_end(args);
}

/* The partition goes on from the first offset its log has. */
static bool lose(struct source_kafka *k, struct kafka_partition *p, const char *expected, const char *found) {
    if (passed(k, p->topic, p->partition, expected, found)) {
        p->lost = p->due = true;
        p->comparing = p->has_last = false;
        p->doubt_ns = 0;
        k->next_check_ns = 0;
    }
    return false;
}

bool kafka_gap_cluster(struct source_kafka *k, struct kafka_partition *p, const char *stored, const char *found) {
    char expected[96], text[96];
    if (!stored[0] || !found[0] || strcmp(stored, found) == 0) return true;
    say(expected, sizeof expected, "cluster %s", stored);
    say(text, sizeof text, "cluster %s", found);
    return lose(k, p, expected, text);
}

/* Whether what began at *since has lasted; until then the next check comes soon. A broker that just started or took
 * over may lag behind for a moment. */
static bool lasted(struct source_kafka *k, uint64_t *since, uint64_t now_ns) {
    if (!*since) *since = now_ns;
    if (now_ns - *since >= KAFKA_CONFIRM_MS * UINT64_C(1000000)) return true;
    uint64_t again = now_ns + KAFKA_RETRY_MS * UINT64_C(1000000);
    if (k->next_check_ns > again) k->next_check_ns = again;
    return false;
}

bool kafka_gap_ends(struct source_kafka *k, struct kafka_partition *p, uint64_t low, uint64_t high, uint64_t now_ns) {
    char expected[96], found[128];
    say(expected, sizeof expected, "offset %" PRIu64, p->next);
    if (p->next > high) {
        p->due = true;
        if (!lasted(k, &p->doubt_ns, now_ns)) return false;
        say(found, sizeof found, "a log of offsets %" PRIu64 " to %" PRIu64 " (cut, or deleted and created again)", low,
            high);
        return lose(k, p, expected, found);
    }
    p->doubt_ns = 0;
    if (p->next < low) {
        say(found, sizeof found, "a log that begins at %" PRIu64 " (%" PRIu64 " offsets were removed unread)", low,
            low - p->next);
        return lose(k, p, expected, found);
    }
    return true;
}

bool kafka_gap_record(struct source_kafka *k, struct kafka_partition *p, uint32_t crc) {
    char expected[96], found[96];
    if (crc == p->last_crc) return true;
    say(expected, sizeof expected, "the record with CRC %08" PRIx32 " at offset %" PRIu64, p->last_crc, p->last);
    say(found, sizeof found, "one with CRC %08" PRIx32 " (another log)", crc);
    return lose(k, p, expected, found);
}

bool kafka_gap_topic(struct source_kafka *k, struct kafka_topic *t, uint32_t partitions_found, uint64_t now_ns) {
    if (partitions_found >= t->n) {
        t->doubt_ns = 0;
        return true;
    }
    if (!lasted(k, &t->doubt_ns, now_ns)) return false;
    t->doubt_ns = 0;
    char expected[64], found[64];
    say(expected, sizeof expected, "%" PRIu32 " partitions", t->n);
    if (partitions_found)
        say(found, sizeof found, "%" PRIu32 " (deleted and created again)", partitions_found);
    else
        say(found, sizeof found, "no such topic (deleted)");
    if (passed(k, t, -1, expected, found)) {
        kafka_topic_clear(k, t);
        t->forgotten = true;
    }
    return false;
}
