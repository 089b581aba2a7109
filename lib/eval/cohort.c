/* Ways to divide the cases of a backtest. */
#include "lib/eval/cohort.h"

#include "lib/base/check.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

#define WINDOW_CASES  500
#define WINDOWS_LEAST 8
#define WINDOWS_MOST  40

static const char *const keys[COHORT_KINDS] = {"all",      "warmth",     "type",  "history", "pause",
                                               "item_age", "popularity", "hour",  "basket",  "repeat",
                                               "feature",  "quarter",    "window"};

static const char *const titles[COHORT_KINDS] = {"all events",
                                                 "target touched before",
                                                 "event type",
                                                 "items in the user's history",
                                                 "the user's last event",
                                                 "age of the target",
                                                 "events of the target so far",
                                                 "hour of the day (UTC)",
                                                 "targets at one moment",
                                                 "user and item",
                                                 "feature",
                                                 "part of the log",
                                                 "window"};

#define PARTS_MOST 6
static const char *const labels[COHORT_KINDS][PARTS_MOST] = {
    [COHORT_ALL] = {"all"},
    [COHORT_WARMTH] = {"warm", "cold"},
    [COHORT_HISTORY] = {"none", "1", "2", "3 to 4", "5 to 10", "more than 10"},
    [COHORT_PAUSE] = {"within 30 minutes", "longer ago, or none"},
    [COHORT_ITEM_AGE] = {"never touched", "up to 1 hour", "up to 1 day", "up to 7 days", "up to 30 days", "older"},
    [COHORT_POPULARITY] = {"none", "1 to 9", "10 to 99", "100 to 999", "1000 and more"},
    [COHORT_HOUR] = {"0 to 4", "4 to 8", "8 to 12", "12 to 16", "16 to 20", "20 to 24"},
    [COHORT_BASKET] = {"one", "several (a basket)"},
    [COHORT_REPEAT] = {"first time", "again"},
    [COHORT_QUARTER] = {"1st quarter", "2nd quarter", "3rd quarter", "4th quarter"},
    [COHORT_WINDOW] = {""},
};

/* The part of v among n rising bounds: 0 up to the first, n above the last. */
static uint16_t step_of(int64_t v, const int64_t *bounds, uint16_t n) {
    uint16_t k = 0;
    while (k < n && v > bounds[k]) k++;
    return k;
}

static uint16_t part_of(const struct outcome_case *c, enum cohort kind) {
    static const int64_t history[] = {0, 1, 2, 4, 10}, age[] = {-1, HOUR, DAY, 7 * DAY, 30 * DAY};
    static const int64_t events[] = {0, 9, 99, 999};
    switch (kind) {
    case COHORT_WARMTH:
        return outcome_cold(c);
    case COHORT_TYPE:
        return c->type;
    case COHORT_HISTORY:
        return step_of(c->history, history, 5);
    case COHORT_PAUSE:
        return (c->flags & OUTCOME_RECENT) == 0;
    case COHORT_ITEM_AGE:
        return step_of(c->item_age_ms, age, 5);
    case COHORT_POPULARITY:
        return step_of(c->item_events, events, 4);
    case COHORT_HOUR:
        return (uint16_t)(((c->ts_ms % DAY + DAY) % DAY) / (4 * HOUR));
    case COHORT_BASKET:
        return (c->flags & OUTCOME_BASKET) != 0;
    case COHORT_REPEAT:
        return (c->flags & OUTCOME_REPEAT) != 0;
    case COHORT_FEATURE:
        return c->feature;
    default:
        return 0;
    }
}

/* Case i of n gets part i * parts / n, of the first case of its moment. */
static void by_order(const struct outcome_set *s, size_t from, size_t to, size_t parts, uint16_t *out) {
    uint16_t part = 0;
    for (size_t i = from; i < to; i++) {
        bool joined = i > from && (s->cases[i].flags & OUTCOME_SAME_MOMENT) != 0;
        if (!joined) part = (uint16_t)((uint64_t)(i - from) * parts / (to - from));
        out[i - from] = part;
    }
}

void cohort_of(const struct outcome_set *s, enum cohort kind, size_t from, size_t to, uint16_t *out) {
    CHECK(from <= to && to <= s->n);
    if (kind == COHORT_QUARTER || kind == COHORT_WINDOW) {
        by_order(s, from, to, cohort_parts(s, kind, from, to), out);
        return;
    }
    for (size_t i = from; i < to; i++) out[i - from] = part_of(&s->cases[i], kind);
}

size_t cohort_parts(const struct outcome_set *s, enum cohort kind, size_t from, size_t to) {
    if (kind == COHORT_TYPE) return s->n_types > 0 ? s->n_types : 1;
    if (kind == COHORT_FEATURE) return s->n_features > 0 ? s->n_features : 1;
    if (kind == COHORT_WINDOW) return cohort_windows(to - from);
    size_t n = 0;
    while (n < PARTS_MOST && labels[kind][n]) n++;
    return n;
}

const char *cohort_key(enum cohort kind) { return keys[kind]; }

const char *cohort_title(const struct outcome_set *s, enum cohort kind) {
    return kind == COHORT_FEATURE && s->feature ? s->feature : titles[kind];
}

const char *cohort_label(const struct outcome_set *s, enum cohort kind, size_t part) {
    if (kind == COHORT_TYPE) return part < s->n_types ? s->types[part].name : "none";
    if (kind == COHORT_FEATURE) return part > 0 && part < s->n_features ? s->features[part] : "none";
    return part < PARTS_MOST && labels[kind][part] ? labels[kind][part] : "";
}

size_t cohort_windows(size_t n) {
    if (n < 2 * WINDOWS_LEAST) return 1;
    size_t windows = n / WINDOW_CASES;
    if (windows < WINDOWS_LEAST) return WINDOWS_LEAST;
    return windows < WINDOWS_MOST ? windows : WINDOWS_MOST;
}
