/* Exact top-k: bounds decide which rows are scored, scores decide the order. */
#include "lib/model/topk.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/topk_bound.h"

#define CANDIDATES 131072u /* more rows than this undecided at once: bounds are no use */
#define PREFETCH   6u      /* rows ahead */

struct topk {
    const struct kernel *kernel;
    struct bound bound;
    struct bounded *candidates; /* (CANDIDATES) rows that can still win, ascending */
    uint32_t n_candidates;
    struct topk_hit *lows; /* (TOPK_MAX) heap, worst on top: the k best lower bounds so far */
    uint32_t n_lows;
    float floor;           /* k rows have at least this score: known before the scan */
    struct topk_hit *best; /* (TOPK_MAX) heap, worst on top: the k best scores so far */
    uint32_t n_best;
    struct topk_work work;
    float q[MODEL_MAX_DIM];
};

/* What the score of every row has in common. */
struct scorer {
    const struct items *items;
    const struct kernel *kernel;
    const struct topk_query *query;
    double shift[MODEL_TRENDS];
    float root; /* of x . x, for cosines */
};

struct topk *topk_new(const struct model_params *p) {
    (void)p; /* sizes follow from TOPK_MAX alone */
    struct topk *s = mem_zalloc(sizeof *s);
    if (!s) return NULL;
    s->kernel = kernel_pick("auto");
    s->candidates = mem_map(CANDIDATES * sizeof *s->candidates);
    s->lows = mem_map(TOPK_MAX * sizeof *s->lows);
    s->best = mem_map(TOPK_MAX * sizeof *s->best);
    if (s->candidates && s->lows && s->best) return s;
    topk_free(s);
    return NULL;
}

void topk_free(struct topk *s) {
    if (!s) return;
    mem_unmap(s->candidates, CANDIDATES * sizeof *s->candidates);
    mem_unmap(s->lows, TOPK_MAX * sizeof *s->lows);
    mem_unmap(s->best, TOPK_MAX * sizeof *s->best);
    mem_free(s);
}

struct topk_work topk_last(const struct topk *s) {
    return s->work;
}

static struct scorer scorer_of(const struct items *t, const struct kernel *k, const struct topk_query *q) {
    struct scorer c = {.items = t, .kernel = k, .query = q};
    for (int h = 0; h < MODEL_TRENDS; h++) c.shift[h] = (double)q->clock_ms / (double)t->params->trend_half_life_ms[h];
    if (q->cosine && q->x) c.root = fm_sqrtf(k->dot(q->x, q->x, t->dim));
    return c;
}

static float score_of(const struct scorer *c, const struct item_head *h, const float *q) {
    const struct topk_query *query = c->query;
    size_t dim = c->items->dim;
    float score = 0;
    if (query->cosine) {
        float roots = c->root * fm_sqrtf(c->kernel->dot(q, q, dim));
        bool learned = h->q_sum > 0;
        return learned && c->root != 0 && roots != 0 ? c->kernel->dot(query->x, q, dim) / roots : 0;
    }
    if (query->x && h->q_sum > 0) score = query->tau * (c->kernel->dot(query->x, q, dim) + h->bias);
    for (int k = 0; k < MODEL_TRENDS; k++) {
        if (query->mu[k] == 0) continue;
        double trend = h->trend[k] - c->shift[k];
        trend = trend < TOPK_TREND_FLOOR ? TOPK_TREND_FLOOR : trend;
        score += query->mu[k] * (float)trend;
    }
    return score;
}

static bool is_candidate(const struct topk_query *q, const struct item_head *h) {
    return q->only ? h->known != 0 : h->live || (q->content && h->known & ITEM_DESCRIBED);
}

static float add_terms(const struct topk_query *q, uint32_t row, float score) {
    float part;
    if (q->terms) score += q->terms->sums[row];
    return q->content && content_part(q->content, row, &part) ? score + part : score;
}

struct topk_hit topk_hit(const struct items *t, const struct kernel *k, const struct topk_query *q, uint32_t row) {
    struct scorer c = scorer_of(t, k, q);
    struct item_head head;
    float values[MODEL_MAX_DIM];
    item_read(t, row, &head, q->x ? values : NULL, NULL);
    return (struct topk_hit){add_terms(q, row, score_of(&c, &head, values)), row, head.generation};
}

static bool worse(struct topk_hit a, struct topk_hit b) {
    return a.score < b.score || (a.score == b.score && a.row > b.row);
}

static void sift_down(struct topk_hit *heap, uint32_t n, uint32_t at) {
    struct topk_hit moved = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && worse(heap[child + 1], heap[child])) child++;
        if (!worse(heap[child], moved)) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

/* Keeps the k best of what was offered. */
static void offer(struct topk_hit *heap, uint32_t *n, uint32_t k, struct topk_hit hit) {
    if (*n == k) {
        if (!worse(heap[0], hit)) return;
        heap[0] = hit;
        sift_down(heap, k, 0);
        return;
    }
    uint32_t at = (*n)++;
    for (; at > 0 && worse(hit, heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = hit;
}

/* Best first into hits; the heap is used up. */
static void take_best(struct topk *s, struct topk_hit *hits, size_t *n) {
    *n = s->n_best;
    while (s->n_best > 0) {
        hits[s->n_best - 1] = s->best[0];
        s->best[0] = s->best[--s->n_best];
        sift_down(s->best, s->n_best, 0);
    }
}

/* Without branches that depend on the rows: most of those who ask are about to win. */
static bool excluded(const struct topk_query *q, uint32_t row) {
    const uint32_t *at = q->excluded;
    for (size_t n = q->n_excluded, half; n > 1; n -= half) {
        half = n / 2;
        at += at[half] <= row ? half : 0;
    }
    return q->n_excluded > 0 && *at == row;
}

static void score_row(struct topk *s, const struct scorer *c, uint32_t row) {
    struct item_head head;
    item_read(c->items, row, &head, c->query->x ? s->q : NULL, NULL);
    s->work.rescored++;
    if (!is_candidate(c->query, &head)) return;
    float score = add_terms(c->query, row, score_of(c, &head, s->q));
    if (!isnan(score)) offer(s->best, &s->n_best, c->query->k, (struct topk_hit){score, row, head.generation});
}

static int check_query(const struct topk_query *q, struct err *e) {
    if (q->k < 1 || q->k > TOPK_MAX) return err_set(e, ERR_RANGE, "k", "k is %u, allowed are 1 to %d", q->k, TOPK_MAX);
    if (q->cosine && !q->x) return err_set(e, ERR_RANGE, "x", "a cosine needs a vector");
    return 0;
}

static void score_everything(struct topk *s, const struct items *t, const struct topk_query *q) {
    struct scorer c = scorer_of(t, s->kernel, q);
    uint32_t n_rows = atomic_load_explicit(&t->n_rows, memory_order_acquire);
    size_t n = q->only ? q->n_only : n_rows;
    s->n_best = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = q->only ? q->only[i] : (uint32_t)i;
        if (row < n_rows && item_shown(t, row, q->wall_ms) && !excluded(q, row)) score_row(s, &c, row);
    }
}

int topk_rank_naive(struct topk *s, const struct items *t, const struct topk_query *q, struct topk_hit *hits, size_t *n,
                    struct err *e) {
    int rc = check_query(q, e);
    if (rc) return rc;
    s->work = (struct topk_work){0};
    score_everything(s, t, q);
    take_best(s, hits, n);
    return 0;
}

/* Of k rows the scores are at least this: of rows seen in the scan, or of those that were scored before it. */
static float threshold(const struct topk *s, uint32_t k) {
    float seen = s->n_lows == k ? s->lows[0].score : -INFINITY;
    return seen > s->floor ? seen : s->floor;
}

/* A lower bound that may raise the threshold. */
static void raise_low(struct topk *s, uint32_t k, const struct bounded *f) {
    if (f->low > -INFINITY && f->low >= s->floor) offer(s->lows, &s->n_lows, k, (struct topk_hit){f->low, f->row, 0});
}

/* The bound that a row of the scan has to be above. Rows come in ascending order, so that a later one has to be above
 * those seen; of the rows that were scored before, one with a lower number wins when it is equal. */
static float must_pass(const struct topk *s, const struct topk_query *q) {
    float least = threshold(s, q->k);
    return least == s->floor || q->content ? nextafterf(least, -INFINITY) : least;
}

/* A row found in the scan: content is added to its bounds, in the order of the score's own operations. False when it
 * was scored already, is no candidate, or not above `least`. */
static bool complete(const struct topk_query *q, const struct items *t, struct bounded *f, float least) {
    if (q->content) {
        float part;
        if (content_lists(q->content, f->row)) return false;
        if (content_part(q->content, f->row, &part)) {
            f->low += part;
            f->high += part;
        }
        return !(f->high <= least) || least == -INFINITY;
    }
    return items_cold(t) == 0 || __atomic_load_n(&item_head(t, f->row)->live, __ATOMIC_RELAXED) != 0;
}

/* Drops candidates that cannot win any more. */
static void drop_losers(struct topk *s, uint32_t k) {
    float least = threshold(s, k);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        s->candidates[kept] = s->candidates[i];
        kept += s->candidates[i].high >= least;
    }
    s->n_candidates = kept;
}

static bool has_learned(const struct items *t, uint32_t row) {
    float sum;
    uint32_t bits = __atomic_load_n((const uint32_t *)(const void *)&item_head(t, row)->q_sum, __ATOMIC_RELAXED);
    memcpy(&sum, &bits, sizeof sum);
    return sum > 0;
}

/* The k rows with the largest terms, many winners among them, are scored first, so that the threshold starts high.
 * Row `but` takes no part. */
static void set_floor(struct topk *s, const struct items *t, const struct topk_query *q, uint32_t but) {
    struct scorer c = scorer_of(t, s->kernel, q);
    s->n_lows = s->n_best = 0;
    s->floor = -INFINITY;
    if (!q->terms || q->k == 0 || q->terms->n < q->k) return;
    float least = -INFINITY;
    for (uint32_t i = 0; i < q->terms->n; i++) {
        if (!(q->terms->sum[i] > least)) continue;
        struct topk_hit hit = {q->terms->sum[i], q->terms->rows[i].row, 0};
        if (hit.row == but || !item_shown(t, hit.row, q->wall_ms) || excluded(q, hit.row)) continue;
        offer(s->lows, &s->n_lows, q->k, hit);
        least = s->n_lows == q->k ? s->lows[0].score : -INFINITY;
    }
    for (uint32_t i = 0; i < s->n_lows; i++) item_prefetch(t, s->lows[i].row);
    for (uint32_t i = 0; i < s->n_lows; i++) score_row(s, &c, s->lows[i].row);
    if (s->n_best == q->k) s->floor = s->best[0].score;
    s->n_lows = s->n_best = 0; /* the scan comes past them again */
}

/* Rows of the strongest features: what is left in the scan gets little from content. */
static void score_listed(struct topk *s, const struct items *t, const struct topk_query *q) {
    struct scorer c = scorer_of(t, s->kernel, q);
    uint32_t n = q->content ? q->content->n_rows : 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = q->content->rows[i];
        if (i + PREFETCH < n) item_prefetch(t, q->content->rows[i + PREFETCH]);
        if (item_shown(t, row, q->wall_ms) && !excluded(q, row)) score_row(s, &c, row);
    }
    memcpy(s->lows, s->best, s->n_best * sizeof *s->lows);
    s->n_lows = s->n_best;
}

/* Collects every other row that can be among the best k. False when there are too many. */
static bool collect(struct topk *s, const struct items *t, const struct topk_query *q) {
    uint32_t n_rows = atomic_load_explicit(&s->bound.scan->n_rows, memory_order_acquire);
    size_t skip = 0; /* excluded rows passed */
    s->n_candidates = 0;
    for (uint32_t first = 0; first < n_rows; first += SCAN_ROWS) {
        struct bounded found[SCAN_ROWS];
        uint32_t n = n_rows - first < SCAN_ROWS ? n_rows - first : SCAN_ROWS;
        float least = must_pass(s, q);
        n = bound_block(&s->bound, first, n, content_reach(q->content, first, least), found);
        for (uint32_t i = 0; i < n; i++) {
            struct bounded *f = &found[i];
            while (skip < q->n_excluded && q->excluded[skip] < f->row) skip++;
            if ((skip < q->n_excluded && q->excluded[skip] == f->row) || !item_shown(t, f->row, q->wall_ms)) continue;
            if (!complete(q, t, f, least)) continue;
            if (q->cosine && !has_learned(t, f->row)) f->low = f->high = 0;
            s->candidates[s->n_candidates++] = *f;
            raise_low(s, q->k, f);
        }
        if (s->n_candidates > CANDIDATES - SCAN_ROWS) {
            drop_losers(s, q->k);
            if (s->n_candidates > CANDIDATES / 2) return false;
        }
    }
    drop_losers(s, q->k);
    s->work.scanned = n_rows;
    return true;
}

/* Scores the candidates: first those whose lower bounds made the threshold, then those still above the worst of these.
 */
static void score_candidates(struct topk *s, const struct items *t, const struct topk_query *q) {
    struct scorer c = scorer_of(t, s->kernel, q);
    float least = threshold(s, q->k);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < s->n_candidates; i++) {
            const struct bounded *f = &s->candidates[i];
            if (i + PREFETCH < s->n_candidates) item_prefetch(t, f[PREFETCH].row);
            if ((f->low >= least) != (pass == 0) || (s->n_best == q->k && f->high < s->best[0].score)) continue;
            score_row(s, &c, f->row);
        }
    }
}

struct place {
    struct topk_hit target;
    uint32_t above, limit; /* rows known to stand before it; as many end the search */
};

/* One more row with its exact score. */
static void place_row(struct topk *s, const struct topk_query *q, struct place *p, struct topk_hit hit) {
    p->above += worse(p->target, hit);
    if (q->k > 0) offer(s->best, &s->n_best, q->k, hit);
}

static void place_exactly(struct topk *s, const struct scorer *c, struct place *p, uint32_t row) {
    struct item_head head;
    item_read(c->items, row, &head, c->query->x ? s->q : NULL, NULL);
    s->work.rescored++;
    if (!is_candidate(c->query, &head)) return;
    float score = add_terms(c->query, row, score_of(c, &head, s->q));
    if (!isnan(score)) place_row(s, c->query, p, (struct topk_hit){score, row, head.generation});
}

/* A row above both thresholds for sure is counted; every other that matters waits to be scored. False when there are
 * too many of them. */
static bool place_scan(struct topk *s, const struct items *t, const struct topk_query *q, struct place *p) {
    uint32_t n_rows = atomic_load_explicit(&s->bound.scan->n_rows, memory_order_acquire), sure = 0;
    s->n_candidates = 0;
    for (uint32_t first = 0; first < n_rows && p->above + sure < p->limit; first += SCAN_ROWS) {
        struct bounded found[SCAN_ROWS];
        float best = q->k > 0 ? threshold(s, q->k) : INFINITY;
        float least = nextafterf(best < p->target.score ? best : p->target.score, -INFINITY);
        uint32_t n = n_rows - first < SCAN_ROWS ? n_rows - first : SCAN_ROWS;
        n = bound_block(&s->bound, first, n, content_reach(q->content, first, least), found);
        for (uint32_t i = 0; i < n; i++) {
            struct bounded *f = &found[i];
            if (f->row == p->target.row || !item_shown(t, f->row, q->wall_ms) || excluded(q, f->row) ||
                !complete(q, t, f, least))
                continue;
            sure += f->low > p->target.score;
            s->candidates[s->n_candidates++] = *f;
            if (q->k > 0) raise_low(s, q->k, f);
        }
        if (s->n_candidates > CANDIDATES - SCAN_ROWS) return false;
    }
    s->work.scanned = n_rows;
    if (p->above + sure >= p->limit) p->above = p->limit;
    return true;
}

static void place_candidates(struct topk *s, const struct scorer *c, struct place *p) {
    const struct topk_query *q = c->query;
    for (uint32_t i = 0; i < s->n_candidates; i++) {
        const struct bounded *f = &s->candidates[i];
        if (i + PREFETCH < s->n_candidates) item_prefetch(c->items, f[PREFETCH].row);
        bool contends = q->k > 0 && (s->n_best < q->k || f->high >= s->best[0].score);
        if (contends || (f->low <= p->target.score && f->high >= p->target.score))
            place_exactly(s, c, p, f->row);
        else
            p->above += f->low > p->target.score;
    }
}

int topk_place(struct topk *s, const struct items *t, const struct scan *c, const struct topk_query *q, uint32_t row,
               uint32_t limit, uint32_t *rank, struct topk_hit *others, size_t *n, struct err *e) {
    struct topk_query any = *q;
    if (any.k == 0) any.k = 1;
    int rc = check_query(&any, e);
    if (rc) return rc;
    struct scorer scorer = scorer_of(t, s->kernel, q);
    struct place p = {.target = {.score = topk_score(t, s->kernel, q, row), .row = row}, .limit = limit};
    s->work = (struct topk_work){0};
    bool bounded = limit > 0 && bound_prepare(&s->bound, t->params, c, q);
    set_floor(s, t, q, row);
    for (uint32_t i = 0; bounded && q->content && i < q->content->n_rows; i++) {
        uint32_t other = q->content->rows[i];
        if (i + PREFETCH < q->content->n_rows) item_prefetch(t, q->content->rows[i + PREFETCH]);
        if (other != row && item_shown(t, other, q->wall_ms) && !excluded(q, other))
            place_exactly(s, &scorer, &p, other);
    }
    memcpy(s->lows, s->best, s->n_best * sizeof *s->lows);
    s->n_lows = s->n_best;
    if (bounded && place_scan(s, t, q, &p)) {
        if (p.above < limit) place_candidates(s, &scorer, &p);
    } else {
        s->work.fell_back = true;
        p.above = s->n_best = 0;
        uint32_t n_rows = atomic_load_explicit(&t->n_rows, memory_order_acquire);
        for (uint32_t other = 0; other < n_rows; other++)
            if (other != row && item_shown(t, other, q->wall_ms) && !excluded(q, other))
                place_exactly(s, &scorer, &p, other);
    }
    *rank = p.above < limit ? p.above : limit;
    take_best(s, others, n);
    if (*rank == limit) *n = 0;
    return 0;
}

int topk_rank(struct topk *s, const struct items *t, const struct scan *c, const struct topk_query *q,
              struct topk_hit *hits, size_t *n, struct err *e) {
    int rc = check_query(q, e);
    if (rc) return rc;
    s->work = (struct topk_work){0};
    if (q->only) {
        score_everything(s, t, q);
        take_best(s, hits, n);
        return 0;
    }
    bool bounded = bound_prepare(&s->bound, t->params, c, q);
    if (bounded) set_floor(s, t, q, ITEM_NONE);
    if (bounded) score_listed(s, t, q);
    if (bounded && collect(s, t, q)) {
        score_candidates(s, t, q);
    } else {
        s->work.fell_back = true;
        score_everything(s, t, q);
    }
    take_best(s, hits, n);
    return 0;
}
