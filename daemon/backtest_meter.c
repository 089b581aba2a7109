/* What a run notes of itself: its costs beyond what the log takes, and how sure it could be. */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "daemon/backtest.h"
#include "lib/base/clock.h"

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Resident now; a forked process begins with what its parent has. */
static uint64_t resident_bytes(void) {
    unsigned long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%llu %llu", &pages, &resident) != 2) resident = 0;
    (void)fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void backtest_meter_begin(struct backtest_meter *m) {
    *m = (struct backtest_meter){cpu_ns(), clock_steady_ns(), resident_bytes()};
}

void backtest_meter_end(const struct backtest_meter *m, struct outcome_run *out) {
    struct rusage u;
    out->cpu_ns = cpu_ns() - m->cpu_ns;
    out->wall_ns = clock_steady_ns() - m->wall_ns;
    uint64_t peak = getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;
    out->peak_bytes = peak > m->held_bytes ? peak - m->held_bytes : 0;
}

void backtest_ask_calibrator(struct calibrator *c, const struct backtest_world *w, size_t at, const float *scores,
                             uint32_t n, uint64_t n_candidates) {
    const struct outcome_case *one = &w->cases.set.cases[at];
    uint64_t ranked = n + (w->protocol.keep_used ? 0 : (uint64_t)one->history);
    calibrator_ask(c, calibrator_bucket(one->history, (one->flags & OUTCOME_RECENT) != 0), scores, n,
                   n_candidates > ranked ? n_candidates - ranked : 0);
}

int backtest_add_outcome(struct outcome_run *out, struct calibrator *c, uint32_t place, struct err *e) {
    float target = place == OUTCOME_MISS ? 0 : calibrator_p(c, place), top = calibrator_p(c, 0);
    calibrator_learn(c, place);
    return outcome_run_add(out, place, target, top, e);
}
