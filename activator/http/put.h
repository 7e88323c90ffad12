/* put - writes the parts of a head into a buffer whose size the caller has ensured.  Each call
 * returns where the next part goes.  Thread: any. */
#ifndef ACTIVATOR_HTTP_PUT_H
#define ACTIVATOR_HTTP_PUT_H

#include <string.h>

#include "activator/http/h1.h"

static inline char *
put(char *out, const char *s, size_t n)
{
	memcpy(out, s, n);
	return out + n;
}
#define PUT_LITERAL(out, s) put(out, s, sizeof(s) - 1)

static inline char *
put_decimal(char *out, uint64_t n)
{
	char digits[20];
	size_t at = sizeof digits;

	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	return put(out, digits + at, sizeof digits - at);
}

static inline char *
put_hex(char *out, uint64_t n)
{
	char digits[16];
	size_t at = sizeof digits;

	do
		digits[--at] = "0123456789abcdef"[n % 16];
	while ((n /= 16) != 0);
	return put(out, digits + at, sizeof digits - at);
}

static inline char *
put_field(char *out, const struct h1_field *f)
{
	out = put(out, f->name, f->name_n);
	out = PUT_LITERAL(out, ": ");
	out = put(out, f->value, f->value_n);
	return PUT_LITERAL(out, "\r\n");
}

#endif
