/* Which pairs a stream of events counts, and what the judge makes of them: against naive twins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/model/pairs.h"
#include "lib/model/recommend.h"
#include "tests/unit/model_shop.h"

#define ITEMS 12
#define USERS 5
#define T0    INT64_C(1700000000000)

static double twin[NEIGHBOUR_KINDS][ITEMS][ITEMS]; /* decayed to the newest event */
static uint32_t past[USERS][200], n_past[USERS];   /* oldest first, each item once */
static uint32_t since[USERS][200], n_events;       /* the event that the item came with last */

static void twin_add(enum neighbour_kind kind, uint32_t a, uint32_t b, double w) { twin[kind][a][b] += w; }

static double half_life_days(int kind) { return kind == NEIGHBOUR_SUCCESSOR ? 1 : kind == NEIGHBOUR_LATELY ? 7 : 90; }

static void twin_decay(double days) {
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++)
        for (int k = 0; k < ITEMS * ITEMS; k++) twin[kind][k / ITEMS][k % ITEMS] *= exp2(-days / half_life_days(kind));
}

/* kappa^(events since) / sqrt(items of the event), of the newest 10 items of the first `before`: for the one at q. */
static double twin_near(uint32_t user, uint32_t before, uint32_t q) {
    const uint32_t *event = since[user];
    uint32_t same = 0, newer = 0, from = before > 10 ? before - 10 : 0;
    for (uint32_t o = from; o < before; o++) {
        same += event[o] == event[q];
        newer += o > q && event[o] != event[o - 1];
    }
    return pow(0.6, newer) / sqrt(same);
}

static void twin_learn(uint32_t user, const uint32_t *items, uint32_t n) {
    uint32_t *h = past[user], *event = since[user], before = n_past[user];
    n_events++;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t at = 0, all = n_past[user];
        while (at < all && h[at] != items[k]) at++;
        if (at == all) {
            for (uint32_t q = all, most = 0; q-- > before && most < 10; most++) {
                twin_add(NEIGHBOUR_FORWARD, h[q], items[k], 0.1);
                twin_add(NEIGHBOUR_FORWARD, items[k], h[q], 0.1);
                twin_add(NEIGHBOUR_BACKWARD, h[q], items[k], 0.1);
                twin_add(NEIGHBOUR_BACKWARD, items[k], h[q], 0.1);
                twin_add(NEIGHBOUR_TOGETHER, h[q], items[k], 1);
                twin_add(NEIGHBOUR_TOGETHER, items[k], h[q], 1);
                twin_add(NEIGHBOUR_LATELY, h[q], items[k], 1);
                twin_add(NEIGHBOUR_LATELY, items[k], h[q], 1);
            }
            for (uint32_t q = before, rank = 0; q-- > 0 && rank < 10; rank++) {
                double w = twin_near(user, before, q);
                twin_add(NEIGHBOUR_FORWARD, h[q], items[k], w);
                twin_add(NEIGHBOUR_BACKWARD, items[k], h[q], w);
                if (event[q] == event[before - 1]) twin_add(NEIGHBOUR_SUCCESSOR, h[q], items[k], w);
            }
        } else {
            before -= at < before;
            for (; at + 1 < all; at++) {
                h[at] = h[at + 1];
                event[at] = event[at + 1];
            }
            n_past[user]--;
        }
        event[n_past[user]] = n_events;
        h[n_past[user]++] = items[k];
    }
}

static struct model *m;

static void learn(uint64_t n, uint32_t user, const uint32_t *items, uint32_t count, int64_t t) {
    char name[16], ids[8][16];
    struct slice slices[8];
    snprintf(name, sizeof name, "u%u", user);
    for (uint32_t k = 0; k < count; k++) {
        snprintf(ids[k], sizeof ids[k], "i%u", items[k]);
        slices[k] = slice_str(ids[k]);
    }
    struct model_event ev = {
        .place = {.source = 1, .offset = n}, .user = slice_str(name), .items = slices, .n_items = count, .ts_ms = t};
    assert_int_equal(model_learn(m, &ev, NULL), 0);
}

static uint32_t row_of(uint32_t item) {
    char id[16];
    snprintf(id, sizeof id, "i%u", item);
    return items_find(m->items, slice_str(id));
}

static void compare(int64_t t) {
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++)
        for (uint32_t a = 0; a < ITEMS; a++) {
            struct neighbour_list list;
            double got[ITEMS] = {0}, half = half_life_days(kind) * 86400000.0;
            if (row_of(a) == ITEM_NONE) continue;
            assert_int_equal(neighbours_peek(m->neighbours, (enum neighbour_kind)kind, row_of(a), &list, NULL), 0);
            for (uint32_t k = 0; k < list.n; k++)
                for (uint32_t b = 0; b < ITEMS; b++)
                    if (row_of(b) == list.row[k])
                        got[b] = (double)list.weight[k] * exp2(-(double)(t - list.reference_ms) / half);
            for (uint32_t b = 0; b < ITEMS; b++)
                assert_true(fabs(got[b] - twin[kind][a][b]) <= 1e-4 * (1 + fabs(twin[kind][a][b])));
        }
}

static void pairs_are_those_of_the_definition(void **state) {
    (void)state;
    struct model_params p = shop_params();
    struct user_backing none = {NULL, NULL};
    p.neighbours = 64;
    p.pair_half_life_ms = INT64_C(90) * 86400000;
    p.successor_half_life_ms = 86400000;
    p.lately_half_life_ms = INT64_C(7) * 86400000;
    p.types[1].weight = 1;
    p.user_items = 200;
    assert_int_equal(model_new(&p, kernel_pick("auto"), 64 << 20, &none, 1, &m, NULL), 0);
    int64_t t = T0;
    for (uint64_t n = 0; n < 400; n++) {
        uint64_t bits = draw_bits(5, n);
        uint32_t items[8], count = bits % 4 ? 1 : 2 + (uint32_t)(bits >> 8) % 6;
        for (uint32_t k = 0; k < count; k++) items[k] = draw_below(draw_bits(6, n * 8 + k), ITEMS);
        int64_t step = (int64_t)(bits >> 32) % 40000000;
        t += step;
        twin_decay((double)step / 86400000);
        learn(n, (uint32_t)(bits >> 16) % USERS, items, count, t);
        twin_learn((uint32_t)(bits >> 16) % USERS, items, count);
        if (n % 50 == 49) compare(t);
    }
    model_publish(m);
    model_free(m);
}

/* The judge's rankings change the blend and nothing else: the state without them is the same to the bit. */
static void judging_changes_the_blend_alone(void **state) {
    (void)state;
    uint64_t hash[2];
    for (int teach = 0; teach < 2; teach++) {
        struct model_params p = shop_params();
        struct user_backing none = {NULL, NULL};
        if (!teach) p.blend_step = p.blend_step_neighbours = 0;
        assert_int_equal(model_new(&p, kernel_pick("auto"), 64 << 20, &none, 1, &m, NULL), 0);
        for (uint64_t n = 0; n < 4000; n++) assert_int_equal(shop_learn(m, n, NULL), 0);
        hash[teach] = shop_hash(m);
        double rankings = 0;
        for (uint32_t k = 0; k < BLEND_BUCKETS; k++) {
            rankings += m->blend.bucket[k].rankings;
            bool same = memcmp(m->blend.bucket[k].weight, p.blend_start, sizeof p.blend_start) == 0;
            if (!teach) assert_true(same);
            if (teach && m->blend.bucket[k].rankings > 100 && !m->blend.bucket[k].restarts) assert_false(same);
        }
        assert_true(rankings > 200);
        model_free(m);
    }
    assert_true(hash[0] == hash[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_those_of_the_definition),
        cmocka_unit_test(judging_changes_the_blend_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
