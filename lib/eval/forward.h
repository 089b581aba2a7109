/* Exponential decay without touching what decays: new amounts are made larger instead of old ones smaller.
 *
 * "Forward decay" (Cormode, Shkapenyuk, Srivastava and Xu 2009, section 3): an amount that arrives at t is stored times
 * 2^((t - origin) / half-life), and what is stored is read at t times 2^-((t - origin) / half-life). One factor serves
 * all amounts, so that decay costs nothing for each. When the factor has grown large the owner moves the origin and
 * scales everything once. */
#ifndef RANKD_EVAL_FORWARD_H
#define RANKD_EVAL_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/fmath.h"

#define FORWARD_MOST  60     /* half-lives past the origin at which the owner has to move it */
#define FORWARD_LEAST 1e-30F /* stored amounts below this are forgotten when everything is scaled */

struct forward {
    int64_t half_life_ms; /* 0: no decay */
    int64_t origin_ms;    /* of the stored amounts */
    bool begun;           /* origin_ms is set */
};

/* In half-lives. */
static inline double forward_age(const struct forward *f, int64_t ts_ms) {
    return f->half_life_ms > 0 && f->begun ? (double)(ts_ms - f->origin_ms) / (double)f->half_life_ms : 0;
}

/* By what an amount is multiplied before it is stored, and by what a stored one is to be read. */
static inline float forward_store(const struct forward *f, int64_t ts_ms) {
    return (float)fm_exp2(forward_age(f, ts_ms));
}
static inline float forward_read(const struct forward *f, int64_t ts_ms) {
    return (float)fm_exp2(-forward_age(f, ts_ms));
}

/* Called before amounts of ts_ms are stored. True when the owner has to multiply everything stored by *scale; the
 * origin has then moved to ts_ms. */
static inline bool forward_move(struct forward *f, int64_t ts_ms, float *scale) {
    if (!f->begun) f->origin_ms = ts_ms;
    f->begun = true;
    if (forward_age(f, ts_ms) < FORWARD_MOST) return false;
    *scale = forward_read(f, ts_ms);
    f->origin_ms = ts_ms;
    return true;
}

#endif
