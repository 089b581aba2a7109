/* The table of neighbour rows: touching, adding, asking. */
#include "lib/model/neighbour.h"

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/neighbour_priv.h"

#define STORED_LIMIT 65536u

static int check_params(const struct model_params *p, struct err *e) {
    if (p->neighbours < 1 || p->neighbours > NEIGHBOUR_MAX)
        return err_set(e, ERR_RANGE, "model.neighbours", "%u is outside 1 to %d", p->neighbours, NEIGHBOUR_MAX);
    if (p->pair_half_life_ms < 1 || p->successor_half_life_ms < 1 || p->lately_half_life_ms < 1)
        return err_set(e, ERR_RANGE, "model.pair_half_life", "half-lives of neighbours must be above 0");
    return 0;
}

int neighbours_new(const struct model_params *p, const struct neighbour_space *of, struct epoch *epoch,
                   struct neighbours **out, struct err *e) {
    int rc = check_params(p, e);
    if (rc < 0) return rc;
    struct neighbours *s = mem_zalloc(sizeof *s);
    if (!s) return neighbour_no_memory(e);
    s->params = p;
    s->of = *of;
    s->epoch = epoch;
    s->cache_bytes = UINT64_MAX;
    s->period = 1;
    s->erasures = 1;
    s->interval = 1;
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++)
        s->half_life_ms[kind] = (double)neighbour_half_life_ms(p, (enum neighbour_kind)kind);
    s->n_keys = (size_t)(of->max_rows > SEGMENT_ROWS ? of->max_rows : SEGMENT_ROWS) * NEIGHBOUR_KINDS;
    buf_init(&s->stored, STORED_LIMIT);
    s->rows = mem_map(s->n_keys * sizeof *s->rows);
    s->resident = mem_map(s->n_keys * sizeof *s->resident);
    s->list = mem_map(s->n_keys * sizeof *s->list);
    s->flight = mem_map(s->n_keys * sizeof *s->flight);
    if (s->rows && s->resident && s->list && s->flight) {
        *out = s;
        return 0;
    }
    neighbours_free(s);
    return err_set(e, ERR_NOMEM, "model", "no address space for the neighbours of %u %ss", of->max_rows, of->name);
}

void neighbours_set_backing(struct neighbours *s, uint64_t cache_bytes, const struct neighbour_backing *backing) {
    CHECK(s->n_resident == 0);
    s->backing = *backing;
    s->cache_bytes = backing->get ? cache_bytes : UINT64_MAX;
}

void neighbours_free(struct neighbours *s) {
    if (!s) return;
    if (s->in_flight) neighbours_checkpoint_end(s, false);
    for (uint32_t k = 0; s->resident && k < s->n_resident; k++) mem_free(neighbour_at(s, s->resident[k]));
    mem_unmap(s->rows, s->n_keys * sizeof *s->rows);
    mem_unmap(s->resident, s->n_keys * sizeof *s->resident);
    mem_unmap(s->list, s->n_keys * sizeof *s->list);
    mem_unmap(s->flight, s->n_keys * sizeof *s->flight);
    buf_free(&s->stored);
    mem_free(s);
}

int neighbour_no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "neighbours", "no memory for a row of neighbours");
}

void neighbours_prefetch(const struct neighbours *s, enum neighbour_kind kind, uint32_t a) {
    __builtin_prefetch(neighbour_at(s, neighbour_key(kind, a)));
}

static uint32_t at_most(uint32_t n, uint32_t most) { return n < most ? n : most; }

/* A row that is not here: what the backing has, or an empty one, with room for n_more. */
static int load_row(struct neighbours *s, uint32_t key, uint32_t n_more, struct neighbour_row **out, struct err *e) {
    uint32_t most = s->params->neighbours;
    struct neighbour_list stored;
    int found = neighbour_fetch(s, key, &s->stored, &stored, e);
    if (found < 0 && found != ERR_MISSING) return found;
    uint32_t cap = neighbour_cap(at_most(stored.n + n_more, most), most);
    int rc = neighbour_room(s, neighbour_row_bytes(cap), e);
    if (rc < 0) return rc;
    struct neighbour_row *r = neighbour_row_new(cap);
    if (!r) return neighbour_no_memory(e);
    r->generation = neighbour_row_generation(s, key);
    if (found == 0)
        neighbour_row_fill(r, &stored);
    else
        r->erasures = s->erasures;
    neighbour_link(s, key, r);
    *out = r;
    return 0;
}

static int grow_row(struct neighbours *s, uint32_t need, struct neighbour_row **row, struct err *e) {
    struct neighbour_row *old = *row;
    uint32_t cap = neighbour_cap(need, s->params->neighbours);
    uint64_t more = neighbour_row_bytes(cap) - neighbour_row_bytes(neighbour_row_cap(old));
    int rc = neighbour_room(s, more, e);
    if (rc < 0) return rc;
    struct neighbour_row *r = neighbour_row_grown(old, cap);
    if (!r) return neighbour_no_memory(e);
    if (atomic_load_explicit(&r->interval, memory_order_relaxed) == s->interval) s->dirty_now += more;
    neighbour_account(s, 0, more);
    atomic_store_explicit(&s->rows[r->key], r, memory_order_release);
    epoch_retire(s->epoch, old, neighbour_row_bytes(neighbour_row_cap(old)), mem_free);
    *row = r;
    return 0;
}

/* Starts bringing the item rows of the entries from memory, and the weights when the weakest may be asked for. */
static void prefetch_entries(const struct neighbours *s, struct neighbour_row *r) {
    uint32_t n = r->n < s->params->neighbours ? r->n : r->n + neighbour_row_cap(r);
    for (uint32_t k = 0; k < n; k += 16) __builtin_prefetch(r->words + k);
}

int neighbours_touch(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t n_more, struct err *e) {
    uint32_t most = s->params->neighbours, key = neighbour_key(kind, a);
    CHECK(a < (kind == NEIGHBOUR_SEGMENT ? SEGMENT_ROWS : s->of.max_rows));
    struct neighbour_row *r = neighbour_at(s, key);
    n_more = at_most(n_more, most);
    neighbour_count(r ? &s->stats.hits : &s->stats.misses, 1);
    int rc = r ? 0 : load_row(s, key, n_more, &r, e);
    if (rc < 0) return rc;
    CHECK(r);
    prefetch_entries(s, r);
    if (r->touched != s->period) {
        r->touched = s->period;
        r->reserved = 0;
    }
    neighbour_seen(r);
    uint32_t reserved = at_most(r->reserved + n_more, most), need = at_most(r->n + reserved, most);
    if (need > neighbour_row_cap(r)) rc = grow_row(s, need, &r, e);
    if (rc == 0) rc = neighbour_set_aside(s, r, e);
    if (rc == 0) r->reserved = (uint8_t)reserved;
    return rc;
}

static void want(struct neighbours *s, uint32_t key) {
    atomic_store_explicit(&s->wanted[key % NEIGHBOUR_WANTED], key + 1, memory_order_relaxed);
    atomic_store_explicit(&s->any_wanted, true, memory_order_release);
}

void neighbours_admit(struct neighbours *s, uint32_t most) {
    if (!atomic_load_explicit(&s->any_wanted, memory_order_relaxed)) return;
    atomic_exchange_explicit(&s->any_wanted, false, memory_order_acquire);
    for (uint32_t k = 0; k < NEIGHBOUR_WANTED; k++) {
        if (atomic_load_explicit(&s->wanted[k], memory_order_relaxed) == 0) continue;
        if (most-- == 0) {
            atomic_store_explicit(&s->any_wanted, true, memory_order_relaxed);
            return;
        }
        uint32_t key = atomic_exchange_explicit(&s->wanted[k], 0, memory_order_relaxed) - 1;
        struct neighbour_row *r;
        if (!neighbour_at(s, key) && load_row(s, key, 0, &r, NULL) == 0) neighbour_count(&s->stats.admitted, 1);
    }
}

int64_t neighbours_aged(const struct neighbours *s, enum neighbour_kind kind) {
    return atomic_load_explicit(&s->aged_ms[kind], memory_order_relaxed);
}

void neighbours_add(struct neighbours *s, enum neighbour_kind kind, uint32_t a, uint32_t b, float weight,
                    int64_t t_ms) {
    struct neighbour_row *r = neighbour_at(s, neighbour_key(kind, a));
    CHECK(r && r->touched == s->period && b < s->of.max_rows);
    if (r->reserved) r->reserved--;
    neighbour_row_add(s, r, s->half_life_ms[kind], b, weight, t_ms + neighbours_aged(s, kind));
}

void neighbours_set_aged(struct neighbours *s, const int64_t aged_ms[NEIGHBOUR_KINDS]) {
    for (int k = 0; k < NEIGHBOUR_KINDS; k++) atomic_store_explicit(&s->aged_ms[k], aged_ms[k], memory_order_relaxed);
}

void neighbours_publish(struct neighbours *s) {
    s->period++;
    (void)neighbour_make_room(s, 0); /* what one event needed beyond the bound goes when it can */
    atomic_store_explicit(&s->stats.dirty, (uint64_t)s->n_list + s->n_flight, memory_order_relaxed);
    atomic_store_explicit(&s->stats.dirty_bytes, s->dirty_now + s->dirty_in_flight, memory_order_relaxed);
}

int neighbours_erase(struct neighbours *s, uint32_t a, struct err *e) {
    for (uint32_t key = a * NEIGHBOUR_KINDS; key < (a + 1) * NEIGHBOUR_KINDS; key++) {
        struct neighbour_row *r = neighbour_is_of_item(key) ? neighbour_at(s, key) : NULL;
        int rc = r ? neighbour_set_aside(s, r, e) : 0;
        if (rc < 0) return rc;
    }
    for (uint32_t key = a * NEIGHBOUR_KINDS; key < (a + 1) * NEIGHBOUR_KINDS; key++) {
        struct neighbour_row *r = neighbour_is_of_item(key) ? neighbour_at(s, key) : NULL;
        if (!r) continue;
        neighbour_unmark(s, r);
        neighbour_unlink(s, r);
    }
    if (s->erasures < UINT32_MAX) s->erasures++;
    return 0;
}

int neighbours_peek(struct neighbours *s, enum neighbour_kind kind, uint32_t a, struct neighbour_list *out,
                    struct err *e) {
    uint32_t key = neighbour_key(kind, a);
    struct neighbour_row *r = neighbour_at(s, key);
    int rc = 0;
    if (r)
        (void)neighbour_row_copy(r, out);
    else
        rc = neighbour_fetch(s, key, &s->stored, out, e);
    if (out->n > 0) out->reference_ms -= neighbours_aged(s, kind);
    return rc == ERR_MISSING ? 0 : rc;
}

void neighbours_prefetch_read(const struct neighbours *s, enum neighbour_kind kind, uint32_t a, int station) {
    const struct neighbour_row *r = atomic_load_explicit(&s->rows[neighbour_key(kind, a)], memory_order_acquire);
    if (station == 0)
        __builtin_prefetch(r);
    else if (r)
        for (size_t at = sizeof *r; at < neighbour_row_bytes(neighbour_row_cap(r)); at += 64)
            __builtin_prefetch((const char *)r + at);
}

int neighbours_read(struct neighbours *s, unsigned reader, enum neighbour_kind kind, uint32_t a,
                    struct neighbour_list *out, struct err *e) {
    uint32_t key = neighbour_key(kind, a);
    struct neighbour_row *r = atomic_load_explicit(&s->rows[key], memory_order_acquire);
    out->n = 0;
    if (r) {
        neighbour_seen(r);
        (void)neighbour_row_copy(r, out);
        out->reference_ms -= neighbours_aged(s, kind);
        return 0;
    }
    if (!s->backing.get) return 0;
    want(s, key);
    struct buf bytes;
    buf_init(&bytes, STORED_LIMIT);
    epoch_leave(s->epoch, reader);
    int rc = neighbour_fetch(s, key, &bytes, out, e);
    epoch_enter(s->epoch, reader);
    atomic_fetch_add_explicit(&s->stats.reads, 1, memory_order_relaxed);
    if (out->n > 0) out->reference_ms -= neighbours_aged(s, kind);
    buf_free(&bytes);
    return rc == ERR_MISSING ? 0 : rc;
}

const struct neighbours_stats *neighbours_stats(const struct neighbours *s) { return &s->stats; }
uint64_t neighbours_aside_bytes(const struct neighbours *s) {
    return atomic_load_explicit(&s->aside_bytes, memory_order_relaxed);
}
uint64_t neighbours_cache_bytes(const struct neighbours *s) { return s->cache_bytes; }
