/* Ways to divide the cases of a backtest: by what is known of the user, of the target, of the event, of the moment.
 *
 * Each division gives every case one part, a number from 0. Divisions by the order of the log (quarters, windows) are
 * over a range of cases and keep the targets of one moment together. */
#ifndef RANKD_EVAL_COHORT_H
#define RANKD_EVAL_COHORT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"
#include "lib/eval/outcome.h"

enum cohort {
    COHORT_ALL,        /* everything: one part */
    COHORT_WARMTH,     /* warm or cold: whether the target was touched before */
    COHORT_TYPE,       /* event type */
    COHORT_HISTORY,    /* items in the user's history: none, 1, 2, 3-4, 5-10, more */
    COHORT_PAUSE,      /* last event of the user within 30 minutes, or not */
    COHORT_ITEM_AGE,   /* since the target's first event: new, an hour, a day, a week, a month, more */
    COHORT_POPULARITY, /* events of the target so far: none, 1-9, 10-99, 100-999, more */
    COHORT_HOUR,       /* of the day, UTC, in six parts of four hours */
    COHORT_BASKET,     /* one target at its moment, or several */
    COHORT_REPEAT,     /* the user's first event with the item, or a later one */
    COHORT_FEATURE,    /* a value of the feature asked for */
    COHORT_QUARTER,    /* four parts of the same number of cases, in the log's order */
    COHORT_WINDOW, /* cohort_windows() parts of the same number of cases, in the log's order: for a plot over time */
    COHORT_KINDS,
};

/* A part's number for each of the cases [from, to): out (to - from). Every number is below cohort_parts. */
void cohort_of(const struct outcome_set *s, enum cohort kind, size_t from, size_t to, uint16_t *out);
size_t cohort_parts(const struct outcome_set *s, enum cohort kind, size_t from, size_t to);

const char *cohort_key(enum cohort kind); /* for machines: "item_age" */
/* A title for people, "age of the item". For COHORT_FEATURE the feature's name. */
const char *cohort_title(const struct outcome_set *s, enum cohort kind);
/* What a part is called, "up to 1 day"; a name of a type or a value of the feature comes as it is, with any bytes.
 * Valid as long as the set. Of quarters "1st quarter"; of windows "". */
const char *cohort_label(const struct outcome_set *s, enum cohort kind, size_t part);

/* Windows for n cases: 8 to 40, of 500 cases or more where there are enough; 1 below 16 cases. */
size_t cohort_windows(size_t n);

#endif
