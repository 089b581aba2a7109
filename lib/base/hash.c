/* Hashes and checksums: xxHash, libdeflate and OpenSSL behind names of our own. */
#include "lib/base/hash.h"

#include <libdeflate.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

uint64_t hash64(const void *p, size_t n, uint64_t seed) { return XXH3_64bits_withSeed(p, n, seed); }

struct hash128 hash128(const void *p, size_t n) {
    XXH128_hash_t h = XXH3_128bits(p, n);
    return (struct hash128){.lo = h.low64, .hi = h.high64};
}

uint32_t hash_crc32(uint32_t crc, const void *p, size_t n) {
    return n ? libdeflate_crc32(crc, p, n) : crc; /* it answers 0 to a NULL pointer */
}

struct sha256 {
    EVP_MD_CTX *ctx;
};

struct sha256 *sha256_new(void) {
    struct sha256 *h = mem_zalloc(sizeof *h);
    if (h == NULL) return NULL;
    h->ctx = EVP_MD_CTX_new();
    if (h->ctx == NULL || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        sha256_free(h);
        return NULL;
    }
    return h;
}

void sha256_add(struct sha256 *h, const void *p, size_t n) {
    if (n > 0) CHECK(EVP_DigestUpdate(h->ctx, p, n) == 1);
}

void sha256_end(struct sha256 *h, uint8_t out[32]) {
    unsigned size = 0;
    CHECK(EVP_DigestFinal_ex(h->ctx, out, &size) == 1);
    CHECK(size == 32);
    CHECK(EVP_DigestInit_ex(h->ctx, NULL, NULL) == 1); /* the same digest again, nothing is allocated */
}

void sha256_free(struct sha256 *h) {
    if (h == NULL) return;
    EVP_MD_CTX_free(h->ctx);
    mem_free(h);
}

void sha256_hex(const uint8_t digest[32], char out[65]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}
