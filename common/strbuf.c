#include "common/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
strbuf_init(struct strbuf *b, size_t ceil)
{
	*b = (struct strbuf){.ceil = ceil};
}

void
strbuf_fini(struct strbuf *b)
{
	free(b->data);
	*b = (struct strbuf){.ceil = b->ceil};
}

char *
strbuf_reserve(struct strbuf *b, size_t n)
{
	size_t need = b->len + n + 1;

	if (need > b->cap) {
		size_t cap = b->cap == 0 ? 64 : b->cap;

		while (cap < need)
			cap *= 2;
		b->data = xrealloc(b->data, cap);
		b->cap = cap;
	}
	return b->data + b->len;
}

void
strbuf_expect(struct strbuf *b, size_t n)
{
	CHECK(strbuf_reserve(b, n) != NULL);
}

int
strbuf_add(struct strbuf *b, const void *data, size_t n)
{
	char *at;

	if (b->ceil != 0 && (b->len > b->ceil || n > b->ceil - b->len))
		return -1;
	at = strbuf_reserve(b, n);
	if (n > 0)
		memcpy(at, data, n);
	b->len += n;
	b->data[b->len] = '\0';
	return 0;
}

int
strbuf_adds(struct strbuf *b, const char *s)
{
	return strbuf_add(b, s, strlen(s));
}

int
strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	char small[256], *text = small;
	va_list args, again;
	int n, rc;

	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(small, sizeof small, fmt, args);
	va_end(args);
	CHECK(n >= 0);
	if ((size_t)n >= sizeof small) {
		text = xmalloc((size_t)n + 1);
		vsnprintf(text, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	rc = strbuf_add(b, text, (size_t)n);
	if (text != small)
		free(text);
	return rc;
}

int
strbuf_add_number(struct strbuf *b, double value)
{
	char text[40];

	snprintf(text, sizeof text, "%.15g", value == 0 ? 0 : value); /* never "-0" */
	if (strtod(text, NULL) != value)
		snprintf(text, sizeof text, "%.17g", value);
	return strbuf_adds(b, text);
}

void
strbuf_consume(struct strbuf *b, size_t n)
{
	CHECK(n <= b->len);
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
	b->data[b->len] = '\0';
}

const char *
strbuf_str(const struct strbuf *b)
{
	return b->data == NULL ? "" : b->data;
}

char *
strbuf_take(struct strbuf *b)
{
	char *text = b->data == NULL ? xstrdup("") : b->data;

	*b = (struct strbuf){.ceil = b->ceil};
	return text;
}

void
strbuf_move(struct strbuf *to, struct strbuf *from)
{
	CHECK(to->len == 0);
	free(to->data);
	to->data = from->data;
	to->len = from->len;
	to->cap = from->cap;
	*from = (struct strbuf){.ceil = from->ceil};
}

void
strbuf_clear(struct strbuf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}
