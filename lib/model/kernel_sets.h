/* The kernels kernel_pick chooses from, one per instruction set; for kernel*.c alone. */
#ifndef RANKD_MODEL_KERNEL_SETS_H
#define RANKD_MODEL_KERNEL_SETS_H

#include "lib/model/kernel.h"

#define KERNEL_LANES    16
#define KERNEL_INF_BITS 0x7f800000u /* of |v|: infinity; above it NaN, below it finite */

extern const struct kernel kernel_portable, kernel_avx2, kernel_avx512;

/* Scale of a row whose largest |element| has these bits. 0 also where the quotient underflows: the codes are then 0. */
static inline float kernel_scale(uint32_t top_bits) {
    union {
        uint32_t bits;
        float value;
    } top = {top_bits};
    return top_bits < KERNEL_INF_BITS ? top.value / 127.0f : __builtin_nanf("");
}

#endif
