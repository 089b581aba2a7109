/* Gradients of the losses, each in a few passes over the negatives that the compiler can turn into vectors. */
#include "lib/model/loss.h"

#include "lib/base/fmath.h"

#define LOWEST (-1e30f)

static const char *const names[LOSS_KINDS] = {"wbpr", "bpr", "bpr-max", "hinge", "warp", "sampled-softmax", "logistic"};

const char *loss_name(enum loss_kind kind) { return names[kind]; }

static float sharpness(const struct loss_params *p) { return p->temperature > 0 ? 1 / p->temperature : 1; }

/* z_j = r_j / T - log often_j, minus the largest of them. */
static void logits(const struct loss_params *p, const struct loss_scores *s, float *z) {
    float sharp = sharpness(p), often = p->ignore_often ? 0 : 1, top = LOWEST;
    for (uint32_t k = 0; k < s->n; k++) {
        z[k] = sharp * s->r[k] - often * s->log_often[k];
        if (z[k] > top) top = z[k];
    }
    for (uint32_t k = 0; k < s->n; k++) z[k] -= top;
}

static float sum_of(const float *v, uint32_t n) {
    float sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += v[k];
    return sum;
}

/* What each draw stands for, 1 / often_j; returns the sum. */
static float shares(const struct loss_params *p, const struct loss_scores *s, float *v) {
    float often = p->ignore_often ? 0 : -1;
    for (uint32_t k = 0; k < s->n; k++) v[k] = often * s->log_often[k];
    fm_expf_n(v, s->n);
    return sum_of(v, s->n);
}

static float wbpr(const struct loss_params *p, const struct loss_scores *s, float *g, float *a) {
    logits(p, s, a);
    for (uint32_t k = 0; k < s->n; k++) g[k] = s->item - s->r[k];
    fm_expf_n(a, s->n);
    fm_expf_n(g, s->n);
    float sum = sum_of(a, s->n);
    for (uint32_t k = 0; k < s->n; k++) g[k] = s->weight * (a[k] / sum) / (1 + g[k]);
    return sum_of(g, s->n);
}

static float bpr(const struct loss_scores *s, float *g) {
    float w = s->weight / (float)s->n;
    for (uint32_t k = 0; k < s->n; k++) g[k] = s->item - s->r[k];
    fm_expf_n(g, s->n);
    for (uint32_t k = 0; k < s->n; k++) g[k] = w / (1 + g[k]);
    return sum_of(g, s->n);
}

/* t_j, the softmax of z_j + log sigmoid(r_i - r_j), is each negative's part of the sum under the logarithm:
 *   dL/dr_j = w ((s_j - t_j) / T + t_j sigmoid(r_j - r_i) + score_l2 (s_j (r_j^2 - sum_k s_k r_k^2) / T + 2 s_j r_j))
 */
static float bpr_max(const struct loss_params *p, const struct loss_scores *s, float *g, float *a, float *t) {
    float sharp = sharpness(p), top = LOWEST, squares = 0, g_item = 0;
    uint32_t n = s->n;
    logits(p, s, a);
    for (uint32_t k = 0; k < n; k++) {
        float d = s->item - s->r[k];
        g[k] = d;
        t[k] = d < 0 ? d : -d;
    }
    fm_expf_n(t, n);
    for (uint32_t k = 0; k < n; k++) t[k] += 1;
    fm_logf_n(t, n);
    for (uint32_t k = 0; k < n; k++) { /* log sigmoid(d) = min(d, 0) - log(1 + e^-|d|) */
        t[k] = a[k] + ((g[k] < 0 ? g[k] : 0) - t[k]);
        if (t[k] > top) top = t[k];
    }
    for (uint32_t k = 0; k < n; k++) t[k] -= top;
    fm_expf_n(a, n);
    fm_expf_n(t, n);
    fm_expf_n(g, n);
    float sum_a = sum_of(a, n), sum_t = sum_of(t, n);
    for (uint32_t k = 0; k < n; k++) {
        a[k] /= sum_a;
        t[k] /= sum_t;
        squares += a[k] * (s->r[k] * s->r[k]);
    }
    for (uint32_t k = 0; k < n; k++) {
        float pair = t[k] / (1 + g[k]), r = s->r[k];
        g_item += pair;
        g[k] = s->weight *
               (sharp * (a[k] - t[k]) + pair + p->score_l2 * (sharp * a[k] * (r * r - squares) + 2 * a[k] * r));
    }
    return s->weight * g_item;
}

static float hinge(const struct loss_params *p, const struct loss_scores *s, float *g) {
    float w = s->weight / (float)s->n;
    for (uint32_t k = 0; k < s->n; k++) g[k] = s->item - s->r[k] < p->margin ? w : 0;
    return sum_of(g, s->n);
}

float loss_rank_weight(float k) { return fm_logf(k) + 0.5772157f + 0.5f / k - 1 / (12 * k * k); }

/* The rank is estimated by the share of the draws within the margin, each weighing as many items as it stands for. */
static float warp(const struct loss_params *p, const struct loss_scores *s, float *g, float *v) {
    float all = shares(p, s, v), within = 0;
    for (uint32_t k = 0; k < s->n; k++) {
        g[k] = s->item - s->r[k] < p->margin ? v[k] : 0;
        within += g[k];
    }
    if (!(within > 0)) return 0;
    float rank = within / all * (s->n_live - 1);
    float w = s->weight * loss_rank_weight(rank > 1 ? rank : 1) / loss_rank_weight(s->n_live - 1) / within;
    for (uint32_t k = 0; k < s->n; k++) g[k] *= w;
    return sum_of(g, s->n);
}

/* p_i and p_j are the parts of  e^(r_i / T) + sum_j (N - 1) / n e^z_j.  Without smoothing 1 - p_i is computed as the
 * sum of the others, which keeps it exact near 0. */
static float sampled_softmax(const struct loss_params *p, const struct loss_scores *s, float *g, float *a) {
    float sharp = sharpness(p), often = p->ignore_often ? 0 : 1, w = s->weight * sharp;
    float each = often * fm_logf((s->n_live - 1) / (float)s->n), top = sharp * s->item, sum_v = 1;
    for (uint32_t k = 0; k < s->n; k++) {
        a[k] = sharp * s->r[k] - often * s->log_often[k] + each;
        if (a[k] > top) top = a[k];
    }
    for (uint32_t k = 0; k < s->n; k++) a[k] -= top;
    fm_expf_n(a, s->n);
    float sum = sum_of(a, s->n) + fm_expf(sharp * s->item - top);
    if (p->smoothing > 0) sum_v = shares(p, s, g);
    for (uint32_t k = 0; k < s->n; k++)
        g[k] = w * (a[k] / sum - (p->smoothing > 0 ? p->smoothing * (g[k] / sum_v) : 0));
    return sum_of(g, s->n);
}

static float logistic(const struct loss_params *p, const struct loss_scores *s, float *g, float *v) {
    float w = s->weight / shares(p, s, v);
    for (uint32_t k = 0; k < s->n; k++) g[k] = -s->r[k];
    fm_expf_n(g, s->n);
    for (uint32_t k = 0; k < s->n; k++) g[k] = w * v[k] / (1 + g[k]);
    float c = 1 + p->alpha * (p->log_count ? fm_logf(1 + s->count) : s->count);
    return s->weight * c * fm_sigmoidf(-s->item);
}

/* -entropy H(a): its derivative is entropy a_j (log a_j + H) / T, which sums to 0: the item is left alone. */
static void add_entropy(const struct loss_params *p, const struct loss_scores *s, float *g, float *a, float *log_a) {
    float w = s->weight * p->entropy * sharpness(p), h = 0;
    logits(p, s, log_a);
    for (uint32_t k = 0; k < s->n; k++) a[k] = log_a[k];
    fm_expf_n(a, s->n);
    float sum = sum_of(a, s->n), log_sum = fm_logf(sum);
    for (uint32_t k = 0; k < s->n; k++) {
        a[k] /= sum;
        log_a[k] -= log_sum;
        h -= a[k] * log_a[k];
    }
    for (uint32_t k = 0; k < s->n; k++) g[k] += w * a[k] * (log_a[k] + h);
}

static float gradient(const struct loss_params *p, const struct loss_scores *s, float *g, float *scratch) {
    switch (p->kind) {
    case LOSS_WBPR:
        return wbpr(p, s, g, scratch);
    case LOSS_BPR:
        return bpr(s, g);
    case LOSS_BPR_MAX:
        return bpr_max(p, s, g, scratch, scratch + s->n);
    case LOSS_HINGE:
        return hinge(p, s, g);
    case LOSS_WARP:
        return warp(p, s, g, scratch);
    case LOSS_SAMPLED_SOFTMAX:
        return sampled_softmax(p, s, g, scratch);
    case LOSS_LOGISTIC:
        return logistic(p, s, g, scratch);
    }
    return 0;
}

float loss_gradient(const struct loss_params *p, const struct loss_scores *s, float *g, float *scratch) {
    float g_item = gradient(p, s, g, scratch);
    if (p->entropy > 0) add_entropy(p, s, g, scratch, scratch + s->n);
    return g_item;
}
