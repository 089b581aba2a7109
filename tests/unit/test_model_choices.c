/* What can be chosen of the learning step: each loss learns a taste, and each option does what it is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tests/unit/model_taste.h"

#define EVENTS 6000

struct outcome {
    uint64_t hash;
    double auc, gini, entropy;
    double norms[3]; /* mean norms of p, q, y */
};

/* Mean entropy of the softmax of a user's scores over all items, and norms. */
static void measure_rows(struct model *m, struct outcome *o) {
    const uint32_t dim = m->params.dim, n = m->items->n_live;
    for (uint32_t i = 0; i < n; i++) {
        o->norms[1] += sqrt((double)m->kernel->dot(item_q(m->items, i), item_q(m->items, i), dim)) / n;
        o->norms[2] += sqrt((double)m->kernel->dot(item_y(m->items, i), item_y(m->items, i), dim)) / n;
    }
    for (unsigned u = 0; u < TASTE_USERS; u++) {
        char id[16];
        const struct user_row *user = users_find(m->users, taste_id(id, 'u', u));
        struct history h;
        float x[MODEL_MAX_DIM];
        double sum = 0, mean = 0;
        assert_non_null(user);
        history_of(&h, m->items, user_entries(user, dim), user->n, 0);
        history_vector(&h, m->items, m->kernel, user->p, false, x);
        for (uint32_t i = 0; i < n; i++) {
            double r = (double)(m->kernel->dot(x, item_q(m->items, i), dim) + item_head(m->items, i)->bias);
            sum += exp(r);
            mean += exp(r) * r;
        }
        o->entropy += (log(sum) - mean / sum) / TASTE_USERS;
        o->norms[0] += sqrt((double)m->kernel->dot(user->p, user->p, dim)) / TASTE_USERS;
    }
}

static struct outcome learn(const struct model_params *p) {
    struct model *m = taste_new(p);
    taste_learn(m, 0, EVENTS);
    struct outcome o = {.hash = shop_hash(m), .auc = taste_auc(m), .gini = taste_gini(m)};
    measure_rows(m, &o);
    model_free(m);
    return o;
}

static void test_every_loss_learns_a_taste(void **state) {
    (void)state;
    uint64_t hashes[LOSS_KINDS];
    struct model_params p = taste_params();
    struct model *untaught = taste_new(&p);
    taste_learn(untaught, 0, 50);
    assert_true(taste_auc(untaught) < 0.75);
    model_free(untaught);
    for (int kind = 0; kind < LOSS_KINDS; kind++) {
        p.loss.kind = (enum loss_kind)kind;
        struct outcome o = learn(&p);
        if (o.auc < 0.9) fail_msg("%s: %.3f of the pairs in order", loss_name(p.loss.kind), o.auc);
        hashes[kind] = o.hash;
        for (int other = 0; other < kind; other++) assert_true(hashes[other] != o.hash);
    }
}

/* Options of a loss change what is learned where they apply, and nothing where they do not. */
static void test_options_of_losses(void **state) {
    (void)state;
    static const struct {
        enum loss_kind kind, blind; /* a kind that the option must change, and one that it must not */
        struct loss_params with;
    } cases[] = {
        {LOSS_WBPR, LOSS_BPR, {.temperature = 0.5f, .margin = 1, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_WBPR, LOSS_BPR, {.ignore_often = true, .margin = 1, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_HINGE, LOSS_WBPR, {.margin = 0.2f, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_WARP, LOSS_WBPR, {.margin = 0.2f, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_SAMPLED_SOFTMAX, LOSS_WBPR, {.smoothing = 0.2f, .margin = 1, .score_l2 = 0.01f, .alpha = 1}},
        {LOSS_BPR_MAX, LOSS_WBPR, {.score_l2 = 1, .margin = 1, .alpha = 1}},
        {LOSS_LOGISTIC, LOSS_WBPR, {.alpha = 5, .margin = 1, .score_l2 = 0.01f}},
        {LOSS_LOGISTIC, LOSS_WBPR, {.log_count = true, .alpha = 1, .margin = 1, .score_l2 = 0.01f}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint64_t hash[2][2];
        for (int with = 0; with < 2; with++)
            for (int blind = 0; blind < 2; blind++) {
                struct model_params p = taste_params();
                if (with) p.loss = cases[k].with;
                p.loss.kind = blind ? cases[k].blind : cases[k].kind;
                struct model *m = taste_new(&p);
                taste_learn(m, 0, 400);
                hash[with][blind] = shop_hash(m);
                model_free(m);
            }
        assert_true(hash[0][0] != hash[1][0]);
        assert_true(hash[0][1] == hash[1][1]);
    }
}

static void test_entropy_spreads_the_softmax(void **state) {
    (void)state;
    struct model_params p = taste_params();
    struct outcome plain = learn(&p);
    p.loss.entropy = 0.3f;
    struct outcome spread = learn(&p);
    assert_true(spread.entropy > plain.entropy + 0.1);
    assert_true(spread.auc > 0.9);
}

/* Each L2 makes the rows of its own type smaller, more so when it is larger. */
static void test_l2_shortens_its_rows(void **state) {
    (void)state;
    struct model_params p = taste_params();
    struct outcome plain = learn(&p);
    for (int type = 0; type < 3; type++) {
        double last = plain.norms[type];
        for (float l2 = 0.01f; l2 < 0.2f; l2 *= 10) {
            p = taste_params();
            *(type == 0 ? &p.l2_user : type == 1 ? &p.l2_item : &p.l2_history) = l2;
            struct outcome o = learn(&p);
            assert_true(o.norms[type] < 0.95 * last);
            assert_true(o.auc > 0.75);
            last = o.norms[type];
        }
    }
    p = taste_params();
    p.l2_user = p.l2_item = p.l2_history = 1;
    p.under_root = 1e-6f; /* steps of size 300: no part above the whole row */
    assert_true(isfinite(learn(&p).norms[1]));
}

static void test_dropout(void **state) {
    (void)state;
    struct model_params p = taste_params();
    struct outcome plain = learn(&p);
    p.history_dropout = 0.3f;
    struct outcome once = learn(&p), again = learn(&p);
    assert_true(once.hash != plain.hash);
    assert_true(once.hash == again.hash);
    assert_true(once.auc > 0.9);
    p.history_dropout = 1e-8f; /* less than any draw above 0: what is kept weighs as before */
    assert_true(fabs(learn(&p).norms[2] / plain.norms[2] - 1) < 0.01);
}

/* People with one item in their history: the share of them that teaches the item's y nothing is the option's. */
static void test_dropout_has_its_share(void **state) {
    (void)state;
    struct model_params p = taste_params();
    p.history_dropout = 0.3f;
    struct model *m = taste_new(&p);
    unsigned dropped = 0, all = 1000;
    char id[16];
    taste_learn(m, 0, 500);
    struct item_head *head = item_head(m->items, items_find(m->items, taste_id(id, 'i', 3)));
    for (unsigned k = 0; k < all; k++) {
        taste_event(m, 500 + 2 * k, TASTE_USERS + k, 3, 500 + k);
        float before = head->y_sum;
        taste_event(m, 501 + 2 * k, TASTE_USERS + k, 4, 500 + k);
        dropped += head->y_sum == before;
    }
    assert_in_range(dropped, 250, 350);
    model_free(m);
}

/* Lists are shared out more evenly among the items, and the taste is learned as well as before. */
static void test_popularity_penalty_works_against_hubs(void **state) {
    (void)state;
    struct model_params p = taste_params();
    for (int f = 0; f < TERMS_SPARSE; f++) p.blend_start[f] = 0; /* neighbours do not feel the penalty */
    p.blend_step = p.blend_step_neighbours = 0;
    struct outcome plain = learn(&p);
    p.popularity_penalty = 0.3f;
    struct outcome even = learn(&p);
    assert_true(even.gini < plain.gini - 0.02);
    assert_true(even.auc > plain.auc - 0.01);
}

/* The gradient through the user vector's length, by finite differences of c . x. */
static void test_gradient_of_a_vector_of_fixed_length(void **state) {
    (void)state;
    struct model_params p = taste_params();
    p.unit_scale = 5;
    struct model *m = taste_new(&p);
    struct history none = {.n = 0};
    float x[16], user[16], gx[16], c[16];
    for (uint32_t k = 0; k < 16; k++) {
        user[k] = draw_unit(draw_bits(1, k)) - 0.5f;
        gx[k] = c[k] = draw_unit(draw_bits(2, k)) - 0.5f;
    }
    float factor = history_vector(&none, m->items, m->kernel, user, false, x);
    assert_true(fabsf(m->kernel->dot(x, x, 16) - 25) < 1e-4f);
    history_gradient(m->kernel, x, factor, p.unit_scale, gx, 16);
    for (uint32_t k = 0; k < 16; k++) {
        const float step = 1e-2f, at = user[k];
        user[k] = at + step;
        history_vector(&none, m->items, m->kernel, user, false, x);
        double above = (double)m->kernel->dot(c, x, 16);
        user[k] = at - step;
        history_vector(&none, m->items, m->kernel, user, false, x);
        double slope = (above - (double)m->kernel->dot(c, x, 16)) / (2 * (double)step);
        user[k] = at;
        assert_true(fabs(slope - (double)gx[k]) < 2e-3 * (1 + fabs(slope)));
    }
    float zero[16] = {0};
    assert_true(history_vector(&none, m->items, m->kernel, zero, false, x) == 1);
    assert_memory_equal(x, zero, sizeof zero);
    model_free(m);
}

/* Every item keeps length 1 from its first moment, x has the scale's, and the taste is learned. */
static void test_normalised_rows_keep_their_length(void **state) {
    (void)state;
    struct model_params p = taste_params();
    p.unit_scale = 5;
    struct model *m = taste_new(&p);
    taste_learn(m, 0, EVENTS);
    for (uint32_t i = 0; i < m->items->n_live; i++)
        assert_true(fabsf(m->kernel->dot(item_q(m->items, i), item_q(m->items, i), p.dim) - 1) < 1e-5f);
    assert_true(taste_auc(m) > 0.9);
    model_free(m);
}

static double size_of_item(struct model *m, unsigned item) {
    char id[16];
    uint32_t row = items_find(m->items, taste_id(id, 'i', item));
    const float *q = item_q(m->items, row); /* q and y stand together */
    return sqrt((double)m->kernel->dot(q, q, 2 * m->params.dim)) + fabs((double)item_head(m->items, row)->bias);
}

/* After ten half-lives an item's row is a thousandth with its next event, and others stay until theirs. */
static void test_rows_fade_between_events(void **state) {
    (void)state;
    struct model_params p = taste_params();
    p.row_half_life_ms = INT64_C(864000000);
    p.types[0].weight = 1;
    p.step = 1e-6f; /* what the event itself teaches does not show */
    struct model *m = taste_new(&p);
    taste_learn(m, 0, 2000);
    double first = size_of_item(m, 0), second = size_of_item(m, 1);
    taste_event(m, 2000, 0, 0, 2000 + 10 * 14400); /* ten times ten days later */
    assert_true(fabs(size_of_item(m, 0) / first * 1024 - 1) < 0.05);
    assert_true(size_of_item(m, 1) == second);
    double faded = size_of_item(m, 0);
    taste_event(m, 2001, 1, 0, 2000 + 5 * 14400); /* a late event takes nothing */
    assert_true(fabs(size_of_item(m, 0) / faded - 1) < 0.01);
    model_publish(m);
    char id[16];
    const struct user_row *user = users_find(m->users, taste_id(id, 'u', 0));
    assert_true(sqrt((double)m->kernel->dot(user->p, user->p, p.dim)) < 0.01 * 4 / 512);
    model_free(m);
}

static void test_sums_fade_between_events(void **state) {
    (void)state;
    for (int with = 0; with < 2; with++) {
        struct model_params p = taste_params();
        if (with) p.sum_half_life_ms = INT64_C(864000000);
        struct model *m = taste_new(&p);
        char id[16];
        taste_learn(m, 0, 2000);
        struct item_head *head = item_head(m->items, items_find(m->items, taste_id(id, 'i', 0)));
        float before = head->q_sum;
        taste_event(m, 2000, TASTE_USERS, 0, 2000 + 10 * 14400); /* by somebody new */
        assert_true(with ? head->q_sum < before / 1024 + 1 : head->q_sum > before);
        model_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_loss_learns_a_taste),
        cmocka_unit_test(test_options_of_losses),
        cmocka_unit_test(test_entropy_spreads_the_softmax),
        cmocka_unit_test(test_l2_shortens_its_rows),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_dropout_has_its_share),
        cmocka_unit_test(test_popularity_penalty_works_against_hubs),
        cmocka_unit_test(test_gradient_of_a_vector_of_fixed_length),
        cmocka_unit_test(test_normalised_rows_keep_their_length),
        cmocka_unit_test(test_rows_fade_between_events),
        cmocka_unit_test(test_sums_fade_between_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
