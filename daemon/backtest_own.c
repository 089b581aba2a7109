/* rankd's own log, and topics: records as they stand, in the order of a journal, or of their one partition, or by time.
 */
#include <string.h>
#include <unistd.h>

#include "daemon/backtest_log.h"
#include "daemon/engine.h"
#include "daemon/kafka_reader.h"
#include "daemon/replay_feed.h"
#include "lib/base/mem.h"
#include "lib/store/store.h"

struct taking {
    struct backtest_log *log;
    const struct backtest_input *in;
    struct replay_options options;
    struct replay_feed *feed;
};

static int64_t time_of(const struct replay_record *r) {
    return r->record_ms != EVENT_NO_TIME ? r->record_ms : r->arrival_ms;
}

/* Whether the record lies before this end. Those without a time lie behind every time. */
static bool is_before(const struct backtest_end *end, const struct replay_record *r) {
    if (end->kind == BACKTEST_OFFSET) return r->offset < end->offset;
    return end->kind == BACKTEST_TIME && time_of(r) != EVENT_NO_TIME && time_of(r) < end->ms;
}

static bool is_wanted(const struct taking *t, const struct replay_record *r) {
    const struct backtest_end *to = &t->in->to;
    return !is_before(&t->in->from, r) && (to->kind == BACKTEST_OPEN || is_before(to, r));
}

static int take(struct taking *t, uint32_t source, uint32_t partition, const struct replay_record *r, struct err *e) {
    struct backtest_record rec = {.source = source,
                                  .partition = partition,
                                  .n_lines = 1,
                                  .offset = r->offset,
                                  .next = r->next,
                                  .record_ms = r->record_ms,
                                  .arrival_ms = r->arrival_ms};
    backtest_log_count(t->log, t->in);
    return is_wanted(t, r) ? backtest_log_add(t->log, &rec, r->value, r->key, e) : 0;
}

/* --- in the order of one partition, or of a run of a journal --- */

static int take_run(struct taking *t, const char *name, uint32_t partition, uint64_t first, uint64_t last,
                    uint64_t count, struct err *e) {
    uint32_t source;
    uint64_t from = first, done = 0;
    struct replay_record r;
    int rc = backtest_log_source(t->log, name, false, &source, e);
    while (rc == 0 && done < count) {
        rc = replay_feed_next(t->feed, name, partition, from, &r, e);
        if (rc <= 0 || r.offset > last) break;
        rc = take(t, source, partition, &r, e);
        from = r.next;
        done++;
    }
    if (rc >= 0 && count != UINT64_MAX && done < count)
        return err_set(e, ERR_MISSING, "log",
                       "source \"%s\" partition %u, before offset %llu: %llu records of a journaled run are missing",
                       name, partition, (unsigned long long)last + 1, (unsigned long long)(count - done));
    return rc < 0 ? rc : 0;
}

static int take_journal(struct taking *t, struct store *journal, struct err *e) {
    struct store_scan *scan;
    struct slice key, value;
    struct journal_entry entry;
    int rc = store_scan_begin(journal, &scan, e);
    if (rc < 0) return rc;
    rc = store_scan_seek(scan, STORE_JOURNAL, slice_of(NULL, 0), e);
    while (rc == 0 && (rc = store_scan_next(scan, &key, &value, e)) == 1) {
        rc = engine_decode_journal(key, value, &entry, e);
        if (rc == 0 && !entry.is_epoch)
            rc = take_run(t, entry.name, entry.run.partition, entry.run.first, entry.run.last, entry.run.count, e);
    }
    store_scan_end(scan);
    return rc;
}

static int open_journal(struct taking *t, struct err *e) {
    struct store_options o = {
        .dir = t->in->journal, .map_size = t->in->config->map_size, .max_readers = 4, .read_only = true};
    struct store *journal = NULL;
    int lock = -1, rc = store_lock_dir(t->in->journal, &lock, e);
    if (rc == 0) rc = store_open(&o, &journal, e);
    if (rc == 0) rc = take_journal(t, journal, e);
    if (journal) store_close(journal);
    if (lock >= 0) close(lock);
    return rc;
}

/* --- several partitions without a journal: by the time of their records --- */

struct partition {
    const char *topic;
    struct kafka_reader *reader;
    uint32_t source, number;
    bool there; /* a record waits */
    struct kafka_record record;
};

static int next_of(struct partition *p, uint64_t from, struct err *e) {
    int rc = kafka_reader_next(p->reader, p->number, from, &p->record, e);
    p->there = rc == 1;
    return rc < 0 ? rc : 0;
}

static bool is_earlier(const struct partition *a, const struct partition *b) {
    return b->there && (!a->there || b->record.record_ms < a->record.record_ms);
}

static int merge(struct taking *t, struct partition *p, size_t n, struct err *e) {
    int rc = 0;
    for (size_t k = 0; k < n && rc == 0; k++) rc = next_of(&p[k], kafka_reader_first(p[k].reader, p[k].number), e);
    while (rc == 0) {
        size_t best = 0;
        for (size_t k = 1; k < n; k++)
            if (is_earlier(&p[best], &p[k])) best = k;
        if (!p[best].there) break;
        const struct kafka_record *k = &p[best].record;
        struct replay_record r = {k->offset, k->offset + 1, k->key, k->value, k->record_ms, k->arrival_ms};
        rc = take(t, p[best].source, p[best].number, &r, e);
        if (rc == 0) rc = next_of(&p[best], r.next, e);
    }
    return rc;
}

static int take_topics(struct taking *t, struct err *e) {
    const struct backtest_input *in = t->in;
    struct kafka_reader **readers = mem_zalloc((in->n_topics + 1) * sizeof *readers);
    struct partition *all = NULL;
    char name[300];
    size_t n = 0;
    int rc = readers ? 0 : err_set(e, ERR_NOMEM, "kafka", "no memory");
    for (size_t k = 0; k < in->n_topics && rc == 0; k++) {
        uint32_t source;
        rc = kafka_reader_open(in->config, in->topics[k], &readers[k], e);
        snprintf(name, sizeof name, "kafka:%.250s", in->topics[k]);
        if (rc == 0) rc = backtest_log_source(t->log, name, false, &source, e);
        uint32_t more = rc == 0 ? kafka_reader_partitions(readers[k]) : 0;
        struct partition *grown = rc == 0 ? mem_realloc(all, (n + more + 1) * sizeof *all) : NULL;
        if (rc == 0 && !grown) rc = err_set(e, ERR_NOMEM, "kafka", "no memory");
        if (rc < 0) break;
        all = grown;
        for (uint32_t p = 0; p < more; p++)
            all[n++] = (struct partition){.topic = in->topics[k], .reader = readers[k], .source = source, .number = p};
    }
    if (rc == 0) rc = merge(t, all, n, e);
    for (size_t k = 0; readers && k < in->n_topics; k++)
        if (readers[k]) kafka_reader_close(readers[k]);
    mem_free(readers);
    mem_free(all);
    return rc;
}

int backtest_read_own(struct backtest_log *l, const struct backtest_input *in, struct err *e) {
    struct taking t = {.log = l,
                       .in = in,
                       .options = {.config = in->config,
                                   .journal = in->journal,
                                   .source = in->source,
                                   .logs = in->files,
                                   .n_logs = in->n_files,
                                   .topics = in->topics,
                                   .n_topics = in->n_topics}};
    const char *name;
    uint64_t first;
    if (!in->journal && in->n_topics > 0) {
        if (in->n_files == 0) return take_topics(&t, e);
        return err_set(e, ERR_RANGE, "journal",
                       "an own log beside topics: their order is only in a journal "
                       "(--journal DIR)");
    }
    int rc = replay_feed_open(&t.options, &t.feed, e);
    if (rc == 0 && in->journal) rc = open_journal(&t, e);
    if (rc == 0 && !in->journal) {
        rc = replay_feed_only(t.feed, &name, &first, e);
        if (rc == 0) rc = take_run(&t, name, 0, first, UINT64_MAX, UINT64_MAX, e);
    }
    replay_feed_close(t.feed);
    return rc;
}
