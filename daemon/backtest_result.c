/* The result as JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/backtest_course.h"

static void sums(const struct outcome_run *r, size_t from, size_t to, double out[3]) {
    memset(out, 0, 3 * sizeof *out);
    for (size_t k = from; k < to; k++) {
        if (r->rank[k] >= 20) continue;
        out[0] += 1 / log2((double)r->rank[k] + 2);
        out[1] += 1;
        out[2] += 1 / ((double)r->rank[k] + 1);
    }
}

int backtest_result(const struct backtest_course *b, struct err *e) {
    const struct backtest_cases *c = &b->world.cases;
    size_t n = c->set.n - c->set.figures_from;
    const char *separator = "";
    const char *digest = "";
    for (size_t k = b->n_runs; k-- > 0;)
        if (b->runs[k].outcome.role == OUTCOME_TESTED && b->runs[k].digest[0]) digest = b->runs[k].digest;
    printf("{\"protocol\":{\"lines\":%llu,\"rejected\":%llu,\"every\":%llu,\"skip\":%g,\"digest\":\"%s\"},\"models\":[",
           (unsigned long long)b->world.table.lines, (unsigned long long)b->world.log.rejected,
           (unsigned long long)b->world.protocol.every, b->world.protocol.skip, digest);
    bool any = false;
    for (size_t k = 0; k < b->n_runs; k++) {
        const struct backtest_run *run = &b->runs[k];
        double sum[3], by = n ? (double)n : 1;
        if (run->state != BACKTEST_DONE || (run->kind && !run->listed)) continue;
        any = true;
        sums(&run->outcome, c->set.figures_from, c->set.n, sum);
        printf("%s\n{\"name\":\"%s\",\"role\":%d,\"seed\":%llu,\"events\":%zu,\"ndcg@20\":%.6f,\"recall@20\":%.6f,"
               "\"mrr@20\":%.6f,\"events_per_s\":%.0f,\"peak_bytes\":%llu,\"digest\":\"%.16s\"}",
               separator, run->outcome.name, (int)run->outcome.role, (unsigned long long)run->seed, n, sum[0] / by,
               sum[1] / by, sum[2] / by, (double)run->outcome.events * 1e9 / (double)run->outcome.cpu_ns,
               (unsigned long long)run->outcome.peak_bytes, run->digest);
        separator = ",";
    }
    printf("]}\n");
    return any ? 0 : err_set(e, ERR_MISSING, "backtest", "no run came to its end");
}
