#include "activator/upstream.h"

#include <errno.h>
#include <unistd.h>

#include "activator/bounds.h"
#include "activator/limiter.h"
#include "activator/net/tcp.h"
#include "activator/net/tls.h"
#include "activator/net/tls_trust.h"
#include "activator/shard.h"
#include "activator/upstream_read.h"
#include "activator/worker_impl.h"
#include "common/clk.h"

#define READS_A_TURN 4 /* so that the other connections of the worker have their turn */

static void on_ready(struct io *);
static bool never(struct io *);
static void on_unsent(struct io *, uint32_t token, int error);
static void on_timer(struct timeq_entry *, int64_t now);

static const struct io_ops ops = {
	.on_ready = on_ready,
	.is_new_work = never,
	.is_small_read_next = never,
	.on_unsent = on_unsent,
};

/* NULL: the kernel does not watch fd (errno), which is closed. */
static struct upstream *
make(struct worker *w, struct instance *inst, const struct revision_limits *limits,
     const struct instance_address *address, int fd, bool is_connecting)
{
	struct upstream *u = slab_get(&w->upstream_slab);

	if (io_open(&u->io, w->round, fd, is_connecting, &ops) < 0) {
		int code = errno;

		close(fd);
		slab_put(&w->upstream_slab, u);
		errno = code;
		return NULL;
	}
	if (limits->trust != NULL) {
		u->trust = tls_trust_ref(limits->trust);
		tls_connect(w->upstream_tls, &u->io, u->trust, &address->addr);
	}
	tcp_keep_alive(fd, w->conf->tcp_keepalive);
	u->w = w;
	u->inst = instance_ref(inst);
	u->address = address;
	u->state = UPSTREAM_CARRYING;
	u->connect_ns = w->now;
	u->read_size = WORKER_BUFFER;
	u->timer.fn = on_timer;
	list_push(&w->upstreams, &u->node);
	w->busy_n++;
	metric_add(&w->counters.upstream_connections, 1);
	bounds_upstream_opened(w->bounds);
	return u;
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

struct upstream *
upstream_connect(struct worker *w, struct instance *inst, const struct revision_limits *limits)
{
	const struct instance_address *address = instance_address(inst);
	int fd;

	metric_add(&w->counters.upstream_connects, 1);
	/* A few descriptors are left to the prober, the link and the admin endpoint. */
	if (!bounds_may_connect(w->bounds)) {
		errno = EMFILE;
		return NULL;
	}
	if (!has_tls(w, limits))
		return NULL;
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

struct upstream *
upstream_adopt(struct worker *w, struct instance *inst, const struct revision_limits *limits,
	       int fd)
{
	if (has_tls(w, limits))
		return make(w, inst, limits, instance_address(inst), fd, false);
	close(fd);
	errno = EPROTO;
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

	tls_trust_unref(&u->trust);
	instance_unref(&u->inst);
	slab_put(&u->w->upstream_slab, u);
}

void
upstream_close(struct upstream *u, bool abort)
{
	struct worker *w = u->w;

	CHECK(io_is_open(&u->io) && u->xfer == NULL);
	unlist(u);
	if (u->shard != NULL)
		shard_in_flight(u->shard, w->now, -1);
	u->shard = NULL;
	if (u->abandoned != NULL)
		list_remove(u->abandoned, &u->abandoned_node);
	u->abandoned = NULL;
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

struct upstream *
upstream_take_idle(struct worker *w, struct instance *inst, const struct revision_limits *limits)
{
	struct list *idle = &inst->pools[w->index].idle;
	struct list_node *node;

	while ((node = list_first(idle)) != NULL) {
		struct upstream *u = container_of(node, struct upstream, idle);

		/* Bytes or an end on an idle connection: it can carry no request. */
		if (!io_is_quiet(&u->io) || w->now >= u->until_ns ||
		    u->address != instance_address(inst) || u->trust != limits->trust) {
			upstream_close(u, false);
			continue;
		}
		list_remove(idle, node);
		w->busy_n++;
		u->state = UPSTREAM_CARRYING;
		u->is_reused = true;
		metric_add(&w->counters.upstream_reuses, 1);
		return u;
	}
	return NULL;
}

void
upstream_broken(struct upstream *u)
{
	u->is_broken = true;
	io_drop_unsent(&u->io); /* else each of its events would try that write again */
	io_yield(&u->io);	/* no other event may come */
}

void
upstream_attach(struct upstream *u, struct xfer *x)
{
	u->xfer = x;
	u->io.ops = u->w->upstream_ops;
}

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

	u->xfer = NULL;
	if (!may_pool || !is_poolable(u)) {
		upstream_close(u, false);
		return;
	}
	upstream_read_forget(u);
	w->busy_n--;
	list_push_head(&u->inst->pools[w->index].idle, &u->idle);
	u->state = UPSTREAM_IDLE;
	u->io.ops = &ops;
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

/* --- abandoned connections --- */

/* Throw away the response; its end frees the slot. */
static void
read_away(struct upstream *u)
{
	int turn = 0;

	while (u->io.can_read) {
		bool had_head = u->is_head_read;
		size_t have;
		ssize_t got;

		if (turn++ == READS_A_TURN) {
			io_yield(&u->io);
			return;
		}
		have = upstream_read_begin(u);
		got = io_read(&u->io, u->w->read_buf + have, WORKER_BUFFER - have);

		if (got == IO_NOTHING) {
			upstream_read_keep(u, u->w->read_buf, have);
			return;
		}
		if (got < 0 || upstream_read_past(u, have + (size_t)got)) {
			upstream_close(u, got > 0 && !u->is_done);
			return;
		}
		io_expect_more(&u->io);
		if (!had_head && u->is_head_read) { /* abort_timeout begins */
			u->until_ns = u->w->now + u->abort_ns;
			timeq_set(&u->w->timeq, &u->timer, u->until_ns);
		}
	}
}

void
upstream_abandon(struct upstream *u, const struct limits *l, struct shard *shard, int64_t sent_ns)
{
	size_t have;

	u->xfer = NULL;
	u->state = UPSTREAM_ABANDONED;
	u->io.ops = &ops;
	u->shard = shard;
	u->abort_ns = l->abort_timeout;
	/* Send FIN in any case.  What the instance has not taken of the request is dropped: it
	 * cannot process half a request, so its work ends soonest. */
	io_drop_unsent(&u->io);
	io_shutdown(&u->io);
	have = upstream_read_begin(u);
	if (have > 0 && upstream_read_past(u, have)) {
		upstream_close(u, !u->is_done);
		return;
	}
	u->until_ns = u->is_head_read ? u->w->now + u->abort_ns : sent_ns + l->response_timeout;
	timeq_set(&u->w->timeq, &u->timer, u->until_ns);
	read_away(u);
}

static void
on_timer(struct timeq_entry *e, int64_t now)
{
	struct upstream *u = container_of(e, struct upstream, timer);

	u->w->now = now;
	if (u->state == UPSTREAM_CARRYING)
		return; /* it was set while the connection was idle */
	if (now < u->until_ns)
		timeq_set(&u->w->timeq, &u->timer, u->until_ns);
	else
		upstream_close(u, u->state == UPSTREAM_ABANDONED);
}

/* --- events of idle and abandoned connections --- */

static void
on_ready(struct io *io)
{
	struct upstream *u = container_of(io, struct upstream, io);

	u->w->now = clk_now();
	if (u->state == UPSTREAM_ABANDONED)
		read_away(u);
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
