#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Append `: cause` to the text, cut off where the buffer ends. */
static void
append(struct err *e, const char *cause)
{
	size_t n = strlen(e->text), room = sizeof e->text - n;

	if (room > 3) {
		memcpy(e->text + n, ": ", 2);
		n += 2;
		room -= 3;
		room = MIN(room, strlen(cause));
		memcpy(e->text + n, cause, room);
		e->text[n + room] = '\0';
	}
}

int
err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list args;

	if (e == NULL)
		return -1;
	e->code = code;
	va_start(args, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, args);
	va_end(args);
	return -1;
}

int
err_errno(struct err *e, const char *fmt, ...)
{
	int code = errno;
	va_list args;

	if (e == NULL)
		return -1;
	e->code = code;
	va_start(args, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, args);
	va_end(args);
	append(e, strerror(code));
	return -1;
}

int
err_prefix(struct err *e, const char *fmt, ...)
{
	char old[sizeof e->text];
	va_list args;

	if (e == NULL)
		return -1;
	memcpy(old, e->text, sizeof old);
	va_start(args, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, args);
	va_end(args);
	append(e, old);
	return -1;
}
