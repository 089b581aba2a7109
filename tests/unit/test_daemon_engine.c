/* The engine against a real store: what is loaded is what was learned, whatever fails in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/checkpoint.h"
#include "daemon/digest.h"
#include "daemon/engine.h"
#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "tests/unit/engine_bench.h"

#define RECORDS 1500

static char *const small[] = {"model.dim=16",
                              "model.negatives=8",
                              "model.max_items=400",
                              "model.recent_events=300",
                              "events.dedup_window=1500",
                              "learner.user_cache=64KiB",
                              "learner.neighbour_cache=64KiB",
                              "learner.feature_cache=64KiB",
                              "model.max_features=100",
                              "checkpoint.map_size=256MiB",
                              "events.bad_events_kept=20",
                              "drift.tolerance=0", /* alarms among random events, and what follows from them */
                              "drift.threshold=2"};

static void new_bench(struct bench *b) {
    struct err e;
    memset(b, 0, sizeof *b);
    snprintf(b->dir, sizeof b->dir, "/tmp/rankd-engine-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    assert_int_equal(config_load(&b->config, NULL, small, sizeof small / sizeof *small, &e), 0);
    open_bench(b);
}

static void large_caches(struct bench *b) {
    b->config.user_cache_bytes = b->config.neighbour_cache_bytes = b->config.feature_cache_bytes = 1u << 30;
    close_bench(b);
    open_bench(b);
}

/* Record n: clicks, baskets, descriptions, erasures, bad ones and repeats of an id. */
static int apply(struct bench *b, uint64_t n, struct err *e) {
    static char text[8][24], word[3][40];
    static struct slice feature[3];
    struct event_item items[3];
    uint64_t bits = draw_bits(5, n);
    struct record r = {.offset = n * 10, .next = n * 10 + 10, .arrival_ms = EVENT_NO_TIME, .crc = (uint32_t)n};
    r.raw = slice_str("raw");
    struct event *ev = &r.event;
    *ev = (struct event){.ts_ms = 1700000000000 + (int64_t)n * 1000,
                         .arrival_ms = EVENT_NO_TIME,
                         .available = -1,
                         .expires_ms = EVENT_NO_TIME};
    snprintf(text[0], sizeof text[0], "u%u", (unsigned)(bits % 400));
    snprintf(text[1], sizeof text[1], "e%llu", (unsigned long long)(bits >> 50 & 15 ? n : n / 2));
    ev->user = slice_str(text[0]);
    ev->id = slice_str(text[1]);
    ev->items = items;
    ev->n_items = bits >> 20 & 7 ? 1 : 3;
    for (size_t k = 0; k < ev->n_items; k++) {
        snprintf(text[2 + k], sizeof text[2], "i%u", (unsigned)(draw_bits(6, 3 * n + k) % 300));
        items[k] = (struct event_item){slice_str(text[2 + k]), 0, 0};
    }
    switch (bits >> 30 & 63) {
    case 0:
        r.reason = EVENT_NOT_JSON;
        break;
    case 1:
        ev->kind = EVENT_DELETE;
        ev->user = slice_str("");
        break;
    case 2:
        ev->kind = EVENT_DELETE;
        ev->n_items = 0;
        break;
    case 3:
    case 5:
    case 6:
    case 7:
        ev->kind = EVENT_ITEM;
        ev->n_items = 1;
        ev->features = feature;
        ev->n_features = bits >> 40 & 3;
        for (size_t k = 0; k < ev->n_features; k++) {
            snprintf(word[k], sizeof word[k], "f:%zu=%u", k, (unsigned)(draw_bits(7, 3 * n + k) % (60 >> k)));
            feature[k] = slice_str(word[k]);
        }
        ev->description = slice_str("{\"a\":1}");
        ev->available = (int)(n & 1);
        break;
    case 4:
        ev->kind = EVENT_USER;
        ev->description = slice_str("{\"b\":2}");
        break;
    default:
        ev->type = (int)(bits >> 40 & 3);
    }
    enum event_reason reason;
    return engine_apply(b->engine, b->source, 0, &r, &reason, e);
}

static int write_checkpoint(struct bench *b) {
    struct err e;
    engine_publish(b->engine);
    if (checkpoint_begin(b->checkpoint, &e) < 0) return ERR_NOMEM;
    int rc = checkpoint_write(b->checkpoint, b->store, &e);
    checkpoint_end(b->checkpoint, rc == 0);
    return rc;
}

static void apply_all(struct bench *b, uint64_t from, uint64_t to, uint64_t checkpoint_every) {
    struct err e;
    for (uint64_t n = from; n < to; n++) {
        int rc;
        while ((rc = apply(b, n, &e)) == ERR_FULL) (void)write_checkpoint(b);
        assert_int_equal(rc, 0);
        if (n % 7 == 0) engine_publish(b->engine);
        if (checkpoint_every && n % checkpoint_every == 0) (void)write_checkpoint(b);
    }
}

static void digest_of(struct bench *b, struct digest *d) {
    struct err e;
    for (int tries = 0; write_checkpoint(b) != 0; tries++) assert_true(tries < 10);
    assert_int_equal(digest_compute(b->store, d, &e), 0);
}

static struct digest expected;

static int make_expected(void **state) {
    (void)state;
    struct bench b;
    new_bench(&b);
    large_caches(&b);
    apply_all(&b, 0, RECORDS, 0);
    assert_true(b.engine->model->drift.now.alarms > 0 && b.engine->model->drift.now.forgot > 0);
    digest_of(&b, &expected);
    free_bench(&b);
    return 0;
}

static void test_checkpoints_do_not_matter(void **state) {
    (void)state;
    for (uint64_t every = 1; every < 400; every = every * 3 + 1) {
        struct bench b;
        struct digest d;
        new_bench(&b);
        apply_all(&b, 0, RECORDS, every);
        digest_of(&b, &d);
        assert_string_equal(d.hex, expected.hex);
        assert_int_equal(d.sequence, RECORDS);
        free_bench(&b);
    }
}

/* Every nth step of a commit fails, so often that memory fills with what is not durable, then the disk is mended. */
struct faults {
    uint64_t at, seen, left;
};

static void apply_click(struct bench *b, uint64_t offset, const char *id, bool erase) {
    struct err e;
    struct event_item item = {slice_str(id), 0, 0};
    struct record r = {.offset = offset, .next = offset + 1, .arrival_ms = EVENT_NO_TIME};
    enum event_reason reason;
    r.event = (struct event){.kind = erase ? EVENT_DELETE : EVENT_BEHAVIOUR,
                             .user = slice_str(erase ? "" : "u"),
                             .items = &item,
                             .n_items = 1,
                             .ts_ms = 1700000000000,
                             .arrival_ms = EVENT_NO_TIME};
    assert_int_equal(engine_apply(b->engine, b->source, 0, &r, &reason, &e), 0);
    assert_int_equal(reason, EVENT_OK);
}

/* What an erasure empties goes from the store too, when a checkpoint had written it. */
static void test_checkpoint_before_an_erasure_does_not_matter(void **state) {
    (void)state;
    struct digest d[2];
    for (int between = 0; between < 2; between++) {
        struct bench b;
        new_bench(&b);
        apply_click(&b, 1, "i", false);
        apply_click(&b, 2, "j", false); /* a neighbour, both ways */
        if (between) assert_int_equal(write_checkpoint(&b), 0);
        apply_click(&b, 3, "i", true);
        apply_click(&b, 4, "j", true);
        apply_click(&b, 5, "k", false); /* in the row of one of them */
        digest_of(&b, &d[between]);
        free_bench(&b);
    }
    assert_string_equal(d[0].hex, d[1].hex);
}

static int fault(void *arg, const char *step) {
    struct faults *f = arg;
    (void)step;
    if (f->left == 0 || ++f->seen % f->at) return 0;
    return --f->left % 2 ? EIO : ENOSPC;
}

static void test_failed_commits_do_not_matter(void **state) {
    (void)state;
    for (uint64_t at = 2; at < 3000; at = at * 5 / 2 + 1) {
        struct bench b;
        struct digest d;
        struct faults f = {at, 0, 25};
        new_bench(&b);
        store_set_fault(b.store, fault, &f);
        apply_all(&b, 0, RECORDS, 60);
        store_set_fault(b.store, NULL, NULL);
        digest_of(&b, &d);
        assert_string_equal(d.hex, expected.hex);
        free_bench(&b);
    }
}

static void *write_beside(void *arg) {
    struct bench *b = arg;
    struct err e;
    assert_int_equal(checkpoint_write(b->checkpoint, b->store, &e), 0);
    return NULL;
}

/* The state is that of the beginning, whatever was learned while it was written. */
static void test_learning_beside_a_checkpoint_does_not_show(void **state) {
    (void)state;
    for (uint64_t at = 200; at < RECORDS - 300; at += 400) {
        struct digest d[2], end;
        for (int beside = 0; beside < 2; beside++) {
            struct bench b;
            pthread_t store;
            struct err e;
            new_bench(&b);
            large_caches(&b);
            apply_all(&b, 0, at / 2, 0);
            assert_int_equal(write_checkpoint(&b), 0);
            apply_all(&b, at / 2, at, 0);
            engine_publish(b.engine);
            assert_int_equal(checkpoint_begin(b.checkpoint, &e), 0);
            assert_int_equal(pthread_create(&store, NULL, write_beside, &b), 0);
            if (beside) apply_all(&b, at, at + 300, 0);
            assert_int_equal(pthread_join(store, NULL), 0);
            checkpoint_end(b.checkpoint, true);
            assert_int_equal(digest_compute(b.store, &d[beside], &e), 0);
            assert_int_equal(d[beside].sequence, at);
            if (beside) {
                apply_all(&b, at + 300, RECORDS, 0);
                digest_of(&b, &end);
                assert_string_equal(end.hex, expected.hex);
            }
            free_bench(&b);
        }
        assert_string_equal(d[0].hex, d[1].hex);
    }
}

static void test_restart_goes_on_where_it_was(void **state) {
    (void)state;
    struct bench b;
    struct digest d;
    new_bench(&b);
    for (uint64_t n = 0; n < RECORDS;) {
        apply_all(&b, n, n + 100, 37);
        assert_int_equal(write_checkpoint(&b), 0);
        apply_all(&b, n + 100, n + 130, 0); /* lost with the process */
        close_bench(&b);
        open_bench(&b);
        struct position at;
        engine_position(b.engine, "log", 0, &at);
        assert_true(at.known);
        assert_int_equal(at.next, (n + 100) * 10);
        n += 100;
    }
    digest_of(&b, &d);
    assert_string_equal(d.hex, expected.hex);
    free_bench(&b);
}

static void test_counts_add_up_and_bad_events_are_kept(void **state) {
    (void)state;
    struct bench b;
    struct err e;
    struct store_scan *scan;
    struct slice key, value;
    uint64_t skipped = 0, kept = 0;
    new_bench(&b);
    apply_all(&b, 0, RECORDS, 100);
    assert_int_equal(write_checkpoint(&b), 0);
    for (int k = 0; k < EVENT_REASONS; k++) skipped += b.engine->skipped[k];
    assert_int_equal(b.engine->learned + skipped, RECORDS);
    assert_true(b.engine->skipped[EVENT_NOT_JSON] > 5 && b.engine->skipped[EVENT_DUPLICATE] > 5);
    assert_int_equal(store_scan_begin(b.store, &scan, &e), 0);
    assert_int_equal(store_scan_seek(scan, STORE_BAD, slice_of(NULL, 0), &e), 0);
    while (store_scan_next(scan, &key, &value, &e) == 1) {
        struct bad_event bad;
        assert_int_equal(engine_decode_bad(key, value, &bad, &e), 0);
        assert_string_equal(bad.source, "log");
        kept++;
    }
    store_scan_end(scan);
    assert_in_range(kept, 5, 20);
    free_bench(&b);
}

static void test_other_seed_is_refused(void **state) {
    (void)state;
    struct bench b;
    struct err e;
    new_bench(&b);
    apply_all(&b, 0, 10, 0);
    assert_int_equal(write_checkpoint(&b), 0);
    checkpoint_free(b.checkpoint);
    engine_free(b.engine);
    b.config.seed = 2;
    assert_int_equal(engine_new(&b.config, b.store, 2, &b.engine, &e), 0);
    assert_int_equal(engine_load(b.engine, b.store, NULL, &e), ERR_MISMATCH);
    assert_string_equal(e.field, "model.seed");
    assert_non_null(strstr(e.text, "replay"));
    b.checkpoint = NULL;
    free_bench(&b);
}

/* Each half-life by which counts are stored as they grow. */
static void test_other_half_lives_are_refused(void **state) {
    (void)state;
    struct bench b;
    struct err e;
    new_bench(&b);
    apply_all(&b, 0, 10, 0);
    assert_int_equal(write_checkpoint(&b), 0);
    checkpoint_free(b.checkpoint);
    b.checkpoint = NULL;
    struct {
        const char *option;
        int64_t *ms;
    } fixed[] = {{"model.trend_short", &b.config.trend_ms[0]},
                 {"model.trend_middle", &b.config.trend_ms[1]},
                 {"model.trend_long", &b.config.trend_ms[2]},
                 {"model.count_half_life", &b.config.count_half_life_ms},
                 {"model.pair_half_life", &b.config.pair_half_life_ms},
                 {"model.successor_half_life", &b.config.successor_half_life_ms},
                 {"model.lately_half_life", &b.config.lately_half_life_ms}};
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++) {
        for (int same = 0; same < 2; same++) {
            *fixed[k].ms += same ? -1 : 1;
            engine_free(b.engine);
            assert_int_equal(engine_new(&b.config, b.store, 2, &b.engine, &e), 0);
            assert_int_equal(engine_load(b.engine, b.store, NULL, &e), same ? 1 : ERR_MISMATCH);
            if (!same) assert_string_equal(e.field, fixed[k].option);
        }
    }
    free_bench(&b);
}

static void test_loading_ends_when_it_is_told_to(void **state) {
    (void)state;
    struct bench b;
    struct err e = {0};
    _Atomic bool stop = true;
    new_bench(&b);
    apply_all(&b, 0, RECORDS, 0);
    assert_int_equal(write_checkpoint(&b), 0);
    checkpoint_free(b.checkpoint);
    engine_free(b.engine);
    assert_int_equal(engine_new(&b.config, b.store, 2, &b.engine, &e), 0);
    assert_int_equal(engine_load(b.engine, b.store, &stop, &e), ERR_STOPPED);
    assert_int_equal(b.engine->model->items->n_live, 0); /* after a row, not after all of them */
    engine_free(b.engine);
    stop = false;
    assert_int_equal(engine_new(&b.config, b.store, 2, &b.engine, &e), 0);
    assert_int_equal(engine_load(b.engine, b.store, &stop, &e), 1);
    assert_true(b.engine->model->items->n_live > 0);
    b.checkpoint = NULL;
    free_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpoints_do_not_matter),
        cmocka_unit_test(test_checkpoint_before_an_erasure_does_not_matter),
        cmocka_unit_test(test_failed_commits_do_not_matter),
        cmocka_unit_test(test_learning_beside_a_checkpoint_does_not_show),
        cmocka_unit_test(test_restart_goes_on_where_it_was),
        cmocka_unit_test(test_counts_add_up_and_bad_events_are_kept),
        cmocka_unit_test(test_other_seed_is_refused),
        cmocka_unit_test(test_other_half_lives_are_refused),
        cmocka_unit_test(test_loading_ends_when_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, make_expected, NULL);
}
