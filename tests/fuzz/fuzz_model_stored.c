/* Any bytes as rows of the store: two bytes with the length of a user row, the user row, then one neighbour row that
 * stands for all. What is taken is whole: it gives the same bytes again, and answers are made from it; what is refused
 * says so. The other rows that are read at a start get all the bytes. */
#include <math.h>

#include "lib/model/blend.h"
#include "lib/model/drift.h"
#include "lib/model/feature.h"
#include "lib/model/quality.h"
#include "lib/model/recommend.h"
#include "lib/model/segment.h"
#include "lib/model/user.h"
#include "tests/unit/model_shop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : abort())
#define ITEMS           20u

static struct model *m;
static struct recommend *r;
static struct slice user_bytes, neighbour_bytes;

static int give(struct slice bytes, struct buf *out, struct err *e) {
    if (bytes.n == 0) return err_set(e, ERR_MISSING, "row", "no row");
    buf_clear(out);
    buf_add(out, bytes.p, bytes.n);
    return 0;
}

static int give_user(void *arg, struct slice id, struct buf *out, struct err *e) {
    (void)arg;
    return give(slice_equal(id, slice_str("stored")) ? user_bytes : slice_of(NULL, 0), out, e);
}

static int give_neighbours(void *arg, enum neighbour_kind kind, uint32_t a, struct buf *out, struct err *e) {
    (void)arg, (void)kind, (void)a;
    return give(neighbour_bytes, out, e);
}

/* Before leaks are looked for, which are not found in mapped memory. */
static void close_model(void) {
    recommend_free(r);
    model_free(m);
}

/* Items that hardly have rows of their own in the cache. */
static void open_model(void) {
    static const struct user_backing users = {give_user, NULL};
    struct model_params p = shop_params();
    struct slice red = slice_str("f:red");
    char id[16];
    p.max_features = 100;
    p.item_features = p.affinity_history = 8;
    p.feature_scale = 100;
    MUST(model_new(&p, kernel_pick("portable"), 1u << 20, &users, 2, &m, NULL) == 0);
    neighbours_set_backing(m->neighbours, 1u << 20, &(struct neighbour_backing){give_neighbours, NULL});
    for (unsigned i = 0; i < ITEMS; i++) {
        snprintf(id, sizeof id, "i%u", i);
        MUST(model_describe_item(m, slice_str(id), -1, INT64_MIN, slice_str("{}"), NULL) == 0);
        MUST(model_set_features(m, slice_str(id), &red, i % 2, NULL) == 0);
    }
    struct model_event ev = {.place = {.source = 1}, .user = slice_str("other"), .n_items = 1, .ts_ms = 1};
    struct slice item = slice_str("i0");
    ev.items = &item;
    MUST(model_learn(m, &ev, NULL) == 0);
    model_publish(m);
    MUST(recommend_new(m, 1, &r, NULL) == 0 && atexit(close_model) == 0);
}

static void take_user(void) {
    struct user_row *row = NULL;
    struct err e = {0};
    struct buf again;
    int rc = users_load(m->users, slice_str("stored"), &row, &e);
    if (rc < 0) {
        MUST(!row && (rc == ERR_MISSING || (rc == ERR_CORRUPT && e.text[0])));
        return;
    }
    buf_init(&again, 1u << 20);
    user_encode(row, m->params.dim, &again);
    MUST(slice_equal(slice_of(again.p, again.n), user_bytes));
    buf_free(&again);
    mem_free(row);
}

static void answer(void) {
    struct slice history[] = {slice_str("i3"), slice_str("i4")}, cart[] = {slice_str("i5")};
    struct recommend_request q = {
        .user = slice_str("stored"), .history = history, .n_history = 2, .k = ITEMS, .wall_ms = 1, .explain = true};
    struct recommend_answer a;
    struct err e = {0};
    for (int with_cart = 0; with_cart < 2; with_cart++) {
        q.cart = cart;
        q.n_cart = with_cart ? 1 : 0;
        int rc = recommend_rank(r, &q, &a, &e);
        MUST(rc == 0 || (rc == ERR_CORRUPT && e.text[0]));
        for (size_t k = 0; rc == 0 && k < a.n; k++) MUST(a.hits[k].id.n > 1 && a.hits[k].row < ITEMS);
        recommend_done(r);
    }
}

static void load(const uint8_t *data, size_t size) {
    struct slice all = slice_of((const char *)data, size);
    struct segments *segments;
    struct features *features;
    struct model_params p = m->params;
    struct blend blend;
    struct quality quality;
    struct drift drift;
    struct err e;
    struct buf ops;
    buf_init(&ops, 1u << 20);
    blend_init(&blend, &p);
    quality_init(&quality);
    drift_init(&drift, &p);
    (void)!blend_decode(&blend, all, &e);
    (void)!quality_decode(&quality, all, &e);
    (void)!drift_decode(&drift, all, &e);
    MUST(segments_new(&p, &segments, NULL) == 0 && features_new(&p, m->epoch, &ops, &features, NULL) == 0);
    (void)!segments_load(segments, size ? data[0] : 0, all, &e);
    (void)!features_load_row(features, 0, all, &e);
    (void)!features_load_block(features, 0, all, &e);
    (void)!features_load_list(features, 0, all, &e);
    segments_free(segments);
    features_free(features);
    buf_free(&ops);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!m) open_model();
    char *exact = malloc(size ? size : 1);
    MUST(exact);
    if (size) memcpy(exact, data, size);
    size_t n = size >= 2 ? data[0] | (size_t)data[1] << 8 : 0;
    if (size >= 2 && n > size - 2) n = size - 2;
    user_bytes = slice_of(exact + 2, n);
    neighbour_bytes = slice_of(exact + 2 + n, size >= 2 ? size - 2 - n : 0);
    take_user();
    answer();
    load(data, size);
    free(exact);
    return 0;
}
