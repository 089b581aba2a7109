/* Full rankings of a share of the events, made by the learner before they are learned: they teach the blend.
 *
 * One in max(2, candidates / JUDGE_ITEMS) first-time items of events, chosen by a draw of its place in the log, is
 * ranked among all that the user could be shown. Nothing here changes embeddings, neighbours or statistics. The same
 * rankings, beside those of popularity, are the live quality (lib/model/quality.h), and what the detector of drift
 * sees. */
#ifndef RANKD_MODEL_JUDGE_H
#define RANKD_MODEL_JUDGE_H

#include "lib/model/history.h"
#include "lib/model/model.h"

#define JUDGE_ITEMS 1500u

struct judge;
struct judge *judge_new(const struct model_params *p); /* NULL when memory is refused */
void judge_free(struct judge *j);

/* Learner, before anything of the event is learned; rows (n_items) of its items; used_set was called. Errors are
 * those of reading neighbour rows; nothing has changed then. */
int judge_event(struct judge *j, struct model *m, const struct user_row *user, const struct history *h,
                const struct model_event *ev, const uint32_t *rows, struct err *e) ERR_MUST_CHECK;

#endif
