/* A baseline through the log: the same moments, the same targets, the same past for all of them. */

#include <string.h>

#include "daemon/backtest.h"
#include "lib/base/mem.h"
#include "lib/eval/past.h"
#include "lib/eval/ranking.h"
#include "lib/eval/scores.h"

struct beside {
    const struct backtest_world *w;
    struct past *past;
    struct baseline *baseline;
    struct scores *scores;
    struct ranking *ranking;
    struct calibrator *calibrator;
    size_t next_case;
    uint32_t *touched;         /* (numbers of items) events so far */
    uint64_t lines;            /* of behaviour so far */
    uint32_t *targets, *ranks; /* (cap) of the moment at hand */
    size_t cap;
    struct outcome_run *out;
};

static int room_for_targets(struct beside *r, size_t n, struct err *e) {
    if (n <= r->cap) return 0;
    uint32_t *targets = mem_realloc(r->targets, 2 * n * sizeof *targets);
    if (targets) r->targets = targets;
    uint32_t *ranks = mem_realloc(r->ranks, 2 * n * sizeof *ranks);
    if (ranks) r->ranks = ranks;
    if (!targets || !ranks) return err_set(e, ERR_NOMEM, "cases", "no memory for a moment of %zu targets", n);
    r->cap = 2 * n;
    return 0;
}

static int note_list(struct beside *r, const uint32_t *best, uint32_t n, struct err *e) {
    uint32_t events[BACKTEST_LIST];
    for (uint32_t k = 0; k < n; k++) events[k] = r->touched[best[k]];
    return n ? outcome_run_list(r->out, best, events, n, r->lines ? r->lines : 1, e) : 0;
}

static int judge(struct beside *r, size_t event, size_t end, struct err *e) {
    const struct backtest_cases *c = &r->w->cases;
    const struct backtest_event *ev = &r->w->table.events[event];
    uint32_t best[BACKTEST_LIST], n_best = 0, n = 0;
    size_t first = r->next_case;
    while (first + n < c->set.n && c->event[first + n] < end) n++;
    int rc = room_for_targets(r, n, e);
    if (rc < 0) return rc;
    memcpy(r->targets, c->target + first, n * sizeof *r->targets);
    scores_clear(r->scores);
    baseline_score(r->baseline, ev->user, ev->ts_ms, r->scores);
    struct ranking_question q = {.scores = r->scores,
                                 .fallback = baseline_fallback(r->baseline),
                                 .is_candidate = past_is_candidate(r->past),
                                 .targets = r->targets,
                                 .n_targets = n,
                                 .k = event >= c->figures_event ? BACKTEST_LIST : 0};
    q.candidates = past_candidates(r->past, &q.n_candidates);
    if (!r->w->protocol.keep_used) q.excluded = past_used_items(r->past, ev->user, &q.n_excluded);
    ranking_ask(r->ranking, &q, r->ranks, best, &n_best);
    rc = note_list(r, best, q.k ? n_best : 0, e);
    uint64_t n_ranked = q.n_candidates > q.n_excluded ? q.n_candidates - q.n_excluded : 0;
    backtest_ask_calibrator(r->calibrator, r->w, first, NULL,
                            n_ranked < BACKTEST_RANKED ? (uint32_t)n_ranked : BACKTEST_RANKED, q.n_candidates);
    for (uint32_t k = 0; k < n && rc == 0; k++)
        rc = backtest_add_outcome(r->out, r->calibrator, r->ranks[k] == RANKING_NONE ? OUTCOME_MISS : r->ranks[k], e);
    r->next_case += n;
    return rc;
}

static int learn(struct beside *r, size_t at, struct err *e) {
    const struct backtest_table *t = &r->w->table;
    const struct backtest_event *ev = &t->events[at];
    const bool frozen = r->w->protocol.freeze && at >= r->w->cases.figures_event;
    if (ev->reason == EVENT_OK && ev->kind == EVENT_ITEM && !frozen) past_describe(r->past, t->items[ev->items]);
    if (!backtest_is_positive(t, ev)) return 0; /* none of them knows what to do with the others */
    struct past_event learned = {.ts_ms = ev->ts_ms,
                                 .user = ev->user,
                                 .items = t->items + ev->items,
                                 .n_items = ev->n_items,
                                 .weight = t->types[ev->type].weight > 0 && !frozen ? 1 : 0};
    int rc = baseline_learn(r->baseline, &learned, e);
    if (rc == 0) rc = past_learn(r->past, &learned, e);
    for (uint32_t k = 0; k < ev->n_items; k++) r->touched[t->items[ev->items + k]]++;
    r->lines += ev->n_items;
    return rc;
}

static int run_all(struct beside *r, _Atomic uint64_t *done, struct err *e) {
    const struct backtest_cases *c = &r->w->cases;
    const struct backtest_table *t = &r->w->table;
    int rc = 0;
    for (size_t at = 0, end; at < t->n && rc == 0 && !backtest_stop; at = end) {
        end = backtest_moment_end(t, at);
        if (r->next_case < c->set.n && c->event[r->next_case] < end) rc = judge(r, at, end, e);
        for (size_t k = at; k < end && rc == 0; k++) rc = learn(r, k, e);
        atomic_store_explicit(done, end, memory_order_relaxed);
    }
    return rc;
}

int backtest_run_baseline(const struct backtest_world *w, struct backtest_run *run, _Atomic uint64_t *done,
                          struct err *e) {
    struct beside r = {.w = w, .out = &run->outcome};
    struct backtest_meter meter;
    uint32_t n_items = backtest_ids_count(w->table.item_ids) + 1, n_candidates = 0;
    backtest_meter_begin(&meter);
    r.touched = mem_zalloc(n_items * sizeof *r.touched);
    int rc = r.touched ? 0 : err_set(e, ERR_NOMEM, "items", "no memory");
    if (rc == 0) rc = calibrator_new(&r.calibrator, e);
    if (rc == 0) rc = past_new(backtest_ids_count(w->table.user_ids) + 1, n_items, &r.past, e);
    if (rc == 0) rc = scores_new(n_items, &r.scores, e);
    if (rc == 0) rc = ranking_new(n_items, &r.ranking, e);
    if (rc == 0) rc = baseline_new(run->kind, run->point, r.past, run->seed, &r.baseline, e);
    if (rc == 0) rc = run_all(&r, done, e);
    backtest_meter_end(&meter, &run->outcome);
    if (r.past) (void)past_candidates(r.past, &n_candidates);
    run->outcome.events = r.lines;
    run->outcome.n_candidates = n_candidates;
    baseline_free(r.baseline);
    ranking_free(r.ranking);
    scores_free(r.scores);
    past_free(r.past);
    calibrator_free(r.calibrator);
    mem_free(r.touched);
    mem_free(r.targets);
    mem_free(r.ranks);
    return rc;
}
