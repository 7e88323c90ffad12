/* h2_impl - what the files of HTTP/2 need (h2*.c), which alone include nghttp2.
 * Thread: any. */
#ifndef ACTIVATOR_HTTP_H2_IMPL_H
#define ACTIVATOR_HTTP_H2_IMPL_H

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "common/strbuf.h"

#define H2_HEAD_EXPECTED 256 /* bytes of the fields of an ordinary head */
#define H2_FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */
/* Our own header blocks may be as large as a head, and fields that we add. */
#define H2_SEND_HEADERS_MOST ((size_t)256 << 10)

/* The fields of a head or of trailers that are to be sent.  They point to the caller's bytes: what
 * submits them to nghttp2 copies those, and makes the letters of names lower case. */
struct h2_fields {
	nghttp2_nv *v; /* own, or more of them on the heap */
	size_t n, room;
	nghttp2_nv own[32];
};

void h2_fields_init(struct h2_fields *);
void h2_fields_fini(struct h2_fields *);
void h2_fields_add(struct h2_fields *, const char *name, size_t name_n, const char *value,
		   size_t n);
/* Those of a text: "name: value" CRLF, any number of them. */
void h2_fields_add_text(struct h2_fields *, const char *text, size_t n);

/* Take the name and value of the line at *at, whose next line becomes *at.  Not behind the last
 * line. */
static inline void
h2_next_line(const char **at, const char *end, const char **name, size_t *name_n,
	     const char **value, size_t *n)
{
	const char *stop = memchr(*at, '\r', (size_t)(end - *at));
	const char *colon = stop == NULL ? NULL : memchr(*at, ':', (size_t)(stop - *at));

	CHECK(colon != NULL);
	*name = *at;
	*name_n = (size_t)(colon - *at);
	do
		colon++;
	while (colon < stop && *colon == ' ');
	*value = colon;
	*n = (size_t)(stop - colon);
	*at = stop + 2;
}

/* Append "name: value" CRLF. */
void h2_add_line(struct strbuf *, const char *name, size_t name_n, const char *value, size_t n);

/* nghttp2 has checked the characters of name and value; this is for the text in which they
 * stand. */
bool h2_is_safe(const char *name, size_t name_n, const char *value, size_t n);

#endif
