/* Rows and sums fade by the time between their events. */
#include "lib/model/forget.h"

#include "lib/base/fmath.h"

static bool forgets(const struct model_params *p) { return p->row_half_life_ms > 0 || p->sum_half_life_ms > 0; }

static float left(int64_t passed_ms, int64_t half_life_ms) {
    return half_life_ms > 0 ? (float)fm_exp2(-(double)passed_ms / (double)half_life_ms) : 1;
}

static void fade(float *out, const float *v, float part, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) out[k] = part * v[k];
}

void forget_item(struct model *m, uint32_t row, int64_t t) {
    const struct model_params *p = &m->params;
    struct item_head *head = item_head(m->items, row), next = *head;
    int64_t passed = t - head->count_ms;
    if (!forgets(p) || !head->live || passed <= 0) return;
    float rows = left(passed, p->row_half_life_ms), sums = left(passed, p->sum_half_life_ms);
    float faded[2 * MODEL_MAX_DIM];
    next.bias *= rows;
    next.q_sum *= sums;
    next.y_sum *= sums;
    fade(faded, item_q(m->items, row), rows, 2 * p->dim); /* q and y stand together */
    item_change(m->items, row);
    item_begin(head);
    item_store_head(head, &next);
    item_store(item_q(m->items, row), faded, 2 * sizeof(float) * p->dim);
    item_end(head);
}

void forget_user(const struct model_params *p, struct user_row *user, int64_t t) {
    int64_t passed = t - user->last_ms;
    if (!forgets(p) || user->n == 0 || passed <= 0) return;
    fade(user->p, user->p, left(passed, p->row_half_life_ms), p->dim);
    user->p_sum *= left(passed, p->sum_half_life_ms);
}
