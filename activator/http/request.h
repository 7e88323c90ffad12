/* request - what the head of a request means (RFC 9110, 9112), and the head that the instance
 * gets in its place.  The framing of that head is written anew from what was parsed, never
 * copied, and a head that two parsers could read differently is refused: so no request can be
 * smuggled.  Pure.  Thread: any. */
#ifndef ACTIVATOR_HTTP_REQUEST_H
#define ACTIVATOR_HTTP_REQUEST_H

#include "activator/http/h1.h"
#include "activator/outcome.h"
#include "common/addr.h"

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct request {
	const struct h1_head *head; /* borrowed */
	/* The target, whatever form it was sent in; pointers go into the head's buffer. */
	const char *authority;	      /* host and port; "" for an HTTP/1.0 request without Host */
	uint32_t authority_n, host_n; /* host: the front of authority */
	const char *path;	      /* origin-form target, "*", or "" for an empty path */
	uint32_t path_n;	      /* without the query */
	uint32_t target_n;	      /* path and query */
	const char *connection;	      /* value, if there is one Connection field; else NULL */
	uint32_t connection_n;
	uint16_t connections; /* number of Connection fields */

	enum framing framing; /* NONE, LENGTH or CHUNKED */
	uint64_t length;

	bool wants_json; /* Accept names application/json */
	bool is_http10;
	bool is_persistent; /* the client keeps the connection open */
	bool is_head_method, is_trace, is_connect;
	bool is_idempotent;  /* RFC 9110 9.2.2 */
	bool is_expecting;   /* 100-continue */
	bool has_upgrade;    /* asks for another protocol, in whatever way */
	bool is_upgrade;     /* asks in the right way: passed on to the instance */
	bool takes_trailers; /* TE: trailers, or a call of gRPC */
	bool is_grpc;
	int64_t timeout_ns; /* of gRPC: its grpc-timeout; -1: none, or malformed */
	bool has_max_forwards;
	uint64_t max_forwards; /* for OPTIONS and TRACE */
};

/* OUT_OK, or why the request is refused. */
NODISCARD enum outcome request_read(struct request *, const struct h1_head *);

/* What the proxy adds. */
struct request_hop {
	const char *peer; /* the client's address, without port; NULL: it has none (Unix socket) */
	bool is_peer_v6;
	bool is_peer_trusted; /* its Forwarded and X-Forwarded-* are kept and added to */
	bool has_via;
	bool is_encrypted;   /* the client speaks TLS */
	const char *subject; /* of the peer's certificate, verified; NULL: it has shown none */
	bool is_h2;	     /* the client speaks HTTP/2 */
	/* What the instance gets as traceparent: TRACEPARENT_SIZE bytes; NULL: what was sent. */
	const char *traceparent;
	bool is_trace_new;	/* tracestate is of another trace, and does not pass */
	const char *request_id; /* what the instance gets as X-Request-Id; NULL: what was sent */
	size_t request_id_n;
	const struct request_knative *knative; /* NULL: Knative's fields are as any other */
};

/* How Knative's fields (knative.h) go on. */
struct request_knative {
	bool drops_inner;      /* knative_is_inner(); and Forwarded is made of X-Forwarded-* */
	const char *tag;       /* in place of the client's Knative-Serving-Tag; NULL: that one */
	bool is_default_route; /* says so */
};

#define REQUEST_ID_MAX 128 /* bytes of an X-Request-Id of a client */
/* The X-Request-Id that a client has sent, if it is of 1 to REQUEST_ID_MAX visible characters of
 * ASCII and there is no other; or NULL. */
const char *request_id_sent(const struct h1_head *, size_t *n);
/* The traceparent (W3C Trace Context), "00-TRACE_ID-PARENT_ID-FLAGS", if it is valid; or NULL. */
const char *request_traceparent(const struct h1_head *);
#define TRACEPARENT_SIZE 55
#define TRACE_ID_AT 3 /* 32 hexadecimal digits */
#define TRACE_ID_SIZE 32
#define TRACE_PARENT_AT 36 /* 16 of them */
#define TRACE_FLAGS_AT 53  /* two; the lowest bit: the trace is recorded */

/* The most bytes that request_write() writes. */
size_t request_size(const struct request *, const struct request_hop *);
/* Write the head for an instance into out.  room: at least request_size().  Returns the size of
 * the head. */
size_t request_write(const struct request *, const struct request_hop *, char *out, size_t room);
/* The head[0..n) of a request with a timeout: say that so much of it is left. */
void request_set_timeout(char *head, size_t n, int64_t left_ns);

/* The first value of a field, by its name in lower case, or NULL. */
const char *request_field(const struct h1_head *, const char *lower, size_t *n);
/* The next one; *at starts at 0. */
const char *request_field_next(const struct h1_head *, const char *lower, uint32_t *at, size_t *n);

#endif
