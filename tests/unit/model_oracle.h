/* The score of an item for a user from its definition, in double: the oracle of what serves and explains. */
#ifndef RANKD_TESTS_MODEL_ORACLE_H
#define RANKD_TESTS_MODEL_ORACLE_H

#include <math.h>

#include "lib/model/recommend.h"
#include "lib/model/terms.h"

#define ORACLE_DIM 32

/* The event of each of the newest entries that the kind asks for, counted from the newest: into event[j] for entry n -
 * 1 - j. For what baskets had lately all came with one. Their number. */
static inline uint32_t oracle_events(const struct model *m, enum neighbour_kind kind, const struct user_entry *entries,
                                     uint32_t n, uint32_t *event) {
    bool lately = kind == NEIGHBOUR_LATELY;
    uint32_t most = lately ? m->params.lately_history : m->params.neighbour_history;
    if (n < most) most = n;
    for (uint32_t j = 0; j < most; j++) event[j] = j == 0 ? 0 : event[j - 1] + (!lately && !entries[n - j].together);
    return most;
}

/* sum_j kappa^event_j / sqrt(n of the event) log(1 + c F_ji / ((N_j + s) (1 + N_i)^a)) from its definition, in double.
 */
static inline double oracle_neighbours(struct model *m, enum neighbour_kind kind, const struct user_entry *entries,
                                       uint32_t n, uint32_t item_row) {
    const struct items *t = m->items;
    double sum = 0, day = (double)m->params.count_half_life_ms;
    uint32_t event[MODEL_MAX_HISTORY], most = oracle_events(m, kind, entries, n, event);
    for (uint32_t rank = 0; rank < most; rank++) {
        uint32_t j = n - 1 - rank, same = 0;
        for (uint32_t o = 0; o < most; o++) same += event[o] == event[rank];
        double weight = pow((double)m->params.neighbour_decay, event[rank]) / sqrt(same);
        struct neighbour_list list;
        const struct item_head *from = item_head(t, entries[j].row), *to = item_head(t, item_row);
        assert_int_equal(neighbours_peek(m->neighbours, kind, entries[j].row, &list, NULL), 0);
        for (uint32_t k = 0; k < list.n; k++) {
            if (list.row[k] != item_row) continue;
            double half_life = (double)(kind == NEIGHBOUR_SUCCESSOR ? m->params.successor_half_life_ms
                                        : kind == NEIGHBOUR_LATELY  ? m->params.lately_half_life_ms
                                                                    : m->params.pair_half_life_ms);
            double pairs = (double)list.weight[k] * exp2(-(double)(m->clock_ms - list.reference_ms) / half_life);
            double n_from = (double)from->count * exp2(-(double)(m->clock_ms - from->count_ms) / day);
            double n_to = (double)to->count * exp2(-(double)(m->clock_ms - to->count_ms) / day);
            double scale = kind == NEIGHBOUR_LATELY ? (double)m->params.lately_scale : 30 / (n_from + 5);
            sum += weight * log(1 + scale * pairs / pow(1 + n_to, (double)m->params.neighbour_popularity));
        }
    }
    return sum;
}

/* The score from its definition, in double. */
static inline double oracle_score(struct model *m, const float *p, const struct user_entry *entries, uint32_t n,
                                  int64_t since_ms, struct slice id) {
    const struct items *t = m->items;
    uint32_t row = items_find(t, id), used_entries = 0;
    double x[ORACLE_DIM], sum = 0, weight = 1, dot = 0, score;
    float blend[TERMS];
    blend_read(&m->blend, blend_bucket(n, since_ms), blend);
    for (int k = 0; k < ORACLE_DIM; k++) x[k] = 0;
    for (uint32_t j = n; j-- > 0 && used_entries < m->params.history;
         used_entries++, weight *= (double)m->params.history_decay) {
        double v = weight * (entries[j].types & 1 ? 1 : 0.5);
        sum += v;
        for (int k = 0; k < ORACLE_DIM; k++) x[k] += v * (double)item_y(t, entries[j].row)[k];
    }
    for (int k = 0; k < ORACLE_DIM; k++) {
        x[k] = (sum > 0 ? x[k] / sqrt(sum) : 0) + (p ? (double)p[k] : 0);
        dot += x[k] * (double)item_q(t, row)[k];
    }
    score = (double)blend[TERM_EMBEDDING] * (dot + (double)item_head(t, row)->bias);
    for (int h = 0; h < MODEL_TRENDS; h++) {
        double trend = item_head(t, row)->trend[h] - (double)m->clock_ms / (double)m->params.trend_half_life_ms[h];
        score += (double)blend[TERM_TREND + h] * fmax(-8, trend);
    }
    for (int kind = 0; kind < NEIGHBOUR_KINDS; kind++)
        if (kind != NEIGHBOUR_TOGETHER && kind != NEIGHBOUR_SEGMENT) /* of carts, and of users described */
            score += (double)blend[kind] * oracle_neighbours(m, (enum neighbour_kind)kind, entries, n, row);
    return score;
}

#endif
