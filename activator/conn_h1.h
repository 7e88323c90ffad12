/* conn_h1 - a client's connection that speaks HTTP/1: one request after the other.  It reads
 * heads, keeps the connection for the next request or closes it, and watches its time limits.
 * A new connection is one of these until its first bytes show another version.
 * Thread: the worker's. */
#ifndef ACTIVATOR_CONN_H1_H
#define ACTIVATOR_CONN_H1_H

#include "activator/conn.h"

extern const struct io_ops conn_h1_ops;

/* It was opened with conn_h1_ops. */
void conn_h1_begin(struct conn *);

/* Can the connection carry another request after this one?  Not where its client asked for
 * another protocol and has sent bytes before it had the answer: in which protocol, none can
 * tell. */
static inline bool
conn_h1_is_persistent(const struct xfer *x)
{
	return x->is_persistent && x->is_sent_whole &&
	       !(x->has_upgrade && (x->conn->in.n > 0 || x->conn->io.can_read));
}

/* Shall it?  The head of the response says so. */
static inline bool
conn_h1_may_persist(const struct xfer *x)
{
	return conn_h1_is_persistent(x) && !x->w->is_draining;
}

/* Members of codec_h1 (codec.h). */
void conn_h1_advance(struct xfer *);
void conn_h1_drain(struct conn *);
unsigned conn_h1_end_tunnels(struct conn *);
void conn_h1_end(struct conn *);
void conn_h1_cut(struct conn *);

#endif
