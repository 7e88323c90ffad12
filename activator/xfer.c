#include "activator/xfer.h"

#include <stdlib.h>
#include <string.h>

#include "activator/access_note.h"
#include "activator/bounds.h"
#include "activator/codec.h"
#include "activator/cold.h"
#include "activator/conn.h"
#include "activator/conn_h2.h"
#include "activator/exemplars.h"
#include "activator/failure.h"
#include "activator/http/chunked.h"
#include "activator/http/grpc.h"
#include "activator/limiter.h"
#include "activator/refuse.h"
#include "activator/shard.h"
#include "activator/upstream.h"
#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/request_counts.h"
#include "common/tally.h"

/* --- states --- */

static const char *const state_names[] = {
#define X(id) [XFER_##id] = #id,
	XFER_STATES(X)
#undef X
};

#define S(id) (1u << XFER_##id)
const uint32_t xfer_plain_moves[XFER_STATES_N] = {
	[XFER_NEW] = S(ROUTED) | S(DONE) | S(CUT),
	[XFER_ROUTED] = S(PERMIT) | S(CONNECTING) | S(EXCHANGE) | S(DONE) | S(CUT),
	[XFER_PERMIT] = S(ROUTED),
	[XFER_CONNECTING] = S(ROUTED) | S(EXCHANGE),
	[XFER_EXCHANGE] = S(ROUTED) | S(TUNNEL) | S(DONE) | S(CUT),
	[XFER_TUNNEL] = S(ROUTED) | S(DONE) | S(CUT),
};
/* The moves into and out of the states that have a list. */
static const uint32_t list_moves[XFER_STATES_N] = {
	[XFER_NEW] = S(UNROUTED),
	[XFER_UNROUTED] = S(NEW) | S(DONE) | S(CUT),
	[XFER_ROUTED] = S(PARKED) | S(STARVED) | S(PAUSED),
	[XFER_PARKED] = S(ROUTED),
	[XFER_STARVED] = S(ROUTED),
	[XFER_PAUSED] = S(ROUTED),
};
#undef S

struct xfer *
xfer_new(struct conn *c)
{
	struct xfer *x = slab_get(&c->w->xfer_slab);

	x->w = c->w;
	x->conn = c;
	x->waiter.fd = -1;
	x->waiter.inbox = &c->w->inbox;
	x->start_ns = c->w->now;
	x->client_deadline_ns = INT64_MAX;
	x->grpc_status = -1;
	return x;
}

void
xfer_free(struct xfer **xp)
{
	struct xfer *x = *xp;

	*xp = NULL;
	CHECK(x->state == XFER_DONE || x->state == XFER_CUT);
	slab_put(&x->w->xfer_slab, x);
}

bool
xfer_hold(struct xfer *x, bool is_back)
{
	uint32_t bytes = (uint32_t)(sizeof *x + x->head_n + x->conn->codec->kept_bytes(x) +
				    access_note_bytes(x));

	if (!is_back && (!bounds_may_park(x->w->bounds, bytes) || !x->conn->codec->may_park(x)))
		return false;
	bounds_park(x->w->bounds, bytes);
	x->held_bytes = bytes;
	return true;
}

void
xfer_unhold(struct xfer *x)
{
	if (x->held_bytes > 0)
		bounds_unpark(x->w->bounds, x->held_bytes);
	x->held_bytes = 0;
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

static void
insert_by_retry(struct xfer *x)
{
	struct list *paused = &x->w->paused;
	struct list_node *at = &paused->head;

	while (at->prev != &paused->head &&
	       container_of(at->prev, struct xfer, node)->retry_ns > x->retry_ns)
		at = at->prev;
	list_insert_before(paused, at, &x->node);
}

/* Enter the list of the state, if it has one, and count what is counted there. */
static void
join(struct xfer *x)
{
	switch (x->state) {
	case XFER_UNROUTED:
		list_push(&x->w->unrouted, &x->node);
		break;
	case XFER_PARKED:
		x->is_counted = !x->is_serve_only;
		if (x->is_counted)
			shard_parked(x->shard, x->w->now, 1);
		insert_by_deadline(x);
		break;
	case XFER_STARVED:
		list_push(x->is_crowded ? &x->w->crowded : &x->w->starved, &x->node);
		break;
	case XFER_PAUSED:
		insert_by_retry(x);
		break;
	default:
		break;
	}
}

/* The reverse of join(). */
static void
leave(struct xfer *x)
{
	switch (x->state) {
	case XFER_UNROUTED:
		list_remove(&x->w->unrouted, &x->node);
		xfer_unhold(x);
		break;
	case XFER_PARKED:
		list_remove(&x->shard->parked, &x->node);
		if (x->is_counted)
			shard_parked(x->shard, x->w->now, -1);
		x->is_counted = false;
		xfer_unhold(x);
		break;
	case XFER_STARVED:
		list_remove(x->is_crowded ? &x->w->crowded : &x->w->starved, &x->node);
		x->is_crowded = false;
		break;
	case XFER_PAUSED:
		list_remove(&x->w->paused, &x->node);
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

/* How an end counts for its revision: by the status that the instance has answered, or as this;
 * what is not named here as one of the others. */
#define BY_STATUS TALLY_ENDS_N
static const uint8_t tallied_as[OUTCOMES_N] = {
	[OUT_OK] = BY_STATUS,
	[OUT_UPGRADED] = TALLY_1XX,
	[OUT_CLIENT_GONE] = TALLY_ABANDONED,
	[OUT_UPSTREAM_BROKEN] = TALLY_FAILED,
	[OUT_STALLED] = TALLY_FAILED,
	[OUT_QUEUE_FULL] = TALLY_FAILED,
	[OUT_ACTIVATION_FAILED] = TALLY_FAILED,
	[OUT_ACTIVATION_TIMEOUT] = TALLY_FAILED,
	[OUT_UPSTREAM_FAILED] = TALLY_FAILED,
	[OUT_UPSTREAM_REFUSED] = TALLY_FAILED,
	[OUT_UPSTREAM_PROTOCOL] = TALLY_FAILED,
	[OUT_RESPONSE_TIMEOUT] = TALLY_FAILED,
	[OUT_REQUEST_TIMEOUT] = TALLY_FAILED,
};

/* The same for usage. */
static const uint8_t ended_as[OUTCOMES_N] = {
	[OUT_OK] = REQUEST_ENDS_N,
	[OUT_UPGRADED] = REQUEST_1XX,
	[OUT_CLIENT_GONE] = REQUEST_CLIENT_GONE,
	[OUT_UPSTREAM_BROKEN] = REQUEST_BROKEN,
	[OUT_STALLED] = REQUEST_STALLED,
	[OUT_ANSWERED] = REQUEST_REFUSED_OTHER,
	[OUT_PROBED] = REQUEST_REFUSED_OTHER, /* never of a revision */
	[OUT_WAITING_PAGE] = REQUEST_WAITING_PAGE,
	[OUT_REDIRECTED] = REQUEST_REFUSED_OTHER,
	[OUT_BAD_REQUEST] = REQUEST_REFUSED_OTHER,
	[OUT_HEAD_TOO_LARGE] = REQUEST_REFUSED_OTHER,
	[OUT_URI_TOO_LONG] = REQUEST_REFUSED_OTHER,
	[OUT_VERSION] = REQUEST_REFUSED_OTHER,
	[OUT_METHOD] = REQUEST_REFUSED_OTHER,
	[OUT_EXPECTATION] = REQUEST_REFUSED_OTHER,
	[OUT_MAX_FORWARDS] = REQUEST_REFUSED_OTHER,
	[OUT_NO_ROUTE] = REQUEST_REFUSED_OTHER,
	[OUT_MISDIRECTED] = REQUEST_REFUSED_OTHER,
	[OUT_HEAD_TIMEOUT] = REQUEST_REFUSED_OTHER,
	[OUT_BODY_TIMEOUT] = REQUEST_REFUSED_OTHER,
	[OUT_QUEUE_FULL] = REQUEST_QUEUE_FULL,
	[OUT_NOT_ACTIVE] = REQUEST_NOT_ACTIVE,
	[OUT_ACTIVATION_FAILED] = REQUEST_ACTIVATION_FAILED,
	[OUT_ACTIVATION_TIMEOUT] = REQUEST_ACTIVATION_TIMEOUT,
	[OUT_DEADLINE] = REQUEST_DEADLINE,
	[OUT_UPSTREAM_FAILED] = REQUEST_UPSTREAM_FAILED,
	[OUT_UPSTREAM_REFUSED] = REQUEST_UPSTREAM_REFUSED,
	[OUT_UPSTREAM_PROTOCOL] = REQUEST_UPSTREAM_PROTOCOL,
	[OUT_RESPONSE_TIMEOUT] = REQUEST_RESPONSE_TIMEOUT,
	[OUT_REQUEST_TIMEOUT] = REQUEST_REQUEST_TIMEOUT,
	[OUT_SHUTTING_DOWN] = REQUEST_SHUTTING_DOWN,
};
/* The classes of answers have the same numbers. */
_Static_assert(REQUEST_1XX == TALLY_1XX - 1 && REQUEST_5XX == TALLY_5XX - 1, "classes");

static void
count_usage(struct xfer *x, enum outcome out)
{
	unsigned end = ended_as[out];

	if (end == REQUEST_ENDS_N) /* a status of 6xx and above is as odd as none */
		end = MIN(MAX(x->answered_as, TALLY_1XX), TALLY_5XX) - 1u;
	shard_counts(x->shard)->ends[end]++;
}

/* A call of gRPC has HTTP's status 200, whatever it comes to: that stands in its own status.  One
 * that ends without is UNKNOWN to its client. */
static unsigned
answered_as(const struct xfer *x)
{
	return x->is_grpc && x->answered_as == TALLY_2XX
		       ? tally_end_of(grpc_http_status(x->grpc_status))
		       : x->answered_as;
}

static void
note_end(struct xfer *x, enum outcome out, int64_t duration_ns)
{
	unsigned end = tallied_as[out];

	if (x->is_serve_only)
		return;
	if (end == BY_STATUS)
		end = answered_as(x);
	else if (out == OUT_DEADLINE && x->parked_ns != 0) /* it waited for an instance */
		end = TALLY_FAILED;
	if (x->shard->tally == NULL)
		x->shard->tally = xcalloc(1, sizeof *x->shard->tally);
	tally_add(x->shard->tally, (enum tally_end)end, duration_ns);
}

static void
count_end(struct xfer *x, enum outcome out)
{
	int64_t now = x->w->now;

	metric_add(&x->w->counters.outcomes[out], 1);
	if (x->shard == NULL)
		return;
	metric_hist_add(&x->shard->duration, now - x->start_ns);
	if (x->note.data != NULL)
		access_note_example(x, EXEMPLAR_DURATION, now - x->start_ns);
	note_end(x, out, now - x->start_ns);
	count_usage(x, out);
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
finish(struct xfer *x, enum outcome out)
{
	CHECK(x->call == NULL);
	count_end(x, out);
	if (x->note.data != NULL)
		access_note_end(x, out);
	xfer_drop_body(x);
	headbuf_clear(&x->head, &x->w->heads);
	chunked_free(&x->chunked);
	x->shard = NULL;
	x->route = NULL;
	x->service = NULL;
	snapshot_unref(&x->snapshot);
}

void
xfer_end(struct xfer *x, enum outcome out)
{
	finish(x, out);
	xfer_set_state(x, XFER_DONE);
}

void
xfer_cut(struct xfer *x, enum outcome out, bool is_reset)
{
	finish(x, out);
	x->is_reset = is_reset;
	xfer_set_state(x, XFER_CUT);
}

void
xfer_pace_done(struct xfer *x, struct instance *inst)
{
	if (!x->is_paced)
		return;
	x->is_paced = false;
	limiter_head_seen(inst);
}

/* May a connection to inst be kept idle?  Not if the first request that waits for a descriptor
 * (w->starved) goes to another instance: closing the connection frees one. */
static bool
may_keep_idle(const struct worker *w, const struct instance *inst)
{
	struct list_node *node = list_first(&w->starved);

	return node == NULL || container_of(node, struct xfer, node)->waiter.inst == inst;
}

void
xfer_release(struct xfer *x, bool may_pool)
{
	struct call *call = x->call;

	x->call = NULL;
	call->codec->release(call, may_pool && may_keep_idle(x->w, call->upstream->inst));
}

void
xfer_close_call(struct xfer *x, bool abort)
{
	struct call *call = x->call;

	x->call = NULL;
	call->codec->close(call, abort);
}

void
xfer_let_go(struct xfer *x)
{
	switch (x->state) {
	case XFER_PARKED:
	case XFER_PERMIT:
		limiter_cancel(&x->waiter);
		x->is_paced = false; /* limiter_cancel() has counted it off */
		break;
	case XFER_STARVED:
		x->is_paced = false; /* limiter_decline() counts it off */
		limiter_decline(&x->waiter);
		break;
	default:
		break;
	}
	if (x->call != NULL) {
		xfer_pace_done(x, x->call->upstream->inst);
		if (x->state == XFER_CONNECTING)
			limiter_unuse(x->call->upstream->inst);
		xfer_close_call(x, true);
	}
	if (x->route != NULL && x->state != XFER_ROUTED)
		xfer_set_state(x, XFER_ROUTED);
}

/* As xfer_let_go(), but the slot of an instance with a limit stays taken until the instance is done
 * with the request: else a new request would put it above its limit (promise 3, README).  If the
 * response is complete, the connection may go back to the pool. */
static void
let_go_when_done(struct xfer *x)
{
	struct call *call = x->call;
	bool is_done = call != NULL && (call->is_done || call->is_eof_read);

	if (!is_done && ((x->state != XFER_EXCHANGE && x->state != XFER_TUNNEL) ||
			 !instance_has_limit(call->upstream->inst))) {
		xfer_let_go(x);
		return;
	}
	xfer_pace_done(x, call->upstream->inst);
	if (is_done) {
		xfer_release(x, call->is_persistent);
	} else {
		x->call = NULL;
		if (call->codec->abandon(call, xfer_limits(x), x->is_counted ? x->shard : NULL,
					 x->sent_ns) &&
		    x->stream != NULL)
			conn_h2_abandoned(x->stream, call);
		x->is_counted = false;
	}
	xfer_set_state(x, XFER_ROUTED);
}

void
xfer_client_gone(struct xfer *x)
{
	/* The client may have shut its side only, and still read: a response that is not whole
	 * must not end cleanly. */
	bool is_reset = x->state == XFER_EXCHANGE && x->is_head_written;

	let_go_when_done(x);
	xfer_cut(x, OUT_CLIENT_GONE, is_reset);
}

void
xfer_cut_tunnel(struct xfer *x)
{
	CHECK(x->state == XFER_TUNNEL);
	if (instance_has_limit(x->call->upstream->inst))
		let_go_when_done(x);
	else
		xfer_release(x, false);
	xfer_cut(x, OUT_UPGRADED, false);
}

/* Is the instance's time over, or its connection gone?  Else it may be at work on what it has of
 * the request, whatever the client is answered. */
static bool
has_failed(enum outcome out)
{
	return out == OUT_RESPONSE_TIMEOUT || out == OUT_STALLED || out == OUT_UPSTREAM_FAILED;
}

/* Has the response begun, and cannot be passed on? */
static bool
is_unreadable(enum outcome out)
{
	return out == OUT_UPSTREAM_PROTOCOL || out == OUT_METHOD;
}

static void
refuse(struct xfer *x, enum outcome out, const char *why, int64_t retry_after_s)
{
	x->why = why;
	if (x->state == XFER_EXCHANGE && is_unreadable(out))
		x->call->codec->skip(x->call);
	if (has_failed(out))
		xfer_let_go(x);
	else
		let_go_when_done(x);
	if (x->is_head_written) { /* no other response can be written: the client sees a cut */
		xfer_cut(x, out, true);
		return;
	}
	if (out == OUT_UPSTREAM_REFUSED && x->stream != NULL) { /* HTTP/2 can say just that */
		x->is_refused = true;
		xfer_cut(x, out, false);
		return;
	}
	if (out == OUT_UPSTREAM_PROTOCOL)
		x->is_persistent = false;
	refuse_write(x, out, why, retry_after_s);
	xfer_end(x, out);
}

void
xfer_refuse(struct xfer *x, enum outcome out, const char *why)
{
	refuse(x, out, why, refuse_retry_after(x, out));
}

void
xfer_refuse_failed(struct xfer *x, const struct failure *f)
{
	int64_t backoff_ns = f == NULL ? 0 : f->until_ns - x->w->now;

	if (f != NULL && f->is_gone) {
		xfer_refuse(x, OUT_NO_ROUTE, f->message);
		return;
	}
	refuse(x, OUT_ACTIVATION_FAILED, f == NULL ? NULL : f->message,
	       MAX((backoff_ns + CLK_S - 1) / CLK_S, 1));
}

/* --- while it is sent --- */

void
xfer_keep_head(struct xfer *x, const char *head)
{
	if (x->head.data == NULL)
		headbuf_set(&x->head, &x->w->heads, head, x->head_n);
}

void
xfer_take_body_back(struct xfer *x, struct outbuf *bytes, char **trailers)
{
	CHECK(x->kept_body == NULL && x->is_sent_whole);
	x->kept_body = xmalloc(sizeof *x->kept_body);
	*x->kept_body = (struct kept_body){.bytes = *bytes, .trailers = *trailers};
	*bytes = (struct outbuf){.data = NULL};
	*trailers = NULL;
	x->has_given_body = false;
}

void
xfer_drop_body(struct xfer *x)
{
	struct kept_body *k = x->kept_body;

	if (k == NULL)
		return;
	bounds_drop_stream_bytes(x->w->bounds,
				 k->bytes.n + (k->trailers == NULL ? 0 : strlen(k->trailers)));
	outbuf_clear(&k->bytes);
	free(k->trailers);
	free(k);
	x->kept_body = NULL;
}

void
xfer_unsent(struct xfer *x)
{
	x->is_unsent = true;
}

bool
xfer_was_sent(const struct xfer *x)
{
	return x->sent_ns != 0 && !x->is_unsent;
}

bool
xfer_is_repeatable(const struct xfer *x)
{
	return x->is_unsent || (x->is_idempotent && !x->has_given_body);
}

void
xfer_interim_seen(struct xfer *x, uint32_t status)
{
	headbuf_clear(&x->head, &x->w->heads); /* a byte of a response came: never sent again */
	if (!x->is_expecting || status != 100)
		return;
	x->is_expecting = false;
	x->since_ns = x->w->now; /* body_timeout begins */
}

void
xfer_head_seen(struct xfer *x, uint32_t status)
{
	x->answered_as = tally_end_of(status);
	xfer_pace_done(x, x->call->upstream->inst);
	x->answered_ns = x->w->now;
	if (x->is_cold)
		cold_note(x);
	if (x->is_cold && x->note.data != NULL)
		access_note_answered(x);
	headbuf_clear(&x->head, &x->w->heads); /* never sent again */
}
