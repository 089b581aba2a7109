/* The arithmetic bit for bit as kept in tests/golden/base.txt: another compiler, machine or formula is seen here.
 *
 * `test_base_golden write` prints the file anew. A change of it is a change of the model's arithmetic version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/fmath.h"
#include "lib/base/hash.h"

#define GOLDEN "tests/golden/base.txt"

static uint32_t float_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint64_t double_bits(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static double double_of(uint64_t u) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* One function of the model on the bits of up to three arguments. False when there is no such function. */
static bool answer(const char *name, const uint64_t a[3], uint64_t *out) {
    float x = float_of((uint32_t)a[0]);
    struct draw_place at = {.source = a[1], .partition = (uint32_t)(a[2] >> 8), .offset = a[2], .index = a[2] & 7};
    float row[5];
    char id[20];
    if (strcmp(name, "expf") == 0) {
        *out = float_bits(fm_expf(x));
    } else if (strcmp(name, "logf") == 0) {
        *out = float_bits(fm_logf(x));
    } else if (strcmp(name, "sigmoidf") == 0) {
        *out = float_bits(fm_sigmoidf(x));
    } else if (strcmp(name, "exp2") == 0) {
        *out = double_bits(fm_exp2(double_of(a[0])));
    } else if (strcmp(name, "log2") == 0) {
        *out = double_bits(fm_log2(double_of(a[0])));
    } else if (strcmp(name, "key") == 0) {
        *out = draw_key(a[0], &at, (enum draw_purpose)(1 + a[2] % 6));
    } else if (strcmp(name, "bits") == 0) {
        *out = draw_bits(a[0], a[1]);
    } else if (strcmp(name, "unit") == 0) {
        *out = float_bits(draw_unit(a[0]));
    } else if (strcmp(name, "below") == 0) {
        *out = draw_below(a[0], (uint32_t)a[1]);
    } else if (strcmp(name, "row") == 0) {
        int n = snprintf(id, sizeof id, "%" PRIu64, a[1]);
        draw_start_row(a[0], DRAW_START_ITEM, slice_of(id, (size_t)n), 0.04f, row, 5);
        *out = float_bits(row[a[2] % 5]);
    } else {
        return false;
    }
    return true;
}

/* The hash of the answers to a[1] inputs, every a[2]th from a[0] on. */
static uint64_t answer_to_many(const char *name, const uint64_t a[3]) {
    uint64_t hash = 0;
    for (uint64_t i = 0; i < a[1]; i++) {
        uint64_t one[3] = {a[0] + i * a[2], i % 7, i}, out = 0;
        assert_true(answer(name, one, &out));
        hash = hash64(&out, sizeof out, hash);
    }
    return hash;
}

static void all_lines_have_their_bits(void **state) {
    (void)state;
    FILE *f = fopen(GOLDEN, "r");
    if (f == NULL) fail_msg("%s cannot be opened; run in the root of the sources", GOLDEN);
    char line[200];
    int lines = 0, wrong = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        char kind[8], name[16];
        uint64_t a[3], want, got = 0;
        if (line[0] == '#') continue;
        int n = sscanf(line, "%7s %15s %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, kind, name, &a[0], &a[1], &a[2],
                       &want);
        assert_int_equal(n, 6);
        if (strcmp(kind, "many") == 0) {
            got = answer_to_many(name, a);
        } else if (!answer(name, a, &got)) {
            fail_msg("no function %s", name);
        }
        if (got != want) {
            wrong++;
            print_error("got %" PRIx64 ": %s", got, line);
        }
        lines++;
    }
    fclose(f);
    assert_int_equal(wrong, 0);
    assert_true(lines >= 200);
}

static void vectors_have_the_bits_of_the_file(void **state) {
    (void)state;
    FILE *f = fopen(GOLDEN, "r");
    assert_non_null(f);
    static float x[2][512], want[2][512];
    size_t n[2] = {0, 0};
    char line[200];
    while (fgets(line, sizeof line, f) != NULL) {
        char name[16];
        uint64_t in, out;
        if (sscanf(line, "one %15s %" SCNx64 " %*x %*x %" SCNx64, name, &in, &out) != 3) continue;
        if (strcmp(name, "expf") != 0 && strcmp(name, "logf") != 0) continue;
        size_t which = name[0] == 'l', at = n[which]++;
        assert_true(at < 512);
        x[which][at] = float_of((uint32_t)in);
        want[which][at] = float_of((uint32_t)out);
    }
    fclose(f);
    assert_true(n[0] >= 30 && n[1] >= 30);
    fm_expf_n(x[0], n[0]);
    fm_logf_n(x[1], n[1]);
    for (size_t which = 0; which < 2; which++) {
        for (size_t i = 0; i < n[which]; i++) {
            assert_int_equal(float_bits(x[which][i]), float_bits(want[which][i]));
        }
    }
}

static void write_line(const char *kind, const char *name, uint64_t a, uint64_t b, uint64_t c) {
    uint64_t in[3] = {a, b, c}, out = 0;
    if (strcmp(kind, "many") == 0) {
        out = answer_to_many(name, in);
    } else {
        answer(name, in, &out);
    }
    printf("%s %s %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", kind, name, a, b, c, out);
}

static void write_golden(void) {
    static const char *const of_float[] = {"expf", "logf", "sigmoidf"}, *const of_double[] = {"exp2", "log2"};
    static const char *const of_words[] = {"key", "bits", "unit", "below", "row"};
    static const float floats[] = {0.0f,  -0.0f,  1.0f,    -1.0f,   0.5f,   -0.5f, 88.7f,
                                   89.0f, -87.4f, -100.0f, -104.5f, 1e-42f, 3e38f, -3e38f};
    static const double doubles[] = {0.0,     1.0,     -1.0,    0.5,    -0.1,   1023.9, 1024.0,
                                     -1022.5, -1073.9, -1075.0, 5e-324, 1e-310, 1e308};
    printf("# kind function arguments answer, all bits in hexadecimal; written by test_base_golden write\n");
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
            write_line("one", of_float[k], float_bits(floats[i]), 0, 0);
        }
        write_line("one", of_float[k], 0x7F800000, 0, 0);
        write_line("one", of_float[k], 0xFF800000, 0, 0);
        for (uint64_t i = 0; i < 24; i++) {
            float x = draw_unit(draw_bits(k, i)) * 20.0f;
            write_line("one", of_float[k], float_bits(k == 1 || (i & 1) ? x : -x), 0, 0);
        }
        write_line("many", of_float[k], 1, 100003, 0x53A5); /* positive, denormals and infinity included */
        write_line("many", of_float[k], float_bits(0.0625f), 100003, 1021);
        if (k != 1) write_line("many", of_float[k], float_bits(-0.0625f), 100003, 1021);
    }
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
            write_line("one", of_double[k], double_bits(doubles[i]), 0, 0);
        }
        for (uint64_t i = 0; i < 12; i++) {
            double x = (double)draw_unit(draw_bits(k + 8, i)) * 30.0 + 0x1p-40;
            write_line("one", of_double[k], double_bits(k == 1 || (i & 1) ? x : -x), 0, 0);
        }
        write_line("many", of_double[k], double_bits(0x1p-10), 100003, UINT64_C(0x00000CCCCCCCCCCD));
        write_line("many", of_double[k], 1, 100003, UINT64_C(0x0000531234567891));
        if (k == 0) write_line("many", of_double[k], double_bits(-0x1p-10), 100003, UINT64_C(0x00000CCCCCCCCCCD));
    }
    for (size_t k = 0; k < 5; k++) {
        for (uint64_t i = 0; i < 16; i++)
            write_line("one", of_words[k], draw_bits(k, i), draw_bits(k, i + 99) >> i * 2, i * 211);
        write_line("many", of_words[k], k, 10007, UINT64_C(0x0123456789ABCDEF));
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "write") == 0) {
        write_golden();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_lines_have_their_bits),
        cmocka_unit_test(vectors_have_the_bits_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
