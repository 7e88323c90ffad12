#include "common/text.h"

#include <stdlib.h>
#include <string.h>

bool
text_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

char *
text_copy(const char *s)
{
	return s == NULL ? NULL : xstrdup(s);
}

void
text_replace(char **to, const char *text)
{
	char *old = *to;

	*to = text_copy(text); /* first: text may be a part of the old one */
	free(old);
}

char *
text_lower_copy(const char *s, size_t n)
{
	char *out = xstrndup(s, n), *at;

	for (at = out; *at != '\0'; at++)
		*at = text_lower(*at);
	return out;
}

bool
text_number(const char *s, size_t n, uint32_t max, uint32_t *out)
{
	uint64_t value = 0;
	size_t i;

	if (n == 0)
		return false;
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(s[i] - '0');
		if (value > max)
			return false;
	}
	*out = (uint32_t)value;
	return true;
}

size_t
text_utf8_length(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t length = u[0] < 0x80 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4, i;

	if ((u[0] >= 0x80 && u[0] < 0xc2) || u[0] > 0xf4)
		return 0;
	for (i = 1; i < length; i++)
		if (i >= n || (u[i] & 0xc0) != 0x80)
			return 0;
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return length;
}

void
text_make_printable(char *text)
{
	const char *from = text, *end = text + strlen(text);
	char *to = text;

	while (from < end) {
		const unsigned char *u = (const unsigned char *)from;
		size_t n = text_utf8_length(from, (size_t)(end - from));
		bool is_c0 = u[0] < ' ' && u[0] != '\t';
		bool is_c1 = n == 2 && u[0] == 0xc2 && u[1] < 0xa0;

		if (n == 0 || is_c0 || u[0] == 0x7f || is_c1) {
			*to++ = '?';
			from += MAX(n, (size_t)1);
			continue;
		}
		memmove(to, from, n);
		to += n;
		from += n;
	}
	*to = '\0';
}
