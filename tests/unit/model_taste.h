/* A shop whose people have a taste, for tests of what learning makes of it: TASTE_GROUPS groups of items, and people
 * who take from their own group nine times of ten, popular items more often. */
#ifndef RANKD_TESTS_MODEL_TASTE_H
#define RANKD_TESTS_MODEL_TASTE_H

#include "lib/model/history.h"
#include "lib/model/recommend.h"
#include "tests/unit/model_shop.h"

#define TASTE_GROUPS 4u
#define TASTE_ITEMS  25u /* of a group */
#define TASTE_USERS  200u
#define TASTE_T0     1700000000000
#define TASTE_ALL    (TASTE_GROUPS * TASTE_ITEMS)

static inline struct slice taste_id(char out[16], char kind, unsigned n) {
    return slice_of(out, (size_t)snprintf(out, 16, "%c%u", kind, n));
}

static inline unsigned taste_item(struct slice id) { /* the number of an item */
    unsigned n = 0;
    for (size_t k = 1; k < id.n; k++) n = n * 10 + (unsigned)(id.p[k] - '0');
    return n;
}

static inline struct model_params taste_params(void) {
    struct model_params p = shop_params();
    p.loss = (struct loss_params){.margin = 1, .score_l2 = 0.01f, .alpha = 1};
    p.user_items = 64;
    p.n_types = 1;
    return p;
}

static inline struct model *taste_new(const struct model_params *p) {
    const struct user_backing none = {NULL, NULL};
    struct model *m;
    struct err e;
    assert_int_equal(model_new(p, kernel_pick("portable"), 64u << 20, &none, 2, &m, &e), 0);
    return m;
}

/* One event of a user on an item of the shop, at a minute of the model clock. */
static inline void taste_event(struct model *m, uint64_t n, unsigned user, unsigned item, int64_t minute) {
    char u[16], i[16];
    struct err e;
    struct slice id = taste_id(i, 'i', item);
    struct model_event ev = {.place = {.source = 1, .offset = n},
                             .user = taste_id(u, 'u', user),
                             .items = &id,
                             .n_items = 1,
                             .ts_ms = TASTE_T0 + minute * 60000};
    assert_int_equal(model_learn(m, &ev, &e), 0);
}

static inline void taste_learn(struct model *m, uint64_t from, uint64_t to) {
    for (uint64_t n = from; n < to; n++) {
        unsigned user = draw_below(draw_bits(11, n), TASTE_USERS), group = user % TASTE_GROUPS;
        float place = draw_unit(draw_bits(12, n));
        if (draw_unit(draw_bits(13, n)) < 0.1f) group = draw_below(draw_bits(14, n), TASTE_GROUPS);
        taste_event(m, n, user, group * TASTE_ITEMS + (unsigned)(place * place * TASTE_ITEMS), (int64_t)n);
    }
    model_publish(m);
}

/* How often an item of the user's group that he has not used is scored above one of another group (r = x . q + b). */
static inline double taste_auc(struct model *m) {
    double above = 0, all = 0;
    for (unsigned u = 0; u < TASTE_USERS; u++) {
        char id[16];
        const struct user_row *user = users_find(m->users, taste_id(id, 'u', u));
        if (!user) continue;
        struct history h;
        float x[MODEL_MAX_DIM], r[TASTE_ALL];
        bool used[TASTE_ALL] = {false};
        history_of(&h, m->items, user_entries(user, m->params.dim), user->n, 0);
        history_vector(&h, m->items, m->kernel, user->p, false, x);
        for (unsigned i = 0; i < TASTE_ALL; i++) {
            uint32_t row = items_find(m->items, taste_id(id, 'i', i));
            used[i] = row == ITEM_NONE;
            if (used[i]) continue;
            r[i] = m->kernel->dot(x, item_q(m->items, row), m->params.dim) + item_head(m->items, row)->bias;
            for (uint32_t k = 0; k < user->n; k++) used[i] = used[i] || user_entries(user, m->params.dim)[k].row == row;
        }
        for (unsigned i = 0; i < TASTE_ALL; i++)
            for (unsigned j = 0; j < TASTE_ALL; j++) {
                if (used[i] || used[j] || i / TASTE_ITEMS != u % TASTE_GROUPS || j / TASTE_ITEMS == u % TASTE_GROUPS)
                    continue;
                above += r[i] > r[j] ? 1 : r[i] == r[j] ? 0.5 : 0;
                all++;
            }
    }
    return all > 0 ? above / all : 0.5;
}

/* Gini coefficient of how often each item stands in the users' top-20 lists: 0 = all alike, near 1 = a few hubs. */
static inline double taste_gini(struct model *m) {
    struct recommend *r;
    unsigned often[TASTE_ALL] = {0};
    double above = 0, total = 0;
    assert_int_equal(recommend_new(m, 1, &r, NULL), 0);
    for (unsigned u = 0; u < TASTE_USERS; u++) {
        char id[16];
        struct recommend_request q = {.user = taste_id(id, 'u', u), .k = 20};
        struct recommend_answer a;
        assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
        for (size_t k = 0; k < a.n; k++) often[taste_item(a.hits[k].id)]++;
        recommend_done(r);
    }
    recommend_free(r);
    for (unsigned i = 0; i < TASTE_ALL; i++) {
        total += often[i];
        for (unsigned j = 0; j < TASTE_ALL; j++) above += often[i] > often[j] ? often[i] - often[j] : 0;
    }
    return above / (TASTE_ALL * total);
}

#endif
