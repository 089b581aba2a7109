/* One number for each case: what models are compared, and configurations chosen, by. */
#ifndef RANKD_EVAL_FIGURE_H
#define RANKD_EVAL_FIGURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/eval/metrics.h"
#include "lib/eval/outcome.h"

enum figure_kind {
    FIGURE_NDCG,
    FIGURE_RECALL,
    FIGURE_MRR,
    FIGURE_TAIL_NDCG, /* NDCG with each case weighing 1 / sqrt(events of the target so far + 1): finding the long tail
                         (after Steck 2011, "Item popularity and recommendation accuracy") */
    FIGURE_LOG_LOSS,  /* -ln of the probability given to the target, at most 20.7 (1e-9); less is better */
    FIGURE_KINDS,
};
struct figure {
    enum figure_kind kind;
    uint32_t k; /* 1 to METRICS_PLACES; not looked at for FIGURE_LOG_LOSS */
};
/* "ndcg@20", "tail-ndcg@20", "log-loss": the key in JSON and the name in a configuration. */
void figure_key(struct figure f, char out[32]);
/* Reads what figure_key writes. ERR_SYNTAX: no such figure, or k outside its range. */
int figure_parse(struct slice text, struct figure *out, struct err *e) ERR_MUST_CHECK;
void figure_title(struct figure f, char out[64]); /* "NDCG@20", "NDCG@20 of the long tail", "log loss" */
static inline bool figure_less_is_better(struct figure f) { return f.kind == FIGURE_LOG_LOSS; }

/* Values by place for a kind and k: what a rank below METRICS_PLACES is worth; not for FIGURE_LOG_LOSS. */
struct figure_gain {
    double of[METRICS_PLACES];
};
void figure_gain(struct figure f, struct figure_gain *out);
/* Value and weight of case i, which figures_value averages. NaN: the model gives no probability there. */
double figure_case(struct figure f, const struct figure_gain *g, const struct outcome_run *r, size_t i);
double figure_weight(struct figure f, const struct outcome_case *c);
/* The weighted mean over cases [from, to); NaN without any that has a value. For choosing: from 0 to figures_from. */
double figure_value(struct figure f, const struct outcome_set *s, const struct outcome_run *r, size_t from, size_t to);

#endif
