/* Plots in SVG, drawn into a page: lines over time, intervals, bars and a reliability diagram.
 *
 * Colours come from the page's style by classes: s0 to s7 for series, "grid", "axis", "ideal", "mark". */
#ifndef RANKD_EVAL_PLOT_H
#define RANKD_EVAL_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/eval/trust.h"

#define PLOT_STYLES 8 /* series beyond share the styles of the first; style 0 is the one that stands out */

struct plot_line {
    const char *label; /* any bytes */
    const double *y;   /* (n_points), NaN: no point */
};

struct plot_lines {
    double width, height;  /* of the drawing, in pixels at its natural size */
    const char *name;      /* what it shows, for those who cannot see it */
    const char *css_class; /* of the svg element */
    const int64_t *ts_ms;  /* (n_points) rising */
    size_t n_points;
    const struct plot_line *lines; /* (n_lines) the first is drawn on top and thicker */
    size_t n_lines;
    bool labels; /* names at the ends of the lines; without, the page has a legend (plot_swatch) */
};
/* y begins at 0. At most 64 lines are drawn. */
void plot_lines(struct buf *b, const struct plot_lines *p);

/* A short line in the style of a series, for a legend. */
void plot_swatch(struct buf *b, size_t series);

/* Ratio and its interval on an axis of change from -limit to +limit, 0 in the middle; what lies beyond ends in an
 * arrow. As wide as its place. tone: a class for its colour. */
void plot_interval(struct buf *b, double ratio, double low, double high, double limit, const char *tone);

/* A bar of value / most, and a mark at other / most (NaN: none); both end at the edge. As wide as its place. */
void plot_bar(struct buf *b, double value, double other, double most);

/* How often what was put first was right, against the probability that was said. */
void plot_reliability(struct buf *b, const struct trust *t);

/* 1, 2, 2.5 or 5 times a power of ten: the smallest step with which at most `steps` of them reach most (> 0). */
double plot_step(double most, unsigned steps);

#endif
