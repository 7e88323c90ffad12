/* plane - the insides of the data plane: what a worker, a client's connection, the
 * request on it, and a connection to an instance are.  Included by the files of the
 * request path alone:
 *
 *   worker.c    the thread, its mail, the table it routes by
 *   conn.c      a client's connection: heads in, keep-alive, time limits, closing
 *   arrive.c    what a request is and where it goes
 *   xfer.c      one request on its way to its outcome: slot, park, send, retry
 *   deadline.c  its time limits
 *   cold.c      a cold start taken apart
 *   relay.c     bodies and response heads between the two sides, tunnels
 *   upstream.c  connections to instances: connect, pool, abandon
 *   refuse.c    answers of our own
 *   shard.c     counting
 *
 * Thread: everything here belongs to one worker's thread. */
#ifndef ACTIVATOR_PLANE_H
#define ACTIVATOR_PLANE_H

#include "activator/clients.h"
#include "activator/date.h"
#include "activator/http/chunked.h"
#include "activator/http/h1.h"
#include "activator/http/request.h"
#include "activator/http/response.h"
#include "activator/inbuf.h"
#include "activator/limiter.h"
#include "activator/net/io.h"
#include "activator/net/listener.h"
#include "activator/outcome.h"
#include "activator/snapshot.h"
#include "activator/timeq.h"
#include "activator/worker.h"
#include "common/loop.h"
#include "common/slab.h"

#define PLANE_BUFFER ((size_t)128 << 10) /* one read (performance.md: the knee) */
#define PLANE_HEADS 512			 /* room for a head in a kept buffer */

struct worker {
	unsigned index, workers_n;
	const struct activator_conf *conf;
	struct bounds *bounds;
	struct loop *loop, *control;
	struct io_round *round;
	const struct worker_ops *ops;
	void *arg;
	pthread_t thread;
	bool is_started, is_draining, is_drained_reported;

	struct listener *listener; /* NULL: closed */
	struct addr_net *trusted;
	size_t trusted_n;

	int64_t now; /* clk_now() of this event */
	struct timeq timeq;
	struct inbox inbox;
	struct snapshot *snap; /* NULL: none came yet */
	struct slab conn_slab, upstream_slab;
	struct list conns;	/* of struct conn: all */
	struct clients clients; /* counts conns by peer_text */
	struct list unrouted;	/* of struct xfer: UNROUTED, in the order of their coming */
	struct list starved;	/* of struct xfer: STARVED, the next to be tried first */
	struct loop_timer feed_timer;
	struct list shards;	 /* of struct shard: with anything to tell */
	struct list upstreams;	 /* of struct upstream: all */
	size_t busy_n;		 /* of them that are not idle */
	struct list spare_heads; /* buffers of PLANE_HEADS bytes that are in no use */
	uint64_t random;	 /* xorshift64* */
	struct date date;

	char *buf; /* what is being read, PLANE_BUFFER bytes */
	char *out; /* a head that is being written */
	size_t out_cap;
	struct h1_head head; /* that is being parsed */
	struct worker_counters counters;
};

/* The states of a request; the moves that are legal stand in xfer.c.  UNROUTED, PARKED and
 * STARVED each have a list, which xfer_set_state() joins and leaves. */
#define XFER_STATES(X)                                                                             \
	X(IDLE)	      /* no request: before the first, or between two */                           \
	X(UNROUTED)   /* read, but no route table has come yet */                                  \
	X(ROUTED)     /* has a route; has no slot, no connection, no place in a queue */           \
	X(PARKED)     /* waits in its revision's queue */                                          \
	X(PERMIT)     /* has a slot, waits for the right to open a connection */                   \
	X(STARVED)    /* has a slot, waits for a descriptor */                                     \
	X(CONNECTING) /* its connection is being opened */                                         \
	X(EXCHANGE)   /* its head is sent; bodies flow */                                          \
	X(TUNNEL)     /* after 101: bytes flow */                                                  \
	X(DONE)	      /* answered; conn_advance() is to begin what comes next */                   \
	X(CUT)	      /* ended without an answer; conn_advance() is to close the connection */     \
	X(CLOSING)    /* answered; the connection ends once that is written */
enum xfer_state {
#define X(id) XFER_##id,
	XFER_STATES(X)
#undef X
		XFER_STATES_N
};

/* One request.  Embedded in its connection: HTTP/1 has one at a time. */
struct xfer {
	enum xfer_state state;

	/* of the request */
	enum framing framing;
	bool is_head_method, is_http10, is_persistent, is_keep_alive_told, is_idempotent;
	bool is_upgrade, takes_trailers, wants_json;
	bool is_expecting;	/* 100-continue, and no 100 has come yet */
	bool is_sent_whole;	/* the request has been read and written to its end */
	bool is_unsent;		/* the instance's side took not a byte of it */
	bool has_given_body;	/* body bytes went to an instance: it cannot be sent again */
	bool is_counted;	/* in its shard's in_flight or parked_n */
	bool is_unseen;		/* RULE_SERVE_ONLY: no activity of its revision */
	bool is_paced;		/* limiter_head_seen() is due */
	bool needs_new;		/* a connection that was kept failed it: no other of these */
	bool is_cold, is_first; /* parked with no instance open; the first to be so */
	bool is_head_written;	/* the client has been sent a final response head */
	bool is_reset;		/* CUT: close with a reset, so that the client sees the cut */
	uint8_t tries;		/* instances that failed it */
	uint64_t left;		/* FRAMING_LENGTH: body bytes still to come */
	struct chunked *chunked;

	/* where it goes; route and limits live in snap */
	struct snapshot *snap;
	const struct route_service *service;
	const struct route_revision *route;
	struct shard *shard;
	struct waiter waiter; /* PARKED, PERMIT: the limiter's or the inbox's.  PERMIT, STARVED:
				 its inst holds the slot */
	struct upstream *up;  /* CONNECTING, EXCHANGE, TUNNEL: holds the slot */
	char *head;	      /* what to send (again): exact, or of PLANE_HEADS; NULL: sent */
	uint32_t head_n;
	bool is_head_spare;    /* head is a buffer of the worker's */
	uint32_t held;	       /* bytes counted in bounds->parked_bytes */
	struct list_node node; /* in the list of its state: w->unrouted, shard->parked by
				  deadline, w->starved */

	/* of the response, as the client sees it */
	enum framing framing_out;

	int64_t start_ns, parked_ns, granted_ns, sent_ns;
	int64_t deadline_ns; /* of its activation */
	int64_t up_ns;	     /* the instance's last sign of progress */
};

/* In the order of use: with a thousand of them each cache line counts. */
struct conn {
	struct io io;
	struct worker *w;
	struct inbuf in;
	bool is_in_partial; /* the beginning of a head: no use without more */
	bool is_lingering;  /* all is written; reading away what still comes */
	bool is_eof;	    /* tunnel: its FIN was passed on */
	bool is_peer_v6;
	uint32_t requests;
	size_t in_seen;			    /* h1_scan() */
	int64_t since_ns;		    /* of what its time limit runs from */
	int64_t idle_timeout, body_timeout; /* of the service that it asked last */
	struct timeq_entry timer;
	struct xfer x;
	char peer_text[ADDR_TEXT]; /* without port */
	/* what an ordinary request does not touch */
	struct addr peer;
	struct list_node node; /* in w->conns */
};

enum upstream_state { UPSTREAM_CONNECTING, UPSTREAM_BUSY, UPSTREAM_IDLE, UPSTREAM_ABANDONED };

/* A connection to an instance. */
struct upstream {
	struct io io;
	struct worker *w;
	struct instance *inst; /* a reference */
	struct conn *conn;     /* whose request it carries; NULL: IDLE, ABANDONED */
	struct list_node idle; /* IDLE: in the instance's pool */
	enum upstream_state state;
	bool has_slot, has_permit;
	bool is_reused; /* carried a request before */
	bool is_broken; /* writing failed; it may still have an answer */
	bool is_head_read, is_persistent;
	bool is_small; /* so was its last response: IO_AHEAD bytes or fewer, head and all */
	bool is_eof;   /* tunnel: its FIN was passed on */
	/* of the response that is being read */
	bool is_head_method, is_upgrade;
	enum framing framing;
	uint64_t left;
	struct chunked *chunked;
	char *in; /* the beginning of a response head */
	uint32_t in_n;
	size_t in_seen;
	struct shard *shard; /* ABANDONED: where its slot is counted */
	int64_t until_ns;    /* IDLE, ABANDONED: when it is closed */
	int64_t abort_ns;    /* ABANDONED: how long its body may go on */
	int64_t connect_ns;  /* when connecting began */
	int64_t idle_ns;     /* how long it may lie in the pool */
	uint32_t read_size;  /* of the next read: smaller towards a slow client */
	struct timeq_entry timer;
	struct list_node node; /* in w->upstreams */
};

/* --- worker.c --- */
/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators,
 * scrambled") */
static inline uint64_t
worker_random(struct worker *w)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return w->random * UINT64_C(2685821657736338717);
}

/* w->out with room for n bytes. */
static inline char *
worker_out(struct worker *w, size_t n)
{
	if (n > w->out_cap) {
		w->out_cap = n;
		w->out = xrealloc(w->out, n);
	}
	return w->out;
}

/* --- conn.c --- */
void conn_open(struct worker *, int fd, const struct addr *peer);
/* Close now; abort: with a reset, a cut that can be seen. */
void conn_close(struct conn *, bool abort);
/* The one place where a connection goes on after its request has ended: begin the next
 * request, or close.  Each event that may have ended the request calls this last, so that
 * no request is begun while functions of the one before it still run. */
void conn_advance(struct conn *);
/* SIGTERM: close, unless a request is under way or has begun to come. */
void conn_drain(struct conn *);
void conn_arm(struct conn *); /* its time limit has come closer */
const struct limits *conn_limits(const struct conn *);
/* Is a request of it under way, that ends if the client leaves? */
bool conn_is_waiting(const struct conn *);

/* --- arrive.c --- */
/* w->head holds the head that was parsed from buf[0..head_n); c->in what follows it. */
void arrive_request(struct conn *, char *buf, size_t head_n);

/* --- xfer.c --- */
void xfer_set_state(struct xfer *, enum xfer_state);
struct conn *xfer_conn(struct xfer *);
/* Get a slot, or wait for one.  at_head: it was here before, and goes before all others. */
void xfer_admit(struct conn *, bool at_head);
/* No route table has come yet: wait as it was read, see arrive_request(). */
void xfer_park_unrouted(struct conn *, char *buf, size_t head_n);
/* Those that wait for a descriptor: the tail's. */
void xfer_feed(struct worker *);
/* UNROUTED: a route table has come, begin once more. */
void xfer_unrouted_again(struct conn *);
/* What the inbox held. */
void xfer_granted(struct waiter *);
/* Its client left, or is to be cut off: CUT. */
void xfer_client_gone(struct conn *);
/* Its upstream failed; may try again.  is_connect: no byte was sent. */
void xfer_upstream_failed(struct conn *, bool is_connect);
/* The only two exits: count, and give back what the request holds.  Either leaves the
 * connection to conn_advance(): DONE, */
void xfer_end(struct conn *, enum outcome);
/* or CUT. */
void xfer_cut(struct conn *, enum outcome, bool is_reset);
/* End with an answer of our own; why: more to the text, or NULL. */
void xfer_refuse(struct conn *, enum outcome, const char *why);
/* An interim response (1xx) has come. */
void xfer_interim_seen(struct conn *, uint32_t status);
/* The final response head (or 101) has come. */
void xfer_head_seen(struct conn *);
/* Its connection stands: send the head. */
void xfer_connected(struct conn *);
/* The instance's side is gone, and took not a byte of the head that was sent. */
void xfer_unsent(struct conn *, const char *head, size_t n);

/* --- deadline.c --- */
/* The time limit that a request runs into next, on clk_now()'s clock; INT64_MAX: none. */
int64_t deadline_at(const struct conn *);
/* It has come: the request ends (or is tried elsewhere) as that limit says. */
void deadline_passed(struct conn *);

/* --- cold.c --- */
/* The first response head after a cold start is here: log and count its phases. */
void cold_note(struct conn *);
/* server-timing of a cold start into text, or NULL where there is none to tell. */
const char *cold_timing(const struct conn *, char *text, size_t size);

/* --- relay.c --- */
void relay_request(struct conn *);	/* request body → instance */
void relay_response(struct upstream *); /* whatever the instance has to say */
void relay_tunnel(struct conn *);
/* ABANDONED: read and throw away. */
void relay_drop(struct upstream *);

/* --- upstream.c --- */
/* An idle connection, or NULL. */
struct upstream *upstream_take_idle(struct worker *, struct instance *);
/* Begin to connect.  NULL: refused at once (errno). */
struct upstream *upstream_connect(struct worker *, struct instance *);
/* The prober's connected descriptor. */
struct upstream *upstream_adopt(struct worker *, struct instance *, int fd);
/* It carries c's request from now on; the slot is its own. */
void upstream_attach(struct upstream *, struct conn *);
/* Done with c's request: back to the pool if it can be, and the slot given back. */
void upstream_release(struct upstream *, bool is_reusable);
/* The client left in flight: hold the slot until the instance is done. */
void upstream_abandon(struct upstream *, struct conn *);
/* Writing to it failed: what it has said, or that it has ended, is looked for next. */
void upstream_broken(struct upstream *);
void upstream_close(struct upstream *, bool abort);
/* Close the idle connections of this worker: to one instance, to all of a set (which may be
 * NULL), to all instances. */
void upstream_shed(struct worker *, struct instance *);
void upstream_shed_set(struct worker *, const struct instance_set *);
void upstream_shed_all(struct worker *);

/* --- refuse.c --- */
/* A connection that is not to be kept: answer 503 queue_full, and close it. */
void refuse_connection(int fd, const char *why);
/* Write the answer of an outcome to the client. */
void refuse_write(struct conn *, enum outcome, const char *why, int64_t retry_after_s);
/* When to come again after out, in seconds; 0: not to be told. */
int64_t refuse_retry_after(const struct conn *, enum outcome out);
/* The waiting page of the request's service. */
struct waitpage_view;
void refuse_page(struct conn *, const struct waitpage_view *);
void refuse_rule(struct conn *, const struct rule_conf *);
/* TRACE came as far as Max-Forwards lets it: what it looked like here. */
void refuse_trace(struct conn *, const struct h1_head *);

/* --- shard.c --- */
struct shard *shard_of(struct worker *, struct revision *); /* lists it as live */
bool shard_has_open(const struct shard *);		    /* an instance that takes requests */
void shard_in_flight(struct shard *, int64_t now, int n);
void shard_parked(struct shard *, int64_t now, int n);
void shard_collect(struct worker *, struct worker_period *, int64_t now);
/* Replace what the fast path looks through by set.  Returns what was there, with its
 * reference, or NULL. */
NODISCARD struct instance_set *shard_set(struct worker *, struct revision *,
					 struct instance_set *set);

#endif
