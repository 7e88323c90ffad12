/* call_h2 - a call (call.h) on a stream of a connection of HTTP/2 to an instance (upstream_h2.h):
 * what it keeps of request and response, and until when.  call_h2.c has its life and what the
 * exchange does with it, call_h2_session.c what the session reports of it. Thread: the worker's. */
#ifndef ACTIVATOR_CALL_H2_H
#define ACTIVATOR_CALL_H2_H

#include "activator/call.h"
#include "activator/net/outbuf.h"
#include "activator/timeq.h"
#include "activator/upstream_h2.h"
#include "common/strbuf.h"

struct h2_call {
	struct call call;
	struct worker *w;
	struct upstream_h2 *h2;
	int32_t id;		 /* of its stream; 0: there is none yet */
	bool is_websocket;	 /* asks by extended CONNECT */
	bool is_refused_upgrade; /* the instance does not take that */
	bool has_slot;
	bool is_head_sent;
	int64_t head_sent_ns; /* is_head_sent: when */
	bool is_in_ended;     /* the response is whole, in `in` and in_trailers */
	bool is_out_ended;    /* no more is added to out */
	bool is_closed;	      /* the session has forgotten the stream */
	bool is_malformed;    /* the session has reset it */
	bool is_too_large;    /* a response head is larger than may be kept */
	bool is_over;	      /* a bound on bytes was reached when the last of them came */
	bool is_reset;	      /* by us, as its request is over */
	bool is_withdrawn;    /* it was not sent: it is to go to another connection */
	bool wants_ping;      /* a PING is to follow the reset … */
	uint64_t ping;	      /* … and has this token; 0: none was sent */
	bool is_acked;	      /* it was answered: the instance knows of the reset */
	uint32_t code;	      /* is_closed: why */
	uint32_t heads_n;     /* in heads */
	struct strbuf heads; /* response heads, as HTTP/1.1 has them, that the client has not got */
	size_t heads_at;     /* those before are passed on */
	struct outbuf in;    /* body that the client has not taken */
	struct outbuf out;   /* body that the instance has not taken, behind sent_n bytes … */
	uint32_t sent_n;     /* … that it has taken, and may refuse; call.keeps_body */
	char *in_trailers;   /* or NULL */
	char *out_trailers;  /* or NULL */
	char *ws_key;	     /* Sec-WebSocket-Key of its client, or NULL */
	int64_t until_ns;    /* there is no xfer any more: when the stream is ended, or given up */
	struct timeq_entry timer;
	struct list_node node, event;
};

extern const struct call_codec call_h2_codec;
extern const struct h2_client_ops call_h2_session_ops; /* arg: struct upstream_h2 */

struct h2_call *call_h2_new(struct upstream_h2 *);
/* There is no xfer any more, and the instance is done, or has no more time: free it, and give the
 * slot back. */
void call_h2_end(struct h2_call *);
void call_h2_free(struct h2_call *); /* that alone */

/* --- what it keeps --- */
/* n bytes more.  False: a bound is reached; the bytes count nevertheless. */
bool call_h2_count(struct h2_call *, size_t n);
/* Bytes behind those of a buffer of the call, counted likewise. */
bool call_h2_add(struct h2_call *, struct outbuf *to, const char *data, size_t n);
/* The request will not be sent again, with what was sent of its body. */
void call_h2_forget_sent(struct h2_call *);

static inline size_t
call_h2_unsent_n(const struct h2_call *hc)
{
	return hc->out.n - hc->sent_n;
}

/* So few bytes are left that more may be written.  Of a tunnel that has ended all have to go: then
 * the stream is closed in order. */
bool call_h2_is_drained(const struct h2_call *);
/* Without an xfer: how long the instance has. */
void call_h2_wait_until(struct h2_call *, int64_t at);

#endif
