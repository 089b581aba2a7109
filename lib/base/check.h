/* Assertions for bugs: always compiled in, never for bad input. */
#ifndef RANKD_BASE_CHECK_H
#define RANKD_BASE_CHECK_H

_Noreturn void check_failed(const char *condition, const char *file, int line);

/* Ends the process with the place when a condition that only a bug can break is broken. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
