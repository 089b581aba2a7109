/* Start values of an item that nobody has touched: those that items with its features have learned. */
#ifndef RANKD_MODEL_KIN_H
#define RANKD_MODEL_KIN_H

#include <stdint.h>

#include "lib/model/model.h"

#define KIN_SAMPLE 64u    /* items of a feature */
#define KIN_MOST   65536u /* items that have it: a feature of more is passed over */

/* Learner, after the features of the row were set. q, y and bias of an item that is not live become the mean over its
 * features, weighted by idf (lib/model/content.h), of means over up to KIN_SAMPLE live items that have the feature,
 * drawn by (seed, rows) alone. Nothing happens to a live item, and where no such item has learned. */
void kin_start(struct model *m, uint32_t row);

#endif
