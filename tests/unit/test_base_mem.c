/* Memory: zeroed where promised, and the Nth request fails once, whichever of the four it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/mem.h"

static void gives_zeroed_memory(void **state) {
    (void)state;
    unsigned char *dirty = mem_alloc(4000);
    assert_non_null(dirty);
    memset(dirty, 0xAA, 4000);
    mem_free(dirty);
    unsigned char *p = mem_zalloc(4000);
    assert_non_null(p);
    for (size_t i = 0; i < 4000; i++) assert_int_equal(p[i], 0);
    mem_free(p);
    mem_free(NULL);
}

static void realloc_keeps_the_bytes(void **state) {
    (void)state;
    char *p = mem_realloc(NULL, 4);
    assert_non_null(p);
    memcpy(p, "abc", 4);
    p = mem_realloc(p, 100000);
    assert_non_null(p);
    assert_string_equal(p, "abc");
    mem_free(p);
}

static void a_refused_realloc_leaves_the_block(void **state) {
    (void)state;
    char *p = mem_alloc(4);
    assert_non_null(p);
    memcpy(p, "abc", 4);
    mem_fail_at(1);
    assert_null(mem_realloc(p, 1000));
    assert_string_equal(p, "abc");
    mem_free(p);
}

static void a_map_is_zeroed_and_costs_nothing_until_touched(void **state) {
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (size_t)8 << 30;
    unsigned char *p = mem_map(n);
    assert_non_null(p);
    assert_int_equal(p[0], 0);
    p[n - 1] = 7;
    assert_int_equal(p[n - 1], 7);
    unsigned char resident[64];
    size_t touched = 0;
    assert_int_equal(mincore(p + 4 * page, sizeof resident * page, resident), 0);
    for (size_t i = 0; i < sizeof resident; i++) touched += resident[i] & 1;
    mem_unmap(p, n);
    assert_int_equal(touched, 0);
    mem_unmap(NULL, n);
}

static void an_impossible_map_is_refused(void **state) {
    (void)state;
    assert_null(mem_map(SIZE_MAX / 2));
}

static void *request(int kind) {
    switch (kind) {
    case 0:
        return mem_alloc(10);
    case 1:
        return mem_zalloc(10);
    case 2:
        return mem_realloc(NULL, 10);
    default:
        return mem_map(10);
    }
}

static void forget(int kind, void *p) {
    if (kind == 3) {
        mem_unmap(p, 10);
    } else {
        mem_free(p);
    }
}

static void the_nth_request_fails_once(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        for (uint64_t nth = 1; nth <= 4; nth++) {
            mem_fail_at(nth);
            for (uint64_t i = 1; i <= 6; i++) {
                void *p = request(kind);
                if (i == nth) {
                    assert_null(p);
                } else {
                    assert_non_null(p);
                }
                forget(kind, p);
            }
        }
    }
}

static void the_hook_can_be_switched_off(void **state) {
    (void)state;
    mem_fail_at(1);
    mem_fail_at(0);
    void *p = mem_alloc(1);
    assert_non_null(p);
    mem_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_memory),
        cmocka_unit_test(realloc_keeps_the_bytes),
        cmocka_unit_test(a_refused_realloc_leaves_the_block),
        cmocka_unit_test(a_map_is_zeroed_and_costs_nothing_until_touched),
        cmocka_unit_test(an_impossible_map_is_refused),
        cmocka_unit_test(the_nth_request_fails_once),
        cmocka_unit_test(the_hook_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
