/* Bounds of the scores of a block of rows, from their 8-bit codes.
 *
 * Let u = 2^-24, x = sx cx + ex the query and q = sq cq + eq a row, each codes times scale plus a rest. Then
 *
 *     x . q - sx sq (cx . cq) = ex . q + sx cx . eq,      at most |ex| |q| + |sx cx| |eq|                         (1)
 *
 * in magnitude. The exact score's float32 product goes through m = d/16 + 4 roundings a term (its product, its lane,
 * the tree), so it is within 1.01 m u |x| |q| + 2^-141 of x . q, the last for products that underflow (adding is exact
 * there).        (2) The approximation a = (C sq) sx, C = cx . cq < 2^24 exact, has two roundings, and a + slack one
 * more: 4 u |sx cx| |sq cq| <= 4 u |sx cx| (|q| + |eq|), and what underflows is at most 2^-149 (1 + sx). (3) So slack =
 * per_norm |q| + per_error |eq| + least with
 *
 *     per_norm = (|ex| + 1.01 m u |x| + 8 u |sx cx|) (1 + 2^-19),   per_error = |sx cx| (1 + 2^-19),
 *     least = 2^-120 max(1, |x|)
 *
 * where |x| + |ex| stands for |sx cx| and 2^-19 covers the roundings of the slack itself. From there on the score's own
 * float32 operations are done on the bound: rounding is monotone, so adding the bias, multiplying by tau and adding mu
 * times a trend keep the order of bound and score without further slack; a negative tau or mu takes the other end of
 * its argument.
 *
 * A trend term is max(-8, T - S), T the row's trend, S = clock / half-life, subtracted in double. With t and s rounded
 * to float, v = t - s is off by at most u (|t| + |s| + |v|), about 2 u (|s| + |v|): slack 4 u (|s| + |v|) covers it
 * with the rounding of v + slack and those of the double operations.
 *
 * A cosine divides x . q by two float32 roots of sums of squares, each within (m / 2 + 1) u of its norm when that is at
 * least 2^-50 (no underflow matters), so that dividing adds at most (m + 4) u < 2^-19 of |cosine| to (1) and (2). The
 * bound divides by norms that are up to 1 + 2^-18 too long, and |a + slack| is at most 4 |x| |q|: 2^-14 covers all of
 * it. A row that has not learned scores 0 whatever its codes: the upper bound is never below 0, and topk.c sees to the
 * lower one. */
#include "lib/model/topk_bound.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/check.h"

#define UNIT         0x1p-24
#define TREND_FLOOR  (-8.0f)
#define COSINE_NORM  0x1p-50f /* below it a row's cosine is undecided */
#define COSINE_ERROR 0x1p-14f
#define TRIES        4

struct view { /* of the rows of a block */
    const int8_t *codes;
    const struct scan_quad *quads;
    const float *trend[MODEL_TRENDS]; /* in the order of bound.trends */
    const float *sums;                /* of terms, or NULL: the thread's own */
};

static float bias_of(const struct view *v, uint32_t i) { return v->quads[i / SCAN_QUAD].bias[i % SCAN_QUAD]; }

static bool sane(float v) { return fabsf(v) <= SCAN_MOST; }

bool bound_prepare(struct bound *b, const struct model_params *p, const struct scan *s, const struct topk_query *q) {
    memset(b, 0, sizeof *b);
    b->scan = s;
    b->query = q;
    if (!sane(q->tau)) return false;
    if (q->x) {
        s->kernel->quantise(q->x, s->dim, b->codes, &b->scale);
        if (!sane(b->scale)) return false;
        struct scan_norms n = scan_measure(s->kernel, q->x, b->codes, b->scale, s->dim);
        double sign = !q->cosine && q->tau < 0 ? -1 : 1, m = (double)(s->dim / 16 + 4);
        double coded = n.whole + n.error; /* at least |sx cx| */
        b->flat = q->cosine && n.whole == 0;
        if (b->flat) return true;
        if (n.whole > (double)SCAN_MOST || (q->cosine && n.whole < (double)COSINE_NORM * 2)) return false;
        b->per_norm = (float)(sign * (n.error + 1.01 * m * UNIT * n.whole + 8 * UNIT * coded) * (1 + 0x1p-19));
        b->per_error = (float)(sign * coded * (1 + 0x1p-19));
        b->least = n.whole > 0 ? (float)(sign * 0x1p-120 * fmax(1, n.whole)) : 0;
        b->inverse_norm = q->cosine ? (float)(1 / n.whole) : 0;
    }
    for (uint32_t h = 0; h < MODEL_TRENDS && !q->cosine; h++) {
        if (q->mu[h] == 0) continue;
        if (!sane(q->mu[h])) return false;
        double shift = (double)q->clock_ms / (double)p->trend_half_life_ms[h], sign = q->mu[h] < 0 ? -1 : 1;
        b->trends[b->n_trends++] = (struct bound_trend){
            .of = s->trend[h],
            .mu = q->mu[h],
            .shift = (float)shift,
            .slack = (float)(sign * (4 * UNIT * fabs(shift) + 0x1p-60)),
            .relative = (float)(sign * 4 * UNIT),
        };
    }
    return true;
}

/* Four rows at a time: loops over the values of four rows were not turned into vectors by the compiler, which made a
 * scan a quarter slower in cache. */
typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_int __attribute__((vector_size(16)));
_Static_assert(sizeof(quad) == SCAN_QUAD * sizeof(float), "a quad holds a value of each row");

union bounds { /* of the rows of a block */
    quad quads[SCAN_ROWS / SCAN_QUAD];
    float rows[SCAN_ROWS];
};

static inline quad splat(float v) { return (quad){v, v, v, v}; }
static inline quad load(const float *v) {
    quad q;
    memcpy(&q, v, sizeof q);
    return q;
}
static inline quad select(quad_int mask, quad set, quad clear) {
    return (quad)((mask & (quad_int)set) | (~mask & (quad_int)clear));
}

/* Scores x . q with their slack. */
static inline quad with_slack(const struct bound *b, const struct scan_quad *u, const int32_t *product, float sign) {
    quad_int p;
    memcpy(&p, product, sizeof p);
    quad a = (__builtin_convertvector(p, quad) * load(u->scale)) * splat(b->scale);
    quad slack = splat(sign * b->per_norm) * load(u->norm) + splat(sign * b->per_error) * load(u->error);
    return a + (slack + splat(sign * b->least));
}

/* With a sign of +1 the upper bounds of all rows, with -1 the lower ones. NaN where there is none. */
static void dense(const struct bound *b, const struct view *v, const int32_t *product, uint32_t n, float sign,
                  quad *out) {
    quad tau = splat(b->query->tau);
    for (uint32_t i = 0; i < n; i += SCAN_QUAD) {
        const struct scan_quad *u = &v->quads[i / SCAN_QUAD];
        out[i / SCAN_QUAD] = tau * (with_slack(b, u, product + i, sign) + load(u->bias));
    }
}

static void cosine(const struct bound *b, const struct view *v, const int32_t *product, uint32_t n, float sign,
                   quad *out) {
    quad inverse = splat(b->inverse_norm), rounding = splat(sign * COSINE_ERROR),
         least = splat(sign > 0 ? 0 : -INFINITY);
    for (uint32_t i = 0; i < n; i += SCAN_QUAD) {
        const struct scan_quad *u = &v->quads[i / SCAN_QUAD];
        quad norm = load(u->norm);
        quad c = with_slack(b, u, product + i, sign) * inverse / norm + rounding;
        c = select(c < least, least, c);
        c = select(norm < splat(COSINE_NORM), splat(NAN), c);
        out[i / SCAN_QUAD] = select(load(u->bias) == splat(-INFINITY), splat(-INFINITY), c);
    }
}

static void live_only(const struct view *v, uint32_t n, quad *out) {
    quad none = splat(-INFINITY);
    for (uint32_t i = 0; i < n / SCAN_QUAD; i++) out[i] = select(load(v->quads[i].bias) == none, none, splat(0));
}

static void add_trend(const struct bound_trend *t, const float *trend, uint32_t n, float sign, quad *out) {
    CHECK(trend);
    quad mu = splat(t->mu), shift = splat(t->shift), slack = splat(sign * t->slack),
         relative = splat(sign * t->relative), lowest = splat(TREND_FLOOR);
    for (uint32_t i = 0; i < n / SCAN_QUAD; i++) {
        quad v = load(trend + i * SCAN_QUAD) - shift;
        quad size = (quad)((quad_int)v & 0x7FFFFFFF);
        quad term = v + (slack + relative * size);
        term = select(term < lowest, lowest, term); /* NaN stays */
        out[i] += mu * term;
    }
}

static void bounds(const struct bound *b, const struct view *v, const int32_t *product, uint32_t n, float sign,
                   quad *out) {
    if (!b->query->x || b->flat)
        live_only(v, n, out);
    else if (b->query->cosine)
        cosine(b, v, product, n, sign, out);
    else
        dense(b, v, product, n, sign, out);
    for (uint32_t h = 0; h < b->n_trends; h++) add_trend(&b->trends[h], v->trend[h], n, sign, out);
    for (uint32_t i = 0; v->sums && i < n / SCAN_QUAD; i++) out[i] += load(v->sums + i * SCAN_QUAD);
}

static uint32_t count_above(const float *high, uint32_t n, float threshold) {
    uint32_t above = 0;
    for (uint32_t i = 0; i < n; i++) above += !(high[i] <= threshold);
    return above;
}

/* The same from row `at` of the block on, a multiple of SCAN_QUAD. */
static struct view view_from(const struct view *v, uint32_t at) {
    struct view from = {.quads = v->quads + at / SCAN_QUAD, .sums = v->sums ? v->sums + at : NULL};
    for (int h = 0; h < MODEL_TRENDS; h++) from.trend[h] = v->trend[h] ? v->trend[h] + at : NULL;
    return from;
}

/* The rows that may be above the threshold; all values come from v. */
static uint32_t choose(const struct bound *b, const struct view *v, uint32_t first, uint32_t n, float threshold,
                       struct bounded *out) {
    int32_t product[SCAN_ROWS];
    union bounds high = {.rows = {0}};
    uint32_t whole = (n + SCAN_QUAD - 1) / SCAN_QUAD * SCAN_QUAD;
    if (b->query->x && !b->flat) b->scan->kernel->dot_codes(v->codes, b->codes, b->scan->dim, whole, product);
    bounds(b, v, product, whole, 1, high.quads);
    bool all = threshold == -INFINITY; /* also those whose score overflows to it */
    if (!all && count_above(high.rows, n, threshold) == 0) return 0;

    union bounds low = {.rows = {0}};
    uint32_t found = 0;
    for (uint32_t at = 0; at < n; at += SCAN_QUAD) {
        uint32_t end = at + SCAN_QUAD < n ? at + SCAN_QUAD : n;
        if (!all && count_above(high.rows + at, end - at, threshold) == 0) continue;
        struct view quad_view = view_from(v, at);
        bounds(b, &quad_view, product + at, SCAN_QUAD, -1, low.quads);
        for (uint32_t i = at; i < end; i++) {
            if ((high.rows[i] <= threshold && !all) || bias_of(v, i) == -INFINITY) continue;
            bool decided = low.rows[i - at] <= high.rows[i];
            out[found].row = first + i;
            out[found].high = decided ? high.rows[i] : INFINITY;
            out[found++].low = decided ? low.rows[i - at] : -INFINITY;
        }
    }
    return found;
}

#if CHECK_RACES
/* The vector loops read rows plainly and find out afterwards whether they were being replaced. ThreadSanitizer would
 * report that, so under it they work on a copy made by atomic loads. */
struct copy {
    int8_t codes[SCAN_ROWS * MODEL_MAX_DIM];
    struct scan_quad quads[SCAN_ROWS / SCAN_QUAD];
    float trends[MODEL_TRENDS][SCAN_ROWS];
};

static const void *copy_words(void *dst, const void *src, size_t bytes) {
    for (size_t k = 0; k < bytes / 4; k++) {
        uint32_t w = __atomic_load_n((const uint32_t *)src + k, __ATOMIC_RELAXED);
        memcpy((char *)dst + 4 * k, &w, 4);
    }
    return dst;
}

static void view_copy(struct view *v, struct copy *room, uint32_t dim, uint32_t n_trends) {
    v->codes = copy_words(room->codes, v->codes, (size_t)SCAN_ROWS * dim);
    v->quads = copy_words(room->quads, v->quads, sizeof room->quads);
    for (uint32_t h = 0; h < n_trends; h++)
        v->trend[h] = copy_words(room->trends[h], v->trend[h], sizeof room->trends[h]);
}
#endif

uint32_t bound_block(const struct bound *b, uint32_t first, uint32_t n, float threshold, struct bounded *out) {
    const struct scan *s = b->scan;
    const _Atomic uint32_t *seq = &s->seq[first / SCAN_ROWS];
    for (int tries = 0; tries < TRIES; tries++) {
        uint32_t before = atomic_load_explicit(seq, memory_order_acquire);
        if (before & 1) {
            __builtin_ia32_pause();
            continue;
        }
        struct view v = {s->codes + (size_t)first * s->dim,
                         s->quads + first / SCAN_QUAD,
                         {NULL},
                         b->query->terms ? b->query->terms->sums + first : NULL};
        for (uint32_t h = 0; h < b->n_trends; h++) v.trend[h] = b->trends[h].of + first;
#if CHECK_RACES
        struct copy room;
        view_copy(&v, &room, s->dim, b->n_trends);
#endif
        uint32_t found = choose(b, &v, first, n, threshold, out);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(seq, memory_order_relaxed) == before) return found;
    }
    for (uint32_t i = 0; i < n; i++) out[i] = (struct bounded){-INFINITY, INFINITY, first + i};
    return n;
}
