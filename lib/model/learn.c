/* The learning step. Scores of all negatives come first, from the state before the step; rows are then replaced one by
 * one. */
#include "lib/model/learn.h"

#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/ahead.h"
#include "lib/model/negatives.h"

struct learn {
    struct negatives against;
    float g[MODEL_MAX_NEGATIVES], scratch[2 * MODEL_MAX_NEGATIVES];
    struct history kept; /* what dropout has left of the history */
    float x[MODEL_MAX_DIM], gx[MODEL_MAX_DIM], next[MODEL_MAX_DIM];
};

struct learn *learn_new(void) {
    return mem_zalloc(sizeof(struct learn));
}
void learn_free(struct learn *l) { mem_free(l); }

static bool is_finite(float v) { return v - v == 0; }

static void refuse(struct model *m) { atomic_fetch_add_explicit(&m->stats.refused, 1, memory_order_relaxed); }

/* L2: a step of this size takes its part of the row as well, at most all of it. */
static float shrink(float l2, float size) {
    float part = l2 * size;
    return part < 1 ? part : 1;
}

static void shrink_row(float *next, const float *row, float part, uint32_t dim) {
    for (uint32_t k = 0; k < dim; k++) next[k] -= part * row[k];
}

/* q and b of one item take a step of gradient g (positive: towards x); gx gets the item's part. The row stays as it was
 * when anything would become non-finite. */
static void step_item(struct learn *l, struct model *m, uint32_t row, float g) {
    struct items *t = m->items;
    struct item_head *head = item_head(t, row), next = *head;
    float *q = item_q(t, row);
    next.q_sum += g * g;
    float size = m->params.step / fm_sqrtf(m->params.under_root + next.q_sum), step = size * g;
    next.bias += step;
    if (!m->kernel->pair_step(l->next, q, l->x, l->gx, step, g, t->dim) || !is_finite(next.bias) ||
        !is_finite(next.q_sum)) {
        refuse(m);
        return;
    }
    if (m->params.l2_item > 0) {
        float part = shrink(m->params.l2_item, size);
        next.bias -= part * head->bias;
        shrink_row(l->next, q, part, t->dim);
    }
    if (m->params.unit_scale > 0) item_to_unit(l->next, t->dim);
    item_change_vectors(t, row);
    item_begin(head);
    item_store_head(head, &next);
    item_store(q, l->next, sizeof(float) * t->dim);
    item_end(head);
}

static void step_history(struct learn *l, struct model *m, const struct history *h, float norm) {
    struct items *t = m->items;
    for (size_t k = 0; k < h->n; k++) {
        uint32_t row = h->parts[k].row;
        float weight = h->parts[k].weight;
        struct item_head *head = item_head(t, row), next = *head;
        next.y_sum += norm * weight * weight;
        float size = m->params.step / fm_sqrtf(m->params.under_root + next.y_sum), step = size * weight;
        if (!m->kernel->step(l->next, item_y(t, row), step, l->gx, t->dim) || !is_finite(next.y_sum)) {
            refuse(m);
            continue;
        }
        if (m->params.l2_history > 0) shrink_row(l->next, item_y(t, row), shrink(m->params.l2_history, size), t->dim);
        item_change_vectors(t, row);
        item_begin(head);
        item_store_head(head, &next);
        item_store(item_y(t, row), l->next, sizeof(float) * t->dim);
        item_end(head);
    }
}

static void step_user(struct learn *l, struct model *m, struct user_row *user, float norm) {
    float sum = user->p_sum + norm;
    float step = m->params.step / fm_sqrtf(m->params.under_root + sum);
    if (!m->kernel->step(l->next, user->p, step, l->gx, m->items->dim) || !is_finite(sum)) {
        refuse(m);
        return;
    }
    if (m->params.l2_user > 0) shrink_row(l->next, user->p, shrink(m->params.l2_user, step), m->items->dim);
    user->p_sum = sum;
    memcpy(user->p, l->next, sizeof(float) * m->items->dim);
}

/* Shortens gx to the bound; the mean square of its elements, NaN when it is no vector. */
static float bounded_gradient(struct learn *l, struct model *m) {
    uint32_t dim = m->items->dim;
    float square = m->kernel->dot(l->gx, l->gx, dim), clip = m->params.clip;
    if (square > clip * clip && is_finite(square)) {
        float scale = clip / fm_sqrtf(square);
        for (uint32_t k = 0; k < dim; k++) l->gx[k] *= scale;
        square = clip * clip;
        atomic_fetch_add_explicit(&m->stats.clipped, 1, memory_order_relaxed);
    }
    return square / (float)dim;
}

/* Dropout: the history without the items that fell to it, weighed as if the user had never had them. Weights are w_j /
 * A with A^2 the sum of all w_j, so their sum is A; with B the sum of those kept, sqrt(A / B) weighs anew. */
static const struct history *thin_history(struct learn *l, const struct history *h, float dropout, uint64_t key) {
    float all = 0, sum = 0;
    l->kept.n = 0;
    for (size_t k = 0; k < h->n; k++) {
        all += h->parts[k].weight;
        if (draw_unit(draw_bits(key, k)) < dropout) continue;
        sum += h->parts[k].weight;
        l->kept.parts[l->kept.n++] = h->parts[k];
    }
    float anew = sum > 0 ? fm_sqrtf(all / sum) : 0;
    for (size_t k = 0; k < l->kept.n; k++) l->kept.parts[k].weight *= anew;
    return &l->kept;
}

/* log of how often an item is used, by its slowest trend; 0 below one event. */
static float log_popularity(const struct model *m, uint32_t row) {
    const int slowest = MODEL_TRENDS - 1;
    double log2_count =
        item_head(m->items, row)->trend[slowest] - (double)m->clock_ms / (double)m->params.trend_half_life_ms[slowest];
    return log2_count > 0 ? (float)log2_count * 0.69314718f : 0;
}

/* What an item's popularity explains is added to its score while learning and not when serving, so that the rows need
 * not learn it. */
static void lean_on_popularity(struct negatives *j, const struct model *m, uint32_t item, float *r_item) {
    float penalty = m->params.popularity_penalty;
    *r_item += penalty * log_popularity(m, item);
    for (uint32_t k = 0; k < j->n; k++) j->r[k] += penalty * log_popularity(m, j->rows[k]);
}

/* Gradients of the scores into g; the item's. */
static float differentiate(struct learn *l, const struct model *m, float r_item, const struct learn_target *target) {
    struct negatives *j = &l->against;
    if (m->params.popularity_penalty > 0) lean_on_popularity(j, m, target->item, &r_item);
    fm_logf_n(j->often, j->n);
    struct loss_scores scores = {.item = r_item,
                                 .r = j->r,
                                 .log_often = j->often,
                                 .n = j->n,
                                 .n_live = (float)(m->items->n_live + !item_head(m->items, target->item)->live),
                                 .weight = target->weight,
                                 .count = target->count};
    return loss_gradient(&m->params.loss, &scores, l->g, l->scratch);
}

static float score(const struct learn *l, const struct model *m, uint32_t row) {
    return m->kernel->dot(l->x, item_q(m->items, row), m->items->dim) + item_head(m->items, row)->bias;
}

void learn_pair(struct learn *l, struct model *m, struct user_row *user, const struct history *h,
                const struct learn_target *target) {
    struct items *t = m->items;
    struct negatives *j = &l->against;
    bool drawn = target->over == ITEM_NONE;
    if (drawn && t->n_live <= 1) return;
    if (drawn)
        negatives_draw(j, m, target->place, target->item);
    else
        negatives_one(j, target->over);
    if (m->params.history_dropout > 0)
        h = thin_history(l, h, m->params.history_dropout, draw_key(m->params.seed, target->place, DRAW_DROPOUT));
    float unit_scale = m->params.unit_scale, factor = history_vector(h, t, m->kernel, user->p, false, l->x);
    float r_item = score(l, m, target->item);
    for (uint32_t k = 0; k < j->n; k++) j->r[k] = score(l, m, j->rows[k]);
    if (drawn && m->params.hard_share > 0) negatives_add_hard(j, m, target->place, target->item, l->x);
    if (j->n == 0) return;
    float g_item = differentiate(l, m, r_item, target);
    if (!is_finite(g_item)) {
        refuse(m);
        return;
    }
    bool flat = loss_is_flat(m->params.loss.kind);
    memset(l->gx, 0, sizeof(float) * t->dim);
    for (uint32_t k = 0; k < j->n; k++) {
        if (k % AHEAD_ROWS == 0) ahead_bring(m->ahead, m);
        if (!flat || l->g[k] != 0) step_item(l, m, j->rows[k], -l->g[k]);
    }
    step_item(l, m, target->item, g_item);
    if (unit_scale > 0) history_gradient(m->kernel, l->x, factor, unit_scale, l->gx, t->dim);
    float norm = bounded_gradient(l, m);
    if (!is_finite(norm)) {
        refuse(m);
        return;
    }
    step_user(l, m, user, norm);
    step_history(l, m, h, norm);
    atomic_fetch_add_explicit(&m->stats.pairs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->stats.steps, j->n, memory_order_relaxed);
    if (j->n_exposed) atomic_fetch_add_explicit(&m->stats.exposed, j->n_exposed, memory_order_relaxed);
}
