/* The user vector, x = p + sum_j w_j y_j / sqrt(sum_j w_j), from the newest items of a user. */
#include "lib/model/history.h"

#include <string.h>

#include "lib/base/fmath.h"

static float entry_weight(const struct model_params *p, const struct user_entry *e, int64_t at_ms) {
    float w = 0;
    for (uint32_t t = 0; t < p->n_types; t++) {
        if (!((unsigned)e->types >> t & 1u)) continue;
        float of_type = p->types[t].history_weight;
        int64_t half_life = p->types[t].history_half_life_ms, age = at_ms - (int64_t)e->time_ms;
        if (half_life > 0 && age > 0) of_type *= (float)fm_exp2(-(double)age / (double)half_life);
        if (of_type > w) w = of_type;
    }
    return w;
}

uint32_t history_most(const struct items *t) {
    const struct model_params *p = t->params;
    uint32_t most = p->history > p->neighbour_history ? p->history : p->neighbour_history;
    if (p->lately_history > most && items_had_baskets(t)) most = p->lately_history;
    return p->affinity_history > most && items_described(t) > 0 ? p->affinity_history : most;
}

/* Parts first to end - 1 came with one event. */
static void close_moment(struct history *h, uint32_t first, uint32_t end, float weight) {
    if (first >= end) return;
    float share = weight / fm_sqrtf((float)(end - first));
    for (uint32_t k = first; k < end; k++) h->parts[k].near = share;
    if (first == 0) h->n_newest = end;
}

static uint32_t at_most(size_t n, uint32_t most) { return n < most ? (uint32_t)n : most; }

static void ask_lately(struct history *h, const struct items *t) {
    h->n_lately = items_had_baskets(t) ? at_most(h->n_known, t->params->lately_history) : 0;
    h->near_lately = h->n_lately > 0 ? 1 / fm_sqrtf((float)h->n_lately) : 0;
}

void history_of(struct history *h, const struct items *t, const struct user_entry *entries, uint32_t n, int64_t at_ms) {
    const struct model_params *p = t->params;
    float decay = 1, sum = 0, near = 1;
    uint32_t most = history_most(t), first = 0;
    bool parted = false; /* from the part before by the end of an event */
    history_clear(h);
    for (uint32_t k = n; k-- > 0 && h->n_known < most;) {
        bool told =
            (uint16_t)item_generation(t, entries[k].row) == entries[k].generation && user_entry_tells(&entries[k], p);
        if (told && parted && h->n_known > first) {
            close_moment(h, first, at_most(h->n_known, p->neighbour_history), near);
            first = (uint32_t)h->n_known;
            near *= p->neighbour_decay;
        }
        parted = (parted && !told) || !entries[k].together;
        if (!told) continue;
        float w = h->n_known < p->history ? entry_weight(p, &entries[k], at_ms) * decay : 0;
        decay *= p->history_decay;
        h->parts[h->n_known++] = (struct history_part){entries[k].row, w, 0};
        if (h->n_known <= p->history) h->n++;
        sum += w;
    }
    h->n_near = at_most(h->n_known, p->neighbour_history);
    close_moment(h, first, h->n_near, near);
    ask_lately(h, t);
    float z = sum > 0 ? 1.0f / fm_sqrtf(sum) : 0;
    for (size_t k = 0; k < h->n; k++) h->parts[k].weight *= z;
}

void history_add_segments(struct history *h, const struct model_params *p, const struct user_row *user) {
    h->n_segments = at_most(user->n_features, p->user_features);
    for (uint32_t k = 0; k < h->n_segments; k++) h->segments[k] = user_feature(user, p->dim, k);
}

static float to_length(const struct kernel *kernel, float *x, float length, size_t dim) {
    float square = kernel->dot(x, x, dim), factor = length / fm_sqrtf(square);
    if (!(square > 0) || !(factor > 0)) return 1; /* no direction, or too long for one */
    for (size_t k = 0; k < dim; k++) x[k] *= factor;
    return factor;
}

void history_gradient(const struct kernel *kernel, const float *x, float factor, float unit_scale, float *gx,
                      size_t dim) {
    float along = kernel->dot(gx, x, dim) / (unit_scale * unit_scale);
    for (size_t k = 0; k < dim; k++) gx[k] = factor * (gx[k] - along * x[k]);
}

float history_vector(const struct history *h, const struct items *t, const struct kernel *kernel, const float *p,
                     bool shared, float *x) {
    if (p)
        memcpy(x, p, sizeof(float) * t->dim);
    else
        memset(x, 0, sizeof(float) * t->dim);
    float y[MODEL_MAX_DIM];
    struct item_head head;
    for (size_t k = 0; k < h->n; k++) {
        const float *from = y;
        if (shared)
            item_read(t, h->parts[k].row, &head, NULL, y);
        else
            from = item_y(t, h->parts[k].row);
        kernel->axpy(x, h->parts[k].weight, from, t->dim);
    }
    return t->params->unit_scale > 0 ? to_length(kernel, x, t->params->unit_scale, t->dim) : 1;
}
