#include "activator/http/h2_impl.h"

#include <stdlib.h>

#include "activator/http/fields.h"
#include "activator/http/put.h"

void
h2_fields_init(struct h2_fields *f)
{
	f->v = f->own;
	f->n = 0;
	f->room = ARRAY_LEN(f->own);
}

void
h2_fields_fini(struct h2_fields *f)
{
	if (f->v != f->own)
		free(f->v);
}

static void
grow(struct h2_fields *f)
{
	nghttp2_nv *old = f->v == f->own ? NULL : f->v;

	f->room *= 2;
	f->v = xrealloc(old, f->room * sizeof *f->v);
	if (old == NULL)
		memcpy(f->v, f->own, sizeof f->own);
}

void
h2_fields_add(struct h2_fields *f, const char *name, size_t name_n, const char *value, size_t n)
{
	nghttp2_nv *nv;

	if (f->n == f->room)
		grow(f);
	nv = &f->v[f->n++];
	*nv = (nghttp2_nv){.namelen = name_n, .valuelen = n};
	/* nghttp2 does not change them: const is lost in the type alone. */
	memcpy(&nv->name, &name, sizeof name);
	memcpy(&nv->value, &value, sizeof value);
}

void
h2_fields_add_text(struct h2_fields *f, const char *text, size_t n)
{
	const char *at = text, *end = text + n;

	while (at < end) {
		const char *name, *value;
		size_t name_n, value_n;

		h2_next_line(&at, end, &name, &name_n, &value, &value_n);
		h2_fields_add(f, name, name_n, value, value_n);
	}
}

void
h2_add_line(struct strbuf *b, const char *name, size_t name_n, const char *value, size_t n)
{
	char *out = strbuf_reserve(b, name_n + n + strlen(": \r\n"));

	out = put(out, name, name_n);
	out = PUT_LITERAL(out, ": ");
	out = put(out, value, n);
	out = PUT_LITERAL(out, "\r\n");
	*out = '\0';
	b->len = (size_t)(out - b->data);
}

bool
h2_is_safe(const char *name, size_t name_n, const char *value, size_t n)
{
	size_t colon = name_n > 0 && name[0] == ':';

	return field_is_token(name + colon, name_n - colon) && field_is_text(value, n) &&
	       (colon == 0 || memchr(value, ' ', n) == NULL);
}
