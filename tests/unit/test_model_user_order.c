/* The users of a checkpoint in the order of their ids: each once, as it stood at the beginning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/model/user.h"

#define N 3000u

static struct model_params params = {.dim = 4, .seed = 1, .start_user = 0.1f};
static char ids[N][MODEL_MAX_ID];
static struct err e;

static int nothing(void *arg, struct slice id, struct buf *out, struct err *err) {
    (void)arg;
    (void)id;
    (void)out;
    (void)err;
    return ERR_MISSING;
}

static void touch(struct users *u, uint32_t k, int64_t last_ms) {
    struct user_row *row;
    assert_int_equal(users_touch(u, slice_str(ids[k]), &row, &e), 0);
    row->last_ms = last_ms;
}

/* Hands users out after a sort, while others change them: places[k] is that of ids[k]. */
static void hand_out(uint32_t places[N], uint64_t fail_nth) {
    static const struct user_backing backing = {.get = nothing};
    struct epoch *epoch = epoch_new(1);
    struct users *u = NULL;
    assert_int_equal(users_new(&params, 64u << 20, &backing, epoch, &u, &e), 0);
    for (uint32_t k = 0; k < N; k++) touch(u, (uint32_t)((uint64_t)k * 7919 % N), 1 + (int64_t)(k * 7919 % N));
    users_publish(u);
    uint64_t n, found = 0;
    struct user_list *l = users_checkpoint_begin(u, &n);
    assert_int_equal(n, N);
    for (uint32_t k = 0; k < N; k += 3) touch(u, k, -1);
    users_publish(u);
    mem_fail_at(fail_nth);
    users_list_sort(u, l, 0);
    mem_fail_at(0);
    memset(places, 0xff, N * sizeof *places);
    epoch_enter(epoch, 0);
    for (const struct user_row *r; (r = users_list_next(u, l)); found++) {
        uint32_t k = (uint32_t)(r->last_ms - 1); /* never one of the rows that changed since */
        assert_true(k < N && places[k] == UINT32_MAX);
        assert_true(slice_equal(user_id(r, params.dim), slice_str(ids[k])));
        places[k] = (uint32_t)found;
    }
    epoch_leave(epoch, 0);
    assert_int_equal(found, N);
    users_checkpoint_end(u, l, true);
    users_free(u);
    epoch_free(epoch);
}

static int by_text(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* How far the farthest id stands from its place. */
static uint32_t farthest(const uint32_t places[N]) {
    static const char *sorted[N];
    uint32_t most = 0;
    for (uint32_t k = 0; k < N; k++) sorted[k] = ids[k];
    qsort(sorted, N, sizeof *sorted, by_text);
    for (uint32_t at = 0; at < N; at++) {
        uint32_t k = (uint32_t)((sorted[at] - ids[0]) / MODEL_MAX_ID);
        uint32_t off = places[k] > at ? places[k] - at : at - places[k];
        if (off > most) most = off;
    }
    return most;
}

static void test_numbers_behind_a_common_beginning(void **state) {
    (void)state;
    static uint32_t places[N];
    for (uint32_t k = 0; k < N; k++) snprintf(ids[k], sizeof ids[k], "customer-of-the-shop-%u", k);
    hand_out(places, 0);
    assert_int_equal(farthest(places), 0);
}

/* Equal in their first 16 bytes, of several beginnings: runs of equal keys are ordered by what is behind. */
static void test_long_equal_beginnings(void **state) {
    (void)state;
    static uint32_t places[N];
    static const char *const from[] = {"", "anonymous-visitor-", "anonymous-visitors-of-the-other-shop-", "z"};
    for (uint32_t k = 0; k < N; k++)
        snprintf(ids[k], sizeof ids[k], "%s%llx.%u", from[draw_bits(1, k) % 4],
                 (unsigned long long)(draw_bits(2, k) >> 40), k);
    hand_out(places, 0);
    assert_in_range(farthest(places), 0, 64);
}

static void test_bytes_are_compared_without_sign(void **state) {
    (void)state;
    static uint32_t places[N];
    for (uint32_t k = 0; k < N; k++)
        snprintf(ids[k], sizeof ids[k], "%c\xc3%c%u", k % 2 ? 'a' : '\xe2', (int)(0x80 + k % 64), k);
    hand_out(places, 0);
    assert_int_equal(farthest(places), 0);
}

static void test_without_memory_they_come_in_any_order(void **state) {
    (void)state;
    static uint32_t places[N];
    for (uint32_t k = 0; k < N; k++) snprintf(ids[k], sizeof ids[k], "u%u", k);
    hand_out(places, 1);
    assert_true(farthest(places) > N / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_behind_a_common_beginning),
        cmocka_unit_test(test_long_equal_beginnings),
        cmocka_unit_test(test_bytes_are_compared_without_sign),
        cmocka_unit_test(test_without_memory_they_come_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
