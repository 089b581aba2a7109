/* Places that go from empty by one reader to full, and by the learner back to empty. */
#include "lib/model/user_wanted.h"

#include <stdatomic.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

enum { EMPTY, BEING_FILLED, FULL };

struct user_wanted {
    _Atomic bool any; /* false: no place is full, but for those that are being filled */
    uint32_t hand;    /* learner: the place that is looked at next */
    _Atomic uint8_t state[USER_WANTED];
    uint16_t n[USER_WANTED];
    char id[USER_WANTED][MODEL_MAX_ID];
};

struct user_wanted *user_wanted_new(void) {
    return mem_zalloc(sizeof(struct user_wanted));
}
void user_wanted_free(struct user_wanted *w) { mem_free(w); }

void user_wanted_put(struct user_wanted *w, uint64_t hash, struct slice id) {
    size_t at = hash % USER_WANTED;
    uint8_t was = EMPTY;
    CHECK(id.n <= MODEL_MAX_ID);
    if (atomic_load_explicit(&w->state[at], memory_order_relaxed) != EMPTY) return; /* the line stays shared */
    if (!atomic_compare_exchange_strong_explicit(&w->state[at], &was, BEING_FILLED, memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    w->n[at] = (uint16_t)id.n;
    memcpy(w->id[at], id.p, id.n);
    atomic_store_explicit(&w->state[at], FULL, memory_order_release);
    atomic_store_explicit(&w->any, true, memory_order_release);
}

bool user_wanted_take(struct user_wanted *w, char id[MODEL_MAX_ID], size_t *n) {
    if (!atomic_load_explicit(&w->any, memory_order_relaxed)) return false;
    atomic_exchange_explicit(&w->any, false, memory_order_acquire); /* before the look: who comes later says so again */
    for (uint32_t looked = 0; looked < USER_WANTED; looked++) {
        size_t at = w->hand;
        w->hand = (w->hand + 1) % USER_WANTED;
        if (atomic_load_explicit(&w->state[at], memory_order_acquire) != FULL) continue;
        *n = w->n[at];
        memcpy(id, w->id[at], *n);
        atomic_store_explicit(&w->state[at], EMPTY, memory_order_release);
        atomic_store_explicit(&w->any, true, memory_order_relaxed); /* there may be more */
        return true;
    }
    return false;
}
