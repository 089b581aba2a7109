/* Users whom readers missed come into the cache, beside those of the learner and never in place of what it needs. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/model/user_priv.h"

#define N       2000u
#define DIM     4u
#define READERS 3u

struct world {
    struct model_params params;
    struct epoch *epoch;
    struct users *users;
    pthread_mutex_t lock; /* of what is behind the cache */
    struct buf stored[N]; /* n = 0: nothing */
    unsigned reads;
    int fail;
};

static struct world w;
static struct err e;

static struct slice id_of(uint32_t k, char text[16]) {
    snprintf(text, 16, "u%u", k);
    return slice_str(text);
}

static uint32_t number_of(struct slice id) {
    uint32_t k = 0;
    for (size_t at = 1; at < id.n; at++) k = 10 * k + (uint32_t)(id.p[at] - '0');
    return k;
}

static int get(void *arg, struct slice id, struct buf *out, struct err *err) {
    uint32_t k = number_of(id);
    int rc = 0;
    (void)arg;
    pthread_mutex_lock(&w.lock);
    w.reads++;
    if (w.fail)
        rc = err_set(err, w.fail, "user", "as the test wants it");
    else if (w.stored[k].n == 0)
        rc = err_set(err, ERR_MISSING, "user", "no row");
    else
        buf_add(out, w.stored[k].p, w.stored[k].n);
    pthread_mutex_unlock(&w.lock);
    return rc;
}

static void open_users(uint64_t cache_bytes) {
    static const struct user_backing backing = {.get = get};
    w.params = (struct model_params){.dim = DIM, .seed = 1, .start_user = 0.1f, .max_items = N};
    w.epoch = epoch_new(READERS + 1);
    assert_int_equal(users_new(&w.params, cache_bytes, &backing, w.epoch, &w.users, &e), 0);
    w.reads = 0;
}

static void close_users(void) {
    users_free(w.users);
    epoch_free(w.epoch);
}

static int touch(uint32_t k, int64_t value) {
    char text[16];
    struct user_row *row;
    int rc = users_touch(w.users, id_of(k, text), &row, &e);
    if (rc < 0) return rc;
    row->last_ms = value;
    for (uint32_t d = 0; d < DIM; d++) row->p[d] = (float)value;
    if (row->n == 0) {
        assert_int_equal(users_reserve(w.users, &row, 1, &e), 0);
        user_entries(row, DIM)[row->n++] = (struct user_entry){.row = k & USER_ROW_BITS};
    }
    return 0;
}

static void write_all(void) {
    uint64_t n;
    users_publish(w.users);
    struct user_list *l = users_checkpoint_begin(w.users, &n);
    epoch_enter(w.epoch, 0);
    for (const struct user_row *r; (r = users_list_next(w.users, l));) {
        struct buf *b = &w.stored[number_of(user_id(r, DIM))];
        pthread_mutex_lock(&w.lock);
        buf_clear(b);
        if (!r->erased) user_encode(r, DIM, b);
        pthread_mutex_unlock(&w.lock);
    }
    epoch_leave(w.epoch, 0);
    users_checkpoint_end(w.users, l, true);
}

static void checkpoint(void) {
    write_all();
    users_publish(w.users);
    epoch_reclaim(w.epoch);
}

/* All N users are stored, with their number as value; none is in the cache of cache_bytes. */
static void cold_users(uint64_t cache_bytes) {
    open_users(64u << 20);
    for (uint32_t k = 0; k < N; k++) assert_int_equal(touch(k, k), 0);
    checkpoint();
    close_users();
    open_users(cache_bytes);
}

static void free_stored(void) {
    close_users();
    for (uint32_t k = 0; k < N; k++) buf_free(&w.stored[k]);
}

static int setup(void **state) {
    (void)state;
    memset(&w, 0, sizeof w);
    pthread_mutex_init(&w.lock, NULL);
    for (uint32_t k = 0; k < N; k++) buf_init(&w.stored[k], 1u << 16);
    return 0;
}

static void want(uint32_t k) {
    char text[16];
    users_want(w.users, id_of(k, text));
}

static const struct user_row *find(uint32_t k) {
    char text[16];
    return users_find(w.users, id_of(k, text));
}

/* As an idle learner does, until nobody waits. */
static void admit_all(const uint32_t *who, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) {
        want(who ? who[k] : k);
        users_admit(w.users, USER_WANTED);
    }
    epoch_reclaim(w.epoch);
}

static void who_is_asked_for_comes_once(void **state) {
    const struct users_stats *stats;
    (void)state;
    cold_users(64u << 20);
    stats = users_stats(w.users);
    users_admit(w.users, 100);
    assert_int_equal(stats->admitted, 0);
    for (uint32_t k = 0; k < 10; k++) want(k);
    users_admit(w.users, 4);
    uint64_t some = stats->admitted;
    assert_int_equal(some, 4);
    users_admit(w.users, 100);
    assert_in_range(stats->admitted, 8, 10); /* two may have had the same place */
    admit_all(NULL, 10);
    assert_int_equal(stats->admitted, 10);
    assert_int_equal(stats->cached, 10);
    assert_int_equal(w.reads, 10);
    for (uint32_t k = 0; k < 10; k++) {
        assert_non_null(find(k));
        assert_int_equal(find(k)->last_ms, k);
        assert_int_equal(find(k)->n, 1);
        assert_null(find(10 + k));
    }
    assert_int_equal(stats->hits + stats->misses + stats->created + stats->dirty, 0);
    assert_int_equal(touch(3, 300), 0); /* the learner finds him, and he is one of its own from now on */
    assert_int_equal(stats->hits, 1);
    assert_int_equal(w.reads, 10);
    free_stored();
}

/* A wish has one place, and the first to come has it. */
static void places_of_wishes(void **state) {
    struct user_wanted *wanted = user_wanted_new();
    char id[MODEL_MAX_ID], longest[MODEL_MAX_ID];
    size_t n;
    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_false(user_wanted_take(wanted, id, &n));
    user_wanted_put(wanted, 7, slice_str("first"));
    user_wanted_put(wanted, 7 + USER_WANTED, slice_str("second"));
    user_wanted_put(wanted, 8, slice_of(longest, sizeof longest));
    assert_true(user_wanted_take(wanted, id, &n));
    assert_true(slice_equal(slice_of(id, n), slice_str("first")));
    user_wanted_put(wanted, 7, slice_str("third")); /* waits for its turn */
    assert_true(user_wanted_take(wanted, id, &n));
    assert_true(slice_equal(slice_of(id, n), slice_of(longest, sizeof longest)));
    assert_true(user_wanted_take(wanted, id, &n));
    assert_true(slice_equal(slice_of(id, n), slice_str("third")));
    assert_false(user_wanted_take(wanted, id, &n));
    user_wanted_free(wanted);
}

/* Fills a cache with rows of the learner that are durable; gives their number. */
static uint32_t fill_with_learned(void) {
    uint32_t n = 0;
    for (; users_stats(w.users)->evicted == 0; n++) {
        assert_int_equal(touch(n, n), 0);
        checkpoint();
    }
    return n;
}

/* Whoever is asked for at random, in a cache of few of them: the learner keeps nearly all that it touched last. */
static void learning_keeps_its_rows(void **state) {
    const struct users_stats *stats;
    (void)state;
    cold_users(32u << 10);
    uint32_t n = fill_with_learned(), kept = n - n / 15;
    stats = users_stats(w.users);
    uint64_t cached = stats->cached, misses = stats->misses;
    for (uint64_t round = 0; round < 5000; round++) {
        want(n + draw_below(draw_bits(1, round), N - n));
        users_admit(w.users, 8);
        assert_true(stats->cached_bytes <= 32u << 10);
        epoch_reclaim(w.epoch);
    }
    assert_true(stats->admitted > 1000);
    assert_true(stats->cached >= cached);
    for (uint32_t k = n - kept + 1; k < n; k++) assert_non_null(find(k));
    uint32_t readers = 0;
    for (uint32_t k = n; k < N; k++) readers += find(k) != NULL;
    assert_in_range(readers, kept / 20, n / 12);
    for (uint32_t k = n - kept + 1; k < n; k++) assert_int_equal(touch(k, k), 0);
    assert_int_equal(stats->misses, misses);
    free_stored();
}

/* Rows that nobody has written yet do not leave, and nothing is read that would find no room. */
static void nobody_comes_where_there_is_no_room(void **state) {
    const struct users_stats *stats;
    uint32_t n = 0;
    (void)state;
    cold_users(16u << 10);
    stats = users_stats(w.users);
    while (touch(n, 1) == 0) n++;
    assert_int_equal(e.code, ERR_FULL);
    users_publish(w.users);
    w.reads = 0;
    for (uint32_t k = n + 1; k < N; k++) want(k);
    users_admit(w.users, USER_WANTED);
    assert_int_equal(stats->admitted + stats->evicted + w.reads, 0);
    assert_int_equal(stats->cached, n);

    checkpoint();
    w.fail = ERR_IO;
    admit_all((uint32_t[]){n + 1}, 1);
    assert_int_equal(stats->admitted, 0);
    w.fail = 0;
    for (uint64_t nth = 1; nth <= 3; nth++) { /* as memory is refused: the bytes, the row, the slot */
        mem_fail_at(nth);
        admit_all((uint32_t[]){n + 1}, 1);
        mem_fail_at(0);
        assert_int_equal(stats->admitted, 0);
    }
    admit_all((uint32_t[]){n + 1}, 1);
    assert_int_equal(stats->admitted, 1);
    free_stored();
}

static void touch_all_but_the_last(uint32_t n_entries) {
    for (uint32_t k = 0; k < N - 1; k++) {
        char text[16];
        struct user_row *row;
        assert_int_equal(touch(k, k), 0);
        assert_int_equal(users_touch(w.users, id_of(k, text), &row, &e), 0);
        assert_int_equal(users_reserve(w.users, &row, n_entries, &e), 0);
    }
}

/* A cache that is beyond its bound because rows grew is not emptied at once for one who is asked for. */
static void what_grew_goes_a_few_at_a_time(void **state) {
    (void)state;
    cold_users(64u << 20);
    touch_all_but_the_last(1);
    users_publish(w.users);
    uint64_t bound = users_stats(w.users)->cached_bytes, evicted = 0;
    close_users();
    open_users(bound);
    const struct users_stats *stats = users_stats(w.users);
    for (uint32_t entries = 1; entries <= 3; entries += 2) {
        touch_all_but_the_last(entries);
        write_all();
    }
    assert_true(stats->cached_bytes > bound + bound / 8);
    assert_int_equal(stats->evicted, 0);
    want(N - 1);
    for (unsigned times = 0; stats->admitted == 0; times++) {
        assert_true(times < 10);
        users_admit(w.users, 1);
        assert_in_range(stats->evicted - evicted, 1, 256);
        evicted = stats->evicted;
        epoch_reclaim(w.epoch);
    }
    assert_non_null(find(N - 1));
    assert_true(stats->cached_bytes <= bound);
    free_stored();
}

/* Learning waits no earlier for a checkpoint where others have been admitted. */
static void admitted_users_go_before_learning_waits(void **state) {
    uint32_t learned[2] = {0, 0};
    (void)state;
    for (int admitted = 0; admitted < 2; admitted++) {
        cold_users(32u << 10);
        const struct users_stats *stats = users_stats(w.users);
        if (admitted) {
            for (uint32_t k = N / 2; k < N; k++) admit_all(&k, 1);
            assert_true(stats->admitted > 50); /* all the room is theirs while nobody else needs it */
        }
        while (touch(learned[admitted], 1) == 0) learned[admitted]++;
        assert_int_equal(e.code, ERR_FULL);
        assert_int_equal(stats->cached, learned[admitted]);
        for (uint32_t k = N / 2; k < N; k++) assert_null(find(k));
        close_users();
    }
    assert_int_equal(learned[0], learned[1]);
    open_users(1u << 20);
    free_stored();
}

/* What the reader saw and what is true by the time that the learner comes to it. */
static void who_changed_meanwhile(void **state) {
    const struct users_stats *stats;
    char text[16];
    (void)state;
    cold_users(16u << 10);
    stats = users_stats(w.users);
    want(1); /* touched */
    assert_int_equal(touch(1, 11), 0);
    users_publish(w.users);
    users_admit(w.users, 1);
    want(2); /* being touched */
    assert_int_equal(touch(2, 22), 0);
    users_admit(w.users, 1);
    users_publish(w.users);
    want(3); /* erased, and not durable yet */
    assert_int_equal(users_erase(w.users, id_of(3, text), &e), 0);
    users_publish(w.users);
    users_admit(w.users, 1);
    assert_int_equal(stats->admitted, 0);
    assert_int_equal(find(1)->last_ms, 11);
    assert_int_equal(find(2)->last_ms, 22);
    assert_true(find(3)->erased);

    for (uint32_t k = 100; find(1) || find(2) || find(3); k++) { /* durable, and out of the cache */
        checkpoint();
        assert_int_equal(touch(k, k), 0);
    }
    checkpoint();
    admit_all((uint32_t[]){3}, 1);
    assert_null(find(3));
    assert_int_equal(stats->admitted, 0);
    admit_all((uint32_t[]){1, 2}, 2);
    assert_int_equal(stats->admitted, 2);
    assert_int_equal(find(1)->last_ms, 11);
    assert_int_equal(find(2)->last_ms, 22);
    assert_int_equal(users_erase(w.users, id_of(1, text), &e), 0); /* erased while he is an admitted one */
    checkpoint();
    assert_int_equal(w.stored[1].n, 0);
    free_stored();
}

struct reading {
    unsigned reader;
    _Atomic bool over;
    uint64_t found;
    unsigned torn, failed;
};

static void see(struct reading *r, const struct user_row *row) {
    for (uint32_t d = 0; d < DIM && !row->erased; d++) r->torn += row->p[d] != (float)row->last_ms;
}

static void *read_users(void *arg) {
    struct reading *r = arg;
    for (uint64_t n = 0; !atomic_load(&r->over); n++) {
        char text[16];
        struct slice id = id_of(draw_below(draw_bits(10 + r->reader, n), N), text);
        struct user_row *loaded = NULL;
        epoch_enter(w.epoch, r->reader);
        const struct user_row *row = users_find(w.users, id);
        r->found += row != NULL;
        if (row) see(r, row);
        epoch_leave(w.epoch, r->reader);
        if (!row) {
            int rc = users_load(w.users, id, &loaded, NULL);
            r->failed += rc < 0 && rc != ERR_MISSING;
            if (rc == 0) users_want(w.users, id);
        }
        if (loaded) see(r, loaded);
        mem_free(loaded);
    }
    return NULL;
}

/* Users are learned, erased, written, put out of the cache and admitted under readers who ask for all of them. */
static void admitted_under_readers(void **state) {
    static int64_t value[N];
    struct reading r[READERS];
    pthread_t threads[READERS];
    uint64_t found = 0;
    (void)state;
    cold_users(32u << 10);
    const struct users_stats *stats = users_stats(w.users);
    for (uint32_t k = 0; k < N; k++) value[k] = k;
    memset(r, 0, sizeof r);
    for (unsigned t = 0; t < READERS; t++) {
        r[t].reader = 1 + t;
        assert_int_equal(pthread_create(&threads[t], NULL, read_users, &r[t]), 0);
    }
    for (uint64_t n = 0; n < 3000 || (stats->admitted < 1000 && n < 1000000); n++) {
        uint32_t k = draw_below(draw_bits(5, n), N / 8);
        char text[16];
        if (n % 50 == 0) {
            assert_int_equal(users_erase(w.users, id_of(k, text), &e), 0);
            value[k] = -1;
        } else {
            assert_int_equal(touch(k, (int64_t)n), 0);
            value[k] = (int64_t)n;
        }
        users_publish(w.users);
        users_admit(w.users, 8);
        if (n % 20 == 19) checkpoint();
        epoch_reclaim(w.epoch);
        if (n % 16 == 0) sched_yield();
    }
    for (unsigned t = 0; t < READERS; t++) atomic_store(&r[t].over, true);
    for (unsigned t = 0; t < READERS; t++) pthread_join(threads[t], NULL);
    for (unsigned t = 0; t < READERS; t++) {
        assert_int_equal(r[t].torn + r[t].failed, 0);
        found += r[t].found;
    }
    assert_true(found > 0);
    assert_true(stats->admitted >= 1000 && stats->evicted > 1000);
    for (uint32_t k = 0; k < N; k++) { /* nobody is older than he was learned */
        char text[16];
        struct user_row *loaded = NULL;
        const struct user_row *row = find(k);
        if (!row && users_load(w.users, id_of(k, text), &loaded, NULL) == 0) row = loaded;
        assert_int_equal(row && !row->erased ? row->last_ms : -1, value[k]);
        mem_free(loaded);
    }
    free_stored();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_is_asked_for_comes_once, setup),
        cmocka_unit_test(places_of_wishes),
        cmocka_unit_test_setup(learning_keeps_its_rows, setup),
        cmocka_unit_test_setup(nobody_comes_where_there_is_no_room, setup),
        cmocka_unit_test_setup(what_grew_goes_a_few_at_a_time, setup),
        cmocka_unit_test_setup(admitted_users_go_before_learning_waits, setup),
        cmocka_unit_test_setup(who_changed_meanwhile, setup),
        cmocka_unit_test_setup(admitted_under_readers, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
