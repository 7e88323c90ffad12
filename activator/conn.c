#include "activator/conn.h"

#include "activator/bounds.h"
#include "activator/codec.h"
#include "activator/conn_h1.h"
#include "activator/dispatch.h"
#include "activator/net/tls.h"
#include "activator/upstream.h"
#include "common/clk.h"

/* What one connection may do in one turn, so that the others of the worker have theirs. */
#define LINGER_READS 4

#define LINGER_NS (2 * CLK_S) /* how long a client may go on sending after its answer */

/* --- from its opening to its end --- */

int
conn_open(struct worker *w, int fd, const struct addr *peer, bool is_tls_at_proxy,
	  const struct listen_spec *spec)
{
	struct conn *c = slab_get(&w->conn_slab);

	if (io_open(&c->io, w->round, fd, false, &conn_h1_ops) < 0) {
		slab_put(&w->conn_slab, c);
		return -1;
	}
	c->w = w;
	c->is_local = spec->is_local;
	if (spec->is_tls)
		tls_accept(w->tls, &c->io);
	c->peer = *peer;
	c->is_peer_v6 = peer->ss.ss_family == AF_INET6;
	c->is_peer_ip = addr_is_ip(peer);
	c->is_tls_at_proxy = is_tls_at_proxy;
	addr_format_host(peer, c->peer_text);
	c->peer_text_n = (uint8_t)strlen(c->peer_text);
	c->since_ns = w->now;
	c->idle_timeout = w->conf->limits.idle_timeout;
	c->body_timeout = w->conf->limits.body_timeout;
	list_push(&w->conns, &c->node);
	metric_add(&w->counters.connections, 1);
	bounds_connected(w->bounds);
	conn_h1_begin(c);
	return 0;
}

static void
free_conn(void *arg)
{
	struct conn *c = arg;

	slab_put(&c->w->conn_slab, c);
}

void
conn_close(struct conn *c, bool abort)
{
	struct worker *w = c->w;

	timeq_clear(&w->timeq, &c->timer);
	io_flush_deferred(&c->io);
	/* A response that the client has not taken in whole must not end cleanly. */
	io_close(&c->io, abort || io_is_blocked(&c->io));
	list_remove(&w->conns, &c->node);
	clients_leave(&w->clients, c->peer_text);
	metric_add(&w->counters.connections, (uint64_t)-1);
	bounds_disconnected(w->bounds);
	loop_defer(w->loop, c, free_conn);
}

int
conn_linger(struct conn *c)
{
	int turn = 0;
	ssize_t got;

	if (io_is_blocked(&c->io))
		return 0;
	if (c->state == CONN_CLOSING) {
		c->state = CONN_LINGERING;
		io_shutdown(&c->io);
		c->since_ns = c->w->now;
	}
	do {
		got = io_read(&c->io, c->w->read_buf, WORKER_BUFFER);
		if (got > 0)
			io_expect_more(&c->io);
	} while (got > 0 && ++turn < LINGER_READS);
	if (got < 0)
		return -1;
	if (got > 0)
		io_yield(&c->io);
	return 0;
}

int64_t
conn_closing_limit(const struct conn *c)
{
	if (c->state == CONN_LINGERING)
		return c->since_ns + LINGER_NS;
	/* The client has not taken the last response yet. */
	return c->since_ns + c->body_timeout;
}

/* --- events of the upstream that carries a request --- */

void
conn_on_late(struct xfer *x)
{
	dispatch_late(x);
	conn_advance(x);
}

static void
on_upstream_ready(struct io *io)
{
	struct xfer *x = container_of(io, struct upstream, io)->call.xfer;

	x->w->now = clk_now();
	dispatch_upstream_ready(x);
	conn_advance(x);
}

static bool
upstream_is_new_work(struct io *io)
{
	(void)io;
	return false;
}

static bool
upstream_is_small_read_next(struct io *io)
{
	const struct upstream *u = container_of(io, struct upstream, io);

	return u->is_small && !u->call.is_head_read && u->in_n == 0 &&
	       !u->call.xfer->is_client_blocked && u->call.xfer->state == XFER_EXCHANGE;
}

static void
on_upstream_unsent(struct io *io, uint32_t token, int error)
{
	struct upstream *u = container_of(io, struct upstream, io);

	if (error == 0)
		return;
	if (token == UPSTREAM_REQUEST && u->call.xfer->state == XFER_EXCHANGE &&
	    !u->call.is_head_read)
		xfer_unsent(u->call.xfer);
	call_h1_broken(u);
}

const struct io_ops conn_upstream_ops = {
	.on_ready = on_upstream_ready,
	.is_new_work = upstream_is_new_work,
	.is_small_read_next = upstream_is_small_read_next,
	.on_unsent = on_upstream_unsent,
};
