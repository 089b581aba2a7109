/* One data directory with its engine, which can be closed and opened again. */
#ifndef RANKD_TESTS_ENGINE_BENCH_H
#define RANKD_TESTS_ENGINE_BENCH_H

#include <stdio.h>
#include <stdlib.h>

#include "daemon/checkpoint.h"
#include "daemon/config.h"
#include "daemon/engine.h"
#include "lib/store/store.h"

struct bench {
    char dir[64];
    struct config config;
    struct store *store;
    struct engine *engine;
    struct checkpoint *checkpoint;
    uint32_t source;
    uint64_t next; /* offset of the next record, where a test counts them here */
};

static inline void open_bench(struct bench *b) {
    struct err e;
    struct store_options o = {.dir = b->dir, .map_size = 256u << 20, .max_readers = 8, .create = true};
    assert_int_equal(store_open(&o, &b->store, &e), 0);
    assert_int_equal(engine_new(&b->config, b->store, 2, &b->engine, &e), 0);
    assert_true(engine_load(b->engine, b->store, NULL, &e) >= 0);
    assert_int_equal(checkpoint_new(b->engine, 0, &b->checkpoint, &e), 0);
    assert_int_equal(engine_source(b->engine, "log", &b->source, &e), 0);
}

static inline void close_bench(struct bench *b) {
    checkpoint_free(b->checkpoint);
    engine_free(b->engine);
    store_close(b->store);
}

static inline void free_bench(struct bench *b) {
    char command[128];
    close_bench(b);
    config_free(&b->config);
    snprintf(command, sizeof command, "rm -rf %s", b->dir);
    assert_int_equal(system(command), 0);
}

#endif
