/* base - the header that every file includes: attributes, checks that release builds keep,
 * and allocation that never returns NULL.
 * Thread: any.  Includes nothing else of the project. */
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

/* The object of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Abort where an invariant of our own code is broken, and say which, in release builds
 * too.  Never for input, and never for a failure of the environment. */
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			base_check_failed(__FILE__, __LINE__, #cond);                              \
	} while (0)

NORETURN void base_check_failed(const char *file, int line, const char *expr);

/* Allocate; the result is the caller's to free().  Out of memory aborts: the conf file
 * bounds whatever a peer can make grow, so that no peer can cause it. */
NODISCARD void *xmalloc(size_t size);
NODISCARD void *xcalloc(size_t n, size_t size);
NODISCARD void *xrealloc(void *ptr, size_t size);
/* size: a multiple of alignment, which is a power of two. */
NODISCARD void *xaligned(size_t alignment, size_t size);
NODISCARD char *xstrdup(const char *s);
NODISCARD char *xstrndup(const char *s, size_t n);
NODISCARD char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
