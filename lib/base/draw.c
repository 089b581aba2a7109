/* Random draws by counter: the keys, and the start values of new rows. */
#include "lib/base/draw.h"

#include "lib/base/hash.h"

#define GAMMA UINT64_C(0x9E3779B97F4A7C15)
/* The deviation of the sum of four uniform 16-bit integers: sqrt(4 (2^32 - 1) / 12). */
#define FOUR_DEVIATION 37837.227f
#define FOUR_MEAN      131070

/* One more word of a key. One-to-one in word for a given key, and in key for a given word. */
static uint64_t absorb(uint64_t key, uint64_t word) { return draw_mix((key ^ word) + GAMMA); }

/* The seed is mixed first: two small numbers side by side would meet (1 ^ 2 is 3 ^ 0). */
static uint64_t first_words(uint64_t seed, enum draw_purpose purpose) {
    return absorb(absorb(0, seed), (uint64_t)purpose);
}

uint64_t draw_key(uint64_t seed, const struct draw_place *at, enum draw_purpose purpose) {
    uint64_t key = first_words(seed, purpose);
    key = absorb(key, at->source);
    key = absorb(key, (uint64_t)at->partition << 32 | at->index);
    return absorb(key, at->offset);
}

void draw_start_row(uint64_t seed, enum draw_purpose purpose, struct slice id, float deviation, float *out, size_t n) {
    uint64_t key = absorb(first_words(seed, purpose), hash_slice(id));
    float scale = deviation / FOUR_DEVIATION;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = draw_bits(key, i);
        uint32_t sum = (uint32_t)(bits & 0xFFFF) + (uint32_t)(bits >> 16 & 0xFFFF) + (uint32_t)(bits >> 32 & 0xFFFF) +
                       (uint32_t)(bits >> 48);
        out[i] = (float)((int32_t)sum - FOUR_MEAN) * scale;
    }
}
