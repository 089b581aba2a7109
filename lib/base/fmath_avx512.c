/* Sixteen floats at a time. Compiled for AVX-512. */
#include "lib/base/fmath_float.h"

void fm_expf_n_avx512(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = expf_one(x[i]);
}

void fm_logf_n_avx512(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = logf_one(x[i]);
}
