/* The learner's loop, and when it begins a checkpoint. */
#include "daemon/learner.h"

#include <pthread.h>
#include <string.h>

#include "daemon/log.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define IDLE_WAIT_MS  50
#define IDLE_ADMITTED 256 /* rows of each cache brought in for readers while there is nothing to learn */
#define RETRY_WAIT_MS 20
#define AFTER_FAIL_MS 1000 /* from the begin of a checkpoint that failed to that of the next one */

#define PASSED_MAX 64

struct learner {
    pthread_t thread;
    struct learner_options o;
    struct checkpoint *checkpoint;
    struct storer *storer;
    struct learner_stats stats;

    _Atomic bool paused;
    _Atomic int64_t stop_by_ns; /* 0 = run; else steady clock by which to end */
    _Atomic uint64_t ticket_asked, ticket_begun, ticket_done, ticket_failed;
    _Atomic uint64_t budget;
    _Atomic int64_t min_ms, max_ms;
    _Atomic(struct reweight *) rules; /* handed over and not in force yet; NULL = none */

    /* the thread's own */
    uint64_t last_begin_ns, last_publish_ns;
    uint64_t unpublished, first_seen_ns; /* records since the last publish; the earliest in hand */
    struct passed {
        struct source *source;
        uint32_t partition;
        uint64_t next;
    } passed[PASSED_MAX]; /* (n_passed) batches applied since the last publish */
    size_t n_passed;
    struct drift_view drift_told;   /* as it was when it was last said */
    bool in_flight, forced, failed; /* failed: the last checkpoint */
    int64_t since_begin_ns; /* steady clock of the first record after the begin of the one in flight; 0 = none */
    struct log_limit bad_limit, error_limit, checkpoint_limit;
    pthread_mutex_t lock; /* guards last_error */
    struct err last_error;
    int last_rc;
};

static uint64_t load(_Atomic uint64_t *v) { return atomic_load_explicit(v, memory_order_relaxed); }
static void set(_Atomic uint64_t *v, uint64_t to) { atomic_store_explicit(v, to, memory_order_relaxed); }
static void add(_Atomic uint64_t *v, uint64_t n) { atomic_fetch_add_explicit(v, n, memory_order_relaxed); }

/* What the detector has found since the last time. */
static void tell_drift(struct learner *l) {
    struct drift_view v = drift_read(&l->o.engine->model->drift);
    if (v.alarms == l->drift_told.alarms) return;
    log_line(LOG_WARN, "drift",
             " alarms=%llu as_of_ms=%lld expected=%.4f found=%.4f forgot=%s action=\"look at what changed in "
             "the shop or its tracking; see operations, drift\"",
             (unsigned long long)v.alarms, (long long)v.alarm_ms, v.expected, v.found,
             v.forgot > l->drift_told.forgot ? "yes" : "no");
    l->drift_told = v;
}

static void publish(struct learner *l) {
    engine_publish(l->o.engine);
    tell_drift(l);
    for (size_t k = 0; k < l->n_passed; k++) {
        const struct passed *p = &l->passed[k];
        set(&p->source->applied[p->partition], p->next);
        atomic_fetch_sub_explicit(&p->source->queued[p->partition], 1, memory_order_release);
    }
    l->n_passed = 0;
    uint64_t now = clock_steady_ns();
    if (l->unpublished) histogram_add_n(&l->stats.freshness, now - l->first_seen_ns, l->unpublished);
    l->unpublished = 0;
    l->last_publish_ns = now;
    add(&l->stats.publishes, 1);
}

static void settle_checkpoint(struct learner *l) {
    int rc;
    struct err e;
    if (!l->in_flight || !storer_result(l->storer, &rc, &e)) return;
    l->in_flight = false;
    l->failed = rc < 0;
    checkpoint_end(l->checkpoint, rc == 0);
    struct checkpoint_figures f = checkpoint_figures(l->checkpoint);
    pthread_mutex_lock(&l->lock);
    l->last_rc = rc;
    l->last_error = e;
    pthread_mutex_unlock(&l->lock);
    if (rc < 0) {
        add(&l->stats.checkpoint_failures, 1);
        atomic_store(&l->ticket_failed, atomic_load(&l->ticket_begun));
        log_limited(&l->checkpoint_limit, LOG_ERROR, "checkpoint_failed",
                    " code=%s error=\"%s\" action=\"free disk space or mend the disk; learning goes on, the next "
                    "checkpoint tries again\"",
                    err_name(rc), e.text);
        return;
    }
    atomic_store_explicit(&l->stats.unsaved_since_ns, l->since_begin_ns, memory_order_relaxed);
    add(&l->stats.checkpoints, 1);
    add(&l->stats.checkpoint_bytes, f.bytes);
    set(&l->stats.last_checkpoint_ns, f.write_ns);
    set(&l->stats.last_checkpoint_bytes, f.bytes);
    set(&l->stats.last_checkpoint_users, f.users);
    set(&l->stats.last_checkpoint_blocks, f.blocks);
    set(&l->stats.last_checkpoint_neighbours, f.neighbours);
    histogram_add(&l->stats.checkpoint_seconds, f.write_ns);
    if (l->o.durable) l->o.durable(l->o.arg); /* before those who asked for it are told */
    atomic_store(&l->ticket_done, atomic_load(&l->ticket_begun));
    log_line(LOG_DEBUG, "checkpoint",
             " sequence=%llu bytes=%llu users=%llu blocks=%llu neighbours=%llu write_ms=%.1f pause_ms=%.3f",
             (unsigned long long)f.sequence, (unsigned long long)f.bytes, (unsigned long long)f.users,
             (unsigned long long)f.blocks, (unsigned long long)f.neighbours, (double)f.write_ns / 1e6,
             (double)f.begin_ns / 1e6);
}

static bool begin_checkpoint(struct learner *l) {
    struct err e = {0};
    publish(l);
    uint64_t asked = atomic_load(&l->ticket_asked), start = clock_steady_ns();
    if (checkpoint_begin(l->checkpoint, &e) < 0) {
        log_limited(&l->checkpoint_limit, LOG_ERROR, "checkpoint_refused", " error=\"%s\"", e.text);
        return false;
    }
    if (l->o.begun) l->o.begun(l->o.arg);
    uint64_t pause = clock_steady_ns() - start;
    set(&l->stats.last_pause_ns, pause);
    if (pause > load(&l->stats.longest_pause_ns)) set(&l->stats.longest_pause_ns, pause);
    atomic_store(&l->ticket_begun, asked);
    l->since_begin_ns = 0;
    l->in_flight = true;
    l->last_begin_ns = start;
    l->forced = false;
    storer_submit(l->storer);
    return true;
}

/* Time for the next one? By the write budget between the two intervals; at once when somebody asked, or when a
 * cache is half full of rows that are not durable. */
static bool checkpoint_due(struct learner *l) {
    if (l->in_flight) return false;
    uint64_t asked = atomic_load(&l->ticket_asked);
    int64_t since_ms = (int64_t)((clock_steady_ns() - l->last_begin_ns) / 1000000);
    if (asked > atomic_load(&l->ticket_begun)) return true;
    if (l->failed && since_ms < AFTER_FAIL_MS) return false;
    if (l->forced) return true;
    if (!checkpoint_needed(l->o.engine)) return false;
    if (checkpoint_pressing(l->o.engine)) {
        add(&l->stats.checkpoint_forced, 1);
        return true;
    }
    if (since_ms < atomic_load_explicit(&l->min_ms, memory_order_relaxed)) return false;
    uint64_t wait_ms = checkpoint_estimate(l->o.engine) * 1000 / load(&l->budget);
    if ((uint64_t)since_ms >= wait_ms) return true;
    if (since_ms < atomic_load_explicit(&l->max_ms, memory_order_relaxed)) return false;
    add(&l->stats.budget_overrun, 1);
    return true;
}

static void tend_checkpoint(struct learner *l) {
    settle_checkpoint(l);
    if (checkpoint_due(l)) (void)begin_checkpoint(l);
}

/* Between two batches: what a reload handed over is in force from the next record on, and soon durable. */
static void take_rules(struct learner *l) {
    struct engine *g = l->o.engine;
    struct reweight *w = atomic_exchange(&l->rules, NULL), *before = engine_in_force(g), *none = NULL;
    struct err e = {0};
    if (!w) return;
    int rc = engine_set_rules(g, w, &e);
    if (rc < 0) { /* later, unless newer ones have come */
        if (rc == ERR_FULL) l->forced = true;
        if (!atomic_compare_exchange_strong(&l->rules, &none, w)) reweight_free(w);
        return;
    }
    if (engine_in_force(g) == before) return;
    l->forced = true;
    log_line(LOG_INFO, "rules_changed", " sequence=%llu rules=%zu", (unsigned long long)g->epoch_sequence,
             engine_in_force(g)->n);
}

static bool must_end(struct learner *l) {
    int64_t by = atomic_load_explicit(&l->stop_by_ns, memory_order_relaxed);
    return by && (int64_t)clock_steady_ns() > by;
}

/* Waits for the store thread: nothing else can make room. */
static void wait_for_room(struct learner *l, int rc, const struct err *e) {
    add(rc == ERR_FULL ? &l->stats.waits_for_checkpoint : &l->stats.learn_errors, 1);
    if (rc != ERR_FULL)
        log_limited(&l->error_limit, LOG_ERROR, "learn_failed",
                    " code=%s field=%s error=\"%s\" action=\"the record is tried again; see operations\"", err_name(rc),
                    e->field, e->text);
    publish(l);
    if (rc == ERR_FULL) l->forced = true;
    tend_checkpoint(l);
    clock_sleep_ms(l->in_flight && rc == ERR_FULL ? 1 : RETRY_WAIT_MS);
}

static void apply_record(struct learner *l, const struct batch *b, const struct record *r) {
    struct err e = {0};
    enum event_reason reason;
    int rc;
    while ((rc = engine_apply(l->o.engine, b->source->index, b->partition, r, &reason, &e)) < 0) {
        if (must_end(l)) return;
        wait_for_room(l, rc, &e);
    }
    if (l->unpublished++ == 0) l->first_seen_ns = r->seen_ns;
    if (!event_reason_is_bad(reason)) return;
    log_limited(&l->bad_limit, LOG_WARN, "bad_event", " source=%s partition=%u offset=%llu reason=%s error=\"%s\"",
                b->source->name, b->partition, (unsigned long long)r->offset, event_reason_name(reason),
                r->error                     ? r->error
                : reason == EVENT_ITEMS_FULL ? "model.max_items is reached"
                                             : "");
}

static void apply_batch(struct learner *l, const struct batch *b) {
    uint64_t start = clock_steady_ns(), limit_ns = (uint64_t)l->o.config->batch_time_ms * 1000000;
    for (size_t k = 0; k < b->n && !must_end(l); k++) {
        const struct record *coming = k + MODEL_AHEAD < b->n ? &b->records[k + MODEL_AHEAD] : NULL;
        engine_expect(l->o.engine, b->source->index, b->partition, coming);
        apply_record(l, b, &b->records[k]);
        if (k % 64 == 63 && clock_steady_ns() - l->last_publish_ns > limit_ns) publish(l);
    }
    if (l->n_passed == PASSED_MAX) publish(l);
    if (b->n && b->partition < SOURCE_MAX_PARTITIONS)
        l->passed[l->n_passed++] = (struct passed){b->source, b->partition, b->records[b->n - 1].next};
    int64_t none = 0;
    atomic_compare_exchange_strong(&l->stats.unsaved_since_ns, &none, (int64_t)start);
    if (l->in_flight && !l->since_begin_ns) l->since_begin_ns = (int64_t)start;
    atomic_store_explicit(&l->stats.last_record_wall_ms, clock_wall_ms(), memory_order_relaxed);
    add(&l->stats.batches, 1);
    add(&l->stats.busy_ns, clock_steady_ns() - start);
}

static void finish(struct learner *l) {
    while (l->in_flight && !must_end(l)) {
        clock_sleep_ms(1);
        settle_checkpoint(l);
    }
    if (l->in_flight || must_end(l) || !checkpoint_needed(l->o.engine)) return;
    if (!begin_checkpoint(l)) return;
    while (l->in_flight && !must_end(l)) {
        clock_sleep_ms(1);
        settle_checkpoint(l);
    }
}

static void *run(void *arg) {
    struct learner *l = arg;
    while (!must_end(l)) {
        bool stopping = atomic_load_explicit(&l->stop_by_ns, memory_order_relaxed) != 0;
        struct batch *b = NULL;
        take_rules(l);
        if (!learner_paused(l)) /* nor is anything learned at the stop of a paused one: its source has it still */
            b = inbox_take(l->o.inbox, stopping ? 0 : l->unpublished ? l->o.config->batch_time_ms : IDLE_WAIT_MS);
        else if (!stopping)
            clock_sleep_ms(RETRY_WAIT_MS);
        if (b) {
            apply_batch(l, b);
            batch_free(b);
        }
        if (l->unpublished &&
            (!b || clock_steady_ns() - l->last_publish_ns > (uint64_t)l->o.config->batch_time_ms * 1000000 ||
             inbox_bytes(l->o.inbox) == 0))
            publish(l);
        if (!b) model_admit(l->o.engine->model, IDLE_ADMITTED);
        tend_checkpoint(l);
        if (stopping && !b) break;
    }
    publish(l);
    finish(l);
    return NULL;
}

static void wake(void *arg) {
    struct learner *l = arg;
    inbox_wake(l->o.inbox);
}

int learner_start(const struct learner_options *o, struct learner **out, struct err *e) {
    struct learner *l = mem_zalloc(sizeof *l);
    if (!l) return err_set(e, ERR_NOMEM, "learner", "no memory");
    l->o = *o;
    l->last_begin_ns = l->last_publish_ns = clock_steady_ns();
    pthread_mutex_init(&l->lock, NULL);
    learner_set_budget(l, o->config);
    l->drift_told = drift_read(&o->engine->model->drift);
    int rc = checkpoint_new(o->engine, o->reader, &l->checkpoint, e);
    if (rc == 0) rc = storer_start(o->store, l->checkpoint, wake, l, &l->storer, e);
    if (rc == 0 && pthread_create(&l->thread, NULL, run, l) != 0)
        rc = err_set(e, ERR_IO, "learner", "the learner thread cannot be started");
    if (rc == 0) {
        pthread_setname_np(l->thread, "learner");
        *out = l;
        return 0;
    }
    storer_stop(l->storer);
    checkpoint_free(l->checkpoint);
    mem_free(l);
    return rc;
}

void learner_pause(struct learner *l, bool paused) {
    atomic_store_explicit(&l->paused, paused, memory_order_relaxed);
    inbox_wake(l->o.inbox);
}

bool learner_paused(const struct learner *l) { return atomic_load_explicit(&l->paused, memory_order_relaxed); }

uint64_t learner_request_checkpoint(struct learner *l) {
    uint64_t ticket = atomic_fetch_add(&l->ticket_asked, 1) + 1;
    inbox_wake(l->o.inbox);
    return ticket;
}

int learner_checkpoint_done(struct learner *l, uint64_t ticket, struct err *e) {
    if (atomic_load(&l->ticket_done) >= ticket) return 1;
    if (atomic_load(&l->ticket_failed) < ticket) return 0;
    pthread_mutex_lock(&l->lock);
    int rc = l->last_rc;
    if (e) *e = l->last_error;
    pthread_mutex_unlock(&l->lock);
    return rc < 0 ? rc : 0;
}

void learner_set_budget(struct learner *l, const struct config *c) {
    set(&l->budget, c->write_budget);
    atomic_store_explicit(&l->min_ms, c->checkpoint_min_ms, memory_order_relaxed);
    atomic_store_explicit(&l->max_ms, c->checkpoint_max_ms, memory_order_relaxed);
}

void learner_set_rules(struct learner *l, struct reweight *w) {
    reweight_free(atomic_exchange(&l->rules, w));
    inbox_wake(l->o.inbox);
}

bool learner_has_new_rules(const struct learner *l) { return atomic_load(&l->rules) != NULL; }

const struct learner_stats *learner_stats(const struct learner *l) { return &l->stats; }

int learner_stop(struct learner *l, int64_t limit_ms, struct err *e) {
    if (!l) return 0;
    atomic_store_explicit(&l->stop_by_ns, (int64_t)clock_steady_ns() + limit_ms * 1000000, memory_order_relaxed);
    inbox_wake(l->o.inbox);
    pthread_join(l->thread, NULL);
    storer_stop(l->storer);
    int rc = l->last_rc;
    if (e) *e = l->last_error;
    reweight_free(atomic_exchange(&l->rules, NULL));
    if (!l->in_flight) checkpoint_free(l->checkpoint); /* past its time the process ends with it */
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
    return rc;
}
