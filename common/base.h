/* base - the one header that every file includes: attributes, checks that stay
 * alive in release builds, and allocation that never returns NULL.
 * Thread: any.  Must never depend on anything else of the project. */
#ifndef COMMON_BASE_H
#define COMMON_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The object of `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A broken invariant of ours: says where, and aborts.  Never for input, never
 * for the environment; kept in release builds. */
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			base_check_failed(__FILE__, __LINE__, #cond);                              \
	} while (0)

NORETURN void base_check_failed(const char *file, int line, const char *expr);

/* Allocation.  Out of memory aborts: what a peer can make grow is bounded by the
 * conf file before it comes here.  The result is the caller's, for free(). */
NODISCARD void *xmalloc(size_t size);
NODISCARD void *xcalloc(size_t n, size_t size);
NODISCARD void *xrealloc(void *ptr, size_t size);
NODISCARD char *xstrdup(const char *s);
NODISCARD char *xstrndup(const char *s, size_t n);
NODISCARD char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
