/* conn_h2 - a client's connection that speaks HTTP/2: many requests at once, each on a stream of
 * its own.  It feeds what is read to the session (http/h2.h), begins and ends requests, and
 * watches the time limits of the connection and of each stream.
 *
 * No request moves inside a callback of the session: the callbacks note what has come for a
 * stream, and the stream is looked at when the session has returned.  Frames are written once
 * in a round, by conn_h2_write_all() at its end.  No event of a request closes the connection.
 * Thread: the worker's. */
#ifndef ACTIVATOR_CONN_H2_H
#define ACTIVATOR_CONN_H2_H

#include "activator/conn.h"
#include "activator/http/h2.h"
#include "activator/net/outbuf.h"

struct conn_h2 {
	struct conn *c;
	struct h2 *session;
	struct list streams;	   /* of struct h2_stream: all */
	struct list events;	   /* of struct h2_stream: to be looked at */
	struct list abandoned;	   /* of struct call: their requests ended in flight */
	struct list_node to_write; /* in w->to_write */
	enum h2_ended end;	   /* why it ends, once it does */
	bool is_ending;		   /* end is set: it takes no new streams */
	bool is_terminated;	   /* a GOAWAY that breaks it off is to be written */
	bool is_small;		   /* the last read found little */
	uint32_t read_size;	   /* of the next one: of about FRAMES_A_TURN frames at most */
	bool has_waiting;	   /* it found something of a request that is parked or not whole */
	bool is_pinged;		   /* the second GOAWAY waits for the answer to a PING */
	bool is_trimmed;	   /* h2_trim(), and no stream since */
	bool is_broken;		   /* a write has failed: it ends at the end of the round */
	int64_t goaway_ns;	   /* is_pinged: when the second GOAWAY is sent in any case */
	uint64_t bytes;		   /* that its streams keep */
	int64_t blocked_ns;	   /* when the socket was last found full, or took bytes again */
	uint32_t streams_most;	   /* as its client was told */
	uint32_t glitches;	   /* that it may still make … */
	int64_t glitches_ns;	   /* … as of this time */
	/* While conn_h2_write_direct() runs: the stream, and what is left of its bytes. */
	struct h2_stream *direct;
	const char *direct_data;
	size_t direct_n;
};

/* A stream whose request has not ended, or whose response is not written yet. */
struct h2_stream {
	struct conn_h2 *h2;
	struct xfer *x; /* NULL: not begun, or ended */
	int32_t id;
	bool is_begun;	   /* its head was looked at */
	bool is_in_ended;  /* the client has sent its side to the end */
	bool is_out_ended; /* no more is added to out */
	bool is_responded; /* a final head was submitted */
	bool is_closed;	   /* the session has forgotten it */
	bool is_ended;	   /* is_closed, since both sides of a tunnel have ended: its instance
			      still gets what is in in */
	bool is_drained;   /* the client has taken enough of out */
	bool is_over;	   /* a bound on bytes was reached when the last of them came */
	uint32_t interims; /* heads that were submitted and not sent yet */
	struct list_node node, event;
	char *head; /* the text of its head, until it is routed */
	size_t head_n;
	struct outbuf in;   /* body that the instance has not taken */
	struct outbuf out;  /* body that the client has not taken */
	char *in_trailers;  /* or NULL */
	char *out_trailers; /* or NULL */
	char *ws_key;	    /* or NULL: the request is no extended CONNECT */
	int64_t since_ns;   /* when the client last took a good part of out */
	size_t taken;	    /* bytes of out that the client has taken since then */
	struct timeq_entry timer;
};

/* c->in[0..n) begins with the preface: the connection speaks HTTP/2 from now on. */
void conn_h2_begin(struct conn *);

/* Write what the connections in w->to_write have to send.  True: a connection has ended, and its
 * requests may have given slots back. */
NODISCARD bool conn_h2_write_all(struct worker *);

/* --- for codec_h2.c --- */
/* There are frames to be written at the end of the round. */
void conn_h2_want_write(struct conn_h2 *);
/* Write frames now, and among them the bytes at *data, of the body of this stream's response, which
 * has none in out.  *data and *n are then what is left of them.  -1: the client is gone; the
 * connection ends at the end of the round. */
NODISCARD int conn_h2_write_direct(struct h2_stream *, const char **data, size_t *n);
/* Look at the stream in a later round. */
void conn_h2_yield(struct h2_stream *);
/* Add to, or take from, the front of in or out, and count that in the bounds.  False: the bound is
 * reached; the bytes were added nevertheless. */
bool stream_count(struct h2_stream *, size_t n); /* alone: of trailers */
bool stream_add(struct h2_stream *, struct outbuf *, const char *data, size_t n);
void stream_take(struct h2_stream *, struct outbuf *, size_t n);

/* --- between conn_h2.c and conn_h2_stream.c --- */
/* Let the connection end when its streams have. */
void conn_h2_begin_goaway(struct conn_h2 *, enum h2_ended why);
/* Break the connection off, with a GOAWAY that says so. */
void conn_h2_terminate(struct conn_h2 *, enum h2_ended why, enum h2_code);
/* Look at the streams for which something has come. */
void conn_h2_run_events(struct conn_h2 *);
/* Its request has ended: answered, or cut off.  It may be freed. */
void stream_end_request(struct h2_stream *);
void stream_free(struct h2_stream *);		/* it has no request */
extern const struct h2_ops conn_h2_session_ops; /* arg: struct conn_h2 */

/* --- for xfer.c --- */
/* The stream's request has ended and its instance may be at work: h2->abandoned has the call until
 * the instance is done. */
void conn_h2_abandoned(struct h2_stream *, struct call *);

/* --- for codecs --- */
/* Its streams keep so much that each is to keep little: a client that opens many streams, and takes
 * nothing, must not fill the memory with what is read for each. */
#define CONN_H2_CROWDED ((uint64_t)512 << 10)
static inline bool
conn_h2_is_crowded(const struct conn_h2 *h2)
{
	return h2->bytes >= CONN_H2_CROWDED;
}

/* Members of codec_h2 (codec.h). */
void conn_h2_advance(struct xfer *);
void conn_h2_drain(struct conn *);
unsigned conn_h2_end_tunnels(struct conn *);
void conn_h2_end(struct conn *);
void conn_h2_cut(struct conn *);

#endif
