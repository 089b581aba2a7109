/* The queue between sources and learner: first in, first out, bounded in bytes for each source apart. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "daemon/batch.h"
#include "daemon/source.h"
#include "lib/base/check.h"
#include "lib/base/mem.h"

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;  /* a batch, a wake or the close: for the taker */
    pthread_cond_t drained; /* bytes were taken, or the close: for those who put */
    uint64_t bound, bytes;
    struct batch *first, **last;
    bool woken, closed;
};

struct inbox *inbox_new(uint64_t bytes_per_source) {
    struct inbox *q = mem_zalloc(sizeof *q);
    if (!q) return NULL;
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, &steady);
    pthread_cond_init(&q->drained, &steady);
    pthread_condattr_destroy(&steady);
    q->bound = bytes_per_source;
    q->last = &q->first;
    return q;
}

void inbox_free(struct inbox *q) {
    if (!q) return;
    while (q->first) {
        struct batch *next = q->first->next;
        q->first->source->inbox_bytes -= q->first->bytes;
        batch_free(q->first);
        q->first = next;
    }
    pthread_cond_destroy(&q->filled);
    pthread_cond_destroy(&q->drained);
    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}

static bool fits(const struct inbox *q, const struct batch *b) {
    uint64_t have = b->source->inbox_bytes;
    return have == 0 || (have <= q->bound && b->bytes <= q->bound - have);
}

/* Before the first one in the queue all is applied. */
static void note_queued(const struct batch *b) {
    struct source *s = b->source;
    if (b->partition >= SOURCE_MAX_PARTITIONS) return;
    if (atomic_load_explicit(&s->queued[b->partition], memory_order_acquire) == 0 && b->n)
        atomic_store_explicit(&s->applied[b->partition], b->records[0].offset, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->queued[b->partition], 1, memory_order_release);
}

bool inbox_put(struct inbox *q, struct batch *b) {
    pthread_mutex_lock(&q->lock);
    if (!q->closed && !fits(q, b)) atomic_fetch_add_explicit(&b->source->waits, 1, memory_order_relaxed);
    while (!q->closed && !fits(q, b)) pthread_cond_wait(&q->drained, &q->lock);
    bool open = !q->closed;
    if (open) {
        note_queued(b);
        b->next = NULL;
        *q->last = b;
        q->last = &b->next;
        q->bytes += b->bytes;
        b->source->inbox_bytes += b->bytes;
        pthread_cond_signal(&q->filled);
    }
    pthread_mutex_unlock(&q->lock);
    return open;
}

static struct timespec steady_after(int64_t ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

bool inbox_wait_room(struct inbox *q, const struct batch *b, int64_t timeout_ms) {
    struct timespec until = steady_after(timeout_ms > 0 ? timeout_ms : 0);
    pthread_mutex_lock(&q->lock);
    bool room;
    while (!(room = q->closed || fits(q, b)))
        if (pthread_cond_timedwait(&q->drained, &q->lock, &until) == ETIMEDOUT) break;
    pthread_mutex_unlock(&q->lock);
    return room;
}

struct batch *inbox_take(struct inbox *q, int64_t timeout_ms) {
    struct timespec until = steady_after(timeout_ms > 0 ? timeout_ms : 0);
    pthread_mutex_lock(&q->lock);
    while (!q->first && !q->woken && !q->closed && timeout_ms > 0)
        if (pthread_cond_timedwait(&q->filled, &q->lock, &until) == ETIMEDOUT) break;
    q->woken = false;
    struct batch *b = q->first;
    if (b) {
        q->first = b->next;
        if (!q->first) q->last = &q->first;
        b->next = NULL;
        q->bytes -= b->bytes;
        b->source->inbox_bytes -= b->bytes;
        pthread_cond_broadcast(&q->drained);
    }
    pthread_mutex_unlock(&q->lock);
    return b;
}

void inbox_wake(struct inbox *q) {
    pthread_mutex_lock(&q->lock);
    q->woken = true;
    pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

void inbox_close(struct inbox *q) {
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_cond_broadcast(&q->drained);
    pthread_mutex_unlock(&q->lock);
}

uint64_t inbox_bytes(struct inbox *q) {
    pthread_mutex_lock(&q->lock);
    uint64_t bytes = q->bytes;
    pthread_mutex_unlock(&q->lock);
    return bytes;
}
