/* accept - from an accepted socket to a connection (conn.h): the limits on connections, and, at
 * addresses with the word proxy, the PROXY protocol header that names the client.
 *
 * Until that header has come in whole, the connection is a struct proxied.  accept.c looks at the
 * bytes (MSG_PEEK), and takes those of the header alone off the socket.  The TLS handshake or the
 * request that follows then begins with the next byte, so that conn.c needs no code for headers.
 * The header must come from one of trusted_proxies, within head_timeout, and fit max_head.  A
 * connection without a valid header is closed: its client is unknown.
 * Thread: the worker's. */
#ifndef ACTIVATOR_ACCEPT_H
#define ACTIVATOR_ACCEPT_H

#include "activator/net/listener.h"

struct worker;

/* What became of the header of a connection: label of a metric. */
#define ACCEPT_HEADERS(X)                                                                          \
	X(CLIENT, "client")	  /* it names the client */                                        \
	X(ANONYMOUS, "anonymous") /* it says that the client is unknown */                         \
	X(LOCAL, "local")	  /* the proxy speaks for itself */                                \
	X(UNTRUSTED, "untrusted") /* the peer is none of trusted_proxies: it was not read */       \
	X(ABSENT, "absent")                                                                        \
	X(MALFORMED, "malformed")                                                                  \
	X(TOO_LONG, "too_long")                                                                    \
	X(TIMEOUT, "timeout")                                                                      \
	X(ENDED, "ended") /* the connection ended before its header */
enum accept_header {
#define X(id, name) ACCEPT_HEADER_##id,
	ACCEPT_HEADERS(X)
#undef X
		ACCEPT_HEADERS_N
};
const char *accept_header_name(enum accept_header);

/* Of a worker's listener; arg is the worker. */
extern const struct listener_ops accept_ops;

/* SIGTERM: go on with the connections whose header has come, and close those that have sent
 * nothing. */
void accept_drain(struct worker *);
/* Close all connections whose header is still to come. */
void accept_cut(struct worker *);

#endif
