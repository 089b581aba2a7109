/* A small shop for tests of the model: parameters, a stream of events, a backing store in memory, a hash of the state.
 */
#ifndef RANKD_TESTS_MODEL_SHOP_H
#define RANKD_TESTS_MODEL_SHOP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/model.h"
#include "lib/model/recent.h"

#define SHOP_USERS 300

struct shop_row {
    char id[32];
    struct buf bytes;
    bool stored;
};

struct shop_backing { /* user rows outside the cache */
    struct shop_row rows[SHOP_USERS];
    unsigned reads;
};

static inline struct shop_row *shop_row(struct shop_backing *b, struct slice id) {
    char text[32] = {0};
    memcpy(text, id.p + 1, id.n - 1);
    return &b->rows[atoi(text)];
}

static inline int shop_get(void *arg, struct slice id, struct buf *out, struct err *e) {
    struct shop_backing *b = arg;
    struct shop_row *r = shop_row(b, id);
    b->reads++;
    if (!r->stored) return err_set(e, ERR_MISSING, "user", "no row");
    buf_clear(out);
    buf_add(out, r->bytes.p, r->bytes.n);
    return 0;
}

static inline void shop_free(struct shop_backing *b) {
    for (int u = 0; u < SHOP_USERS; u++)
        if (b->rows[u].stored) buf_free(&b->rows[u].bytes);
}

static inline struct model_params shop_params(void) {
    struct model_params p = {.dim = 16,
                             .seed = 7,
                             .max_items = 500,
                             .user_items = 24,
                             .negatives = 16,
                             .recent_events = 200,
                             .recent_share = 0.6f,
                             .step = 0.3f,
                             .under_root = 0.1f,
                             .start_item = 0.04f,
                             .start_user = 0.01f,
                             .clip = 10,
                             .history = 10,
                             .history_decay = 0.8f,
                             .late_half_life_ms = 86400000,
                             .count_half_life_ms = 86400000,
                             .trend_half_life_ms = {3600000, 86400000, 864000000},
                             .max_ahead_ms = 300000,
                             .max_clock_step_ms = 86400000,
                             .dedup_window = 2048,
                             .neighbours = 16,
                             .pair_half_life_ms = 864000000,
                             .successor_half_life_ms = 86400000,
                             .lately_half_life_ms = 604800000,
                             .lately_scale = 0.3f,
                             .user_features = 8,
                             .segment_scale = 300,
                             .lately_history = 30,
                             .neighbour_history = 10,
                             .neighbour_decay = 0.6f,
                             .neighbour_scale = 30,
                             .neighbour_shrink = 5,
                             .neighbour_popularity = 0.2f,
                             .basket_weight = 0.1f,
                             .blend_start = {1, 0.5f, 0.1f, 0.5f, 1, 1, 0.3f, 0.02f, 0.01f, 0},
                             .blend_step = 0.015f,
                             .blend_step_neighbours = 0.05f,
                             .n_types = 2};
    p.types[0] = (struct model_type){.weight = 1, .history_weight = 1};
    p.types[1] = (struct model_type){.weight = 2, .history_weight = 1};
    return p;
}

struct shop_event {
    char user[16], ids[4][16];
    struct slice items[4];
    struct model_event event; /* points into the others */
};

/* Event n of the stream: baskets, repeats, late ones and upgrades among them. */
static inline void shop_event(const struct model *m, uint64_t n, struct shop_event *out) {
    uint64_t bits = draw_bits(99, n);
    size_t count = bits % 10 == 0 ? 3 : 1;
    snprintf(out->user, sizeof out->user, "u%u", (unsigned)(draw_bits(98, n) % SHOP_USERS));
    for (size_t k = 0; k < count; k++) {
        uint64_t i = draw_bits(97, n * 4 + k);
        snprintf(out->ids[k], sizeof out->ids[k], "i%u", (unsigned)((i % 100) * (i >> 32 & 3)));
        out->items[k] = slice_str(out->ids[k]);
    }
    int64_t t = 1700000000000 + (int64_t)n * 20000 - (bits >> 20 & 15 ? 0 : 7000000);
    out->event = (struct model_event){.place = {.source = 1, .offset = n},
                                      .type = bits >> 30 & 3 ? 0 : 1,
                                      .user = slice_str(out->user),
                                      .items = out->items,
                                      .n_items = count,
                                      .ts_ms = model_event_time(m, t, INT64_MIN)};
}

static inline int shop_learn(struct model *m, uint64_t n, struct err *e) {
    struct shop_event s;
    shop_event(m, n, &s);
    return model_learn(m, &s.event, e);
}

/* One hash over all rows of items and users, ids, recent events and the clock; users may be in the cache or behind it.
 */
static inline uint64_t shop_hash(struct model *m) {
    uint64_t h = hash64(&m->clock_ms, sizeof m->clock_ms, 1);
    struct items *t = m->items;
    for (uint32_t r = 0; r < t->n_rows; r++) {
        struct slice id = items_id(t, r);
        h = hash64(id.p, id.n, h);
        h = hash64((char *)item_head(t, r) + 4, t->stride - 4, h);
    }
    h = hash64(m->recent->ring, recent_size(m->recent) * sizeof *m->recent->ring, h);
    struct buf bytes;
    buf_init(&bytes, 1u << 20);
    for (unsigned u = 0; u < SHOP_USERS; u++) {
        char id[16];
        snprintf(id, sizeof id, "u%u", u);
        struct user_row *loaded = NULL;
        const struct user_row *r = users_find(m->users, slice_str(id));
        if (!r && users_load(m->users, slice_str(id), &loaded, NULL) == 0) r = loaded;
        if (r && !r->erased) {
            buf_clear(&bytes);
            user_encode(r, t->dim, &bytes);
            h = hash64(bytes.p, bytes.n, h);
        }
        mem_free(loaded);
    }
    buf_free(&bytes);
    return h;
}

/* What the store thread does with users: all rows of a checkpoint into the backing. */
static inline void shop_store_users(struct model *m, struct shop_backing *b, struct user_list *l) {
    const struct user_row *r;
    epoch_enter(m->epoch, 0);
    while ((r = users_list_next(m->users, l))) {
        struct shop_row *row = shop_row(b, user_id(r, m->params.dim));
        if (row->stored) buf_free(&row->bytes);
        row->stored = !r->erased;
        if (r->erased) continue;
        buf_init(&row->bytes, 1u << 20);
        user_encode(r, m->params.dim, &row->bytes);
    }
    epoch_leave(m->epoch, 0);
}

#endif
