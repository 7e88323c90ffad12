#include "activator/xfer.h"

#include <unistd.h>

#include "activator/bounds.h"
#include "activator/cold.h"
#include "activator/conn.h"
#include "activator/failure.h"
#include "activator/http/chunked.h"
#include "activator/limiter.h"
#include "activator/refuse.h"
#include "activator/shard.h"
#include "activator/upstream.h"
#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/log.h"

/* --- states --- */

static const char *const state_names[] = {
#define X(id) [XFER_##id] = #id,
	XFER_STATES(X)
#undef X
};

#define S(id) (1u << XFER_##id)
const uint32_t xfer_plain_moves[XFER_STATES_N] = {
	[XFER_IDLE] = S(ROUTED) | S(DONE) | S(CLOSING),
	[XFER_ROUTED] = S(PERMIT) | S(CONNECTING) | S(EXCHANGE) | S(DONE) | S(CUT),
	[XFER_PERMIT] = S(ROUTED),
	[XFER_CONNECTING] = S(ROUTED) | S(EXCHANGE),
	[XFER_EXCHANGE] = S(ROUTED) | S(TUNNEL) | S(DONE) | S(CUT),
	[XFER_TUNNEL] = S(ROUTED) | S(DONE) | S(CUT),
	[XFER_DONE] = S(IDLE) | S(CLOSING),
};
/* The moves into and out of the states that have a list. */
static const uint32_t list_moves[XFER_STATES_N] = {
	[XFER_IDLE] = S(UNROUTED),
	[XFER_UNROUTED] = S(IDLE) | S(DONE) | S(CUT),
	[XFER_ROUTED] = S(PARKED) | S(STARVED),
	[XFER_PARKED] = S(ROUTED),
	[XFER_STARVED] = S(ROUTED),
};
#undef S

struct conn *
xfer_conn(struct xfer *x)
{
	return container_of(x, struct conn, x);
}

bool
xfer_hold(struct conn *c, bool is_back)
{
	uint32_t bytes = (uint32_t)(sizeof *c + c->x.head_n + c->in.n);

	if (!is_back && !bounds_may_park(c->w->bounds, bytes))
		return false;
	bounds_park(c->w->bounds, bytes);
	c->x.held_bytes = bytes;
	return true;
}

void
xfer_unhold(struct conn *c)
{
	if (c->x.held_bytes > 0)
		bounds_unpark(c->w->bounds, c->x.held_bytes);
	c->x.held_bytes = 0;
}

static void
insert_by_deadline(struct xfer *x)
{
	struct list *parked = &x->shard->parked;
	struct list_node *at = &parked->head;

	while (at->prev != &parked->head &&
	       container_of(at->prev, struct xfer, node)->deadline_ns > x->deadline_ns)
		at = at->prev;
	list_insert_before(parked, at, &x->node);
}

/* Enter the list of the state, if it has one, and count what is counted there. */
static void
join(struct xfer *x)
{
	struct conn *c = xfer_conn(x);

	switch (x->state) {
	case XFER_UNROUTED:
		list_push(&c->w->unrouted, &x->node);
		break;
	case XFER_PARKED:
		x->is_counted = !x->is_serve_only;
		if (x->is_counted)
			shard_parked(x->shard, c->w->now, 1);
		insert_by_deadline(x);
		break;
	case XFER_STARVED:
		list_push(&c->w->starved, &x->node);
		break;
	default:
		break;
	}
}

/* The reverse of join(). */
static void
leave(struct xfer *x)
{
	struct conn *c = xfer_conn(x);

	switch (x->state) {
	case XFER_UNROUTED:
		list_remove(&c->w->unrouted, &x->node);
		xfer_unhold(c);
		break;
	case XFER_PARKED:
		list_remove(&x->shard->parked, &x->node);
		if (x->is_counted)
			shard_parked(x->shard, c->w->now, -1);
		x->is_counted = false;
		xfer_unhold(c);
		break;
	case XFER_STARVED:
		list_remove(&c->w->starved, &x->node);
		break;
	default:
		break;
	}
}

void
xfer_move(struct xfer *x, enum xfer_state to)
{
	CHECK(((xfer_plain_moves[x->state] | list_moves[x->state]) >> to & 1) != 0);
	log_trace(NULL, "request changes state", "from=%s to=%s", state_names[x->state],
		  state_names[to]);
	leave(x);
	x->state = to;
	join(x);
}

/* --- the end --- */

static void
count_end(struct conn *c, enum outcome out)
{
	struct xfer *x = &c->x;
	int64_t now = c->w->now;

	metric_add(&c->w->counters.outcomes[out], 1);
	if (x->shard == NULL)
		return;
	metric_hist_add(&x->shard->duration, now - x->start_ns);
	if (x->is_counted) {
		shard_in_flight(x->shard, now, -1);
		if (out == OUT_OK) {
			x->shard->period_completed++;
			x->shard->period_latency_s += (double)(now - x->sent_ns) / (double)CLK_S;
		}
	}
	x->is_counted = false;
}

/* Count the request's end, and give back what every request holds. */
static void
finish(struct conn *c, enum outcome out)
{
	struct xfer *x = &c->x;

	CHECK(x->upstream == NULL);
	count_end(c, out);
	headbuf_clear(&x->head, &c->w->heads);
	chunked_free(&x->chunked);
	x->shard = NULL;
	x->route = NULL;
	x->service = NULL;
	snapshot_unref(&x->snapshot);
}

void
xfer_end(struct conn *c, enum outcome out)
{
	finish(c, out);
	xfer_set_state(&c->x, XFER_DONE);
}

void
xfer_cut(struct conn *c, enum outcome out, bool is_reset)
{
	finish(c, out);
	c->x.is_reset = is_reset;
	xfer_set_state(&c->x, XFER_CUT);
}

void
xfer_pace_done(struct xfer *x, struct instance *inst)
{
	if (!x->is_paced)
		return;
	x->is_paced = false;
	limiter_head_seen(inst);
}

void
xfer_let_go(struct conn *c)
{
	struct xfer *x = &c->x;

	switch (x->state) {
	case XFER_PARKED:
	case XFER_PERMIT:
		limiter_cancel(&x->waiter);
		x->is_paced = false; /* limiter_cancel() has counted it off */
		if (x->waiter.fd >= 0)
			close(x->waiter.fd);
		x->waiter.fd = -1;
		break;
	case XFER_STARVED:
		x->is_paced = false; /* limiter_decline() counts it off */
		limiter_decline(&x->waiter);
		break;
	default:
		break;
	}
	if (x->upstream != NULL) {
		struct upstream *u = x->upstream;

		x->upstream = NULL;
		xfer_pace_done(x, u->inst);
		u->conn = NULL;
		upstream_close(u, true);
	}
	if (x->route != NULL && x->state != XFER_ROUTED)
		xfer_set_state(x, XFER_ROUTED);
}

/* As xfer_let_go(), where the instance may still be at work on the request: if it has a
 * limit, the slot is free when the instance is done (promise 3). */
static void
let_go_when_done(struct conn *c)
{
	struct xfer *x = &c->x;
	struct upstream *u = x->upstream;
	bool is_done = u != NULL && u->is_done;

	if (!is_done && ((x->state != XFER_EXCHANGE && x->state != XFER_TUNNEL) ||
			 !instance_has_limit(u->inst))) {
		xfer_let_go(c);
		return;
	}
	x->upstream = NULL;
	xfer_pace_done(x, u->inst);
	if (is_done) {
		upstream_release(u, u->is_persistent && list_empty(&c->w->starved));
	} else {
		upstream_abandon(u, conn_limits(c), x->is_counted ? x->shard : NULL, x->sent_ns);
		x->is_counted = false;
	}
	xfer_set_state(x, XFER_ROUTED);
}

void
xfer_client_gone(struct conn *c)
{
	/* The client may have shut its side only, and still read: a response that is not whole
	 * must not end cleanly. */
	bool is_reset = c->x.state == XFER_EXCHANGE && c->x.is_head_written;

	let_go_when_done(c);
	xfer_cut(c, OUT_CLIENT_GONE, is_reset);
}

static void
refuse(struct conn *c, enum outcome out, const char *why, int64_t retry_after_s)
{
	struct xfer *x = &c->x;

	if (out == OUT_REQUEST_TIMEOUT || out == OUT_BODY_TIMEOUT) /* the instance did not fail */
		let_go_when_done(c);
	else
		xfer_let_go(c);
	if (x->is_head_written) { /* no other response can be written: the client sees a cut */
		xfer_cut(c, out, true);
		return;
	}
	if (out == OUT_UPSTREAM_PROTOCOL)
		x->is_persistent = false;
	refuse_write(c, out, why, retry_after_s);
	xfer_end(c, out);
}

void
xfer_refuse(struct conn *c, enum outcome out, const char *why)
{
	refuse(c, out, why, refuse_retry_after(c, out));
}

void
xfer_refuse_failed(struct conn *c, const struct failure *f)
{
	int64_t backoff_ns = f == NULL ? 0 : f->until_ns - c->w->now;

	refuse(c, OUT_ACTIVATION_FAILED, f == NULL ? NULL : f->message,
	       MAX((backoff_ns + CLK_S - 1) / CLK_S, 1));
}

/* --- while it is sent --- */

void
xfer_unsent(struct conn *c, const char *head, size_t n)
{
	CHECK(n == c->x.head_n);
	c->x.is_unsent = true;
	if (c->x.head.data == NULL)
		headbuf_set(&c->x.head, &c->w->heads, head, n);
}

bool
xfer_is_repeatable(const struct xfer *x)
{
	return x->is_unsent || (x->is_idempotent && !x->has_given_body);
}

void
xfer_interim_seen(struct conn *c, uint32_t status)
{
	headbuf_clear(&c->x.head, &c->w->heads); /* a byte of a response came: never sent again */
	if (!c->x.is_expecting || status != 100)
		return;
	c->x.is_expecting = false;
	c->since_ns = c->w->now; /* body_timeout begins */
}

void
xfer_head_seen(struct conn *c)
{
	struct xfer *x = &c->x;

	xfer_pace_done(x, x->upstream->inst);
	if (x->is_cold)
		cold_note(c);
	headbuf_clear(&x->head, &c->w->heads); /* never sent again */
}
