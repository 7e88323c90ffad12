#include "activator/upstream.h"

#include <errno.h>
#include <unistd.h>

#include "activator/bounds.h"
#include "activator/limiter.h"
#include "activator/net/tcp.h"
#include "activator/net/tls.h"
#include "activator/net/tls_trust.h"
#include "activator/shard.h"
#include "activator/upstream_h2.h"
#include "activator/upstream_read.h"
#include "activator/worker_impl.h"
#include "common/clk.h"

static void on_ready(struct io *);
static bool never(struct io *);
static void on_unsent(struct io *, uint32_t token, int error);
static void on_timer(struct timeq_entry *, int64_t now);

const struct io_ops upstream_idle_ops = {
	.on_ready = on_ready,
	.is_new_work = never,
	.is_small_read_next = never,
	.on_unsent = on_unsent,
};

/* NULL: the kernel does not watch fd (errno), which is closed. */
static struct call *
make(struct worker *w, struct instance *inst, const struct revision_limits *limits,
     const struct instance_address *address, int fd, bool is_connecting)
{
	struct upstream *u = slab_get(&w->upstream_slab);

	if (io_open(&u->io, w->round, fd, is_connecting, &upstream_idle_ops) < 0) {
		int code = errno;

		close(fd);
		slab_put(&w->upstream_slab, u);
		errno = code;
		return NULL;
	}
	u->trust = revision_limits_trust_ref(limits);
	if (u->trust != NULL)
		tls_connect(w->upstream_tls, &u->io, u->trust, &address->addr,
			    limits->v.protocol == PROTOCOL_H2C, &inst->pools[w->index].tls_session);
	u->io.closes_at_once = true; /* its permit is free then */
	tcp_keep_alive(fd, w->conf->tcp_keepalive);
	u->w = w;
	u->inst = instance_ref(inst);
	u->address = address;
	u->call.codec = &call_h1_codec;
	u->call.upstream = u;
	u->state = UPSTREAM_CARRYING;
	u->connect_ns = w->now;
	u->read_size = WORKER_BUFFER;
	u->timer.fn = on_timer;
	list_push(&w->upstreams, &u->node);
	w->busy_n++;
	metric_add(&w->counters.upstream_connections, 1);
	bounds_upstream_opened(w->bounds);
	if (limits->v.protocol != PROTOCOL_H2C)
		return &u->call;
	/* Its writes may be blocked for as long as requests come for it. */
	tcp_limit_unacknowledged(fd, limits->v.tcp_user_timeout);
	upstream_h2_begin(u);
	return upstream_h2_call(u);
}

/* Can the connection be encrypted, if it has to be?  (errno) */
static bool
has_tls(struct worker *w, const struct revision_limits *limits)
{
	struct err e;

	if (!limits->v.upstream_tls)
		return true;
	if (limits->trust != NULL && w->upstream_tls == NULL &&
	    (w->upstream_tls = tls_new(w->loop, w->conf, &worker_tls_use, &e)) == NULL)
		log_warn_limited(NULL, "cannot use TLS", "err=%s", e.text);
	errno = EPROTO;
	return limits->trust != NULL && w->upstream_tls != NULL;
}

/* Is there no room for the handshake that the connection needs?  (errno) */
static bool
is_crowded(const struct worker *w, const struct revision_limits *limits, bool is_next)
{
	errno = EBUSY;
	return limits->trust != NULL &&
	       ((!is_next && !list_empty(&w->crowded)) || tls_is_crowded(w->upstream_tls));
}

struct call *
upstream_connect(struct worker *w, struct instance *inst, const struct revision_limits *limits,
		 bool is_next)
{
	const struct instance_address *address = instance_address(inst);
	int fd;

	/* A few descriptors are left to the prober, the link and the admin endpoint. */
	if (!bounds_may_connect(w->bounds)) {
		errno = EMFILE;
		return NULL;
	}
	if (limits->v.protocol == PROTOCOL_H2C && !bounds_may_add_stream_bytes(w->bounds)) {
		errno = ENOMEM;
		return NULL;
	}
	if (!has_tls(w, limits))
		return NULL;
	if (is_crowded(w, limits, is_next))
		return NULL;
	metric_add(&w->counters.upstream_connects, 1);
	fd = tcp_socket(&address->addr);
	if (fd < 0)
		return NULL;
	if (tcp_connect(fd, &address->addr) < 0) {
		int code = errno;

		close(fd);
		errno = code;
		return NULL;
	}
	return make(w, inst, limits, address, fd, true);
}

struct call *
upstream_adopt(struct worker *w, struct instance *inst, const struct revision_limits *limits,
	       int fd)
{
	int code;

	if (has_tls(w, limits) && !is_crowded(w, limits, false))
		return make(w, inst, limits, instance_address(inst), fd, false);
	code = errno;
	tcp_close(fd);
	errno = code;
	return NULL;
}

static void
unlist(struct upstream *u)
{
	if (u->state == UPSTREAM_IDLE)
		list_remove(&u->inst->pools[u->w->index].idle, &u->idle);
	else
		u->w->busy_n--;
	list_remove(&u->w->upstreams, &u->node);
}

static void
free_upstream(void *arg)
{
	struct upstream *u = arg;

	if (u->h2 != NULL)
		upstream_h2_free(u);
	tls_trust_unref(&u->trust);
	instance_unref(&u->inst);
	slab_put(&u->w->upstream_slab, u);
}

void
upstream_close(struct upstream *u, bool abort)
{
	struct worker *w = u->w;

	CHECK(io_is_open(&u->io) && u->call.xfer == NULL);
	unlist(u);
	if (u->h2 != NULL)
		upstream_h2_close(u);
	call_forget_abandoned(&u->call);
	upstream_read_forget(u);
	timeq_clear(&w->timeq, &u->timer);
	io_close(&u->io, abort);
	metric_add(&w->counters.upstream_connections, (uint64_t)-1);
	bounds_upstream_closed(w->bounds);
	limiter_permit_back(u->inst);
	if (u->state == UPSTREAM_ABANDONED)
		limiter_give_back(u->inst);
	loop_defer(w->loop, u, free_upstream);
}

/* --- the pool --- */

/* Bytes or an end on an idle connection of HTTP/1: it can carry no request.  HTTP/2 may have frames
 * of its own there; to read them may close the connection. */
static bool
is_usable(struct upstream *u, const struct revision_limits *limits)
{
	bool is_h2 = limits->v.protocol == PROTOCOL_H2C;

	if (u->w->now >= u->until_ns || u->address != instance_address(u->inst) ||
	    u->trust != limits->trust || (u->h2 != NULL) != is_h2)
		return false;
	return is_h2 ? upstream_h2_is_usable(u) : io_is_quiet(&u->io);
}

struct call *
upstream_take(struct worker *w, struct instance *inst, const struct revision_limits *limits,
	      bool needs_new)
{
	struct list *idle = &inst->pools[w->index].idle;
	struct list_node *node;
	struct call *call;

	if (limits->v.protocol == PROTOCOL_H2C) {
		if ((call = upstream_h2_take(w, inst, limits)) != NULL)
			return call;
	} else if (needs_new) {
		return NULL;
	}
	while ((node = list_first(idle)) != NULL) {
		struct upstream *u = container_of(node, struct upstream, idle);

		if (!is_usable(u, limits)) {
			if (io_is_open(&u->io))
				upstream_close(u, false);
			continue;
		}
		list_remove(idle, node);
		w->busy_n++;
		u->state = UPSTREAM_CARRYING;
		metric_add(&w->counters.upstream_reuses, 1);
		if (u->h2 != NULL)
			return upstream_h2_call(u);
		u->call.is_reused = true;
		return &u->call;
	}
	return NULL;
}

int64_t
upstream_connecting_since(const struct upstream *u)
{
	if (u->h2 != NULL && u->h2->reached == UPSTREAM_CONNECTED) /* waits for SETTINGS */
		return u->h2->connected_ns;
	return u->connect_ns + (io_is_encrypted(&u->io) ? tls_waited(&u->io) : 0);
}

bool
upstream_is_connected(const struct call *call)
{
	const struct upstream *u = call->upstream;

	return u->h2 == NULL ? !u->io.is_connecting && !io_is_handshaking(&u->io)
			     : upstream_h2_is_connected(call);
}

enum upstream_reached
upstream_finish_connect(struct upstream *u)
{
	int rc = io_finish_connect(&u->io);

	if (rc > 0)
		return UPSTREAM_NOT_YET;
	if (rc < 0 && errno == EPROTO) {
		const char *why = tls_failure(&u->io);

		metric_add(&u->w->counters.upstream_handshake_failures, 1);
		log_warn_limited(&u->inst->tag, "the TLS handshake with an instance has failed",
				 "address=%s err=%s", u->address->text, why == NULL ? "" : why);
		return UPSTREAM_NO_TLS;
	}
	if (rc == 0 && io_is_encrypted(&u->io)) {
		metric_add(&u->w->counters.upstream_handshakes, 1);
		metric_add(&u->w->counters.upstream_resumptions, tls_is_resumed(&u->io));
	}
	return rc < 0 || tcp_is_self_connected(u->io.fd, &u->address->addr) ? UPSTREAM_UNREACHED
									    : UPSTREAM_CONNECTED;
}

void
upstream_attach(struct call *call, struct xfer *x)
{
	struct upstream *u = call->upstream;

	call->xfer = x;
	if (__builtin_expect(u->h2 == NULL, 1))
		u->io.ops = u->w->upstream_ops;
	else
		upstream_h2_attached(call);
}

/* A connection to an instance that has had all its requests (max_requests) is closed behind its
 * last response.  That request does not say Connection: close: the instance might then end its
 * response with the connection, and one that is cut short would look whole (RFC 9112 6.3). */
static bool
is_poolable(const struct upstream *u)
{
	return !u->w->is_draining && u->idle_ns > 0 && instance_is_open(u->inst) &&
	       u->address == instance_address(u->inst) && limiter_may_idle(u->inst);
}

void
upstream_release(struct upstream *u, bool may_pool)
{
	struct worker *w = u->w;

	u->call.xfer = NULL;
	if (!may_pool || !is_poolable(u)) {
		upstream_close(u, false);
		return;
	}
	upstream_read_forget(u);
	w->busy_n--;
	list_push_head(&u->inst->pools[w->index].idle, &u->idle);
	u->state = UPSTREAM_IDLE;
	if (u->h2 == NULL)
		u->io.ops = &upstream_idle_ops;
	u->until_ns = w->now + u->idle_ns;
	timeq_set(&w->timeq, &u->timer, u->until_ns);
}

void
upstream_shed_waited(struct upstream *u)
{
	if (__builtin_expect(limiter_is_permit_waited(u->inst), 0) && u->state == UPSTREAM_IDLE)
		upstream_close(u, false);
}

void
upstream_shed_excess(struct worker *w, struct instance *inst)
{
	struct list *idle = &inst->pools[w->index].idle;
	struct list_node *node, *tmp;

	LIST_FOREACH(idle, node, tmp) {
		struct upstream *u = container_of(node, struct upstream, idle);

		if (u->address != instance_address(inst) || !limiter_may_idle(inst) ||
		    instance_is_closed_by(inst, SLOTS_UNREADY))
			upstream_close(u, false);
	}
}

void
upstream_shed(struct worker *w, struct instance *inst)
{
	struct list *idle = &inst->pools[w->index].idle;
	struct list_node *node;

	while ((node = list_first(idle)) != NULL)
		upstream_close(container_of(node, struct upstream, idle), false);
}

void
upstream_shed_set(struct worker *w, const struct instance_set *set)
{
	uint32_t i;

	for (i = 0; set != NULL && i < set->n; i++)
		upstream_shed(w, set->v[i]);
}

void
upstream_shed_all(struct worker *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->shards, node, tmp)
		upstream_shed_set(w, container_of(node, struct shard, node)->set);
}

/* --- events of idle connections, and time limits --- */

static void
on_timer(struct timeq_entry *e, int64_t now)
{
	struct upstream *u = container_of(e, struct upstream, timer);

	worker_limit_fired(u->w, now);
	if (u->state == UPSTREAM_CARRYING)
		return; /* it was set while the connection was idle */
	if (now < u->until_ns)
		timeq_set(&u->w->timeq, &u->timer, u->until_ns);
	else
		upstream_close(u, u->state == UPSTREAM_ABANDONED);
}

static void
on_ready(struct io *io)
{
	struct upstream *u = container_of(io, struct upstream, io);

	u->w->now = clk_now();
	if (u->state == UPSTREAM_ABANDONED)
		call_h1_read_away(u);
	else if (!io_is_quiet(io)) /* an idle connection has nothing to send */
		upstream_close(u, false);
}

static bool
never(struct io *io)
{
	(void)io;
	return false;
}

/* A deferred write of an abandoned request failed: the next read reports it. */
static void
on_unsent(struct io *io, uint32_t token, int error)
{
	(void)io;
	(void)token;
	(void)error;
}
