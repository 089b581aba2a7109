/* Losses of one positive item against sampled negatives: their gradients by score.
 *
 * r_i is the score of the positive, r_j those of the n negatives, often_j how many times more often j is drawn than by
 * a uniform draw, N the number of live items, w the weight of the event, T the temperature, z_j = r_j / T - log
 * often_j.
 *
 *   wbpr             w sum_j a_j log(1 + e^(r_j - r_i)),  a = softmax(z), held constant
 *   bpr              w/n sum_j log(1 + e^(r_j - r_i))
 *   bpr-max          -w log sum_j s_j sigmoid(r_i - r_j) + w score_l2 sum_j s_j r_j^2,  s = softmax(z)
 *   hinge            w/n sum_j max(0, margin - r_i + r_j)
 *   warp             w Phi(rank) / Phi(N - 1) sum_j v_j max(0, margin - r_i + r_j),  all but the last factor constant
 *   sampled-softmax  -w ((1 - smoothing) log p_i + smoothing sum_j u_j log p_j)
 *   logistic         w c log(1 + e^-r_i) + w sum_j u_j log(1 + e^r_j),  c = 1 + alpha f(count)
 *
 * and to each of them may be added  -w entropy H(softmax(z)).
 *
 * Rendle, Freudenthaler, Gantner, Schmidt-Thieme 2009 (bpr); Hidasi, Karatzoglou 2018 (bpr-max); Weston, Bengio,
 * Usunier 2011 (warp); Bengio, Senecal 2008 (sampled softmax); Hu, Koren, Volinsky 2008 (c). docs/losses.md has them in
 * full, with what each letter means and when to choose which. Pure functions, any thread. */
#ifndef RANKD_MODEL_LOSS_H
#define RANKD_MODEL_LOSS_H

#include <stdbool.h>
#include <stdint.h>

enum loss_kind { LOSS_WBPR, LOSS_BPR, LOSS_BPR_MAX, LOSS_HINGE, LOSS_WARP, LOSS_SAMPLED_SOFTMAX, LOSS_LOGISTIC };
#define LOSS_KINDS 7

struct loss_params { /* all zero: wbpr at temperature 1, nothing added */
    enum loss_kind kind;
    bool ignore_often; /* often_j counts as 1: negatives weigh as they are drawn */
    bool log_count;    /* f(count) = log(1 + count), else count */
    float temperature; /* T of z and of the sampled softmax; 0 = 1 */
    float margin;      /* of hinge and warp */
    float smoothing;   /* of the sampled softmax's labels, 0 to below 1 */
    float score_l2;    /* of bpr-max */
    float alpha;       /* of logistic */
    float entropy;
};

struct loss_scores {
    float item;             /* r_i */
    const float *r;         /* (n) r_j */
    const float *log_often; /* (n) */
    uint32_t n;             /* at least 1 */
    float n_live;           /* N, the positive among them; at least 2 */
    float weight;           /* w > 0 */
    float count;            /* times that the user has had the item, this one included */
};

/* g[j] = dL/dr_j, and returns -dL/dr_i: both are positive where the step is the usual one, the item towards the user
 * and the negative away. g (n) and scratch (2 n) may not overlap each other or the scores. Finite for finite scores as
 * long as no r_j^2 overflows (bpr-max). */
float loss_gradient(const struct loss_params *p, const struct loss_scores *s, float *g, float *scratch);

/* Phi(k) = sum_{m=1}^k 1/m of the rank weights, continued to real k >= 1 (0.6 % low at 1, 0.05 % at 2, better beyond).
 */
float loss_rank_weight(float k);

/* Whether most gradients may be exactly 0, so that it pays to look. */
static inline bool loss_is_flat(enum loss_kind kind) { return kind == LOSS_HINGE || kind == LOSS_WARP; }

/* The name in the configuration ("wbpr", ...). */
const char *loss_name(enum loss_kind kind);

#endif
