/* One event at a time: time, rows, learning, statistics, publishing. */
#include "lib/model/model.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/ahead.h"
#include "lib/model/decay.h"
#include "lib/model/dedup.h"
#include "lib/model/exposed.h"
#include "lib/model/feature.h"
#include "lib/model/forget.h"
#include "lib/model/item_aside.h"
#include "lib/model/judge.h"
#include "lib/model/kin.h"
#include "lib/model/learn.h"
#include "lib/model/ops.h"
#include "lib/model/pairs.h"
#include "lib/model/recent.h"
#include "lib/model/segment.h"
#include "lib/model/succession.h"
#include "lib/model/used.h"

#define MAX_BASKET    10000
#define PREFETCH_ROWS 8u
#define PUBLISH_ROWS  1024u
#define WEIGHT_FADE   0.9999 /* of the mean weight, per pair that trains */
#define ADMITTED      8u     /* rows of each cache brought in for readers at a publish: some 30 us each */
#define OPS_LIMIT     (SIZE_MAX / 4)

static void add_stat(_Atomic uint64_t *s, uint64_t n) { atomic_fetch_add_explicit(s, n, memory_order_relaxed); }

static int check_params(const struct model_params *p, struct err *e) {
    if (p->dim < 16 || p->dim > MODEL_MAX_DIM || p->dim % 16)
        return err_set(e, ERR_RANGE, "model.dim", "%u is not a multiple of 16 from 16 to %d", p->dim, MODEL_MAX_DIM);
    if (p->negatives < 1 || p->negatives > MODEL_MAX_NEGATIVES)
        return err_set(e, ERR_RANGE, "model.negatives", "%u is outside 1 to %d", p->negatives, MODEL_MAX_NEGATIVES);
    if (p->exposed_items > MODEL_MAX_EXPOSED)
        return err_set(e, ERR_RANGE, "model.exposed_items", "%u is above %d", p->exposed_items, MODEL_MAX_EXPOSED);
    if (p->hard_pool > MODEL_MAX_POOL)
        return err_set(e, ERR_RANGE, "model.hard_pool", "%u is above %d", p->hard_pool, MODEL_MAX_POOL);
    if (p->history > MODEL_MAX_HISTORY || p->neighbour_history > MODEL_MAX_HISTORY ||
        p->lately_history > MODEL_MAX_HISTORY)
        return err_set(e, ERR_RANGE, "model.history", "%u, of neighbours %u and of baskets %u: one is above %d",
                       p->history, p->neighbour_history, p->lately_history, MODEL_MAX_HISTORY);
    if (p->item_features > MODEL_MAX_FEATURES || p->affinity_history > MODEL_MAX_HISTORY ||
        p->succession_history > SUCCESSION_MAX || p->succession_features > SUCCESSION_MAX)
        return err_set(e, ERR_RANGE, "model.item_features",
                       "at most %d features of an item, %d items of a history and %d for successions",
                       MODEL_MAX_FEATURES, MODEL_MAX_HISTORY, SUCCESSION_MAX);
    if (p->user_features > MODEL_MAX_FEATURES)
        return err_set(e, ERR_RANGE, "model.user_features", "%u is above %d", p->user_features, MODEL_MAX_FEATURES);
    if (p->n_types < 1 || p->n_types > MODEL_MAX_TYPES)
        return err_set(e, ERR_RANGE, "type", "%u event types, 1 to %d allowed", p->n_types, MODEL_MAX_TYPES);
    if (p->max_items < 1 || p->user_items < 1 || p->recent_events < 1)
        return err_set(e, ERR_RANGE, "model", "max_items, user_items and recent_events must be at least 1");
    return 0;
}

int model_new(const struct model_params *p, const struct kernel *k, uint64_t user_cache_bytes,
              const struct user_backing *backing, unsigned n_readers, struct model **out, struct err *e) {
    int rc = check_params(p, e);
    if (rc < 0) return rc;
    struct model *m = mem_zalloc(sizeof *m);
    if (!m) return err_set(e, ERR_NOMEM, "model", "no memory");
    m->params = *p;
    m->kernel = k;
    m->clock_ms = -1;
    atomic_init(&m->published_clock_ms, -1);
    buf_init(&m->ops, OPS_LIMIT);
    m->epoch = epoch_new(n_readers);
    m->learn = learn_new();
    m->used = used_new(&m->params);
    m->ahead = ahead_new();
    m->exposed = mem_zalloc(sizeof *m->exposed);
    m->judge = judge_new(&m->params);
    blend_init(&m->blend, &m->params);
    quality_init(&m->quality);
    drift_init(&m->drift, &m->params);
    if (!m->epoch || !m->learn || !m->used || !m->ahead || !m->exposed || !m->judge)
        rc = err_set(e, ERR_NOMEM, "model", "no memory");
    if (rc == 0) rc = items_new(&m->params, m->epoch, &m->ops, &m->items, e);
    if (rc == 0) rc = users_new(&m->params, user_cache_bytes, backing, m->epoch, &m->users, e);
    if (rc == 0) {
        struct neighbour_space of = {"item row", m->items->brief, &m->items->n_rows, p->max_items};
        rc = neighbours_new(&m->params, &of, m->epoch, &m->neighbours, e);
    }
    if (rc == 0) rc = features_new(&m->params, m->epoch, &m->ops, &m->features, e);
    if (rc == 0) rc = segments_new(&m->params, &m->segments, e);
    if (rc == 0) rc = scan_new(&m->params, k, &m->scan, e);
    if (rc == 0) rc = recent_new(p->recent_events, p->max_items, &m->recent, e);
    if (rc == 0 && p->popular_share > 0) rc = recent_weigh(m->recent, p->popular_exponent, e);
    if (rc == 0) rc = dedup_new(p->dedup_window, &m->dedup, e);
    if (rc == 0)
        *out = m;
    else
        model_free(m);
    return rc;
}

void model_free(struct model *m) {
    if (!m) return;
    dedup_free(m->dedup);
    recent_free(m->recent);
    scan_free(m->scan);
    features_free(m->features);
    segments_free(m->segments);
    neighbours_free(m->neighbours);
    users_free(m->users);
    items_free(m->items);
    ahead_free(m->ahead);
    learn_free(m->learn);
    used_free(m->used);
    mem_free(m->exposed);
    judge_free(m->judge);
    if (m->epoch) epoch_free(m->epoch);
    buf_free(&m->ops);
    mem_free(m);
}

int64_t model_event_time(const struct model *m, int64_t ts_ms, int64_t arrival_ms) {
    const struct model_params *p = &m->params;
    if (arrival_ms != INT64_MIN) return ts_ms > arrival_ms + p->max_ahead_ms ? arrival_ms : ts_ms;
    if (m->clock_ms < 0 || p->max_clock_step_ms < 0 || ts_ms - m->clock_ms <= p->max_clock_step_ms) return ts_ms;
    return m->clock_ms + p->max_clock_step_ms;
}

void model_move_clock(struct model *m, int64_t t) {
    if (t < m->clock_ms) add_stat(&m->stats.late, 1);
    if (t > m->clock_ms) m->clock_ms = t;
}

bool model_seen(const struct model *m, struct hash128 id) { return dedup_seen(m->dedup, id); }
int model_prepare(struct model *m) { return dedup_prepare(m->dedup); }
void model_remember(struct model *m, struct hash128 id) { dedup_add(m->dedup, id); }

/* Whether every item of the event has a row or can get one. */
static int check_room(struct model *m, const struct model_event *ev, struct err *e) {
    uint32_t fresh = 0;
    for (size_t n = 0; n < ev->n_items; n++) fresh += items_find(m->items, ev->items[n]) == ITEM_NONE;
    if (m->items->n_known + fresh <= m->items->max_items) return 0;
    add_stat(&m->stats.items_full, 1);
    return err_set(e, ERR_FULL, "items", "%u new items beside %u known would pass model.max_items = %u", fresh,
                   m->items->n_known, m->items->max_items);
}

/* Rows of all items of an event, new ones made. What was made when memory ran out stays: the event comes again. */
static int find_rows(struct model *m, const struct model_event *ev, uint32_t *rows, struct err *e) {
    int rc = 0;
    for (size_t n = 0; n < ev->n_items && rc == 0; n++) {
        rows[n] = items_find(m->items, ev->items[n]);
        if (rows[n] == ITEM_NONE) rc = items_add(m->items, ev->items[n], &rows[n], e);
    }
    return rc;
}

static float weight_of(const struct model_event *ev) { return ev->treatment ? ev->treatment->weight : 1; }
static bool stays_apart(const struct model_event *ev) { return ev->treatment && ev->treatment->apart; }

static void count_event(struct model *m, uint32_t row, int64_t t, float weight) {
    const struct model_params *p = &m->params;
    struct item_head *head = item_head(m->items, row), next = *head;
    double shift = weight != 1 ? fm_log2((double)weight) : 0;
    for (int h = 0; h < MODEL_TRENDS; h++)
        next.trend[h] = decay_add(next.trend[h], (double)t / (double)p->trend_half_life_ms[h] + shift);
    double late = (double)(t - next.count_ms) / (double)p->count_half_life_ms;
    if (late >= 0) {
        next.count = next.count * (float)fm_exp2(-late) + weight;
        next.count_ms = t;
    } else {
        next.count += (float)fm_exp2(late) * weight;
    }
    items_set_live(m->items, row, true);
    next.live = head->live;
    item_change(m->items, row);
    item_begin(head);
    item_store_head(head, &next);
    item_end(head);
    item_note(m->items, row);
    recent_add(m->recent, row);
    if (next.known & ITEM_DESCRIBED) features_count(m->features, row, t, shift);
}

static bool is_negative(const struct model_params *p, uint32_t type) { return p->negative_types >> type & 1; }

/* The moment that an event is judged and learned at: the model clock, or its own time if that is later. */
static int64_t now(const struct model *m, const struct model_event *ev) {
    return ev->ts_ms > m->clock_ms ? ev->ts_ms : m->clock_ms;
}

static float best_weight(const struct model_params *p, uint16_t types) {
    float w = 0;
    for (uint32_t t = 0; t < p->n_types; t++)
        if ((unsigned)types >> t & 1u && !is_negative(p, t) && p->types[t].weight > w) w = p->types[t].weight;
    return w;
}

/* The entry of an item in a user's row, or n. Newest first: repeats are mostly recent. */
static uint32_t find_entry(const struct user_entry *entries, uint32_t n, uint32_t row, uint16_t generation) {
    for (uint32_t k = n; k-- > 0;)
        if (entries[k].row == row && entries[k].generation == generation) return k;
    return n;
}

static void note_use(const struct model_params *p, struct user_entry *entry, uint32_t type) {
    if (!is_negative(p, type)) entry->types = (uint16_t)(entry->types & ~p->negative_types);
    entry->types = (uint16_t)(entry->types | 1u << type);
    if (entry->count < UINT16_MAX) entry->count = (uint16_t)(entry->count + 1) & UINT16_MAX;
}

/* True when the item is the newest of the user's now. An event that stays apart leaves an item that he has where it is.
 */
static bool remember_item(struct model *m, struct user_row *user, uint32_t at, uint32_t row,
                          const struct model_event *ev, bool together) {
    const struct model_params *p = &m->params;
    struct user_entry *entries = user_entries(user, p->dim);
    struct user_entry entry = {.row = row & USER_ROW_BITS,
                               .generation = (uint16_t)item_head(m->items, row)->generation};
    bool apart = stays_apart(ev);
    if (at < user->n && apart) {
        bool told = user_entry_tells(&entries[at], p);
        note_use(p, &entries[at], ev->type);
        if (!told) entries[at].apart = 1;
        return false;
    }
    if (at < user->n) {
        entry = entries[at];
    } else if (user->n >= p->user_items) { /* more when params.user_items was larger once */
        uint32_t drop = user->n - p->user_items;
        memmove(entries, entries + drop, (user->n - drop) * sizeof *entries);
        user->n -= drop;
        at = 0;
        add_stat(&m->stats.forgotten, drop + 1);
    }
    if (at < user->n) { /* the next one begins its event now, if this one did */
        if (at + 1 < user->n && !entries[at].together) entries[at + 1].together = 0;
        memmove(entries + at, entries + at + 1, (user->n - at - 1) * sizeof *entries);
        user->n--;
    }
    entry.apart = apart;
    entry.together = together && user->n > 0;
    if ((uint64_t)ev->ts_ms > entry.time_ms) entry.time_ms = (uint64_t)ev->ts_ms & ((UINT64_C(1) << 48) - 1);
    note_use(p, &entry, ev->type);
    entries[user->n++] = entry;
    return true;
}

/* Weights matter relative to each other: a log of purchases alone learns as one of clicks alone. 1 / (mean weight of
 * the types of the pairs that trained lately, this one included; those of what was not wanted are left out). */
static float relative_weight(struct model *m, uint32_t type) {
    if (!is_negative(&m->params, type)) {
        m->weights.n = WEIGHT_FADE * m->weights.n + 1;
        m->weights.sum = WEIGHT_FADE * m->weights.sum + (double)m->params.types[type].weight;
    }
    return m->weights.sum > 0 ? (float)(m->weights.n / m->weights.sum) : 1;
}

/* What the user does not want: a recent item of his, drawn, is learned as better. Nothing is counted. As remember_item.
 */
static bool learn_unwanted(struct model *m, struct user_row *user, const struct history *h, const uint32_t *rows,
                           const struct model_event *ev, uint32_t index, bool together, float late_weight) {
    const struct model_params *p = &m->params;
    uint32_t row = rows[index], better[MODEL_MAX_HISTORY], n = 0;
    uint32_t at = find_entry(user_entries(user, p->dim), user->n, row, (uint16_t)item_head(m->items, row)->generation);
    struct draw_place place = ev->place;
    place.index = index;
    for (size_t k = 0; k < h->n_known; k++)
        if (h->parts[k].row != row) better[n++] = h->parts[k].row;
    float w = p->types[ev->type].weight * late_weight * weight_of(ev) * relative_weight(m, ev->type);
    if (n > 0 && w > 0) {
        uint64_t bits = draw_bits(draw_key(p->seed, &place, DRAW_SWAP), 0);
        struct learn_target target = {
            .item = better[draw_below(bits, n)], .weight = w, .count = 1, .place = &place, .over = row};
        learn_pair(m->learn, m, user, h, &target);
    }
    used_add(m->used, row);
    return remember_item(m, user, at, row, ev, together);
}

static bool learn_item(struct model *m, struct user_row *user, const struct history *h, const uint32_t *rows,
                       const struct model_event *ev, uint32_t index, bool together, float late_weight) {
    uint32_t row = rows[index];
    const struct model_params *p = &m->params;
    struct user_entry *entries = user_entries(user, p->dim);
    uint32_t at = find_entry(entries, user->n, row, (uint16_t)item_head(m->items, row)->generation);
    float w = p->types[ev->type].weight;
    if (at < user->n && (int64_t)entries[at].time_ms < drift_history_from(&m->drift)) /* a pair that teaches anew */
        entries[at].types &= p->negative_types;
    if (at < user->n && !p->types[ev->type].repeats) w -= best_weight(p, entries[at].types);
    w *= late_weight * weight_of(ev);
    forget_item(m, row, ev->ts_ms);
    if (w > 0) {
        struct draw_place place = ev->place;
        place.index = index;
        struct learn_target target = {.item = row,
                                      .weight = w * relative_weight(m, ev->type),
                                      .count = 1 + (at < user->n ? (float)entries[at].count : 0),
                                      .place = &place,
                                      .over = ITEM_NONE};
        learn_pair(m->learn, m, user, h, &target);
        pairs_count(m, h, rows, index, w / p->types[ev->type].weight, ev->ts_ms);
        succession_count(m, h, row, w / p->types[ev->type].weight, ev->ts_ms);
        segments_count(m, h, row, w / p->types[ev->type].weight, ev->ts_ms);
    }
    if (at < user->n) add_stat(&m->stats.repeats, 1);
    count_event(m, row, ev->ts_ms, weight_of(ev));
    segments_count_all(m, weight_of(ev), ev->ts_ms);
    used_add(m->used, row);
    return remember_item(m, user, at, row, ev, together);
}

/* What the user's first n entries hold of his history: of those from before the model forgot, nothing. */
static void history_now(struct history *h, const struct model *m, const struct user_row *user, uint32_t n, int64_t t) {
    const struct user_entry *entries = user_entries(user, m->params.dim);
    uint32_t kept = user_entries_since(entries, n, drift_history_from(&m->drift));
    history_of(h, m->items, entries + (n - kept), kept, t);
    history_add_segments(h, &m->params, user);
}

/* The items of a basket in order, each with the history of before the basket: those of them that it holds have moved to
 * its end, and leave it. */
static void learn_items(struct model *m, struct user_row *user, struct history *h, const uint32_t *rows,
                        const struct model_event *ev, float late_weight) {
    uint32_t moved = 0;
    for (uint32_t k = 0; k < ev->n_items; k++) {
        if (k > 0) history_now(h, m, user, user->n - moved, now(m, ev));
        bool newest = is_negative(&m->params, ev->type)
                          ? learn_unwanted(m, user, h, rows, ev, k, moved > 0, late_weight)
                          : learn_item(m, user, h, rows, ev, k, moved > 0, late_weight);
        moved += newest && !pairs_among(rows, k, rows[k]);
        if (moved > user->n) moved = user->n; /* of a basket longer than what is remembered */
    }
}

int model_learn(struct model *m, const struct model_event *ev, struct err *e) {
    CHECK(ev->n_items > 0 && ev->n_items <= MAX_BASKET && ev->type < m->params.n_types);
    int rc = check_room(m, ev, e);
    if (rc < 0) return rc;
    uint32_t few[32], *rows = ev->n_items <= 32 ? few : mem_alloc(ev->n_items * sizeof *rows);
    if (!rows) return err_set(e, ERR_NOMEM, "items", "no memory for %zu items", ev->n_items);
    struct user_row *user;
    rc = users_touch(m->users, ev->user, &user, e);
    if (rc == 0) {
        size_t room = user->n + ev->n_items;
        rc = users_reserve(m->users, &user, room > m->params.user_items ? m->params.user_items : (uint32_t)room, e);
    }
    if (rc == 0) rc = find_rows(m, ev, rows, e);
    struct history h;
    if (rc == 0) {
        history_now(&h, m, user, user->n, now(m, ev));
        used_set(m->used, m->items, user_entries(user, m->params.dim), user->n);
        if (m->params.exposed_share > 0) exposed_set(m->exposed, m, user, rows, (uint32_t)ev->n_items, ev->ts_ms);
        rc = pairs_touch(m, user, rows, (uint32_t)ev->n_items, e);
        if (rc == 0) rc = succession_touch(m, user, rows, (uint32_t)ev->n_items, e);
        if (rc == 0) rc = segments_touch(m, &h, (uint32_t)ev->n_items, e);
    }
    if (rc == 0) rc = judge_event(m->judge, m, user, &h, ev, rows, e);
    if (rc == 0) {
        model_move_clock(m, ev->ts_ms);
        int64_t half_life = m->params.types[ev->type].late_half_life_ms;
        if (half_life == 0) half_life = m->params.late_half_life_ms;
        float late = (float)fm_exp2(-(double)(m->clock_ms - ev->ts_ms) / (double)half_life);
        forget_user(m, user, ev->ts_ms);
        learn_items(m, user, &h, rows, ev, late);
        if (ev->ts_ms > user->last_ms) user->last_ms = ev->ts_ms;
    }
    if (rows != few) mem_free(rows);
    return rc;
}

void model_expect(struct model *m, const struct model_event *ev) { ahead_expect(m->ahead, m, ev); }

int model_describe_item(struct model *m, struct slice id, int available, int64_t expires_ms, struct slice text,
                        struct err *e) {
    uint32_t row = items_find(m->items, id);
    int rc = row == ITEM_NONE ? items_add(m->items, id, &row, e) : 0;
    if (rc == ERR_FULL) add_stat(&m->stats.items_full, 1);
    if (rc == 0 && ops_put(&m->ops, MODEL_PUT_ITEM_TEXT, id, text) < 0)
        rc = err_set(e, ERR_NOMEM, "items", "no memory for a description");
    return rc < 0 ? rc : items_describe(m->items, row, available, expires_ms, e);
}

/* Once it is done: an event that waits for a checkpoint comes again. */
static void note_left_out(struct model *m, size_t n, uint32_t most) {
    if (n > most) add_stat(&m->stats.features_left_out, n - most);
}

int model_set_features(struct model *m, struct slice id, const struct slice *features, size_t n, struct err *e) {
    uint32_t row = items_find(m->items, id);
    bool any = false;
    CHECK(row != ITEM_NONE);
    int rc = features_describe(m->features, row, features, n, &any, e);
    if (rc == 0) note_left_out(m, n, m->params.item_features);
    if (rc == 0) items_set_described(m->items, row, any);
    if (rc == 0) kin_start(m, row);
    return rc;
}

static int set_user_features(struct model *m, struct slice id, const struct slice *features, size_t n, struct err *e) {
    uint16_t rows[MODEL_MAX_FEATURES];
    struct user_row *user;
    if (m->params.user_features == 0) return 0; /* nobody gets a row for having some */
    int rc = users_touch(m->users, id, &user, e);
    if (rc == 0) rc = users_set_features(m->users, &user, rows, segments_rows(&m->params, features, n, rows), e);
    if (rc == 0) note_left_out(m, n, m->params.user_features);
    return rc;
}

int model_describe_user(struct model *m, struct slice id, struct slice text, const struct slice *features, size_t n,
                        struct err *e) {
    int rc = set_user_features(m, id, features, n, e);
    if (rc == 0 && ops_put(&m->ops, MODEL_PUT_USER_TEXT, id, text) < 0)
        rc = err_set(e, ERR_NOMEM, "users", "no memory for a description");
    return rc;
}

int model_erase_user(struct model *m, struct slice id, struct err *e) {
    int rc = users_erase(m->users, id, e);
    if (rc == 0 && ops_put(&m->ops, MODEL_DEL_USER_TEXT, id, slice_of("", 0)) < 0)
        rc = err_set(e, ERR_NOMEM, "users", "no memory for an erasure");
    return rc;
}

int model_erase_item(struct model *m, struct slice id, struct err *e) {
    if (ops_put(&m->ops, MODEL_DEL_ITEM_TEXT, id, slice_of("", 0)) < 0)
        return err_set(e, ERR_NOMEM, "items", "no memory for an erasure");
    uint32_t row = items_find(m->items, id);
    if (row == ITEM_NONE) return 0;
    if (ops_put_row(&m->ops, MODEL_DEL_NEIGHBOURS, row, slice_of("", 0)) < 0)
        return err_set(e, ERR_NOMEM, "items", "no memory for an erasure");
    int rc = model_set_features(m, id, NULL, 0, e);
    if (rc == 0) rc = neighbours_erase(m->neighbours, row, e);
    if (rc == 0) rc = items_remove(m->items, row, e);
    if (rc == 0) recent_remove(m->recent, row);
    return rc;
}

/* Rows in ascending order, so that neighbours share pages and lines: of one million items a twentieth is touched by a
 * thousand events, of a hundred thousand a third. */
void model_refresh_scan(struct model *m) {
    struct items *t = m->items;
    uint32_t rows[PUBLISH_ROWS], at = 0;
    for (uint32_t n; (n = marks_take(&t->touched, &at, rows, PUBLISH_ROWS)) > 0;) {
        for (uint32_t k = 0, asked = 0; k < n; k++) {
            for (; asked < n && asked <= k + PREFETCH_ROWS; asked++) {
                item_prefetch(t, rows[asked]);
                scan_prefetch(m->scan, rows[asked]);
            }
            if (marks_has(&t->counted, rows[k]))
                scan_put(m->scan, t, rows[k]);
            else
                scan_put_dense(m->scan, t, rows[k]);
        }
    }
    marks_clear(&t->counted);
}

static void admit(struct model *m, uint32_t most) {
    users_admit(m->users, most);
    neighbours_admit(m->neighbours, most);
    neighbours_admit(m->features->successions, most);
}

void model_admit(struct model *m, uint32_t most) {
    admit(m, most);
    epoch_reclaim(m->epoch); /* what gave way; it may be long until something is learned and published */
}

void model_publish(struct model *m) {
    const struct items *t = m->items;
    model_refresh_scan(m);
    item_aside_tend(t->aside);
    users_publish(m->users);
    neighbours_publish(m->neighbours);
    neighbours_publish(m->features->successions);
    admit(m, ADMITTED);
    blend_publish(&m->blend);
    quality_publish(&m->quality);
    drift_publish(&m->drift);
    atomic_store_explicit(&m->published_clock_ms, m->clock_ms, memory_order_release);
    atomic_store_explicit(&m->stats.ids_forgotten, dedup_forgotten(m->dedup), memory_order_relaxed);
    atomic_store_explicit(&m->stats.items, t->n_known, memory_order_relaxed);
    atomic_store_explicit(&m->stats.live, t->n_live, memory_order_relaxed);
    atomic_store_explicit(&m->features->published, m->features->n_known, memory_order_relaxed);
    epoch_reclaim(m->epoch);
}

int model_load_end(struct model *m, int64_t clock_ms, struct err *e) {
    int rc = items_load_end(m->items, e);
    if (rc == 0) rc = features_load_end(m->features, m->items, e);
    if (rc < 0) return rc;
    uint32_t n = atomic_load_explicit(&m->items->n_rows, memory_order_relaxed);
    for (uint32_t r = 0; r < n; r++) scan_put(m->scan, m->items, r);
    m->clock_ms = clock_ms;
    neighbours_set_aged(m->neighbours, m->drift.aged_ms);
    model_publish(m);
    return 0;
}
