/* Invented outcomes for the tests of lib/eval. */
#ifndef RANKD_TESTS_EVAL_WORLD_H
#define RANKD_TESTS_EVAL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/draw.h"
#include "lib/eval/outcome.h"

/* Fails unless a and b differ by less than most. */
#define assert_near(a, b, most) assert_near_at(a, b, most, #a, __FILE__, __LINE__)
static inline void assert_near_at(double a, double b, double most, const char *what, const char *file, int line) {
    if (a - b < most && b - a < most) return;
    print_error("%s is %.17g, not %.17g\n", what, a, b);
    _fail(file, line);
}

/* A set with types "click" and "purchase", and a feature with two values. */
static inline void world_set(struct outcome_set *s) {
    uint16_t index;
    outcome_set_init(s);
    assert_int_equal(outcome_set_type(s, slice_str("click"), &index, NULL), 0);
    assert_int_equal(outcome_set_type(s, slice_str("purchase"), &index, NULL), 0);
    s->types[0].configured = true;
    assert_int_equal(outcome_set_feature_name(s, slice_str("brand"), NULL), 0);
    assert_int_equal(outcome_set_feature(s, slice_str("acme"), &index, NULL), 0);
    assert_int_equal(outcome_set_feature(s, slice_str("zeta"), &index, NULL), 0);
}

static inline void world_case(struct outcome_set *s, const struct outcome_case *c) {
    assert_int_equal(outcome_set_add(s, c, NULL), 0);
}

static inline void world_begin(struct outcome_set *s, struct outcome_run *r) {
    world_set(s);
    assert_int_equal(outcome_run_init(r, "rankd", OUTCOME_TESTED, 1, "", NULL), 0);
}

static inline void world_end(struct outcome_set *s, struct outcome_run *r) {
    outcome_set_free(s);
    outcome_run_free(r);
}

/* n cases of every kind, one in five in the basket of the case before, over 30 days. */
static inline void world_random(struct outcome_set *s, size_t n, uint64_t key) {
    for (size_t i = 0; i < n; i++) {
        uint64_t a = draw_bits(key, 2 * i), b = draw_bits(key, 2 * i + 1);
        bool joined = i > 0 && a % 5 == 0;
        struct outcome_case c = {.ts_ms = INT64_C(1700000000000) + (int64_t)(i * (INT64_C(30) * 86400000 / n)),
                                 .user = a >> 56,
                                 .item_age_ms = (int64_t)(b % 4 ? b >> (30 + b % 16) : 0) - 1,
                                 .item_events = (uint32_t)(a >> 8 & 0xFFFF) >> (b >> 60),
                                 .history = (uint32_t)(b >> 16 & 15),
                                 .type = (a >> 4 & 3) == 0,
                                 .feature = (uint16_t)(b >> 8) % 3,
                                 .flags = (a >> 30 & 1 ? OUTCOME_RECENT : 0u) | (a >> 31 & 1 ? OUTCOME_REPEAT : 0u) |
                                          (joined ? OUTCOME_SAME_MOMENT | OUTCOME_BASKET : 0u)};
        world_case(s, &c);
    }
}

/* Ranks below most, one in eight a miss, probabilities with each. */
static inline void world_ranks(const struct outcome_set *s, struct outcome_run *r, uint64_t key, uint32_t most) {
    for (size_t i = r->n; i < s->n; i++) {
        uint64_t bits = draw_bits(key, i);
        uint32_t rank = bits >> 61 ? draw_below(bits, most) : OUTCOME_MISS;
        float p = draw_unit(bits);
        assert_int_equal(outcome_run_add(r, rank, p, p, NULL), 0);
    }
}

#endif
