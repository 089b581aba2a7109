/* The two clocks of the machine, replaceable in tests. Nothing that enters the model may read them. */
#ifndef RANKD_BASE_CLOCK_H
#define RANKD_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

int64_t clock_wall_ms(void);    /* since 1970-01-01 UTC */
uint64_t clock_steady_ns(void); /* never goes back; origin unspecified */

void clock_sleep_ms(int64_t ms); /* of the steady clock of the machine; for waits that nothing can wake */

/* Test hook: both clocks answer from fn (wall in ms, steady = the same in ns) until called with NULL. */
void clock_replace(int64_t (*wall_ms)(void));

#define CLOCK_MS_MIN INT64_C(0)
#define CLOCK_MS_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

/* RFC 3339 date-time with 'T' or ' ', fraction of any length (cut to ms), 'Z' or an offset, letters in either case; a
 * leap second (only just before midnight UTC) counts as the second before. False, *ms untouched, when s is not one or
 * lies outside [CLOCK_MS_MIN, CLOCK_MS_MAX]. */
bool clock_parse(struct slice s, int64_t *ms);
/* The same, and what databases export: without a zone, which is UTC then, also without the fraction, the seconds, or
 * the time of day ("2014-04-01 03:08:52", "2014-04-01 03:08", "2014-04-01"). */
bool clock_parse_plain(struct slice s, int64_t *ms);
/* 2023-11-14T22:13:20.123Z; ms within the range above. */
void clock_format(int64_t ms, char out[32]);

#endif
