/* Probabilities for the places of a ranking, learned from what came: a model that gives none of its own can be asked
 * how sure it could be.
 *
 * The n items of a list, best first, with scores s and places i = 0 .. n - 1, get
 *
 *     p_i = m exp(-a z_i - b ln(i + 2)) / sum_j exp(-a z_j - b ln(j + 2)),    z_i = (s_0 - s_i) / w
 *
 * and every other candidate an equal part of 1 - m, with m = sigmoid(c + d ln((s_0 - s_(n-1)) / w + 0.01)): how likely
 * the target is in the list at all. w is the mean of s_0 - s_(n-1) over the newest lists; a, b, c and d follow the
 * gradient of ln p of the targets (Platt 2000 in spirit, with AdaGrad's steps: Duchi, Hazan, Singer 2011). Each has a
 * value of its own in each bucket. Asked before it learns, it is judged on what it has not seen. The same calls give
 * the same bits. One thread at a time. */
#ifndef RANKD_EVAL_CALIBRATOR_H
#define RANKD_EVAL_CALIBRATOR_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/eval/metrics.h"

#define CALIBRATOR_BUCKETS 12
#define CALIBRATOR_LIST    METRICS_PLACES /* longest list */

struct calibrator;
int calibrator_new(struct calibrator **out, struct err *e) ERR_MUST_CHECK; /* ERR_NOMEM */
void calibrator_free(struct calibrator *c);                                /* NULL is fine */

/* Buckets for users alike: items in the history, and whether the event before was at most half an hour ago. */
unsigned calibrator_bucket(uint32_t history, int recent);

/* A list is at hand: n (at most CALIBRATOR_LIST) items out of n + n_others candidates. scores (n), falling; NULL: the
 * places are all there is. Scores that are not finite count as NULL. */
void calibrator_ask(struct calibrator *c, unsigned bucket, const float *scores, uint32_t n, uint64_t n_others);
/* The probability of the item in this place of the list at hand; of any one of the others for place n and more. */
float calibrator_p(const struct calibrator *c, uint32_t place);
/* A target of the list at hand was in this place; n or more: not in the list. Any number of times for one list. */
void calibrator_learn(struct calibrator *c, uint32_t place);

#endif
