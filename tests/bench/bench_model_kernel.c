/* What a call of each kernel costs on rows that are in cache: kernel_<name>_<operation>_ns at d = 64. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/model/kernel.h"
#include "tests/unit/item_table.h"

#define DIM    64u
#define ROWS   64u
#define ROUNDS 20000u

static float rows[ROWS][DIM], out[DIM], grad[DIM], x[DIM];
static int8_t codes[ROWS * DIM], x_codes[DIM];
static int32_t products[ROWS];
static volatile float sink;

static void report(const struct kernel *k, const char *operation, uint64_t since, double calls) {
    printf("kernel_%s_%s_ns %.2f\n", k->name, operation, (double)(clock_steady_ns() - since) / calls);
}

static void run(const struct kernel *k) {
    const double calls = (double)ROUNDS * ROWS;
    float scale, sum = 0;
    uint64_t t = clock_steady_ns();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (uint32_t r = 0; r < ROWS; r++) sum += k->dot(x, rows[r], DIM);
    }
    report(k, "dot", t, calls);
    t = clock_steady_ns();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (uint32_t r = 0; r < ROWS; r++) k->axpy(grad, 1e-9f, rows[r], DIM);
    }
    report(k, "axpy", t, calls);
    t = clock_steady_ns();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (uint32_t r = 0; r < ROWS; r++) sum += k->pair_step(out, rows[r], x, grad, 0.01f, 1e-9f, DIM);
    }
    report(k, "pair_step", t, calls);
    t = clock_steady_ns();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (uint32_t r = 0; r < ROWS; r++) k->quantise(rows[r], DIM, codes + r * DIM, &scale);
    }
    report(k, "quantise", t, calls);
    k->quantise(x, DIM, x_codes, &scale);
    t = clock_steady_ns();
    for (uint32_t i = 0; i < ROUNDS; i++) k->dot_codes(codes, x_codes, DIM, ROWS, products);
    report(k, "dot_codes", t, calls);
    sink = sum + (float)products[7];
}

int main(void) {
    static const char *const names[] = {"portable", "avx2", "avx512"};
    struct table t;
    table_new(&t, 16, 1, 1);
    for (uint32_t k = 0; k < DIM; k++) {
        x[k] = table_value(&t);
        for (uint32_t r = 0; r < ROWS; r++) rows[r][k] = table_value(&t);
    }
    for (int i = 0; i < 3; i++) {
        const struct kernel *k = kernel_pick(names[i]);
        if (k)
            run(k);
        else
            printf("kernel_%s absent\n", names[i]);
    }
    table_free(&t);
    return 0;
}
