/* Replays: records in journaled order, or in the order of their one partition. */
#include "daemon/replay.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/checkpoint.h"
#include "daemon/digest.h"
#include "daemon/engine.h"
#include "daemon/replay_feed.h"
#include "daemon/sources.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define RECORDS_AT_ONCE  1024
#define CHECKPOINT_BYTES (256u << 20)

struct replay {
    const struct replay_options *o;
    int lock, journal_lock;
    struct store *store, *journal;
    struct engine *engine;
    struct checkpoint *checkpoint;
    struct replay_feed *feed;
    struct source *sources; /* (n_sources) as configured */
    size_t n_sources;
    uint64_t records, from;
};

static int write_checkpoint(struct replay *r, struct err *e) {
    engine_publish(r->engine);
    int rc = checkpoint_begin(r->checkpoint, e);
    if (rc < 0) return rc;
    rc = checkpoint_write(r->checkpoint, r->store, e);
    checkpoint_end(r->checkpoint, rc == 0);
    return rc;
}

static int apply_one(struct replay *r, const struct batch *b, const struct record *rec, struct err *e) {
    enum event_reason reason;
    int rc = engine_apply(r->engine, b->source->index, b->partition, rec, &reason, e);
    if (rc == ERR_FULL) { /* a cache wants to be written first */
        rc = write_checkpoint(r, e);
        if (rc == 0) rc = engine_apply(r->engine, b->source->index, b->partition, rec, &reason, e);
    }
    return rc;
}

static int apply_batch(struct replay *r, const struct batch *b, struct err *e) {
    int rc = 0;
    for (size_t k = 0; k < b->n && rc == 0; k++) {
        const struct record *coming = k + MODEL_AHEAD < b->n ? &b->records[k + MODEL_AHEAD] : NULL;
        engine_expect(r->engine, b->source->index, b->partition, coming);
        rc = apply_one(r, b, &b->records[k], e);
    }
    if (rc < 0) return rc;
    r->records += b->n;
    engine_publish(r->engine);
    if (checkpoint_estimate(r->engine) > CHECKPOINT_BYTES * UINT64_C(4) || checkpoint_pressing(r->engine))
        rc = write_checkpoint(r, e);
    if (r->o->progress) r->o->progress(r->o->arg, r->records);
    return rc;
}

/* count records of one partition from offset first to offset last (UINT64_MAX both: all there are). */
static int learn_run(struct replay *r, struct source *s, uint32_t partition, uint64_t first, uint64_t last,
                     uint64_t count, struct err *e) {
    uint64_t from = first, done = 0;
    int rc = 1;
    while (rc == 1 && done < count) {
        struct batch *b = batch_new(s, partition, RECORDS_AT_ONCE);
        if (!b) return err_set(e, ERR_NOMEM, "replay", "no memory");
        struct replay_record rec;
        while (done < count && !batch_is_full(b) &&
               (rc = replay_feed_next(r->feed, s->name, partition, from, &rec, e)) == 1) {
            if (rec.offset > last) { /* a record of the run is gone; those after it belong to another */
                rc = 0;
                break;
            }
            struct event_context c = source_context(s, &r->engine->rules);
            c.key = rec.key;
            c.record_ms = rec.record_ms;
            rc = batch_add(b, rec.offset, rec.next, rec.value, rec.arrival_ms, &c, e);
            if (rc < 0) break;
            from = rec.next;
            done++;
            rc = 1;
        }
        int applied = rc < 0 ? rc : apply_batch(r, b, e);
        batch_free(b);
        if (applied < 0) return applied;
    }
    if (count != UINT64_MAX && done < count)
        return err_set(e, ERR_MISSING, "log",
                       "source \"%s\" partition %u, before offset %llu: %llu records of a journaled run are missing",
                       s->name, partition, (unsigned long long)last + 1, (unsigned long long)(count - done));
    return 0;
}

static struct source *find_source(struct replay *r, const char *name, struct err *e) {
    for (size_t k = 0; k < r->n_sources; k++)
        if (strcmp(r->sources[k].name, name) == 0) return &r->sources[k];
    (void)err_set(e, ERR_MISMATCH, "sources",
                  "source \"%s\" is not in the configuration: its event types and rights are not known", name);
    return NULL;
}

/* The next line that names no rule: those change within a journal. False at the end. */
static bool next_line(struct slice *text, struct slice *line) {
    while (text->n > 0) {
        const char *end = memchr(text->p, '\n', text->n);
        *line = slice_of(text->p, end ? (size_t)(end - text->p) : text->n);
        *text = slice_of(line->p + line->n + (end != NULL), text->n - line->n - (end != NULL));
        if (line->n < 5 || memcmp(line->p, "rule.", 5) != 0) return true;
    }
    *line = slice_of("", 0);
    return false;
}

static int check_epoch(const struct replay *r, const struct journal_entry *entry, struct err *e) {
    struct slice then = entry->epoch_text, now = slice_str(engine_in_force(r->engine)->epoch_text), a, b;
    for (;;) {
        bool more = next_line(&then, &a), more_now = next_line(&now, &b);
        if (!more && !more_now) return 0;
        if (slice_equal(a, b)) continue;
        return err_set(e, ERR_MISMATCH, "configuration",
                       "from sequence %llu on the journal was learned with \"%.*s\", the configuration has \"%.*s\"",
                       (unsigned long long)entry->run.sequence, (int)a.n, a.p, (int)b.n, b.p);
    }
}

/* The rules that were in force from here on. */
static int take_rules(struct replay *r, const struct journal_entry *entry, struct err *e) {
    struct config then;
    struct reweight *w;
    int rc = config_with_rules(r->o->config, entry->epoch_text, &then, e);
    if (rc < 0) return rc;
    rc = reweight_new(&then, &r->engine->rules, &w, e);
    config_drop_rules(&then);
    if (rc < 0) return rc;
    rc = engine_set_rules(r->engine, w, e);
    if (rc == ERR_FULL) rc = write_checkpoint(r, e) < 0 ? rc : engine_set_rules(r->engine, w, e);
    if (rc < 0) reweight_free(w);
    return rc;
}

static int begin_epoch(struct replay *r, const struct journal_entry *entry, struct err *e) {
    int rc = check_epoch(r, entry, e);
    return rc < 0 || r->o->own_rules ? rc : take_rules(r, entry, e);
}

static int learn_journal(struct replay *r, struct err *e) {
    struct store_scan *scan;
    struct slice key, value;
    int rc = store_scan_begin(r->journal, &scan, e);
    if (rc < 0) return rc;
    rc = store_scan_seek(scan, STORE_JOURNAL, slice_of(NULL, 0), e);
    while (rc == 0 && (rc = store_scan_next(scan, &key, &value, e)) == 1) {
        struct journal_entry entry;
        struct source *s;
        rc = engine_decode_journal(key, value, &entry, e);
        if (rc < 0) break;
        if (entry.is_epoch) {
            rc = begin_epoch(r, &entry, e);
            continue;
        }
        if (entry.run.sequence != r->engine->sequence + 1)
            rc = err_set(e, ERR_MISSING, "journal",
                         "the journal begins or goes on at sequence %llu, %llu was expected: what is before was cut",
                         (unsigned long long)entry.run.sequence, (unsigned long long)r->engine->sequence + 1);
        else
            rc = (s = find_source(r, entry.name, e))
                     ? learn_run(r, s, entry.run.partition, entry.run.first, entry.run.last, entry.run.count, e)
                     : ERR_MISMATCH;
    }
    store_scan_end(scan);
    return rc;
}

static int learn_only(struct replay *r, struct err *e) {
    const char *name;
    int rc = replay_feed_only(r->feed, &name, &r->from, e);
    struct source *s = rc == 0 ? find_source(r, name, e) : NULL;
    return s ? learn_run(r, s, 0, r->from, UINT64_MAX, UINT64_MAX, e) : rc < 0 ? rc : ERR_MISMATCH;
}

static int open_into(struct replay *r, struct err *e) {
    const struct config *c = r->o->config;
    struct store_options o = {.dir = r->o->into,
                              .map_size = c->map_size,
                              .preallocate = c->preallocate_bytes,
                              .dirty_bytes = c->page_memory_bytes,
                              .max_readers = 4,
                              .create = true};
    if (mkdir(r->o->into, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "into", "%s cannot be made: %s", r->o->into, strerror(errno));
    int rc = store_lock_dir(r->o->into, &r->lock, e);
    if (rc == 0) rc = store_open(&o, &r->store, e);
    if (rc == 0) rc = engine_new(c, r->store, 2, &r->engine, e);
    if (rc == 0) rc = engine_load(r->engine, r->store, NULL, e);
    if (rc == 1)
        return err_set(e, ERR_MISMATCH, "into", "%s holds a model already: give an empty directory", r->o->into);
    if (rc == 0) rc = checkpoint_new(r->engine, 0, &r->checkpoint, e);
    return rc;
}

static int open_journal(struct replay *r, struct err *e) {
    struct store_options o = {
        .dir = r->o->journal, .map_size = r->o->config->map_size, .max_readers = 4, .read_only = true};
    if (!r->o->journal) return 0;
    int rc = store_lock_dir(r->o->journal, &r->journal_lock, e);
    return rc < 0 ? rc : store_open(&o, &r->journal, e);
}

static int open_sources(struct replay *r, struct err *e) {
    r->sources = mem_zalloc(SOURCES_MAX * sizeof *r->sources);
    if (!r->sources) return err_set(e, ERR_NOMEM, "replay", "no memory");
    int rc = sources_configure(r->o->config, &r->engine->rules, r->sources, &r->n_sources, e);
    for (size_t k = 0; k < r->n_sources && rc == 0; k++)
        rc = engine_source(r->engine, r->sources[k].name, &r->sources[k].index, e);
    return rc;
}

int replay_run(const struct replay_options *o, struct replay_result *out, struct err *e) {
    struct replay r = {.o = o, .lock = -1, .journal_lock = -1};
    struct digest d = {0};
    uint64_t start = clock_steady_ns();
    int rc = open_into(&r, e);
    if (rc == 0) rc = open_journal(&r, e);
    if (rc == 0) rc = open_sources(&r, e);
    if (rc == 0) rc = replay_feed_open(o, &r.feed, e);
    if (rc == 0) rc = o->journal ? learn_journal(&r, e) : learn_only(&r, e);
    if (rc == 0) rc = write_checkpoint(&r, e);
    if (rc == 0) rc = digest_compute(r.store, &d, e);
    if (rc == 0) {
        *out = (struct replay_result){.records = r.records,
                                      .learned = r.engine->learned,
                                      .from = r.from,
                                      .seconds = (double)(clock_steady_ns() - start) / 1e9};
        memcpy(out->digest, d.hex, sizeof d.hex);
    }
    replay_feed_close(r.feed);
    checkpoint_free(r.checkpoint);
    engine_free(r.engine);
    if (r.sources) sources_done(r.sources, r.n_sources);
    mem_free(r.sources);
    if (r.journal) store_close(r.journal);
    if (r.store) store_close(r.store);
    if (r.journal_lock >= 0) close(r.journal_lock);
    if (r.lock >= 0) close(r.lock);
    return rc;
}
