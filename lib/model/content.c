/* Content terms: from a history to values of features, from these to terms of items, and bounds of them. */
#include "lib/model/content.h"

#include <math.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/scan.h"
#include "lib/model/succession.h"

#define PER_LN_2    1.44269504088896340736f
#define TREND_ABOVE 8.0   /* added to the trend of features: below it a trend is none */
#define LISTED      4096u /* rows that are listed, if these are more than a part of all */
#define LISTED_PART 32u
#define ROUNDING    1e-5f /* relative, of a mean of MODEL_MAX_FEATURES values in float32: (64 + 4) 2^-24 and room */

struct content *content_new(const struct model_params *p) {
    struct content *c = mem_zalloc(sizeof *c);
    if (!c) return NULL;
    c->max_features = p->max_features ? p->max_features : 1;
    c->max_items = p->max_items;
    /* Lists of items may be of a time when params.item_features was larger. */
    uint32_t most =
        p->affinity_history * MODEL_MAX_FEATURES + p->succession_history * p->succession_features * p->neighbours + 1;
    c->cap = most < c->max_features ? most : c->max_features;
    c->value = mem_map(c->max_features * sizeof *c->value);
    c->touched = mem_map(c->cap * sizeof *c->touched);
    c->heap = mem_map(c->cap * sizeof *c->heap);
    c->number = mem_map(2 * (size_t)c->cap * sizeof *c->number);
    c->rows = mem_map(c->max_items * sizeof *c->rows);
    c->listed = mem_map(((size_t)c->max_items / 64 + 1) * sizeof *c->listed);
    if (c->value && c->touched && c->heap && c->number && c->rows && c->listed) return c;
    content_free(c);
    return NULL;
}

void content_free(struct content *c) {
    if (!c) return;
    mem_unmap(c->value, c->max_features * sizeof *c->value);
    mem_unmap(c->touched, c->cap * sizeof *c->touched);
    mem_unmap(c->heap, c->cap * sizeof *c->heap);
    mem_unmap(c->number, 2 * (size_t)c->cap * sizeof *c->number);
    mem_unmap(c->rows, c->max_items * sizeof *c->rows);
    mem_unmap(c->listed, ((size_t)c->max_items / 64 + 1) * sizeof *c->listed);
    mem_free(c);
}

static void unlist(struct content *c) {
    for (uint32_t k = 0; k < c->n_rows; k++) c->listed[c->rows[k] / 64] = 0;
    c->n_rows = 0;
}

static void clear(struct content *c) {
    for (uint32_t k = 0; k < c->n_touched; k++) c->value[c->touched[k]] = (struct content_value){0, 0};
    c->n_touched = 0;
    unlist(c);
    c->rest = c->most_lift = 0;
    c->of = NULL;
}

static struct content_value *value_at(struct content *c, uint32_t v) {
    struct content_value *at = &c->value[v];
    if (!(at->affinity > 0) && !(at->succession > 0)) {
        CHECK(c->n_touched < c->cap);
        c->touched[c->n_touched++] = v;
    }
    return at;
}

float content_idf_base(uint32_t n_described) { return (float)fm_log2((double)n_described + 1) + 0.5f; }

static float idf(const struct content *c, uint32_t v) { return content_idf(c->base, feature_log_n(c->of, v)); }

static void add_affinity(struct content *c, const struct history *h, uint32_t most) {
    for (uint32_t r = 0; r < h->n_known && r < most; r++) {
        const struct feature_list *l = features_of(c->of, h->parts[r].row);
        float share = 1 / ((float)r + 0.5f);
        for (uint32_t k = 0; l && k < l->n; k++) value_at(c, l->feature[k])->affinity += share;
    }
}

struct source { /* a feature of the newest items, with its weight in S */
    uint32_t v;
    float weight;
};

static uint32_t sources_of(const struct content *c, const struct model_params *p, const struct history *h,
                           struct source *out) {
    uint32_t n = 0;
    float by_rank = 1;
    for (uint32_t r = 0; r < h->n_known && r < p->succession_history; r++, by_rank *= p->neighbour_decay) {
        const struct feature_list *l = features_of(c->of, h->parts[r].row);
        uint32_t of = !l ? 0 : l->n < p->succession_features ? l->n : p->succession_features;
        float sum = 0;
        for (uint32_t k = 0; k < of; k++) sum += idf(c, l->feature[k]);
        for (uint32_t k = 0; k < of; k++) {
            uint32_t v = l->feature[k], at = 0;
            while (at < n && out[at].v != v) at++;
            if (at == n) out[n++] = (struct source){v, 0};
            out[at].weight += by_rank * idf(c, v) / sum;
        }
    }
    return n;
}

static int add_successions(struct content *c, const struct model *m, const struct history *h, int64_t clock_ms,
                           unsigned reader, struct err *e) {
    const struct model_params *p = &m->params;
    struct neighbours *s = c->of->successions;
    struct source from[SUCCESSION_MAX * SUCCESSION_MAX];
    uint32_t n = sources_of(c, p, h, from);
    double shift = (double)clock_ms / (double)p->count_half_life_ms;
    for (uint32_t k = 0; k < n; k++) {
        int rc = reader == CONTENT_LEARNER ? neighbours_peek(s, NEIGHBOUR_FORWARD, from[k].v, &c->list, e)
                                           : neighbours_read(s, reader, NEIGHBOUR_FORWARD, from[k].v, &c->list, e);
        if (rc < 0) return rc;
        float count = (float)fm_exp2(feature_log_count(c->of, from[k].v) - shift);
        float fade = (float)fm_exp2((double)(c->list.reference_ms - clock_ms) / (double)p->pair_half_life_ms);
        float scale = from[k].weight * fade / (count + p->neighbour_shrink);
        for (uint32_t i = 0; i < c->list.n; i++) {
            uint32_t v = c->list.row[i];
            float share = scale * c->list.weight[i];
            if ((uint16_t)feature_generation(c->of, v) != c->list.generation[i] || !(share > 0)) continue;
            value_at(c, v)->succession += share;
        }
    }
    return 0;
}

/* From sums to logarithms. */
static void scale_values(struct content *c, float scale) {
    for (uint32_t k = 0; k < c->n_touched; k++) {
        const struct content_value *v = &c->value[c->touched[k]];
        uint32_t n = atomic_load_explicit(&c->of->rows[c->touched[k]].n, memory_order_relaxed);
        float each = scale / (float)(n > 1 ? n : 1);
        c->number[2 * k] = 1 + each * v->affinity;
        c->number[2 * k + 1] = 1 + each * v->succession;
    }
    fm_logf_n(c->number, 2 * (size_t)c->n_touched);
    for (uint32_t k = 0; k < c->n_touched; k++)
        c->value[c->touched[k]] = (struct content_value){PER_LN_2 * c->number[2 * k], PER_LN_2 * c->number[2 * k + 1]};
}

static float trend_of(const struct content *c, double rate) {
    double trend = rate - c->shift + TREND_ABOVE;
    return trend > 0 ? (float)trend : 0;
}

int content_fill(struct content *c, const struct model *m, const struct history *h, int64_t clock_ms, unsigned reader,
                 struct err *e) {
    const struct model_params *p = &m->params;
    uint32_t n = items_described(m->items);
    clear(c);
    if (n == 0) return 0;
    c->of = m->features;
    c->items = m->items;
    c->base = content_idf_base(n);
    c->shift = (double)clock_ms / (double)p->trend_half_life_ms[FEATURE_TREND];
    double own = (double)p->trend_half_life_ms[FEATURE_TREND];
    for (int k = 0; k < MODEL_TRENDS; k++) c->ratio[k] = (float)fm_log2((double)p->trend_half_life_ms[k] / own);
    add_affinity(c, h, p->affinity_history);
    int rc = add_successions(c, m, h, clock_ms, reader, e);
    if (rc < 0)
        clear(c);
    else
        scale_values(c, p->feature_scale);
    return rc;
}

static float lift_of(const struct content *c, int h, float trend) {
    float lift = trend + c->ratio[h];
    return trend > 0 && lift > 0 ? lift : 0;
}

bool content_terms(const struct content *c, uint32_t row, struct content_terms *out) {
    const struct feature_list *l = features_of(c->of, row);
    float sum = 0, affinity = 0, succession = 0, trend = 0;
    memset(out, 0, sizeof *out);
    if (!l) return false;
    for (uint32_t k = 0; k < l->n; k++) {
        uint32_t v = l->feature[k];
        float w = idf(c, v);
        sum += w;
        affinity += w * c->value[v].affinity;
        succession += w * c->value[v].succession;
        trend += w * trend_of(c, feature_trend(c->of, v) - (double)feature_log_n(c->of, v));
    }
    out->term[0] = affinity / sum;
    out->term[1] = succession / sum;
    out->term[2] = trend / sum;
    if (item_is_cold(c->items, row)) {
        out->term[3] = CONTENT_UNTOUCHED;
        for (int h = 0; h < MODEL_TRENDS; h++) out->lift[h] = lift_of(c, h, out->term[2]);
    }
    return true;
}

static bool has_feature(const struct content *c, uint32_t row, uint32_t v) {
    const struct feature_list *l = features_of(c->of, row);
    uint32_t k = 0, n = l ? l->n : 0;
    while (k < n && l->feature[k] != v) k++;
    return k < n;
}

/* Of one feature, whose part of the term this is. */
static void share_out(const struct content *c, const struct history *h, uint32_t v, float of_feature, float *part) {
    float share[MODEL_MAX_HISTORY], sum = 0;
    uint32_t n = (uint32_t)h->n_known, most = c->items->params->affinity_history;
    for (uint32_t r = 0; r < n && r < most; r++) {
        share[r] = has_feature(c, h->parts[r].row, v) ? 1 / ((float)r + 0.5f) : 0;
        sum += share[r];
    }
    for (uint32_t r = 0; r < n && r < most && sum > 0; r++) part[r] += of_feature * share[r] / sum;
}

void content_affinity_parts(const struct content *c, const struct history *h, uint32_t row, float weight, float *part) {
    const struct feature_list *l = features_of(c->of, row);
    float sum = 0;
    for (uint32_t k = 0; l && k < l->n; k++) sum += idf(c, l->feature[k]);
    for (uint32_t k = 0; l && k < l->n; k++) {
        uint32_t v = l->feature[k];
        float affinity = c->value[v].affinity;
        if (affinity > 0) share_out(c, h, v, weight * idf(c, v) / sum * affinity, part);
    }
}

/* --- bounds: a mean is at most the largest of its values --- */

/* *size: of what was added up, raised by it. */
static float value_of(const struct content *c, uint32_t v, float *size) {
    float trend = trend_of(c, feature_trend(c->of, v) - (double)feature_log_n(c->of, v));
    const struct content_terms t = {{c->value[v].affinity, c->value[v].succession, trend, 0}, {0}};
    for (int k = 0; k < CONTENT_TERMS; k++) *size += fabsf(c->weight[TERM_CONTENT + k] * t.term[k]);
    return content_sum(c->weight, &t);
}

static float float_of(uint64_t entry) {
    uint32_t bits = (uint32_t)(entry >> 32);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Values above 0 order like their bits. */
static uint64_t entry_of(float value, uint32_t v) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint64_t)bits << 32 | v;
}

static void sift(uint64_t *heap, uint32_t n, uint32_t at) { /* largest on top */
    uint64_t moved = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= moved) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void list_items(struct content *c, const struct posting *p, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) {
        uint32_t row = posting_item(p, k);
        if (row == POSTING_HOLE || content_lists(c, row)) continue;
        c->listed[row / 64] |= UINT64_C(1) << row % 64;
        c->rows[c->n_rows++] = row;
    }
}

/* What an untouched item of the strongest trend gets beside the terms of its features. */
static void weigh_lifts(struct content *c, float trend) {
    float lifts[MODEL_TRENDS + 1] = {c->weight[TERM_UNTOUCHED] * CONTENT_UNTOUCHED};
    for (int h = 0; h < MODEL_TRENDS; h++) lifts[1 + h] = c->weight[TERM_TREND + h] * lift_of(c, h, trend);
    for (int k = 0; k <= MODEL_TRENDS; k++) {
        if (lifts[k] > 0) c->most_lift += lifts[k];
        c->most_lift += ROUNDING * fabsf(lifts[k]);
    }
}

void content_weigh(struct content *c, const float *weight, uint32_t n_rows) {
    unlist(c);
    memcpy(c->weight, weight, sizeof c->weight);
    c->rest = c->most_lift = 0;
    if (!c->of) return;
    uint32_t n = 0, most = n_rows / LISTED_PART > LISTED ? n_rows / LISTED_PART : LISTED, walked = 0;
    double highest = atomic_load_explicit(&c->of->highest, memory_order_relaxed);
    float trend = c->weight[TERM_FEATURE_TREND] * trend_of(c, highest), largest = fabsf(trend);
    if (trend < 0) trend = 0;
    for (uint32_t k = 0; k < c->n_touched; k++) {
        float size = 0, value = value_of(c, c->touched[k], &size);
        if (value > trend) c->heap[n++] = entry_of(value, c->touched[k]);
        if (size > largest) largest = size;
    }
    for (uint32_t k = n / 2; k-- > 0;) sift(c->heap, n, k);
    float rest = trend;
    while (n > 0) {
        const struct posting *p = posting_read(&c->of->postings[(uint32_t)c->heap[0]]);
        uint32_t places = posting_places(p);
        walked += places;
        if (walked > most) {
            rest = float_of(c->heap[0]);
            break;
        }
        list_items(c, p, places);
        c->heap[0] = c->heap[--n];
        if (n > 0) sift(c->heap, n, 0);
    }
    c->rest = rest + ROUNDING * largest;
    weigh_lifts(c, trend_of(c, highest));
}

_Static_assert(SCAN_ROWS == ITEM_COLD_ROWS, "a block of the scan is asked whether it has cold rows");

/* fl(bound + content) <= fl(bound + rest): what is not above least - rest by more than the rounding of that is out. */
float content_reach(const struct content *c, uint32_t first, float least) {
    if (!c || !c->of || !(least > -INFINITY)) return least;
    float rest = items_cold_near(c->items, first) ? c->rest + c->most_lift : c->rest;
    return rest > 0 ? least - rest - 0x1p-21f * (fabsf(least) + rest) : least;
}
