/* What the items that share an untouched item's features have learned. */
#include "lib/model/kin.h"

#include <string.h>

#include "lib/base/fmath.h"
#include "lib/model/content.h"
#include "lib/model/feature.h"

#define KIN_SUM   1e-6f /* AdaGrad sum of q: it counts as learned, and steps stay as large as those of a new item */
#define LIVE_PART 16u   /* looking at the features of a live item takes as long as so many places of a posting list */

struct sample { /* the live items with the smallest keys, ascending */
    uint64_t key[KIN_SAMPLE];
    uint32_t row[KIN_SAMPLE], n;
};

struct mean {
    float q[MODEL_MAX_DIM], y[MODEL_MAX_DIM], bias, weight;
};

/* Posting lists have no order that a restart would keep, so the items are told apart by keys. */
static void offer(struct sample *s, uint64_t key, uint32_t row) {
    uint32_t at = s->n < KIN_SAMPLE ? s->n++ : KIN_SAMPLE - 1;
    for (; at > 0 && s->key[at - 1] > key; at--) {
        s->key[at] = s->key[at - 1];
        s->row[at] = s->row[at - 1];
    }
    s->key[at] = key;
    s->row[at] = row;
}

static void consider(struct sample *s, const struct model *m, uint64_t seed, uint32_t row) {
    uint64_t key = draw_mix(seed ^ row);
    if (s->n == KIN_SAMPLE && key >= s->key[KIN_SAMPLE - 1]) return;
    const struct item_head *head = item_head(m->items, row);
    if (head->live && head->q_sum > 0) offer(s, key, row);
}

static bool has_feature(const struct model *m, uint32_t row, uint32_t feature) {
    const struct feature_list *l = features_of(m->features, row);
    for (uint32_t k = 0; l && k < l->n; k++)
        if (l->feature[k] == feature) return true;
    return false;
}

/* From the items that have the feature or from those that are live, whichever are fewer by far: the sample is the same.
 * While a catalogue is described that hardly anybody has touched, the first would take the square of its size. */
static void draw_sample(struct sample *s, const struct model *m, uint32_t feature, uint32_t of) {
    const struct posting *p = posting_read(&m->features->postings[feature]);
    uint64_t seed = draw_mix(m->params.seed + of);
    uint32_t places = posting_places(p), n_live = m->items->n_live;
    s->n = 0;
    if (n_live < places / LIVE_PART) {
        for (uint32_t k = 0; k < n_live; k++)
            if (has_feature(m, m->items->live[k], feature)) consider(s, m, seed, m->items->live[k]);
        return;
    }
    for (uint32_t k = 0; k < places; k++)
        if (posting_item(p, k) != POSTING_HOLE) consider(s, m, seed, posting_item(p, k));
}

static void add_sample(struct mean *to, const struct model *m, const struct sample *s, float weight) {
    float each = weight / (float)s->n;
    for (uint32_t k = 0; k < s->n; k++) {
        m->kernel->axpy(to->q, each, item_q(m->items, s->row[k]), m->params.dim);
        m->kernel->axpy(to->y, each, item_y(m->items, s->row[k]), m->params.dim);
        to->bias += each * item_head(m->items, s->row[k])->bias;
    }
    to->weight += weight;
}

static void store(struct model *m, uint32_t row, struct mean *mean) {
    struct item_head *head = item_head(m->items, row), next = *head;
    float values[2 * MODEL_MAX_DIM];
    uint32_t dim = m->params.dim;
    for (uint32_t k = 0; k < dim; k++) {
        values[k] = mean->q[k] / mean->weight;
        values[dim + k] = mean->y[k] / mean->weight;
    }
    if (m->params.unit_scale > 0) item_to_unit(values, dim);
    next.bias = mean->bias / mean->weight;
    next.q_sum = KIN_SUM;
    item_change(m->items, row);
    item_begin(head);
    item_store_head(head, &next);
    item_store(item_q(m->items, row), values, 2 * sizeof(float) * dim);
    item_end(head);
}

void kin_start(struct model *m, uint32_t row) {
    const struct feature_list *l = features_of(m->features, row);
    struct mean mean;
    struct sample s;
    if (!l || item_head(m->items, row)->live || m->items->n_live == 0) return;
    memset(&mean, 0, sizeof mean);
    float base = content_idf_base(items_described(m->items));
    for (uint32_t k = 0; k < l->n; k++) {
        uint32_t v = l->feature[k];
        if (atomic_load_explicit(&m->features->rows[v].n, memory_order_relaxed) > KIN_MOST) continue;
        draw_sample(&s, m, v, row);
        if (s.n > 0) add_sample(&mean, m, &s, content_idf(base, feature_log_n(m->features, v)));
    }
    if (mean.weight > 0) store(m, row, &mean);
}
