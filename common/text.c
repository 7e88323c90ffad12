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

	*to = text_copy(text); /* before the free: text may lie within the old one */
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
text_number(const char *s, size_t n, uint32_t most, uint32_t *out)
{
	uint64_t value = 0;
	size_t i;

	if (n == 0)
		return false;
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(s[i] - '0');
		if (value > most)
			return false;
	}
	*out = (uint32_t)value;
	return true;
}
