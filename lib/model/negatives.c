/* Draws of negatives. */
#include "lib/model/negatives.h"

#include <stdlib.h>

#include "lib/model/ahead.h"
#include "lib/model/exposed.h"
#include "lib/model/recent.h"

#define TRIES 10 /* draws for one negative before it is given up */

/* The mixture that is drawn from at one moment: parts of the draws that are not hard. */
struct mixture {
    const struct model *m;
    uint32_t n_recent;
    float n_live;
    float recent, popular; /* parts; the rest is uniform */
};

static struct mixture mixture_of(const struct model *m) {
    const struct model_params *p = &m->params;
    struct mixture mix = {.m = m, .n_recent = recent_size(m->recent), .n_live = (float)m->items->n_live};
    float drawn = 1 - p->hard_share - p->exposed_share;
    if (mix.n_recent == 0 || !(drawn > 0)) return mix;
    mix.recent = p->recent_share / drawn;
    mix.popular = p->popular_share / drawn;
    return mix;
}

/* Where a draw is read; NULL for one by popularity. */
static inline const uint32_t *draw_place(const struct mixture *mix, uint64_t bits) {
    const struct model *m = mix->m;
    float unit = draw_unit(bits);
    if (unit < mix->recent) return &m->recent->ring[draw_below(bits, mix->n_recent)];
    if (unit < mix->recent + mix->popular) return NULL;
    return &m->items->live[draw_below(bits, m->items->n_live)];
}

static inline uint32_t draw_one(const struct mixture *mix, uint64_t bits) {
    const uint32_t *place = draw_place(mix, bits);
    return place ? *place : recent_draw_popular(mix->m->recent, draw_mix(bits));
}

uint32_t negatives_places(const struct model *m, uint64_t key, const uint32_t **places) {
    const struct mixture mix = mixture_of(m);
    uint32_t n = m->items->n_live ? m->params.negatives - negatives_hard(&m->params) : 0;
    for (uint32_t q = 0; q < n; q++) places[q] = draw_place(&mix, draw_bits(key, (uint64_t)q * TRIES));
    return n;
}

static inline float often_drawn(const struct mixture *mix, uint32_t row) {
    if (mix->n_recent == 0) return 1;
    const struct recent *recent = mix->m->recent;
    float often = 1 - mix->recent + mix->recent * mix->n_live * (float)recent->often[row] / (float)mix->n_recent;
    if (mix->popular > 0) often += mix->popular * (mix->n_live * recent_popular_part(recent, row) - 1);
    return often;
}

static inline bool may_stand(const struct model *m, uint32_t row, uint32_t item) {
    const struct items *t = m->items;
    return row != item && item_head(t, row)->live && !used_has(m->used, row) && !item_expired(t, row, m->clock_ms);
}

/* The first tries. Without a hint their rows are sent for before any is looked at. */
static void draw_first(struct negatives *s, const struct mixture *mix, uint64_t key, uint32_t wanted) {
    const struct model *m = mix->m;
    const uint32_t *const *hinted = ahead_places(m->ahead, m, key);
    for (uint32_t q = 0; q < wanted; q++) {
        if (hinted && hinted[q]) {
            s->first[q] = *hinted[q];
            continue;
        }
        s->first[q] = draw_one(mix, draw_bits(key, (uint64_t)q * TRIES));
        item_prefetch(m->items, s->first[q]);
        __builtin_prefetch(&m->recent->often[s->first[q]]);
    }
}

/* What was shown and not taken behind the n others; how many. Their often is that of the mixture, as of hard ones. */
static uint32_t take_exposed(const struct model *m, uint32_t item, uint32_t *rows) {
    uint32_t n = 0, most = m->params.exposed_share > 0 ? negatives_exposed(&m->params) : 0;
    for (uint32_t k = 0; k < m->exposed->n && n < most; k++)
        if (may_stand(m, m->exposed->rows[k], item)) rows[n++] = m->exposed->rows[k];
    return n;
}

void negatives_draw(struct negatives *s, const struct model *m, const struct draw_place *place, uint32_t item) {
    const struct mixture mix = mixture_of(m);
    uint64_t key = draw_key(m->params.seed, place, DRAW_NEGATIVES);
    uint32_t exposed[MODEL_MAX_EXPOSED], n_exposed = take_exposed(m, item, exposed);
    uint32_t n = 0, wanted = m->params.negatives - negatives_hard(&m->params);
    if (n_exposed > wanted) n_exposed = wanted; /* both shares are rounded */
    wanted -= n_exposed;
    draw_first(s, &mix, key, wanted);
    for (uint32_t q = 0; q < wanted; q++)
        for (uint32_t k = 0; k < TRIES; k++) {
            uint32_t j = k ? draw_one(&mix, draw_bits(key, (uint64_t)q * TRIES + k)) : s->first[q];
            if (!may_stand(m, j, item)) continue;
            s->rows[n] = j;
            s->often[n++] = often_drawn(&mix, j);
            break;
        }
    for (uint32_t k = 0; k < n_exposed; k++) {
        s->rows[n] = exposed[k];
        s->often[n++] = often_drawn(&mix, exposed[k]);
    }
    s->n = n;
    s->n_exposed = n_exposed;
}

/* Best first; a row that was drawn more than once stands together. */
static int by_score(const void *a, const void *b) {
    const struct negatives_candidate *x = a, *y = b;
    if (x->r != y->r) return x->r > y->r ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static size_t draw_pool(struct negatives *s, const struct model *m, const struct mixture *mix, uint64_t key,
                        uint32_t item, const float *x) {
    size_t n = 0;
    for (uint32_t q = 0; q < m->params.hard_pool; q++) {
        uint32_t j = s->pool[q].row = draw_one(mix, draw_bits(key, q));
        item_prefetch(m->items, j);
    }
    for (uint32_t q = 0; q < m->params.hard_pool; q++) {
        uint32_t j = s->pool[q].row;
        if (!may_stand(m, j, item)) continue;
        float r = m->kernel->dot(x, item_q(m->items, j), m->params.dim) + item_head(m->items, j)->bias;
        if (r == r) s->pool[n++] = (struct negatives_candidate){r, j};
    }
    return n;
}

void negatives_add_hard(struct negatives *s, const struct model *m, const struct draw_place *place, uint32_t item,
                        const float *x) {
    const struct mixture mix = mixture_of(m);
    uint32_t wanted = negatives_hard(&m->params);
    if (wanted == 0) return;
    size_t n = draw_pool(s, m, &mix, draw_key(m->params.seed, place, DRAW_HARD), item, x);
    qsort(s->pool, n, sizeof *s->pool, by_score);
    for (size_t k = (size_t)(m->params.hard_skip * (float)n); k < n && wanted > 0; k++) {
        if (k > 0 && s->pool[k].row == s->pool[k - 1].row) continue; /* once is enough */
        s->rows[s->n] = s->pool[k].row;
        s->r[s->n] = s->pool[k].r;
        s->often[s->n++] = often_drawn(&mix, s->pool[k].row);
        wanted--;
    }
}
