/* One neighbour row: its arrays, adding in place, whole copies. */
#include <emmintrin.h> /* SSE2: all of x86-64 has it */
#include <float.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/neighbour_priv.h"

#define MIN_CAP 4u
#define TINY    0x1p-149f /* the smallest float above 0 */
#define RANGE   64.0      /* half-lives past the reference time up to which weights stay as they are */

_Static_assert(sizeof(struct neighbour_row) == 48 && offsetof(struct neighbour_row, words) == 48, "documented sizes");
_Static_assert(NEIGHBOUR_MAX <= UINT8_MAX, "n is a byte");

static void put32(uint32_t *at, uint32_t v) { atomic_store_explicit((_Atomic uint32_t *)at, v, memory_order_relaxed); }
static void put_float(float *at, float v) { atomic_store_explicit((_Atomic float *)at, v, memory_order_relaxed); }
static void put16(uint16_t *at, uint16_t v) { atomic_store_explicit((_Atomic uint16_t *)at, v, memory_order_relaxed); }

uint32_t neighbour_cap(uint32_t n, uint32_t most) {
    uint32_t cap = MIN_CAP, limit = ((most > n ? most : n) + 3) & ~3u;
    while (cap < n) cap *= 2;
    return cap < limit ? cap : limit;
}

struct neighbour_row *neighbour_row_new(uint32_t cap) {
    struct neighbour_row *r = mem_zalloc(neighbour_row_bytes(cap));
    if (r) r->fours = (uint8_t)(cap / 4);
    return r;
}

void neighbour_row_fill(struct neighbour_row *r, const struct neighbour_list *from) {
    CHECK(from->n <= neighbour_row_cap(r));
    r->reference_ms = from->reference_ms;
    r->n = (uint8_t)from->n;
    memcpy(neighbour_items(r), from->row, sizeof(uint32_t) * from->n);
    memcpy(neighbour_weights(r), from->weight, sizeof(float) * from->n);
    memcpy(neighbour_generations(r), from->generation, sizeof(uint16_t) * from->n);
}

struct neighbour_row *neighbour_row_grown(struct neighbour_row *from, uint32_t cap) {
    struct neighbour_row *r = neighbour_row_new(cap);
    if (!r) return NULL;
    r->generation = from->generation;
    r->reference_ms = from->reference_ms;
    r->n = from->n;
    r->reserved = from->reserved;
    atomic_init(&r->recent, atomic_load_explicit(&from->recent, memory_order_relaxed));
    r->touched = from->touched;
    r->key = from->key;
    r->resident = from->resident;
    r->listed = from->listed;
    r->erasures = from->erasures;
    atomic_init(&r->interval, atomic_load_explicit(&from->interval, memory_order_relaxed));
    atomic_init(&r->taken, atomic_load_explicit(&from->taken, memory_order_relaxed));
    memcpy(neighbour_items(r), neighbour_items(from), sizeof(uint32_t) * from->n);
    memcpy(neighbour_weights(r), neighbour_weights(from), sizeof(uint32_t) * from->n);
    memcpy(neighbour_generations(r), neighbour_generations(from), sizeof(uint16_t) * from->n);
    return r;
}

/* The first of a[0] to a[n - 1] that is v, or n. Reads whole words of 16 bytes, which a row has. */
static uint32_t find(const void *a, uint32_t n, uint32_t v) {
    const __m128i *words = a, want = _mm_set1_epi32((int)v);
    for (uint32_t k = 0; k < n; k += 16) {
        __m128i hit[4];
        for (uint32_t j = 0; j < 4; j++)
            hit[j] = k + 4 * j < n ? _mm_cmpeq_epi32(_mm_loadu_si128(words + k / 4 + j), want) : _mm_setzero_si128();
        __m128i low = _mm_packs_epi32(hit[0], hit[1]), high = _mm_packs_epi32(hit[2], hit[3]);
        uint32_t mask = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
        if (mask == 0) continue;
        uint32_t at = k + (uint32_t)__builtin_ctz(mask);
        return at < n ? at : n;
    }
    return n;
}

uint32_t neighbour_weakest(const float *weights, uint32_t n) {
    __m128 least[4];
    for (uint32_t j = 0; j < 4; j++) least[j] = _mm_set1_ps(FLT_MAX);
    uint32_t k = 0, bits;
    for (; k + 16 <= n; k += 16)
        for (uint32_t j = 0; j < 4; j++) least[j] = _mm_min_ps(least[j], _mm_loadu_ps(weights + k + 4 * j));
    float lanes[4], min = FLT_MAX;
    _mm_storeu_ps(lanes, _mm_min_ps(_mm_min_ps(least[0], least[1]), _mm_min_ps(least[2], least[3])));
    for (uint32_t j = 0; j < 4; j++) min = lanes[j] < min ? lanes[j] : min;
    for (; k < n; k++) min = weights[k] < min ? weights[k] : min;
    memcpy(&bits, &min, sizeof bits);
    return find(weights, n, bits);
}

static void begin(struct neighbour_row *r) {
    atomic_store_explicit(&r->seq, atomic_load_explicit(&r->seq, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void end(struct neighbour_row *r) {
    atomic_store_explicit(&r->seq, atomic_load_explicit(&r->seq, memory_order_relaxed) + 1, memory_order_release);
}

static void set_entry(struct neighbour_row *r, uint32_t at, uint32_t item, float weight, uint16_t generation) {
    put32(&neighbour_items(r)[at], item);
    put_float(&neighbour_weights(r)[at], weight);
    put16(&neighbour_generations(r)[at], generation);
}

static void set_n(struct neighbour_row *r, uint32_t n) {
    atomic_store_explicit((_Atomic uint8_t *)&r->n, (uint8_t)n, memory_order_relaxed);
}

static void set_reference(struct neighbour_row *r, int64_t t_ms) {
    atomic_store_explicit((_Atomic int64_t *)&r->reference_ms, t_ms, memory_order_relaxed);
}

/* For a later reference time. What decays to nothing gets the smallest weight there is: an entry stays until a newcomer
 * needs its place. */
static void fade_all(struct neighbour_row *r, double fade) {
    float *weights = neighbour_weights(r);
    for (uint32_t k = 0; k < r->n; k++) {
        float v = (float)((double)weights[k] * fade);
        put_float(&weights[k], v > 0 ? v : TINY);
    }
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
    if (r->erasures == s->erasures && s->erasures < UINT32_MAX) return;
    for (uint32_t k = 0; k < r->n; k++) __builtin_prefetch(&s->of.brief[items[k]]);
    for (uint32_t k = 0; k < r->n; k++)
        if ((uint16_t)neighbour_generation(s, items[k]) == generations[k]) move_entry(r, kept++, k);
    set_n(r, kept);
    r->erasures = s->erasures;
}

/* The place of a newcomer: behind the others, or the weakest's. */
static uint32_t place(struct neighbours *s, struct neighbour_row *r) {
    uint32_t most = s->params->neighbours;
    if (r->n >= most) drop_erased(s, r);
    if (r->n == most) {
        neighbour_count(&s->stats.replaced, 1);
        return neighbour_weakest(neighbour_weights(r), r->n);
    }
    CHECK(r->n < neighbour_row_cap(r));
    set_n(r, r->n + 1u);
    return r->n - 1u;
}

/* 2^(age / half-life). Ten additions to one row have the same: the last answer is kept. */
static double growth(struct neighbours *s, int64_t age_ms, double half_life_ms) {
    struct neighbour_growth *last = &s->growth;
    if (last->age_ms != age_ms || last->half_life_ms != half_life_ms)
        *last = (struct neighbour_growth){age_ms, half_life_ms, fm_exp2((double)age_ms / half_life_ms)};
    return last->factor;
}

void neighbour_row_add(struct neighbours *s, struct neighbour_row *r, double half_life_ms, uint32_t b, float weight,
                       int64_t t_ms) {
    uint16_t generation = (uint16_t)neighbour_generation(s, b);
    uint32_t at = find(neighbour_items(r), r->n, b);
    bool known = at < r->n && neighbour_generations(r)[at] == generation;
    double age_ms = r->n ? (double)(t_ms - r->reference_ms) : 0, old = known ? (double)neighbour_weights(r)[at] : 0;
    bool moves = age_ms > RANGE * half_life_ms;
    double fade = moves ? fm_exp2(-age_ms / half_life_ms) : 1;
    double factor = moves || r->n == 0 ? 1 : growth(s, t_ms - r->reference_ms, half_life_ms);
    float before = (float)(old * fade), sum = (float)(old * fade + (double)weight * factor);
    if (!(weight > 0) || sum - sum != 0) {
        neighbour_count(&s->stats.refused, 1);
        return;
    }
    if (sum == before) return;
    neighbour_mark(s, r);
    begin(r);
    if (moves) fade_all(r, fade);
    if (moves || r->n == 0) set_reference(r, t_ms);
    if (at == r->n) at = place(s, r);
    set_entry(r, at, b, sum, generation);
    end(r);
}

static size_t whole_words(size_t n) { return (n + 7) / 8 * 8; }

uint32_t neighbour_row_copy(const struct neighbour_row *row, struct neighbour_list *out) {
    struct neighbour_row *r = (struct neighbour_row *)(uintptr_t)row;
    for (unsigned tries = 1;; tries++) {
        uint32_t before = atomic_load_explicit(&r->seq, memory_order_acquire);
        if (!(before & 1u)) {
            out->n = atomic_load_explicit((_Atomic uint8_t *)&r->n, memory_order_relaxed);
            out->reference_ms = atomic_load_explicit((_Atomic int64_t *)&r->reference_ms, memory_order_relaxed);
            item_load(out->row, neighbour_items(r), whole_words(sizeof(uint32_t) * out->n));
            item_load(out->weight, neighbour_weights(r), whole_words(sizeof(uint32_t) * out->n));
            item_load(out->generation, neighbour_generations(r), whole_words(sizeof(uint16_t) * out->n));
            uint32_t interval = atomic_load_explicit(&r->interval, memory_order_acquire);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&r->seq, memory_order_relaxed) == before) return interval;
        }
        if (tries % 64 == 0) sched_yield(); /* the learner was put aside in the middle of a row */
    }
}
