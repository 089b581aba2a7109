/* Exact top-k: an 8-bit scan bounds every item's score, those that can still win are scored in float32.
 *
 * The score of item i is  tau * (x . q_i + b_i) + sum_h mu_h * max(-8, trend_hi - clock / h), computed in float32 in
 * that order (trend terms in double, each rounded to float before its product; terms with mu_h = 0 are left out); a
 * NULL x leaves the first term out, and so does a q_i that has not learned (head.q_sum is 0): what it starts with says
 * nothing. A row that terms knows gets its sum (terms_weigh) added next, one with features the sum of its content terms
 * last. With cosine set it is
 * x . q_i / (sqrt(x . x) * sqrt(q_i . q_i))  instead, and 0 where either vector is zero or so small that the product of
 * roots is, or where q_i has not learned yet (head.q_sum is 0). Items are ordered by score, higher first, then by row
 * number, lower first; a score that is NaN is left out. With learning paused the answer equals scoring and sorting
 * every item, to the bit; while learning goes on it is exact for the rows it read. */
#ifndef RANKD_MODEL_TOPK_H
#define RANKD_MODEL_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/content.h"
#include "lib/model/item.h"
#include "lib/model/scan.h"
#include "lib/model/terms.h"

#define TOPK_MAX         10000
#define TOPK_TREND_FLOOR (-8.0)

struct topk_query {
    const float *x;                /* (dim) or NULL */
    const struct terms *terms;     /* of the few rows that have any, or NULL; not for cosines */
    const struct content *content; /* filled and weighed, or NULL; not for cosines. With it items that are described and
                                      not live are candidates too */
    bool cosine;                   /* by cosine alone: tau, mu and the biases do not matter, x does */
    float tau, mu[MODEL_TRENDS];
    int64_t clock_ms;         /* model clock: the moment of the trends */
    int64_t wall_ms;          /* items whose expiry is at or before this are left out, and those not available */
    uint32_t k;               /* 1 to TOPK_MAX */
    const uint32_t *excluded; /* rows left out, ascending */
    size_t n_excluded;
    const uint32_t *only; /* rank these rows alone, live or not, in any order (each once); NULL = all candidates */
    size_t n_only;
};

struct topk_hit {
    float score;
    uint32_t row;
    uint32_t generation; /* of the row when it was scored; once it has another one the score is an erased item's */
};

struct topk;                                         /* scratch memory of one thread */
struct topk *topk_new(const struct model_params *p); /* NULL when memory is refused */
void topk_free(struct topk *s);

/* Fills hits[0..*n), *n <= k. Any thread with a scratch of its own. ERR_RANGE for k. */
int topk_rank(struct topk *s, const struct items *t, const struct scan *c, const struct topk_query *q,
              struct topk_hit *hits, size_t *n, struct err *e) ERR_MUST_CHECK;
/* The same by scoring everything: the oracle of the tests and the fall-back where bounds cannot decide. */
int topk_rank_naive(struct topk *s, const struct items *t, const struct topk_query *q, struct topk_hit *hits, size_t *n,
                    struct err *e) ERR_MUST_CHECK;
/* The exact score of one row with kernel k, which may be NaN; topk_score: the score alone. */
struct topk_hit topk_hit(const struct items *t, const struct kernel *k, const struct topk_query *q, uint32_t row);
static inline float topk_score(const struct items *t, const struct kernel *k, const struct topk_query *q,
                               uint32_t row) {
    return topk_hit(t, k, q, row).score;
}

/* Where one row, a candidate, stands among all that the query allows, and the q->k best others (k may be 0): *rank is
 * the number of rows before it, or limit when there are as many (the others are then not filled). Rows whose position
 * does not matter are not scored. The scan must be up to date: the learner refreshes it first. Exact like topk_rank. */
int topk_place(struct topk *s, const struct items *t, const struct scan *c, const struct topk_query *q, uint32_t row,
               uint32_t limit, uint32_t *rank, struct topk_hit *others, size_t *n, struct err *e) ERR_MUST_CHECK;

/* How the last topk_rank of this scratch went. */
struct topk_work {
    uint32_t scanned, rescored; /* rows bounded, rows scored exactly */
    bool fell_back;             /* everything was scored: a bound was not finite, or too many could win */
};
struct topk_work topk_last(const struct topk *s);

#endif
