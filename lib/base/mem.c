/* Memory, with one place where a test can make the Nth request fail. */
#include "lib/base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/check.h"

static atomic_uint_fast64_t fail_in; /* requests until the one that fails, 0 = none will */

static bool refuse(void) {
    uint_fast64_t left = atomic_load_explicit(&fail_in, memory_order_relaxed);
    if (LIKELY(left == 0)) return false;
    while (left != 0 && !atomic_compare_exchange_weak_explicit(&fail_in, &left, left - 1, memory_order_relaxed,
                                                               memory_order_relaxed)) {
    }
    return left == 1;
}

void mem_fail_at(uint64_t nth) { atomic_store_explicit(&fail_in, nth, memory_order_relaxed); }

void *mem_alloc(size_t n) {
    CHECK(n > 0);
    return refuse() ? NULL : malloc(n);
}

void *mem_zalloc(size_t n) {
    CHECK(n > 0);
    return refuse() ? NULL : calloc(1, n);
}

void *mem_realloc(void *p, size_t n) {
    CHECK(n > 0);
    return refuse() ? NULL : realloc(p, n);
}

void mem_free(void *p) { free(p); }

void *mem_map(size_t n) {
    CHECK(n > 0);
    if (refuse()) return NULL;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void *mem_map_dense(size_t n) {
    void *p = mem_map(n);
    if (p != NULL) (void)madvise(p, n, MADV_HUGEPAGE); /* a wish: where it is refused all is only slower */
    return p;
}

void mem_unmap(void *p, size_t n) {
    if (p != NULL) CHECK(munmap(p, n) == 0);
}

size_t mem_map_forget(void *p, size_t from, size_t to) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), first = (from + page - 1) / page * page, end = to / page * page;
    if (first >= end) return to;
    (void)madvise((char *)p + first, end - first, MADV_DONTNEED); /* refused: they only stay */
    return first;
}
