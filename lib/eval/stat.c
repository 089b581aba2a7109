/* Normal and Student distributions, and Holm's correction. */
#include "lib/eval/stat.h"

#include <math.h>
#include <stdbool.h>

#include "lib/base/fmath.h"

#define LN2         0x1.62e42fefa39efp-1
#define LOG2_E      0x1.71547652b82fep+0
#define SQRT_2_PI   0x1.40d931ff62706p+1
#define TAIL_FROM   4.0 /* the series is exact enough below, the fraction quick enough above */
#define TAIL_TERMS  80
#define NORMAL_ZERO 38.5 /* the density underflows beyond */

double stat_exp(double x) { return fm_exp2(x * LOG2_E); }
double stat_log(double x) { return fm_log2(x) * LN2; }

static double density(double z) { return stat_exp(-0.5 * z * z) / SQRT_2_PI; }

/* P(Z > z), z >= TAIL_FROM: density / (z + 1/(z + 2/(z + 3/(z + ...)))) */
static double tail(double z) {
    double below = z;
    for (int k = TAIL_TERMS; k >= 1; k--) below = z + (double)k / below;
    return density(z) / below;
}

double stat_normal(double z) {
    if (isnan(z)) return z;
    if (z <= -NORMAL_ZERO) return 0.0;
    if (z >= NORMAL_ZERO) return 1.0;
    if (z <= -TAIL_FROM) return tail(-z);
    if (z >= TAIL_FROM) return 1.0 - tail(z);
    double term = z, sum = z, before = 0.0;
    for (int k = 3; sum != before; k += 2) { /* z + z^3/3 + z^5/(3 5) + ... */
        before = sum;
        term *= z * z / (double)k;
        sum += term;
    }
    return 0.5 + sum * density(z);
}

/* From a start within 5e-4 (Abramowitz and Stegun 26.2.23), Newton's steps in the lower half. */
double stat_normal_quantile(double p) {
    double low = p < 0.5 ? p : 1.0 - p;
    if (!(low > 0.0)) return p < 0.5 ? (double)-INFINITY : (double)INFINITY;
    double t = fm_sqrt(-2.0 * stat_log(low));
    double z = (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
    for (int k = 0; k < 4; k++) {
        double d = density(z);
        if (!(d > 0.0)) break;
        z -= (stat_normal(z) - low) / d;
    }
    return p < 0.5 ? z : -z;
}

static double bend(double dof) { return (8.0 * dof + 3.0) / (8.0 * dof + 1.0); }

double stat_t_quantile(double p, double dof) {
    double z = stat_normal_quantile(p) * bend(dof);
    double t = fm_sqrt(dof * (stat_exp(z * z / dof) - 1.0));
    return z < 0 ? -t : t;
}

double stat_t_to_normal(double t, double dof) {
    double z = fm_sqrt(dof * stat_log(1.0 + t * t / dof)) / bend(dof);
    return t < 0 ? -z : z;
}

double stat_t_two_sided(double t, double dof) {
    double p = 2.0 * stat_normal(stat_t_to_normal(t < 0 ? t : -t, dof));
    return p < 1.0 ? p : 1.0;
}

/* The places of p in rising order, one after the other; among equals by their number. */
void stat_holm(const double *p, double *out, unsigned n) {
    double before = -1.0, highest = 0.0;
    unsigned before_at = 0;
    for (unsigned rank = 0; rank < n; rank++) {
        unsigned best = n;
        double best_p = 2.0;
        for (unsigned i = 0; i < n; i++) {
            double q = p[i] <= 1.0 ? p[i] : 1.0;
            bool taken = q < before || (q == before && i <= before_at);
            if (taken || q >= best_p) continue;
            best = i;
            best_p = q;
        }
        double value = best_p * (double)(n - rank);
        highest = value > highest ? value : highest;
        out[best] = highest < 1.0 ? highest : 1.0;
        before = best_p;
        before_at = best;
    }
}
