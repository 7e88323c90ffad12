/* relay - moves bytes between a client and an instance: bodies in both directions with
 * back-pressure, response heads, tunnels.  What was read is written in the same event; while
 * one side does not take it, the other side is not read.
 *
 * relay decides nothing: each call returns how the exchange stands, and dispatch.c acts on
 * it.  It never closes a connection and never begins or ends a request.
 * Thread: the worker's. */
#ifndef ACTIVATOR_RELAY_H
#define ACTIVATOR_RELAY_H

#include "common/base.h"

struct call;
struct piece;
struct response;
struct xfer;

enum relay_end {
	RELAY_GOES_ON,	    /* nothing has ended: later events bring more */
	RELAY_DONE,	    /* the whole response was written; tunnel: both sides have ended */
	RELAY_UPGRADED,	    /* a 101 was written: what follows is a tunnel */
	RELAY_CLIENT_GONE,  /* the client can be neither read from nor written to */
	RELAY_BAD_REQUEST,  /* the framing of the request's body is malformed */
	RELAY_NO_RESPONSE,  /* the instance closed its side without a final response head */
	RELAY_REFUSED,	    /* the instance has not processed the request, and says so */
	RELAY_UNSENT,	    /* the request was not sent, and would have to wait for others */
	RELAY_NO_UPGRADE,   /* the instance does not speak the protocol that the client needs */
	RELAY_BAD_RESPONSE, /* the response is not valid HTTP */
	RELAY_BROKEN,	    /* the response broke off, and some of it was written */
};

struct relay_result {
	enum relay_end end;
	const char *why; /* BAD_REQUEST, BAD_RESPONSE: more for the refusal's text, or NULL */
};

/* A piece of the request's body goes to the instance: count it, and note what follows for the
 * request. */
void relay_note_request(struct xfer *, const struct piece *);
/* EXCHANGE: the body of the request, as far as it is there and the instance takes it. */
struct relay_result relay_request(struct xfer *);
/* EXCHANGE: what the instance has sent, as far as the client takes it. */
struct relay_result relay_response(struct xfer *);
/* TUNNEL: both directions. */
struct relay_result relay_tunnel(struct xfer *);

/* --- for codecs of calls (call.h): what has come of a response --- */
/* The head of a response to an upgrade.  GOES_ON: it may be passed on. */
struct relay_result relay_judge(struct xfer *, const struct response *);
/* An interim response (1xx).  -1: the client is gone. */
NODISCARD int relay_interim(struct xfer *, const struct response *);
/* 101: the bytes early[0..n), and all that follow, are not HTTP. */
struct relay_result relay_upgrade(struct call *, const struct response *, const char *early,
				  size_t n);
/* The final head has come, and relay_pass() follows. */
void relay_final(struct call *, const struct response *);
/* Pass a piece of the response to the client; the arguments are those of codec.pass().  -1: the
 * client is gone. */
NODISCARD int relay_pass(struct xfer *, const struct response *head, const char *data, size_t n,
			 const char *trailers);

#endif
