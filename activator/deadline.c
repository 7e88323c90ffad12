#include "activator/deadline.h"

#include "activator/conn.h"
#include "activator/upstream.h"

static int64_t
after(int64_t from, int64_t limit)
{
	return limit == 0 ? INT64_MAX : from + limit;
}

/* EXCHANGE: the limit is that of what the exchange waits for. */
static int64_t
exchange_limit(const struct xfer *x, const struct limits *l, enum outcome *out)
{
	if (x->is_client_blocked) { /* for the client to take the response */
		*out = OUT_CLIENT_GONE;
		return after(x->since_ns, l->body_timeout);
	}
	/* for the client to send the body; a call of gRPC may pause between two messages */
	if (!x->is_sent_whole && !x->is_grpc && !x->is_expecting && !call_is_blocked(x->call) &&
	    !x->call->is_broken && !x->is_head_written) {
		*out = OUT_BODY_TIMEOUT;
		return after(MAX(x->since_ns, x->progress_ns), l->body_timeout);
	}
	if (!x->is_head_written) {
		*out = OUT_RESPONSE_TIMEOUT;
		return after(MAX(x->sent_ns, x->since_ns), l->response_timeout);
	}
	*out = OUT_STALLED;
	return after(MAX(x->progress_ns, x->since_ns), l->stall_timeout);
}

static int64_t
state_limit(const struct xfer *x, enum outcome *out)
{
	const struct limits *l = xfer_limits(x);

	switch (x->state) {
	case XFER_UNROUTED:
	case XFER_PERMIT:
	case XFER_STARVED:
	case XFER_PAUSED:
		*out = OUT_ACTIVATION_TIMEOUT;
		return x->deadline_ns;
	case XFER_CONNECTING:
		*out = OUT_UPSTREAM_FAILED;
		return after(upstream_connecting_since(x->call->upstream), l->connect_timeout);
	case XFER_EXCHANGE:
		return exchange_limit(x, l, out);
	case XFER_TUNNEL:
		*out = OUT_UPGRADED;
		return MIN(after(x->since_ns, l->tunnel_timeout),
			   after(x->answered_ns, l->tunnel_max_lifetime));
	default: /* PARKED: the timer of park.c */
		*out = OUT_REQUEST_TIMEOUT;
		return INT64_MAX;
	}
}

/* Is it still to be sent?  Once it is, its instance knows the deadline of the client. */
static bool
is_waiting(const struct xfer *x)
{
	switch (x->state) {
	case XFER_UNROUTED:
	case XFER_PARKED:
	case XFER_PERMIT:
	case XFER_STARVED:
	case XFER_PAUSED:
	case XFER_CONNECTING:
		return true;
	default:
		return false;
	}
}

bool
deadline_is_start_over(const struct xfer *x)
{
	int64_t most = xfer_limits(x)->response_start_timeout;

	return most > 0 && x->w->now - x->start_ns >= most;
}

/* The limits that count from its arrival.  While it waits to be sent, its activation's deadline has
 * response_start_timeout in it. */
static int64_t
whole_limit(const struct xfer *x, const struct limits *l, enum outcome *out)
{
	int64_t start = x->state == XFER_EXCHANGE && !x->is_head_written
				? after(x->start_ns, l->response_start_timeout)
				: INT64_MAX;
	int64_t whole = after(x->start_ns, l->request_timeout);

	*out = start < whole ? OUT_RESPONSE_TIMEOUT : OUT_REQUEST_TIMEOUT;
	return MIN(start, whole);
}

int64_t
deadline_of(const struct xfer *x, enum outcome *out)
{
	int64_t at = state_limit(x, out), whole = INT64_MAX;
	enum outcome whole_out = OUT_OK;

	if (x->route != NULL && x->state != XFER_TUNNEL)
		whole = whole_limit(x, &x->route->limits->v, &whole_out);
	if (whole < at) {
		*out = whole_out;
		at = whole;
	}
	if (x->client_deadline_ns < at && is_waiting(x)) {
		*out = OUT_DEADLINE;
		at = x->client_deadline_ns;
	}
	return at;
}
