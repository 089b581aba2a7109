/* Sums whose parts fade with a half-life h, kept as log2 of the sum plus t / h: time alone changes nothing. */
#ifndef RANKD_MODEL_DECAY_H
#define RANKD_MODEL_DECAY_H

#include "lib/base/fmath.h"

/* log2(2^sum + 2^shift), shift = t / h of one more event: exact for late events too, and no overflow however late. */
static inline double decay_add(double sum, double shift) {
    double high = sum > shift ? sum : shift, low = sum > shift ? shift : sum;
    return high + fm_log2(1 + fm_exp2(low - high));
}

#endif
