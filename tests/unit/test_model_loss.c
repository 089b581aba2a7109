/* Losses: each gradient against finite differences of its formula in double precision, at scores mild and extreme. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/fmath.h"
#include "lib/model/loss.h"

#define MOST  512u
#define CASES 300u
#define STEP  1e-5

/* The formulas as docs/losses.md writes them, by libm in double precision. What a loss holds constant in its gradient
 * (a_j of wbpr, the rank weight of warp) comes from the scores in `held`. */
struct twin {
    const struct loss_params *p;
    uint32_t n;
    double item, r[MOST], often[MOST], weight, count, n_live;
};

static double temperature(const struct twin *t) { return t->p->temperature > 0 ? (double)t->p->temperature : 1; }
static double often(const struct twin *t, uint32_t k) { return t->p->ignore_often ? 1 : t->often[k]; }
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* log softmax(z)_k */
static double log_softmax(const struct twin *t, uint32_t at) {
    double top = -INFINITY, sum = 0;
    for (uint32_t k = 0; k < t->n; k++) top = fmax(top, t->r[k] / temperature(t) - log(often(t, k)));
    for (uint32_t k = 0; k < t->n; k++) sum += exp(t->r[k] / temperature(t) - log(often(t, k)) - top);
    return t->r[at] / temperature(t) - log(often(t, at)) - top - log(sum);
}

static double share(const struct twin *t, uint32_t at) {
    double sum = 0;
    for (uint32_t k = 0; k < t->n; k++) sum += 1 / often(t, k);
    return 1 / often(t, at) / sum;
}

static double pairwise(const struct twin *t, const struct twin *held) {
    double sum = 0;
    for (uint32_t k = 0; k < t->n; k++)
        sum += (held ? exp(log_softmax(held, k)) : 1.0 / t->n) * softplus(t->r[k] - t->item);
    return sum;
}

static double bpr_max(const struct twin *t) {
    double top = -INFINITY, sum = 0, squares = 0, log_s[MOST];
    for (uint32_t k = 0; k < t->n; k++) {
        log_s[k] = log_softmax(t, k);
        top = fmax(top, log_s[k] - softplus(t->r[k] - t->item));
        squares += exp(log_s[k]) * t->r[k] * t->r[k];
    }
    for (uint32_t k = 0; k < t->n; k++) sum += exp(log_s[k] - softplus(t->r[k] - t->item) - top);
    return -top - log(sum) + (double)t->p->score_l2 * squares;
}

static double hinge(const struct twin *t) {
    double sum = 0;
    for (uint32_t k = 0; k < t->n; k++) sum += fmax(0, (double)t->p->margin - t->item + t->r[k]) / t->n;
    return sum;
}

static double warp(const struct twin *t, const struct twin *held) {
    double within = 0, sum = 0;
    for (uint32_t k = 0; k < t->n; k++)
        if (held->item - held->r[k] < (double)t->p->margin) within += share(held, k);
    if (within == 0) return 0;
    double rank = fmax(1, within * (t->n_live - 1));
    double phi = (double)loss_rank_weight((float)rank) / (double)loss_rank_weight((float)t->n_live - 1);
    for (uint32_t k = 0; k < t->n; k++)
        sum += phi * share(held, k) / within * fmax(0, (double)t->p->margin - t->item + t->r[k]);
    return sum;
}

static double sampled_softmax(const struct twin *t) {
    double s[MOST], s_item = t->item / temperature(t), top = s_item, sum = 0, smoothing = (double)t->p->smoothing;
    double each = t->p->ignore_often ? 1 : (t->n_live - 1) / t->n;
    for (uint32_t k = 0; k < t->n; k++) {
        s[k] = t->r[k] / temperature(t) + log(each / often(t, k));
        top = fmax(top, s[k]);
    }
    for (uint32_t k = 0; k < t->n; k++) sum += exp(s[k] - top);
    double log_all = top + log(sum + exp(s_item - top)), loss = -(1 - smoothing) * (s_item - log_all);
    for (uint32_t k = 0; k < t->n; k++) loss -= smoothing * share(t, k) * (s[k] - log_all);
    return loss;
}

static double logistic(const struct twin *t) {
    double f = t->p->log_count ? log1p(t->count) : t->count, loss = (1 + (double)t->p->alpha * f) * softplus(-t->item);
    for (uint32_t k = 0; k < t->n; k++) loss += share(t, k) * softplus(t->r[k]);
    return loss;
}

static double value(const struct twin *t, const struct twin *held) {
    double loss = 0, entropy = 0;
    switch (t->p->kind) {
    case LOSS_WBPR:
        loss = pairwise(t, held);
        break;
    case LOSS_BPR:
        loss = pairwise(t, NULL);
        break;
    case LOSS_BPR_MAX:
        loss = bpr_max(t);
        break;
    case LOSS_HINGE:
        loss = hinge(t);
        break;
    case LOSS_WARP:
        loss = warp(t, held);
        break;
    case LOSS_SAMPLED_SOFTMAX:
        loss = sampled_softmax(t);
        break;
    case LOSS_LOGISTIC:
        loss = logistic(t);
        break;
    }
    if (t->p->entropy > 0)
        for (uint32_t k = 0; k < t->n; k++) {
            double log_a = log_softmax(t, k);
            entropy -= exp(log_a) * log_a;
        }
    return t->weight * (loss - (double)t->p->entropy * entropy);
}

struct scores {
    struct loss_scores s;
    float r[MOST], log_often[MOST], g[MOST], scratch[2 * MOST];
};

/* Random scores: of deviation about spread around the item's; no pair within 0.001 of the margin's edge. */
static void make_scores(struct scores *c, uint64_t key, float spread, uint32_t n, const struct loss_params *p) {
    c->s = (struct loss_scores){.r = c->r,
                                .log_often = c->log_often,
                                .n = n,
                                .n_live = 2 + (float)draw_below(draw_bits(key, 1), 100000),
                                .weight = 0.1f + 2 * draw_unit(draw_bits(key, 2)),
                                .count = 1 + (float)draw_below(draw_bits(key, 3), 20)};
    c->s.item = spread * (draw_unit(draw_bits(key, 4)) - 0.5f);
    for (uint32_t k = 0; k < n; k++) {
        c->r[k] = spread * (draw_unit(draw_bits(key, 10 + 2 * k)) - 0.5f);
        if (fabsf(p->margin - c->s.item + c->r[k]) < 1e-3f) c->r[k] += 0.01f;
        c->log_often[k] = fm_logf(0.2f + 30 * draw_unit(draw_bits(key, 11 + 2 * k)));
    }
}

static void make_twin(struct twin *t, const struct scores *c, const struct loss_params *p) {
    *t = (struct twin){.p = p,
                       .n = c->s.n,
                       .item = (double)c->s.item,
                       .weight = (double)c->s.weight,
                       .count = (double)c->s.count,
                       .n_live = (double)c->s.n_live};
    for (uint32_t k = 0; k < c->s.n; k++) {
        t->r[k] = (double)c->r[k];
        t->often[k] = exp((double)c->log_often[k]);
    }
}

static double slope(struct twin *t, const struct twin *held, double *at) {
    double x = *at;
    *at = x + STEP;
    double above = value(t, held);
    *at = x - STEP;
    double below = value(t, held);
    *at = x;
    return (above - below) / (2 * STEP);
}

static void assert_near(const struct loss_params *p, const char *what, uint32_t k, double got, double want,
                        double unit) {
    if (fabs(got - want) > 2e-4 * fabs(want) + 2e-6 * unit)
        fail_msg("%s: %s %u is %.9g, by differences %.9g", loss_name(p->kind), what, k, got, want);
}

static void check_gradient(const struct loss_params *p, uint64_t key, float spread, uint32_t n) {
    static struct scores c;
    static struct twin t, held;
    make_scores(&c, key, spread, n, p);
    make_twin(&t, &c, p);
    held = t;
    double g_item = (double)loss_gradient(p, &c.s, c.g, c.scratch);
    /* squares of the scores in bpr-max make everything larger, and so their roundings */
    double unit = t.weight * (1 + (double)p->score_l2 * (double)(spread * spread) + (double)p->entropy * 10);
    assert_near(p, "the item's gradient", 0, -g_item, slope(&t, &held, &t.item), unit * (1 + (double)p->alpha * 20));
    for (uint32_t k = 0; k < n; k += 1 + n / 16)
        assert_near(p, "the gradient of negative", k, (double)c.g[k], slope(&t, &held, &t.r[k]), unit);
}

static struct loss_params of_kind(int kind) {
    return (struct loss_params){.kind = (enum loss_kind)kind, .margin = 1, .alpha = 2, .score_l2 = 0.1f};
}

/* The options of case k of a kind: every value of every option stands beside every other. */
static struct loss_params varied(int kind, uint64_t k) {
    static const float temperatures[] = {0, 0.5f, 1, 3}, margins[] = {1, 0.1f, 4};
    struct loss_params p = of_kind(kind);
    p.temperature = temperatures[k % 4];
    p.margin = margins[k % 3];
    p.ignore_often = k / 4 % 2;
    p.smoothing = k / 8 % 2 ? 0.1f : 0;
    p.entropy = k / 16 % 2 ? 0.3f : 0;
    p.log_count = k / 32 % 2;
    if (k / 64 % 2) p.score_l2 = 0;
    return p;
}

static void test_gradients_by_differences(void **state) {
    (void)state;
    static const float spreads[] = {0.1f, 2, 10, 160};
    static const uint32_t sizes[] = {1, 2, 7, 16, 64, MOST};
    for (int kind = 0; kind < LOSS_KINDS; kind++)
        for (uint64_t k = 0; k < CASES; k++) {
            struct loss_params p = varied(kind, k);
            check_gradient(&p, draw_bits(1, k * LOSS_KINDS + (uint64_t)kind), spreads[draw_bits(2, k) % 4],
                           sizes[draw_bits(3, k) % (k % 16 ? 5 : 6)]);
        }
}

/* All scores of the negatives at 80 or more above or below the item's: finite, and of the sign that a step needs. */
static void test_extremes_are_finite(void **state) {
    (void)state;
    static struct scores c;
    static const float apart[] = {80, 120, 1e4f, 1e9f};
    for (int kind = 0; kind < LOSS_KINDS; kind++)
        for (int k = 0; k < 16; k++) {
            struct loss_params p = varied(kind, (uint64_t)k * 5);
            float d = k % 2 ? apart[k / 2 % 4] : -apart[k / 2 % 4];
            make_scores(&c, (uint64_t)k, 1, 16, &p);
            c.s.item = k < 8 ? d : 0;
            for (uint32_t j = 0; j < 16; j++) c.r[j] += k < 8 ? 0 : d;
            if (k == 15) c.r[3] = -d;
            float g_item = loss_gradient(&p, &c.s, c.g, c.scratch);
            assert_true(isfinite(g_item));
            assert_true(g_item > -1e-6f || p.smoothing > 0); /* which holds a confident item back */
            for (uint32_t j = 0; j < 16; j++) assert_true(isfinite(c.g[j]));
        }
}

/* Losses of differences of scores alone cannot move all scores together: the gradients of both sides are equal. */
static void test_sides_balance(void **state) {
    (void)state;
    static struct scores c;
    static const enum loss_kind kinds[] = {LOSS_WBPR,  LOSS_BPR,  LOSS_BPR_MAX,
                                           LOSS_HINGE, LOSS_WARP, LOSS_SAMPLED_SOFTMAX};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (uint64_t k = 0; k < 64; k++) {
            struct loss_params p = varied((int)kinds[i], k);
            double sum = 0;
            p.score_l2 = 0;
            make_scores(&c, k, 6, 64, &p);
            double g_item = (double)loss_gradient(&p, &c.s, c.g, c.scratch);
            for (uint32_t j = 0; j < 64; j++) sum += (double)c.g[j];
            assert_true(fabs(sum - g_item) < 1e-5);
        }
}

/* The default, written out as the model computes it since its first version: to the bit. */
static void test_default_keeps_its_bits(void **state) {
    (void)state;
    static struct scores c;
    const struct loss_params p = {.kind = LOSS_WBPR};
    for (uint64_t key = 0; key < 200; key++) {
        uint32_t n = 1 + (uint32_t)key;
        float a[MOST], g[MOST], top = -1e30f, sum = 0, g_item = 0;
        make_scores(&c, key, key % 2 ? 4 : 60, n, &p);
        for (uint32_t k = 0; k < n; k++) {
            a[k] = c.r[k] - c.log_often[k];
            if (a[k] > top) top = a[k];
        }
        for (uint32_t k = 0; k < n; k++) {
            a[k] = fm_expf(a[k] - top);
            g[k] = fm_expf(c.s.item - c.r[k]);
            sum += a[k];
        }
        for (uint32_t k = 0; k < n; k++) {
            g[k] = c.s.weight * (a[k] / sum) / (1 + g[k]);
            g_item += g[k];
        }
        assert_true(loss_gradient(&p, &c.s, c.g, c.scratch) == g_item);
        assert_memory_equal(c.g, g, n * sizeof *g);
    }
}

static void test_rank_weight(void **state) {
    (void)state;
    double sum = 0;
    for (int k = 1; k <= 100000; k++) {
        sum += 1.0 / k;
        double off = fabs((double)loss_rank_weight((float)k) / sum - 1);
        assert_true(off < (k == 1 ? 7e-3 : 5e-4));
    }
}

/* What each option is for, on scores where it must show. */
static void test_options_show(void **state) {
    (void)state;
    static struct scores c;
    float g[16];
    struct loss_params p = of_kind(LOSS_HINGE);
    make_scores(&c, 5, 0.5f, 16, &p);
    assert_true(loss_gradient(&p, &c.s, c.g, c.scratch) > 0);
    p.margin = 0;
    c.s.item = 1;
    assert_true(loss_gradient(&p, &c.s, c.g, c.scratch) == 0); /* all are further below than the margin asks */
    p = of_kind(LOSS_WARP);
    c.s.n_live = 1000;
    c.s.item = -1;
    float low = loss_gradient(&p, &c.s, c.g, c.scratch);
    assert_true(fabsf(low / c.s.weight - 1) < 1e-5f); /* below everything: the whole weight */
    c.s.item = 100;
    c.r[0] = 100;
    assert_true(loss_gradient(&p, &c.s, c.g, c.scratch) < low); /* one above it: a better rank weighs less */
    c.r[0] = 0;
    c.s.item = 0.2f;
    p = of_kind(LOSS_LOGISTIC);
    c.s.count = 1;
    float once = loss_gradient(&p, &c.s, c.g, c.scratch);
    c.s.count = 9;
    assert_true(fabsf(loss_gradient(&p, &c.s, c.g, c.scratch) / once - 19.0f / 3) < 1e-4f);
    p = of_kind(LOSS_WBPR);
    loss_gradient(&p, &c.s, c.g, c.scratch);
    p.ignore_often = true;
    loss_gradient(&p, &c.s, g, c.scratch);
    assert_memory_not_equal(g, c.g, sizeof g);
    p.temperature = 1e6f; /* so hot that all negatives weigh the same: textbook BPR */
    loss_gradient(&p, &c.s, c.g, c.scratch);
    p.kind = LOSS_BPR;
    loss_gradient(&p, &c.s, g, c.scratch);
    for (int k = 0; k < 16; k++) assert_true(fabsf(g[k] - c.g[k]) < 1e-5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_by_differences),
        cmocka_unit_test(test_extremes_are_finite),
        cmocka_unit_test(test_sides_balance),
        cmocka_unit_test(test_default_keeps_its_bits),
        cmocka_unit_test(test_rank_weight),
        cmocka_unit_test(test_options_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
