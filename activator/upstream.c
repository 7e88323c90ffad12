/* upstream - connections to instances: connecting, the pool of idle ones, and holding
 * on to the slot of a request whose client has left. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/net/tcp.h"
#include "activator/plane.h"
#include "common/clk.h"

static void on_ready(struct io *);
static bool may_wait(struct io *);
static bool is_head_next(struct io *);
static void on_unsent(struct io *, const char *data, size_t n, int error);
static void on_timer(struct timeq_entry *, int64_t now);

static const struct io_ops ops = {
	.on_ready = on_ready,
	.may_wait = may_wait,
	.is_head_next = is_head_next,
	.on_unsent = on_unsent,
};

static struct upstream *
make(struct worker *w, struct instance *inst, int fd, bool is_connecting)
{
	struct upstream *u = slab_get(&w->upstream_slab);

	u->w = w;
	u->inst = instance_ref(inst);
	u->state = is_connecting ? UPSTREAM_CONNECTING : UPSTREAM_BUSY;
	u->connect_ns = w->now;
	u->read_size = PLANE_BUFFER;
	u->timer.fn = on_timer;
	list_push(&w->upstreams, &u->node);
	w->busy_n++;
	metric_add(&w->counters.upstream_connections, 1);
	atomic_fetch_add_explicit(&w->bounds->upstreams, 1, memory_order_relaxed);
	io_open(&u->io, w->round, fd, is_connecting, &ops);
	return u;
}

/* A few descriptors are left to the prober, the link and the admin endpoint. */
static bool
is_full(const struct bounds *b)
{
	return atomic_load_explicit(&b->connections, memory_order_relaxed) +
		       atomic_load_explicit(&b->upstreams, memory_order_relaxed) >=
	       b->max_sockets;
}

struct upstream *
upstream_connect(struct worker *w, struct instance *inst)
{
	int fd;

	metric_add(&w->counters.upstream_connects, 1);
	if (is_full(w->bounds)) {
		errno = EMFILE;
		return NULL;
	}
	fd = tcp_socket(&inst->addr);
	if (fd < 0)
		return NULL;
	if (tcp_connect(fd, &inst->addr) < 0) {
		int code = errno;

		close(fd);
		errno = code;
		return NULL;
	}
	return make(w, inst, fd, true);
}

struct upstream *
upstream_adopt(struct worker *w, struct instance *inst, int fd)
{
	return make(w, inst, fd, false);
}

static void
forget_response(struct upstream *u)
{
	chunked_free(&u->chunked);
	free(u->in);
	u->in = NULL;
	u->in_n = 0;
	u->in_seen = 0;
	u->is_head_read = false;
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

	slab_put(&u->w->upstream_slab, u);
}

void
upstream_close(struct upstream *u, bool abort)
{
	struct worker *w = u->w;

	CHECK(io_is_open(&u->io) && u->conn == NULL);
	unlist(u);
	if (u->shard != NULL)
		shard_in_flight(u->shard, w->now, -1);
	u->shard = NULL;
	forget_response(u);
	timeq_clear(&w->timeq, &u->timer);
	io_close(&u->io, abort);
	metric_add(&w->counters.upstream_connections, (uint64_t)-1);
	atomic_fetch_sub_explicit(&w->bounds->upstreams, 1, memory_order_relaxed);
	if (u->has_permit)
		limiter_permit_back(u->inst);
	if (u->has_slot)
		limiter_give_back(u->inst);
	u->has_slot = u->has_permit = false;
	instance_unref(&u->inst);
	loop_defer(w->loop, u, free_upstream);
}

/* --- the pool --- */

struct upstream *
upstream_take_idle(struct worker *w, struct instance *inst)
{
	struct list *idle = &inst->pools[w->index].idle;
	struct list_node *node;

	while ((node = list_first(idle)) != NULL) {
		struct upstream *u = container_of(node, struct upstream, idle);

		/* Bytes or an end on an idle connection: it is no use any more. */
		if (u->io.is_hup || u->io.can_read || w->now >= u->until_ns) {
			upstream_close(u, false);
			continue;
		}
		list_remove(idle, node);
		w->busy_n++;
		u->state = UPSTREAM_BUSY;
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
	io_yield(&u->io); /* the event of its end may be long gone */
}

void
upstream_attach(struct upstream *u, struct conn *c)
{
	const struct limits *l = conn_limits(c);

	u->conn = c;
	u->has_slot = true;
	u->is_head_method = c->x.is_head_method;
	u->is_upgrade = c->x.is_upgrade;
	u->idle_ns = l->upstream_idle_timeout;
	c->x.up = u;
}

/* Where requests wait for descriptors: is it of use to the first of them? */
static bool
is_spared(const struct upstream *u)
{
	struct list_node *node = list_first(&u->w->starved);

	return node == NULL || container_of(node, struct xfer, node)->waiter.inst == u->inst;
}

static bool
may_pool(const struct upstream *u)
{
	return !u->w->is_draining && is_spared(u) && u->idle_ns > 0 && instance_is_open(u->inst) &&
	       limiter_may_idle(u->inst);
}

void
upstream_release(struct upstream *u, bool is_reusable)
{
	struct worker *w = u->w;
	struct instance *inst = u->inst;

	u->conn = NULL;
	if (!is_reusable || !may_pool(u)) {
		upstream_close(u, false);
		return;
	}
	forget_response(u);
	w->busy_n--;
	list_push_head(&inst->pools[w->index].idle, &u->idle);
	u->state = UPSTREAM_IDLE;
	u->until_ns = w->now + u->idle_ns;
	timeq_set(&w->timeq, &u->timer, u->until_ns);
	/* The connection first, the slot after it: whoever gets the slot finds the
	 * connection. */
	u->has_slot = false;
	limiter_give_back(inst);
	/* A permit may have been asked for between the look and the list. */
	if (__builtin_expect(!limiter_may_idle(inst), 0) && u->state == UPSTREAM_IDLE)
		upstream_close(u, false);
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

/* --- a client that left --- */

void
upstream_abandon(struct upstream *u, struct conn *c)
{
	const struct limits *l = conn_limits(c);

	u->conn = NULL;
	u->state = UPSTREAM_ABANDONED;
	if (c->x.is_counted) { /* its slot is still taken: the count goes with it */
		u->shard = c->x.shard;
		c->x.is_counted = false;
	}
	if (c->x.state == XFER_TUNNEL) { /* what comes is no response, and ends at its close */
		u->is_head_read = true;
		u->framing = FRAMING_CLOSE;
	}
	u->abort_ns = l->abort_timeout;
	u->until_ns = u->w->now + (u->is_head_read ? u->abort_ns : l->response_timeout);
	timeq_set(&u->w->timeq, &u->timer, u->until_ns);
	io_shutdown(&u->io);
	relay_drop(u);
}

static void
on_timer(struct timeq_entry *e, int64_t now)
{
	struct upstream *u = container_of(e, struct upstream, timer);

	u->w->now = now;
	if (u->state != UPSTREAM_IDLE && u->state != UPSTREAM_ABANDONED)
		return; /* set when it was idle; its request has limits of its own */
	if (now < u->until_ns)
		timeq_set(&u->w->timeq, &u->timer, u->until_ns);
	else
		upstream_close(u, u->state == UPSTREAM_ABANDONED);
}

/* --- events --- */

static void
on_connecting(struct upstream *u)
{
	int rc = io_connected(&u->io);

	if (rc > 0)
		return;
	if (rc < 0 || tcp_is_self_connected(u->io.fd, &u->inst->addr)) {
		xfer_upstream_failed(u->conn, true);
		return;
	}
	u->state = UPSTREAM_BUSY;
	xfer_connected(u->conn);
	if (u->io.can_read) /* an answer in the same event: no other will tell of it */
		io_yield(&u->io);
}

static void
on_busy(struct upstream *u)
{
	struct conn *c = u->conn;

	if (io_is_blocked(&u->io)) {
		int rc = io_flush(&u->io);

		if (rc < 0)
			upstream_broken(u);
		else if (rc == 1 && c->x.state == XFER_EXCHANGE)
			relay_request(c);
	}
	if (u->conn != c || !io_is_open(&u->io))
		return;
	if (c->x.state == XFER_TUNNEL)
		relay_tunnel(c);
	else
		relay_response(u);
}

static void
on_ready(struct io *io)
{
	struct upstream *u = container_of(io, struct upstream, io);
	struct conn *c = u->conn;

	u->w->now = clk_now();
	switch (u->state) {
	case UPSTREAM_CONNECTING:
		on_connecting(u);
		break;
	case UPSTREAM_BUSY:
		on_busy(u);
		break;
	case UPSTREAM_IDLE:
		if (io->is_hup || io->can_read)
			upstream_close(u, false);
		break;
	case UPSTREAM_ABANDONED:
		relay_drop(u);
		break;
	}
	if (c != NULL)
		conn_advance(c);
}

static bool
may_wait(struct io *io)
{
	(void)io;
	return false;
}

static bool
is_head_next(struct io *io)
{
	const struct upstream *u = container_of(io, struct upstream, io);

	return u->state == UPSTREAM_BUSY && u->is_small && !u->is_head_read && u->in_n == 0 &&
	       !io_is_blocked(&u->conn->io) && u->conn->x.state == XFER_EXCHANGE;
}

/* Of a request that is its head alone. */
static void
on_unsent(struct io *io, const char *data, size_t n, int error)
{
	struct upstream *u = container_of(io, struct upstream, io);

	if (error == 0 || u->state != UPSTREAM_BUSY)
		return;
	if (u->conn->x.state == XFER_EXCHANGE && !u->is_head_read)
		xfer_unsent(u->conn, data, n);
	upstream_broken(u);
}
