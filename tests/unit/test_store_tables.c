/* Tables: rows in and out, order, scans, sizes, format, locks, several readers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lmdb.h>
#include <pthread.h>

#include "lib/store/store.h"
#include "tests/unit/store_tmp.h"

static char dir[256];
static struct err e;

static struct store_options options(void) {
    return (struct store_options){
        .dir = dir, .map_size = 64u << 20, .preallocate = 1u << 20, .max_readers = 2, .create = true};
}

static struct store *open_store(void) {
    struct store_options o = options();
    struct store *s = NULL;
    if (store_open(&o, &s, &e) != 0) fail_msg("%s", e.text);
    return s;
}

static int set_up(void **state) {
    (void)state;
    tmp_make(dir);
    memset(&e, 0, sizeof e);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tmp_remove(dir);
    return 0;
}

static void put(struct store *s, enum store_table table, struct slice key, struct slice value) {
    struct store_txn *t = NULL;
    assert_int_equal(store_begin(s, &t, &e), 0);
    assert_int_equal(store_put(t, table, key, value, &e), 0);
    assert_int_equal(store_commit(t, &e), 0);
}

static void assert_value(struct store *s, enum store_table table, struct slice key, const char *want) {
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_int_equal(store_get(s, table, key, &b, &e), 0);
    assert_int_equal(b.n, strlen(want));
    assert_memory_equal(b.p, want, b.n);
    buf_free(&b);
}

static void test_rows_survive_a_reopen(void **state) {
    (void)state;
    struct store *s = open_store();
    char k4[4], k8[8];
    put(s, STORE_ITEM, store_key_u32(7, k4), slice_str("block seven"));
    put(s, STORE_JOURNAL, store_key_u64(1ull << 40, k8), slice_str("run"));
    put(s, STORE_USER, slice_str("u\xc3\xa9"), slice_str("row"));
    put(s, STORE_USER, slice_str("u\xc3\xa9"), slice_str("a longer row"));
    put(s, STORE_META, slice_str("empty"), slice_str(""));
    store_close(s);
    s = open_store();
    assert_value(s, STORE_ITEM, store_key_u32(7, k4), "block seven");
    assert_value(s, STORE_JOURNAL, store_key_u64(1ull << 40, k8), "run");
    assert_value(s, STORE_USER, slice_str("u\xc3\xa9"), "a longer row");
    struct buf b;
    buf_init(&b, 16);
    buf_add_str(&b, "before");
    assert_int_equal(store_get(s, STORE_ITEM, store_key_u32(8, k4), &b, &e), ERR_MISSING);
    assert_non_null(strstr(e.text, "table item has no key 8"));
    assert_int_equal(b.n, 6); /* untouched */
    assert_int_equal(store_get(s, STORE_META, slice_str("empty"), &b, &e), 0);
    assert_int_equal(b.n, 0);
    buf_free(&b);
    store_close(s);
}

static void test_key_and_value_bounds(void **state) {
    (void)state;
    struct store *s = open_store();
    char key[STORE_KEY_MAX + 1];
    memset(key, 'k', sizeof key);
    struct store_txn *t = NULL;
    put(s, STORE_USER, slice_of(key, STORE_KEY_MAX), slice_str("v"));
    assert_value(s, STORE_USER, slice_of(key, STORE_KEY_MAX), "v");
    const size_t bad[] = {0, STORE_KEY_MAX + 1};
    for (int k = 0; k < 2; k++) {
        assert_int_equal(store_begin(s, &t, &e), 0);
        assert_int_equal(store_put(t, STORE_USER, slice_str("other"), slice_str("v"), &e), 0);
        assert_int_equal(store_put(t, STORE_USER, slice_of(key, bad[k]), slice_str("v"), &e), ERR_RANGE);
        assert_int_equal(store_commit(t, &e), ERR_RANGE); /* a spoilt transaction commits nothing */
    }
    struct buf b;
    buf_init(&b, 4);
    assert_int_equal(store_get(s, STORE_USER, slice_str("other"), &b, &e), ERR_MISSING);
    put(s, STORE_USER, slice_str("long"), slice_str("12345"));
    assert_int_equal(store_get(s, STORE_USER, slice_str("long"), &b, &e), ERR_FULL);
    buf_free(&b);
    store_close(s);
}

static void test_transaction_sees_itself_and_abort_forgets(void **state) {
    (void)state;
    struct store *s = open_store();
    struct store_txn *t = NULL, *second = NULL;
    struct buf b;
    buf_init(&b, 64);
    put(s, STORE_USER, slice_str("a"), slice_str("old"));
    assert_int_equal(store_begin(s, &t, &e), 0);
    assert_int_equal(store_begin(s, &second, &e), ERR_BUSY);
    assert_int_equal(store_put(t, STORE_USER, slice_str("a"), slice_str("new"), &e), 0);
    assert_int_equal(store_txn_get(t, STORE_USER, slice_str("a"), &b, &e), 0);
    assert_true(b.n == 3 && memcmp(b.p, "new", 3) == 0);
    assert_value(s, STORE_USER, slice_str("a"), "old"); /* readers do not see it yet */
    assert_int_equal(store_del(t, STORE_USER, slice_str("a"), &e), 0);
    assert_int_equal(store_del(t, STORE_USER, slice_str("never there"), &e), 0);
    assert_int_equal(store_txn_get(t, STORE_USER, slice_str("a"), &b, &e), ERR_MISSING);
    store_abort(t);
    assert_value(s, STORE_USER, slice_str("a"), "old");
    buf_free(&b);
    store_close(s);
}

static void test_scan_in_order_and_delete_before(void **state) {
    (void)state;
    struct store *s = open_store();
    struct store_txn *t = NULL;
    char k[8];
    assert_int_equal(store_begin(s, &t, &e), 0);
    for (uint64_t n = 1000; n > 0; n--) {
        uint64_t number = n * 97; /* crosses byte borders; put in falling order */
        assert_int_equal(store_put(t, STORE_BAD, store_key_u64(number, k), slice_of((char *)&number, 8), &e), 0);
    }
    assert_int_equal(store_put(t, STORE_META, slice_str("x"), slice_str("y"), &e), 0);
    assert_int_equal(store_commit(t, &e), 0);

    assert_int_equal(store_begin(s, &t, &e), 0);
    assert_int_equal(store_del_before(t, STORE_BAD, store_key_u64(500 * 97, k), &e), 0);
    assert_int_equal(store_del_before(t, STORE_DEDUP, store_key_u32(5, k), &e), 0); /* an empty table */
    assert_int_equal(store_commit(t, &e), 0);

    struct store_scan *c = NULL;
    struct slice key, value;
    uint64_t want = 500;
    assert_int_equal(store_scan_begin(s, &c, &e), 0);
    put(s, STORE_BAD, store_key_u64(1, k), slice_str("later")); /* the scan must not see it */
    assert_int_equal(store_scan_count(c, STORE_BAD), 501);
    assert_int_equal(store_scan_seek(c, STORE_BAD, slice_of("", 0), &e), 0);
    while (store_scan_next(c, &key, &value, &e) == 1) {
        uint64_t number;
        assert_int_equal(value.n, 8);
        memcpy(&number, value.p, 8);
        assert_int_equal(number, want * 97);
        assert_true(slice_equal(key, store_key_u64(number, k)));
        want++;
    }
    assert_int_equal(want, 1001);
    assert_int_equal(store_scan_next(c, &key, &value, &e), 0);
    assert_int_equal(store_scan_seek(c, STORE_BAD, store_key_u64(999 * 97 + 1, k), &e), 0);
    assert_int_equal(store_scan_next(c, &key, &value, &e), 1);
    assert_true(slice_equal(key, store_key_u64(1000 * 97, k)));
    assert_int_equal(store_scan_seek(c, STORE_BAD, store_key_u64(UINT64_MAX, k), &e), 0);
    assert_int_equal(store_scan_next(c, &key, &value, &e), 0);
    assert_int_equal(store_scan_seek(c, STORE_DEDUP, slice_of("", 0), &e), 0);
    assert_int_equal(store_scan_next(c, &key, &value, &e), 0);
    store_scan_end(c);
    store_close(s);
}

static void test_large_values_and_size(void **state) {
    (void)state;
    struct store *s = open_store();
    struct store_size before, after;
    assert_int_equal(store_size(s, &before, &e), 0);
    assert_true(before.file_bytes >= 1u << 20); /* reserved at creation */
    static char block[20000];
    char k[4];
    for (size_t n = 0; n < sizeof block; n++) block[n] = (char)(n * 7);
    struct store_txn *t = NULL;
    for (int round = 0; round < 30; round++) {
        block[0] = (char)round;
        assert_int_equal(store_begin(s, &t, &e), 0);
        for (uint32_t n = 0; n < 40; n++) {
            assert_int_equal(store_put(t, STORE_ITEM, store_key_u32(n, k), slice_of(block, sizeof block), &e), 0);
        }
        assert_int_equal(store_commit(t, &e), 0);
    }
    assert_int_equal(store_size(s, &after, &e), 0);
    assert_in_range(after.used_bytes, 40 * 20000, 2 * 40 * 20000);
    assert_in_range(after.last_commit_bytes, 40 * 20000, 2 * 40 * 20000);
    assert_int_equal(after.used_bytes + after.free_bytes, after.file_bytes);
    assert_true(after.file_bytes < 8u << 20); /* rewriting reuses pages: 30 rounds wrote 24 MB */
    put(s, STORE_META, slice_str("small"), slice_str("change"));
    assert_int_equal(store_size(s, &after, &e), 0);
    assert_in_range(after.last_commit_bytes, 4096, 16 * 4096);
    struct buf b;
    buf_init(&b, sizeof block);
    assert_int_equal(store_get(s, STORE_ITEM, store_key_u32(39, k), &b, &e), 0);
    assert_int_equal(b.n, sizeof block);
    assert_memory_equal(b.p, block, sizeof block);
    buf_free(&b);
    store_close(s);
}

static void test_open_refuses(void **state) {
    (void)state;
    struct store_options o = options();
    struct store *s = NULL, *other = NULL;
    o.create = false;
    assert_int_equal(store_open(&o, &s, &e), ERR_MISSING);
    char path[300];
    snprintf(path, sizeof path, "%s/model.mdb", dir);
    assert_int_not_equal(access(path, F_OK), 0);
    o.dir = "/nonexistent/rankd";
    assert_int_equal(store_open(&o, &s, &e), ERR_MISSING);
    o = options();
    s = open_store();
    assert_int_equal(store_open(&o, &other, &e), ERR_BUSY);
    char dots[300];
    snprintf(dots, sizeof dots, "%s/.", dir);
    o.dir = dots; /* the same directory by another name */
    assert_int_equal(store_open(&o, &other, &e), ERR_BUSY);
    store_close(s);
    o = options();
    o.read_only = true;
    o.create = false;
    assert_int_equal(store_open(&o, &s, &e), 0);
    struct store_txn *t = NULL;
    assert_int_equal(store_begin(s, &t, &e), ERR_DENIED);
    store_close(s);
    tmp_write(path, "this is no data file, and long enough to be looked at\n", 54);
    o = options();
    assert_int_equal(store_open(&o, &s, &e), ERR_CORRUPT);
}

/* Writes rows behind the store's back. */
static void with_lmdb(const char *table, const char *key, const void *value, size_t n) {
    char path[300];
    MDB_env *env;
    MDB_txn *t;
    MDB_dbi d;
    snprintf(path, sizeof path, "%s/model.mdb", dir);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 20), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0640), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &t), 0);
    assert_int_equal(mdb_dbi_open(t, table, MDB_CREATE, &d), 0);
    MDB_val k = {strlen(key), (void *)(uintptr_t)key}, v = {n, (void *)(uintptr_t)value};
    if (value)
        assert_int_equal(mdb_put(t, d, &k, &v, 0), 0);
    else
        assert_int_equal(mdb_drop(t, d, 1), 0);
    assert_int_equal(mdb_txn_commit(t), 0);
    mdb_env_close(env);
}

static void test_format_stamp(void **state) {
    (void)state;
    struct store_options o = options();
    struct store *s = NULL;
    with_lmdb("strangers", "key", "value", 5);
    assert_int_equal(store_open(&o, &s, &e), ERR_MISMATCH);
    tmp_clear(dir);
    s = open_store();
    put(s, STORE_META, slice_str("format"), slice_str("rankd store 99 little-endian"));
    store_close(s);
    assert_int_equal(store_open(&o, &s, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "rankd store 99"));
    assert_non_null(strstr(e.text, "empty data_dir"));
    with_lmdb("meta", "format", "no checksum", 11);
    assert_int_equal(store_open(&o, &s, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "\"format\""));
    tmp_clear(dir);
    store_close(open_store());
    with_lmdb("dedup", "", NULL, 0);
    assert_int_equal(store_open(&o, &s, &e), ERR_CORRUPT);
    assert_non_null(strstr(e.text, "dedup"));
}

static void test_directory_lock(void **state) {
    (void)state;
    int fd = -1, other = -1;
    char want[64];
    assert_int_equal(store_lock_dir(dir, &fd, &e), 0);
    assert_int_equal(store_lock_dir(dir, &other, &e), ERR_BUSY);
    snprintf(want, sizeof want, "process %ld", (long)getpid());
    assert_non_null(strstr(e.text, want));
    close(fd);
    assert_int_equal(store_lock_dir(dir, &other, &e), 0);
    close(other);
    assert_int_equal(store_lock_dir("/nonexistent/rankd", &fd, &e), ERR_MISSING);
}

static void test_map_full_names_the_option(void **state) {
    (void)state;
    struct store_options o = options();
    struct store *s = NULL;
    struct store_txn *t = NULL;
    static char value[4000];
    o.map_size = 1u << 20;
    o.preallocate = 0;
    assert_int_equal(store_open(&o, &s, &e), 0);
    put(s, STORE_META, slice_str("kept"), slice_str("value"));
    int rc = store_begin(s, &t, &e);
    assert_int_equal(rc, 0);
    char k[4];
    for (uint32_t n = 0; n < 1000 && rc == 0; n++) {
        rc = store_put(t, STORE_ITEM, store_key_u32(n, k), slice_of(value, sizeof value), &e);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_string_equal(e.field, "checkpoint.map_size");
    assert_int_equal(store_commit(t, &e), ERR_FULL);
    assert_value(s, STORE_META, slice_str("kept"), "value");
    put(s, STORE_META, slice_str("kept"), slice_str("still works"));
    assert_value(s, STORE_META, slice_str("kept"), "still works");
    store_close(s);
}

/* More threads than slots: everyone gets a turn, and each value is whole. */
struct crowd {
    struct store *s;
    int bad;
};

static void *crowd_main(void *arg) {
    struct crowd *c = arg;
    struct buf b;
    struct err mine;
    buf_init(&b, 4096);
    for (int n = 0; n < 300; n++) {
        struct store_scan *scan = NULL;
        struct slice k, v;
        if (store_get(c->s, STORE_USER, slice_str("shared"), &b, &mine) != 0 || b.n != 1000) c->bad++;
        for (size_t i = 1; i < b.n; i++) {
            if (b.p[i] != b.p[0]) c->bad++;
        }
        if (n % 10) continue;
        if (store_scan_begin(c->s, &scan, &mine) != 0) {
            c->bad++;
            continue;
        }
        if (store_scan_seek(scan, STORE_USER, slice_of("", 0), &mine) != 0)
            c->bad++;
        else if (store_scan_next(scan, &k, &v, &mine) != 1)
            c->bad++;
        store_scan_end(scan);
    }
    buf_free(&b);
    return NULL;
}

static void test_many_readers_beside_the_writer(void **state) {
    (void)state;
    struct store *s = open_store(); /* max_readers = 2, so 6 slots for 8 threads */
    static char value[1000];
    pthread_t threads[8];
    struct crowd crowd[8];
    memset(value, 'a', sizeof value);
    put(s, STORE_USER, slice_str("shared"), slice_of(value, sizeof value));
    for (int n = 0; n < 8; n++) {
        crowd[n] = (struct crowd){s, 0};
        assert_int_equal(pthread_create(&threads[n], NULL, crowd_main, &crowd[n]), 0);
    }
    for (int n = 0; n < 40; n++) {
        memset(value, 'a' + n % 26, sizeof value);
        put(s, STORE_USER, slice_str("shared"), slice_of(value, sizeof value));
        if (n % 10 == 9) assert_int_equal(store_reopen(s, &e), 0); /* readers wait, none fails */
    }
    for (int n = 0; n < 8; n++) {
        assert_int_equal(pthread_join(threads[n], NULL), 0);
        assert_int_equal(crowd[n].bad, 0);
    }
    store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_survive_a_reopen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_and_value_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_transaction_sees_itself_and_abort_forgets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scan_in_order_and_delete_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_values_and_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_format_stamp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_directory_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_map_full_names_the_option, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_readers_beside_the_writer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
