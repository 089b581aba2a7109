/* Asks the broker which partitions there are and where they begin and end, and has them read from the right place. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/kafka_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define MS UINT64_C(1000000)

/* As timestamps, ListOffsets takes these for the two ends of a log. */
#define AT_LOW  (-2)
#define AT_HIGH (-1)

struct ends { /* of the partitions asked about, in one order */
    rd_kafka_topic_partition_list_t *low, *high, *timed;
};

static int count(const struct source_kafka *k) {
    uint32_t n = 0;
    for (size_t i = 0; i < k->n_topics; i++) n += k->topics[i].n;
    return (int)n;
}

void kafka_state(struct source_kafka *k, enum source_state state) {
    for (size_t i = 0; i < k->n_topics; i++) {
        struct kafka_topic *t = &k->topics[i];
        bool pending = state == SOURCE_RUNNING && t->n == 0;
        atomic_store_explicit(&t->source->state, pending ? SOURCE_STARTING : (int)state, memory_order_relaxed);
    }
}

static void gone_away(struct source_kafka *k, rd_kafka_resp_err_t err) {
    const uint64_t now_ns = clock_steady_ns();
    if (!k->away || now_ns >= k->remind_ns) {
        log_line(LOG_WARN, "kafka_away", " reason=%s", rd_kafka_err2name(err));
        k->remind_ns = now_ns + KAFKA_REMIND_MS * MS;
    }
    k->away = k->suspect = true;
    kafka_state(k, SOURCE_AWAY);
}

static void came_back(struct source_kafka *k) {
    if (k->away && k->ever_up) {
        for (size_t i = 0; i < k->n_topics; i++)
            atomic_fetch_add_explicit(&k->topics[i].source->reconnects, 1, memory_order_relaxed);
    }
    if (k->away || !k->ever_up) log_line(LOG_INFO, "kafka_connected", " cluster=%s", k->cluster[0] ? k->cluster : "-");
    k->away = false;
    k->ever_up = true;
}

/* --- partitions --- */

static struct kafka_partition *part_new(struct kafka_topic *t) {
    struct kafka_partition *p = mem_zalloc(sizeof *p);
    if (!p) return NULL;
    struct position at = {0};
    p->topic = t;
    p->partition = t->n;
    p->due = true;
    p->eof = UINT64_MAX;
    const struct source_env *env = t->kafka->env;
    if (!t->forgotten) env->position(env->arg, t->source->name, p->partition, &at);
    p->unplaced = !at.known;
    if (at.known) {
        p->next = at.next;
        p->has_last = at.has_last;
        p->last = at.last;
        p->last_crc = at.last_crc;
        source_set_identity(t->source, p->partition, at.identity);
    }
    return p;
}

/* Makes the partitions up to n - 1. False when memory is refused. */
static bool grow(struct source_kafka *k, struct kafka_topic *t, uint32_t n) {
    uint32_t unread = n > SOURCE_MAX_PARTITIONS ? n - SOURCE_MAX_PARTITIONS : 0;
    atomic_store_explicit(&t->source->n_unread, unread, memory_order_relaxed);
    if (unread) {
        log_limited(&k->limit_other, LOG_ERROR, "kafka_partitions",
                    " topic=%s found=%" PRIu32 " limit=%d do=\"use fewer partitions: the rest is not read\"", t->name,
                    n, SOURCE_MAX_PARTITIONS);
        n = SOURCE_MAX_PARTITIONS;
    }
    while (t->n < n) {
        struct kafka_partition *p = part_new(t);
        if (!p) return false;
        t->parts[t->n++] = p;
    }
    atomic_store_explicit(&t->source->n_partitions, t->n, memory_order_relaxed);
    return true;
}

bool kafka_topics_load(struct source_kafka *k) {
    for (size_t i = 0; i < k->n_topics; i++) {
        struct kafka_topic *t = &k->topics[i];
        uint32_t n = 0;
        struct position at;
        for (uint32_t p = 0; p < SOURCE_MAX_PARTITIONS; p++) {
            at = (struct position){0};
            k->env->position(k->env->arg, t->source->name, p, &at);
            if (at.known) n = p + 1;
        }
        t->seen = n > 0;
        if (!grow(k, t, n)) return false;
    }
    return true;
}

void kafka_topic_close(struct kafka_topic *t) {
    if (t->handle) rd_kafka_topic_destroy(t->handle);
    t->handle = NULL;
}

/* Only for a topic that exists: librdkafka asks for any other over and over. */
static bool topic_open(struct source_kafka *k, struct kafka_topic *t) {
    if (t->handle) return true;
    rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(k->rk);
    if (!conf) return false;
    rd_kafka_topic_conf_set_opaque(conf, t);
    t->handle = rd_kafka_topic_new(k->rk, t->name, conf);
    if (!t->handle) rd_kafka_topic_conf_destroy(conf);
    return t->handle;
}

static bool all_open(const struct source_kafka *k) {
    for (size_t i = 0; i < k->n_topics; i++)
        if (!k->topics[i].handle) return false;
    return true;
}

void kafka_topic_clear(struct source_kafka *k, struct kafka_topic *t) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        struct kafka_partition *p = t->parts[i];
        if (p->assigned) rd_kafka_topic_partition_list_add(list, t->name, (int32_t)i);
        if (p->staged) kafka_flush(k, p);
    }
    for (uint32_t i = 0; i < t->n; i++) mem_free(t->parts[i]);
    if (k->rk && list->cnt) rd_kafka_error_destroy(rd_kafka_incremental_unassign(k->rk, list));
    rd_kafka_topic_partition_list_destroy(list);
    kafka_topic_close(t);
    t->n = 0;
    atomic_store_explicit(&t->source->n_partitions, 0, memory_order_relaxed);
}

/* --- discovery --- */

static const rd_kafka_metadata_topic_t *find(const rd_kafka_metadata_t *md, const char *name) {
    for (int i = 0; i < md->topic_cnt; i++)
        if (strcmp(md->topics[i].topic, name) == 0) return &md->topics[i];
    return NULL;
}

static void discover(struct source_kafka *k, struct kafka_topic *t, const rd_kafka_metadata_topic_t *m,
                     uint64_t now_ns) {
    const uint64_t soon = now_ns + KAFKA_RETRY_MS * MS;
    bool missing = !m || m->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (!missing && (m->err || m->partition_cnt == 0)) {
        if (m->err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
            log_limited(&k->limit_other, LOG_WARN, "kafka_topic", " topic=%s reason=%s", t->name,
                        rd_kafka_err2name(m->err));
        if (k->next_check_ns > soon) k->next_check_ns = soon;
        return;
    }
    uint32_t n = missing ? 0 : (uint32_t)m->partition_cnt;
    if (missing && t->n == 0 && !t->waited) {
        t->waited = true;
        log_line(LOG_WARN, "kafka_topic_missing", " topic=%s do=\"create it: it is waited for\"", t->name);
    }
    if (!kafka_gap_topic(k, t, n, now_ns)) return;
    if (n && (!topic_open(k, t) || !grow(k, t, n))) {
        log_limited(&k->limit_memory, LOG_ERROR, "kafka_memory", " topic=%s", t->name);
        k->next_check_ns = soon;
    }
}

/* --- the ends of the logs --- */

static rd_kafka_topic_partition_list_t *ask_list(const struct source_kafka *k, int64_t timestamp) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count(k));
    for (size_t i = 0; i < k->n_topics; i++)
        for (uint32_t p = 0; p < k->topics[i].n; p++)
            rd_kafka_topic_partition_list_add(list, k->topics[i].name, (int32_t)p)->offset = timestamp;
    return list;
}

static void ends_free(struct ends *e) {
    if (e->low) rd_kafka_topic_partition_list_destroy(e->low);
    if (e->high) rd_kafka_topic_partition_list_destroy(e->high);
    if (e->timed) rd_kafka_topic_partition_list_destroy(e->timed);
}

static rd_kafka_resp_err_t ends_ask(struct source_kafka *k, struct ends *e) {
    e->low = ask_list(k, AT_LOW);
    e->high = ask_list(k, AT_HIGH);
    rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(k->rk, e->low, KAFKA_CALL_MS);
    if (!err) err = rd_kafka_offsets_for_times(k->rk, e->high, KAFKA_CALL_MS);
    if (err || k->start != KAFKA_TIME) return err;
    e->timed = ask_list(k, k->start_ms);
    return rd_kafka_offsets_for_times(k->rk, e->timed, KAFKA_CALL_MS);
}

void kafka_ends(struct source_kafka *k) {
    rd_kafka_topic_partition_list_t *high = ask_list(k, AT_HIGH);
    rd_kafka_resp_err_t err =
        high->cnt ? rd_kafka_offsets_for_times(k->rk, high, KAFKA_CALL_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    int at = 0;
    for (size_t i = 0; i < k->n_topics && !err; i++)
        for (uint32_t p = 0; p < k->topics[i].n; p++, at++) {
            const rd_kafka_topic_partition_t *end = &high->elems[at];
            struct kafka_partition *part = k->topics[i].parts[p];
            if (!end->err && end->offset >= 0 && !part->unplaced) kafka_end(part, (uint64_t)end->offset);
        }
    rd_kafka_topic_partition_list_destroy(high);
}

/* --- placing --- */

static void place(struct source_kafka *k, struct kafka_partition *p, int64_t low, int64_t high, int64_t timed) {
    struct kafka_topic *t = p->topic;
    if (p->lost) {
        p->next = (uint64_t)low;
    } else if (k->start == KAFKA_TIME && timed != RD_KAFKA_OFFSET_INVALID) {
        p->next = (uint64_t)(timed >= 0 ? timed : high); /* negative: nothing is that new */
    } else {
        bool from_end = k->start == KAFKA_LATEST && !t->seen && !t->waited;
        p->next = (uint64_t)(from_end ? high : low);
    }
    log_line(LOG_INFO, "kafka_start",
             " topic=%s partition=%" PRIu32 " offset=%" PRIu64 " low=%" PRId64 " high=%" PRId64, t->name, p->partition,
             p->next, low, high);
    p->unplaced = p->lost = p->has_last = false;
}

/* Decides about one partition; adds it to assign when it is to be read (again) from an offset. False = ask again soon.
 */
static bool decide(struct source_kafka *k, struct kafka_partition *p, const struct ends *e, int i, uint64_t now_ns,
                   rd_kafka_topic_partition_list_t *assign) {
    CHECK(e->low && e->high);
    const rd_kafka_topic_partition_t *low = &e->low->elems[i], *high = &e->high->elems[i];
    struct kafka_topic *t = p->topic;
    char stored[64];
    const bool unknown = low->err || high->err || low->offset < 0 || high->offset < 0;
    if (unknown || (e->timed && e->timed->elems[i].err && p->unplaced)) {
        p->due = true; /* no leader, or not the log we had */
        return false;
    }
    if (p->unplaced)
        place(k, p, low->offset, high->offset, e->timed ? e->timed->elems[i].offset : RD_KAFKA_OFFSET_INVALID);
    kafka_end(p, (uint64_t)high->offset);
    if (!p->due && p->next <= (uint64_t)high->offset) return true;
    source_identity(t->source, p->partition, stored);
    if (!p->lost && !kafka_gap_cluster(k, p, stored, k->cluster) && k->stopped) return true;
    if (!p->lost && !kafka_gap_ends(k, p, (uint64_t)low->offset, (uint64_t)high->offset, now_ns) && !p->lost)
        return k->stopped;
    if (p->lost) {
        if (p->staged) kafka_flush(k, p); /* offsets may go back: not in one batch */
        place(k, p, low->offset, high->offset, RD_KAFKA_OFFSET_INVALID);
    }
    if (k->cluster[0]) source_set_identity(t->source, p->partition, k->cluster);
    if (!p->staged) atomic_store_explicit(&t->source->sent[p->partition], p->next, memory_order_relaxed);
    p->comparing = p->has_last && p->last >= (uint64_t)low->offset;
    p->eof = UINT64_MAX;
    rd_kafka_topic_partition_list_add(assign, t->name, (int32_t)p->partition)->offset =
        (int64_t)(p->comparing ? p->last : p->next);
    return true;
}

static void assign_all(struct source_kafka *k, rd_kafka_topic_partition_list_t *assign) {
    rd_kafka_topic_partition_list_t *old = rd_kafka_topic_partition_list_new(assign->cnt);
    for (size_t i = 0; i < k->n_topics; i++) {
        struct kafka_topic *t = &k->topics[i];
        for (uint32_t p = 0; p < t->n; p++)
            if (t->parts[p]->assigned && rd_kafka_topic_partition_list_find(assign, t->name, (int32_t)p))
                rd_kafka_topic_partition_list_add(old, t->name, (int32_t)p);
    }
    rd_kafka_error_t *error = old->cnt ? rd_kafka_incremental_unassign(k->rk, old) : NULL;
    rd_kafka_topic_partition_list_destroy(old);
    if (!error) error = rd_kafka_incremental_assign(k->rk, assign);
    if (error) {
        log_limited(&k->limit_other, LOG_ERROR, "kafka_assign", " reason=%s", rd_kafka_error_name(error));
        rd_kafka_error_destroy(error);
        k->reopen = true; /* nothing is known about what is assigned: begin anew */
        return;
    }
    for (int i = 0; i < assign->cnt; i++)
        for (size_t j = 0; j < k->n_topics; j++) {
            struct kafka_topic *t = &k->topics[j];
            if (strcmp(t->name, assign->elems[i].topic)) continue;
            struct kafka_partition *p = kafka_part(t, assign->elems[i].partition);
            p->assigned = true;
            p->due = false;
        }
}

static void decide_all(struct source_kafka *k, const struct ends *e, bool suspect, uint64_t now_ns) {
    rd_kafka_topic_partition_list_t *assign = rd_kafka_topic_partition_list_new(count(k));
    bool settled = true;
    int at = 0;
    for (size_t i = 0; i < k->n_topics && !k->stopped; i++) {
        struct kafka_topic *t = &k->topics[i];
        bool placed = t->n > 0;
        for (uint32_t p = 0; p < t->n && !k->stopped; p++, at++) {
            settled = decide(k, t->parts[p], e, at, now_ns, assign) && settled;
            placed = placed && !t->parts[p]->unplaced;
        }
        if (placed) t->seen = true;
    }
    if (suspect) k->metadata_known = atomic_load(&k->watch.metadata_asked); /* all are compared after this */
    if (!k->stopped && assign->cnt) assign_all(k, assign);
    rd_kafka_topic_partition_list_destroy(assign);
    uint64_t soon = now_ns + KAFKA_RETRY_MS * MS;
    if (!settled && k->next_check_ns > soon) k->next_check_ns = soon;
}

static void ask_cluster(struct source_kafka *k) {
    char *id = rd_kafka_clusterid(k->rk, KAFKA_CALL_MS);
    snprintf(k->cluster, sizeof k->cluster, "%s", id ? id : "");
    if (id) rd_kafka_mem_free(k->rk, id);
}

bool kafka_uneasy(const struct source_kafka *k) { return atomic_load(&k->watch.metadata_asked) != k->metadata_known; }

void kafka_check(struct source_kafka *k) {
    const rd_kafka_metadata_t *md = NULL;
    struct ends ends = {0};
    const bool suspect = k->suspect;
    k->suspect = false; /* what is lost from here on asks for another check */
    k->metadata_known = atomic_load(&k->watch.metadata_asked) + 1; /* our own request */
    k->next_check_ns = clock_steady_ns() + KAFKA_RETRY_MS * MS;

    rd_kafka_resp_err_t err = rd_kafka_metadata(k->rk, !all_open(k), NULL, &md, KAFKA_CALL_MS);
    if (err) goto out;
    if (atomic_exchange(&k->watch.other_cluster, false)) {
        k->reopen = true;
        goto out;
    }
    ask_cluster(k);
    const uint64_t now_ns = clock_steady_ns();
    k->next_check_ns = now_ns + k->refresh_ns;
    for (size_t i = 0; i < k->n_topics && !k->stopped; i++) {
        struct kafka_topic *t = &k->topics[i];
        discover(k, t, find(md, t->name), now_ns);
        for (uint32_t p = 0; suspect && p < t->n; p++) t->parts[p]->due = true;
    }
    if (k->stopped) goto out;
    if (count(k)) err = ends_ask(k, &ends);
    if (err && (err == RD_KAFKA_RESP_ERR__TIMED_OUT || err == RD_KAFKA_RESP_ERR__TRANSPORT)) goto out;
    came_back(k);
    kafka_state(k, SOURCE_RUNNING);
    if (!err && count(k)) decide_all(k, &ends, suspect, now_ns);
    if (err) {
        k->suspect = suspect;
        k->next_check_ns = now_ns + KAFKA_RETRY_MS * MS;
        err = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
out:
    if (err) gone_away(k, err);
    ends_free(&ends);
    if (md) rd_kafka_metadata_destroy(md);
}
