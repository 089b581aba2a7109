/* The protocol as it is printed: every choice, made or left at its default. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/backtest_course.h"
#include "lib/base/clock.h"

struct notes {
    struct outcome_set *set;
    struct err *e;
    int rc;
};

__attribute__((format(printf, 4, 5))) static void note(struct notes *n, const char *key, enum outcome_note_kind kind,
                                                       const char *fmt, ...) {
    char text[1024];
    va_list args;
    if (n->rc < 0) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    n->rc = outcome_set_note(n->set, key, kind, text, n->e);
}

static void note_count(struct notes *n, const char *key, uint64_t count) {
    note(n, key, OUTCOME_NUMBER, "%llu", (unsigned long long)count);
}

static void note_bool(struct notes *n, const char *key, bool is) { note(n, key, OUTCOME_BOOL, is ? "true" : "false"); }

static void note_time(struct notes *n, const char *key, int64_t ms) {
    char text[32];
    if (ms < CLOCK_MS_MIN || ms > CLOCK_MS_MAX) return;
    clock_format(ms, text);
    note(n, key, OUTCOME_TEXT, "%s", text);
}

/* Names one after the other, as far as there is room. */
static void note_list(struct notes *n, const char *key, char *const *list, size_t count) {
    char text[1000];
    size_t used = 0;
    text[0] = '\0';
    for (size_t k = 0; k < count; k++) {
        int more = snprintf(text + used, sizeof text - used, "%s%s", k ? ", " : "", list[k]);
        if (more < 0 || (size_t)more >= sizeof text - used - 24) {
            snprintf(text + used, sizeof text - used, ", %zu more", count - k);
            break;
        }
        used += (size_t)more;
    }
    note(n, key, OUTCOME_TEXT, "%s", text);
}

static void note_log(struct notes *n, const struct backtest_course *b) {
    const struct backtest_world *w = &b->world;
    const struct backtest_input *in = &b->o->input;
    char key[64];
    if (in->n_files) note_list(n, "log", in->files, in->n_files);
    if (in->n_topics) note_list(n, "kafka", in->topics, in->n_topics);
    if (in->journal) note(n, "journal", OUTCOME_TEXT, "%s", in->journal);
    if (in->items) note(n, "items", OUTCOME_TEXT, "%s", in->items);
    if (in->users) note(n, "users_file", OUTCOME_TEXT, "%s", in->users);
    note(n, "log_id", OUTCOME_TEXT, "%016llx", (unsigned long long)backtest_log_hash(&w->log));
    note_count(n, "lines_read", w->log.lines);
    note_count(n, "lines_rejected", w->log.rejected);
    for (int k = EVENT_OK + 1; k < EVENT_REASONS; k++) {
        if (!w->skipped[k]) continue;
        snprintf(key, sizeof key, "skipped_%s", event_reason_name((enum event_reason)k));
        note_count(n, key, w->skipped[k]);
    }
    note_count(n, "behaviour_lines", w->table.lines);
    if (w->n_late) note_count(n, "lines_late_by_an_hour", w->n_late);
    if (w->n_apart) note_count(n, "lines_apart_from_their_moment", w->n_apart);
    note_count(n, "behaviour_events", w->table.kinds[EVENT_BEHAVIOUR]);
    note_count(n, "impressions", w->table.kinds[EVENT_IMPRESSION]);
    note_count(n, "users", backtest_ids_count(w->table.user_ids));
    note_count(n, "items_known", backtest_ids_count(w->table.item_ids));
}

static const char *order_of(const struct backtest_world *w) {
    if (!w->log.foreign) return "as it stands in the log";
    if (w->input.serial) return "line by line";
    return "whole baskets: the lines of one user and stamp are one moment";
}

static void note_targets(struct notes *n, const struct backtest_course *b) {
    const struct backtest_protocol *p = &b->world.protocol;
    char text[EVENT_MAX_TYPES * 36] = "", *names[1] = {text};
    size_t used = 0;
    for (size_t k = 0; !p->targets && k < b->world.table.n_types; k++)
        if (b->world.table.types[k].weight > 0 && !b->world.table.types[k].negative)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "",
                                     b->world.table.types[k].name);
    if (p->targets)
        note(n, "targets", OUTCOME_TEXT, "%s", p->targets);
    else
        note_list(n, "targets", names, 1);
    note(n, "pairs", OUTCOME_TEXT, "%s", p->repeats ? "new ones and repeats" : "new ones only");
    note(n, "used_items", OUTCOME_TEXT, "%s", p->keep_used ? "may be ranked" : "are left out of the rankings");
    note(n, "never_seen_target", OUTCOME_TEXT, "%s", p->skip_cold ? "is not judged" : "is a miss");
}

static void note_judging(struct notes *n, const struct backtest_course *b) {
    const struct backtest_world *w = &b->world;
    const struct backtest_protocol *p = &w->protocol;
    const struct backtest_cases *c = &w->cases;

    note(n, "order", OUTCOME_TEXT, "%s", order_of(w));
    if (b->o->shuffle)
        note_count(n, "shuffle_ties", b->o->shuffle_seed);
    else
        note_bool(n, "shuffle_ties", false);
    note_count(n, "every", p->every);
    if (p->until_ms != EVENT_NO_TIME)
        note_time(n, "train_until", p->until_ms);
    else
        note(n, "skip", OUTCOME_NUMBER, "%.6g", p->skip);
    note_count(n, "figures_from_line", c->figures_line);
    if (c->figures_event < w->table.n) note_time(n, "figures_from_time", w->table.events[c->figures_event].ts_ms);
    note_bool(n, "freeze", p->freeze);
    note_targets(n, b);
    if (p->cohort) note(n, "cohort", OUTCOME_TEXT, "%s", p->cohort);

    note_count(n, "cases", c->set.n - c->set.figures_from);
}

static void note_choice(struct notes *n, const struct backtest_course *b) {
    const struct backtest_cases *c = &b->world.cases;
    const struct backtest_preset *preset = b->o->wish.preset;
    note(n, "preset", OUTCOME_TEXT, "%s: %s", preset->name, preset->about);
    if (!b->world.protocol.choosing) {
        note(n, "chosen_on", OUTCOME_TEXT, "nothing was to be chosen");
    } else {
        note(n, "chosen_on", OUTCOME_TEXT, "lines %llu to %llu, %zu cases%s", (unsigned long long)c->choose_from,
             (unsigned long long)c->choose_to, c->n_choosing,
             c->set.figures_from == 0 ? ", which are in the figures, too: give --skip or --choose" : "");
    }
    note_count(n, "configurations", b->n_tried);
    if (b->o->wish.n_files) note_list(n, "configuration_files", b->o->wish.files, b->o->wish.n_files);
    note_count(n, "seeds", b->o->wish.seeds);
    for (size_t k = 0; k < b->plan.n_axes; k++) {
        char name[200];
        snprintf(name, sizeof name, "grid %s", b->plan.axes[k].name);
        note_list(n, name, b->plan.axes[k].values, b->plan.axes[k].n);
    }
    if (b->o->wish.random) note_count(n, "random_points", b->o->wish.random);
}

int backtest_notes(struct backtest_course *b, struct err *e) {
    struct notes n = {.set = &b->world.cases.set, .e = e};
    note(&n, "program", OUTCOME_TEXT, "rankd %s", RANKD_VERSION);
    note_log(&n, b);
    note_judging(&n, b);
    note_choice(&n, b);
    for (size_t k = b->n_runs; k-- > 0;) /* of the first seed */
        if (b->runs[k].outcome.role == OUTCOME_TESTED && b->runs[k].digest[0])
            note(&n, "digest", OUTCOME_TEXT, "%s", b->runs[k].digest);
    note_bool(&n, "stopped", b->jobs.stopped);
    if (b->n_cases < b->world.cases.set.n) note_count(&n, "cases_reached", b->n_cases);
    return n.rc;
}
