/* Posting lists: growing, holes, renewal. */
#include "lib/model/posting.h"

#include "lib/base/check.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

#define LEAST 4u /* places of a list */

static size_t bytes_of(uint32_t cap) { return sizeof(struct posting) + (size_t)cap * sizeof(uint32_t); }

static struct posting *now(_Atomic(struct posting *) *at) { return atomic_load_explicit(at, memory_order_relaxed); }

/* Another array without holes, with room for one more. */
static int renew(_Atomic(struct posting *) *at, const struct posting_owner *o) {
    struct posting *old = now(at);
    uint32_t n = old ? posting_places(old) : 0, live = old ? n - old->n_gone : 0, cap = LEAST, kept = 0;
    while (cap < live + 1) cap *= 2;
    struct posting *p = mem_alloc(bytes_of(cap));
    if (!p) return ERR_NOMEM;
    p->cap = cap;
    p->n_gone = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t item = posting_item(old, k);
        if (item == POSTING_HOLE) continue;
        atomic_init(&p->item[kept], item);
        o->moved(o->arg, item, kept++);
    }
    atomic_init(&p->n, kept);
    atomic_store_explicit(at, p, memory_order_release);
    if (old) epoch_retire(o->epoch, old, bytes_of(old->cap), mem_free);
    return 0;
}

int posting_reserve(_Atomic(struct posting *) *at, const struct posting_owner *o) {
    const struct posting *p = now(at);
    return p && posting_places(p) < p->cap ? 0 : renew(at, o);
}

uint32_t posting_add(_Atomic(struct posting *) *at, uint32_t item) {
    struct posting *p = now(at);
    CHECK(p && posting_places(p) < p->cap && item != POSTING_HOLE);
    uint32_t place = posting_places(p);
    atomic_store_explicit(&p->item[place], item, memory_order_relaxed);
    atomic_store_explicit(&p->n, place + 1, memory_order_release);
    return place;
}

void posting_drop(_Atomic(struct posting *) *at, uint32_t place, const struct posting_owner *o) {
    struct posting *p = now(at);
    CHECK(p && place < posting_places(p) && posting_item(p, place) != POSTING_HOLE);
    atomic_store_explicit(&p->item[place], POSTING_HOLE, memory_order_relaxed);
    p->n_gone++;
    if (p->cap > 64 && p->n_gone > p->cap / 2) (void)renew(at, o); /* without memory the holes stay */
}

void posting_free(_Atomic(struct posting *) *at, struct epoch *epoch) {
    struct posting *p = now(at);
    if (!p) return;
    atomic_store_explicit(at, NULL, memory_order_release);
    if (epoch)
        epoch_retire(epoch, p, bytes_of(p->cap), mem_free);
    else
        mem_free(p);
}
