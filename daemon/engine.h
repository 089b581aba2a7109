/* What a log determines: the model, how far each source was applied, the journal of the applied order, and the counts.
 *
 * Applies one record at a time; nothing but the records, in order, the configuration and the seed enters. The daemon's
 * learner, `rankd replay` and every test go through engine_apply. One thread (the learner). */
#ifndef RANKD_DAEMON_ENGINE_H
#define RANKD_DAEMON_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/batch.h"
#include "daemon/config.h"
#include "daemon/reweight.h"
#include "daemon/source.h"
#include "lib/base/err.h"
#include "lib/model/model.h"
#include "lib/store/store.h"
#include "proto/event.h"

#define ENGINE_MAX_SOURCES    256
#define ENGINE_POSITION_BYTES 21u /* of a stored position, before its identity */
#define ENGINE_MAX_EPOCHS     64u /* that wait for a checkpoint */

struct engine_run {    /* consecutive applied records of one partition */
    uint64_t sequence; /* of its first record; the first record of all has sequence 1 */
    uint32_t source, partition;
    uint64_t first, last, count; /* offsets of its first and last record, number of records */
    uint64_t generation;
};

/* What became of the records of a source since the start. Rows: the event types by bit, the other kinds, and last the
 * records whose type nobody knows, since they could not be read. Relaxed atomics, written by the learner alone. */
#define ENGINE_COUNTED_TYPES (EVENT_MAX_TYPES + EVENT_DELETE + 1)
struct engine_outcomes {
    _Atomic uint64_t n[ENGINE_COUNTED_TYPES][EVENT_REASONS];
};

struct engine_source {
    char name[96];
    struct engine_outcomes *outcomes;
    const struct source *attached; /* asked for identities; NULL when the source is not configured now */
    struct position *positions;    /* (n) by partition */
    uint32_t n;
};

struct engine_epoch {  /* the learning configuration and arithmetic from a record on */
    uint64_t sequence; /* of that record */
    uint64_t hash[2];
    char *text;
};

struct engine_bad { /* a bad event on its way to the ring */
    uint64_t number;
    struct buf row;
};

struct engine {
    const struct config *config;
    struct event_rules rules; /* for the decoders; types stand at their bit, those no longer configured have no name */
    struct model *model;
    char types[EVENT_MAX_TYPES][33]; /* bit of an event type in users' rows -> name; kept in the data directory */
    size_t n_types;
    struct engine_source sources[ENGINE_MAX_SOURCES];
    uint32_t n_sources;
    uint64_t generation;
    uint64_t sequence; /* records applied */
    uint64_t learned;  /* accepted ones; sequence = learned + sum of skipped */
    uint64_t skipped[EVENT_REASONS];
    uint64_t kinds[EVENT_DELETE + 1];    /* accepted, by kind */
    _Atomic(struct reweight *) reweight; /* rules in force, with the text of the epoch; others read it in an epoch
                                            section of the model's */

    struct engine_run *runs; /* (n_runs) since the last checkpoint; the last one is open */
    size_t n_runs, cap_runs;
    size_t held_bytes;           /* of ids and texts that a failed checkpoint still holds */
    struct engine_epoch *epochs; /* (n_epochs) not durable yet; ascending sequences, of equal ones the last counts */
    size_t n_epochs;
    uint64_t epoch_sequence; /* where the last epoch begins: no run goes on across it */

    struct engine_bad *bad; /* (n_bad) since the last checkpoint */
    size_t n_bad, cap_bad;
    uint64_t bad_next; /* number of the next bad event */

    /* relaxed atomics for other threads, set by engine_publish */
    _Atomic uint64_t published_sequence, published_learned, published_skipped[EVENT_REASONS],
        published_kinds[EVENT_DELETE + 1];
    _Atomic uint64_t published_bad_dropped; /* bad events that the ring keeps no longer */
    _Atomic uint64_t durable_sequence;
};

/* An empty engine over a store for user and neighbour rows (NULL = none: everything must fit into the cache), with the
 * event types that the store knows. n_readers as in model_new. */
int engine_new(const struct config *c, struct store *store, unsigned n_readers, struct engine **out,
               struct err *e) ERR_MUST_CHECK;
void engine_free(struct engine *g);

/* What the model is a function of, by g->config and the event types that g knows. */
void engine_params(const struct engine *g, struct model_params *p);

/* What the decoders must know under a configuration: n_types event types, the bit of each its index; those that c does
 * not have are unknown to the decoders. ERR_SYNTAX, ERR_RANGE: names of fields that do not go together. */
int engine_rules(const struct config *c, char (*types)[33], size_t n_types, struct event_rules *out,
                 struct err *e) ERR_MUST_CHECK;

/* The number of a source by name, a new one if need be. ERR_FULL past ENGINE_MAX_SOURCES. */
int engine_source(struct engine *g, const char *name, uint32_t *index, struct err *e) ERR_MUST_CHECK;
/* The applied position; known = false when there is none. */
void engine_position(const struct engine *g, const char *name, uint32_t partition, struct position *out);

/* Learner, between two records: w is in force from the next one on; the engine owns it. Nothing happens when it says
 * what is in force already. ERR_FULL: ENGINE_MAX_EPOCHS changes wait for a checkpoint; ERR_NOMEM. On failure w stays
 * the caller's. */
int engine_set_rules(struct engine *g, struct reweight *w, struct err *e) ERR_MUST_CHECK;
static inline struct reweight *engine_in_force(const struct engine *g) {
    return atomic_load_explicit(&g->reweight, memory_order_acquire);
}

/* Applies one record: learns it, or counts it as skipped. source: from engine_source. *reason tells which. An error
 * means that the record was not applied and must be given again later: ERR_FULL (users, neighbours: a checkpoint is
 * needed first), ERR_NOMEM, ERR_CORRUPT, ERR_IO. */
int engine_apply(struct engine *g, uint32_t source, uint32_t partition, const struct record *r,
                 enum event_reason *reason, struct err *e) ERR_MUST_CHECK;

/* Events of this row of engine_outcomes that were learned or stored since the start, from all sources. Any thread. */
uint64_t engine_learned_of(const struct engine *g, size_t row);

/* A hint: r (NULL = none) is applied after MODEL_AHEAD other records. One call before each engine_apply; changes
 * nothing but its speed. source and partition as there. */
void engine_expect(struct engine *g, uint32_t source, uint32_t partition, const struct record *r);

/* Makes what was applied visible to readers. */
void engine_publish(struct engine *g);

/* Load from the store into a new engine: 1 when there was a state, 0 when the store is empty. ERR_MISMATCH when
 * dimension or seed differ (with the operator's choices); ERR_CORRUPT names the place. ERR_STOPPED soon after another
 * thread has set *stop, which may be NULL; on an error the engine is good for engine_free alone. */
int engine_load(struct engine *g, struct store *store, const _Atomic bool *stop, struct err *e) ERR_MUST_CHECK;

/* The state that was loaded ends with this epoch: that of the configuration goes on or begins. */
void engine_loaded_epoch(struct engine *g, const uint64_t hash[2]);

/* Rows of META, POSITION, JOURNAL. */
void engine_encode_state(const struct engine *g, struct buf *out);
void engine_encode_run(const struct engine *g, const struct engine_run *run, struct buf *out);
void engine_encode_epoch(const struct engine *g, const struct engine_epoch *epoch, struct buf *out);
/* The first n of the epochs that waited are durable. */
void engine_drop_epochs(struct engine *g, size_t n);
void engine_encode_position(const struct position *p, struct buf *out);
struct slice engine_position_key(const char *name, uint32_t partition, char out[128]);

struct journal_entry { /* a decoded row of the journal */
    bool is_epoch;
    struct engine_run run; /* source is not set: see name */
    char name[96];
    struct slice epoch_text;
};
int engine_decode_journal(struct slice key, struct slice value, struct journal_entry *out,
                          struct err *e) ERR_MUST_CHECK;

struct bad_event { /* a decoded row of the ring */
    uint64_t number, offset;
    char source[96];
    uint32_t partition;
    enum event_reason reason;
    int64_t wall_ms;
    struct slice error, raw;
};
int engine_decode_bad(struct slice key, struct slice value, struct bad_event *out, struct err *e) ERR_MUST_CHECK;

#endif
