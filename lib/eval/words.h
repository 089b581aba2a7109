/* What a summary says, in sentences for people: plain text, not escaped. */
#ifndef RANKD_EVAL_WORDS_H
#define RANKD_EVAL_WORDS_H

#include "lib/base/buf.h"
#include "lib/eval/summary.h"

enum words_tone { WORDS_GOOD, WORDS_CAREFUL, WORDS_OPEN, WORDS_BAD };

/* The verdict on the tested model among the baselines, one sentence; losing to one of them outweighs all else. */
enum words_tone words_verdict(const struct summary *s, struct buf *out);

/* What must be known beside it, one sentence a line, each ended by a line feed: figures, the best baseline, lost and
 * open comparisons, parts in which it is worse, ablations that would be better or make no difference, cold targets,
 * types without configuration, an early end. */
void words_findings(const struct summary *s, struct buf *out);

/* One comparison as a sentence, and what it is called in a word or two. */
void words_comparison(const struct summary *s, const struct compare *c, struct buf *out);
const char *words_verdict_of(const struct compare *c); /* "better", "worse", "inside the noise", ... */

/* A model's name as it is shown: an ablation "rankd without X" of the tested model "rankd" is "without X". */
const char *words_name(const struct summary *s, const struct summary_model *m);

#endif
