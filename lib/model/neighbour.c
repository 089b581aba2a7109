/* The table of neighbour rows. */
#include "lib/model/neighbour.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/neighbour_priv.h"

static size_t table_bytes(const struct neighbours *s) {
    return (size_t)s->params->max_items * NEIGHBOUR_KINDS * sizeof *s->rows;
}

static int check_params(const struct model_params *p, struct err *e) {
    if (p->neighbours < 1 || p->neighbours > NEIGHBOUR_MAX)
        return err_set(e, ERR_RANGE, "model.neighbours", "%u is outside 1 to %d", p->neighbours, NEIGHBOUR_MAX);
    if (p->pair_half_life_ms < 1 || p->successor_half_life_ms < 1)
        return err_set(e, ERR_RANGE, "model.pair_half_life", "half-lives of neighbours must be above 0");
    return 0;
}

int neighbours_new(const struct model_params *p, const struct items *items, struct epoch *epoch,
                   struct neighbours **out, struct err *e) {
    int rc = check_params(p, e);
    if (rc < 0) return rc;
    struct neighbours *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "neighbours", "no memory for the table of neighbours");
    s->params = p;
    s->items = items;
    s->epoch = epoch;
    s->period = 1;
    s->erasures = 1;
    s->half_life_ms[NEIGHBOUR_FORWARD] = s->half_life_ms[NEIGHBOUR_BACKWARD] = (double)p->pair_half_life_ms;
    s->half_life_ms[NEIGHBOUR_SUCCESSOR] = (double)p->successor_half_life_ms;
    s->rows = mem_map(table_bytes(s));
    if (s->rows) {
        *out = s;
        return 0;
    }
    neighbours_free(s);
    return err_set(e, ERR_NOMEM, "model.max_items", "no address space for the neighbours of %u items", p->max_items);
}

void neighbours_free(struct neighbours *s) {
    if (!s) return;
    size_t n = (size_t)atomic_load_explicit(&s->items->n_rows, memory_order_relaxed) * NEIGHBOUR_KINDS;
    for (size_t key = 0; s->rows && key < n; key++) mem_free(atomic_load_explicit(&s->rows[key], memory_order_relaxed));
    mem_unmap(s->rows, table_bytes(s));
    mem_free(s);
}

static _Atomic(struct neighbour_row *) *slot_of(const struct neighbours *s, enum neighbour_kind kind, uint32_t a) {
    return &s->rows[(size_t)a * NEIGHBOUR_KINDS + kind];
}

static struct neighbour_row *row_of(const struct neighbours *s, enum neighbour_kind kind, uint32_t a) {
    return atomic_load_explicit(slot_of(s, kind, a), memory_order_relaxed);
}

void neighbours_prefetch(const struct neighbours *s, enum neighbour_kind kind, uint32_t a) {
    __builtin_prefetch(row_of(s, kind, a));
}

static void account(struct neighbours *s, uint64_t rows, uint64_t bytes) { /* differences, modulo 2^64 */
    neighbour_count(&s->stats.cached, rows);
    neighbour_count(&s->stats.cached_bytes, bytes);
}

static void unlink_row(struct neighbours *s, _Atomic(struct neighbour_row *) *slot) {
    struct neighbour_row *r = atomic_load_explicit(slot, memory_order_relaxed);
    if (!r) return;
    atomic_store_explicit(slot, NULL, memory_order_release);
    account(s, (uint64_t)-1, -(uint64_t)neighbour_row_bytes(r->cap));
    epoch_retire(s->epoch, r, neighbour_row_bytes(r->cap), mem_free);
}

static int no_memory(struct err *e) { return err_set(e, ERR_NOMEM, "neighbours", "no memory for a row of neighbours"); }

static int start_row(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t n_more,
                     struct neighbour_row **out, struct err *e) {
    struct neighbour_row *r = neighbour_row_new(n_more, s->params->neighbours);
    if (!r) return no_memory(e);
    r->generation = neighbour_generation(s, a);
    r->erasures = s->erasures;
    account(s, 1, neighbour_row_bytes(r->cap));
    atomic_store_explicit(slot_of(s, kind, a), r, memory_order_release);
    *out = r;
    return 0;
}

static int grow_row(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t need,
                    struct neighbour_row **out, struct err *e) {
    struct neighbour_row *old = *out, *r = neighbour_row_grown(old, need, s->params->neighbours);
    if (!r) return no_memory(e);
    account(s, 0, neighbour_row_bytes(r->cap) - neighbour_row_bytes(old->cap));
    atomic_store_explicit(slot_of(s, kind, a), r, memory_order_release);
    epoch_retire(s->epoch, old, neighbour_row_bytes(old->cap), mem_free);
    *out = r;
    return 0;
}

/* Starts bringing the item rows of the entries from memory, and the weights when the weakest may be asked for. */
static void prefetch_entries(const struct neighbours *s, struct neighbour_row *r) {
    uint32_t n = r->n < s->params->neighbours ? r->n : r->n + r->cap;
    for (uint32_t k = 0; k < n; k += 16) __builtin_prefetch(r->words + k);
}

int neighbours_touch(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t n_more, struct err *e) {
    uint32_t most = s->params->neighbours;
    CHECK(a < s->params->max_items);
    struct neighbour_row *r = row_of(s, kind, a);
    if (n_more > most) n_more = most;
    if (!r) {
        int rc = start_row(s, kind, a, n_more, &r, e);
        if (rc < 0) return rc;
    }
    prefetch_entries(s, r);
    if (r->touched != s->period) {
        r->touched = s->period;
        r->reserved = 0;
    }
    uint32_t reserved = r->reserved + n_more < most ? r->reserved + n_more : most, need = r->n + reserved;
    if (need > most) need = most;
    if (need > r->cap) {
        int rc = grow_row(s, kind, a, need, &r, e);
        if (rc < 0) return rc;
    }
    r->reserved = (uint16_t)reserved;
    return 0;
}

void neighbours_add(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t b, float weight,
                    int64_t t_ms) {
    struct neighbour_row *r = row_of(s, kind, a);
    CHECK(r && r->touched == s->period && b < s->params->max_items);
    if (r->reserved) r->reserved--;
    neighbour_row_add(s, r, s->half_life_ms[kind], b, weight, t_ms);
}

void neighbours_publish(struct neighbours *s) { s->period++; }

void neighbours_erase(struct neighbours *s, uint32_t a) {
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++) unlink_row(s, slot_of(s, (enum neighbour_kind)kind, a));
    s->erasures++;
}

int neighbours_peek(const struct neighbours *s, enum neighbour_kind kind, uint32_t a, struct neighbour_list *out,
                    struct err *e) {
    (void)e;
    const struct neighbour_row *r = atomic_load_explicit(slot_of(s, kind, a), memory_order_acquire);
    out->n = 0;
    if (r) neighbour_row_copy(r, out);
    return 0;
}

int neighbours_read(const struct neighbours *s, unsigned reader, enum neighbour_kind kind, uint32_t a,
                    struct neighbour_list *out, struct err *e) {
    (void)reader;
    return neighbours_peek(s, kind, a, out, e);
}

const struct neighbours_stats *neighbours_stats(const struct neighbours *s) { return &s->stats; }
