/* upstream - a connection to an instance: connecting, the pool of idle ones, and those
 * whose client has left.
 *
 * Each connection has a permit of its instance (limiter.h), from its opening to its close, idle
 * or not.  It has no slot: a slot belongs to a request (xfer.h).  If the client leaves and the
 * instance has a limit, the connection takes over the slot (ABANDONED), and what comes is thrown
 * away, until the instance is done or closes its end (promise 3, README).  Without a limit the
 * connection is closed at once (xfer.c).
 * The events of a connection that carries a request go to the exchange (worker_impl.h,
 * upstream_ops); this file deals with those of idle and abandoned ones itself.
 * Thread: the worker's. */
#ifndef ACTIVATOR_UPSTREAM_H
#define ACTIVATOR_UPSTREAM_H

#include "activator/http/request.h"
#include "activator/net/io.h"
#include "activator/revision.h"
#include "activator/timeq.h"

struct chunked;
struct revision_limits;
struct tls_trust;
struct worker;
struct xfer;

enum upstream_state {
	UPSTREAM_CARRYING,  /* connecting for a request, or carrying it */
	UPSTREAM_IDLE,	    /* in the pool of its instance */
	UPSTREAM_ABANDONED, /* its request has ended, the instance may be at work: has a slot */
};

/* What a deferred write on it holds: io_write_deferred(). */
enum upstream_token { UPSTREAM_REQUEST = 1 /* the whole request that it carries */ };

struct upstream {
	struct io io;
	struct worker *w;
	struct instance *inst; /* a reference, also between its close and the tail of the loop */
	const struct instance_address *address; /* of inst: where it is connected to */
	struct tls_trust *trust;		/* a reference, if it is encrypted; else NULL */
	struct xfer *xfer;			/* CARRYING: the request; else NULL */
	struct list_node idle;			/* IDLE: in the instance's pool */
	enum upstream_state state;
	bool is_reused;	    /* carried a request before */
	bool is_broken;	    /* writing failed; a response may still be there to be read */
	bool is_head_read;  /* the final head of the response, or a 101 */
	bool is_done;	    /* the response is complete: nothing more of it is to be read */
	bool is_persistent; /* it may carry another request after this one */
	bool is_small;	    /* its last response had no body, or one of at most IO_AHEAD / 2 bytes:
			     * the next one is read ahead */
	bool is_eof_read;   /* tunnel: the instance has ended its side */

	/* of the request that it carries */
	bool is_head_method, is_upgrade;

	/* of the response that is being read: upstream_read.h */
	enum framing framing;
	uint64_t remaining; /* FRAMING_LENGTH: body bytes still to come */
	struct chunked *chunked;
	char *in; /* the beginning of a response head, or NULL */
	uint32_t in_n;
	size_t in_seen;
	bool is_in_whole;    /* in may hold a whole head: it waits for the client, not for bytes */
	struct shard *shard; /* ABANDONED: where its slot is counted as in flight, or NULL */
	int64_t until_ns;    /* IDLE, ABANDONED: when it is closed */
	int64_t abort_ns;    /* ABANDONED: how long the body of its response may go on */
	uint32_t max_head, max_fields; /* limits of a response head */
	int64_t connect_ns;	       /* when connecting began */
	int64_t idle_ns;	       /* how long it may be kept idle */
	uint32_t read_size;	       /* of the next read: smaller towards a slow client */
	struct timeq_entry timer;
	struct list_node node; /* in w->upstreams */
	/* ABANDONED by a stream of HTTP/2: in the list of its connection, or NULL */
	struct list *abandoned;
	struct list_node abandoned_node;
};

/* An idle connection to the instance, or NULL.  Attach it next.  Here and below, the limits say
 * whether it is encrypted. */
NODISCARD struct upstream *upstream_take_idle(struct worker *, struct instance *,
					      const struct revision_limits *);
/* Begin to connect, with the permit that the caller has got: it is the connection's from now on.
 * NULL: it failed at once, errno says why, and the permit is still the caller's.  Attach it
 * next. */
NODISCARD struct upstream *upstream_connect(struct worker *, struct instance *,
					    const struct revision_limits *);
/* Take over fd, which the prober has connected, and its permit.  NULL: it cannot be watched and
 * is closed, errno says why, and the permit is still the caller's.  Attach it next. */
NODISCARD struct upstream *upstream_adopt(struct worker *, struct instance *,
					  const struct revision_limits *, int fd);
/* It carries the request from now on.  The caller sets what the connection is to know of the
 * request. */
void upstream_attach(struct upstream *, struct xfer *);
/* The request is over: back to the pool if may_pool says so and nothing speaks against it,
 * else closed.  The caller gives the slot back after this: the request that gets the slot then
 * finds the connection, or its permit. */
void upstream_release(struct upstream *, bool may_pool);
/* It was released, and the slot given back.  If it is idle and a request has begun to wait for
 * a permit meanwhile, close it.  (If the limit was lowered, mail to this worker follows:
 * worker_post_shed().) */
void upstream_shed_waited(struct upstream *);
/* The client has left: take over the slot, and keep it until the instance is done.  shard: where
 * the request is counted as in flight, or NULL; the count is the connection's from now on. sent_ns:
 * when the request was sent, from which response_timeout runs. */
void upstream_abandon(struct upstream *, const struct limits *, struct shard *, int64_t sent_ns);
/* Writing to it failed: what it has not taken is dropped, and nothing more is written to it.
 * Its event follows, so that what it has sent, or its end, is read. */
void upstream_broken(struct upstream *);
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

#endif
