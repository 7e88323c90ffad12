/* h2_impl - what both ends of HTTP/2 need: h2.c and h2_client.c, which alone include nghttp2.
 * Thread: any. */
#ifndef ACTIVATOR_HTTP_H2_IMPL_H
#define ACTIVATOR_HTTP_H2_IMPL_H

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "common/base.h"

#define H2_HEAD_EXPECTED 256 /* bytes of the fields of an ordinary head */
#define H2_FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */
/* Our own header blocks may be as large as a head, and fields that we add. */
#define H2_SEND_HEADERS_MOST ((size_t)256 << 10)

static inline nghttp2_nv
h2_field(const char *name, size_t name_n, const char *value, size_t n)
{
	nghttp2_nv nv = {.namelen = name_n, .valuelen = n};

	memcpy(&nv.name, &name, sizeof name); /* nghttp2 copies both */
	memcpy(&nv.value, &value, sizeof value);
	return nv;
}

/* The fields of a text, "name: value" CRLF, any number of them; letters of names become lower case
 * in place.  first: of the array, the caller's.  Returns an array, which is the caller's to free,
 * and *count. */
nghttp2_nv *h2_fields(const nghttp2_nv *first, size_t first_n, char *text, size_t n, size_t *count);

/* nghttp2 has checked the characters of name and value; this is for the text in which they
 * stand. */
bool h2_is_safe(const char *name, size_t name_n, const char *value, size_t n);

#endif
