/* The own log as a source: reads up to what the intake thread says is durable. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/source.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/store/seglog.h"

struct source_log {
    const struct source_env *env;
    struct source *source;
    char dir[4096];
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards durable */
    pthread_cond_t change;
    uint64_t durable;
};

int source_log_new(const struct source_env *env, const char *dir, struct source *s, struct source_log **out,
                   struct err *e) {
    struct source_log *l = mem_zalloc(sizeof *l);
    if (!l) return err_set(e, ERR_NOMEM, "log", "no memory");
    l->env = env;
    l->source = s;
    snprintf(l->dir, sizeof l->dir, "%s", dir);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->change, NULL);
    s->impl = l;
    atomic_store_explicit(&s->n_partitions, 1, memory_order_relaxed);
    *out = l;
    return 0;
}

void source_log_free(struct source_log *l) {
    if (!l) return;
    pthread_cond_destroy(&l->change);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

void source_log_durable(struct source_log *l, uint64_t end) {
    pthread_mutex_lock(&l->lock);
    l->durable = end;
    atomic_store_explicit(&l->source->end[0], end, memory_order_relaxed);
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
}

/* The durable end, waiting for one beyond `beyond` or the end of the daemon. */
static uint64_t wait_durable(struct source_log *l, uint64_t beyond) {
    pthread_mutex_lock(&l->lock);
    while (l->durable <= beyond && !atomic_load_explicit(l->env->stopping, memory_order_relaxed))
        pthread_cond_wait(&l->change, &l->lock);
    uint64_t end = l->durable;
    pthread_mutex_unlock(&l->lock);
    return end;
}

static void stop(struct source_log *l, const char *text) {
    source_stop(l->source, text);
    log_line(LOG_ERROR, "source_stopped",
             " source=log error=\"%s\" action=\"restore the log or the data directory; see operations\"", text);
}

/* Opens at the record applied last and checks that it is still the same, or at the start of a log never read. */
static int open_at(const struct source_log *l, struct seglog_reader **reader, uint64_t *next, struct err *e) {
    struct position at;
    uint64_t start, end, offset;
    l->env->position(l->env->arg, l->source->name, 0, &at);
    int rc = seglog_range(l->dir, &start, &end, e);
    if (rc < 0) return rc;
    *next = at.known ? at.next : start;
    if (*next > end)
        return err_set(e, ERR_MISMATCH, "log",
                       "the own log ends at %llu, but %llu was learned: it is not the log of this data directory",
                       (unsigned long long)end, (unsigned long long)*next);
    if (!at.known || !at.has_last || at.last < start) return seglog_reader_open(l->dir, *next, reader, e);
    rc = seglog_reader_open(l->dir, at.last, reader, e);
    if (rc < 0) return rc;
    struct slice line;
    rc = seglog_read(*reader, end, &line, &offset, next, e);
    if (rc == 1 && hash_crc32(0, line.p, line.n) == at.last_crc) return 0;
    seglog_reader_close(*reader);
    *reader = NULL;
    return rc < 0
               ? rc
               : err_set(e, ERR_MISMATCH, "log",
                         "the record at %llu is not the one that was learned: it is not the log of this data directory",
                         (unsigned long long)at.last);
}

int source_log_check(const struct source_log *l, struct err *e) {
    struct seglog_reader *r = NULL;
    uint64_t next;
    int rc = open_at(l, &r, &next, e);
    if (r) seglog_reader_close(r);
    return rc;
}

static struct batch *next_batch(struct source_log *l) {
    for (;;) {
        struct batch *b = batch_new(l->source, 0, (size_t)l->env->config->batch_events);
        if (b || atomic_load_explicit(l->env->stopping, memory_order_relaxed)) return b;
        clock_sleep_ms(50); /* memory is short: later */
    }
}

/* Puts lines below end into the batch until it is full; 1 when there may be more. */
static int fill(struct source_log *l, struct seglog_reader *r, struct batch *b, const struct event_context *c,
                uint64_t end, uint64_t *next, struct err *e) {
    struct slice line;
    uint64_t offset;
    int rc = 0;
    while (!batch_is_full(b) && (rc = seglog_read(r, end, &line, &offset, next, e)) == 1) {
        while ((rc = batch_add(b, offset, *next, line, EVENT_NO_TIME, c, e)) == ERR_NOMEM &&
               !atomic_load_explicit(l->env->stopping, memory_order_relaxed))
            clock_sleep_ms(50);
        if (rc < 0) return rc;
    }
    return rc < 0 ? rc : batch_is_full(b);
}

static void *run(void *arg) {
    struct source_log *l = arg;
    struct err e = {0};
    struct seglog_reader *r = NULL;
    struct event_context c = {.rules = l->env->rules,
                              .allow = l->source->allow,
                              .default_type = l->source->default_type,
                              .record_ms = EVENT_NO_TIME,
                              .own_log = true};
    uint64_t next = 0;
    int rc = open_at(l, &r, &next, &e);
    if (rc == 0) atomic_store_explicit(&l->source->sent[0], next, memory_order_relaxed);
    if (rc == 0) atomic_store_explicit(&l->source->state, SOURCE_RUNNING, memory_order_relaxed);
    while (rc == 0 && !atomic_load_explicit(l->env->stopping, memory_order_relaxed)) {
        uint64_t end = wait_durable(l, next);
        int more = 1;
        while (more == 1 && !atomic_load_explicit(l->env->stopping, memory_order_relaxed)) {
            struct batch *b = next_batch(l);
            if (!b) break;
            more = fill(l, r, b, &c, end, &next, &e);
            if (b->n == 0 || !inbox_put(l->env->inbox, b)) {
                batch_free(b);
                more = more < 0 ? more : 0;
            } else {
                atomic_store_explicit(&l->source->sent[0], next, memory_order_relaxed);
            }
        }
        if (more < 0) rc = more;
    }
    if (rc < 0) stop(l, e.text);
    if (r) seglog_reader_close(r);
    return NULL;
}

int source_log_start(struct source_log *l, struct err *e) {
    if (pthread_create(&l->thread, NULL, run, l) != 0)
        return err_set(e, ERR_IO, "log", "the thread of the own log cannot be started");
    pthread_setname_np(l->thread, "source-log");
    l->started = true;
    return 0;
}

void source_log_join(struct source_log *l) {
    if (!l || !l->started) return;
    pthread_mutex_lock(&l->lock);
    pthread_cond_broadcast(&l->change);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    l->started = false;
}
