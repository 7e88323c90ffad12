/* conn - a client's connection: reads heads, keeps the connection for the next request, and
 * ends it so that nothing that was written is lost.
 *
 * Every event that may end a request calls conn_advance() last.  That is the one place where
 * the next request begins, or the connection closes: no request begins while functions of the
 * one before it still run.
 * Thread: the worker's. */
#ifndef ACTIVATOR_CONN_H
#define ACTIVATOR_CONN_H

#include "activator/inbuf.h"
#include "activator/net/io.h"
#include "activator/revision.h"
#include "activator/timeq.h"
#include "activator/worker_impl.h"
#include "activator/xfer.h"
#include "common/listen_spec.h"

struct codec;

enum conn_state {
	CONN_OPEN,     /* carries requests, one after the other */
	CONN_CLOSING,  /* carried its last request; ends once the response is written */
	CONN_LINGERING /* all is written; reading away what still comes */
};

/* In the order of use: with a thousand of them each cache line counts. */
struct conn {
	struct io io;
	struct worker *w;
	const struct codec *codec;	       /* frames its responses */
	const struct listen_spec *listen_spec; /* where it was accepted; a part of the conf */
	struct inbuf in;
	bool is_in_partial; /* in is the beginning of a head: no use without more */
	bool had_body;	    /* its last request had a body */
	bool is_peer_v6, is_peer_unix;
	enum conn_state state;
	uint32_t requests;
	size_t in_seen;	  /* h1_scan() */
	int64_t since_ns; /* while it carries no request: from when its time limit runs */
	int64_t idle_timeout, body_timeout; /* of the service that it asked last */
	struct timeq_entry timer;
	struct xfer *x;		      /* HTTP/1: the request that it carries; NULL: none */
	char peer_text[ADDR_IP_TEXT]; /* its address, without port */
	/* what an ordinary request does not touch */
	struct addr peer;
	struct list_node node; /* in w->conns */
};

/* May the connection carry another request after this one?  Not where its client asked for
 * another protocol and has sent bytes before it had the answer: in which protocol, none can
 * tell. */
static inline bool
conn_may_persist(const struct xfer *x)
{
	return x->is_persistent && x->is_sent_whole && !x->w->is_draining &&
	       !(x->has_upgrade && (x->conn->in.n > 0 || x->conn->io.can_read));
}

/* fd is an accepted connection, which does not block; the connection owns it.  -1 with errno:
 * it cannot be watched, and fd is still the caller's. */
NODISCARD int conn_open(struct worker *, int fd, const struct addr *peer,
			const struct listen_spec *);
/* Go on after an event: begin the next request if one has ended and another is there, or
 * close, or set the timer for the limit that comes next. */
void conn_advance(struct conn *);
/* SIGTERM: close, unless a request is under way or has begun to come. */
void conn_drain(struct conn *);
/* Past the drain time: refuse what it carries, where no response has begun, and close, unless
 * all that is left is to write its last response. */
void conn_end(struct conn *);
/* Close whatever it carries. */
void conn_cut(struct conn *);

/* What the fields of the same name in struct worker point to. */
extern const struct io_ops conn_upstream_ops;
void conn_on_late(struct xfer *);

#endif
