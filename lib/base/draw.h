/* Random draws by counter: a draw depends on its key and number alone, never on what was drawn before.
 *
 * The generator is SplitMix64 (Steele, Lea, Flood 2014) read at an index: key + index * golden gamma, finalised. */
#ifndef RANKD_BASE_DRAW_H
#define RANKD_BASE_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

/* What a draw is for; numbers are part of the model's arithmetic and never reused. */
enum draw_purpose {
    DRAW_NEGATIVES = 1,
    DRAW_START_ITEM = 2,    /* q of an item */
    DRAW_START_HISTORY = 3, /* y of an item */
    DRAW_START_USER = 4,    /* p of a user */
    DRAW_BLEND = 5,
    DRAW_SWAP = 6,
    DRAW_DROPOUT = 7, /* of history items */
    DRAW_HARD = 8,    /* the pool of hard negatives */
};

/* Where an event stands in its log: the identity of every draw made for it. */
struct draw_place {
    uint64_t source;    /* 64-bit hash of the source's name */
    uint32_t partition; /* 0 where a source has none */
    uint64_t offset;
    uint32_t index; /* in the basket */
};

static inline uint64_t draw_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* The key of all draws for one purpose at one place. */
uint64_t draw_key(uint64_t seed, const struct draw_place *at, enum draw_purpose purpose);

/* 64 uniform bits: draw number index under key. */
static inline uint64_t draw_bits(uint64_t key, uint64_t index) {
    return draw_mix(key + (index + 1) * 0x9E3779B97F4A7C15u);
}

static inline float draw_unit(uint64_t bits) { return (float)(bits >> 40) * (1.0f / 16777216.0f); } /* [0, 1) */

/* Uniform in [0, n), n > 0, from the low 32 bits (bias below n / 2^32). */
static inline uint32_t draw_below(uint64_t bits, uint32_t n) {
    return (uint32_t)(((bits & 0xFFFFFFFFu) * (uint64_t)n) >> 32);
}

/* Start values of a new row: n values of mean 0 and the given deviation, from (seed, purpose, id) alone. Each is
 * the centred sum of four 16-bit uniforms (Irwin-Hall, excess kurtosis -0.3), so that no libm call is involved. */
void draw_start_row(uint64_t seed, enum draw_purpose purpose, struct slice id, float deviation, float *out, size_t n);

#endif
