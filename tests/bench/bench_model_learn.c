/* Pairwise learning steps a second with one million items and users, beside a scalar twin and the memory's floor. Times
 * are the thread's own: what else runs on the machine counts only by the caches and memory that it shares. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/model/model.h"
#include "lib/model/recent.h"
#include "tests/bench/bench_params.h"

#define DIM       BENCH_DIM
#define NEGATIVES BENCH_NEGATIVES
#define HISTORY   5u /* items that each user has before */
#define BATCH     1024u
#define NOW       INT64_C(1700000000000)

static struct slice number_id(char *at, char kind, uint64_t n) {
    int length = sprintf(at, "%c%llu", kind, (unsigned long long)n);
    return slice_of(at, (size_t)length);
}

static int fill(struct model *m, uint32_t n_items, uint32_t n_users) {
    struct err e;
    char id[32];
    for (uint32_t i = 0; i < n_items; i++) {
        uint32_t row;
        if (items_add(m->items, number_id(id, 'i', i), &row, &e) < 0) return -1;
        items_set_live(m->items, row, true);
    }
    for (uint32_t k = 0; k < m->params.recent_events; k++) recent_add(m->recent, draw_below(draw_bits(3, k), n_items));
    for (uint32_t u = 0; u < n_users; u++) {
        struct user_row *row;
        if (users_touch(m->users, number_id(id, 'u', u), &row, &e) < 0) return -1;
        if (users_reserve(m->users, &row, HISTORY + 1, &e) < 0) return -1;
        for (uint32_t k = 0; k < HISTORY; k++) {
            struct user_entry entry = {
                .row = draw_below(draw_bits(4, u * HISTORY + k), n_items) & USER_ROW_BITS, .types = 1, .count = 1};
            user_entries(row, DIM)[row->n++] = entry;
        }
        if (u % BATCH == 0) model_publish(m);
    }
    model_publish(m);
    return 0;
}

/* Event n of the benchmark's log, with ids in room[0] and room[1]. */
static struct model_event event(uint64_t n, uint32_t n_items, uint32_t n_users, char room[2][32], struct slice *item) {
    *item = number_id(room[0], 'i', draw_below(draw_bits(5, n), n_items));
    return (struct model_event){.place = {.source = 1, .offset = n},
                                .user = number_id(room[1], 'u', draw_below(draw_bits(6, n), n_users)),
                                .items = item,
                                .n_items = 1,
                                .ts_ms = NOW + (int64_t)n};
}

/* As the daemon's learner does: hints for the events to come, and a publish for each batch. */
static int learn(struct model *m, uint64_t from, uint64_t events, uint32_t n_items, uint32_t n_users) {
    for (uint64_t n = from; n < from + events; n++) {
        char room[2][32];
        struct slice item;
        struct err e;
        struct model_event ev = event(n + MODEL_AHEAD, n_items, n_users, room, &item);
        model_expect(m, n + MODEL_AHEAD < from + events ? &ev : NULL);
        ev = event(n, n_items, n_users, room, &item);
        if (model_learn(m, &ev, &e) < 0) return -1;
        if (n % BATCH == BATCH - 1) model_publish(m);
    }
    return 0;
}

/* Straightforward C: the same loss and steps on three plain arrays; one user, one item, NEGATIVES uniform ones. */
struct twin {
    uint32_t n_items, n_users;
    float *p, *q, *bias, *sum; /* (n_users, DIM), (n_items, DIM), (n_items), (n_items) */
};

static float product(const float *a, const float *b) {
    float sum = 0;
    for (uint32_t k = 0; k < DIM; k++) sum += a[k] * b[k];
    return sum;
}

static void twin_step(struct twin *t, uint32_t item, const float *x, float g, float *gx) {
    float *q = t->q + (size_t)item * DIM;
    t->sum[item] += g * g;
    float step = 0.3f / sqrtf(0.1f + t->sum[item]) * g;
    t->bias[item] += step;
    for (uint32_t k = 0; k < DIM; k++) {
        gx[k] += g * q[k];
        q[k] += step * x[k];
    }
}

static void twin_learn(struct twin *t, uint64_t n) {
    float *p = t->p + (size_t)draw_below(draw_bits(6, n), t->n_users) * DIM, gx[DIM] = {0}, r[NEGATIVES], g_item = 0,
          sum = 0;
    uint32_t item = draw_below(draw_bits(5, n), t->n_items), j[NEGATIVES];
    float r_item = product(p, t->q + (size_t)item * DIM) + t->bias[item];
    for (uint32_t k = 0; k < NEGATIVES; k++) {
        j[k] = draw_below(draw_bits(n, k), t->n_items);
        r[k] = product(p, t->q + (size_t)j[k] * DIM) + t->bias[j[k]];
        sum += expf(r[k]);
    }
    for (uint32_t k = 0; k < NEGATIVES; k++) {
        float g = expf(r[k]) / sum / (1 + expf(r_item - r[k]));
        g_item += g;
        twin_step(t, j[k], p, -g, gx);
    }
    twin_step(t, item, p, g_item, gx);
    for (uint32_t k = 0; k < DIM; k++) p[k] += 0.05f * gx[k];
}

static uint64_t floor_steps(struct twin *t, uint64_t steps) {
    uint64_t seen = 0;
    for (uint64_t n = 0; n < steps; n++) {
        float *rows[3] = {t->p + (size_t)draw_below(draw_bits(7, n), t->n_users) * DIM,
                          t->q + (size_t)draw_below(draw_bits(8, n), t->n_items) * DIM,
                          t->q + (size_t)draw_below(draw_bits(9, n), t->n_items) * DIM};
        for (int r = 0; r < 3; r++)
            for (uint32_t k = 0; k < DIM; k += 16) {
                seen += rows[r][k] > 0;
                rows[r][k] += 1e-6f;
            }
    }
    return seen;
}

static bool twin_new(struct twin *t, uint32_t n_items, uint32_t n_users) {
    *t = (struct twin){.n_items = n_items, .n_users = n_users};
    t->p = mem_map_dense((size_t)n_users * DIM * sizeof *t->p);
    t->q = mem_map_dense((size_t)n_items * DIM * sizeof *t->q);
    t->bias = calloc(n_items, sizeof *t->bias);
    t->sum = calloc(n_items, sizeof *t->sum);
    if (!t->p || !t->q || !t->bias || !t->sum) return false;
    for (size_t k = 0; k < (size_t)n_users * DIM; k++) t->p[k] = (draw_unit(draw_bits(1, k)) - 0.5f) * 0.04f;
    for (size_t k = 0; k < (size_t)n_items * DIM; k++) t->q[k] = (draw_unit(draw_bits(2, k)) - 0.5f) * 0.1f;
    return true;
}

static void twin_free(struct twin *t) {
    mem_unmap(t->p, (size_t)t->n_users * DIM * sizeof *t->p);
    mem_unmap(t->q, (size_t)t->n_items * DIM * sizeof *t->q);
    free(t->bias);
    free(t->sum);
}

/* What rankd's own step takes, for a model of n_items and n_users. */
static int measure(const char *name, uint32_t n_items, uint32_t n_users, uint64_t events, const char *kernel) {
    struct model_params p = bench_params(n_items);
    const struct user_backing none = {NULL, NULL};
    struct model *m;
    struct err e;
    if (model_new(&p, kernel_pick(kernel), UINT64_C(4) << 30, &none, 1, &m, &e) < 0) return -1;
    if (fill(m, n_items, n_users) < 0 || learn(m, 0, events / 8, n_items, n_users) < 0) return -1;
    double best = 0, total = 0;
    for (int round = 0; round < 4; round++) {
        uint64_t before = atomic_load(&m->stats.steps);
        double t0 = cpu_seconds();
        if (learn(m, events / 8 + (uint64_t)round * (events / 4), events / 4, n_items, n_users) < 0) return -1;
        double rate = (double)(atomic_load(&m->stats.steps) - before) / (cpu_seconds() - t0);
        best = rate > best ? rate : best;
        total += rate;
    }
    printf("learn_%s_steps_per_s %.0f\nlearn_%s_best_steps_per_s %.0f\nlearn_%s_events_per_s %.0f\n", name, total / 4,
           name, best, name, total / 4 / NEGATIVES);
    model_free(m);
    return 0;
}

static int measure_twin(uint32_t n) {
    enum { PAIRS = 60000, FLOOR = 10000000 };
    struct twin t;
    bool ok = twin_new(&t, n, n);
    if (ok) {
        double t0 = cpu_seconds();
        for (uint64_t k = 0; k < PAIRS; k++) twin_learn(&t, k);
        printf("learn_scalar_steps_per_s %.0f\n", (double)PAIRS * NEGATIVES / (cpu_seconds() - t0));
        t0 = cpu_seconds();
        ok = floor_steps(&t, FLOOR) > 0;
        printf("learn_floor_steps_per_s %.0f\n", FLOOR / (cpu_seconds() - t0));
    }
    twin_free(&t);
    return ok ? 0 : -1;
}

int main(int argc, char **argv) {
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    const char *kernel = argc > 2 ? argv[2] : "auto";
    if (measure("1m", n, n, 200000, kernel) < 0 || measure("100k", n / 10, n, 200000, kernel) < 0 ||
        measure_twin(n) < 0)
        return fprintf(stderr, "no memory\n"), 1;
    return 0;
}
