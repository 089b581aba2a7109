/* Buffers: limits and refused memory, JSON text, numbers that read back, and the binary cursor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"

static void appends_and_grows(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 100000);
    assert_null(b.p);
    for (int i = 0; i < 10000; i++) buf_add_char(&b, (char)('a' + i % 26));
    buf_add_str(&b, "-str");
    buf_add_slice(&b, slice_str("-slice"));
    buf_add(&b, NULL, 0);
    assert_false(b.failed);
    assert_int_equal(b.n, 10010);
    assert_string_equal(b.p + 10000, "-str-slice");
    for (size_t i = 0; i < 10000; i++) assert_int_equal(b.p[i], 'a' + i % 26);
    buf_clear(&b);
    assert_int_equal(b.n, 0);
    assert_string_equal(b.p, "");
    buf_free(&b);
    assert_true(b.p == NULL && b.n == 0 && b.cap == 0 && b.limit == 100000 && !b.failed);
    buf_free(&b);
}

static void an_append_past_the_limit_leaves_nothing(void **state) {
    (void)state;
    for (size_t limit = 0; limit < 600; limit += 7) {
        struct buf b;
        buf_init(&b, limit);
        char *text = calloc(1, limit + 2);
        assert_non_null(text);
        memset(text, 'x', limit + 1);
        buf_add(&b, text, limit / 2);
        buf_add(&b, text, limit - limit / 2 + 1); /* one too many */
        assert_true(b.failed);
        assert_int_equal(b.n, limit / 2);
        buf_add(&b, "", 0);
        buf_add_char(&b, 'y'); /* would fit, but the buffer has failed */
        assert_int_equal(b.n, limit / 2);
        buf_clear(&b);
        buf_add(&b, text, limit); /* exactly the limit */
        assert_false(b.failed);
        assert_int_equal(b.n, limit);
        assert_int_equal(b.p[limit], 0);
        free(text);
        buf_free(&b);
    }
}

static void refused_memory_is_remembered(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    mem_fail_at(1);
    buf_add_str(&b, "a");
    assert_true(b.failed && b.n == 0 && b.p == NULL);
    buf_add_json(&b, slice_str("a"));
    buf_printf(&b, "%d", 1);
    assert_true(b.failed && b.n == 0);
    buf_clear(&b);
    buf_add_str(&b, "kept");
    char large[1000];
    memset(large, '\n', sizeof large);
    mem_fail_at(1);
    buf_add_json(&b, slice_of(large, sizeof large));
    assert_true(b.failed);
    assert_string_equal(b.p, "kept");
    assert_int_equal(b.n, 4);
    buf_free(&b);
}

static void an_absurd_size_is_refused(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    buf_add_str(&b, "a");
    buf_add(&b, "x", SIZE_MAX - 10);
    assert_true(b.failed);
    assert_string_equal(b.p, "a");
    buf_free(&b);
}

static void prints_formats(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 400);
    buf_printf(&b, "%s=%d;", "k", 7);
    buf_printf(&b, "%s", "");
    buf_printf(&b, "%0300d", 0);
    assert_int_equal(b.n, 304);
    assert_memory_equal(b.p, "k=7;000", 7);
    assert_int_equal(strlen(b.p), 304);
    buf_printf(&b, "%0200d", 0);
    assert_true(b.failed);
    assert_int_equal(b.n, 304);
    assert_int_equal(strlen(b.p), 304);
    buf_free(&b);
}

static void prints_integers(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    buf_add_u64(&b, 0);
    buf_add_char(&b, ' ');
    buf_add_u64(&b, UINT64_MAX);
    buf_add_char(&b, ' ');
    buf_add_i64(&b, INT64_MIN);
    buf_add_char(&b, ' ');
    buf_add_i64(&b, -1);
    buf_add_char(&b, ' ');
    buf_add_i64(&b, INT64_MAX);
    assert_string_equal(b.p, "0 18446744073709551615 -9223372036854775808 -1 9223372036854775807");
    buf_free(&b);
}

static void assert_json(struct slice s, const char *want) {
    struct buf b;
    buf_init(&b, 10000);
    buf_add_json(&b, s);
    assert_string_equal(b.p, want);
    assert_int_equal(b.n, strlen(want));
    buf_free(&b);
}

static void writes_json_strings(void **state) {
    (void)state;
    assert_json(slice_of(NULL, 0), "\"\"");
    assert_json(slice_str("plain text of some length, with / and \x7f"),
                "\"plain text of some length, with / and \x7f\"");
    assert_json(slice_str("\"\\\b\f\n\r\t\x01\x1f"), "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\"");
    assert_json(slice_of("a\0b", 3), "\"a\\u0000b\"");
    assert_json(slice_str("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80"),
                "\"gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80\"");
    assert_json(slice_str("a\xFFz"), "\"a\xEF\xBF\xBDz\"");
    assert_json(slice_str("\xE2\x82"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_json(slice_str("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

/* One byte after the other, without a fast path. */
static void slow_json(struct slice s, char *out) {
    *out++ = '"';
    while (s.n > 0) {
        unsigned char c = (unsigned char)s.p[0];
        size_t step = utf8_step(s);
        if (step == 0) {
            memcpy(out, "\xEF\xBF\xBD", 3);
            out += 3;
            step = 1;
        } else if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < 0x20) {
            const char *at = memchr("\bb\ff\nn\rr\tt", c, 10);
            out += at != NULL ? sprintf(out, "\\%c", at[1]) : sprintf(out, "\\u%04x", c);
        } else {
            memcpy(out, s.p, step);
            out += step;
        }
        s = slice_of(s.p + step, s.n - step);
    }
    memcpy(out, "\"", 2);
}

static void every_byte_at_every_place_of_a_json_string(void **state) {
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t n = 1; n < 27; n++) {
            for (size_t i = 0; i < n; i++) {
                char *text = malloc(n), want[200]; /* exact, so that a sanitizer sees a read past the end */
                assert_non_null(text);
                memset(text, n % 3 == 0 ? '!' : n % 3 == 1 ? '~' : 'a', n);
                text[i] = (char)c;
                slow_json(slice_of(text, n), want);
                assert_json(slice_of(text, n), want);
                free(text);
            }
        }
    }
}

static void a_json_string_past_the_limit_leaves_nothing(void **state) {
    (void)state;
    const char *text = "ab\n\x01\xFFg\"";
    char want[64];
    slow_json(slice_str(text), want);
    for (size_t limit = 0; limit <= strlen(want) + 3; limit++) {
        struct buf b;
        buf_init(&b, limit);
        buf_add_str(&b, limit < 3 ? "" : "[1,");
        size_t before = b.n;
        buf_add_json(&b, slice_str(text));
        assert_int_equal(b.failed, limit < before + strlen(want));
        assert_int_equal(b.n, b.failed ? before : before + strlen(want));
        assert_string_equal(b.p + before, b.failed ? "" : want);
        buf_free(&b);
    }
}

/* The grammar of a JSON number. */
static bool is_json_number(const char *s) {
    s += *s == '-';
    size_t n = strspn(s, "0123456789");
    if (n == 0 || (n > 1 && *s == '0')) return false;
    s += n;
    if (*s == '.') {
        n = strspn(++s, "0123456789");
        if (n == 0) return false;
        s += n;
    }
    if (*s == 'e') {
        s++;
        s += *s == '-';
        n = strspn(s, "0123456789");
        if (n == 0) return false;
        s += n;
    }
    return *s == '\0';
}

static int digits_of(const char *s) {
    int n = 0, zeros = 0;
    for (; *s != '\0' && *s != 'e'; s++) {
        if (*s < '0' || *s > '9' || (n == 0 && *s == '0')) continue;
        n++;
        zeros = *s == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

static void assert_float(struct buf *b, float v) {
    buf_clear(b);
    buf_add_float(b, v);
    float back = strtof(b->p, NULL);
    if (memcmp(&back, &v, sizeof v) != 0) fail_msg("%a is written %s", (double)v, b->p);
    if (!is_json_number(b->p)) fail_msg("%s is not JSON", b->p);
    char text[40];
    int precision = 1;
    do {
        snprintf(text, sizeof text, "%.*e", precision - 1, (double)v);
    } while (strtof(text, NULL) != v && ++precision <= 9);
    if (digits_of(b->p) > precision) fail_msg("%s has more digits than %s", b->p, text);
}

static void floats_read_back_and_are_short(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    for (uint64_t i = 0; i < 100000; i++) {
        uint32_t bits = (uint32_t)draw_bits(1, i);
        float any, score = (draw_unit(draw_bits(2, i)) - 0.5f) * (i & 1 ? 10.0f : 1e-3f);
        memcpy(&any, &bits, sizeof any);
        if (isfinite(any)) assert_float(&b, any);
        assert_float(&b, score);
        assert_float(&b, (float)(int)(bits % 2000001) / 1000.0f);
    }
    for (int k = -149; k < 128; k++) {
        float power = ldexpf(1.0f, k);
        assert_float(&b, power);
        assert_float(&b, nextafterf(power, 0));
        assert_float(&b, -nextafterf(power, FLT_MAX));
    }
    for (int k = -45; k < 39; k++) {
        char text[10];
        snprintf(text, sizeof text, "1e%d", k);
        float power = strtof(text, NULL);
        assert_float(&b, power);
        assert_float(&b, nextafterf(power, 0));
        if (k > -45) assert_int_equal(digits_of((buf_clear(&b), buf_add_float(&b, power), b.p)), 1);
    }
    for (uint32_t u = 1; u < 3000; u++) { /* denormals */
        float v;
        memcpy(&v, &u, sizeof v);
        assert_float(&b, v);
    }
    buf_free(&b);
}

static void assert_double(struct buf *b, double v) {
    buf_clear(b);
    buf_add_double(b, v);
    double back = strtod(b->p, NULL);
    if (memcmp(&back, &v, sizeof v) != 0) fail_msg("%a is written %s", v, b->p);
    if (!is_json_number(b->p)) fail_msg("%s is not JSON", b->p);
    char text[40];
    int precision = 1;
    do {
        snprintf(text, sizeof text, "%.*e", precision - 1, v);
    } while (strtod(text, NULL) != v && ++precision <= 17);
    if (digits_of(b->p) > precision) fail_msg("%s has more digits than %s", b->p, text);
}

static void doubles_read_back_and_are_short(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t bits = draw_bits(3, i);
        double any;
        memcpy(&any, &bits, sizeof any);
        if (isfinite(any)) assert_double(&b, any);
        assert_double(&b, (double)(int64_t)(bits >> 30) / 1000.0);
        assert_double(&b, (double)(int64_t)(bits >> 5));
    }
    for (int k = -1074; k < 1024; k++) {
        assert_double(&b, ldexp(1.0, k));
        assert_double(&b, -nextafter(ldexp(1.0, k), 0));
    }
    assert_double(&b, DBL_MAX);
    buf_free(&b);
}

static void assert_float_text(float v, const char *want) {
    struct buf b;
    buf_init(&b, 100);
    buf_add_float(&b, v);
    assert_string_equal(b.p, want);
    buf_clear(&b);
    buf_add_double(&b, (double)v);
    if (!isfinite(v) || (fabsf(v) < 1e9f && v == (float)(int)v)) assert_string_equal(b.p, want);
    buf_free(&b);
}

static void numbers_look_as_expected(void **state) {
    (void)state;
    assert_float_text(0.0f, "0");
    assert_float_text(-0.0f, "-0");
    assert_float_text(3.0f, "3");
    assert_float_text(-100.0f, "-100");
    assert_float_text(1e6f, "1000000");
    assert_float_text(16777216.0f, "16777216");
    assert_float_text(0.1f, "0.1");
    assert_float_text(-0.3f, "-0.3");
    assert_float_text(1.0f / 3.0f, "0.33333334");
    assert_float_text(1e-5f, "0.00001");
    assert_float_text(1.5e-5f, "0.000015");
    assert_float_text(1e-6f, "1e-6");
    assert_float_text(1.25e-7f, "1.25e-7");
    assert_float_text(9.999999f, "9.999999");
    assert_float_text(999999.94f, "999999.94");
    assert_float_text(FLT_MAX, "3.4028235e38");
    assert_float_text(FLT_TRUE_MIN, "1e-45");
    assert_float_text(0x1p-24f, "5.9604645e-8");
    assert_float_text(INFINITY, "null");
    assert_float_text(-INFINITY, "null");
    assert_float_text(NAN, "null");
}

static void numbers_do_not_depend_on_the_locale(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    const char *set = NULL;
    for (size_t i = 0; set == NULL && i < sizeof names / sizeof names[0]; i++) set = setlocale(LC_NUMERIC, names[i]);
    if (set == NULL) {
        print_message("skipped because no locale with a decimal comma is installed\n");
        skip();
    }
    assert_float_text(1.25e-7f, "1.25e-7");
    assert_float_text(0.1f, "0.1");
    struct buf b;
    buf_init(&b, 100);
    buf_add_double(&b, 1234.5678);
    assert_string_equal(b.p, "1234.5678");
    buf_free(&b);
    setlocale(LC_NUMERIC, "C");
}

static void binary_goes_both_ways(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_put_u8(&b, 0xFE);
    buf_put_u16(&b, 0x1234);
    buf_put_u32(&b, 0x89ABCDEF);
    buf_put_u64(&b, UINT64_C(0xFEDCBA9876543210));
    buf_add_str(&b, "tail");
    static const unsigned char want[] = {0xFE, 0x34, 0x12, 0xEF, 0xCD, 0xAB, 0x89, 0x10,
                                         0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE};
    assert_int_equal(b.n, sizeof want + 4);
    assert_memory_equal(b.p, want, sizeof want);

    struct cursor c = {.p = (const uint8_t *)b.p, .n = b.n};
    assert_int_equal(cursor_u8(&c), 0xFE);
    assert_int_equal(cursor_u16(&c), 0x1234);
    assert_int_equal(cursor_u32(&c), 0x89ABCDEF);
    assert_true(cursor_u64(&c) == UINT64_C(0xFEDCBA9876543210));
    assert_true(slice_is(cursor_bytes(&c, 4), "tail"));
    assert_int_equal(c.n, 0);
    assert_int_equal(cursor_bytes(&c, 0).n, 0);
    assert_false(c.failed);
    buf_free(&b);
}

static void a_short_read_fails_for_good(void **state) {
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3};
    struct cursor c = {.p = bytes, .n = sizeof bytes};
    assert_int_equal(cursor_u32(&c), 0);
    assert_true(c.failed);
    assert_int_equal(cursor_u8(&c), 0); /* one byte would be there */
    assert_int_equal(cursor_bytes(&c, 1).n, 0);
    struct cursor d = {.p = bytes, .n = sizeof bytes};
    struct slice s = cursor_bytes(&d, SIZE_MAX);
    assert_true(d.failed && s.p == NULL && s.n == 0);
    struct cursor none = {.p = NULL, .n = 0};
    assert_int_equal(cursor_bytes(&none, 0).n, 0);
    assert_false(none.failed);
    assert_int_equal(cursor_u64(&none), 0);
    assert_true(none.failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_grows),
        cmocka_unit_test(an_append_past_the_limit_leaves_nothing),
        cmocka_unit_test(refused_memory_is_remembered),
        cmocka_unit_test(an_absurd_size_is_refused),
        cmocka_unit_test(prints_formats),
        cmocka_unit_test(prints_integers),
        cmocka_unit_test(writes_json_strings),
        cmocka_unit_test(every_byte_at_every_place_of_a_json_string),
        cmocka_unit_test(a_json_string_past_the_limit_leaves_nothing),
        cmocka_unit_test(floats_read_back_and_are_short),
        cmocka_unit_test(doubles_read_back_and_are_short),
        cmocka_unit_test(numbers_look_as_expected),
        cmocka_unit_test(numbers_do_not_depend_on_the_locale),
        cmocka_unit_test(binary_goes_both_ways),
        cmocka_unit_test(a_short_read_fails_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
