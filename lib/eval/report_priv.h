/* What the files of the HTML report share. */
#ifndef RANKD_EVAL_REPORT_PRIV_H
#define RANKD_EVAL_REPORT_PRIV_H

#include "lib/eval/report.h"

void report_style(struct buf *b); /* CSS */

/* Listed models in the order they are shown: the tested one, baselines by the deciding figure (each followed by its
 * best in hindsight), ablations. order (n_models); gives how many. */
size_t report_order(const struct summary *s, size_t *order);

/* A section's head: <section> is left open. about: one sentence, NULL for none. */
void report_section(struct buf *b, const char *title, const char *about);
void report_section_end(struct buf *b);

/* report_tables.c: tables of models; order (n) as above. */
void report_models(struct buf *b, const struct summary *s, const size_t *order, size_t n);
void report_breadth(struct buf *b, const struct summary *s, const size_t *order, size_t n);
void report_figures(struct buf *b, const struct summary *s, const size_t *order, size_t n);
/* Begins a row of a table with the model's name; the caller ends it. */
void report_row(struct buf *b, const struct summary *s, const struct summary_model *m);
void report_tried(struct buf *b, const struct summary *s);

/* report_plots.c */
void report_over_time(struct buf *b, const struct summary *s, const size_t *order, size_t n);
void report_cohorts(struct buf *b, const struct summary *s);
void report_trust(struct buf *b, const struct summary *s, const size_t *order, size_t n);

/* report_given.c: what was given to the backtest. */
void report_protocol(struct buf *b, const struct summary *s);
void report_types(struct buf *b, const struct summary *s);
void report_settings(struct buf *b, const struct summary *s);

#endif
