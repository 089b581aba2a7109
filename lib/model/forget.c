/* Rows and sums fade by the time between their events, and by alarms. */
#include "lib/model/forget.h"

#include "lib/base/fmath.h"

struct left { /* of what a row holds */
    float embedding, sums, count;
    bool all;
};

static float fading(int64_t passed_ms, int64_t half_life_ms) {
    return half_life_ms > 0 && passed_ms > 0 ? (float)fm_exp2(-(double)passed_ms / (double)half_life_ms) : 1;
}

/* Of a row whose newest event before the one at t was at last. */
static struct left left_of(const struct model *m, int64_t last, int64_t t) {
    const struct model_params *p = &m->params;
    struct left l = {.embedding = fading(t - last, p->row_half_life_ms), .sums = fading(t - last, p->sum_half_life_ms)};
    l.count = 1;
    if (drift_forgets(&m->drift, last, t)) {
        l.sums *= p->drift_sums;
        l.count = (float)fm_exp2(-(double)p->drift_age);
    }
    l.all = l.embedding == 1 && l.sums == 1 && l.count == 1;
    return l;
}

static void fade(float *out, const float *v, float part, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) out[k] = part * v[k];
}

void forget_item(struct model *m, uint32_t row, int64_t t) {
    struct item_head *head = item_head(m->items, row), next = *head;
    if (!head->live) return;
    struct left left = left_of(m, head->count_ms, t);
    if (left.all) return;
    float faded[2 * MODEL_MAX_DIM];
    next.bias *= left.embedding;
    next.q_sum *= left.sums;
    next.y_sum *= left.sums;
    next.count *= left.count;
    fade(faded, item_q(m->items, row), left.embedding, 2 * m->items->dim); /* q and y stand together */
    item_change(m->items, row);
    item_begin(head);
    item_store_head(head, &next);
    item_store(item_q(m->items, row), faded, 2 * sizeof(float) * m->items->dim);
    item_end(head);
}

void forget_user(const struct model *m, struct user_row *user, int64_t t) {
    if (user->n == 0) return;
    struct left left = left_of(m, user->last_ms, t);
    if (left.all) return;
    fade(user->p, user->p, left.embedding, m->params.dim);
    user->p_sum *= left.sums;
}
