/* Normal and Student distributions, from additions, multiplications and fm_* only: the same bits on every machine. */
#ifndef RANKD_EVAL_STAT_H
#define RANKD_EVAL_STAT_H

/* P(Z < z) of the standard normal; relative error below 1e-10 for z < 0 (0 below -38), NaN for NaN. Series near 0
 * (Marsaglia 2004, "Evaluating the normal distribution"), Laplace's continued fraction in the tails. */
double stat_normal(double z);
/* The z with stat_normal(z) = p, 0 < p < 1: absolute error below 1e-9. */
double stat_normal_quantile(double p);

/* The t that a Student variable of dof >= 1 degrees of freedom stays below with probability p, and the normal z that a
 * t is as unlikely as: Wallace (1959), "Bounds on normal approximations to Student's and the chi-square distributions".
 * Relative error of t below 1e-3 for dof >= 9 and p in [1e-4, 1 - 1e-4]; each is the inverse of the other. */
double stat_t_quantile(double p, double dof);
double stat_t_to_normal(double t, double dof);

/* Probability under the null of a t as far from 0, on either side. */
double stat_t_two_sided(double t, double dof);

double stat_exp(double x); /* e^x and ln x by fm_exp2 and fm_log2 */
double stat_log(double x);

/* Holm's step-down correction (Holm 1979): (n) p-values in, (n) corrected ones out, each at most 1: the ith smallest
 * times n - i + 1, made rising. Two arrays. NaN counts as 1. For dozens: the work grows with n^2. */
void stat_holm(const double *p, double *out, unsigned n);

#endif
