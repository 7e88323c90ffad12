/* fields - the header fields that a proxy must know, and the rules of RFC 9110 section 5.6 that
 * it needs to read their values.  Pure.  Thread: any. */
#ifndef ACTIVATOR_HTTP_FIELDS_H
#define ACTIVATOR_HTTP_FIELDS_H

#include "common/base.h"

enum field_id {
	FIELD_OTHER,
	FIELD_ACCEPT,
	FIELD_CONNECTION,
	FIELD_CONTENT_LENGTH,
	FIELD_CONTENT_TYPE,
	FIELD_DATE,
	FIELD_EXPECT,
	FIELD_FORWARDED,
	FIELD_GRPC_TIMEOUT,
	FIELD_HOST,
	FIELD_KEEP_ALIVE,
	FIELD_MAX_FORWARDS,
	FIELD_PROXY, /* between a client and its proxy (RFC 9110 11.7), or taken for that by CGI */
	FIELD_TE,
	FIELD_TRAILER,
	FIELD_TRANSFER_ENCODING,
	FIELD_UPGRADE,
	FIELD_VIA,
	FIELD_X_ACTIVATOR, /* any other x-activator-*, but for x-activator-tag */
	FIELD_X_ACTIVATOR_BUSY,
	FIELD_X_FORWARDED_FOR,
	FIELD_X_FORWARDED, /* any other x-forwarded-*, and others that a proxy alone may set */
	FIELD_X_FORWARDED_HOST,
	FIELD_X_FORWARDED_PROTO,
	FIELD_ALIAS, /* such as x_forwarded_for, which a CGI server cannot tell from the real one */
	FIELD_NOT_IN_TRAILERS, /* matters only in trailers, where it must not be: RFC 9110 6.5.1 */
};

/* By its name, in any case. */
enum field_id field_id(const char *name, size_t n);

/* Equal but for the case of ASCII letters; `lower` has none in upper case. */
bool field_is(const char *a, size_t n, const char *lower);

/* The next element of a comma-separated list (RFC 9110 5.6.1), without surrounding blanks;
 * empty ones are skipped.  *at starts at 0.  False: there are no more. */
bool field_list_next(const char *value, size_t n, size_t *at, const char **element, size_t *len);

/* Does the list have this element, in any case? */
bool field_list_has(const char *value, size_t n, const char *lower);
bool field_list_names(const char *value, size_t n, const char *name, size_t name_n);

/* Read 1*DIGIT.  -1: it is something else, or above INT64_MAX: a program that counts with a
 * sign would read another number than one that counts without. */
NODISCARD int field_number(const char *value, size_t n, uint64_t *out);

bool field_is_token(const char *s, size_t n); /* RFC 9110 5.6.2 */
bool field_is_text(const char *s, size_t n);  /* no control character but HTAB: RFC 9110 5.5 */

/* Check the value of Host, or an authority (RFC 9110 7.2, RFC 3986 3.2): reg-name, IPv4 or
 * [IPv6], and an optional port; no userinfo.  *host_n: the bytes of the host.  False: it is
 * none. */
bool field_authority(const char *s, size_t n, size_t *host_n);

#endif
