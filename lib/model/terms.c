/* From neighbour rows to terms of a score. */
#include "lib/model/terms.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"

#define LN_2 0.69314718055994530942

const char *terms_name(int term) {
    static const char *const names[TERMS] = {"forward",     "backward",     "successor", "embedding",
                                             "trend_short", "trend_middle", "trend_long"};
    return names[term];
}

struct terms *terms_new(const struct model_params *p) {
    struct terms *s = mem_zalloc(sizeof *s);
    if (!s) return NULL;
    uint32_t slots = 16;
    s->cap = p->neighbour_history * NEIGHBOUR_KINDS * p->neighbours + 1;
    while (slots < 2 * s->cap) slots *= 2;
    s->mask = slots - 1;
    s->rows = mem_map(s->cap * sizeof *s->rows);
    s->slots = mem_map(slots * sizeof *s->slots);
    if (s->rows && s->slots) return s;
    terms_free(s);
    return NULL;
}

void terms_free(struct terms *s) {
    if (!s) return;
    mem_unmap(s->rows, s->cap * sizeof *s->rows);
    mem_unmap(s->slots, ((size_t)s->mask + 1) * sizeof *s->slots);
    mem_free(s);
}

void terms_clear(struct terms *s) {
    if (s->n > s->mask / 8) {
        memset(s->slots, 0, ((size_t)s->mask + 1) * sizeof *s->slots);
    } else { /* backwards: a probe chain is taken apart from its end */
        for (uint32_t k = s->n; k-- > 0;) {
            uint32_t at = s->rows[k].row * 2654435761u;
            while (s->slots[at & s->mask] != k + 1) at++;
            s->slots[at & s->mask] = 0;
        }
    }
    s->n = 0;
}

struct terms_row *terms_at(struct terms *s, uint32_t row) {
    uint32_t at = row * 2654435761u;
    for (;; at++) {
        uint32_t slot = s->slots[at & s->mask];
        if (slot == 0) break;
        if (s->rows[slot - 1].row == row) return &s->rows[slot - 1];
    }
    CHECK(s->n < s->cap);
    struct terms_row *r = &s->rows[s->n++];
    *r = (struct terms_row){.row = row};
    s->slots[at & s->mask] = s->n;
    return r;
}

/* N_i at clock for each entry, from the compact copies of the counts. */
static void counts_at(const struct items *t, const uint32_t *rows, uint32_t n, int64_t clock_ms, float *out) {
    double shift = (double)clock_ms / (double)t->params->count_half_life_ms;
    for (uint32_t k = 0; k < n; k++) out[k] = (float)((item_log_count(t, rows[k]) - shift) * LN_2);
    fm_expf_n(out, n);
}

static float power(float x, uint32_t n) {
    float p = 1;
    for (; n > 0; n--) p *= x;
    return p;
}

void terms_measure(struct terms *s, const struct items *t, enum neighbour_kind kind, const struct neighbour_list *list,
                   uint32_t j, uint32_t rank, int64_t clock_ms) {
    const struct model_params *p = t->params;
    if (list->n == 0) return;
    float count_j;
    counts_at(t, &j, 1, clock_ms, &count_j);
    double half_life = (double)(kind == NEIGHBOUR_SUCCESSOR ? p->successor_half_life_ms : p->pair_half_life_ms);
    float fade = (float)fm_exp2((double)(list->reference_ms - clock_ms) / half_life);
    float scale = p->neighbour_scale * fade / (count_j + p->neighbour_shrink);
    float rank_weight = power(p->neighbour_decay, rank), exponent = -p->neighbour_popularity;
    counts_at(t, list->row, list->n, clock_ms, s->base);
    for (uint32_t k = 0; k < list->n; k++) s->base[k] += 1;
    fm_logf_n(s->base, list->n);
    for (uint32_t k = 0; k < list->n; k++) s->base[k] *= exponent;
    fm_expf_n(s->base, list->n);
    for (uint32_t k = 0; k < list->n; k++) s->numbers[k] = 1 + scale * list->weight[k] * s->base[k];
    fm_logf_n(s->numbers, list->n);
    for (uint32_t k = 0; k < list->n; k++)
        s->numbers[k] =
            (uint16_t)item_generation(t, list->row[k]) == list->generation[k] ? rank_weight * s->numbers[k] : 0;
}

void terms_add_list(struct terms *s, const struct items *t, enum neighbour_kind kind, const struct neighbour_list *list,
                    uint32_t j, uint32_t rank, int64_t clock_ms) {
    terms_measure(s, t, kind, list, j, rank, clock_ms);
    for (uint32_t k = 0; k < list->n; k++)
        if (s->numbers[k] > 0) terms_at(s, list->row[k])->value[kind] += s->numbers[k];
}

void terms_weigh(struct terms *s, const float *weight) {
    for (uint32_t k = 0; k < s->n; k++) {
        float sum = 0;
        for (int f = 0; f < TERMS_SPARSE; f++) sum += weight[f] * s->rows[k].value[f];
        s->rows[k].sum = sum;
    }
}
