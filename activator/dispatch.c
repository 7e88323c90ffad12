#include "activator/dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "activator/access_note.h"
#include "activator/codec.h"
#include "activator/conn.h"
#include "activator/deadline.h"
#include "activator/exemplars.h"
#include "activator/failure.h"
#include "activator/limiter.h"
#include "activator/net/tcp.h"
#include "activator/notice.h"
#include "activator/park.h"
#include "activator/relay.h"
#include "activator/shard.h"
#include "activator/upstream.h"
#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/log.h"

/* Other workers free descriptors, too, and send no mail: look again after this time. */
#define STARVED_RETRY (20 * CLK_MS)
/* So many instances may fail a request, by an error of connect(2) or without a response.  A
 * connect that fails later is not bounded by number: its request goes back to the queue, where
 * activation_timeout ends it. */
#define TRIES_MAX 3
#define PAUSE_FIRST CLK_MS /* after a refused stream; then twice as long */

static void upstream_failed(struct xfer *x, bool is_connect);
static void upstream_refused(struct xfer *x);
static void send_elsewhere(struct xfer *x);
static void relayed(struct xfer *, struct relay_result);

/* --- what relaying came to --- */

static void
response_done(struct xfer *x)
{
	xfer_release(x, x->call->is_persistent);
	xfer_end(x, OUT_OK);
}

static void
tunnel_done(struct xfer *x)
{
	x->is_persistent = false;
	xfer_release(x, false);
	xfer_end(x, OUT_UPGRADED);
}

/* The instance broke off: close its connection, and cut off the client. */
static void
cut_broken(struct xfer *x)
{
	xfer_close_call(x, true);
	xfer_cut(x, OUT_UPSTREAM_BROKEN, true);
}

/* A tunnel may be silent for a long time, so only the kernel can tell that a machine is gone.
 * Exchanges have limits of our own. */
static void
begin_tunnel(struct xfer *x)
{
	tcp_limit_unacknowledged(x->call->upstream->io.fd, xfer_limits(x)->tcp_user_timeout);
	x->since_ns = x->progress_ns = x->w->now;
	xfer_set_state(x, XFER_TUNNEL);
	relayed(x, relay_tunnel(x));
}

static void
relayed(struct xfer *x, struct relay_result r)
{
	switch (r.end) {
	case RELAY_GOES_ON:
		break;
	case RELAY_DONE:
		if (x->state == XFER_TUNNEL)
			tunnel_done(x);
		else
			response_done(x);
		break;
	case RELAY_UPGRADED:
		begin_tunnel(x);
		break;
	case RELAY_CLIENT_GONE:
		xfer_client_gone(x);
		break;
	case RELAY_BAD_REQUEST:
		x->is_persistent = false;
		xfer_refuse(x, OUT_BAD_REQUEST, r.why);
		break;
	case RELAY_NO_RESPONSE:
		upstream_failed(x, false);
		break;
	case RELAY_REFUSED:
		upstream_refused(x);
		break;
	case RELAY_UNSENT:
		send_elsewhere(x);
		break;
	case RELAY_NO_UPGRADE:
		xfer_refuse(x, OUT_METHOD, "the service has no WebSocket here");
		break;
	case RELAY_BAD_RESPONSE:
		xfer_refuse(x, OUT_UPSTREAM_PROTOCOL, r.why);
		break;
	case RELAY_BROKEN:
		cut_broken(x);
		break;
	}
}

/* --- sending --- */

/* Send the body again that an instance has refused. */
static void
send_kept_body(struct xfer *x)
{
	const struct kept_body *k = x->kept_body;
	const struct piece piece = {
		.data = k->bytes.data == NULL ? "" : k->bytes.data + k->bytes.at,
		.n = k->bytes.n,
		.is_last = true,
		.trailers = k->trailers,
	};

	x->has_given_body = true;
	x->call->codec->write(x->call, &piece);
	xfer_drop_body(x);
}

/* Send the head, and what was read of the body already. */
static void
send_head(struct xfer *x, char *head)
{
	const struct codec *codec = x->conn->codec;
	struct call *call = x->call;
	struct piece piece = {.n = 0};

	if (x->has_grpc_timeout)
		request_set_timeout(head, x->head_n, x->client_deadline_ns - x->w->now);
	x->sent_ns = x->progress_ns = x->since_ns = x->w->now;
	xfer_set_state(x, XFER_EXCHANGE);
	x->is_unsent = false;
	/* A chunked body is unframed in place: it is not looked at before the head is sent. */
	if (!x->is_sent_whole && x->framing == FRAMING_LENGTH &&
	    codec->next(x, 0, &piece) != NEXT_PIECE)
		piece.n = 0;
	if (call->codec->send(call, head, x->head_n, &piece) < 0) {
		xfer_keep_head(x, head);
		xfer_unsent(x);
		return;
	}
	if (x->kept_body != NULL)
		send_kept_body(x);
	if (piece.n > 0) {
		relay_note_request(x, &piece);
		codec->took(x, &piece);
	}
	if (!x->is_sent_whole) {
		codec->begin_body(x);
		relayed(x, relay_request(x));
	}
}

/* An instance may say of a request of HTTP/2 that it has not processed it (RFC 9113 8.7). */
static bool
may_be_refused(const struct xfer *x)
{
	return x->call->upstream->h2 != NULL && (!x->has_given_body || x->call->keeps_body);
}

/* Drop the copy of the head if the request cannot be sent again.  A deferred write may still be
 * lost as a whole, at the end of the round, and any request can be sent again then. */
static void
drop_head(struct xfer *x)
{
	if (x->head.data != NULL && x->call != NULL && !xfer_is_repeatable(x) &&
	    !may_be_refused(x) && !io_is_deferred(&x->call->upstream->io))
		headbuf_clear(&x->head, &x->w->heads);
}

static void
connected(struct xfer *x)
{
	send_head(x, x->head.data);
	drop_head(x);
}

/* --- from a slot to a connection --- */

static void
count_in_flight(struct xfer *x)
{
	if (x->is_counted || x->is_serve_only)
		return;
	shard_in_flight(x->shard, x->w->now, 1);
	x->is_counted = true;
}

static void
attach(struct xfer *x, struct call *call)
{
	const struct limits *l = xfer_limits(x);

	x->call = call;
	if (x->note.data != NULL)
		access_note_instance(x, call->upstream->inst);
	call->is_head_method = x->is_head_method;
	call->is_upgrade = x->is_upgrade;
	call->max_head = (uint32_t)l->max_head;
	call->max_fields = l->max_fields;
	call->upstream->idle_ns = l->upstream_idle_timeout;
	upstream_attach(call, x);
}

/* The connection of the call took over the permit that the request has got. */
static void
attach_new(struct xfer *x, struct call *call)
{
	CHECK(x->waiter.has_permit);
	x->waiter.has_permit = false;
	attach(x, call);
}

static void
permit_back(struct xfer *x, struct instance *inst)
{
	if (x->waiter.has_permit)
		limiter_permit_back(inst);
	x->waiter.has_permit = false;
}

/* Send it on a connection that is open.  False: there is none. */
static bool
send_on_open(struct xfer *x, struct instance *inst)
{
	struct worker *w = x->w;
	struct call *call = upstream_take(w, inst, x->route->limits, x->needs_new_connection);

	if (call == NULL)
		return false;
	permit_back(x, inst); /* the connection has a permit of its own */
	attach(x, call);
	if (!upstream_is_connected(call)) {
		xfer_keep_head(x, w->write_buf);
		xfer_set_state(x, XFER_CONNECTING);
		return true;
	}
	if (x->is_sent_whole || xfer_is_repeatable(x) || may_be_refused(x))
		xfer_keep_head(x, w->write_buf);
	send_head(x, x->head.data != NULL ? x->head.data : w->write_buf);
	drop_head(x);
	return true;
}

/* Get the permit to have one more connection open.  False: the request waits for it (PERMIT). */
static bool
get_permit(struct xfer *x, struct instance *inst)
{
	if (!x->waiter.has_permit)
		x->waiter.has_permit = limiter_try_permit(inst);
	if (x->waiter.has_permit)
		return true;
	x->waiter.inst = instance_ref(inst);
	if (!limiter_permit_or_wait(&x->waiter)) {
		xfer_set_state(x, XFER_PERMIT);
		notice_shed(x->w, inst);
		return false;
	}
	instance_unref(&x->waiter.inst);
	return true;
}

/* Does this error mean that something has run out, which other connections will free? */
static bool
is_shortage(int code)
{
	return code == EBUSY || code == EMFILE || code == ENFILE || code == EADDRNOTAVAIL ||
	       code == ENOBUFS || code == ENOMEM ||
	       code == ENOSPC; /* ENOSPC: fs.epoll.max_user_watches */
}

/* There is no descriptor (or port) for a connection, or no room for its handshake.  The request
 * keeps its slot, and goes on when a connection of this worker ends or becomes idle, or a handshake
 * ends. */
static void
starve(struct xfer *x, struct instance *inst)
{
	struct worker *w = x->w;

	x->is_crowded = errno == EBUSY; /* handshakes that are under way make room */
	if (!x->is_crowded) {
		log_warn_limited(&inst->tag, "cannot connect: out of descriptors or ports",
				 "err=%s", strerror(errno));
		if (list_empty(&w->starved))
			upstream_shed_all(w);
	}
	x->needs_new_connection = false; /* an idle one is better than none */
	x->waiter.rev = inst->rev;
	x->waiter.inst = instance_ref(inst);
	x->waiter.is_paced = x->is_paced;
	xfer_set_state(x, XFER_STARVED);
	if (!loop_timer_pending(&w->starved_timer))
		loop_timer_set(&w->starved_timer, STARVED_RETRY);
}

/* connect(2) itself failed. */
static void
connect_failed(struct xfer *x, struct instance *inst)
{
	log_warn_limited(&inst->tag, "cannot connect", "address=%s err=%s",
			 instance_address(inst)->text, strerror(errno));
	permit_back(x, inst);
	xfer_pace_done(x, inst);
	limiter_unuse(inst);
	limiter_give_back(inst);
	if (++x->tries < TRIES_MAX)
		dispatch_admit(x, true);
	else
		xfer_refuse(x, OUT_UPSTREAM_FAILED, "no connection could be opened");
}

/* ROUTED, with a slot of inst; its head is in w->write_buf, or kept.  is_next: it goes before the
 * requests that wait for room for a handshake. */
static void
start(struct xfer *x, struct instance *inst, bool is_next)
{
	struct worker *w = x->w;
	struct call *call;

	count_in_flight(x);
	if (send_on_open(x, inst))
		return;
	xfer_keep_head(x, w->write_buf);
	if (!get_permit(x, inst))
		return;
	call = upstream_connect(w, inst, x->route->limits, is_next);
	if (call != NULL) {
		attach_new(x, call);
		xfer_set_state(x, XFER_CONNECTING);
	} else if (is_shortage(errno)) {
		starve(x, inst);
	} else {
		connect_failed(x, inst);
	}
}

/* As start(), on the connection that the prober has opened. */
static void
start_on_fd(struct xfer *x, struct instance *inst, int fd)
{
	struct call *call = upstream_adopt(x->w, inst, x->route->limits, fd);

	if (call == NULL) {
		start(x, inst, false);
		return;
	}
	attach_new(x, call);
	count_in_flight(x);
	if (!upstream_is_connected(call))
		xfer_set_state(x, XFER_CONNECTING);
	else
		connected(x);
}

/* Try the first request of w->starved or w->crowded again. */
static struct xfer *
retry_first(struct worker *w, struct list *list)
{
	struct list_node *node = list_first(list);
	struct instance *inst;
	struct xfer *x;

	if (node == NULL)
		return NULL;
	x = container_of(node, struct xfer, node);
	inst = x->waiter.inst;
	x->waiter.inst = NULL;
	xfer_set_state(x, XFER_ROUTED);
	start(x, inst, list == &w->crowded);
	instance_unref(&inst);
	if (x->state != XFER_STARVED || x->is_crowded != (list == &w->crowded))
		return x;
	/* It failed again, and stays the first. */
	list_remove(list, node);
	list_push_head(list, node);
	return NULL;
}

struct xfer *
dispatch_next_starved(struct worker *w)
{
	return retry_first(w, &w->starved);
}

struct xfer *
dispatch_next_crowded(struct worker *w)
{
	return retry_first(w, &w->crowded);
}

/* --- after an instance failed --- */

/* Is another instance of the revision open? */
static bool
has_other_open(const struct shard *s, const struct instance *inst)
{
	uint32_t i;

	for (i = 0; s->set != NULL && i < s->set->n; i++)
		if (s->set->v[i] != inst && instance_is_open(s->set->v[i]))
			return true;
	return false;
}

/* The instance gave no response: try again where promise 2 (README) allows it.  is_connect: there
 * was no connection, so that no byte was sent.
 *
 * Close the instance until a probe has found that it answers, if it refused the connection, or
 * if it gave no response on a new one while another instance is open.  The only open instance
 * stays open. */
static void
upstream_failed(struct xfer *x, bool is_connect)
{
	struct call *call = x->call;
	struct instance *inst = instance_ref(call->upstream->inst);
	bool was_reused = call->is_reused, was_sent = x->state == XFER_EXCHANGE;
	bool may_repeat = is_connect || (xfer_is_repeatable(x) && x->head.data != NULL &&
					 call->upstream->in_n == 0 && !x->is_head_written);

	if (is_connect || (!was_reused && has_other_open(x->shard, inst)))
		notice_refused(x->w, inst);
	log_debug(&inst->tag, "instance gave no response", "connecting=%d reused=%d again=%d",
		  is_connect, was_reused, may_repeat);
	xfer_let_go(x);
	if (may_repeat && (was_reused || is_connect || ++x->tries < TRIES_MAX)) {
		x->tries += is_connect && x->tries < UINT8_MAX;
		x->needs_new_connection |= was_reused;
		metric_add(&x->shard->retries, 1);
		if (was_sent) /* activation_timeout stands still while it is in flight */
			x->deadline_ns += x->w->now - x->sent_ns;
		dispatch_admit(x, true);
	} else {
		xfer_refuse(x, OUT_UPSTREAM_FAILED, NULL);
	}
	instance_unref(&inst);
}

/* The instance has not processed the request (RFC 9113 8.7), which may be sent again after a pause;
 * in the end its client hears that, and may do so itself. */
static void
upstream_refused(struct xfer *x)
{
	bool may_repeat = !x->has_given_body && x->head.data != NULL;
	bool was_sent = x->state == XFER_EXCHANGE;
	struct worker *w = x->w;

	metric_add(&w->counters.upstream_refused, 1);
	xfer_let_go(x);
	if (++x->tries < TRIES_MAX && may_repeat) {
		metric_add(&x->shard->retries, 1);
		if (was_sent)
			x->deadline_ns += w->now - x->sent_ns; /* as in upstream_failed() */
		x->retry_ns = w->now + (PAUSE_FIRST << (x->tries - 1));
		xfer_set_state(x, XFER_PAUSED);
		/* The round may be at its end, so that nothing looks at the list before the timer.
		 */
		if (list_first(&w->paused) == &x->node)
			loop_timer_set(&w->paused_timer, x->retry_ns - w->now);
	} else {
		xfer_refuse(x, OUT_UPSTREAM_REFUSED, NULL);
	}
}

/* Its connection takes fewer streams than it did, and is none of those: with a slot, which comes in
 * its order, it goes to another connection. */
static void
send_elsewhere(struct xfer *x)
{
	x->deadline_ns += x->w->now - x->sent_ns; /* as in upstream_failed() */
	xfer_unsent(x);
	xfer_let_go(x);
	dispatch_admit(x, true);
}

struct xfer *
dispatch_next_paused(struct worker *w)
{
	struct list_node *node = list_first(&w->paused);
	struct xfer *x;

	if (node == NULL)
		return NULL;
	x = container_of(node, struct xfer, node);
	if (x->retry_ns > w->now) {
		loop_timer_set(&w->paused_timer, x->retry_ns - w->now);
		return NULL;
	}
	xfer_set_state(x, XFER_ROUTED);
	dispatch_admit(x, true);
	return x;
}

/* --- a slot, or the queue --- */

/* limiter_try_take() lends the instance; limiter_take_or_wait() gives a reference. */
void
dispatch_admit(struct xfer *x, bool is_back)
{
	struct worker *w = x->w;
	struct revision *rev = x->route->rev;
	struct failure *failed;
	struct instance *inst = NULL;
	uint32_t most = x->route->limits->v.max_parked;

	if (x->client_deadline_ns <= w->now) {
		xfer_refuse(x, OUT_DEADLINE, NULL);
		return;
	}
	if (!is_back)
		inst = limiter_try_take(rev, x->shard->set, (uint32_t)worker_random(w));
	if (inst != NULL) {
		start(x, inst, false);
		return;
	}
	if (x->is_serve_only && !shard_has_open(x->shard)) {
		xfer_refuse(x, OUT_NOT_ACTIVE, NULL);
		return;
	}
	if ((!is_back && most > 0 && limiter_parked(rev) >= most) || !xfer_hold(x, is_back)) {
		xfer_refuse(x, OUT_QUEUE_FULL, NULL);
		return;
	}
	x->waiter.is_serve_only = x->is_serve_only;
	inst = limiter_take_or_wait(rev, &x->waiter, is_back, w->now, &failed);
	if (failed != NULL) {
		xfer_unhold(x);
		xfer_refuse_failed(x, failed);
		failure_unref(&failed);
		return;
	}
	if (inst == NULL) {
		park_queued(x);
		return;
	}
	xfer_unhold(x);
	x->is_paced = x->waiter.is_paced;
	start(x, inst, false);
	instance_unref(&inst);
}

/* With what the autoscaler has reported as the failure of the revision, if it has; else why. */
static void
refuse_with_failure(struct xfer *x, enum outcome how, const char *why)
{
	struct failure *f = limiter_failure(x->route->rev);

	xfer_refuse(x, how, f == NULL ? why : f->message);
	failure_unref(&f);
}

/* Likewise, or with what an instance has answered to its probe, or else with why. */
static void
refuse_unready(struct xfer *x, enum outcome how, const char *why)
{
	char trouble[REVISION_TROUBLE], text[REVISION_TROUBLE + 32];

	if (revision_probe_trouble(x->route->rev, trouble)) {
		snprintf(text, sizeof text, "its probe fails: %s", trouble);
		why = text;
	}
	refuse_with_failure(x, how, why);
}

static const char *
why_late(const struct xfer *x)
{
	return deadline_is_start_over(x) ? "response_start_timeout is over" : NULL;
}

void
dispatch_late(struct xfer *x)
{
	static const char unreached[] = "no instance could be reached";

	if (x->client_deadline_ns <= x->w->now)
		xfer_refuse(x, OUT_DEADLINE, NULL);
	else if (x->is_serve_only && !shard_has_open(x->shard))
		xfer_refuse(x, OUT_NOT_ACTIVE, NULL);
	else if (atomic_load_explicit(&x->shard->rev->is_external, memory_order_relaxed))
		refuse_unready(x, OUT_UPSTREAM_FAILED, unreached);
	else if (x->tries > 0)
		xfer_refuse(x, OUT_UPSTREAM_FAILED, unreached);
	else
		refuse_unready(x, OUT_ACTIVATION_TIMEOUT, why_late(x));
}

/* Is the instance of a grant not to be used any more?  One that is spent is stopping because the
 * last grant was made: it waits for that request. */
static bool
is_lost(const struct instance *inst)
{
	return instance_is_closed_by(inst, SLOTS_UNREADY) ||
	       (instance_is_closed_by(inst, SLOTS_STOPPING) &&
		!instance_is_closed_by(inst, SLOTS_SPENT));
}

/* Hand a grant to the next in the queue if it came too late, or if the instance is not to be
 * used any more.  A drain is no reason: the grant holds a slot, and the drain waits for it.
 * False: the grant is good. */
static bool
decline(struct xfer *x)
{
	bool is_late = MIN(x->deadline_ns, x->client_deadline_ns) <= x->w->now;

	if (!is_late && !is_lost(x->waiter.inst))
		return false;
	x->is_paced = false; /* limiter_decline() counts it off */
	limiter_decline(&x->waiter);
	if (is_late)
		dispatch_late(x);
	else
		dispatch_admit(x, true);
	return true;
}

static void
granted_failure(struct xfer *x)
{
	struct failure *f = limiter_failure(x->route->rev);

	xfer_refuse_failed(x, f);
	failure_unref(&f);
}

void
dispatch_granted(struct xfer *x)
{
	struct waiter *waiter = &x->waiter;
	struct instance *inst;
	bool was_parked = x->state == XFER_PARKED;
	int fd;

	xfer_set_state(x, XFER_ROUTED);
	if (waiter->is_failed) {
		granted_failure(x);
		return;
	}
	if (decline(x))
		return;
	inst = waiter->inst;
	fd = waiter->fd;
	waiter->inst = NULL;
	waiter->fd = -1;
	x->is_paced = x->is_paced || waiter->is_paced;
	if (was_parked) {
		metric_hist_add(&x->shard->parked_for, x->w->now - x->parked_ns);
		if (x->note.data != NULL)
			access_note_example(x, EXEMPLAR_PARKED_FOR, x->w->now - x->parked_ns);
	}
	if (fd >= 0)
		start_on_fd(x, inst, fd);
	else
		start(x, inst, false);
	instance_unref(&inst);
}

/* --- events --- */

void
dispatch_client_readable(struct xfer *x)
{
	if (x->state == XFER_TUNNEL)
		relayed(x, relay_tunnel(x));
	else if (!x->is_sent_whole)
		relayed(x, relay_request(x));
}

void
dispatch_client_drained(struct xfer *x)
{
	if (x->state == XFER_EXCHANGE)
		relayed(x, relay_response(x));
}

void
dispatch_connected(struct xfer *x, enum upstream_reached reached)
{
	struct io *io = &x->call->upstream->io;

	switch (reached) {
	case UPSTREAM_NOT_YET:
		break;
	case UPSTREAM_NO_TLS:
		xfer_refuse(x, OUT_UPSTREAM_FAILED, "the TLS handshake with its instance failed");
		break;
	case UPSTREAM_FULL:
		xfer_let_go(x);
		dispatch_admit(x, true);
		break;
	case UPSTREAM_ENDING:
		upstream_refused(x);
		break;
	case UPSTREAM_BROKEN:
		xfer_unsent(x);
		upstream_failed(x, false);
		break;
	case UPSTREAM_UNREACHED:
		upstream_failed(x, true);
		break;
	case UPSTREAM_CONNECTED:
		connected(x);
		if (io_is_open(io) &&
		    io->can_read) /* a response came in the same event: no other may follow */
			io_yield(io);
		break;
	}
}

void
dispatch_upstream_ready(struct xfer *x)
{
	struct call *call = x->call;

	if (x->state == XFER_CONNECTING) {
		dispatch_connected(x, upstream_finish_connect(call->upstream));
		return;
	}
	/* Write what waits for room, then what the client has sent. */
	if (call_is_blocked(call) && call->codec->flush(call) && x->state == XFER_EXCHANGE)
		relayed(x, relay_request(x));
	if (x->call != call)
		return;
	relayed(x, x->state == XFER_TUNNEL ? relay_tunnel(x) : relay_response(x));
}

void
dispatch_timed_out(struct xfer *x, enum outcome out)
{
	switch (out) {
	case OUT_UPSTREAM_FAILED:
		upstream_failed(x, true);
		break;
	case OUT_CLIENT_GONE:
		xfer_client_gone(x);
		break;
	case OUT_UPGRADED:
		xfer_cut_tunnel(x);
		break;
	case OUT_RESPONSE_TIMEOUT:
	case OUT_ACTIVATION_TIMEOUT:
		x->is_persistent = false;
		xfer_refuse(x, out, why_late(x));
		break;
	default:
		x->is_persistent = false;
		xfer_refuse(x, out, NULL);
	}
}
