/* h2_block - a header block of a client, whose fields come one by one: the head of a request, which
 * becomes the text of an HTTP/1.1 head that means the same, or trailers.
 *
 * The text is made as the fields come: pseudo-fields stand before all others (RFC 9113 8.3).
 * Pure.  Thread: a struct belongs to one thread. */
#ifndef ACTIVATOR_HTTP_H2_BLOCK_H
#define ACTIVATOR_HTTP_H2_BLOCK_H

#include "activator/http/h2.h"
#include "common/strbuf.h"

/* A value in h2_block.pseudo. */
struct h2_pseudo {
	size_t at, n;
};

struct h2_block {
	struct strbuf text;   /* what there is of the head, or of trailers */
	struct strbuf cookie; /* its crumbs are one field: RFC 9113 8.2.3 */
	struct strbuf pseudo; /* values of pseudo-fields, one behind the other */
	struct h2_pseudo method, path, authority, protocol;
	size_t size; /* as RFC 9113 6.5.2 counts it: the caller adds to it */
	bool is_request;
	bool is_too_large; /* the caller sets it: no more is added */
	bool has_line;	   /* text begins with the request line */
	bool has_length;
	bool is_websocket;    /* an extended CONNECT with :protocol websocket */
	bool is_contradicted; /* Host differs from :authority, so that it is no request: RFC 9113
				 8.3.1 */
};

struct h2_block *h2_block_new(void);
void h2_block_free(struct h2_block **);
/* Bytes that it has allocated. */
size_t h2_block_bytes(const struct h2_block *);

/* The next header block.  is_request: else trailers. */
void h2_block_begin(struct h2_block *, bool is_request);
/* One more field.  Its characters are valid, and its name is in lower case. */
void h2_block_add(struct h2_block *, const char *name, size_t name_n, const char *value, size_t n);
/* All fields have come: set head->text and head->n; is_end and ws_key are set. */
void h2_block_make_head(struct h2_block *, struct h2_head *head);
/* The trailers, "name: value" CRLF …, which are the caller's to free. */
NODISCARD char *h2_block_take_trailers(struct h2_block *);

#endif
