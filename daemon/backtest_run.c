/* One model through the log: rank, then learn. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/backtest.h"
#include "daemon/batch.h"
#include "daemon/checkpoint.h"
#include "daemon/digest.h"
#include "daemon/engine.h"
#include "daemon/sources.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/model/recommend.h"

#define RECORDS_AT_ONCE 1024
#define READER_STORE    0u /* epoch readers */
#define READER_RANK     1u

struct run {
    const struct backtest_log *log;
    const struct backtest_table *t;
    const struct backtest_cases *cases;
    const struct backtest_protocol *p;
    struct engine *engine;
    struct recommend *recommend;
    struct source *sources; /* (log.n_sources) */
    struct checkpoint *checkpoint;
    struct store *store;
    char dir[4096];
    int lock;
    size_t next_case;
    _Atomic uint64_t *done;
    struct backtest_figures out;
};

/* --- the state: in memory; what does not fit goes to a directory that is removed at the end --- */

static int open_state(struct run *r, const struct config *c, const char *dir, struct err *e) {
    struct store_options o = {.map_size = c->map_size, .max_readers = 4, .create = true};
    snprintf(r->dir, sizeof r->dir, "%s/state-XXXXXX", dir);
    if (!mkdtemp(r->dir)) {
        r->dir[0] = '\0';
        return err_set(e, ERR_IO, "report", "no directory can be made in %s: %s", dir, strerror(errno));
    }
    o.dir = r->dir;
    int rc = store_lock_dir(r->dir, &r->lock, e);
    if (rc == 0) rc = store_open(&o, &r->store, e);
    if (rc == 0) rc = engine_new(c, r->store, 2, &r->engine, e);
    if (rc == 0) rc = checkpoint_new(r->engine, READER_STORE, &r->checkpoint, e);
    if (rc == 0) rc = recommend_new(r->engine->model, READER_RANK, &r->recommend, e);
    return rc;
}

static void close_state(struct run *r) {
    static const char *const files[] = {"model.mdb", "model.mdb-lock", "lock"};
    char path[4200];
    recommend_free(r->recommend);
    checkpoint_free(r->checkpoint);
    engine_free(r->engine);
    if (r->store) store_close(r->store);
    if (r->lock >= 0) close(r->lock);
    if (!r->dir[0]) return;
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        snprintf(path, sizeof path, "%s/%s", r->dir, files[k]);
        unlink(path);
    }
    rmdir(r->dir);
}

static int write_state(struct run *r, struct err *e) {
    engine_publish(r->engine);
    int rc = checkpoint_begin(r->checkpoint, e);
    if (rc < 0) return rc;
    rc = checkpoint_write(r->checkpoint, r->store, e);
    checkpoint_end(r->checkpoint, rc == 0);
    return rc;
}

/* --- judging --- */

/* The place of an item in the answer; a.n when it is not there. */
static uint32_t place_of(const struct recommend_answer *a, struct slice id) {
    uint32_t place = 0;
    while (place < a->n && !slice_equal(a->hits[place].id, id)) place++;
    return place;
}

/* The cases of the moment that begins with this event: one ranking, from the state before it. */
static int judge(struct run *r, size_t event, size_t end, struct err *e) {
    const struct backtest_cases *c = r->cases;
    const struct backtest_event *ev = &r->t->events[event];
    uint32_t longest = r->p->cuts[r->p->n_cuts - 1];
    struct recommend_answer a;
    struct recommend_request q = {.user = backtest_ids_text(r->t->user_ids, ev->user),
                                  .keep_used = r->p->keep_used,
                                  .k = longest,
                                  .wall_ms = ev->ts_ms,
                                  .at_ms = ev->ts_ms};
    engine_publish(r->engine);
    int rc = recommend_rank(r->recommend, &q, &a, e);
    if (rc < 0) return rc;
    for (; r->next_case < c->n && c->cases[r->next_case].event < end; r->next_case++) {
        const struct backtest_case *one = &c->cases[r->next_case];
        uint32_t place = place_of(&a, backtest_ids_text(r->t->item_ids, one->item));
        r->out.rank[r->next_case] = place < a.n ? place : UINT32_MAX;
    }
    recommend_done(r->recommend);
    return 0;
}

static bool has_case(const struct run *r, size_t end) {
    return r->next_case < r->cases->n && r->cases->cases[r->next_case].event < end;
}

/* --- learning --- */

static int apply(struct run *r, const struct batch *b, const struct record *rec, struct err *e) {
    enum event_reason reason;
    int rc = engine_apply(r->engine, b->source->index, b->partition, rec, &reason, e);
    if (rc == ERR_FULL) { /* something bounded wants to be written first */
        rc = write_state(r, e);
        if (rc == 0) rc = engine_apply(r->engine, b->source->index, b->partition, rec, &reason, e);
    }
    return rc;
}

/* Decodes the records from at on that a batch can hold: those of one partition. NULL when memory is refused. */
static struct batch *decode(struct run *r, size_t at, struct err *e) {
    const struct backtest_record *first = &r->log->records[at];
    struct source *s = &r->sources[first->source];
    struct batch *b = batch_new(s, first->partition, RECORDS_AT_ONCE);
    if (!b) {
        (void)err_set(e, ERR_NOMEM, "log", "no memory");
        return NULL;
    }
    for (; at < r->log->n && !batch_is_full(b); at++) {
        const struct backtest_record *rec = &r->log->records[at];
        if (rec->source != first->source || rec->partition != first->partition ||
            (b->n > 0 && rec->offset < b->records[b->n - 1].next))
            break;
        struct event_context c = source_context(s, &r->engine->rules);
        c.key = backtest_key(r->log, rec);
        c.record_ms = rec->record_ms;
        if (batch_add(b, rec->offset, rec->next, backtest_text(r->log, rec), rec->arrival_ms, &c, e) == 0) continue;
        batch_free(b);
        return NULL;
    }
    return b;
}

static int run_all(struct run *r, struct err *e) {
    int rc = 0;
    size_t moment_end = 0;
    for (size_t at = 0; at < r->log->n && rc == 0;) {
        struct batch *b = decode(r, at, e);
        if (!b) return ERR_NOMEM;
        for (size_t k = 0; k < b->n && rc == 0; k++, at++) {
            if (at >= moment_end) {
                moment_end = backtest_moment_end(r->t, at);
                if (has_case(r, moment_end)) rc = judge(r, at, moment_end, e);
            }
            if (rc == 0) rc = apply(r, b, &b->records[k], e);
        }
        batch_free(b);
        engine_publish(r->engine);
        if (r->done) atomic_store_explicit(r->done, at, memory_order_relaxed);
    }
    return rc;
}

static int open_sources(struct run *r, const struct config *c, const struct backtest_input *in, struct err *e) {
    int rc = backtest_log_sources(r->log, c, &r->engine->rules, in->type, &r->sources, e);
    for (size_t k = 0; k < r->log->n_sources && rc == 0; k++)
        rc = engine_source(r->engine, r->sources[k].name, &r->sources[k].index, e);
    return rc;
}

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t peak_bytes(void) {
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;
}

int backtest_run_model(const struct config *c, const struct backtest_log *l, const struct backtest_input *in,
                       const struct backtest_table *t, const struct backtest_cases *cases,
                       const struct backtest_protocol *p, const char *dir, _Atomic uint64_t *done,
                       struct backtest_figures *out, struct err *e) {
    struct run r = {.log = l, .t = t, .cases = cases, .p = p, .lock = -1, .done = done};
    struct digest d = {0};
    r.out.rank = mem_alloc((cases->n + 1) * sizeof *r.out.rank);
    int rc = r.out.rank ? 0 : err_set(e, ERR_NOMEM, "cases", "no memory for %zu cases", cases->n);
    uint64_t cpu = cpu_ns(), wall = clock_steady_ns();
    if (rc == 0) rc = open_state(&r, c, dir, e);
    if (rc == 0) rc = open_sources(&r, c, in, e);
    if (rc == 0) rc = run_all(&r, e);
    r.out.cpu_ns = cpu_ns() - cpu;
    r.out.wall_ns = clock_steady_ns() - wall;
    r.out.peak_bytes = peak_bytes();
    if (rc == 0) rc = write_state(&r, e);
    if (rc == 0) rc = digest_compute(r.store, &d, e);
    if (rc == 0) {
        r.out.events = r.engine->sequence;
        r.out.learned = r.engine->learned;
        memcpy(r.out.digest, d.hex, sizeof r.out.digest);
        *out = r.out;
    } else {
        backtest_figures_free(&r.out);
    }
    backtest_log_sources_free(l, r.sources);
    close_state(&r);
    return rc;
}

void backtest_figures_free(struct backtest_figures *f) {
    mem_free(f->rank);
    *f = (struct backtest_figures){.events = 0};
}
