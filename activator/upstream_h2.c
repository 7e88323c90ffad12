#include "activator/upstream_h2.h"

#include <stdlib.h>
#include <string.h>

#include "activator/bounds.h"
#include "activator/call_h2.h"
#include "activator/conn.h"
#include "activator/dispatch.h"
#include "activator/limiter.h"
#include "activator/worker_impl.h"
#include "common/clk.h"

#define READS_A_TURN 4 /* so that the other connections of the worker have their turn */
#define WRITES_A_ROUND 4
#define CANCELLED_MOST 100 /* an instance may allow any number of streams */
#define CONN_WINDOW_LEAST (UINT32_C(1) << 20)

static const struct io_ops ops;

static const char *const end_names[] = {
#define X(id, label) [UPSTREAM_ENDED_##id] = label,
	UPSTREAM_ENDS(X)
#undef X
};

void
upstream_h2_note(struct h2_call *hc)
{
	if (!list_linked(&hc->event))
		list_push(&hc->h2->events, &hc->event);
}

void
upstream_h2_want_write(struct upstream_h2 *h2)
{
	if (!list_linked(&h2->to_write))
		list_push(&h2->u->w->upstreams_to_write, &h2->to_write);
}

/* --- which calls it takes --- */

static struct instance_pool *
pool_of(const struct upstream_h2 *h2)
{
	return &h2->u->inst->pools[h2->u->w->index];
}

/* How many streams may be open at once: before the instance has said so, as many as it took on its
 * last connection. */
static uint32_t
streams_most(const struct upstream_h2 *h2)
{
	return !h2->has_settings && pool_of(h2)->knows_streams
		       ? pool_of(h2)->streams_most
		       : h2_client_streams_most(h2->session);
}

static bool
has_room(const struct upstream_h2 *h2)
{
	return !h2->is_ending && h2->cancelled_n < CANCELLED_MOST &&
	       h2->calls.n + h2->cancelled_n < streams_most(h2);
}

/* The list of the connections that carry calls and take more. */
static struct list *
open_list(const struct upstream_h2 *h2)
{
	return &pool_of(h2)->open;
}

void
upstream_h2_settle(struct upstream_h2 *h2)
{
	struct upstream *u = h2->u;
	bool is_open = h2->calls.n > 0 && has_room(h2);

	if (!io_is_open(&u->io))
		return;
	if (list_linked(&h2->open) && !is_open)
		list_remove(open_list(h2), &h2->open);
	else if (!list_linked(&h2->open) && is_open)
		list_push_head(open_list(h2), &h2->open);
	if (h2->calls.n == 0 && u->state == UPSTREAM_CARRYING)
		upstream_release(u, has_room(h2) && h2->reached == UPSTREAM_CONNECTED);
	else if (h2->calls.n == 0 && h2->is_ending)
		upstream_close(u, h2->is_lost);
}

void
upstream_h2_retire(struct upstream_h2 *h2, enum upstream_ended why)
{
	if (h2->is_ending)
		return;
	h2->is_ending = true;
	h2->end = why;
}

struct call *
upstream_h2_call(struct upstream *u)
{
	struct upstream_h2 *h2 = u->h2;
	struct h2_call *hc = call_h2_new(h2);

	hc->call.is_reused = h2->has_carried;
	h2->has_carried = true;
	upstream_h2_settle(h2);
	return &hc->call;
}

struct call *
upstream_h2_take(struct worker *w, struct instance *inst, const struct revision_limits *limits)
{
	struct list *open = &inst->pools[w->index].open;
	struct list_node *node, *tmp;

	LIST_FOREACH(open, node, tmp) {
		struct upstream_h2 *h2 = container_of(node, struct upstream_h2, open);

		if (h2->u->address == instance_address(inst) && h2->u->trust == limits->trust) {
			metric_add(&w->counters.upstream_reuses, 1);
			return upstream_h2_call(h2->u);
		}
	}
	return NULL;
}

/* --- the end of it --- */

void
upstream_h2_close(struct upstream *u)
{
	struct upstream_h2 *h2 = u->h2;
	struct worker *w = u->w;
	struct list_node *node;

	if (list_linked(&h2->open))
		list_remove(open_list(h2), &h2->open);
	if (list_linked(&h2->to_write))
		list_remove(&w->upstreams_to_write, &h2->to_write);
	while ((node = list_first(&h2->calls)) != NULL) {
		struct h2_call *hc = container_of(node, struct h2_call, node);
		bool has_slot = hc->has_slot;

		CHECK(hc->call.xfer == NULL);
		call_h2_free(hc);
		if (has_slot)
			limiter_give_back(u->inst);
	}
	if (!h2->is_lost && h2->reached == UPSTREAM_CONNECTED && !io_is_blocked(&u->io)) {
		struct iovec iov = {.iov_base = w->frame_buf};
		ssize_t n;

		h2_client_goaway(h2->session, H2_NO_ERROR);
		n = h2_client_write(h2->session, w->frame_buf, WORKER_FRAMES);
		iov.iov_len = (size_t)MAX(n, 0);
		if (n > 0 && io_write(&u->io, &iov, 1) < 0)
			h2->is_lost = true;
	}
	if (!h2->is_ending)
		h2->end = h2->reached == UPSTREAM_CONNECTED ? UPSTREAM_ENDED_IDLE
							    : UPSTREAM_ENDED_CONNECT;
	metric_add(&w->counters.upstream_ended[h2->end], 1);
	metric_add(&w->counters.upstream_h2_connections, (uint64_t)-1);
	bounds_drop_stream_bytes(w->bounds, H2_CONN_BYTES);
}

void
upstream_h2_free(struct upstream *u)
{
	h2_client_free(&u->h2->session);
	free(u->h2);
	u->h2 = NULL;
}

void
upstream_h2_cut(struct upstream *u)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&u->h2->calls, node, tmp)
		if (container_of(node, struct h2_call, node)->call.xfer != NULL)
			return;
	upstream_close(u, true);
}

/* --- events of calls --- */

/* It is connected.  The time is the connection's, not the request's: if an instance never sends
 * SETTINGS, only those wait that come first. */
static int64_t
waits_until(const struct h2_call *hc)
{
	return hc->h2->connected_ns + xfer_limits(hc->call.xfer)->connect_timeout / 2;
}

/* Until the instance has said how many streams it takes, and whether it takes WebSockets, one
 * request goes ahead, and the others wait; not for ever. */
static bool
must_wait(const struct h2_call *hc)
{
	const struct upstream_h2 *h2 = hc->h2;
	const struct xfer *x = hc->call.xfer;

	if (h2->has_settings || (!x->is_upgrade && (!h2->has_sent || pool_of(h2)->knows_streams)))
		return false;
	return x->w->now < waits_until(hc);
}

/* Are as many streams open as the instance takes? */
static bool
is_full(const struct upstream_h2 *h2)
{
	uint32_t most = streams_most(h2), n = 0;
	const struct list_node *node;

	if (h2->calls.n <= most)
		return false;
	for (node = h2->calls.head.next; node != &h2->calls.head; node = node->next) {
		const struct h2_call *hc = container_of((void *)(uintptr_t)node, struct h2_call,
							node);

		n += hc->id > 0 && !hc->is_closed;
	}
	return n > 0 && n >= most;
}

/* CONNECTING: what has become of it. */
static enum upstream_reached
reached(const struct h2_call *hc)
{
	const struct upstream_h2 *h2 = hc->h2;

	if (h2->is_lost && h2->reached == UPSTREAM_CONNECTED)
		return UPSTREAM_BROKEN;
	if (h2->reached != UPSTREAM_CONNECTED)
		return h2->reached;
	if (must_wait(hc))
		return UPSTREAM_NOT_YET;
	if (h2->is_ending)
		return UPSTREAM_ENDING;
	return is_full(h2) ? UPSTREAM_FULL : UPSTREAM_CONNECTED;
}

bool
upstream_h2_is_connected(const struct call *call)
{
	const struct h2_call *hc = container_of((void *)(uintptr_t)call, struct h2_call, call);

	return hc->h2->reached == UPSTREAM_CONNECTED && !must_wait(hc);
}

/* It may wait for SETTINGS: look at it when that is over. */
static void
arm_wait(struct h2_call *hc)
{
	if (hc->h2->reached == UPSTREAM_CONNECTED && !hc->h2->has_settings)
		timeq_set(&hc->w->timeq, &hc->timer, waits_until(hc));
}

void
upstream_h2_attached(struct call *call)
{
	struct h2_call *hc = container_of(call, struct h2_call, call);

	hc->has_slot = true;
	/* A second connection that breaks off is the instance's doing, and counts as a try. */
	call->is_reused = call->is_reused && !call->xfer->needs_new_connection;
	call->abort_ns = xfer_limits(call->xfer)->abort_timeout;
	arm_wait(hc);
}

static void
look_at(struct h2_call *hc)
{
	struct xfer *x = hc->call.xfer;

	if (x == NULL) {
		if (hc->is_closed && (hc->ping == 0 || hc->is_acked || hc->h2->is_lost))
			call_h2_end(hc);
		return;
	}
	if (x->state == XFER_CONNECTING) {
		if (reached(hc) == UPSTREAM_NOT_YET)
			return;
		dispatch_connected(x, reached(hc));
	} else {
		dispatch_upstream_ready(x);
	}
	conn_advance(x);
}

/* The connection may be closed by this. */
static void
run_events(struct upstream_h2 *h2)
{
	struct list_node *node;
	size_t n;

	for (n = h2->events.n; n > 0 && (node = list_pop(&h2->events)) != NULL; n--)
		look_at(container_of(node, struct h2_call, event));
	if (io_is_open(&h2->u->io) && h2->events.n > 0)
		io_yield(&h2->u->io);
}

static void
note_all(struct upstream_h2 *h2)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&h2->calls, node, tmp)
		upstream_h2_note(container_of(node, struct h2_call, node));
}

/* The connection has broken off, or cannot go on: all streams that are open end with it. */
static void
lost(struct upstream_h2 *h2, enum upstream_ended why)
{
	struct upstream *u = h2->u;
	struct list_node *node, *tmp;
	size_t open_n = 0;

	if (h2->is_lost)
		return;
	upstream_h2_retire(h2, why);
	h2->is_lost = true;
	LIST_FOREACH(&h2->calls, node, tmp) {
		struct h2_call *hc = container_of(node, struct h2_call, node);

		if (hc->is_closed)
			continue;
		hc->is_closed = true;
		hc->code = H2_INTERNAL_ERROR;
		hc->call.is_broken = !hc->is_in_ended;
		open_n++;
	}
	if (open_n > 0 || h2->end == UPSTREAM_ENDED_PROTOCOL)
		log_warn_limited(&u->inst->tag,
				 "a connection of HTTP/2 to an instance has broken off",
				 "address=%s reason=%s code=%u streams=%zu", u->address->text,
				 end_names[h2->end], h2_client_error(h2->session), open_n);
	note_all(h2);
	run_events(h2);
	upstream_h2_settle(h2);
}

/* Why the session has come to its end. */
static enum upstream_ended
end_of(const struct upstream_h2 *h2)
{
	switch (h2_client_error(h2->session)) {
	case H2_NO_ERROR:
		return UPSTREAM_ENDED_GOAWAY;
	case H2_ENHANCE_YOUR_CALM:
		return UPSTREAM_ENDED_FLOOD;
	default:
		return UPSTREAM_ENDED_PROTOCOL;
	}
}

/* --- writing --- */

/* True: the connection has ended. */
static bool
write_frames(struct upstream_h2 *h2)
{
	struct upstream *u = h2->u;
	struct worker *w = u->w;
	bool is_drained = false;
	int writes = 0;

	if (h2->reached != UPSTREAM_CONNECTED || h2->is_lost)
		return false;
	while (!io_is_blocked(&u->io)) {
		struct iovec iov = {.iov_base = w->frame_buf};
		ssize_t n;

		if (writes++ == WRITES_A_ROUND) {
			upstream_h2_want_write(h2);
			io_yield(&u->io);
			break;
		}
		n = h2_client_write(h2->session, w->frame_buf, WORKER_FRAMES);
		iov.iov_len = (size_t)MAX(n, 0);
		if (n < 0 || (n > 0 && io_write_deferred(&u->io, &iov, 1, 0) < 0)) {
			lost(h2, n < 0 ? UPSTREAM_ENDED_PROTOCOL : UPSTREAM_ENDED_INSTANCE);
			return true;
		}
		is_drained = n < (ssize_t)(WORKER_FRAMES - H2_WRITE_LEAST);
		if (is_drained)
			break;
	}
	if (h2->events.n > 0)
		io_yield(&u->io);
	if (h2_client_is_over(h2->session) && !io_is_blocked(&u->io)) {
		lost(h2, end_of(h2));
		return true;
	}
	if (is_drained && h2->cancelled_n > 0) {
		h2->cancelled_n = 0;
		upstream_h2_settle(h2);
	}
	return false;
}

bool
upstream_h2_write_all(struct worker *w)
{
	bool has_ended = false;
	size_t n;

	for (n = w->upstreams_to_write.n; n > 0 && w->upstreams_to_write.n > 0; n--)
		has_ended |= write_frames(container_of(list_pop(&w->upstreams_to_write),
						       struct upstream_h2, to_write));
	return has_ended;
}

/* --- reading --- */

/* Read into buf, of `room` bytes. */
static void
read_into(struct upstream_h2 *h2, char *buf, size_t room)
{
	struct upstream *u = h2->u;
	int turn = 0;

	while (io_is_open(&u->io) && u->io.can_read && !h2->is_lost) {
		ssize_t got;
		int rc;

		if (turn++ == READS_A_TURN) {
			io_yield(&u->io);
			return;
		}
		got = io_read(&u->io, buf, room);
		if (got == IO_NOTHING)
			return;
		if (got < 0) {
			lost(h2, UPSTREAM_ENDED_INSTANCE);
			return;
		}
		h2->is_small = (size_t)got < IO_AHEAD;
		h2->is_asked = false;
		h2->read_ns = u->w->now;
		rc = h2_client_feed(h2->session, buf, (size_t)got);
		io_expect_more(&u->io);
		upstream_h2_want_write(h2); /* acknowledgements, windows */
		run_events(h2);
		if (rc < 0 && io_is_open(&u->io)) {
			lost(h2, end_of(h2));
			return;
		}
		if (io_is_open(&u->io))
			upstream_h2_settle(h2);
	}
}

static void
read_frames(struct upstream_h2 *h2)
{
	read_into(h2, h2->u->w->read_buf, WORKER_BUFFER);
}

/* The body of the request that looks for a connection may stand in the worker's read buffer. */
bool
upstream_h2_is_usable(struct upstream *u)
{
	read_into(u->h2, u->w->frame_buf, WORKER_FRAMES);
	return io_is_open(&u->io) && has_room(u->h2);
}

static void
arm_waits(struct upstream_h2 *h2)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&h2->calls, node, tmp) {
		struct h2_call *hc = container_of(node, struct h2_call, node);

		if (hc->call.xfer != NULL)
			arm_wait(hc);
	}
}

/* False: it is not connected yet, or has failed. */
static bool
finish_connect(struct upstream_h2 *h2)
{
	struct upstream *u = h2->u;

	h2->reached = upstream_finish_connect(u);
	if (h2->reached == UPSTREAM_NOT_YET)
		return false;
	note_all(h2);
	if (h2->reached == UPSTREAM_CONNECTED) {
		h2->connected_ns = u->w->now;
		arm_waits(h2);
		return true;
	}
	upstream_h2_retire(h2, UPSTREAM_ENDED_CONNECT);
	h2->is_lost = true;
	run_events(h2);
	upstream_h2_settle(h2);
	return false;
}

static void
on_ready(struct io *io)
{
	struct upstream *u = container_of(io, struct upstream, io);
	struct upstream_h2 *h2 = u->h2;

	u->w->now = clk_now();
	if (h2->reached == UPSTREAM_NOT_YET && !finish_connect(h2))
		return;
	if (!h2->is_lost &&
	    (io->is_cut || (io_is_blocked(io) && io->can_write && io_flush(io) < 0))) {
		lost(h2, UPSTREAM_ENDED_INSTANCE);
		return;
	}
	if (!h2->is_lost)
		upstream_h2_want_write(h2);
	run_events(h2);
	read_frames(h2);
}

static bool
never(struct io *io)
{
	(void)io;
	return false;
}

static bool
is_small_read_next(struct io *io)
{
	const struct upstream *u = container_of(io, struct upstream, io);

	return u->h2->is_small && u->h2->reached == UPSTREAM_CONNECTED && !io_is_blocked(io);
}

/* No request may go on here: see io_round_write(). */
static void
on_unsent(struct io *io, uint32_t token, int error)
{
	(void)token;
	if (error != 0) /* io->is_cut */
		io_yield(io);
}

static const struct io_ops ops = {
	.on_ready = on_ready,
	.is_new_work = never,
	.is_small_read_next = is_small_read_next,
	.on_unsent = on_unsent,
};

void
upstream_h2_begin(struct upstream *u)
{
	struct worker *w = u->w;
	const struct h2_client_conf conf = {
		.window = (uint32_t)w->conf->h2_stream_window,
		.conn_window = MAX((uint32_t)w->conf->h2_stream_window, CONN_WINDOW_LEAST),
		.header_list = (uint32_t)w->conf->h2_header_list,
	};
	struct upstream_h2 *h2 = xcalloc(1, sizeof *h2);

	worker_begin_h2(w);
	h2->u = u;
	h2->session = h2_client_new(&conf, w->h2_shared, &call_h2_session_ops, h2);
	list_init(&h2->calls);
	list_init(&h2->events);
	h2->reached = u->io.is_connecting || io_is_handshaking(&u->io) ? UPSTREAM_NOT_YET
								       : UPSTREAM_CONNECTED;
	h2->connected_ns = w->now;
	u->h2 = h2;
	u->io.ops = &ops;
	metric_add(&w->counters.upstream_h2_connections, 1);
	if (!bounds_add_stream_bytes(w->bounds, H2_CONN_BYTES))
		log_warn_limited(&u->inst->tag, "connections of HTTP/2 use up max_stream_bytes",
				 "address=%s", u->address->text);
	upstream_h2_want_write(h2);
}
