/* A binary indexed tree over integer weights. */
#include "lib/model/urn.h"

#include "lib/base/check.h"
#include "lib/base/mem.h"

struct urn {
    uint32_t n, top; /* the largest power of two up to n */
    uint64_t total;
    uint64_t *sums;    /* (n + 1) sums[k]: of the lowest-bit-of-k weights that end at row k - 1 */
    uint64_t *weights; /* (n) */
};

struct urn *urn_new(uint32_t n) {
    CHECK(n >= 1 && n <= UINT32_MAX / 2);
    struct urn *u = mem_zalloc(sizeof *u);
    if (!u) return NULL;
    u->n = n;
    for (u->top = 1; u->top <= n / 2; u->top *= 2) continue;
    u->sums = mem_map(((size_t)n + 1) * sizeof *u->sums);
    u->weights = mem_map((size_t)n * sizeof *u->weights);
    if (u->sums && u->weights) return u;
    urn_free(u);
    return NULL;
}

void urn_free(struct urn *u) {
    if (!u) return;
    mem_unmap(u->sums, ((size_t)u->n + 1) * sizeof *u->sums);
    mem_unmap(u->weights, (size_t)u->n * sizeof *u->weights);
    mem_free(u);
}

void urn_set(struct urn *u, uint32_t row, uint64_t weight) {
    uint64_t more = weight - u->weights[row]; /* modulo 2^64, as all sums are */
    u->weights[row] = weight;
    u->total += more;
    for (uint32_t k = row + 1; k <= u->n; k += k & (0 - k)) u->sums[k] += more;
}

uint64_t urn_weight(const struct urn *u, uint32_t row) { return u->weights[row]; }
uint64_t urn_total(const struct urn *u) { return u->total; }

/* bits * total / 2^64, by halves. */
static uint64_t scale(uint64_t bits, uint64_t total) {
    uint64_t low = (bits & UINT32_MAX) * (total & UINT32_MAX), a = (bits >> 32) * (total & UINT32_MAX) + (low >> 32);
    uint64_t b = (bits & UINT32_MAX) * (total >> 32) + (a & UINT32_MAX);
    return (bits >> 32) * (total >> 32) + (a >> 32) + (b >> 32);
}

uint32_t urn_draw(const struct urn *u, uint64_t bits) {
    uint64_t left = scale(bits, u->total);
    uint32_t at = 0;
    for (uint32_t half = u->top; half > 0; half /= 2)
        if (at + half <= u->n && u->sums[at + half] <= left) {
            at += half;
            left -= u->sums[at];
        }
    return at;
}
