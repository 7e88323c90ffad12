#include "common/base.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
die(const char *text, size_t n)
{
	/* System calls and nothing else: a lock may be held here, and the heap may be broken.
	 * A standard error that nothing reads must not keep a broken process alive. */
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&p, 1, 0) == 1 && write(STDERR_FILENO, text, n) < 0)
		abort();
	abort();
}

void
base_check_failed(const char *file, int line, const char *expr)
{
	char text[512];
	int n = snprintf(text, sizeof text, "%s:%d: check failed: %s\n", file, line, expr);

	die(text, MIN((size_t)n, sizeof text - 1));
	abort();
}

static void *
or_die(void *ptr, size_t size)
{
	static const char text[] = "out of memory\n";

	if (ptr == NULL && size != 0)
		die(text, sizeof text - 1);
	return ptr;
}

void *
xmalloc(size_t size)
{
	return or_die(malloc(size), size);
}

void *
xcalloc(size_t n, size_t size)
{
	return or_die(calloc(n, size), n * size);
}

void *
xrealloc(void *ptr, size_t size)
{
	return or_die(realloc(ptr, size), size);
}

void *
xaligned(size_t alignment, size_t size)
{
	return or_die(aligned_alloc(alignment, size), size);
}

char *
xstrdup(const char *s)
{
	return or_die(strdup(s), 1);
}

char *
xstrndup(const char *s, size_t n)
{
	return or_die(strndup(s, n), 1);
}

char *
xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	return or_die(text, 1);
}
