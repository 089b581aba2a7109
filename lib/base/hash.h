/* Hashes and checksums; all from packaged libraries, all the same on every machine. */
#ifndef RANKD_BASE_HASH_H
#define RANKD_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

struct hash128 {
    uint64_t lo, hi;
};

uint64_t hash64(const void *p, size_t n, uint64_t seed);    /* XXH3, 64 bits */
struct hash128 hash128(const void *p, size_t n);            /* XXH3, 128 bits, seed 0 */
uint32_t hash_crc32(uint32_t crc, const void *p, size_t n); /* CRC-32 (IEEE); start with 0, chain to continue */

static inline uint64_t hash_slice(struct slice s) { return hash64(s.p, s.n, 0); }

/* SHA-256 over parts. One thread a context. */
struct sha256;
struct sha256 *sha256_new(void); /* NULL when memory is refused */
void sha256_add(struct sha256 *h, const void *p, size_t n);
void sha256_end(struct sha256 *h, uint8_t out[32]); /* result; the context is ready for a new message */
void sha256_free(struct sha256 *h);                 /* NULL is fine */
void sha256_hex(const uint8_t digest[32], char out[65]);

#endif
