/* What outcome.c and outcome_file.c share: the bytes of a case. */
#ifndef RANKD_EVAL_OUTCOME_PRIV_H
#define RANKD_EVAL_OUTCOME_PRIV_H

#include "lib/eval/outcome.h"

#define OUTCOME_CASE_BYTES 40

/* The case as it stands in files and enters the hash of a set: its fields in order, little-endian. */
void outcome_case_put(const struct outcome_case *c, uint8_t out[OUTCOME_CASE_BYTES]);

#endif
