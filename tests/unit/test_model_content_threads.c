/* Answers while items are described, described anew, touched and erased: whole, in order, each item once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "lib/model/content.h"
#include "lib/model/recommend.h"
#include "tests/unit/model_shop.h"

#define ITEMS 300u
#define WORDS 12u /* so that features come and go */
#define STEPS 4000u

static struct model *m;
static _Atomic int done, answers; /* answers: -1 = one was wrong */

static void change(uint64_t n) {
    char id[16], text[3][16];
    struct slice features[3];
    size_t count = draw_bits(1, n) % 4, kept = 0;
    snprintf(id, sizeof id, "i%u", (unsigned)(draw_bits(2, n) % ITEMS));
    for (size_t k = 0; k < count; k++) {
        uint32_t word = (uint32_t)(draw_bits(3, 4 * n + k) % WORDS + (n / 100 % 3) * k);
        features[kept] = slice_of(text[k], (size_t)snprintf(text[k], sizeof text[k], "f:%u", word));
        bool twice = false;
        for (size_t j = 0; j < kept; j++) twice = twice || slice_equal(features[j], features[kept]);
        kept += !twice;
    }
    if (draw_bits(4, n) % 8 == 0) {
        assert_int_equal(model_erase_item(m, slice_str(id), NULL), 0);
        return;
    }
    assert_int_equal(model_describe_item(m, slice_str(id), -1, INT64_MIN, slice_str("{}"), NULL), 0);
    assert_int_equal(model_set_features(m, slice_str(id), features, kept, NULL), 0);
}

static bool in_order(const struct recommend_answer *a, bool each_once) {
    for (size_t k = 1; k < a->n; k++) {
        if (!(a->hits[k].score <= a->hits[k - 1].score)) return false;
        for (size_t j = 0; each_once && j < k; j++)
            if (slice_equal(a->hits[j].id, a->hits[k].id)) return false;
    }
    return true;
}

static void *ask(void *arg) {
    struct recommend *r = arg;
    for (uint64_t n = 0; !atomic_load(&done); n++) {
        char user[16];
        struct recommend_answer a;
        struct recommend_request q = {.k = ITEMS, .wall_ms = 1, .explain = n % 8 == 0};
        q.user = slice_of(user, (size_t)snprintf(user, sizeof user, "u%u", (unsigned)(n % SHOP_USERS)));
        bool good = recommend_rank(r, &q, &a, NULL) == 0 && in_order(&a, n % 16 == 0);
        recommend_done(r);
        atomic_store(&answers, good ? atomic_load(&answers) + 1 : -1);
        if (!good) break;
    }
    return NULL;
}

static void test_answers_while_descriptions_change(void **state) {
    (void)state;
    struct model_params p = shop_params();
    const struct user_backing b = {NULL, NULL};
    p.max_features = 100;
    p.item_features = 8;
    p.affinity_history = 20;
    p.succession_history = 3;
    p.succession_features = 2;
    p.feature_scale = 100;
    p.blend_start[TERM_AFFINITY] = p.blend_start[TERM_SUCCESSION] = 0.3f;
    p.blend_start[TERM_FEATURE_TREND] = 0.01f;
    assert_int_equal(model_new(&p, kernel_pick("auto"), 64 << 20, &b, 2, &m, NULL), 0);
    struct recommend *r;
    pthread_t reader;
    for (uint64_t n = 0; n < 200; n++) change(n);
    model_publish(m);
    assert_int_equal(recommend_new(m, 1, &r, NULL), 0);
    assert_int_equal(pthread_create(&reader, NULL, ask, r), 0);
    for (uint64_t n = 0; n < STEPS || (atomic_load(&answers) >= 0 && atomic_load(&answers) < 100); n++) {
        change(200 + n);
        assert_int_equal(shop_learn(m, n, NULL), 0);
        if (n % 4 == 0) model_publish(m);
    }
    atomic_store(&done, 1);
    pthread_join(reader, NULL);
    assert_true(atomic_load(&answers) >= 100);
    recommend_free(r);
    model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers_while_descriptions_change)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
