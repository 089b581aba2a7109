/* Rankings that teach the blend. */
#include "lib/model/judge.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/blend.h"
#include "lib/model/segment.h"
#include "lib/model/terms.h"
#include "lib/model/topk.h"
#include "lib/model/used.h"

#define POPULAR_TREND 1     /* of the three half-lives: decayed popularity */
#define SCAN_FROM     8192u /* rows: from here on bounds are faster than scoring all; the ranking is the same */

struct judge {
    struct terms *terms;
    struct content *content;
    float x[MODEL_MAX_DIM];
    int64_t clock_ms;
    double shift[MODEL_TRENDS];
    struct topk *topk;
    uint32_t *used;                     /* (used_most) rows, ascending */
    struct topk_hit best[BLEND_OTHERS]; /* best first once ranked */
    size_t n_best;
    struct content_terms of_target;
    struct blend_example target, others[BLEND_OTHERS];
};

struct judge *judge_new(const struct model_params *p) {
    struct judge *j = mem_zalloc(sizeof *j);
    if (!j) return NULL;
    j->terms = terms_new(p);
    j->content = content_new(p);
    j->topk = topk_new(p);
    j->used = mem_alloc(used_most(p) * sizeof *j->used);
    if (j->terms && j->content && j->topk && j->used) return j;
    judge_free(j);
    return NULL;
}

void judge_free(struct judge *j) {
    if (!j) return;
    terms_free(j->terms);
    content_free(j->content);
    topk_free(j->topk);
    mem_free(j->used);
    mem_free(j);
}

static uint32_t n_candidates(const struct model *m) { return m->items->n_live + items_cold(m->items); }

/* One in so many targets is ranked. */
static uint32_t one_in(const struct model *m) {
    uint32_t every = (n_candidates(m) + JUDGE_ITEMS - 1) / JUDGE_ITEMS;
    return every > 2 ? every : 2;
}

static bool may_be_ranked(const struct model *m, uint32_t row) {
    return item_is_candidate(item_head(m->items, row)) && !used_has(m->used, row);
}

static bool chosen(const struct model *m, const struct model_event *ev, uint32_t index, uint32_t row) {
    struct draw_place place = ev->place;
    place.index = index;
    uint64_t key = draw_key(m->params.seed, &place, DRAW_BLEND);
    return draw_below(draw_bits(key, 0), one_in(m)) == 0 && may_be_ranked(m, row);
}

/* The state before the event, as a request at its time would see it. */
static int prepare(struct judge *j, const struct model *m, const struct user_row *user, const struct history *h,
                   const struct model_event *ev, struct err *e) {
    const struct model_params *p = &m->params;
    int rc = 0;
    j->clock_ms = ev->ts_ms > m->clock_ms ? ev->ts_ms : m->clock_ms;
    for (int k = 0; k < MODEL_TRENDS; k++) j->shift[k] = (double)j->clock_ms / (double)p->trend_half_life_ms[k];
    history_vector(h, m->items, m->kernel, user->n > 0 ? user->p : NULL, false, j->x);
    terms_begin(j->terms, j->clock_ms);
    for (uint32_t k = 0; k < terms_n_asks(h) && rc == 0; k++) {
        struct terms_ask ask = terms_ask(h, k);
        uint32_t row = h->parts[ask.part].row;
        rc = neighbours_peek(m->neighbours, ask.kind, row, &j->terms->list, e);
        if (rc == 0) terms_add_list(j->terms, m->items, ask.kind, &j->terms->list, row, ask.near);
    }
    if (rc == 0) rc = segments_fill(j->terms, m, h, SEGMENT_LEARNER, e);
    if (rc == 0) rc = content_fill(j->content, m, h, j->clock_ms, CONTENT_LEARNER, e);
    return rc;
}

static void example_of(const struct judge *j, const struct model *m, uint32_t row, struct blend_example *x,
                       struct content_terms *c) {
    const struct item_head *head = item_head(m->items, row);
    const struct terms_row *sparse = terms_find(j->terms, row);
    memset(x, 0, sizeof *x);
    memset(c, 0, sizeof *c);
    if (sparse) memcpy(x->term, sparse->value, sizeof sparse->value);
    if (head->q_sum > 0)
        x->term[TERM_EMBEDDING] = m->kernel->dot(j->x, item_q(m->items, row), m->items->dim) + head->bias;
    if (j->content->of && content_terms(j->content, row, c)) memcpy(x->term + TERM_CONTENT, c->term, sizeof c->term);
    for (int h = 0; h < MODEL_TRENDS; h++) {
        double trend = head->trend[h] - j->shift[h];
        x->term[TERM_TREND + h] = (float)(trend < TOPK_TREND_FLOOR ? TOPK_TREND_FLOOR : trend);
    }
}

/* As topk_score does it: the same operations in the same order. */
static float score_of(const float *term, const struct content_terms *c, const float *weight) {
    float score = weight[TERM_EMBEDDING] * term[TERM_EMBEDDING], sparse = 0;
    for (int h = TERM_TREND; h < TERM_TREND + MODEL_TRENDS; h++)
        if (weight[h] != 0) score += weight[h] * term[h];
    for (int f = 0; f < TERMS_SPARSE; f++) sparse += weight[f] * term[f];
    return score + sparse + content_sum(weight, c);
}

static bool before(struct topk_hit a, struct topk_hit b) {
    return a.score > b.score || (a.score == b.score && a.row < b.row);
}

/* Keeps the best, worst on top of the heap. */
static void offer(struct judge *j, struct topk_hit hit) {
    struct topk_hit *heap = j->best;
    size_t at = j->n_best;
    if (at == BLEND_OTHERS) {
        at = 0;
        for (size_t child; (child = 2 * at + 1) < BLEND_OTHERS; at = child) {
            if (child + 1 < BLEND_OTHERS && before(heap[child], heap[child + 1])) child++;
            if (before(heap[child], hit)) break;
            heap[at] = heap[child];
        }
    } else {
        for (j->n_best++; at > 0 && !before(hit, heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    }
    heap[at] = hit;
}

static void sort_best(struct judge *j) {
    for (size_t k = 1; k < j->n_best; k++) {
        struct topk_hit hit = j->best[k];
        size_t at = k;
        for (; at > 0 && before(hit, j->best[at - 1]); at--) j->best[at] = j->best[at - 1];
        j->best[at] = hit;
    }
}

struct ranks {
    uint32_t learned, start; /* of the target by either weights; BLEND_REACH and BLEND_CUT stand for more */
    uint32_t popular;        /* by POPULAR_TREND alone; QUALITY_CUT stands for more */
};

static struct topk_hit by_popularity(const struct blend_example *x, uint32_t row) {
    return (struct topk_hit){.score = x->term[TERM_TREND + POPULAR_TREND], .row = row};
}

/* Every row is scored once, with both weights. */
static struct ranks rank_all(struct judge *j, const struct model *m, uint32_t target, const float *learned) {
    const struct items *t = m->items;
    const float *start = m->params.blend_start;
    uint32_t n_rows = atomic_load_explicit(&t->n_rows, memory_order_relaxed);
    struct ranks ranks = {0, 0, 0};
    struct topk_hit least = {.score = score_of(j->target.term, &j->of_target, learned), .row = target},
                    least_start = {.score = score_of(j->target.term, &j->of_target, start), .row = target},
                    least_popular = by_popularity(&j->target, target);
    struct blend_example x;
    struct content_terms c;
    j->n_best = 0;
    for (uint32_t row = 0; row < n_rows; row++) {
        if (!item_is_candidate(item_head(t, row)) || row == target || !item_shown(t, row, j->clock_ms)) continue;
        example_of(j, m, row, &x, &c);
        struct topk_hit hit = {.score = score_of(x.term, &c, learned), .row = row},
                        by_start = {.score = score_of(x.term, &c, start), .row = row};
        bool above = before(hit, least), above_start = before(by_start, least_start);
        bool contends = j->n_best < BLEND_OTHERS || before(hit, j->best[0]);
        bool above_popular = ranks.popular < QUALITY_CUT && before(by_popularity(&x, row), least_popular);
        if (!(above || above_start || above_popular || contends) || used_has(m->used, row)) continue;
        ranks.learned += above;
        ranks.start += above_start;
        ranks.popular += above_popular;
        if (contends) offer(j, hit);
    }
    sort_best(j);
    return ranks;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int rank_by_scan(struct judge *j, struct model *m, uint32_t target, const float *learned, struct ranks *ranks,
                        struct err *e) {
    uint32_t n_rows = atomic_load_explicit(&m->items->n_rows, memory_order_relaxed);
    struct topk_query q = {.x = j->x, .terms = j->terms, .clock_ms = j->clock_ms, .wall_ms = j->clock_ms};
    q.content = j->content->of ? j->content : NULL;
    q.excluded = j->used;
    q.n_excluded = m->used->n;
    memcpy(j->used, m->used->rows, q.n_excluded * sizeof *j->used);
    qsort(j->used, q.n_excluded, sizeof *j->used, ascending);
    model_refresh_scan(m);
    const float *weights[] = {learned, m->params.blend_start};
    uint32_t limit[] = {BLEND_REACH, BLEND_CUT}, rank[3];
    size_t ignored;
    int rc = 0;
    for (int k = 0; k < 2 && rc == 0; k++) {
        terms_weigh(j->terms, weights[k]);
        content_weigh(j->content, weights[k], n_rows);
        q.tau = weights[k][TERM_EMBEDDING];
        memcpy(q.mu, weights[k] + TERM_TREND, sizeof q.mu);
        q.k = k == 0 ? BLEND_OTHERS : 0;
        rc = topk_place(j->topk, m->items, m->scan, &q, target, limit[k], &rank[k], j->best,
                        k == 0 ? &j->n_best : &ignored, e);
    }
    q.x = NULL;
    q.terms = NULL;
    q.content = NULL;
    memset(q.mu, 0, sizeof q.mu);
    q.mu[POPULAR_TREND] = 1;
    if (rc == 0) rc = topk_place(j->topk, m->items, m->scan, &q, target, QUALITY_CUT, &rank[2], j->best, &ignored, e);
    if (rc == 0) *ranks = (struct ranks){rank[0], rank[1], rank[2]};
    return rc;
}

/* What the trends of an untouched item are taken for is what their weights learn from. */
static void add_lift(struct blend_example *x, const struct content_terms *c) {
    for (int h = 0; h < MODEL_TRENDS; h++) x->term[TERM_TREND + h] += c->lift[h];
}

static void teach(struct judge *j, struct model *m, uint32_t bucket, uint32_t rank) {
    for (size_t k = 0; k < j->n_best; k++) {
        struct content_terms c;
        example_of(j, m, j->best[k].row, &j->others[k], &c);
        add_lift(&j->others[k], &c);
        j->others[k].score = j->best[k].score;
    }
    add_lift(&j->target, &j->of_target);
    blend_learn(&m->blend, bucket, rank, &j->target, j->others, (uint32_t)j->n_best);
}

/* One ranking: where the target stands with either weights, and what follows from it. */
static int judge_target(struct judge *j, struct model *m, uint32_t bucket, uint32_t row, struct ranks *ranks,
                        struct err *e) {
    const float *learned = m->blend.bucket[bucket].weight;
    int rc = 0;
    example_of(j, m, row, &j->target, &j->of_target);
    j->target.score = score_of(j->target.term, &j->of_target, learned);
    if (n_candidates(m) < SCAN_FROM)
        *ranks = rank_all(j, m, row, learned);
    else
        rc = rank_by_scan(j, m, row, learned, ranks, e);
    if (rc == 0 && ranks->learned < BLEND_REACH && m->params.blend_step > 0) teach(j, m, bucket, ranks->learned);
    return rc;
}

/* The place that the weights gave which serve. */
static void note_case(struct quality_event *seen, const struct blend *b, uint32_t bucket, const struct ranks *ranks) {
    bool learned_serves = blend_weights(b, bucket) == b->bucket[bucket].weight;
    uint32_t rank = learned_serves ? ranks->learned : ranks->start;
    quality_case(seen, rank, blend_gain(b, rank), ranks->popular, blend_gain(b, ranks->popular));
}

static void note_event(const struct judge *j, struct model *m, const struct quality_event *seen, uint32_t bucket,
                       const struct model_event *ev) {
    quality_note(&m->quality, seen, bucket % (BLEND_USERS / 2), ev->type);
    double difference = seen->model[QUALITY_NDCG] - seen->popular[QUALITY_NDCG];
    if (drift_note(&m->drift, hash_slice(ev->user), j->clock_ms, difference, seen->cases))
        neighbours_set_aged(m->neighbours, m->drift.aged_ms);
}

/* The rest of the basket as a cart, which is asked in place of the history for what baskets had lately; its items count
 * as used. */
static int fill_cart(struct judge *j, struct model *m, const uint32_t *rows, uint32_t n, uint32_t target,
                     struct err *e) {
    uint32_t in_cart = 0;
    int rc = 0;
    terms_clear(j->terms, TERM_LATELY);
    for (uint32_t k = 1; k < n && in_cart < TERMS_CART && rc == 0; k++) {
        uint32_t row = rows[(target + k) % n];
        if (row == rows[target] || used_has(m->used, row)) continue;
        in_cart++;
        used_add(m->used, row);
        for (int kind = TERMS_OF_CART; kind < TERMS_SPARSE && rc == 0; kind++) {
            rc = neighbours_peek(m->neighbours, (enum neighbour_kind)kind, row, &j->terms->list, e);
            if (rc == 0) terms_add_list(j->terms, m->items, (enum neighbour_kind)kind, &j->terms->list, row, 1);
        }
    }
    return rc;
}

/* One item of a basket, drawn, is ranked once more as what the others in a cart ask for. */
static int judge_cart(struct judge *j, struct model *m, const struct user_row *user, const struct history *h,
                      const struct model_event *ev, const uint32_t *rows, bool prepared, struct err *e) {
    struct ranks ranks = {BLEND_REACH, BLEND_CUT, QUALITY_CUT};
    uint64_t key = draw_key(m->params.seed, &ev->place, DRAW_BLEND);
    uint32_t target = draw_below(draw_bits(key, 1), (uint32_t)ev->n_items);
    if (draw_below(draw_bits(key, 2), one_in(m)) != 0 || !may_be_ranked(m, rows[target])) return 0;
    uint32_t used = m->used->n;
    int rc = prepared ? 0 : prepare(j, m, user, h, ev, e);
    if (rc == 0) rc = fill_cart(j, m, rows, (uint32_t)ev->n_items, target, e);
    if (rc == 0) rc = judge_target(j, m, BLEND_CART, rows[target], &ranks, e);
    m->used->n = used; /* what the cart held is used no more */
    if (rc == 0)
        blend_judge(&m->blend, BLEND_CART, 1, blend_gain(&m->blend, ranks.learned), blend_gain(&m->blend, ranks.start));
    return rc;
}

int judge_event(struct judge *j, struct model *m, const struct user_row *user, const struct history *h,
                const struct model_event *ev, const uint32_t *rows, struct err *e) {
    uint32_t bucket = 0, n = 0;
    double learned = 0, start = 0;
    struct quality_event seen = {.cases = 0};
    int rc = 0;
    if (m->params.types[ev->type].weight <= 0 || (m->params.negative_types >> ev->type & 1)) return 0;
    for (uint32_t k = 0; k < ev->n_items && rc == 0; k++) {
        struct ranks ranks = {BLEND_REACH, BLEND_CUT, QUALITY_CUT};
        if (!chosen(m, ev, k, rows[k])) continue;
        if (n++ == 0) {
            rc = prepare(j, m, user, h, ev, e);
            uint32_t length =
                user_entries_since(user_entries(user, m->params.dim), user->n, drift_history_from(&m->drift));
            bucket = blend_bucket(length, j->clock_ms - user->last_ms);
        }
        if (rc == 0) rc = judge_target(j, m, bucket, rows[k], &ranks, e);
        if (rc < 0) return rc;
        learned += blend_gain(&m->blend, ranks.learned);
        start += blend_gain(&m->blend, ranks.start);
        note_case(&seen, &m->blend, bucket, &ranks);
    }
    if (n > 0) blend_judge(&m->blend, bucket, n, learned, start);
    if (n > 0) note_event(j, m, &seen, bucket, ev);
    return rc == 0 && ev->n_items > 1 ? judge_cart(j, m, user, h, ev, rows, n > 0, e) : rc;
}
