/* Content terms: their values from the definition, the exact ranking with them, and items that nobody has touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/model/content.h"
#include "lib/model/recommend.h"
#include "lib/model/topk.h"
#include "tests/unit/model_shop.h"

#define EVENTS 1500

static struct model *m;
static struct shop_backing backing;

static struct model_params params(uint32_t max_items) {
    struct model_params p = shop_params();
    p.max_items = max_items;
    p.max_features = 1000;
    p.item_features = 8;
    p.affinity_history = 20;
    p.succession_history = 3;
    p.succession_features = 2;
    p.feature_scale = 100;
    p.blend_start[TERM_AFFINITY] = p.blend_start[TERM_SUCCESSION] = 0.3f;
    p.blend_start[TERM_FEATURE_TREND] = 0.01f;
    return p;
}

static void open_model(uint32_t max_items) {
    struct model_params p = params(max_items);
    struct user_backing b = {shop_get, &backing};
    assert_int_equal(model_new(&p, kernel_pick("auto"), 64 << 20, &b, 2, &m, NULL), 0);
}

static void describe(const char *id, const char *const *features, size_t n) {
    struct slice text[8];
    for (size_t k = 0; k < n; k++) text[k] = slice_str(features[k]);
    assert_int_equal(model_describe_item(m, slice_str(id), -1, INT64_MIN, slice_str("{}"), NULL), 0);
    assert_int_equal(model_set_features(m, slice_str(id), text, n, NULL), 0);
}
#define DESCRIBE(id, ...)                                                                                              \
    describe(id, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
static uint32_t row_of(const char *id) { return items_find(m->items, slice_str(id)); }

/* n items that share `words` features, one to four each; the last tenth has none. */
static void describe_many(uint32_t n, uint32_t words) {
    for (uint32_t i = 0; i < n; i++) {
        char id[16], text[4][16];
        const char *all[4];
        size_t count = i % 10 == 9 ? 0 : 1 + draw_bits(21, i) % 4, kept = 0;
        snprintf(id, sizeof id, "i%u", i);
        for (size_t k = 0; k < count; k++) {
            snprintf(text[k], sizeof text[k], "f:%u", (unsigned)(draw_bits(22, 4 * (uint64_t)i + k) % words));
            bool twice = false;
            for (size_t j = 0; j < kept; j++) twice = twice || strcmp(all[j], text[k]) == 0;
            if (!twice) all[kept++] = text[k];
        }
        describe(id, all, kept);
    }
}

static void learn_events(uint64_t n) {
    for (uint64_t k = 0; k < n; k++) assert_int_equal(shop_learn(m, k, NULL), 0);
    model_publish(m);
}

static struct history random_history(uint64_t seed, uint32_t n_items) {
    struct history h = {.n = 0};
    uint32_t n = (uint32_t)(draw_bits(31, seed) % 30);
    for (uint32_t k = 0; k < n; k++) {
        char id[16];
        snprintf(id, sizeof id, "i%u", (unsigned)(draw_bits(32, 64 * seed + k) % n_items));
        if (row_of(id) != ITEM_NONE) h.parts[h.n_known++] = (struct history_part){.row = row_of(id)};
    }
    return h;
}

/* --- the definition, in double --- */

static double n_of(uint32_t v) { return (double)m->features->rows[v].n; }
static double idf_of(uint32_t v) { return fmax(0.5, log2((items_described(m->items) + 1) / n_of(v)) + 0.5); }

static bool has(uint32_t item, uint32_t v, uint32_t most) {
    const struct feature_list *l = features_of(m->features, item);
    for (uint32_t k = 0; l && k < l->n && k < most; k++)
        if (l->feature[k] == v) return true;
    return false;
}

static double affinity_of(const struct history *h, uint32_t v) {
    double sum = 0;
    for (uint32_t r = 0; r < h->n_known && r < m->params.affinity_history; r++)
        if (has(h->parts[r].row, v, 8)) sum += 1 / (r + 0.5);
    return log2(1 + 100 * sum / n_of(v));
}

static double succession_of(const struct history *h, uint32_t v, int64_t clock_ms) {
    double sum = 0, half_life = (double)m->params.pair_half_life_ms;
    for (uint32_t r = 0; r < h->n_known && r < 3; r++) {
        double of_item = 0, idf = 0;
        for (uint32_t a = 0; a < m->features->n_rows; a++) {
            struct neighbour_list list;
            if (!has(h->parts[r].row, a, 2)) continue;
            idf += idf_of(a);
            assert_int_equal(neighbours_peek(m->features->successions, NEIGHBOUR_FORWARD, a, &list, NULL), 0);
            double count =
                exp2(feature_log_count(m->features, a) - (double)clock_ms / (double)m->params.count_half_life_ms);
            for (uint32_t k = 0; k < list.n; k++)
                if (list.row[k] == v)
                    of_item += idf_of(a) * list.weight[k] * exp2(-(double)(clock_ms - list.reference_ms) / half_life) /
                               (count + 5);
        }
        if (idf > 0) sum += pow(0.6, r) * of_item / idf;
    }
    return log2(1 + 100 * sum / n_of(v));
}

static double trend_of(uint32_t v, int64_t clock_ms) {
    double shift = (double)clock_ms / (double)m->params.trend_half_life_ms[1];
    return fmax(0, 8 + feature_trend(m->features, v) - shift - log2(n_of(v)));
}

static void near(double got, double want) {
    if (!(fabs(got - want) <= 2e-5 * fmax(1, fabs(want)))) fail_msg("%.9g instead of %.9g", got, want);
}

static void test_terms_are_those_of_the_definition(void **state) {
    (void)state;
    open_model(500);
    describe_many(300, 40);
    learn_events(EVENTS);
    struct content *c = content_new(&m->params);
    unsigned with_succession = 0, without = 0, with_lift = 0;
    for (uint64_t n = 0; n < 40; n++) {
        struct history h = random_history(n, 300);
        assert_int_equal(content_fill(c, m, &h, m->clock_ms, CONTENT_LEARNER, NULL), 0);
        for (uint32_t row = 0; row < 300; row++) {
            const struct feature_list *l = features_of(m->features, row);
            struct content_terms got;
            const float *term = got.term;
            double sum = 0, want[CONTENT_TERMS] = {0};
            assert_int_equal(content_terms(c, row, &got), l != NULL);
            for (uint32_t k = 0; l && k < l->n; k++) {
                uint32_t v = l->feature[k];
                sum += idf_of(v);
                want[0] += idf_of(v) * affinity_of(&h, v);
                want[1] += idf_of(v) * succession_of(&h, v, m->clock_ms);
                want[2] += idf_of(v) * trend_of(v, m->clock_ms);
            }
            want[3] = item_head(m->items, row)->live ? 0 : 8 * sum;
            for (int k = 0; k < CONTENT_TERMS; k++) near((double)term[k], l ? want[k] / sum : 0);
            for (int k = 0; k < MODEL_TRENDS; k++) {
                double ratio = log2((double)m->params.trend_half_life_ms[k] / (double)m->params.trend_half_life_ms[1]);
                bool lifted = l && !item_head(m->items, row)->live && want[2] > 0;
                near((double)got.lift[k], lifted ? fmax(0, want[2] / sum + ratio) : 0);
                with_lift += got.lift[k] > 0;
            }
            with_succession += term[1] > 0;
            without += !l;
        }
    }
    assert_true(with_succession > 1000 && without > 100 && with_lift > 100);
    content_free(c);
    model_free(m);
}

static void test_three_items_by_hand(void **state) {
    (void)state;
    struct content_terms got;
    const float *term = got.term;
    open_model(50);
    DESCRIBE("a", "red");
    DESCRIBE("b", "red", "shoe");
    DESCRIBE("c", "shoe", "big");
    struct history h = {.n_known = 1, .parts = {{.row = row_of("b")}}};
    struct content *c = content_new(&m->params);
    assert_int_equal(content_fill(c, m, &h, 0, CONTENT_LEARNER, NULL), 0);
    (void)content_terms(c, row_of("a"), &got); /* log2(1 + 100 * 2 / 2) */
    near((double)term[0], 6.658211482751795);
    (void)content_terms(c, row_of("c"), &got); /* idf: shoe log2(4/2) + 1/2, big log2(4/1) + 1/2 */
    near((double)term[0], 6.658211482751795 * 1.5 / 4);
    assert_true(term[1] == 0 && term[2] == 0);
    content_free(c);
    model_free(m);
}

static void test_pairs_are_counted_by_rank_and_learned_once(void **state) {
    (void)state;
    open_model(50);
    DESCRIBE("a", "va");
    DESCRIBE("b", "vb");
    DESCRIBE("c", "vc");
    static const char *const order[] = {"a", "b", "c", "c"};
    for (uint64_t n = 0; n < 4; n++) {
        struct slice item = slice_str(order[n]);
        struct model_event ev = {
            .place = {1, 0, n, 0}, .user = slice_str("u1"), .items = &item, .n_items = 1, .ts_ms = 0};
        assert_int_equal(model_learn(m, &ev, NULL), 0);
        model_publish(m);
    }
    struct neighbour_list list;
    uint32_t va = features_find(m->features, slice_str("va")), vb = features_find(m->features, slice_str("vb")),
             vc = features_find(m->features, slice_str("vc"));
    assert_int_equal(neighbours_peek(m->features->successions, NEIGHBOUR_FORWARD, va, &list, NULL), 0);
    assert_int_equal(list.n, 2);
    assert_int_equal(list.row[0], vb);
    assert_true(list.weight[0] == 1);
    assert_int_equal(list.row[1], vc);
    assert_true(list.weight[1] == 0.6f);
    near(feature_log_count(m->features, vc), 1); /* both events of c */
    model_free(m);
}

/* --- ranking --- */

static float any_weight(uint64_t seed, int f) {
    static const float some[] = {0, 0.02f, 0.3f, 1, 5};
    float w = some[draw_bits(41, 16 * seed + (uint64_t)f) % 5];
    return f == TERM_FEATURE_TREND && draw_bits(42, seed) & 1 ? -w : w;
}

struct query {
    struct topk_query q;
    float x[16];
    uint32_t excluded[40];
};

static void make_query(struct query *q, uint64_t seed, struct terms *terms, struct content *c, uint32_t n_rows) {
    float weight[TERMS];
    for (int f = 0; f < TERMS; f++) weight[f] = any_weight(seed, f);
    for (int k = 0; k < 16; k++) q->x[k] = (float)draw_unit(draw_bits(43, 16 * seed + (uint64_t)k)) - 0.5f;
    q->q = (struct topk_query){.x = q->x,
                               .terms = terms,
                               .content = c,
                               .tau = weight[TERM_EMBEDDING],
                               .clock_ms = m->clock_ms,
                               .wall_ms = m->clock_ms,
                               .k = 1 + (uint32_t)(draw_bits(44, seed) % 60),
                               .excluded = q->excluded};
    memcpy(q->q.mu, weight + TERM_TREND, sizeof q->q.mu);
    for (uint32_t row = (uint32_t)(seed % 7); q->q.n_excluded < seed % 40; row += 5)
        q->excluded[q->q.n_excluded++] = row;
    terms_begin(terms, m->clock_ms);
    for (uint64_t k = 0; k < draw_bits(45, seed) % 60; k++)
        terms_at(terms, (uint32_t)(draw_bits(46, 64 * seed + k) % n_rows))->value[0] = 0.5f;
    terms_weigh(terms, weight);
    content_weigh(c, weight, n_rows);
}

static void check_place(const struct query *q, struct topk *s, uint64_t seed, uint32_t n_rows) {
    static struct topk_hit all[20000], others[100];
    struct topk_query every = q->q, some = q->q;
    uint32_t row = (uint32_t)(draw_bits(47, seed) % n_rows), rank = 0,
             limit = 1 + (uint32_t)(draw_bits(48, seed) % 800);
    size_t n_all, n_others, place = 0;
    every.k = TOPK_MAX;
    assert_int_equal(topk_rank_naive(s, m->items, &every, all, &n_all, NULL), 0);
    while (place < n_all && all[place].row != row) place++;
    if (place == n_all) return;
    some.k = (uint32_t)(draw_bits(49, seed) % 50);
    assert_int_equal(topk_place(s, m->items, m->scan, &some, row, limit, &rank, others, &n_others, NULL), 0);
    assert_int_equal(rank, place < limit ? place : limit);
    for (size_t k = 0, at = 0; k < n_others; k++, at++) {
        at += all[at].row == row;
        assert_int_equal(others[k].row, all[at].row);
    }
}

/* Few features of many items each: not all of the strongest can be listed, and the rest is bounded. */
static void test_ranking_is_that_of_scoring_everything(void **state) {
    (void)state;
    const uint32_t n_rows = 9500;
    open_model(n_rows);
    describe_many(n_rows, 25);
    learn_events(EVENTS);
    struct content *c = content_new(&m->params);
    struct terms *terms = terms_new(&m->params);
    struct topk *s = topk_new(&m->params);
    unsigned bounded = 0, pruned = 0, cold = 0;
    for (uint64_t n = 0; n < 400; n++) {
        struct history h = random_history(n, n_rows);
        struct query q;
        static struct topk_hit got[100], want[100];
        size_t n_got, n_want;
        assert_int_equal(content_fill(c, m, &h, m->clock_ms, CONTENT_LEARNER, NULL), 0);
        make_query(&q, n, terms, c, n_rows);
        assert_int_equal(topk_rank_naive(s, m->items, &q.q, want, &n_want, NULL), 0);
        assert_int_equal(topk_rank(s, m->items, m->scan, &q.q, got, &n_got, NULL), 0);
        assert_false(topk_last(s).fell_back);
        pruned += topk_last(s).rescored < n_rows / 2;
        bounded += c->rest > 0 && c->n_rows < n_rows / 2;
        assert_int_equal(n_got, n_want);
        for (size_t k = 0; k < n_got; k++) {
            assert_int_equal(got[k].row, want[k].row);
            assert_memory_equal(&got[k].score, &want[k].score, sizeof(float));
            assert_true(topk_score(m->items, m->kernel, &q.q, got[k].row) == got[k].score);
            cold += !item_head(m->items, got[k].row)->live;
        }
        check_place(&q, s, n, n_rows);
    }
    assert_true(bounded > 100 && pruned > 100 && cold > 100);
    content_free(c);
    terms_free(terms);
    topk_free(s);
    model_free(m);
}

/* --- items that nobody has touched --- */

static struct recommend *open_taste(void) { /* u0 has red shoes only, of which there are more */
    struct recommend *r;
    open_model(500);
    for (uint32_t i = 0; i < 60; i++) {
        char id[16];
        snprintf(id, sizeof id, "i%u", i);
        DESCRIBE(id, i % 3 == 0 ? "f:red" : i % 3 == 1 ? "f:green" : "f:blue", "cat:shoe");
    }
    for (uint64_t n = 0; n < 400; n++) {
        char id[16], user[16];
        snprintf(user, sizeof user, "u%u", (unsigned)(n % 30));
        snprintf(id, sizeof id, "i%u", (unsigned)(draw_bits(51, n) % 20 * 3 + n % 3));
        struct slice item = slice_str(id);
        struct model_event ev = {.place = {1, 0, n, 0},
                                 .user = slice_str(user),
                                 .items = &item,
                                 .n_items = 1,
                                 .ts_ms = 1700000000000 + (int64_t)n * 1000};
        assert_int_equal(model_learn(m, &ev, NULL), 0);
    }
    assert_int_equal(recommend_new(m, 1, &r, NULL), 0);
    return r;
}

static size_t place_in(const struct recommend_answer *a, const char *id) {
    size_t k = 0;
    while (k < a->n && !slice_is(a->hits[k].id, id)) k++;
    return k;
}

static void test_a_description_alone_ranks(void **state) {
    (void)state;
    struct recommend *r = open_taste();
    struct recommend_request q = {.user = slice_str("u0"), .k = 100, .wall_ms = 1700000000000, .explain = true};
    struct recommend_answer a;
    DESCRIBE("red", "f:red", "cat:shoe");
    DESCRIBE("blue", "f:blue", "cat:shoe");
    describe("plain", NULL, 0);
    model_publish(m);
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    size_t red = place_in(&a, "red"), blue = place_in(&a, "blue");
    assert_true(red < blue && blue < a.n);
    assert_int_equal(place_in(&a, "plain"), a.n); /* nothing is said of it */
    assert_true(a.reasons[red].share[TERM_AFFINITY] > a.reasons[blue].share[TERM_AFFINITY]);
    for (size_t k = 0; k < a.n; k++) {
        double sum = 0;
        for (int f = 0; f < TERMS; f++) sum += (double)a.reasons[k].share[f];
        near(sum, (double)a.hits[k].score);
    }
    recommend_done(r);

    struct slice only[2] = {slice_str("red"), slice_str("plain")};
    struct recommend_request some = {.user = slice_str("u0"), .only = only, .n_only = 2};
    assert_int_equal(recommend_score(r, &some, &a, NULL), 0);
    assert_true(a.hits[0].score > a.hits[1].score);
    recommend_done(r);
    assert_int_equal(recommend_popular(r, 100, 1700000000000, &a, NULL), 0);
    assert_true(place_in(&a, "red") == a.n && a.n == m->items->n_live);
    recommend_done(r);
    assert_int_equal(recommend_similar(r, slice_str("i0"), 100, 1700000000000, &a, NULL), 0);
    assert_true(place_in(&a, "red") == a.n);
    recommend_done(r);

    assert_int_equal(model_describe_item(m, slice_str("red"), 0, INT64_MIN, slice_str("{}"), NULL), 0);
    model_publish(m);
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    assert_int_equal(place_in(&a, "red"), a.n); /* not available */
    recommend_done(r);
    assert_int_equal(model_erase_item(m, slice_str("blue"), NULL), 0);
    model_publish(m);
    assert_int_equal(recommend_rank(r, &q, &a, NULL), 0);
    assert_int_equal(place_in(&a, "blue"), a.n);
    recommend_done(r);
    recommend_free(r);
    model_free(m);
}

/* Described items teach the blend as targets, and are no negatives: nothing of theirs is learned. */
static void test_untouched_items_keep_their_start_values(void **state) {
    (void)state;
    struct recommend *r = open_taste();
    DESCRIBE("red", "f:red", "cat:shoe");
    const struct item_head *head = item_head(m->items, row_of("red"));
    struct item_head before = *head;
    float q[16];
    memcpy(q, item_q(m->items, row_of("red")), sizeof q);
    for (uint64_t n = 0; n < 300; n++) assert_int_equal(shop_learn(m, n, NULL), 0);
    assert_int_equal(head->known, ITEM_KNOWN | ITEM_DESCRIBED);
    assert_true(head->live == 0 && head->q_sum == before.q_sum && head->bias == before.bias);
    assert_memory_equal(q, item_q(m->items, row_of("red")), sizeof q);
    assert_int_equal(items_cold(m->items), 1);
    recommend_free(r);
    model_free(m);
}

/* Its start values are the mean of what items of its kind have learned, however the lists of these came about. */
static void test_an_untouched_item_starts_like_its_kin(void **state) {
    (void)state;
    struct recommend *r = open_taste();
    double want[2][16] = {{0}}, bias = 0, live[2] = {0}, idf[2];
    DESCRIBE("new", "f:red", "cat:shoe");
    uint32_t row = row_of("new"),
             v[2] = {features_find(m->features, slice_str("f:red")), features_find(m->features, slice_str("cat:shoe"))};
    struct item_head first = *item_head(m->items, row);
    assert_true(first.q_sum > 0 && first.q_sum < 1e-5f && first.live == 0);
    for (int k = 0; k < 2; k++) {
        idf[k] = log2(62.0 / n_of(v[k])) + 0.5;
        for (uint32_t i = 0; i < 60; i++) live[k] += has(i, v[k], 8) && item_head(m->items, i)->live;
    }
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < 60; i++) {
            if (!has(i, v[k], 8) || !item_head(m->items, i)->live) continue;
            double share = idf[k] / (idf[0] + idf[1]) / live[k];
            for (int d = 0; d < 16; d++) want[0][d] += share * (double)item_q(m->items, i)[d];
            for (int d = 0; d < 16; d++) want[1][d] += share * (double)item_y(m->items, i)[d];
            bias += share * (double)item_head(m->items, i)->bias;
        }
    for (int d = 0; d < 16; d++) near((double)item_q(m->items, row)[d], want[0][d]);
    for (int d = 0; d < 16; d++) near((double)item_y(m->items, row)[d], want[1][d]);
    near((double)first.bias, bias);

    float q[16];
    memcpy(q, item_q(m->items, row), sizeof q);
    for (uint32_t i = 57; i > 0; i -= 3) { /* the same lists, in another order */
        char id[16];
        snprintf(id, sizeof id, "i%u", i - i % 3);
        describe(id, NULL, 0);
        DESCRIBE(id, "f:red", "cat:shoe");
    }
    DESCRIBE("new", "f:red", "cat:shoe");
    assert_memory_equal(q, item_q(m->items, row), sizeof q);
    assert_true(item_head(m->items, row)->bias == first.bias);

    float touched[16];
    memcpy(touched, item_q(m->items, row_of("i1")), sizeof touched);
    DESCRIBE("i1", "f:red", "cat:shoe"); /* one that has learned keeps what it knows */
    assert_memory_equal(touched, item_q(m->items, row_of("i1")), sizeof touched);
    recommend_free(r);
    model_free(m);
}

static void test_an_erased_feature_is_forgotten(void **state) {
    (void)state;
    struct recommend *r = open_taste();
    uint32_t red = features_find(m->features, slice_str("f:red"));
    for (uint32_t i = 0; i < 60; i += 3) {
        char id[16];
        snprintf(id, sizeof id, "i%u", i);
        assert_int_equal(model_erase_item(m, slice_str(id), NULL), 0);
    }
    assert_int_equal(features_find(m->features, slice_str("f:red")), ITEM_NONE);
    assert_true(feature_trend(m->features, red) == ITEM_NO_TREND && feature_generation(m->features, red) == 1);
    DESCRIBE("new", "f:other");
    assert_int_equal(features_find(m->features, slice_str("f:other")), red);
    struct history h = {.n_known = 1, .parts = {{.row = row_of("i1")}}};
    struct content *c = content_new(&m->params);
    struct content_terms got;
    assert_int_equal(content_fill(c, m, &h, m->clock_ms, CONTENT_LEARNER, NULL), 0);
    assert_true(content_terms(c, row_of("new"), &got));
    assert_true(got.term[1] == 0); /* pairs of the feature that had the row are not its own */
    content_free(c);
    recommend_free(r);
    model_free(m);
}

static int tear_down(void **state) {
    (void)state;
    shop_free(&backing);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terms_are_those_of_the_definition),
        cmocka_unit_test(test_three_items_by_hand),
        cmocka_unit_test(test_pairs_are_counted_by_rank_and_learned_once),
        cmocka_unit_test(test_ranking_is_that_of_scoring_everything),
        cmocka_unit_test(test_a_description_alone_ranks),
        cmocka_unit_test(test_untouched_items_keep_their_start_values),
        cmocka_unit_test(test_an_untouched_item_starts_like_its_kin),
        cmocka_unit_test(test_an_erased_feature_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
