/* conn - a client's connection: what it is in any version of HTTP.  Its codec (codec.h) reads
 * requests from it, writes responses to it, and ends it so that nothing that was written is
 * lost: conn_h1.c and codec_h1.c for HTTP/1, conn_h2.c and codec_h2.c for HTTP/2.
 *
 * Every event that may end a request calls conn_advance() last.  That is the one place where
 * the next request begins, or the connection closes: no request begins while functions of the
 * one before it still run.
 * Thread: the worker's. */
#ifndef ACTIVATOR_CONN_H
#define ACTIVATOR_CONN_H

#include "activator/codec.h"
#include "activator/inbuf.h"
#include "activator/net/io.h"
#include "activator/revision.h"
#include "activator/timeq.h"
#include "activator/worker_impl.h"
#include "activator/xfer.h"
#include "common/listen_spec.h"

struct conn_h2;

enum conn_state {
	CONN_OPEN,     /* carries requests */
	CONN_CLOSING,  /* carried its last request; ends once the response is written */
	CONN_LINGERING /* all is written; reading away what still comes */
};

/* In the order of use: with a thousand of them each cache line counts. */
struct conn {
	struct io io;
	struct worker *w;
	const struct codec *codec;
	struct inbuf in;    /* HTTP/1: read, and not taken */
	bool is_in_partial; /* HTTP/1: in is the beginning of a head: no use without more */
	bool had_body;	    /* HTTP/1: its last request had a body */
	bool is_peer_ip, is_peer_v6;
	bool is_local;	      /* accepted where services with visibility = local are served, too */
	bool is_tls_at_proxy; /* its client speaks TLS with a proxy, which passes plain bytes on */
	enum conn_state state;
	uint32_t requests;
	size_t in_seen;	  /* HTTP/1: h1_scan() */
	int64_t since_ns; /* while it carries no request: from when its time limit runs */
	int64_t idle_timeout, body_timeout; /* of the service that it asked last */
	struct timeq_entry timer;
	struct xfer *x;		      /* HTTP/1: the request that it carries; NULL: none */
	char peer_text[ADDR_IP_TEXT]; /* peer, without port */
	uint8_t peer_text_n;
	/* what an ordinary request does not touch */
	struct addr peer; /* the client: the other end, or what its PROXY protocol header named */
	struct list_node node; /* in w->conns */
	struct conn_h2 *h2;    /* HTTP/2; NULL: it has ended, or the connection is none */
};

/* fd is a connection of the client `peer`, which does not block; the struct owns it.
 * is_tls_at_proxy: as in the struct.  spec: where it was accepted.  -1 with errno: it cannot be
 * watched, and fd is still the caller's. */
NODISCARD int conn_open(struct worker *, int fd, const struct addr *peer, bool is_tls_at_proxy,
			const struct listen_spec *spec);

/* Go on after an event of the request: begin the next one if this one has ended and another is
 * there, or close, or set the timer for the limit that comes next.  Frees a request that has
 * ended. */
static inline void
conn_advance(struct xfer *x)
{
	x->conn->codec->advance(x);
}

/* SIGTERM: close, unless a request is under way or has begun to come, or a handshake has, which
 * a request follows. */
static inline void
conn_drain(struct conn *c)
{
	c->codec->drain(c);
}

/* Past the drain time: end both sides of its upgraded requests.  Returns how many there were. */
static inline unsigned
conn_end_tunnels(struct conn *c)
{
	return c->codec->end_tunnels(c);
}

/* Past the drain time: refuse what it carries, where no response has begun, and close, unless
 * all that is left is to write its last response. */
static inline void
conn_end(struct conn *c)
{
	c->codec->end(c);
}

/* Close whatever it carries. */
static inline void
conn_cut(struct conn *c)
{
	c->codec->cut(c);
}

/* --- for codecs --- */
/* Close now; abort: with a reset, which the client cannot take for a clean end.  It carries no
 * request, and what the codec keeps of it is freed. */
void conn_close(struct conn *, bool abort);
/* CLOSING, LINGERING: once all is written, read and throw away what the client still sends.
 * Closing with unread bytes would make the kernel send a reset, which can overtake the
 * response (RFC 9112 9.6).  -1: nothing more comes, close it. */
NODISCARD int conn_linger(struct conn *);
/* Not OPEN, or the client does not take what was written: when it is to be closed. */
int64_t conn_closing_limit(const struct conn *);

/* What the fields of the same name in struct worker point to. */
extern const struct io_ops conn_upstream_ops;
void conn_on_late(struct xfer *);

#endif
