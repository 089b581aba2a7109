/* The report of a backtest: one page of HTML for people, one object of JSON for machines.
 *
 * Both are functions of the summary alone: no clock, no locale, no machine. Only costs (events/s, memory) differ from
 * run to run. Appends to *out; a failure (memory, limit) shows in out->failed. */
#ifndef RANKD_EVAL_REPORT_H
#define RANKD_EVAL_REPORT_H

#include "lib/base/buf.h"
#include "lib/eval/summary.h"

/* Room that is enough for any summary: the limit to give the buffer. */
#define REPORT_BYTES_MOST (256u << 20)

/* A complete document that needs nothing else: own style, plots in SVG, no script, no network. All text is escaped. */
void report_html(const struct summary *s, struct buf *out);

/* {"title", "protocol": {...}, "verdict", "findings": [...], "models": [...], "comparisons": [...], "tried": [...],
 * "types": [...]}. A model has "name", "role", "events" (targets judged), "ndcg@K", "recall@K", "mrr@K" and "hit@K" for
 * each K of metrics_ks, "events_per_s" and more: docs/backtest.md lists them. The protocol holds the notes of the set
 * beside "decides", "objective", "judged", "for_choosing" and "ended_early", keys that no note may have. Ends with a
 * line feed. */
void report_json(const struct summary *s, struct buf *out);

#endif
