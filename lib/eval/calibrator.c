/* The calibrator: four weights and a width for each bucket. */
#include "lib/eval/calibrator.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"

#define STEP       0.3f
#define UNDER_ROOT 1.0f
#define FADE       0.999f /* of the widths, a list */

struct bucket {
    float a, b;   /* slopes by score and by place */
    float ga, gb; /* AdaGrad sums */
    float c, d;   /* of the share in the list: sigmoid(c + d ln width) */
    float gc, gd;
    float width, lists; /* faded: sum of s_0 - s_(n-1), lists with scores */
};

struct calibrator {
    struct bucket buckets[CALIBRATOR_BUCKETS];
    float log_place[CALIBRATOR_LIST]; /* ln(i + 2) */
    /* the list at hand */
    struct bucket *at;
    uint32_t n;
    uint64_t n_others;
    bool scored;
    float z[CALIBRATOR_LIST], share[CALIBRATOR_LIST]; /* share: of p within the list, sum 1 */
    float in_list, log_width;
    float mean_z, mean_log; /* under share */
};

int calibrator_new(struct calibrator **out, struct err *e) {
    struct calibrator *c = mem_zalloc(sizeof *c);
    if (!c) return err_set(e, ERR_NOMEM, "", "no memory for a calibrator");
    for (int k = 0; k < CALIBRATOR_BUCKETS; k++)
        c->buckets[k] = (struct bucket){.b = 1, .ga = UNDER_ROOT, .gb = UNDER_ROOT, .gc = UNDER_ROOT, .gd = UNDER_ROOT};
    for (uint32_t i = 0; i < CALIBRATOR_LIST; i++) c->log_place[i] = fm_logf((float)i + 2);
    *out = c;
    return 0;
}

void calibrator_free(struct calibrator *c) { mem_free(c); }

unsigned calibrator_bucket(uint32_t history, int recent) {
    unsigned length = history <= 2 ? history : history <= 4 ? 3 : history <= 10 ? 4 : 5;
    return length + (recent ? 0 : 6);
}

/* Distances below the best in units of the usual width; false when scores say nothing. */
static bool measure(struct calibrator *c, const float *scores, uint32_t n) {
    struct bucket *k = c->at;
    c->log_width = 0;
    if (!scores || n == 0) return false;
    float width = scores[0] - scores[n - 1];
    if (!(width >= 0 && width <= 1e30f)) return false;
    k->width = FADE * k->width + width;
    k->lists = FADE * k->lists + 1;
    float unit = k->width / k->lists;
    if (!(unit > 0)) return false;
    for (uint32_t i = 0; i < n; i++) c->z[i] = (scores[0] - scores[i]) / unit;
    c->log_width = fm_logf(width / unit + 0.01f);
    return true;
}

void calibrator_ask(struct calibrator *c, unsigned bucket, const float *scores, uint32_t n, uint64_t n_others) {
    CHECK(bucket < CALIBRATOR_BUCKETS && n <= CALIBRATOR_LIST);
    struct bucket *k = c->at = &c->buckets[bucket];
    float sum = 0;
    c->n = n;
    c->n_others = n_others;
    c->scored = measure(c, scores, n);
    if (!c->scored) memset(c->z, 0, sizeof c->z);
    for (uint32_t i = 0; i < n; i++) c->share[i] = -k->a * c->z[i] - k->b * c->log_place[i];
    float top = n ? c->share[0] : 0;
    for (uint32_t i = 1; i < n; i++) top = c->share[i] > top ? c->share[i] : top;
    for (uint32_t i = 0; i < n; i++) c->share[i] -= top;
    fm_expf_n(c->share, n);
    for (uint32_t i = 0; i < n; i++) sum += c->share[i];
    c->mean_z = c->mean_log = 0;
    for (uint32_t i = 0; i < n; i++) {
        c->share[i] /= sum;
        c->mean_z += c->share[i] * c->z[i];
        c->mean_log += c->share[i] * c->log_place[i];
    }
    c->in_list = n ? fm_sigmoidf(k->c + k->d * c->log_width) : 0;
}

float calibrator_p(const struct calibrator *c, uint32_t place) {
    if (place < c->n) return c->in_list * c->share[place];
    return c->n_others ? (1 - c->in_list) / (float)c->n_others : 0;
}

void calibrator_learn(struct calibrator *c, uint32_t place) {
    struct bucket *k = c->at;
    float gc = (place < c->n ? 1.0f : 0.0f) - c->in_list, gd = gc * c->log_width;
    k->gc += gc * gc;
    k->gd += gd * gd;
    k->c += STEP * gc / fm_sqrtf(k->gc);
    k->d += STEP * gd / fm_sqrtf(k->gd);
    if (place >= c->n) return;
    float gb = c->mean_log - c->log_place[place];
    k->gb += gb * gb;
    k->b += STEP * gb / fm_sqrtf(k->gb);
    if (!c->scored) return;
    float ga = c->mean_z - c->z[place];
    k->ga += ga * ga;
    k->a += STEP * ga / fm_sqrtf(k->ga);
}
