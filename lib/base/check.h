/* Assertions for bugs: always compiled in, never for bad input. */
#ifndef RANKD_BASE_CHECK_H
#define RANKD_BASE_CHECK_H

_Noreturn void check_failed(const char *condition, const char *file, int line);

/* Ends the process with the place when a condition that only a bug can break is broken. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* 1 in a build for ThreadSanitizer. It must see atomics where a sequence word makes plain copies safe: what was torn is
 * read and thrown away. */
#if defined(__SANITIZE_THREAD__)
#define CHECK_RACES 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHECK_RACES 1
#endif
#endif
#ifndef CHECK_RACES
#define CHECK_RACES 0
#endif

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
