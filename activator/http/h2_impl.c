#include "activator/http/h2_impl.h"

#include <string.h>

#include "activator/http/fields.h"

nghttp2_nv *
h2_fields(const nghttp2_nv *first, size_t first_n, char *text, size_t n, size_t *count)
{
	char *at, *end = text + n;
	size_t lines = first_n + 1;
	nghttp2_nv *nv;

	for (at = text; n > 0 && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
		lines++;
	nv = xcalloc(lines, sizeof *nv);
	for (*count = 0; *count < first_n; (*count)++)
		nv[*count] = first[*count];
	for (at = text; at < end;) {
		char *stop = memchr(at, '\r', (size_t)(end - at));
		char *colon = stop == NULL ? NULL : memchr(at, ':', (size_t)(stop - at)), *value;

		CHECK(colon != NULL && *count < lines);
		for (char *p = at; p < colon; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p |= 32;
		value = colon + 1;
		while (value < stop && *value == ' ')
			value++;
		nv[(*count)++] = h2_field(at, (size_t)(colon - at), value, (size_t)(stop - value));
		at = stop + 2;
	}
	return nv;
}

bool
h2_is_safe(const char *name, size_t name_n, const char *value, size_t n)
{
	size_t colon = name_n > 0 && name[0] == ':';

	return field_is_token(name + colon, name_n - colon) && field_is_text(value, n) &&
	       (colon == 0 || memchr(value, ' ', n) == NULL);
}
