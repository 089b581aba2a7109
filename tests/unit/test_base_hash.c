/* Hashes: published check values, chaining, and a context used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"

static void crc32_has_its_check_value_and_chains(void **state) {
    (void)state;
    assert_int_equal(hash_crc32(0, "123456789", 9), 0xCBF43926);
    for (size_t i = 0; i <= 9; i++) {
        assert_int_equal(hash_crc32(hash_crc32(0, "123456789", i), &"123456789"[i], 9 - i), 0xCBF43926);
    }
    assert_int_equal(hash_crc32(0xCBF43926, NULL, 0), 0xCBF43926);
    assert_int_equal(hash_crc32(0, NULL, 0), 0);
}

static void xxh3_has_its_published_values(void **state) {
    (void)state;
    assert_true(hash64(NULL, 0, 0) == UINT64_C(0x2D06800538D394C2));
    struct hash128 empty = hash128(NULL, 0);
    assert_true(empty.hi == UINT64_C(0x99AA06D3014798D8) && empty.lo == UINT64_C(0x6001C324468D497F));
    assert_true(hash_slice(slice_str("abc")) == UINT64_C(0x78AF5F94892F3950));
}

static void seed_and_every_byte_matter(void **state) {
    (void)state;
    unsigned char text[300];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)(i * 7);
    uint64_t h = hash64(text, sizeof text, 1);
    struct hash128 wide = hash128(text, sizeof text);
    assert_true(h != hash64(text, sizeof text, 2));
    assert_true(h != hash64(text, sizeof text - 1, 1));
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] ^= 1;
        struct hash128 other = hash128(text, sizeof text);
        assert_true(hash64(text, sizeof text, 1) != h);
        assert_true(other.lo != wide.lo && other.hi != wide.hi);
        text[i] ^= 1;
    }
}

static void assert_sha256(struct sha256 *h, const char *hex) {
    uint8_t digest[32];
    char text[65];
    sha256_end(h, digest);
    sha256_hex(digest, text);
    assert_string_equal(text, hex);
}

static void sha256_has_the_values_of_the_standard(void **state) {
    (void)state;
    struct sha256 *h = sha256_new();
    assert_non_null(h);
    for (int round = 0; round < 2; round++) { /* the context is ready again after each end */
        assert_sha256(h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        sha256_add(h, "abc", 3);
        assert_sha256(h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        sha256_add(h, "a", 1);
        sha256_add(h, NULL, 0);
        sha256_add(h, "bc", 2);
        assert_sha256(h, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        char *million = malloc(1000000);
        assert_non_null(million);
        memset(million, 'a', 1000000);
        sha256_add(h, million, 1000000);
        free(million);
        assert_sha256(h, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    sha256_free(h);
    sha256_free(NULL);
}

static void sha256_tells_refused_memory(void **state) {
    (void)state;
    mem_fail_at(1);
    assert_null(sha256_new());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32_has_its_check_value_and_chains), cmocka_unit_test(xxh3_has_its_published_values),
        cmocka_unit_test(seed_and_every_byte_matter),           cmocka_unit_test(sha256_has_the_values_of_the_standard),
        cmocka_unit_test(sha256_tells_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
