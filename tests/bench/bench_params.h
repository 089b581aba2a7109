/* What the benchmarks of the model share: the defaults of etc/rankd.conf, and processor time. */
#ifndef RANKD_TESTS_BENCH_PARAMS_H
#define RANKD_TESTS_BENCH_PARAMS_H

#include <time.h>

#include "lib/model/params.h"

#define BENCH_DIM       64u
#define BENCH_NEGATIVES 64u

static inline struct model_params bench_params(uint32_t n_items) {
    struct model_params p = {.dim = BENCH_DIM,
                             .seed = 1,
                             .max_items = n_items,
                             .user_items = 1024,
                             .negatives = BENCH_NEGATIVES,
                             .recent_events = 20000,
                             .recent_share = 0.6f,
                             .step = 0.3f,
                             .under_root = 0.1f,
                             .start_item = 0.04f,
                             .start_user = 0.01f,
                             .clip = 10,
                             .history = 20,
                             .history_decay = 0.8f,
                             .late_half_life_ms = INT64_C(2592000000),
                             .count_half_life_ms = INT64_C(7776000000),
                             .trend_half_life_ms = {21600000, 259200000, INT64_C(2592000000)},
                             .max_ahead_ms = 300000,
                             .max_clock_step_ms = 86400000,
                             .dedup_window = 1000000,
                             .neighbours = 128,
                             .pair_half_life_ms = INT64_C(7776000000),
                             .successor_half_life_ms = 86400000,
                             .lately_half_life_ms = 604800000,
                             .lately_scale = 0.3f,
                             .user_features = 8,
                             .segment_scale = 300,
                             .lately_history = 50,
                             .neighbour_history = 10,
                             .neighbour_decay = 0.6f,
                             .neighbour_scale = 30,
                             .neighbour_shrink = 5,
                             .neighbour_popularity = 0.2f,
                             .basket_weight = 0.1f,
                             .max_features = 1000000,
                             .item_features = 64,
                             .affinity_history = 50,
                             .succession_history = 3,
                             .succession_features = 8,
                             .feature_scale = 100,
                             .blend_start = {1, 0.5f, 0.1f, 0.5f, 1, 1, 0.3f, 0.02f, 0.01f, 0, 0.3f, 0.3f, 0.01f},
                             .blend_step = 0.015f,
                             .blend_step_neighbours = 0.05f,
                             .types = {{.weight = 1, .history_weight = 1}},
                             .n_types = 1};
    return p;
}

static inline double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
