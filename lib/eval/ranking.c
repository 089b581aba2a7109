/* Full rankings. A target is ranked by counting what comes before it; the list of the best is kept as a heap. */
#include "lib/eval/ranking.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

struct ranking {
    uint32_t n_items;
    uint32_t *excluded; /* (n_items) round in which an item was excluded */
    uint32_t round;
};

/* What an item is ordered by. */
struct place {
    float score;
    double fallback;
    uint32_t item;
};

int ranking_new(uint32_t n_items, struct ranking **out, struct err *e) {
    CHECK(n_items > 0);
    struct ranking *r = mem_zalloc(sizeof *r);
    if (!r) return err_set(e, ERR_NOMEM, NULL, "no memory");
    r->n_items = n_items;
    r->excluded = mem_map((size_t)n_items * sizeof *r->excluded);
    if (!r->excluded) {
        ranking_free(r);
        return err_set(e, ERR_NOMEM, NULL, "no memory for rankings of %u items", n_items);
    }
    *out = r;
    return 0;
}

void ranking_free(struct ranking *r) {
    if (!r) return;
    mem_unmap(r->excluded, (size_t)r->n_items * sizeof *r->excluded);
    mem_free(r);
}

static struct place place_of(const struct ranking_question *q, uint32_t item) {
    float score = q->scores->of[item];
    return (struct place){
        .score = score == score ? score : SCORES_NONE,
        .fallback = q->fallback ? q->fallback[item] : 0,
        .item = item,
    };
}

static bool comes_before(struct place a, struct place b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.fallback != b.fallback) return a.fallback > b.fallback;
    return a.item < b.item;
}

static bool takes_part(const struct ranking *r, const struct ranking_question *q, uint32_t item) {
    return q->is_candidate[item] && r->excluded[item] != r->round;
}

static void exclude(struct ranking *r, const struct ranking_question *q) {
    CHECK(q->scores->n_items == r->n_items);
    if (++r->round == 0) {
        memset(r->excluded, 0, (size_t)r->n_items * sizeof *r->excluded);
        r->round = 1;
    }
    for (uint32_t k = 0; k < q->n_excluded; k++) r->excluded[q->excluded[k]] = r->round;
}

static uint32_t rank_of(const struct ranking *r, const struct ranking_question *q, uint32_t target) {
    if (!takes_part(r, q, target)) return RANKING_NONE;
    struct place t = place_of(q, target);
    bool scored = t.score != SCORES_NONE;
    const uint32_t *among = scored ? q->scores->items : q->candidates;
    uint32_t n = scored ? q->scores->n : q->n_candidates, above = 0;
    for (uint32_t k = 0; k < n; k++) above += comes_before(place_of(q, among[k]), t) && takes_part(r, q, among[k]);
    return above;
}

/* The heap of the best so far has the last of them at its top. */
static void sift_down(struct ranking_question const *q, uint32_t *heap, uint32_t n, uint32_t at) {
    uint32_t item = heap[at];
    struct place p = place_of(q, item);
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && comes_before(place_of(q, heap[child]), place_of(q, heap[child + 1]))) child++;
        if (comes_before(place_of(q, heap[child]), p)) break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void offer(const struct ranking_question *q, uint32_t *heap, uint32_t *n, uint32_t room, uint32_t item) {
    if (*n == room) {
        if (!comes_before(place_of(q, item), place_of(q, heap[0]))) return;
        heap[0] = item;
        sift_down(q, heap, room, 0);
        return;
    }
    uint32_t at = (*n)++;
    struct place p = place_of(q, item);
    for (; at > 0 && comes_before(place_of(q, heap[(at - 1) / 2]), p); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

/* Best first, in place. */
static void sort_heap(const struct ranking_question *q, uint32_t *heap, uint32_t n) {
    for (; n > 1; n--) {
        uint32_t last = heap[0];
        heap[0] = heap[n - 1];
        sift_down(q, heap, n - 1, 0);
        heap[n - 1] = last;
    }
}

static uint32_t best_of(const struct ranking *r, const struct ranking_question *q, uint32_t *best) {
    uint32_t n = 0, filled;
    for (uint32_t k = 0; k < q->scores->n && q->k > 0; k++) {
        uint32_t item = q->scores->items[k];
        if (q->scores->of[item] > SCORES_NONE && takes_part(r, q, item)) offer(q, best, &n, q->k, item);
    }
    sort_heap(q, best, n);
    if (n == q->k) return n;
    filled = n;
    n = 0;
    for (uint32_t k = 0; k < q->n_candidates; k++) {
        uint32_t item = q->candidates[k];
        if (!(q->scores->of[item] > SCORES_NONE) && takes_part(r, q, item))
            offer(q, best + filled, &n, q->k - filled, item);
    }
    sort_heap(q, best + filled, n);
    return filled + n;
}

void ranking_ask(struct ranking *r, const struct ranking_question *q, uint32_t *ranks, uint32_t *best,
                 uint32_t *n_best) {
    exclude(r, q);
    for (uint32_t k = 0; k < q->n_targets; k++) ranks[k] = rank_of(r, q, q->targets[k]);
    *n_best = best_of(r, q, best);
}

static int by_place(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    return comes_before(*x, *y) ? -1 : comes_before(*y, *x);
}

int ranking_ask_naive(struct ranking *r, const struct ranking_question *q, uint32_t *ranks, uint32_t *best,
                      uint32_t *n_best, struct err *e) {
    struct place *all = mem_alloc(((size_t)q->n_candidates + 1) * sizeof *all);
    if (!all) return err_set(e, ERR_NOMEM, NULL, "no memory");
    exclude(r, q);
    uint32_t n = 0;
    for (uint32_t k = 0; k < q->n_candidates; k++) {
        if (takes_part(r, q, q->candidates[k])) all[n++] = place_of(q, q->candidates[k]);
    }
    qsort(all, n, sizeof *all, by_place);
    for (uint32_t k = 0; k < q->n_targets; k++) {
        ranks[k] = RANKING_NONE;
        for (uint32_t at = 0; at < n && ranks[k] == RANKING_NONE; at++) {
            if (all[at].item == q->targets[k]) ranks[k] = at;
        }
    }
    *n_best = n < q->k ? n : q->k;
    for (uint32_t k = 0; k < *n_best; k++) best[k] = all[k].item;
    mem_free(all);
    return 0;
}
