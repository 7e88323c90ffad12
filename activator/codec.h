/* codec - the seam between the streams of a client's connection and the connection.
 *
 * A request is a stream of its connection: HTTP/1 has one at a time, HTTP/2 many.  What answers
 * a request (relay.c, refuse.c) says what the response is: heads, bytes of the body, its end.
 * The codec of the connection makes the bytes of its version of HTTP from that.  So nothing
 * outside a codec frames a response, or says in it what becomes of the connection.
 *
 * A response is, in this order: any number of interim(); then answer(), or upgrade() and
 * tunnel(), or pass(): the first with a head, the last with trailers.  What the client does not
 * take at once is the codec's to keep; no pointer is needed after the call.  Each call sets
 * x->is_client_blocked: while the client takes no more, the caller emits no more of this
 * response, until dispatch_client_drained().
 *
 * A call returns 0, or -1: the client is gone.  No call ends the request, closes the connection
 * or calls back.  Thread: the worker's. */
#ifndef ACTIVATOR_CODEC_H
#define ACTIVATOR_CODEC_H

#include "common/base.h"

struct response;
struct xfer;

/* A response of our own. */
struct answer {
	uint32_t status;
	/* "Name: value" CRLF, any number of them.  The codec adds Date, and what framing and
	 * connection need. */
	const char *fields;
	/* NULL: the status has no body, and so no length either (RFC 9110 8.6).  The codec does
	 * not send it to HEAD. */
	const char *body;
	size_t body_n;
};

struct codec {
	/* An interim head (1xx) of the instance. */
	int (*interim)(struct xfer *, const struct response *);
	/* A 101 of the instance, and the first bytes of the tunnel. */
	int (*upgrade)(struct xfer *, const struct response *, const char *data, size_t n);
	/* Bytes of the tunnel; n is 0: its end. */
	int (*tunnel)(struct xfer *, const char *data, size_t n);
	/* A piece of the instance's response, in one write where the version can do that.
	 * head: the final head, with the first piece; else NULL.
	 * data[0..n): bytes of the body.
	 * trailers: NULL: more follows.  Else the response ends here, with these fields, each
	 * "name: value" CRLF; "": there are none. */
	int (*pass)(struct xfer *, const struct response *head, const char *data, size_t n,
		    const char *trailers);
	/* A whole response of our own. */
	int (*answer)(struct xfer *, const struct answer *);
};

/* Clients that speak HTTP/1. */
extern const struct codec codec_h1;

#endif
