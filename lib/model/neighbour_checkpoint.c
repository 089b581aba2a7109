/* Point-in-time lists of changed neighbour rows.
 *
 * Nothing is locked and nobody waits. The store thread copies a row under its sequence word and keeps the copy when the
 * row has not changed since begin. The learner sets a row aside before it may change for the first time after begin,
 * unless the store thread said that it has its copy; when both copied it, the copies are the same. The learner's copy
 * is pushed before the row's interval is raised, so that the store thread, which sees the latter, finds the former. */
#include <stdlib.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/neighbour_priv.h"

static uint32_t interval_of(const struct neighbour_row *r) {
    return atomic_load_explicit(&r->interval, memory_order_relaxed);
}

int neighbour_set_aside(struct neighbours *s, struct neighbour_row *r, struct err *e) {
    uint32_t interval = interval_of(r);
    if (interval <= s->durable || interval > s->in_flight) return 0;
    if (atomic_load_explicit(&r->taken, memory_order_acquire) == s->in_flight) return 0;
    size_t n = neighbour_stored_bytes(r->n);
    int rc = neighbour_room(s, sizeof(struct neighbour_aside) + n, e);
    if (rc < 0) return rc;
    struct neighbour_aside *a = mem_alloc(sizeof *a + n);
    if (!a) return neighbour_no_memory(e);
    a->key = r->key;
    a->n = n;
    neighbour_encode(r->generation, r->reference_ms, r->n, neighbour_items(r), neighbour_weights(r),
                     neighbour_generations(r), a->bytes);
    atomic_fetch_add_explicit(&s->aside_bytes, sizeof *a + n, memory_order_relaxed);
    a->next = atomic_load_explicit(&s->asides, memory_order_relaxed);
    while (
        !atomic_compare_exchange_weak_explicit(&s->asides, &a->next, a, memory_order_release, memory_order_relaxed)) {
    }
    atomic_store_explicit(&r->taken, s->in_flight, memory_order_release);
    return 0;
}

void neighbour_mark(struct neighbours *s, struct neighbour_row *r) {
    if (interval_of(r) == s->interval) return;
    r->listed = s->n_list;
    s->list[s->n_list++] = r->key;
    s->dirty_now += neighbour_row_bytes(neighbour_row_cap(r));
    atomic_store_explicit(&r->interval, s->interval, memory_order_release);
}

void neighbour_unmark(struct neighbours *s, const struct neighbour_row *r) {
    if (interval_of(r) != s->interval) return;
    uint32_t last = s->list[--s->n_list];
    s->list[r->listed] = last;
    neighbour_at(s, last)->listed = r->listed;
    s->dirty_now -= neighbour_row_bytes(neighbour_row_cap(r));
}

uint64_t neighbours_checkpoint_begin(struct neighbours *s) {
    CHECK(s->in_flight == 0 && s->interval < UINT32_MAX);
    uint32_t *flight = s->list;
    s->list = s->flight;
    s->flight = flight;
    s->n_flight = s->n_list;
    s->n_list = 0;
    s->at = 0;
    s->in_flight = s->interval++;
    s->dirty_in_flight = s->dirty_now;
    s->dirty_now = 0;
    return s->n_flight;
}

static int by_key(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (a % NEIGHBOUR_KINDS != b % NEIGHBOUR_KINDS) return a % NEIGHBOUR_KINDS < b % NEIGHBOUR_KINDS ? -1 : 1;
    return (a > b) - (a < b);
}

void neighbours_checkpoint_sort(struct neighbours *s) {
    if (s->n_flight > 1) qsort(s->flight, s->n_flight, sizeof *s->flight, by_key);
}

static void free_aside(struct neighbours *s, struct neighbour_aside *a) {
    atomic_fetch_sub_explicit(&s->aside_bytes, sizeof *a + a->n, memory_order_relaxed);
    mem_free(a);
}

static void hand_out(uint32_t key, enum neighbour_kind *kind, uint32_t *a) {
    *kind = (enum neighbour_kind)(key % NEIGHBOUR_KINDS);
    *a = key / NEIGHBOUR_KINDS;
}

static bool next_aside(struct neighbours *s, enum neighbour_kind *kind, uint32_t *a, struct buf *out) {
    if (!s->popped) s->popped = atomic_exchange_explicit(&s->asides, NULL, memory_order_acquire);
    struct neighbour_aside *aside = s->popped;
    if (!aside) return false;
    s->popped = aside->next;
    hand_out(aside->key, kind, a);
    buf_add(out, aside->bytes, aside->n);
    free_aside(s, aside);
    return true;
}

/* The row of key as it stood at begin, unless it is set aside: it changed since, or is gone, or may change. */
static bool take(struct neighbours *s, uint32_t key, struct neighbour_list *out, uint32_t *generation) {
    struct neighbour_row *r = atomic_load_explicit(&s->rows[key], memory_order_acquire);
    if (!r || atomic_load_explicit(&r->taken, memory_order_acquire) == s->in_flight) return false;
    if (neighbour_row_copy(r, out) > s->in_flight || out->n == 0) return false;
    *generation = r->generation;
    atomic_store_explicit(&r->taken, s->in_flight, memory_order_release); /* the copy is whole before it is said */
    return true;
}

int neighbours_checkpoint_next(struct neighbours *s, enum neighbour_kind *kind, uint32_t *a, struct buf *out) {
    struct neighbour_list row;
    uint32_t generation;
    char bytes[NEIGHBOUR_STORED_HEAD + NEIGHBOUR_MAX * 10];
    if (next_aside(s, kind, a, out)) return 1;
    while (s->at < s->n_flight) {
        uint32_t key = s->flight[s->at++];
        if (!take(s, key, &row, &generation)) continue;
        neighbour_encode(generation, row.reference_ms, row.n, row.row, row.weight, row.generation, bytes);
        hand_out(key, kind, a);
        buf_add(out, bytes, neighbour_stored_bytes(row.n));
        return 1;
    }
    return next_aside(s, kind, a, out);
}

static void list_again(struct neighbours *s, uint32_t key) {
    struct neighbour_row *r = neighbour_at(s, key);
    if (r && interval_of(r) > s->durable && interval_of(r) < s->interval) neighbour_mark(s, r);
}

void neighbours_checkpoint_end(struct neighbours *s, bool durable) {
    CHECK(s->in_flight != 0);
    for (struct neighbour_aside *a = s->popped, *next; a; a = next) {
        next = a->next;
        free_aside(s, a);
    }
    for (struct neighbour_aside *a = atomic_exchange_explicit(&s->asides, NULL, memory_order_acquire), *next; a;
         a = next) {
        next = a->next;
        free_aside(s, a);
    }
    s->popped = NULL;
    s->dirty_in_flight = 0;
    if (durable) s->durable = s->in_flight;
    if (!durable)
        for (uint32_t k = 0; k < s->n_flight; k++) list_again(s, s->flight[k]);
    s->n_flight = s->at = 0;
    s->in_flight = 0;
}
