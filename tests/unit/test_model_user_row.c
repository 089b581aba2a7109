/* The stored form of a user row, byte by byte, and what is no row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/model/user_priv.h"

#define DIM 4u

static const unsigned char STORED[] = {
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* last_ms */
    0x00, 0x00, 0xc0, 0x3f,                         /* p_sum = 1.5 */
    0x02, 0x00, 0x01, 0x00,                         /* two items used, one shown */
    0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0xc0, /* p = 1, -2, */
    0x00, 0x00, 0x00, 0x3f, 0x00, 0x00, 0x80, 0x7f, /* 0.5, infinity */
    0x67, 0x45, 0x23, 0x01, 0xcd, 0xab, 0x34, 0x12, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x22, 0x11, /* neither flag */
    0xff, 0xff, 0xff, 0x7f, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x01, 0x00, /* together */
    0x01, 0x00, 0x00, 0x80, 0xff, 0xff, 0x00, 0x80, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, /* apart */
};

static const struct user_entry ENTRIES[] = {
    {.row = 0x01234567, .generation = 0xabcd, .types = 0x1234, .time_ms = 0x010203040506, .count = 0x1122},
    {.row = USER_ROW_BITS, .together = 1, .types = 1, .time_ms = 0x800000000000, .count = 1},
    {.row = 1, .apart = 1, .generation = 0xffff, .types = 0x8000, .time_ms = 1, .count = 0xffff},
};

static struct slice given;

static int give(void *arg, struct slice id, struct buf *out, struct err *e) {
    (void)arg;
    (void)id;
    (void)e;
    buf_add(out, given.p, given.n);
    return 0;
}

static struct users *open_users(struct epoch **epoch) {
    static const struct model_params params = {.dim = DIM, .seed = 1, .max_items = USER_ROW_BITS + 1};
    static const struct user_backing backing = {.get = give};
    struct users *u;
    struct err e;
    *epoch = epoch_new(1);
    assert_int_equal(users_new(&params, 1u << 20, &backing, *epoch, &u, &e), 0);
    return u;
}

static void bytes_and_back(void **state) {
    struct epoch *epoch;
    struct users *u = open_users(&epoch);
    struct user_row *r;
    struct buf out;
    struct err e;
    (void)state;
    given = slice_of((const char *)STORED, sizeof STORED);
    assert_int_equal(users_load(u, slice_str("ann"), &r, &e), 0);
    assert_int_equal(r->last_ms, 0x0102030405060708);
    assert_true(r->p_sum == 1.5f && r->p[0] == 1 && r->p[1] == -2 && r->p[2] == 0.5f && r->p[3] > 1e38f);
    assert_int_equal(r->n, 2);
    assert_int_equal(r->n_shown, 1);
    assert_true(slice_equal(user_id(r, DIM), slice_str("ann")));
    for (int k = 0; k < 3; k++) {
        const struct user_entry *entry = k < 2 ? &user_entries(r, DIM)[k] : user_shown(r, DIM);
        assert_int_equal(entry->row, ENTRIES[k].row);
        assert_int_equal(entry->together, ENTRIES[k].together);
        assert_int_equal(entry->apart, ENTRIES[k].apart);
        assert_int_equal(entry->generation, ENTRIES[k].generation);
        assert_int_equal(entry->types, ENTRIES[k].types);
        assert_int_equal(entry->time_ms, ENTRIES[k].time_ms);
        assert_int_equal(entry->count, ENTRIES[k].count);
    }
    buf_init(&out, 4096);
    user_encode(r, DIM, &out);
    assert_int_equal(out.n, sizeof STORED);
    assert_memory_equal(out.p, STORED, sizeof STORED);
    buf_free(&out);
    mem_free(r);
    users_free(u);
    epoch_free(epoch);
}

static void other_lengths_are_refused(void **state) {
    unsigned char longer[sizeof STORED + 16] = {0};
    struct epoch *epoch;
    struct users *u = open_users(&epoch);
    struct user_row *r = NULL;
    struct err e;
    (void)state;
    memcpy(longer, STORED, sizeof STORED);
    for (size_t n = 0; n <= sizeof longer; n++) {
        given = slice_of((const char *)longer, n);
        int rc = users_load(u, slice_str("ann"), &r, &e);
        assert_int_equal(rc, n == sizeof STORED ? 0 : ERR_CORRUPT);
        if (rc == 0) mem_free(r);
    }
    users_free(u);
    epoch_free(epoch);
}

/* Item rows are indices: one that is none is not read, whoever wrote it. */
static void entries_of_no_item_are_refused(void **state) {
    struct epoch *epoch;
    struct users *u = open_users(&epoch);
    struct model_params few = {.dim = DIM, .seed = 1, .max_items = 1000};
    struct user_row *r = NULL;
    struct err e;
    (void)state;
    u->params = &few;
    for (int outside = -1; outside < 3; outside++) { /* which of the entries names a row beyond the last one */
        unsigned char row[sizeof STORED];
        memcpy(row, STORED, sizeof row);
        for (int k = 0; k < 3; k++) {
            uint32_t names = k == outside ? 1000 : 999;
            memcpy(row + sizeof row - 16 * (3 - (size_t)k), &names, 4);
        }
        given = slice_of((const char *)row, sizeof row);
        assert_int_equal(users_load(u, slice_str("ann"), &r, &e), outside < 0 ? 0 : ERR_CORRUPT);
        if (outside < 0) mem_free(r);
    }
    assert_non_null(strstr(e.text, "\"ann\""));
    users_free(u);
    epoch_free(epoch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_back),
        cmocka_unit_test(other_lengths_are_refused),
        cmocka_unit_test(entries_of_no_item_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
