/* The weights of the terms of a score, one set per kind of moment, and how they learn.
 *
 * Steps of the change of NDCG, on full rankings that are made of a share of the events before they are learned: for
 * target i at rank r and each of the BLEND_OTHERS best other items k,
 *
 *     L       = sum_k |gain(r_k) - gain(r)| sigmoid((s_k - s_i) / T)
 *     weight += step * g / sqrt(sum g^2),    g = -T dL/dweight
 *
 * with T = BLEND_WIDTH * (s of the best other - s of the last of them) and gain(r) = 1 / log2(r + 2) for r < BLEND_CUT,
 * else 0.
 *
 * |gain - gain| is the change of NDCG by swapping the two (LambdaRank, Burges 2010), the sigmoid a smooth "k is before
 * i" (Qin, Liu and Li 2010, of the scale of each ranking). LambdaRank's log(1 + exp) is not bounded: where most targets
 * cannot be foreseen, those far behind pull what is at the top of the list down, whatever it is, and all weights with
 * it. Ranks of BLEND_REACH and more teach nothing. The embeddings have a loss of their own; nothing else that is ranked
 * or asked changes a weight.
 *
 * The guard: the same rankings are made with the start weights too. The learned weights serve only while their decayed
 * NDCG is not below that of the start weights; when it is clearly below, by a share and by BLEND_SURE standard errors
 * (the targets of one event count as one), they start anew with half the step.
 *
 * Learner, but blend_read. */
#ifndef RANKD_MODEL_BLEND_H
#define RANKD_MODEL_BLEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/model/params.h"
#include "lib/model/terms.h"

#define BLEND_USERS   12u /* buckets: history of 0, 1, 2, 3-4, 5-10, more; last event within BLEND_AWAY_MS, or not */
#define BLEND_CART    BLEND_USERS /* the bucket of requests with a cart, whatever the history */
#define BLEND_BUCKETS (BLEND_USERS + 1)
#define BLEND_AWAY_MS (30 * 60 * 1000)
#define BLEND_OTHERS  50u /* best others that a target is compared with */
#define BLEND_REACH   500u
#define BLEND_CUT     20u
#define BLEND_WIDTH   0.1f
#define BLEND_SURE    2.0

struct blend_bucket {
    float weight[TERMS], sum[TERMS]; /* learned, and AdaGrad sums */
    float step;                      /* factor of the steps, halved by the guard */
    uint32_t restarts;
    double learned, start, rankings; /* decayed sums: gain with the learned and the start weights, rankings */
    double squares;                  /* the same of (learned - start)^2 of an event, decayed by the square */
};

struct blend {
    const struct model_params *params;
    struct blend_bucket bucket[BLEND_BUCKETS];
    bool changed;         /* since the last publish */
    _Atomic uint32_t seq; /* of what follows: odd while it is being replaced */
    _Atomic float served[BLEND_BUCKETS][TERMS];
    float gain[BLEND_CUT];
};

void blend_init(struct blend *b, const struct model_params *p);

/* n_history: items of the user's history; since_ms: from his last event to the moment (0 where there is none). */
uint32_t blend_bucket(uint32_t n_history, int64_t since_ms);

/* The weights (TERMS) that serve: the learned ones, or the start weights while these do better. */
const float *blend_weights(const struct blend *b, uint32_t bucket);
/* The same for other threads, as of the last blend_publish. */
void blend_read(const struct blend *b, uint32_t bucket, float *weight);
void blend_publish(struct blend *b);

/* Gain of a rank, 0-based. */
static inline double blend_gain(const struct blend *b, uint32_t rank) {
    return rank < BLEND_CUT ? (double)b->gain[rank] : 0;
}

struct blend_example {
    float score;
    float term[TERMS];
};
/* A ranking with the learned weights: target (0-based rank below BLEND_REACH) and the n best others in order. */
void blend_learn(struct blend *b, uint32_t bucket, uint32_t rank, const struct blend_example *target,
                 const struct blend_example *others, uint32_t n);
/* The n rankings of one event: sums of the gains with either weights; after blend_learn. */
void blend_judge(struct blend *b, uint32_t bucket, uint32_t n, double learned, double start);

/* Stored form (little-endian), and back. ERR_CORRUPT. */
void blend_encode(const struct blend *b, struct buf *out);
int blend_decode(struct blend *b, struct slice bytes, struct err *e) ERR_MUST_CHECK;

#endif
