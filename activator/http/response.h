/* response - what an instance's response head means, and the head that the client gets
 * in its place.  What is ambiguous is refused (502).  Pure.  Thread: any. */
#ifndef ACTIVATOR_HTTP_RESPONSE_H
#define ACTIVATOR_HTTP_RESPONSE_H

#include "activator/http/request.h"

struct response {
	const struct h1_head *head; /* borrowed */
	uint16_t status;
	bool is_bodyless;     /* HEAD, 1xx, 204, 304: whatever the fields say */
	enum framing framing; /* of what comes: NONE, LENGTH, CHUNKED or CLOSE */
	uint64_t length;
	const struct h1_field *length_field; /* to be told on, even where no body follows */
	bool is_chunked_told; /* Transfer-Encoding stood there, though no body follows */
	bool is_close;	      /* Connection: close */
	bool is_persistent;   /* the instance keeps its connection */
	int64_t keep_alive_s; /* its Keep-Alive: timeout; -1: none */
	int64_t busy_s;	      /* x-activator-busy; -1: none */
	bool has_date, has_upgrade, has_connection_options;
};

/* 0, or -1: malformed or ambiguous.  is_head_method, is_upgrade: of the request. */
NODISCARD int response_read(struct response *, const struct h1_head *, bool is_head_method,
			    bool is_upgrade);

struct response_hop {
	bool is_http10;		 /* the client */
	bool is_persistent;	 /* what it is told of its connection */
	bool is_keep_alive_told; /* an HTTP/1.0 client that asked for it */
	bool has_via;
	bool takes_trailers;
	const char *date;	   /* 29 bytes, IMF-fixdate (RFC 9110 5.6.7) */
	const char *server_timing; /* value, or NULL */
};

/* The framing that the client sees: NONE, LENGTH, CHUNKED or CLOSE. */
enum framing response_framing(const struct response *, const struct response_hop *);

size_t response_size(const struct response *, const struct response_hop *);
/* Final and 1xx responses alike; returns the size. */
size_t response_write(const struct response *, const struct response_hop *, char *out);

#endif
