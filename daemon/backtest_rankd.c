/* The model under test through the log: rank, then learn, with the code of the daemon. */
#include <errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/backtest_jobs.h"
#include "daemon/batch.h"
#include "daemon/checkpoint.h"
#include "daemon/digest.h"
#include "daemon/engine.h"
#include "daemon/sources.h"
#include "lib/base/mem.h"
#include "lib/model/recommend.h"

#define RECORDS_AT_ONCE 1024
#define READER_STORE    0u /* epoch readers */
#define READER_RANK     1u

struct tested {
    const struct backtest_world *w;
    struct engine *engine;
    struct recommend *recommend;
    struct source *sources; /* (log.n_sources) */
    struct checkpoint *checkpoint;
    struct calibrator *calibrator;
    struct store *store;
    char dir[4096];
    int lock;
    size_t next_case;
    uint32_t *touched;              /* (numbers of items) events so far */
    uint64_t n_touched;             /* different items */
    uint64_t lines;                 /* of behaviour learned so far */
    struct backtest_frozen *frozen; /* what users did since nothing is learned any more; NULL before */
    struct outcome_run *out;
};

/* --- the state: in memory; what a bound does not let stay there goes to a directory that is removed at the end --- */

static int open_state(struct tested *r, const struct config *c, struct err *e) {
    struct store_options o = {
        .map_size = c->map_size, .dirty_bytes = c->page_memory_bytes, .max_readers = 4, .create = true};
    snprintf(r->dir, sizeof r->dir, "%.4000s/state-XXXXXX", r->w->dir);
    if (!mkdtemp(r->dir)) {
        r->dir[0] = '\0';
        return err_set(e, ERR_IO, "report", "no directory can be made in %s: %s", r->w->dir, strerror(errno));
    }
    o.dir = r->dir;
    int rc = store_lock_dir(r->dir, &r->lock, e);
    if (rc == 0) rc = store_open(&o, &r->store, e);
    if (rc == 0) rc = engine_new(c, r->store, 2, &r->engine, e);
    if (rc == 0) rc = checkpoint_new(r->engine, READER_STORE, &r->checkpoint, e);
    if (rc == 0) rc = recommend_new(r->engine->model, READER_RANK, &r->recommend, e);
    return rc;
}

static void close_state(struct tested *r) {
    recommend_free(r->recommend);
    checkpoint_free(r->checkpoint);
    engine_free(r->engine);
    if (r->store) store_close(r->store);
    if (r->lock >= 0) close(r->lock);
    if (r->dir[0]) backtest_remove_state(r->dir);
}

static int write_state(struct tested *r, struct err *e) {
    engine_publish(r->engine);
    int rc = checkpoint_begin(r->checkpoint, e);
    if (rc < 0) return rc;
    rc = checkpoint_write(r->checkpoint, r->store, e);
    checkpoint_end(r->checkpoint, rc == 0);
    return rc;
}

static int take_digest(struct tested *r, char out[65], struct err *e) {
    struct digest d;
    int rc = write_state(r, e);
    if (rc == 0) rc = digest_compute(r->store, &d, e);
    if (rc == 0) memcpy(out, d.hex, sizeof d.hex);
    return rc;
}

/* --- judging --- */

/* Touched, or described before anybody touched it. */
static bool is_candidate(const struct tested *r, uint32_t item, struct slice id) {
    const struct items *t = r->engine->model->items;
    uint32_t row = r->touched[item] ? ITEM_NONE : items_find(t, id);
    return r->touched[item] || (row != ITEM_NONE && item_is_candidate(item_head(t, row)));
}

static uint64_t n_candidates(const struct tested *r) { return r->n_touched + items_cold(r->engine->model->items); }

/* The place of an item in the answer; one behind the last when it is a candidate but not there. */
static uint32_t place_of(const struct tested *r, const struct recommend_answer *a, uint32_t item) {
    struct slice id = backtest_ids_text(r->w->table.item_ids, item);
    uint32_t place = 0;
    while (place < a->n && !slice_equal(a->hits[place].id, id)) place++;
    return place < a->n || is_candidate(r, item, id) ? place : OUTCOME_MISS;
}

static int note_list(struct tested *r, const struct recommend_answer *a, struct err *e) {
    uint32_t items[BACKTEST_LIST], events[BACKTEST_LIST], n = 0;
    for (size_t k = 0; k < a->n && n < BACKTEST_LIST; k++) {
        uint32_t item = backtest_ids_find(r->w->table.item_ids, a->hits[k].id);
        if (item == BACKTEST_NO_ID) continue; /* erased later in the log */
        items[n] = item;
        events[n++] = r->touched[item];
    }
    return n ? outcome_run_list(r->out, items, events, n, r->lines ? r->lines : 1, e) : 0;
}

/* The outcome of each case of the moment that ends before `end`. */
static int note_cases(struct tested *r, const struct recommend_answer *a, size_t end, struct err *e) {
    const struct backtest_cases *c = &r->w->cases;
    float scores[BACKTEST_RANKED];
    int rc = 0;
    for (size_t k = 0; k < a->n; k++) scores[k] = a->hits[k].score;
    backtest_ask_calibrator(r->calibrator, r->w, r->next_case, scores, (uint32_t)a->n, n_candidates(r));
    for (; rc == 0 && r->next_case < c->set.n && c->event[r->next_case] < end; r->next_case++) {
        uint32_t place = place_of(r, a, c->target[r->next_case]);
        rc = backtest_add_outcome(r->out, r->calibrator, place, e);
    }
    return rc;
}

/* The cases of the moment that ends before `end`: one ranking, from the state before it. */
static int judge(struct tested *r, size_t event, size_t end, struct err *e) {
    const struct backtest_world *w = r->w;
    const struct backtest_cases *c = &w->cases;
    const struct backtest_event *ev = &w->table.events[event];
    struct recommend_answer a;
    struct recommend_request q = {.user = backtest_ids_text(w->table.user_ids, ev->user),
                                  .keep_used = w->protocol.keep_used,
                                  .k = BACKTEST_RANKED,
                                  .wall_ms = ev->ts_ms,
                                  .at_ms = ev->ts_ms};

    if (r->frozen) backtest_frozen_ask(r->frozen, ev->user, &q);
    engine_publish(r->engine);
    int rc = recommend_rank(r->recommend, &q, &a, e);
    if (rc < 0) return rc;
    if (event >= c->figures_event) rc = note_list(r, &a, e);
    if (rc == 0) rc = note_cases(r, &a, end, e);
    recommend_done(r->recommend);
    return rc;
}

/* --- learning --- */

static int apply(struct tested *r, const struct batch *b, const struct record *rec, struct err *e) {
    enum event_reason reason;
    int rc = engine_apply(r->engine, b->source->index, b->partition, rec, &reason, e);
    if (rc == ERR_FULL) { /* something bounded wants to be written first */
        rc = write_state(r, e);
        if (rc == 0) rc = engine_apply(r->engine, b->source->index, b->partition, rec, &reason, e);
    }
    return rc;
}

static int learn(struct tested *r, size_t at, const struct batch *b, const struct record *rec, struct err *e) {
    const struct backtest_table *t = &r->w->table;
    const struct backtest_event *ev = &t->events[at];
    int rc = 0;
    r->out->events += backtest_is_behaviour(ev) ? ev->n_items : 0;
    if (r->w->protocol.freeze && at >= r->w->cases.figures_event) {
        if (!r->frozen) rc = backtest_frozen_new(t, &r->frozen, e);
        if (rc == 0 && backtest_is_positive(t, ev)) rc = backtest_frozen_add(r->frozen, ev, e);
        return rc;
    }
    rc = apply(r, b, rec, e);
    if (!backtest_is_positive(t, ev)) return rc;
    for (uint32_t k = 0; k < ev->n_items; k++) r->n_touched += r->touched[t->items[ev->items + k]]++ == 0;
    r->lines += ev->n_items;
    return rc;
}

/* Decodes the records from at on that a batch can hold: those of one partition. NULL when memory is refused. */
static struct batch *decode(struct tested *r, size_t at, struct err *e) {
    const struct backtest_log *l = &r->w->log;
    const struct backtest_record *first = &l->records[at];
    struct source *s = &r->sources[first->source];
    struct batch *b = batch_new(s, first->partition, RECORDS_AT_ONCE);
    if (!b) {
        (void)err_set(e, ERR_NOMEM, "log", "no memory");
        return NULL;
    }
    for (; at < l->n && !batch_is_full(b); at++) {
        const struct backtest_record *rec = &l->records[at];
        if (rec->source != first->source || rec->partition != first->partition ||
            (b->n > 0 && rec->offset < b->records[b->n - 1].next))
            break;
        struct event_context c = source_context(s, &r->engine->rules);
        c.key = backtest_key(l, rec);
        c.record_ms = backtest_record_ms(l, &r->w->table, at);
        if (batch_add(b, rec->offset, rec->next, backtest_text(l, rec), rec->arrival_ms, &c, e) == 0) continue;
        batch_free(b);
        return NULL;
    }
    return b;
}

static int run_all(struct tested *r, _Atomic uint64_t *done, struct err *e) {
    const struct backtest_cases *c = &r->w->cases;
    size_t n = r->w->log.n, moment_end = 0;
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0 && !backtest_stop;) {
        struct batch *b = decode(r, at, e);
        if (!b) return ERR_NOMEM;
        for (size_t k = 0; k < b->n && rc == 0 && !(backtest_stop && at >= moment_end); k++, at++) {
            if (at >= moment_end) {
                moment_end = backtest_moment_end(&r->w->table, at);
                if (r->next_case < c->set.n && c->event[r->next_case] < moment_end) rc = judge(r, at, moment_end, e);
            }
            if (rc == 0) rc = learn(r, at, b, &b->records[k], e);
        }
        batch_free(b);
        engine_publish(r->engine);
        atomic_store_explicit(done, at, memory_order_relaxed);
    }
    return rc;
}

static int open_sources(struct tested *r, const struct config *c, struct err *e) {
    const struct backtest_log *l = &r->w->log;
    int rc = backtest_log_sources(l, c, &r->engine->rules, r->w->input.type, &r->sources, e);
    for (size_t k = 0; k < l->n_sources && rc == 0; k++)
        rc = engine_source(r->engine, r->sources[k].name, &r->sources[k].index, e);
    return rc;
}

int backtest_run_rankd(const struct backtest_world *w, struct backtest_run *run, _Atomic uint64_t *done,
                       struct err *e) {
    struct tested r = {.w = w, .lock = -1, .out = &run->outcome};
    struct backtest_meter meter;
    struct config c = *run->config;
    c.seed = (int64_t)run->seed;
    backtest_meter_begin(&meter);
    r.touched = mem_zalloc((backtest_ids_count(w->table.item_ids) + 1) * sizeof *r.touched);
    int rc = r.touched ? 0 : err_set(e, ERR_NOMEM, "items", "no memory");
    if (rc == 0) rc = calibrator_new(&r.calibrator, e);
    if (rc == 0) rc = open_state(&r, &c, e);
    if (rc == 0) rc = open_sources(&r, &c, e);
    if (rc == 0) rc = run_all(&r, done, e);
    if (r.engine) run->outcome.n_candidates = n_candidates(&r);
    backtest_meter_end(&meter, &run->outcome);
    if (rc == 0 && !backtest_stop) rc = take_digest(&r, run->digest, e);
    backtest_frozen_free(r.frozen);
    backtest_log_sources_free(&w->log, r.sources);
    close_state(&r);
    calibrator_free(r.calibrator);
    mem_free(r.touched);
    return rc;
}
