/* Which neighbour rows are in memory: CLOCK, which needs no list that every touch would reorder (Corbato 1968). */
#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/neighbour_priv.h"

#define LOOKS          1024u /* most rows looked at for one row's room: some 100 us */
#define SECOND_CHANCES 64u   /* of these, rows that are passed over because they were touched since the last time */

void neighbour_account(struct neighbours *s, uint64_t rows, uint64_t bytes) {
    neighbour_count(&s->stats.cached, rows);
    neighbour_count(&s->stats.cached_bytes, bytes);
}

void neighbour_link(struct neighbours *s, uint32_t key, struct neighbour_row *r) {
    r->key = key;
    r->resident = s->n_resident;
    s->resident[s->n_resident++] = key;
    neighbour_account(s, 1, neighbour_row_bytes(neighbour_row_cap(r)));
    atomic_store_explicit(&s->rows[key], r, memory_order_release);
}

void neighbour_unlink(struct neighbours *s, struct neighbour_row *r) {
    uint32_t last = s->resident[--s->n_resident];
    s->resident[r->resident] = last;
    neighbour_at(s, last)->resident = r->resident;
    atomic_store_explicit(&s->rows[r->key], NULL, memory_order_release);
    neighbour_account(s, (uint64_t)-1, -(uint64_t)neighbour_row_bytes(neighbour_row_cap(r)));
    epoch_retire(s->epoch, r, neighbour_row_bytes(neighbour_row_cap(r)), mem_free);
}

static bool fits(const struct neighbours *s, uint64_t bytes) {
    return atomic_load_explicit(&s->stats.cached_bytes, memory_order_relaxed) +
               atomic_load_explicit(&s->aside_bytes, memory_order_relaxed) + bytes <=
           s->cache_bytes;
}

static bool may_go(const struct neighbours *s, const struct neighbour_row *r) {
    return r->touched != s->period && atomic_load_explicit(&r->interval, memory_order_relaxed) <= s->durable;
}

/* One step of the hand. */
static void look(struct neighbours *s, bool second_chance) {
    if (s->hand >= s->n_resident) s->hand = 0;
    if (s->hand + 4 < s->n_resident) __builtin_prefetch(neighbour_at(s, s->resident[s->hand + 4]));
    struct neighbour_row *r = neighbour_at(s, s->resident[s->hand]);
    if (may_go(s, r) && !(atomic_load_explicit(&r->recent, memory_order_relaxed) && second_chance)) {
        neighbour_unlink(s, r); /* the last row takes its place under the hand */
        neighbour_count(&s->stats.evicted, 1);
        return;
    }
    atomic_store_explicit(&r->recent, false, memory_order_relaxed);
    s->hand++;
}

bool neighbour_make_room(struct neighbours *s, uint64_t bytes) {
    if (s->cache_bytes == UINT64_MAX) return true;
    for (unsigned looked = 0; looked < LOOKS && s->n_resident > 0 && !fits(s, bytes); looked++)
        look(s, looked < SECOND_CHANCES);
    return fits(s, bytes) || s->dirty_now + s->dirty_in_flight == 0;
}

int neighbour_room(struct neighbours *s, uint64_t bytes, struct err *e) {
    if (neighbour_make_room(s, bytes)) return 0;
    return err_set(e, ERR_FULL, "neighbours", "the neighbour cache of %llu bytes holds only rows not yet written",
                   (unsigned long long)s->cache_bytes);
}
