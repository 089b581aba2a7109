/* One neighbour row: its arrays, adding in place, whole copies. */
#include <sched.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/neighbour_priv.h"

#define MIN_CAP 4u
#define RANGE   64.0 /* half-lives past the reference time up to which weights stay as they are */

_Static_assert(sizeof(struct neighbour_row) == 64, "the head of a neighbour row is one cache line");

static uint32_t weight_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static float bits_weight(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void put32(uint32_t *at, uint32_t v) { atomic_store_explicit((_Atomic uint32_t *)at, v, memory_order_relaxed); }
static void put16(uint16_t *at, uint16_t v) { atomic_store_explicit((_Atomic uint16_t *)at, v, memory_order_relaxed); }

static uint32_t cap_for(uint32_t n, uint32_t most) {
    uint32_t cap = MIN_CAP, limit = (most + 3) & ~3u;
    while (cap < n) cap *= 2;
    return cap < limit ? cap : limit;
}

struct neighbour_row *neighbour_row_new(uint32_t n, uint32_t most) {
    uint32_t cap = cap_for(n, most > n ? most : n);
    struct neighbour_row *r = mem_zalloc(neighbour_row_bytes(cap));
    if (r) r->cap = (uint16_t)cap;
    return r;
}

struct neighbour_row *neighbour_row_grown(struct neighbour_row *from, uint32_t n, uint32_t most) {
    struct neighbour_row *r = neighbour_row_new(n, most);
    if (!r) return NULL;
    uint16_t cap = r->cap;
    memcpy(r, from, sizeof *r);
    r->cap = cap;
    atomic_init(&r->seq, 0);
    memcpy(neighbour_items(r), neighbour_items(from), sizeof(uint32_t) * from->n);
    memcpy(neighbour_weights(r), neighbour_weights(from), sizeof(uint32_t) * from->n);
    memcpy(neighbour_generations(r), neighbour_generations(from), sizeof(uint16_t) * from->n);
    return r;
}

/* The first of a[0] to a[n - 1] that is v, or n. */
static uint32_t find(const uint32_t *a, uint32_t n, uint32_t v) {
    uint32_t k = 0;
    for (; k + 16 <= n; k += 16) {
        uint32_t hit = 0;
        for (uint32_t j = 0; j < 16; j++) hit |= a[k + j] == v;
        if (hit) break;
    }
    while (k < n && a[k] != v) k++;
    return k;
}

/* The first of the least weights: floats above 0 stand in the order of their bits. */
static uint32_t weakest(const uint32_t *weights, uint32_t n) {
    int32_t least = INT32_MAX;
    for (uint32_t k = 0; k < n; k++) least = (int32_t)weights[k] < least ? (int32_t)weights[k] : least;
    return find(weights, n, (uint32_t)least);
}

static void begin(struct neighbour_row *r) {
    atomic_store_explicit(&r->seq, atomic_load_explicit(&r->seq, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void end(struct neighbour_row *r) {
    atomic_store_explicit(&r->seq, atomic_load_explicit(&r->seq, memory_order_relaxed) + 1, memory_order_release);
}

static void set_entry(struct neighbour_row *r, uint32_t at, uint32_t item, uint32_t weight, uint16_t generation) {
    put32(&neighbour_items(r)[at], item);
    put32(&neighbour_weights(r)[at], weight);
    put16(&neighbour_generations(r)[at], generation);
}

static void set_reference(struct neighbour_row *r, int64_t t_ms) {
    atomic_store_explicit((_Atomic int64_t *)&r->reference_ms, t_ms, memory_order_relaxed);
}

/* The reference time moves to t, x half-lives on. What decays to nothing has the smallest weight there is: an entry
 * stays until a newcomer needs its place. */
static void renormalise(struct neighbour_row *r, int64_t t_ms, double x) {
    double factor = fm_exp2(-x);
    uint32_t *weights = neighbour_weights(r), tiny = 1;
    for (uint32_t k = 0; k < r->n; k++) {
        uint32_t bits = weight_bits((float)((double)bits_weight(weights[k]) * factor));
        put32(&weights[k], bits ? bits : tiny);
    }
    set_reference(r, t_ms);
}

static void move_entry(struct neighbour_row *r, uint32_t to, uint32_t from) {
    if (to == from) return;
    set_entry(r, to, neighbour_items(r)[from], neighbour_weights(r)[from], neighbour_generations(r)[from]);
}

/* Entries of erased items leave; the order of the others stays. */
static void drop_erased(const struct neighbours *s, struct neighbour_row *r) {
    const uint32_t *items = neighbour_items(r);
    const uint16_t *generations = neighbour_generations(r);
    uint32_t kept = 0;
    if (r->erasures == s->erasures) return;
    for (uint32_t k = 0; k < r->n; k++) __builtin_prefetch(item_head(s->items, items[k]));
    for (uint32_t k = 0; k < r->n; k++)
        if ((uint16_t)neighbour_generation(s, items[k]) == generations[k]) move_entry(r, kept++, k);
    put16(&r->n, (uint16_t)kept);
    r->erasures = s->erasures;
}

/* A row of a time when params.neighbours was larger gives up its weakest until it fits. */
static void drop_surplus(struct neighbour_row *r, uint32_t most) {
    while (r->n > most) {
        uint32_t at = weakest(neighbour_weights(r), r->n);
        for (uint32_t k = at + 1; k < r->n; k++) move_entry(r, k - 1, k);
        put16(&r->n, (uint16_t)(r->n - 1));
    }
}

/* The place of a newcomer: behind the others, or the weakest's. */
static uint32_t place(struct neighbours *s, struct neighbour_row *r) {
    uint32_t most = s->params->neighbours;
    if (r->n >= most) drop_erased(s, r);
    if (r->n > most) drop_surplus(r, most);
    if (r->n == most) {
        neighbour_count(&s->stats.replaced, 1);
        return weakest(neighbour_weights(r), r->n);
    }
    CHECK(r->n < r->cap);
    put16(&r->n, (uint16_t)(r->n + 1));
    return r->n - 1u;
}

void neighbour_row_add(struct neighbours *s, struct neighbour_row *r, double half_life_ms, uint32_t b, float weight,
                       int64_t t_ms) {
    uint16_t generation = (uint16_t)neighbour_generation(s, b);
    uint32_t at = find(neighbour_items(r), r->n, b);
    double x = r->n ? (double)(t_ms - r->reference_ms) / half_life_ms : 0, shift = x > RANGE ? x : 0;
    bool known = at < r->n && neighbour_generations(r)[at] == generation;
    float before = known ? bits_weight(neighbour_weights(r)[at]) : 0;
    double old = shift > 0 ? (double)before * fm_exp2(-shift) : (double)before;
    float sum = (float)(old + (double)weight * fm_exp2(x - shift));
    if (!(weight > 0) || sum - sum != 0) {
        neighbour_count(&s->stats.refused, 1);
        return;
    }
    if (sum == (float)old) return;
    begin(r);
    if (r->n == 0) set_reference(r, t_ms);
    if (shift > 0) renormalise(r, t_ms, shift);
    if (at == r->n) at = place(s, r);
    set_entry(r, at, b, weight_bits(sum), generation);
    end(r);
}

static void copy_words(void *out, const void *from, size_t n) {
    const _Atomic uint64_t *s = from;
    unsigned char *d = out;
    for (size_t k = 0; k < (n + 7) / 8; k++) {
        uint64_t w = atomic_load_explicit(&s[k], memory_order_relaxed);
        memcpy(d + 8 * k, &w, 8);
    }
}

void neighbour_row_copy(const struct neighbour_row *row, struct neighbour_list *out) {
    struct neighbour_row *r = (struct neighbour_row *)(uintptr_t)row;
    for (unsigned tries = 1;; tries++) {
        uint32_t before = atomic_load_explicit(&r->seq, memory_order_acquire);
        if (!(before & 1u)) {
            out->n = atomic_load_explicit((_Atomic uint16_t *)&r->n, memory_order_relaxed);
            out->reference_ms = atomic_load_explicit((_Atomic int64_t *)&r->reference_ms, memory_order_relaxed);
            copy_words(out->row, neighbour_items(r), sizeof(uint32_t) * out->n);
            copy_words(out->weight, neighbour_weights(r), sizeof(uint32_t) * out->n);
            copy_words(out->generation, neighbour_generations(r), sizeof(uint16_t) * out->n);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&r->seq, memory_order_relaxed) == before) return;
        }
        if (tries % 64 == 0) sched_yield(); /* the learner was put aside in the middle of a row */
    }
}
