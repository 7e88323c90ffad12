/* worker_impl - what a worker's thread works with: shared by the files of the exchange, and
 * opaque to all others (worker.h).
 * Thread: everything here belongs to the worker's thread. */
#ifndef ACTIVATOR_WORKER_IMPL_H
#define ACTIVATOR_WORKER_IMPL_H

#include "activator/access_note.h"
#include "activator/clients.h"
#include "activator/date.h"
#include "activator/headbuf.h"
#include "activator/http/request.h"
#include "activator/inbox.h"
#include "activator/net/io.h"
#include "activator/net/listener.h"
#include "activator/snapshot.h"
#include "activator/timeq.h"
#include "activator/worker.h"
#include "activator/worker_conf.h"
#include "common/loop.h"
#include "common/slab.h"

struct conn;
struct h2_shared;
struct tls;
struct tls_use;
struct xfer;

#define WORKER_BUFFER ((size_t)128 << 10) /* larger reads gained nothing */
#define WORKER_FRAMES ((size_t)96 << 10)  /* frames of HTTP/2 in one write */

struct worker {
	/* immutable after worker_new() */
	unsigned index, workers_n;
	struct bounds *bounds;
	struct loop *loop, *control;
	struct io_round *round;
	const struct worker_ops *ops;
	void *arg;
	/* Main sets it, once, before the first mail that needs it: a conf with certificates. */
	struct tls *tls;
	/* Lower files report the events of a request through these, and so need not know the
	 * files that deal with them. */
	const struct io_ops *upstream_ops; /* of a connection that carries a request */
	void (*on_late)(struct xfer *);	   /* it is PARKED, past its deadline */

	struct worker_conf *conf_ref;	   /* a reference */
	const struct activator_conf *conf; /* in it; of no use beyond the event that reads it */
	struct tls *upstream_tls;	   /* of connections to instances; NULL: there was none */

	pthread_t thread;
	bool is_started, is_draining, is_drained_reported;
	bool keeps_idle; /* is_draining: idle connections of HTTP/1 stay until their next response
			  */
	bool is_ended;	 /* the thread has ended: accept no more */
	struct listener *listener; /* NULL: closed */

	int64_t now; /* clk_now() of this event */
	struct timeq timeq;
	struct inbox inbox;
	struct snapshot *snapshot; /* NULL: none came yet */
	struct slab conn_slab, xfer_slab, upstream_slab, stream_slab, call_slab;
	struct list proxied;  /* of struct proxied: connections whose header is to come */
	struct list conns;    /* of struct conn: all */
	struct list to_write; /* of struct conn_h2: have frames to write, at the end of the round */
	struct clients clients; /* counts conns by peer_text */
	struct list unrouted;	/* of struct xfer: UNROUTED, in order of arrival */
	/* Of struct xfer: STARVED, for a descriptor, and for room for a handshake (is_crowded); the
	 * next to be tried first. */
	struct list starved, crowded;
	struct loop_timer starved_timer;
	struct list paused; /* of struct xfer: PAUSED, the next to be sent again first */
	struct loop_timer paused_timer;
	struct list shards;		/* of struct shard: those with instances or counts */
	struct list upstreams;		/* of struct upstream: all */
	struct list upstreams_to_write; /* of struct upstream_h2: have frames to write */
	size_t busy_n;			/* of them that are not idle */
	struct headbuf_pool heads;
	uint64_t random; /* worker_random() */
	struct date date;
	struct access_port access, traces;
	bool is_traced;		   /* the request that is being routed … */
	struct access_trace trace; /* … and as what */
	/* The X-Request-Id that the request gets that is being routed; n 0: what its client sent */
	char request_id[REQUEST_ID_MAX];
	size_t request_id_n;
	bool is_request_id_new;
	uint64_t id_seeds[2]; /* of the kernel: ids of several processes and workers differ */

	struct exemplars *exemplars; /* NULL: no spans are recorded; others read it */

	char *read_buf;	 /* what is being read, WORKER_BUFFER bytes */
	char *write_buf; /* a head that is being written: worker_write_buf() */
	size_t write_buf_size;
	/* NULL until worker_begin_h2() */
	char *frame_buf; /* WORKER_FRAMES bytes */
	struct h2_shared *h2_shared;
	struct h1_head head; /* that is being parsed */
	struct worker_counters counters;
};

/* Is it the address of a trusted proxy? */
static inline bool
worker_trusts(const struct worker *w, const struct addr *a)
{
	return worker_conf_trusts(w->conf_ref, a);
}

static inline void
worker_set_conf(struct worker *w, struct worker_conf *conf)
{
	w->conf_ref = conf;
	w->conf = &conf->settings->activator;
}

/* A time limit is judged.  The timer fired at fired_ns, which is before events of this round that
 * were dealt with already: w->now does not go back. */
static inline void
worker_limit_fired(struct worker *w, int64_t fired_ns)
{
	w->now = MAX(w->now, fired_ns);
}

extern const struct tls_use worker_tls_use; /* of clients without HTTP/2 */
const struct tls_use *worker_tls_use_of(const struct activator_conf *);

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

/* A connection speaks HTTP/2: make what all such connections use. */
void worker_begin_h2(struct worker *);

/* w->write_buf with room for n bytes. */
static inline char *
worker_write_buf(struct worker *w, size_t n)
{
	if (n > w->write_buf_size) {
		w->write_buf_size = n;
		w->write_buf = xrealloc(w->write_buf, n);
	}
	return w->write_buf;
}

#endif
