/* UTF-8: every code point, every pair of bytes, and the limits of RFC 3629. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "lib/base/utf8.h"

static size_t encode(uint32_t c, char out[4]) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF0u << (4 - n) & 0xFF) | c);
    return n;
}

static void every_code_point_but_surrogates(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char text[4];
        size_t n = encode(c, text);
        size_t want = c >= 0xD800 && c <= 0xDFFF ? 0 : n;
        if (utf8_step(slice_of(text, n)) != want) fail_msg("U+%04X", c);
        for (size_t cut = 1; cut < n; cut++) assert_int_equal(utf8_step(slice_of(text, cut)), 0);
    }
}

/* The oracle decodes loosely and looks at the result. */
static size_t slow_step(const unsigned char *p, size_t n) {
    if (n == 0) return 0;
    if (p[0] < 0x80) return 1;
    size_t want = (p[0] & 0xE0) == 0xC0 ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : (p[0] & 0xF8) == 0xF0 ? 4 : 0;
    if (want == 0 || n < want) return 0;
    uint32_t c = p[0] & (0x7Fu >> want);
    for (size_t i = 1; i < want; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return c < least[want] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) ? 0 : want;
}

static void agrees_with_the_definition_on_all_heads(void **state) {
    (void)state;
    static const unsigned char tails[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    for (unsigned head = 0; head < 65536; head++) {
        for (size_t i = 0; i < sizeof tails; i++) {
            for (size_t j = 0; j < sizeof tails; j++) {
                unsigned char text[4] = {(unsigned char)(head >> 8), (unsigned char)head, tails[i], tails[j]};
                for (size_t n = 1; n <= 4; n++) {
                    if (utf8_step(slice_of((const char *)text, n)) != slow_step(text, n)) {
                        fail_msg("%02x %02x %02x %02x", text[0], text[1], text[2], text[3]);
                    }
                }
            }
        }
    }
}

static void a_fault_is_found_at_every_place(void **state) {
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        char *text = malloc(n + 1); /* exact, so that a sanitizer sees a read past the end */
        assert_non_null(text);
        for (size_t i = 0; i < n; i++) text[i] = 'a';
        assert_true(utf8_valid(slice_of(text, n)));
        for (size_t i = 0; i < n; i++) {
            text[i] = (char)0xC3;
            assert_false(utf8_valid(slice_of(text, n)));
            if (i + 1 < n) {
                text[i + 1] = (char)0xA9;
                assert_true(utf8_valid(slice_of(text, n)));
                text[i + 1] = 'a';
            }
            text[i] = 'a';
        }
        free(text);
    }
}

static void empty_text_is_valid(void **state) {
    (void)state;
    assert_true(utf8_valid(slice_of(NULL, 0)));
    assert_int_equal(utf8_step(slice_of(NULL, 0)), 0);
    assert_true(utf8_valid(slice_of("\0", 1)));
    assert_true(utf8_valid(slice_str("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80")));
    assert_false(utf8_valid(slice_str("\xEF\xBF\xBD\xC0\x80")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_but_surrogates),
        cmocka_unit_test(agrees_with_the_definition_on_all_heads),
        cmocka_unit_test(a_fault_is_found_at_every_place),
        cmocka_unit_test(empty_text_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
