/* upstream - a connection to an instance: connecting, and the pool of idle ones.
 *
 * Each connection has a permit of its instance (limiter.h), from its opening to its close, idle
 * or not.  What it carries are calls (call.h), and each of these has a slot.  If the client leaves
 * and the instance has a limit, the call keeps the slot (ABANDONED), and what comes is thrown
 * away, until the instance is done or closes its end (promise 3, README).  Without a limit the
 * call is broken off at once (xfer.c).
 * The events of a connection of HTTP/1 that carries a request go to the exchange (worker_impl.h,
 * upstream_ops), those of an abandoned request to call_h1.c; this file deals with those of idle
 * connections itself.
 * Thread: the worker's. */
#ifndef ACTIVATOR_UPSTREAM_H
#define ACTIVATOR_UPSTREAM_H

#include "activator/call.h"
#include "activator/net/io.h"
#include "activator/revision.h"
#include "activator/timeq.h"

struct revision_limits;
struct tls_trust;
struct upstream_h2;
struct worker;

enum upstream_state {
	UPSTREAM_CARRYING,  /* connecting for a request, or carrying it */
	UPSTREAM_IDLE,	    /* in the pool of its instance */
	UPSTREAM_ABANDONED, /* its request has ended, the instance may be at work */
};

/* What a deferred write on it holds: io_write_deferred(). */
enum upstream_token { UPSTREAM_REQUEST = 1 /* the whole request that it carries */ };

struct upstream {
	struct io io;
	struct worker *w;
	struct instance *inst; /* a reference, also between its close and the tail of the loop */
	const struct instance_address *address; /* of inst: where it is connected to */
	struct tls_trust *trust;		/* a reference, if it is encrypted; else NULL */
	struct upstream_h2 *h2;			/* HTTP/2; NULL: HTTP/1 */
	struct call call;			/* HTTP/1: the request that it carries */
	struct list_node idle;			/* IDLE: in the instance's pool */
	enum upstream_state state;

	/* HTTP/1: of the response that is being read: upstream_read.h */
	bool is_small;	  /* its last response had no body, or one of at most IO_AHEAD / 2 bytes:
			   * the next one is read ahead */
	bool is_in_whole; /* in may hold a whole head: it waits for the client, not for bytes */
	char *in;	  /* the beginning of a response head, or NULL */
	uint32_t in_n;
	size_t in_seen;
	uint32_t read_size; /* of the next read: smaller towards a slow client */

	int64_t until_ns;   /* IDLE, ABANDONED: when it is closed */
	int64_t connect_ns; /* when connecting began */
	int64_t idle_ns;    /* how long it may be kept idle */
	struct timeq_entry timer;
	struct list_node node; /* in w->upstreams */
};

/* A call on a connection that is open, or NULL: there is none.  Attach it next.  Here and below,
 * the limits say what is spoken on the connection.  needs_new: one of HTTP/1 that was idle is of no
 * use.  It may be connecting still: upstream_is_connected(). */
NODISCARD struct call *upstream_take(struct worker *, struct instance *,
				     const struct revision_limits *, bool needs_new);
/* A call on a new connection, with the permit that the caller has got: it is the connection's from
 * now on.  NULL: it failed at once, errno says why, and the permit is still the caller's.  Attach
 * it next.  EBUSY: there is no room for its handshake, or requests wait for that (w->crowded) and
 * this one is not the next of them (is_next). */
NODISCARD struct call *upstream_connect(struct worker *, struct instance *,
					const struct revision_limits *, bool is_next);
/* Likewise, on fd, which the prober has connected, and with its permit.  NULL: it cannot be
 * watched, or there is no room for its handshake; it is closed, errno says why, and the permit is
 * still the caller's. */
NODISCARD struct call *upstream_adopt(struct worker *, struct instance *,
				      const struct revision_limits *, int fd);
/* The call is that of the request from now on, and so is the slot of the request the call's.  The
 * caller sets what the call is to know of the request. */
void upstream_attach(struct call *, struct xfer *);
/* CONNECTING: is it connected now, and is it a stream that can be used? */
enum upstream_reached {
	UPSTREAM_NOT_YET,
	UPSTREAM_CONNECTED,
	UPSTREAM_UNREACHED,
	UPSTREAM_FULL,	 /* HTTP/2: it takes fewer streams than were to be opened */
	UPSTREAM_ENDING, /* HTTP/2: it takes no more streams */
	UPSTREAM_BROKEN, /* HTTP/2: it has broken off before the request could be sent */
	UPSTREAM_NO_TLS, /* it was reached, but the two cannot agree on TLS: it would fail again */
};
NODISCARD enum upstream_reached upstream_finish_connect(struct upstream *);
/* From when the time limit of connecting runs.  The time in which the handshake waits for its turn
 * in this worker does not count: it says nothing of the instance.  HTTP/2: what waits for SETTINGS
 * has the limit anew. */
int64_t upstream_connecting_since(const struct upstream *);
/* Can a request be sent on the call? */
bool upstream_is_connected(const struct call *);
/* It carries no request any more: back to the pool if may_pool says so and nothing speaks against
 * it, else closed. */
void upstream_release(struct upstream *, bool may_pool);
/* It was released, and the slot given back.  If it is idle and a request has begun to wait for
 * a permit meanwhile, close it.  (If the limit was lowered, mail to this worker follows:
 * worker_post_shed().) */
void upstream_shed_waited(struct upstream *);
/* Close it and give back its permit, and the slot of an abandoned request; it carries no request
 * (xfer is NULL).
 * abort: with a reset. */
void upstream_close(struct upstream *, bool abort);
/* Close the idle connections of this worker that must not stay open: to an address where the
 * instance is no longer, to an instance that has to answer a probe first (SLOTS_UNREADY), or as
 * many as limiter_may_idle() asks for. */
void upstream_shed_excess(struct worker *, struct instance *);
/* Close the idle connections of this worker: to one instance, to all of a set (which may be
 * NULL), to all instances. */
void upstream_shed(struct worker *, struct instance *);
void upstream_shed_set(struct worker *, const struct instance_set *);
void upstream_shed_all(struct worker *);

/* Does the instance take no more of the request for now? */
static inline bool
call_is_blocked(const struct call *call)
{
	return __builtin_expect(call->upstream->h2 == NULL, 1) ? io_is_blocked(&call->upstream->io)
							       : call->is_blocked;
}

/* Of a connection of HTTP/1 that is IDLE or ABANDONED. */
extern const struct io_ops upstream_idle_ops;

/* --- HTTP/1: call_h1.c --- */
extern const struct call_codec call_h1_codec;
/* Writing to it failed: what it has not taken is dropped, and nothing more is written to it.
 * Its event follows, so that what it has sent, or its end, is read. */
void call_h1_broken(struct upstream *);
/* ABANDONED: an event. */
void call_h1_read_away(struct upstream *);

#endif
