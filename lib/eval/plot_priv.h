/* What plot.c and plot_time.c share. */
#ifndef RANKD_EVAL_PLOT_PRIV_H
#define RANKD_EVAL_PLOT_PRIV_H

#include "lib/eval/plot.h"

#define PLOT_TICKS_MOST 16

struct plot_tick {
    int64_t ts_ms;
    char label[16];
};
/* Ticks of an axis over [from, to]: whole hours, days or months (UTC), at most `most` (up to PLOT_TICKS_MOST) of them.
 * Gives how many. */
unsigned plot_time_ticks(int64_t from, int64_t to, unsigned most, struct plot_tick *out);

#endif
