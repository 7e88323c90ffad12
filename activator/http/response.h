/* response - what the head of an instance's response means, and the head that the client gets in
 * its place.  An ambiguous head is refused, and the client gets 502.  Pure.  Thread: any. */
#ifndef ACTIVATOR_HTTP_RESPONSE_H
#define ACTIVATOR_HTTP_RESPONSE_H

#include "activator/http/request.h"

struct response {
	const struct h1_head *head; /* borrowed */
	uint16_t status;
	bool is_bodyless;     /* to HEAD, 1xx, 204, 304: no body, whatever the fields say */
	enum framing framing; /* of the body: NONE, LENGTH, CHUNKED or CLOSE */
	uint64_t length;
	const struct h1_field *length_field; /* passed on even if no body follows; NULL: none */
	bool is_chunked;      /* has Transfer-Encoding: chunked, even if no body follows */
	bool is_h2;	      /* it came by HTTP/2: the caller sets that */
	bool is_close;	      /* Connection: close */
	bool is_persistent;   /* the instance keeps the connection open */
	int64_t keep_alive_s; /* from Keep-Alive: timeout; -1: none */
	int64_t busy_s;	      /* from X-Activator-Busy; -1: none */
	bool has_date, has_upgrade, has_connection_options;
	uint32_t connection_n, trailer_n; /* bytes of all Connection, of all Trailer fields */
};

/* 0, or -1: malformed or ambiguous.  is_head_method, is_upgrade: of the request. */
NODISCARD int response_read(struct response *, const struct h1_head *, bool is_head_method,
			    bool is_upgrade);

struct response_hop {
	bool is_http10;	      /* the client speaks HTTP/1.0 */
	bool is_h2;	      /* the client speaks HTTP/2 */
	bool is_persistent;   /* the client may keep its connection open */
	bool says_keep_alive; /* to an HTTP/1.0 client that asked for it */
	bool has_via;
	bool takes_trailers;
	const char *date;	   /* 29 bytes, IMF-fixdate (RFC 9110 5.6.7) */
	const char *server_timing; /* value, or NULL */
};

/* The framing towards the client: NONE, LENGTH, CHUNKED or CLOSE. */
enum framing response_framing(const struct response *, const struct response_hop *);

/* The most bytes that response_write() writes. */
size_t response_size(const struct response *, const struct response_hop *);
/* Write a final or 1xx head into out.  room: at least response_size().  Returns its size.
 * is_h2: its fields alone, without first and last line, and without those that frame the body
 * or are for the connection (RFC 9113 8.2.2). */
size_t response_write(const struct response *, const struct response_hop *, char *out, size_t room);

#endif
