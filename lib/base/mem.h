/* Memory, with one place where a test can make the Nth request fail. */
#ifndef RANKD_BASE_MEM_H
#define RANKD_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* As malloc, calloc(1, n), realloc and free; n of 0 is a bug. Thread-safe. NULL when memory is refused. */
void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *p, size_t n);
void mem_free(void *p);

/* Zeroed pages that cost address space until touched; for arrays sized by a bound of the configuration.
 * NULL when refused. mem_unmap takes the same n and accepts NULL. */
void *mem_map(size_t n);
/* As mem_map, for large arrays that fill from the front and are read all over: in huge pages where the system allows.
 */
void *mem_map_dense(size_t n);
void mem_unmap(void *p, size_t n);
/* Gives the whole pages within bytes [from, to) of mapped p back to the system; they read as zeros then. Where the
 * first of them begins, or to when there is none. */
size_t mem_map_forget(void *p, size_t from, size_t to);

/* Test hook: the nth request from now (1 = the next) fails, once. 0 switches it off. Not thread-safe. */
void mem_fail_at(uint64_t nth);

#endif
