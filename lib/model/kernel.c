/* Chooses the vector kernel this CPU can run. */
#include "lib/model/kernel.h"

#include <string.h>

#include "lib/model/kernel_sets.h"

static bool has_avx2(void) { return __builtin_cpu_supports("avx2"); }

static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}

static bool has_all(void) { return true; }

static const struct {
    const struct kernel *kernel;
    bool (*runs)(void);
} sets[] = {{&kernel_avx512, has_avx512}, {&kernel_avx2, has_avx2}, {&kernel_portable, has_all}}; /* best first */

const struct kernel *kernel_pick(const char *name) {
    bool any = strcmp(name, "auto") == 0;
    __builtin_cpu_init();
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if ((any || strcmp(name, sets[i].kernel->name) == 0) && sets[i].runs()) return sets[i].kernel;
    }
    return NULL;
}
