/* What a summary says, in sentences for people. */
#include "lib/eval/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/eval/page.h"

#define LINES_FEW  1000 /* one in so many lines may be out of order without a word about it */
#define NAMES_MOST 4    /* names in one sentence; in the verdict half of them */

const char *words_verdict_of(const struct compare *c) {
    static const char *const names[] = {"not known", "better", "mostly better", "inside the noise", "worse"};
    return names[c->verdict];
}

static const struct summary_model *tested(const struct summary *s) { return &s->models[s->tested]; }

const char *words_name(const struct summary *s, const struct summary_model *m) {
    if (m->role != OUTCOME_ABLATION || s->tested == SUMMARY_NONE) return m->name;
    size_t n = strlen(tested(s)->name);
    bool prefixed = strncmp(m->name, tested(s)->name, n) == 0 && m->name[n] == ' ' && m->name[n + 1] != '\0';
    return prefixed ? m->name + n + 1 : m->name;
}

/* "+2.1 % (95 % interval +0.4 % to +3.9 %)" */
static void add_interval(struct buf *b, double ratio, double low, double high) {
    page_change(b, ratio);
    buf_add_str(b, " (95" PAGE_PERCENT " interval ");
    page_range(b, low, high);
    buf_add_str(b, ")");
}

static void add_difference(struct buf *b, const struct compare *c) {
    add_interval(b, c->ratio, c->by[c->wider].low, c->by[c->wider].high);
}

void words_comparison(const struct summary *s, const struct compare *c, struct buf *b) {
    const char *name = words_name(s, summary_against(s, c));
    bool ablation = summary_against(s, c)->role == OUTCOME_ABLATION;
    const char *whole = tested(s)->name;
    buf_printf(b, ablation ? "Against itself %s, %s " : "Against %s, %s ", name, whole);
    switch (c->verdict) {
    case COMPARE_UNKNOWN:
        buf_add_str(b, "cannot be judged: too few events, users or days, or no such figure.");
        return;
    case COMPARE_NOISE:
        buf_add_str(b, "is at ");
        add_difference(b, c);
        buf_add_str(b, ": inside the noise");
        if (!isnan(c->detectable)) {
            buf_add_str(b, "; this log could have shown a difference of ");
            page_share(b, c->detectable);
        }
        buf_add_str(b, ".");
        return;
    default:
        buf_add_str(b, c->verdict == COMPARE_WORSE ? "is worse: " : "is better: ");
        add_difference(b, c);
        buf_add_str(b, c->verdict == COMPARE_NOT_STEADY ? ", but not everywhere." : ".");
    }
}

/* Comparisons of one role with one verdict. */
static unsigned count(const struct summary *s, enum outcome_role role, enum compare_verdict v) {
    unsigned n = 0;
    for (unsigned i = 0; i < s->n_comparisons; i++)
        n += summary_against(s, &s->comparisons[i])->role == role && s->comparisons[i].verdict == v;
    return n;
}

/* Their names, at most so many: "a, b and 2 more"; gives how many there are. */
static unsigned add_names(const struct summary *s, enum outcome_role role, enum compare_verdict v, unsigned most,
                          struct buf *b) {
    unsigned n = count(s, role, v), shown = n > most ? most - 1 : n, at = 0;
    for (unsigned i = 0; i < s->n_comparisons && at < shown; i++) {
        const struct summary_model *m = summary_against(s, &s->comparisons[i]);
        if (m->role != role || s->comparisons[i].verdict != v) continue;
        if (at > 0) buf_add_str(b, at + 1 == n ? " and " : ", ");
        buf_add_str(b, words_name(s, m));
        at++;
    }
    if (shown < n) buf_printf(b, " and %u more", n - shown);
    return n;
}

/* The verdict when every baseline was beaten: everywhere, and by the whole more than by its parts? */
static enum words_tone best_of_baselines(const struct summary *s, struct buf *b) {
    unsigned steady = count(s, OUTCOME_BASELINE, COMPARE_BETTER),
             shaky = count(s, OUTCOME_BASELINE, COMPARE_NOT_STEADY);
    buf_printf(b, "%s is better than %s", tested(s)->name,
               steady + shaky > 1 ? "every baseline" : s->models[s->best_baseline].name);
    if (shaky > 0) buf_add_str(b, " on the whole, but not in every part of the log");
    if (count(s, OUTCOME_ABLATION, COMPARE_WORSE) > 0) {
        buf_add_str(b, shaky > 0 ? ", and worse than itself " : ", but worse than itself ");
        add_names(s, OUTCOME_ABLATION, COMPARE_WORSE, NAMES_MOST / 2, b);
        shaky++;
    }
    buf_add_str(b, ".");
    return shaky > 0 ? WORDS_CAREFUL : WORDS_GOOD;
}

enum words_tone words_verdict(const struct summary *s, struct buf *b) {
    const enum outcome_role base = OUTCOME_BASELINE;
    if (s->tested == SUMMARY_NONE) {
        buf_add_str(b, "There is nothing to judge: no run of the model under test has come to its figures.");
        return WORDS_BAD;
    }
    const char *name = tested(s)->name;
    if (count(s, base, COMPARE_WORSE) > 0) {
        buf_printf(b, "%s loses to ", name);
        add_names(s, base, COMPARE_WORSE, NAMES_MOST / 2, b);
        buf_add_str(b, ".");
        return WORDS_BAD;
    }
    if (s->best_baseline == SUMMARY_NONE) {
        buf_printf(b, "%s stands alone: there is no baseline to judge it by.", name);
        return WORDS_OPEN;
    }
    if (count(s, base, COMPARE_NOISE) > 0) {
        buf_printf(b, "%s is not shown to be better than ", name);
        add_names(s, base, COMPARE_NOISE, NAMES_MOST / 2, b);
        buf_add_str(b, ": the difference is inside the noise.");
        return WORDS_OPEN;
    }
    if (count(s, base, COMPARE_UNKNOWN) > 0) {
        buf_printf(b, "%s cannot be told from ", name);
        add_names(s, base, COMPARE_UNKNOWN, NAMES_MOST / 2, b);
        buf_add_str(b, ": there is too little to compare.");
        return WORDS_OPEN;
    }
    return best_of_baselines(s, b);
}

/* "NDCG@20 is 0.2476 over 33,512 judged targets (mean of 5 seeds, 0.2470 to 0.2480)" */
static void add_level(const struct summary *s, struct buf *b) {
    const struct summary_model *m = tested(s);
    char title[64];
    figure_title(s->in.figure, title);
    buf_printf(b, "Its %s is ", title);
    page_fixed(b, m->value, 4);
    buf_add_str(b, " over ");
    page_count(b, s->to - s->from);
    buf_add_str(b, " targets");
    if (m->n_runs > 1) {
        buf_printf(b, ", mean of %u seeds from ", m->n_runs);
        page_fixed(b, m->lowest, 4);
        buf_add_str(b, " to ");
        page_fixed(b, m->highest, 4);
    }
    if (s->best_baseline != SUMMARY_NONE) {
        const struct summary_model *best = &s->models[s->best_baseline];
        buf_printf(b, "; that of the best baseline, %s, is ", best->name);
        page_fixed(b, best->value, 4);
    }
    buf_add_str(b, ".\n");
}

/* The comparisons that decide: those that were lost, with the best baseline, those that stayed open. */
static void add_baselines(const struct summary *s, struct buf *b) {
    for (int place = 0; place < 3; place++) {
        for (unsigned i = 0; i < s->n_comparisons; i++) {
            const struct compare *c = &s->comparisons[i];
            bool best = s->best_baseline != SUMMARY_NONE && s->models[s->best_baseline].comparison == i;
            bool won = c->verdict == COMPARE_BETTER || c->verdict == COMPARE_NOT_STEADY;
            int its_place = c->verdict == COMPARE_WORSE ? 0 : best ? 1 : won ? 3 : 2;
            if (summary_against(s, c)->role != OUTCOME_BASELINE || its_place != place) continue;
            words_comparison(s, c, b);
            buf_add_str(b, "\n");
        }
    }
}

/* Whether a comparison found the part weak, and what it said of it. */
static const struct compare_part *weak_in(const struct compare *c, enum cohort kind, uint16_t part) {
    for (unsigned k = 0; k < c->n_weak; k++)
        if (c->weak[k].kind == kind && c->weak[k].part == part) return &c->weak[k];
    return NULL;
}

/* One weak part, with all models that are better there; the first comparison that names it is i. */
static void add_weak_part(const struct summary *s, unsigned i, const struct compare_part *w, struct buf *b) {
    buf_printf(b, "Worse in a part (%s: %s, ", cohort_title(s->in.set, w->kind),
               cohort_label(s->in.set, w->kind, w->part));
    page_share(b, w->share);
    buf_add_str(b, " of the targets) than ");
    const char *separator = "";
    for (; i < s->n_comparisons; i++) {
        const struct compare_part *again = weak_in(&s->comparisons[i], w->kind, w->part);
        if (!again) continue;
        buf_printf(b, "%s%s (", separator, words_name(s, summary_against(s, &s->comparisons[i])));
        page_change(b, again->ratio);
        buf_add_str(b, ")");
        separator = ", ";
    }
    buf_add_str(b, ".\n");
}

static void add_weak(const struct summary *s, struct buf *b) {
    for (unsigned i = 0; i < s->n_comparisons; i++) {
        for (unsigned k = 0; k < s->comparisons[i].n_weak; k++) {
            const struct compare_part *w = &s->comparisons[i].weak[k];
            unsigned first = 0;
            while (!weak_in(&s->comparisons[first], w->kind, w->part)) first++;
            if (first == i) add_weak_part(s, i, w, b);
        }
    }
}

static void add_ablations(const struct summary *s, struct buf *b) {
    const enum outcome_role part = OUTCOME_ABLATION;
    const char *separator = "A part of the model does harm: it is worse than itself ";
    for (unsigned i = 0; i < s->n_comparisons; i++) {
        const struct compare *c = &s->comparisons[i];
        if (summary_against(s, c)->role != part || c->verdict != COMPARE_WORSE) continue;
        buf_printf(b, "%s%s (", separator, words_name(s, summary_against(s, c)));
        page_change(b, c->ratio);
        buf_add_str(b, ")");
        separator = ", ";
    }
    if (count(s, part, COMPARE_WORSE) > 0) buf_add_str(b, ".\n");
    if (count(s, part, COMPARE_NOISE) > 0) {
        buf_add_str(b, "No difference that this log can show: ");
        add_names(s, part, COMPARE_NOISE, NAMES_MOST, b);
        buf_add_str(b, ".\n");
    }
    if (count(s, part, COMPARE_BETTER) > 0) {
        buf_add_str(b, "Clearly worse: ");
        add_names(s, part, COMPARE_BETTER, NAMES_MOST, b);
        buf_add_str(b, ". What was left out there helps.\n");
    }
    if (count(s, part, COMPARE_NOT_STEADY) > 0) {
        buf_add_str(b, "Worse on the whole, but better in some part: ");
        add_names(s, part, COMPARE_NOT_STEADY, NAMES_MOST, b);
        buf_add_str(b, ".\n");
    }
}

static void add_cold(const struct summary *s, struct buf *b) {
    const struct metrics *warm = summary_warmth(tested(s), 0), *cold = summary_warmth(tested(s), 1);
    if (cold->n == 0) return;
    page_share(b, (double)cold->n / (double)(cold->n + warm->n));
    buf_add_str(b, " of the targets had never been touched before: NDCG@20 is ");
    page_fixed(b, cold->ndcg[METRICS_AT_20], 4);
    buf_add_str(b, " for them and ");
    page_fixed(b, warm->ndcg[METRICS_AT_20], 4);
    buf_add_str(b, " for the others.\n");
}

static void add_types(const struct summary *s, struct buf *b) {
    const char *separator = "Event types that the configuration does not name, taken as positive with weight 1: ";
    bool any = false;
    for (size_t i = 0; i < s->in.set->n_types; i++) {
        const struct outcome_type *t = &s->in.set->types[i];
        if (t->configured || t->events == 0) continue;
        buf_printf(b, "%s%s (", separator, t->name);
        page_count(b, t->events);
        buf_add_str(b, ")");
        separator = ", ";
        any = true;
    }
    if (any) buf_add_str(b, ".\n");
}

/* A number of the protocol; 0 when it is not there. */
static uint64_t noted(const struct summary *s, const char *name) {
    for (size_t i = 0; i < s->in.set->n_notes; i++) {
        const struct outcome_note *n = &s->in.set->notes[i];
        if (n->kind == OUTCOME_NUMBER && strcmp(n->key, name) == 0) return strtoull(n->value, NULL, 10);
    }
    return 0;
}

/* "<share> of the lines <words>", where it is worth a word. */
static void add_lines(const struct summary *s, const char *name, const char *words, struct buf *b) {
    uint64_t n = noted(s, name), lines = noted(s, "behaviour_lines");
    if (n == 0 || n < lines / LINES_FEW) return;
    page_share(b, (double)n / (double)lines);
    buf_printf(b, " of the lines %s\n", words);
}

/* A log that is not in order, which nothing else shows. Some late events are what every shop has. */
static void add_order(const struct summary *s, struct buf *b) {
    add_lines(s, "lines_late_by_an_hour",
              "are older by more than an hour than a line before them: if the log is not in the order in which things "
              "happened, what was judged knew the future.",
              b);
    add_lines(
        s, "lines_apart_from_their_moment",
        "stand apart from others of the same user and stamp: where these are one basket, it was judged in parts, the "
        "later ones knowing the first. Sort the log by stamp and user, or judge it line by line.",
        b);
}

void words_findings(const struct summary *s, struct buf *b) {
    if (s->in.ended_early) {
        buf_add_str(b, "The backtest was stopped: figures are of the first ");
        page_share(b, s->in.set->n > s->from ? (double)(s->to - s->from) / (double)(s->in.set->n - s->from) : 0);
        buf_add_str(b, " of the targets that were to be judged.\n");
    }
    if (s->tested != SUMMARY_NONE) {
        add_level(s, b);
        add_baselines(s, b);
        add_weak(s, b);
        add_ablations(s, b);
        add_cold(s, b);
    }
    add_types(s, b);
    add_order(s, b);
}
