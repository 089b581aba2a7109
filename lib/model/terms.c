/* From neighbour rows to terms of a score. */
#include "lib/model/terms.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/scan.h"

#define LN_2 0.69314718055994530942

const char *terms_name(int term) {
    static const char *const names[TERMS] = {"forward",  "backward",   "successor",     "segment",      "together",
                                             "lately",   "embedding",  "trend_short",   "trend_middle", "trend_long",
                                             "affinity", "succession", "feature_trend", "untouched"};
    return names[term];
}

struct terms *terms_new(const struct model_params *p) {
    struct terms *s = mem_zalloc(sizeof *s);
    if (!s) return NULL;
    s->cap = (p->neighbour_history * NEIGHBOUR_BY_ORDER + p->lately_history + p->user_features +
              TERMS_CART * (TERMS_SPARSE - TERMS_OF_CART)) *
                 p->neighbours +
             1;
    s->max_rows = ((size_t)p->max_items + SCAN_ROWS - 1) / SCAN_ROWS * SCAN_ROWS;
    s->rows = mem_map((s->cap + NEIGHBOUR_MAX + 1) * sizeof *s->rows);
    s->sum = mem_map(s->cap * sizeof *s->sum);
    s->place = mem_map(s->max_rows * sizeof *s->place);
    s->sums = mem_map(s->max_rows * sizeof *s->sums);
    if (s->rows && s->sum && s->place && s->sums) return s;
    terms_free(s);
    return NULL;
}

void terms_free(struct terms *s) {
    if (!s) return;
    mem_unmap(s->rows, (s->cap + NEIGHBOUR_MAX + 1) * sizeof *s->rows);
    mem_unmap(s->sum, s->cap * sizeof *s->sum);
    mem_unmap(s->place, s->max_rows * sizeof *s->place);
    mem_unmap(s->sums, s->max_rows * sizeof *s->sums);
    mem_free(s);
}

void terms_begin(struct terms *s, int64_t clock_ms) {
    s->clock_ms = clock_ms;
    for (uint32_t k = 0; k < s->n; k++) {
        s->sums[s->rows[k].row] = 0;
        s->place[s->rows[k].row] = 0;
    }
    memset(s->rows, 0, s->n * sizeof *s->rows);
    s->n = 0;
}

/* The places of n rows. Whether one is new is not asked by a branch, which would be guessed wrongly one time in four
 * and take most of an answer's time; hence masks, and every row is written down as the next new one, which it may not
 * be. */
static void places_of(struct terms *s, const uint32_t *row, uint32_t n, uint32_t *out) {
    struct terms_row *rows = s->rows;
    uint32_t *places = s->place;
    uint32_t known = s->n;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t before = places[row[k]], fresh = (before - 1) >> 31; /* 1 where there was none */
        rows[known].row = row[k];
        known += fresh;
        uint32_t place = before | ((0u - fresh) & known);
        places[row[k]] = place;
        out[k] = place - 1;
    }
    s->n = known;
}

void terms_clear(struct terms *s, int term) {
    for (uint32_t k = 0; k < s->n; k++) s->rows[k].value[term] = 0;
}

struct terms_row *terms_at(struct terms *s, uint32_t row) {
    uint32_t place;
    CHECK(s->n < s->cap);
    places_of(s, &row, 1, &place);
    return &s->rows[place];
}

/* N_i at clock, before its exponential, from the compact copies of the counts. */
static float log_count(const struct items *t, uint32_t row, double shift) {
    return (float)((item_log_count(t, row) - shift) * LN_2);
}

/* The factors of rows first, first + 1, ... */
static void measure_fresh(struct terms *s, const struct items *t, uint32_t first, double shift) {
    uint32_t n = s->n - first;
    float *x = s->fresh, exponent = -t->params->neighbour_popularity;
    if (n == 0) return;
    for (uint32_t k = 0; k < n; k++) {
        struct terms_row *r = &s->rows[first + k];
        r->generation = (uint16_t)item_generation(t, r->row);
        x[k] = log_count(t, r->row, shift);
    }
    fm_expf_n(x, n);
    for (uint32_t k = 0; k < n; k++) x[k] += 1;
    fm_logf_n(x, n);
    for (uint32_t k = 0; k < n; k++) x[k] *= exponent;
    fm_expf_n(x, n);
    for (uint32_t k = 0; k < n; k++) s->rows[first + k].factor = x[k];
}

void terms_measure(struct terms *s, const struct items *t, enum neighbour_kind kind, const struct neighbour_list *list,
                   uint32_t j, float near) {
    const struct model_params *p = t->params;
    double half_life = (double)neighbour_half_life_ms(p, kind);
    double shift = (double)s->clock_ms / (double)p->count_half_life_ms;
    uint32_t first = s->n, n = list->n;
    float *x = s->numbers;
    if (n == 0) return;
    CHECK(s->n <= s->cap);
    places_of(s, list->row, n, s->at);
    measure_fresh(s, t, first, shift);
    float fade = (float)fm_exp2((double)(list->reference_ms - s->clock_ms) / half_life);
    float scale = kind == NEIGHBOUR_LATELY
                      ? p->lately_scale * fade
                      : p->neighbour_scale * fade / (fm_expf(log_count(t, j, shift)) + p->neighbour_shrink);
    for (uint32_t k = 0; k < n; k++) { /* an item that is gone: log 1 is exactly 0 */
        const struct terms_row *r = &s->rows[s->at[k]];
        float grown = 1 + scale * list->weight[k] * r->factor;
        x[k] = r->generation == list->generation[k] ? grown : 1;
    }
    fm_logf_n(x, n);
    for (uint32_t k = 0; k < n; k++) x[k] *= near;
}

void terms_add_list(struct terms *s, const struct items *t, enum neighbour_kind kind, const struct neighbour_list *list,
                    uint32_t j, float near) {
    terms_measure(s, t, kind, list, j, near);
    for (uint32_t k = 0; k < list->n; k++) s->rows[s->at[k]].value[kind] += s->numbers[k];
}

/* I_v; taken[k]: P_vi of entry k now, 0 for items that are gone. */
static float information(struct terms *s, const struct items *t, const float *taken, uint32_t n, float n_segment,
                         float n_all, double shift) {
    float *lift = s->fresh, sum = 0;
    for (uint32_t k = 0; k < n; k++) lift[k] = log_count(t, s->rows[s->at[k]].row, shift);
    fm_expf_n(lift, n);
    for (uint32_t k = 0; k < n; k++) {
        float expected = lift[k] / n_all;
        lift[k] = (taken[k] + TERMS_PRIOR * expected) / ((n_segment + TERMS_PRIOR) * expected);
        if (!(taken[k] > 0) || !(expected > 0)) lift[k] = 1;
    }
    fm_logf_n(lift, n);
    for (uint32_t k = 0; k < n; k++) sum += taken[k] * lift[k];
    return sum > 0 ? sum / n_segment : 0;
}

void terms_add_segment(struct terms *s, const struct items *t, const struct neighbour_list *list, float n_segment,
                       float n_all) {
    const struct model_params *p = t->params;
    double shift = (double)s->clock_ms / (double)p->count_half_life_ms;
    uint32_t first = s->n, n = list->n;
    float *x = s->numbers;
    if (n == 0 || !(n_segment > 0)) return;
    CHECK(s->n <= s->cap);
    places_of(s, list->row, n, s->at);
    measure_fresh(s, t, first, shift);
    float fade = (float)fm_exp2((double)(list->reference_ms - s->clock_ms) / (double)p->count_half_life_ms);
    for (uint32_t k = 0; k < n; k++)
        x[k] = s->rows[s->at[k]].generation == list->generation[k] ? fade * list->weight[k] : 0;
    float near = information(s, t, x, n, n_segment, n_all, shift);
    float scale = p->segment_scale / (n_segment + p->neighbour_shrink);
    for (uint32_t k = 0; k < n; k++) x[k] = 1 + scale * x[k] * s->rows[s->at[k]].factor;
    fm_logf_n(x, n);
    for (uint32_t k = 0; k < n; k++) s->rows[s->at[k]].value[TERM_SEGMENT] += near * x[k];
}

void terms_weigh(struct terms *s, const float *weight) {
    for (uint32_t k = 0; k < s->n; k++) {
        float sum = 0;
        for (int f = 0; f < TERMS_SPARSE; f++) sum += weight[f] * s->rows[k].value[f];
        s->sums[s->rows[k].row] = s->sum[k] = sum;
    }
}
