/* call - the seam between a request at an instance and the connection that takes it there.
 *
 * A call is one request at one instance, and its response: a stream of a connection to the
 * instance (upstream.h).  HTTP/1 has one at a time, HTTP/2 many.  The slot is the call's, the
 * permit the connection's.  relay.c and dispatch.c deal with calls.  The codec of the connection
 * makes the bytes of its version of HTTP from what they say, and reports what has come of the
 * response by the functions that relay.h has for codecs.
 *
 * No function of a codec ends the request, or begins another one.  Thread: the worker's. */
#ifndef ACTIVATOR_CALL_H
#define ACTIVATOR_CALL_H

#include "activator/http/request.h"
#include "activator/relay.h"
#include "common/list.h"

struct call;
struct chunked;
struct limits;
struct piece;
struct shard;
struct upstream;
struct xfer;

struct call_codec {
	/* EXCHANGE: send the head of the request, head[0..n) as HTTP/1.1 has it, and behind it what
	 * there is of the body: the piece, of a body with a length, or nothing if its n is 0.  -1:
	 * no byte was sent, and the call is broken. */
	int (*send)(struct call *, const char *head, size_t n, const struct piece *);
	/* EXCHANGE: a piece of the body, already counted in the request.  What the instance does
	 * not take at once is the codec's to keep. */
	void (*write)(struct call *, const struct piece *);
	/* The call is blocked, and its connection had an event.  True: the instance has taken
	 * enough for more to be written. */
	bool (*flush)(struct call *);
	/* EXCHANGE: pass on what the instance has sent, as far as the client takes it. */
	struct relay_result (*read)(struct call *);
	/* The response, whose head has come, cannot be passed on: what still comes of it is not to
	 * be understood. */
	void (*skip)(struct call *);

	/* TUNNEL.  n is 0: its end.  -1: the instance is gone. */
	int (*write_tunnel)(struct call *, const char *data, size_t n);
	/* As io_read(), into w->read_buf. */
	ssize_t (*read_tunnel)(struct call *);
	/* Has the instance broken it off, while it is not read? */
	bool (*is_reset)(const struct call *);
	/* It has ended its side: does it take no more, either? */
	bool (*is_closed)(const struct call *);
	/* There may be more to read, and others are to have their turn first. */
	void (*yield)(struct call *);

	/* The end of the call; its xfer has let go of it.  Each gives the slot back, after the
	 * connection or its permit, so that the next request finds those.
	 *
	 * The response is complete, or nothing more of it is wanted: keep the connection for other
	 * calls if may_pool says so and nothing speaks against it. */
	void (*release)(struct call *, bool may_pool);
	/* Break it off.  abort: so that the instance cannot take that for an end in order. */
	void (*close)(struct call *, bool abort);
	/* The client has left, and the instance may be at work: keep the slot until the instance is
	 * done.  shard: where the request is counted as in flight, or NULL; the count is the
	 * call's from now on.  sent_ns: when the request was sent, from which response_timeout
	 * runs. False: the instance is done already, and there is no call any more. */
	bool (*abandon)(struct call *, const struct limits *, struct shard *, int64_t sent_ns);
};

struct call {
	const struct call_codec *codec;
	struct upstream *upstream; /* the connection */
	struct xfer *xfer;	   /* the request; NULL: there is none, or it was abandoned */
	bool is_reused;		   /* the connection carried a request before */
	bool is_broken;		   /* writing failed; a response may still be there to be read */
	bool is_head_read;	   /* the final head of the response, or a 101 */
	bool is_done;		   /* the response is complete: nothing more of it is to be read */
	bool is_persistent;	   /* the connection may carry another request after this one */
	bool is_eof_read;	   /* tunnel: the instance has ended its side */
	bool is_blocked;	   /* HTTP/2: it keeps enough of the request; call_is_blocked() */
	bool keeps_body; /* HTTP/2: all that was given of the body; read() may give it back */

	/* of the request */
	bool is_head_method, is_upgrade;
	uint32_t max_head, max_fields; /* limits of a response head */

	/* of the response that is being read */
	enum framing framing;
	uint64_t remaining; /* FRAMING_LENGTH: body bytes still to come */
	struct chunked *chunked;

	/* of an abandoned request */
	struct shard *shard;	/* where its slot is counted as in flight, or NULL */
	int64_t abort_ns;	/* how long the body of its response may go on */
	struct list *abandoned; /* the list of its client's connection of HTTP/2, or NULL */
	struct list_node abandoned_node;
};

/* An abandoned request is over: it is counted no more. */
void call_forget_abandoned(struct call *);

#endif
