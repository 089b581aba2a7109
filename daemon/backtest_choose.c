/* Which configuration: by the first part of the log alone. */
#include <math.h>

#include "daemon/backtest_course.h"
#include "lib/eval/figure.h"

double backtest_figure(const struct backtest_course *b, const struct backtest_run *run, bool for_choice) {
    const struct backtest_cases *c = &b->world.cases;
    size_t from = for_choice ? 0 : c->set.figures_from, to = for_choice ? c->n_choosing : b->n_cases;
    bool there = run->state == BACKTEST_DONE || run->state == BACKTEST_PARTLY;
    if (!there || run->outcome.n < to || to <= from) return NAN;
    return figure_value(b->o->wish.preset->figure, &c->set, &run->outcome, from, to);
}

/* The mean over the seeds of one point; NaN when a run of it is missing. */
static double mean_of(const struct backtest_course *b, const struct baseline_kind *kind, size_t point,
                      bool for_choice) {
    double sum = 0, n = 0;
    for (size_t k = 0; k < b->n_runs; k++) {
        const struct backtest_run *run = &b->runs[k];
        if (run->kind != kind || run->point != point) continue;
        sum += backtest_figure(b, run, for_choice);
        n++;
    }
    return n > 0 ? sum / n : NAN;
}

/* The point with the highest figure, the first of equals; 0 when no point has one. */
static size_t best_of(const struct backtest_course *b, const struct baseline_kind *kind, size_t n_points,
                      bool for_choice) {
    size_t best = 0;
    double most = NAN;
    for (size_t point = 0; point < n_points; point++) {
        double figure = mean_of(b, kind, point, for_choice);
        if (figure_less_is_better(b->o->wish.preset->figure)) figure = -figure;
        if (isnan(figure) || figure <= most) continue;
        most = figure;
        best = point;
    }
    return best;
}

static bool has_outcome(const struct backtest_run *run) {
    return run->state == BACKTEST_DONE || run->state == BACKTEST_PARTLY;
}

void backtest_settle(struct backtest_course *b) {
    size_t whole = b->world.cases.set.n, most = 0;
    for (size_t k = 0; k < b->n_runs; k++)
        if (!b->runs[k].kind && has_outcome(&b->runs[k]) && b->runs[k].outcome.n > most) most = b->runs[k].outcome.n;
    b->n_cases = most < whole ? most : whole;
    for (size_t k = 0; k < b->n_runs; k++)
        b->runs[k].listed = has_outcome(&b->runs[k]) && b->runs[k].outcome.n >= b->n_cases;
}

void backtest_choose(struct backtest_course *b) {
    b->best = best_of(b, NULL, b->n_tried, true);
    size_t lucky = best_of(b, NULL, b->n_tried, false);
    for (size_t k = 0; k < b->n_runs; k++) {
        struct backtest_run *run = &b->runs[k];
        if (!run->kind) {
            run->outcome.role = run->point == b->best ? OUTCOME_TESTED
                                : run->point == lucky ? OUTCOME_HINDSIGHT
                                                      : OUTCOME_VARIANT;
            continue;
        }
        size_t chosen = best_of(b, run->kind, run->kind->n_configs, true);
        size_t hindsight = best_of(b, run->kind, run->kind->n_configs, false);
        run->outcome.role = run->point == chosen      ? OUTCOME_BASELINE
                            : run->point == hindsight ? OUTCOME_HINDSIGHT
                                                      : OUTCOME_TRIED;
    }
}
