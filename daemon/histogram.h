/* A histogram of durations with bounds a factor of about 2 apart, counted by any thread. */
#ifndef RANKD_DAEMON_HISTOGRAM_H
#define RANKD_DAEMON_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 24 /* bucket k counts durations up to 10 us * 2^k; the last one everything */

struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t count, sum_ns;
};

static inline double histogram_bound_seconds(int bucket) { return 1e-5 * (double)(UINT64_C(1) << bucket); }

static inline void histogram_add_n(struct histogram *h, uint64_t ns, uint64_t n) {
    int k = 0;
    while (k < HISTOGRAM_BUCKETS - 1 && ns > (UINT64_C(10000) << k)) k++;
    atomic_fetch_add_explicit(&h->buckets[k], n, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->count, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, ns * n, memory_order_relaxed);
}
static inline void histogram_add(struct histogram *h, uint64_t ns) { histogram_add_n(h, ns, 1); }

#endif
