/* exp and log of our own: only IEEE additions, multiplications and divisions, so that every machine gives the same
 * bits. libm picks its implementation by CPU and may differ in the last place between machines.
 *
 * All must be compiled with -ffp-contract=off and without fast-math. Accuracy is stated per function and tested. */
#ifndef RANKD_BASE_FMATH_H
#define RANKD_BASE_FMATH_H

#include <stddef.h>

/* 2^x, relative error below 2e-15; 0 below -1074 (denormal results are exact to their spacing), inf from 1024 on. */
double fm_exp2(double x);
/* log2 x for x > 0, absolute error below 1e-14 (relative to max(1, |result|)); -inf at 0, NaN below. */
double fm_log2(double x);

float fm_expf(float x);  /* e^x, relative error below 3e-7; 0 below -104, inf above 88.8 */
float fm_logf(float x);  /* ln x for x > 0, relative error below 3e-7 (absolute near 1); -inf at 0, NaN below */
float fm_sqrtf(float x); /* exact (IEEE) square root */
double fm_sqrt(double x);

/* The same as fm_expf and fm_logf, element by element, written so that the compiler can use vectors: same bits. */
void fm_expf_n(float *x, size_t n);
void fm_logf_n(float *x, size_t n);

/* 1 / (1 + e^-x) */
static inline float fm_sigmoidf(float x) { return 1.0f / (1.0f + fm_expf(-x)); }

#endif
