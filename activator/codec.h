/* codec - the seam between the streams of a client's connection and the connection.
 *
 * A request is a stream of its connection: HTTP/1 has one at a time, HTTP/2 many.  What answers
 * a request (relay.c, refuse.c) says what the response is: heads, bytes of the body, its end.
 * The codec of the connection makes the bytes of its version of HTTP from that, and takes the
 * body of the request from the bytes that the client sends.  So nothing outside a codec frames
 * a response, unframes a request, or says in it what becomes of the connection.
 *
 * A response is, in this order: any number of interim(); then answer(), or upgrade() and
 * tunnel(), or pass(): the first with a head, the last with trailers.  What the client does not
 * take at once is the codec's to keep; no pointer is needed after the call.  Each call sets
 * x->is_client_blocked: while the client takes no more, the caller emits no more of this
 * response, until dispatch_client_drained().
 *
 * A call that emits returns 0, or -1: the client is gone.  No call ends the request, closes the
 * connection or calls back, but for those that say so.  Thread: the worker's. */
#ifndef ACTIVATOR_CODEC_H
#define ACTIVATOR_CODEC_H

#include "activator/outcome.h"

struct conn;
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

/* A piece of the body of a request, or, in a tunnel, of what its client sends. */
struct piece {
	const char *data;     /* content, without framing; valid until took() */
	size_t n;	      /* may be 0 */
	bool is_last;	      /* body or tunnel end behind it */
	const char *trailers; /* is_last: "name: value" CRLF, any number of them */
	size_t used;	      /* the codec's: bytes of the client, framing included */
};

enum next {
	NEXT_NONE,	/* nothing is there now; more will come */
	NEXT_PIECE,	/* the piece is set */
	NEXT_GONE,	/* the client is gone */
	NEXT_MALFORMED, /* the framing is broken */
};

struct codec {
	/* --- the body of the request, and what the client sends into a tunnel --- */
	/* EXCHANGE: its head was sent; the instance takes the body from now on. */
	void (*begin_body)(struct xfer *);
	/* Look at the next piece.  most: how many bytes may be read from the client for it; 0:
	 * none, what was read before is all. */
	enum next (*next)(struct xfer *, size_t most, struct piece *);
	/* The piece that next() gave was passed on, and is counted in x->remaining and
	 * x->is_sent_whole. */
	void (*took)(struct xfer *, const struct piece *);
	/* There may be more, and others are to have their turn first:
	 * dispatch_client_readable() follows in a later round. */
	void (*yield)(struct xfer *);
	/* The worker's read buffer is needed for other bytes: keep what was read and not taken. */
	void (*keep)(struct xfer *);
	/* UNROUTED: the head was read from buf[0..head_n), and is to be read again later. */
	void (*unread_head)(struct xfer *, char *buf, size_t head_n);
	/* Bytes that the request keeps in memory while it is parked, beside xfer and head. */
	size_t (*kept_bytes)(const struct xfer *);
	/* May its connection have one more request parked? */
	bool (*may_park)(const struct xfer *);

	/* --- the response --- */
	/* May this answer the request, whose client asked for another protocol?  OUT_OK, or how
	 * the request ends instead. */
	enum outcome (*judge)(const struct xfer *, const struct response *);
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

	/* --- the connection: these end requests and close the connection --- */
	/* conn_advance(), conn_drain(), conn_end_tunnels(), conn_end(), conn_cut(). */
	void (*advance)(struct xfer *);
	void (*drain)(struct conn *);
	unsigned (*end_tunnels)(struct conn *);
	void (*end)(struct conn *);
	void (*cut)(struct conn *);
};

/* Clients that speak HTTP/1. */
extern const struct codec codec_h1;
/* Clients that speak HTTP/2. */
extern const struct codec codec_h2;

#endif
