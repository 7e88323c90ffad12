/* xfer - one request on its way to its outcome: what it is, what it holds, and its end.
 *
 *   NEW ─ head read ─► ROUTED ─ slot ─► CONNECTING ─► EXCHANGE ─► DONE
 *    │                  │   ▲             │ failed      │ 101      ▲
 *    │ no table yet     │   │ granted     ▼             ▼          │
 *    ▼                  ▼   │           ROUTED        TUNNEL ──────┘
 *   UNROUTED ─► NEW    PARKED, PERMIT, STARVED, PAUSED
 *
 * Not drawn: ROUTED -> EXCHANGE, on an idle connection; EXCHANGE -> ROUTED, to be sent again; and
 * the way of each state to DONE (refused) or CUT, for most of them through ROUTED.
 *
 * A state says what the request holds and which list it is in.  Every request leaves through
 * xfer_end() (DONE) or xfer_cut() (CUT), once; the connection that carries it then frees it and
 * goes on (conn_advance()).
 *
 * The slot is the request's, from the grant to the end.  It is a slot of waiter.inst in PERMIT and
 * STARVED, and the call's (call.h) from when there is a connection.
 *
 * A connection may carry several: each is a stream of it (codec.h).  What belongs to the
 * connection and not to the request (its address, its time limits while no request is under
 * way) stands in conn.h.
 * Thread: the worker's. */
#ifndef ACTIVATOR_XFER_H
#define ACTIVATOR_XFER_H

#include "activator/headbuf.h"
#include "activator/http/request.h"
#include "activator/inbox.h"
#include "activator/net/outbuf.h"
#include "activator/outcome.h"
#include "activator/revision.h"
#include "activator/worker_impl.h"
#include "common/list.h"
#include "common/log.h"

struct call;
struct chunked;
struct conn;
struct failure;
struct instance;
struct shard;
struct snapshot;
struct h2_stream;

/* Which moves are legal stands in xfer.c.  UNROUTED, PARKED, STARVED and PAUSED each have a
 * list (STARVED: two), which xfer_set_state() joins and leaves. */
#define XFER_STATES(X)                                                                             \
	X(NEW)	      /* its head is there, or refused before it was whole */                      \
	X(UNROUTED)   /* read, but no route table has come yet */                                  \
	X(ROUTED)     /* has a route, no connection, and no slot but for a moment in dispatch.c */ \
	X(PARKED)     /* waits in its revision's queue */                                          \
	X(PERMIT)     /* has a slot, waits for the right to open a connection */                   \
	X(STARVED)    /* has a slot, waits for a descriptor, or for room for a handshake */        \
	X(PAUSED)     /* its instance has refused it: to be sent again in a moment */              \
	X(CONNECTING) /* its connection is being opened */                                         \
	X(EXCHANGE)   /* its head is sent; bodies flow */                                          \
	X(TUNNEL)     /* after 101: bytes flow */                                                  \
	X(DONE)	      /* has its response; conn_advance() is to go on */                           \
	X(CUT)	      /* ended without a whole response; conn_advance() is to cut it off */
enum xfer_state {
#define X(id) XFER_##id,
	XFER_STATES(X)
#undef X
		XFER_STATES_N
};

/* A small body that is to be sent again; its bytes are counted as those of streams. */
struct kept_body {
	struct outbuf bytes;
	char *trailers; /* as in struct piece, or NULL */
};

/* From the worker's slab: a connection between two requests has none. */
struct xfer {
	enum xfer_state state;

	/* of the request */
	enum framing framing : 8;
	bool is_head_method, is_http10, is_persistent, is_idempotent;
	bool says_keep_alive; /* the response says so: HTTP/1.0 whose client asked for it */
	bool has_upgrade, is_upgrade, takes_trailers, wants_json;
	bool is_grpc;
	bool has_grpc_timeout; /* its head ends with it: request_set_timeout() */
	bool is_expecting;     /* its client waits for 100 before it sends the body */
	bool is_sent_whole;    /* it was read and written to its end */
	bool is_unsent;	       /* xfer_unsent(): the last try wrote no byte of it */
	/* Body bytes went to an instance, and are not in kept_body: it cannot be sent again. */
	bool has_given_body;
	bool is_counted;	   /* in its shard's in_flight or parked_n */
	bool is_serve_only;	   /* RULE_SERVE_ONLY: does not count as activity */
	bool is_paced;		   /* counts in instance.paced, until limiter_head_seen() */
	bool is_crowded;	   /* STARVED: for room for a handshake, not for a descriptor */
	bool needs_new_connection; /* an idle one failed: take no other idle one */
	bool is_cold;		   /* was parked while no instance was open */
	bool is_first;		   /* was the first in the queue */
	bool is_head_written;	   /* a final response head was written to the client */
	bool is_eof_read;	   /* TUNNEL: the client has ended its side */
	bool is_reset;		   /* CUT: close with a reset, so that the client sees the cut */
	bool is_refused;	   /* CUT: no instance has processed it; HTTP/2 can say so */
	uint8_t tries;		   /* instances that failed it */
	uint8_t answered_as;	   /* enum tally_end of the response whose head has come */
	int8_t grpc_status;	   /* is_grpc: that of its response; -1: none is known */
	uint16_t status;	   /* of its response; 0: no head was written */
	/* of the response, as the client sees it */
	enum framing framing_out : 8; /* codec_h1.c */
	bool is_client_blocked; /* the client takes no more of it for now: set by the codec, cleared
				   by it before dispatch_client_drained() */
	struct worker *w;
	struct conn *conn;	  /* that carries it */
	struct h2_stream *stream; /* HTTP/2: its stream there; else NULL */
	uint64_t remaining;	  /* FRAMING_LENGTH: body bytes still to come */
	struct chunked *chunked;

	/* where it goes; service and route are part of snapshot */
	struct snapshot *snapshot;
	const struct route_service *service;
	const struct route_revision *route;
	struct shard *shard;
	struct waiter waiter; /* PARKED, PERMIT: the limiter or the inbox has it.  PERMIT, STARVED:
				 its inst is the instance of the slot */
	struct call *call;    /* CONNECTING, EXCHANGE, TUNNEL: has the request's slot */
	uint32_t head_n;      /* size of the head that is sent */
	uint32_t held_bytes;  /* bytes counted in the bounds; 0: it is not counted */
	struct headbuf head;  /* that head, while it may have to be sent (again) */
	/* Its whole body, which an instance has refused together with the head; NULL: none was. */
	struct kept_body *kept_body;
	struct list_node node; /* in the list of its state: w->unrouted, shard->parked by
				  deadline, w->starved or w->crowded, w->paused */

	uint64_t bytes_in, bytes_out; /* of the bodies, or of the tunnel */
	struct headbuf note;	      /* access_note.h; NULL: it gets no line */
	const char *why;	      /* while it is refused: more on the reason, or NULL */

	int64_t start_ns, parked_ns, sent_ns, answered_ns; /* answered: its response head came */
	int64_t deadline_ns;				   /* of its activation */
	int64_t client_deadline_ns; /* by which its client wants an answer; INT64_MAX: none said */
	int64_t retry_ns;	    /* PAUSED: when it is sent again */
	int64_t since_ns;	    /* from when the time limit of what it waits for runs */
	int64_t progress_ns;	    /* when bytes were last read for, or from, the instance */
};

/* Of its revision, or those of the conf file's activator {}. */
static inline const struct limits *
xfer_limits(const struct xfer *x)
{
	return x->route != NULL ? &x->route->limits->v : &x->w->conf->limits;
}

/* A request whose head has been read: NEW.  The connection owns it. */
NODISCARD struct xfer *xfer_new(struct conn *);
void xfer_free(struct xfer **); /* DONE or CUT */
/* It has no whole response yet, and is no tunnel: it ends if its client leaves.  (A tunnel passes
 * on the client's end.) */
static inline bool
xfer_is_pending(const struct xfer *x)
{
	switch (x->state) {
	case XFER_UNROUTED:
	case XFER_PARKED:
	case XFER_PERMIT:
	case XFER_STARVED:
	case XFER_PAUSED:
	case XFER_CONNECTING:
	case XFER_EXCHANGE:
		return true;
	default:
		return false;
	}
}

/* For each state a bit for each state that may follow and needs no list. */
extern const uint32_t xfer_plain_moves[XFER_STATES_N];
/* Any legal move: joins and leaves lists, and traces. */
void xfer_move(struct xfer *, enum xfer_state to);

static inline void
xfer_set_state(struct xfer *x, enum xfer_state to)
{
	if ((xfer_plain_moves[x->state] >> to & 1) != 0 && !log_enabled(LOG_TRACE))
		x->state = to;
	else
		xfer_move(x, to);
}

/* Count it in the bounds on parked requests, until it leaves UNROUTED or PARKED, or
 * xfer_unhold().  False: a bound is reached.  is_back: it was parked before, and is counted
 * even then. */
NODISCARD bool xfer_hold(struct xfer *, bool is_back);
void xfer_unhold(struct xfer *);
/* CONNECTING, EXCHANGE, TUNNEL: the call is over, and its slot is given back.  may_pool: its
 * connection may carry others.  The caller changes the state. */
void xfer_release(struct xfer *, bool may_pool);
/* Likewise, but the call is broken off.  abort: with a reset. */
void xfer_close_call(struct xfer *, bool abort);
/* Leave the queue, give the slot and the permit back, and break off the call with a reset, as far
 * as the request has these.  If it has a route, its state is ROUTED afterwards. */
void xfer_let_go(struct xfer *);
/* If its release was paced: its response head has come, or will not come. */
void xfer_pace_done(struct xfer *, struct instance *);

/* Keep a copy of its head, which is at head, to send it (again) later; no-op if there is one. */
void xfer_keep_head(struct xfer *, const char *head);
/* The bytes and trailers of the whole body were given to an instance, which has not processed the
 * request: they come back, and are counted as those of streams already.  Takes both. */
void xfer_take_body_back(struct xfer *, struct outbuf *, char **trailers);
/* It was sent again, or will not be. */
void xfer_drop_body(struct xfer *);
/* Note that writing failed before a byte of the request was written: until it is sent again,
 * xfer_is_repeatable() is true.  The state stays. */
void xfer_unsent(struct xfer *);
/* May an instance have processed it, or a part of it? */
bool xfer_was_sent(const struct xfer *);
/* True: sending it again does no harm (promise 2, README): no byte of it was written, or it is
 * idempotent and no body byte was written.  The caller checks that no byte of a response came. */
bool xfer_is_repeatable(const struct xfer *);
/* An interim response (1xx) has come. */
void xfer_interim_seen(struct xfer *, uint32_t status);
/* The final response head (or 101) has come. */
void xfer_head_seen(struct xfer *, uint32_t status);

/* The only two exits.  The whole response was handed to the socket: DONE. */
void xfer_end(struct xfer *, enum outcome);
/* There is no response, or not all of it: CUT. */
void xfer_cut(struct xfer *, enum outcome, bool is_reset);
/* Its client left, or is to be cut off: CUT.  If the instance has a limit, the slot is free
 * when the instance is done. */
void xfer_client_gone(struct xfer *);
/* TUNNEL: it has timed out; end both sides: CUT.  The slot as in xfer_client_gone(). */
void xfer_cut_tunnel(struct xfer *);
/* End with an answer of our own; why: more to the text, or NULL. */
void xfer_refuse(struct xfer *, enum outcome, const char *why);
/* As xfer_refuse(), because its revision cannot be started; f may be NULL. */
void xfer_refuse_failed(struct xfer *, const struct failure *f);

#endif
