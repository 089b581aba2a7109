/* Which configuration: by the first part of the log alone. */
#include <math.h>

#include "daemon/backtest_course.h"
#include "lib/base/fmath.h"

double backtest_figure(const struct backtest_cases *c, const struct backtest_run *run, bool for_choice) {
    size_t from = c->set.figures_from, to = c->set.n;
    if (for_choice) {
        from = 0;
        to = c->n_choosing;
    }
    if ((run->state != BACKTEST_DONE && run->state != BACKTEST_PARTLY) || run->outcome.n < to || to == from) return NAN;
    double sum = 0;
    for (size_t k = from; k < to; k++)
        if (run->outcome.rank[k] < 20) sum += 1 / fm_log2((double)run->outcome.rank[k] + 2);
    return sum / (double)(to - from);
}

/* The mean over the seeds of one point; NaN when a run of it is missing. */
static double mean_of(const struct backtest_course *b, const struct baseline_kind *kind, size_t point,
                      bool for_choice) {
    double sum = 0, n = 0;
    for (size_t k = 0; k < b->n_runs; k++) {
        const struct backtest_run *run = &b->runs[k];
        if (run->kind != kind || run->point != point) continue;
        sum += backtest_figure(&b->world.cases, run, for_choice);
        n++;
    }
    return n ? sum / n : NAN;
}

/* The point with the highest figure, the first of equals; 0 when no point has one. */
static size_t best_of(const struct backtest_course *b, const struct baseline_kind *kind, size_t n_points,
                      bool for_choice) {
    size_t best = 0;
    double most = NAN;
    for (size_t point = 0; point < n_points; point++) {
        double figure = mean_of(b, kind, point, for_choice);
        if (isnan(figure) || figure <= most) continue;
        most = figure;
        best = point;
    }
    return best;
}

void backtest_choose(struct backtest_course *b) {
    b->best = best_of(b, NULL, b->n_tried, true);
    for (size_t k = 0; k < b->n_runs; k++) {
        struct backtest_run *run = &b->runs[k];
        if (!run->kind) {
            run->outcome.role = run->point == b->best ? OUTCOME_TESTED : OUTCOME_VARIANT;
            continue;
        }
        size_t chosen = best_of(b, run->kind, run->kind->n_configs, true);
        size_t hindsight = best_of(b, run->kind, run->kind->n_configs, false);
        run->listed = run->point == chosen || run->point == hindsight;
        run->outcome.role = run->point == chosen ? OUTCOME_BASELINE : OUTCOME_HINDSIGHT;
    }
}
