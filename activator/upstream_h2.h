/* upstream_h2 - a connection to an instance that speaks HTTP/2: many calls (call.h) at once, each
 * on a stream of its own.  It feeds what is read to the session (http/h2_client.h), and lets
 * requests go on with what has come.  A worker has one to each instance, and another when the
 * instance takes no more streams on that.
 *
 * No request moves inside a callback of the session: the callbacks note what has come for a call,
 * and the call is looked at when the session has returned.  Frames are written once in a round, by
 * upstream_h2_write_all() at its end.
 * Thread: the worker's. */
#ifndef ACTIVATOR_UPSTREAM_H2_H
#define ACTIVATOR_UPSTREAM_H2_H

#include "activator/http/h2_client.h"
#include "activator/upstream.h"
#include "activator/worker.h"

struct h2_call;

struct upstream_h2 {
	struct upstream *u;
	struct h2_client *session;
	struct list calls;	   /* of struct h2_call: all */
	struct list events;	   /* of struct h2_call: to be looked at */
	struct list_node open;	   /* in the instance's pool, while it takes more calls */
	struct list_node to_write; /* in w->upstreams_to_write */
	enum upstream_reached reached;
	int64_t connected_ns;	 /* reached is UPSTREAM_CONNECTED: since when */
	enum upstream_ended end; /* why it ends, once it does */
	bool is_ending;		 /* end is set: it takes no more calls */
	bool is_lost;		 /* nothing more is read or written */
	bool has_settings;	 /* of the instance */
	bool has_carried;	 /* a request */
	bool has_sent;		 /* one */
	bool is_small;		 /* the last read found little */
	bool is_asked;		 /* a PING without a slot is under way: nothing was read since */
	uint64_t pings;		 /* the token of the last PING */
	uint64_t acked;		 /* that of the last one that was answered */
	int64_t read_ns;	 /* when bytes came last */
	uint64_t bytes;		 /* that its calls keep */
	/* Requests that were reset before their heads were sent: the session keeps those heads
	 * until it is written. */
	uint32_t cancelled_n;
};

/* u was made just now. */
void upstream_h2_begin(struct upstream *);
/* A call on a connection that carries others and takes more, or NULL. */
NODISCARD struct call *upstream_h2_take(struct worker *, struct instance *,
					const struct revision_limits *);
/* It was idle: can it be used?  It is closed if it has ended meanwhile. */
bool upstream_h2_is_usable(struct upstream *);
/* Can a request be sent on the call? */
bool upstream_h2_is_connected(const struct call *);
/* The call has got its xfer. */
void upstream_h2_attached(struct call *);
/* A new call on it: it has room. */
NODISCARD struct call *upstream_h2_call(struct upstream *);
/* It is being closed: it has no requests.  Abandoned ones end. */
void upstream_h2_close(struct upstream *);
/* It was closed, and the loop's round is over. */
void upstream_h2_free(struct upstream *);
/* Close it if it carries no request, ABANDONED ones apart. */
void upstream_h2_cut(struct upstream *);
/* Write what the connections in w->upstreams_to_write have to send.  True: a connection has ended,
 * and its requests may have given slots back. */
NODISCARD bool upstream_h2_write_all(struct worker *);

/* --- for its calls: call_h2.h --- */
/* There are frames to be written at the end of the round. */
void upstream_h2_want_write(struct upstream_h2 *);
/* Look at the call once the session has returned, or in a later round. */
void upstream_h2_note(struct h2_call *);
/* Its calls, or what it may have, have changed: it takes more, or takes none, or is idle, or is
 * closed. */
void upstream_h2_settle(struct upstream_h2 *);
/* It takes no more calls; it is closed when those that it has are over. */
void upstream_h2_retire(struct upstream_h2 *, enum upstream_ended);

#endif
