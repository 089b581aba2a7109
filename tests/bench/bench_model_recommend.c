/* The time of an answer, neighbour terms and blend in, without HTTP; beside it that of scoring every item exactly for
 * the same user. Processor time. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/model/model.h"
#include "lib/model/recommend.h"
#include "tests/bench/bench_params.h"

#define GROUPS 20u
#define K      20u
#define NOW    INT64_C(1700000000000)

/* Every item, one in four of which nobody will touch: the group, one of 500 brands that keep to a group, one of 10
 * price bands. */
static int describe(struct model *m, uint32_t n_items) {
    struct err e;
    for (uint32_t i = 0; i < n_items + n_items / 3; i++) {
        char item[32], text[3][32];
        struct slice f[3], id = slice_of(item, (size_t)sprintf(item, i < n_items ? "i%u" : "new%u", i));
        uint32_t group = i % GROUPS;
        f[0] = slice_of(text[0], (size_t)sprintf(text[0], "cat:%u", group));
        f[1] =
            slice_of(text[1], (size_t)sprintf(text[1], "f:brand=%u", draw_below(draw_bits(5, i), 25) * GROUPS + group));
        f[2] = slice_of(text[2], (size_t)sprintf(text[2], "band:price=%u", draw_below(draw_bits(6, i), 10)));
        if (model_describe_item(m, id, -1, INT64_MIN, slice_str("{}"), &e) < 0) return -1;
        if (model_set_features(m, id, f, 3, &e) < 0) return -1;
    }
    return 0;
}

/* Users click mostly what their group likes, popular items most. */
static int fill(struct model *m, uint32_t n_items, uint32_t n_users, uint32_t events) {
    struct err e;
    for (uint64_t n = 0; n < events; n++) {
        char user[32], item[32];
        uint32_t u = draw_below(draw_bits(1, n), n_users);
        float z = draw_unit(draw_bits(2, n));
        uint32_t i = (uint32_t)(z * z * (float)n_items);
        if (draw_below(draw_bits(3, n), 10) < 7) i = i / GROUPS * GROUPS + u % GROUPS;
        if (i >= n_items) i = n_items - 1;
        struct slice id = slice_of(item, (size_t)sprintf(item, "i%u", i));
        struct model_event ev = {.place = {.source = 1, .offset = n},
                                 .user = slice_of(user, (size_t)sprintf(user, "u%u", u)),
                                 .items = &id,
                                 .n_items = 1,
                                 .ts_ms = NOW + (int64_t)n * 10000};
        if (model_learn(m, &ev, &e) < 0) return -1;
        if (n % 256 == 255) model_publish(m);
    }
    model_publish(m);
    return 0;
}

/* Seconds an answer, the best of several rounds; only: NULL, or all items one by one. */
static int answer(struct recommend *r, uint32_t n_users, uint32_t answers, const struct slice *only, size_t n_only,
                  double *seconds) {
    struct err e;
    *seconds = 1e9;
    for (int round = 0; round < 5; round++) {
        double t0 = cpu_seconds();
        for (uint32_t n = 0; n < answers; n++) {
            char user[32];
            struct recommend_answer a;
            struct recommend_request q = {.k = K, .wall_ms = NOW, .only = only, .n_only = n_only};
            q.user = slice_of(user, (size_t)sprintf(user, "u%u", draw_below(draw_bits(4, n), n_users)));
            if (recommend_rank(r, &q, &a, &e) < 0) return fprintf(stderr, "%s\n", e.text), -1;
            recommend_done(r);
        }
        double took = (cpu_seconds() - t0) / answers;
        *seconds = took < *seconds ? took : *seconds;
    }
    return 0;
}

static int measure(const char *name, uint32_t n_items, uint32_t n_users, uint32_t events, uint32_t answers,
                   bool described) {
    struct model_params p = bench_params(n_items + n_items / 3);
    const struct user_backing none = {NULL, NULL};
    struct recommend *r;
    struct model *m;
    struct err e;
    if (model_new(&p, kernel_pick("auto"), UINT64_C(4) << 30, &none, 1, &m, &e) < 0) return -1;
    if (described && describe(m, n_items) < 0) return -1;
    if (fill(m, n_items, n_users, events) < 0 || recommend_new(m, 0, &r, &e) < 0) return -1;
    struct slice *all = malloc(n_items * sizeof *all);
    size_t n_all = 0;
    for (uint32_t row = 0; all && row < n_items; row++) {
        all[n_all] = items_id(m->items, row);
        n_all += all[n_all].n > 0;
    }
    double bounded, exact;
    if (!all || answer(r, n_users, answers, NULL, 0, &bounded) < 0 ||
        answer(r, n_users, answers / 20 + 1, all, n_all, &exact) < 0)
        return -1;
    printf("recommend_%s_us %.1f\nrecommend_%s_exact_us %.1f\n", name, bounded * 1e6, name, exact * 1e6);
    free(all);
    recommend_free(r);
    model_free(m);
    return 0;
}

int main(int argc, char **argv) {
    uint32_t answers = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 5000;
    if (measure("1k7", 1682, 943, 100000, answers, false) < 0) return 1;
    if (measure("100k", 100000, 200000, 400000, answers, false) < 0) return 1;
    if (measure("1k7_described", 1682, 943, 100000, answers, true) < 0) return 1;
    return measure("100k_described", 100000, 200000, 400000, answers, true) < 0;
}
