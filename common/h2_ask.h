/* h2_ask - one request over a connection of HTTP/2, and its response: what a probe sends and
 * reads.  nghttp2 does the framing.  The response may come in any frames that HTTP/2 allows; of its
 * body the beginning is kept.  The window of the stream is never opened, and bytes are counted: a
 * response without end fails.
 * Bytes in, bytes out: the caller has the socket and the clock.  Thread: the owner's. */
#ifndef COMMON_H2_ASK_H
#define COMMON_H2_ASK_H

#include "common/base.h"

#define H2_ASK_BODY 256 /* bytes of the response's body that are kept */

struct h2_ask; /* opaque, heap */

struct h2_ask_field {
	const char *name, *value; /* the name in lower case */
};

struct h2_ask_request {
	const char *method, *scheme, *authority, *path;
	const struct h2_ask_field *fields;
	size_t fields_n;
	const char *body;
	size_t body_n; /* 0: the request has none */
};

/* Nothing of the request is needed after the call. */
NODISCARD struct h2_ask *h2_ask_new(const struct h2_ask_request *);
void h2_ask_free(struct h2_ask **);

/* The next bytes to send, valid until the next call.  0: there are none now; -1: it cannot go on,
 * and h2_ask_trouble() says why. */
NODISCARD ssize_t h2_ask_send(struct h2_ask *, const char **data);
/* Bytes that have come: h2_ask_send() may have an answer to them.  -1: it cannot go on,
 * likewise. */
NODISCARD int h2_ask_feed(struct h2_ask *, const char *data, size_t n);
/* Why it cannot go on, or how the response broke off; static.  NULL: it has not. */
const char *h2_ask_trouble(const struct h2_ask *);

/* The status of the response; 0: its head has not come. */
uint32_t h2_ask_status(const struct h2_ask *);
/* Has the response come to its end?  If h2_ask_trouble() is NULL, it is whole. */
bool h2_ask_is_over(const struct h2_ask *);
/* grpc-status, of head or trailers; -1: there is none, or it is no number. */
int h2_ask_grpc_status(const struct h2_ask *);
/* The beginning of the body: at most H2_ASK_BODY bytes. */
const char *h2_ask_body(const struct h2_ask *, size_t *n);

#endif
