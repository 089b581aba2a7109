/* The kinds of baselines, each in a file of its own. */
#ifndef RANKD_EVAL_BASELINE_PRIV_H
#define RANKD_EVAL_BASELINE_PRIV_H

#include "lib/eval/baseline.h"

extern const struct baseline_kind base_popularity;

#endif
