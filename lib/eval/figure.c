/* One number for each case. */
#include "lib/eval/figure.h"

#include <math.h>
#include <stdio.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/eval/stat.h"
#include "lib/eval/trust.h"

void figure_key(struct figure f, char out[32]) {
    static const char *const names[FIGURE_KINDS] = {"ndcg", "recall", "mrr", "tail-ndcg", "log-loss"};
    if (f.kind == FIGURE_LOG_LOSS)
        (void)snprintf(out, 32, "%s", names[f.kind]);
    else
        (void)snprintf(out, 32, "%s@%u", names[f.kind], f.k);
}

int figure_parse(struct slice text, struct figure *out, struct err *e) {
    char key[32];
    for (int kind = 0; kind < FIGURE_KINDS; kind++) {
        for (uint32_t k = 1; k <= METRICS_PLACES; k++) {
            struct figure f = {(enum figure_kind)kind, k};
            figure_key(f, key);
            if (!slice_is(text, key)) continue;
            *out = f;
            return 0;
        }
    }
    return err_set(e, ERR_SYNTAX, "figure",
                   "%.*s is no figure; known are ndcg@K, recall@K, mrr@K, tail-ndcg@K (K from 1 to %d) and log-loss",
                   (int)(text.n < 100 ? text.n : 100), text.p, METRICS_PLACES);
}

void figure_title(struct figure f, char out[64]) {
    static const char *const formats[FIGURE_KINDS] = {"NDCG@%u", "recall@%u", "MRR@%u", "NDCG@%u of the long tail"};
    if (f.kind == FIGURE_LOG_LOSS)
        (void)snprintf(out, 64, "log loss");
    else
        (void)snprintf(out, 64, formats[f.kind], f.k);
}

void figure_gain(struct figure f, struct figure_gain *out) {
    for (uint32_t r = 0; r < METRICS_PLACES; r++) {
        double gain = 0;
        if (f.kind == FIGURE_NDCG || f.kind == FIGURE_TAIL_NDCG)
            gain = 1.0 / fm_log2((double)r + 2.0);
        else if (f.kind == FIGURE_RECALL)
            gain = 1.0;
        else if (f.kind == FIGURE_MRR)
            gain = 1.0 / ((double)r + 1.0);
        out->of[r] = r < f.k ? gain : 0.0;
    }
}

double figure_case(struct figure f, const struct figure_gain *g, const struct outcome_run *r, size_t i) {
    if (f.kind == FIGURE_LOG_LOSS)
        return r->p_target && !isnan(r->p_target[i]) ? trust_surprise((double)r->p_target[i]) : (double)NAN;
    return r->rank[i] < METRICS_PLACES ? g->of[r->rank[i]] : 0.0;
}

double figure_weight(struct figure f, const struct outcome_case *c) {
    return f.kind == FIGURE_TAIL_NDCG ? 1.0 / fm_sqrt((double)c->item_events + 1.0) : 1.0;
}

double figure_value(struct figure f, const struct outcome_set *s, const struct outcome_run *r, size_t from, size_t to) {
    CHECK(from <= to && to <= s->n && to <= r->n);
    struct figure_gain g;
    double sum = 0, weights = 0;
    figure_gain(f, &g);
    for (size_t i = from; i < to; i++) {
        double v = figure_case(f, &g, r, i), w = figure_weight(f, &s->cases[i]);
        if (isnan(v)) continue;
        sum += w * v;
        weights += w;
    }
    return weights > 0 ? sum / weights : (double)NAN;
}
