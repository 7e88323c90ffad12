/* xfer - one request on its way to its outcome.
 *
 *   IDLE ── head read ──► (routed, admitted) ── slot ──► CONNECTING ──► EXCHANGE ──► IDLE
 *     │                        │ no slot        ▲            │ failed      │ 101
 *     │ no table yet           ▼                │ granted    ▼             ▼
 *     └──► UNROUTED ──► IDLE  PARKED ───────────┴──► PERMIT (limit > 0)  TUNNEL
 *
 * Every request leaves through xfer_end() or xfer_cut(), once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activator/failure.h"
#include "activator/notice.h"
#include "activator/plane.h"
#include "common/clk.h"

#define FEED_EVERY (20 * CLK_MS) /* how often who has no descriptor is looked at, at least */
#define TRIES_MAX 3		 /* instances that a request may have fail under it */

/* --- states --- */

static const char *const state_names[] = {
#define X(id) [XFER_##id] = #id,
	XFER_STATES(X)
#undef X
};

#define S(id) (1u << XFER_##id)
static const uint32_t legal[XFER_STATES_N] = {
	[XFER_IDLE] = S(UNROUTED) | S(ROUTED) | S(DONE) | S(CLOSING),
	[XFER_UNROUTED] = S(IDLE) | S(DONE) | S(CUT),
	[XFER_ROUTED] = S(PARKED) | S(PERMIT) | S(STARVED) | S(CONNECTING) | S(EXCHANGE) | S(DONE) |
			S(CUT),
	[XFER_PARKED] = S(ROUTED),
	[XFER_PERMIT] = S(ROUTED),
	[XFER_STARVED] = S(ROUTED),
	[XFER_CONNECTING] = S(ROUTED) | S(EXCHANGE),
	[XFER_EXCHANGE] = S(ROUTED) | S(TUNNEL) | S(DONE) | S(CUT),
	[XFER_TUNNEL] = S(ROUTED) | S(DONE) | S(CUT),
	[XFER_DONE] = S(IDLE) | S(CLOSING),
	[XFER_CUT] = 0,
	[XFER_CLOSING] = 0,
};
static const uint32_t listed = S(UNROUTED) | S(PARKED) | S(STARVED);
#undef S

struct conn *
xfer_conn(struct xfer *x)
{
	return container_of(x, struct conn, x);
}

static void
unhold(struct conn *c)
{
	struct bounds *b = c->w->bounds;

	if (c->x.held == 0)
		return;
	atomic_fetch_sub_explicit(&b->parked, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&b->parked_bytes, c->x.held, memory_order_relaxed);
	c->x.held = 0;
}

/* One timer for all that are parked for one revision: they are kept by deadline. */
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
join(struct xfer *x)
{
	struct conn *c = xfer_conn(x);

	switch (x->state) {
	case XFER_UNROUTED:
		list_push(&c->w->unrouted, &x->node);
		break;
	case XFER_PARKED:
		x->is_counted = !x->is_unseen;
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

static void
leave(struct xfer *x)
{
	struct conn *c = xfer_conn(x);

	switch (x->state) {
	case XFER_UNROUTED:
		list_remove(&c->w->unrouted, &x->node);
		unhold(c);
		break;
	case XFER_PARKED:
		list_remove(&x->shard->parked, &x->node);
		if (x->is_counted)
			shard_parked(x->shard, c->w->now, -1);
		x->is_counted = false;
		unhold(c);
		break;
	case XFER_STARVED:
		list_remove(&c->w->starved, &x->node);
		break;
	default:
		break;
	}
}

void
xfer_set_state(struct xfer *x, enum xfer_state to)
{
	CHECK((legal[x->state] >> to & 1) != 0);
	log_trace(NULL, "request moves", "from=%s to=%s", state_names[x->state], state_names[to]);
	if ((listed >> x->state & 1) != 0)
		leave(x);
	x->state = to;
	if ((listed >> to & 1) != 0)
		join(x);
}

static void
set_state(struct conn *c, enum xfer_state to)
{
	xfer_set_state(&c->x, to);
	conn_arm(c);
}

/* --- the head that is to be sent --- */

static void
head_free(struct worker *w, struct xfer *x)
{
	if (x->head != NULL && x->is_head_spare) {
		struct list_node *node = (void *)x->head;

		node->next = NULL;
		list_push(&w->spare_heads, node);
	} else {
		free(x->head);
	}
	x->head = NULL;
	x->is_head_spare = false;
}

/* Keep the head, x->head_n bytes: it may be sent a second time.  Short-lived heads lie
 * in buffers that are used over and over. */
static void
head_keep(struct worker *w, struct xfer *x, const char *head)
{
	struct list_node *node = NULL;

	CHECK(x->head == NULL);
	if (x->head_n <= PLANE_HEADS) {
		node = list_pop(&w->spare_heads);
		x->head = node != NULL ? (char *)node : xmalloc(PLANE_HEADS);
		x->is_head_spare = true;
	} else {
		x->head = xmalloc(x->head_n);
	}
	memcpy(x->head, head, x->head_n);
}

/* What is parked is kept exact-sized: it may be many, and for long. */
static void
head_park(struct worker *w, struct xfer *x)
{
	char *exact = xmalloc(x->head_n);

	memcpy(exact, x->head != NULL ? x->head : w->out, x->head_n);
	head_free(w, x);
	x->head = exact;
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

/* Everything of the request is over but its state. */
static void
finish(struct conn *c, enum outcome out)
{
	struct xfer *x = &c->x;

	CHECK(x->up == NULL);
	count_end(c, out);
	head_free(c->w, x);
	chunked_free(&x->chunked);
	x->shard = NULL;
	x->route = NULL;
	x->service = NULL;
	snapshot_unref(&x->snap);
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

/* Paced release: one less whose response head is outstanding. */
static void
pace_done(struct xfer *x, struct instance *inst)
{
	if (!x->is_paced)
		return;
	x->is_paced = false;
	limiter_head_seen(inst);
}

/* Give back whatever it has of slot, permit, connection and place in the queue: ROUTED. */
static void
let_go(struct conn *c)
{
	struct xfer *x = &c->x;

	switch (x->state) {
	case XFER_PARKED:
	case XFER_PERMIT:
		limiter_cancel(&x->waiter);
		x->is_paced = false; /* went back with the grant */
		if (x->waiter.fd >= 0)
			close(x->waiter.fd);
		x->waiter.fd = -1;
		break;
	case XFER_STARVED:
		x->is_paced = false; /* as above */
		limiter_decline(&x->waiter);
		break;
	default:
		break;
	}
	if (x->up != NULL) {
		struct upstream *u = x->up;

		x->up = NULL;
		pace_done(x, u->inst);
		u->conn = NULL;
		upstream_close(u, true);
	}
	if (x->route != NULL && x->state != XFER_ROUTED)
		xfer_set_state(x, XFER_ROUTED);
}

/* As let_go(), but where container_concurrency holds a slot is free when the instance is
 * done (promise 3): it may be at it still. */
static void
let_go_when_done(struct conn *c)
{
	struct xfer *x = &c->x;
	struct upstream *u = x->up;
	bool is_held = (x->state == XFER_EXCHANGE || x->state == XFER_TUNNEL) &&
		       instance_has_limit(u->inst);

	if (is_held) {
		x->up = NULL;
		pace_done(x, u->inst);
		upstream_abandon(u, c);
		xfer_set_state(x, XFER_ROUTED);
	} else {
		let_go(c);
	}
}

void
xfer_client_gone(struct conn *c)
{
	/* It may have shut its side only, and still read: no clean end inside a response. */
	bool is_reset = c->x.state == XFER_EXCHANGE && c->x.is_head_written;

	let_go_when_done(c);
	xfer_cut(c, OUT_CLIENT_GONE, is_reset);
}

static void
refuse(struct conn *c, enum outcome out, const char *why, int64_t retry_after_s)
{
	struct xfer *x = &c->x;

	if (out == OUT_REQUEST_TIMEOUT || out == OUT_BODY_TIMEOUT) /* not the instance's fault */
		let_go_when_done(c);
	else
		let_go(c);
	if (x->is_head_written) { /* too late for words: a cut that can be seen */
		xfer_cut(c, out, true);
		return;
	}
	if ((x->framing != FRAMING_NONE && !x->is_sent_whole) || out == OUT_UPSTREAM_PROTOCOL)
		x->is_persistent = false;
	refuse_write(c, out, why, retry_after_s);
	xfer_end(c, out);
}

void
xfer_refuse(struct conn *c, enum outcome out, const char *why)
{
	refuse(c, out, why, refuse_retry_after(c, out));
}

static void
refuse_failed(struct conn *c, struct failure *f)
{
	int64_t left = f == NULL ? 0 : f->until_ns - c->w->now;

	refuse(c, OUT_ACTIVATION_FAILED, f == NULL ? NULL : f->message,
	       MAX((left + CLK_S - 1) / CLK_S, 1));
}

/* --- sending --- */

void
xfer_unsent(struct conn *c, const char *head, size_t n)
{
	CHECK(n == c->x.head_n);
	c->x.is_unsent = true;
	if (c->x.head == NULL)
		head_keep(c->w, &c->x, head);
}

/* The head, and of the body what is there, in one write. */
static void
send_head(struct conn *c, const char *head)
{
	struct xfer *x = &c->x;
	struct iovec iov[2];
	size_t body = 0;
	int n = 1;

	memcpy(&iov[0].iov_base, &head, sizeof head);
	iov[0].iov_len = x->head_n;
	if (x->framing == FRAMING_LENGTH && c->in.n > 0) {
		body = (size_t)MIN((uint64_t)c->in.n, x->left);
		iov[1] = (struct iovec){.iov_base = c->in.data, .iov_len = body};
		n = 2;
	}
	x->sent_ns = x->up_ns = c->since_ns = c->w->now;
	set_state(c, XFER_EXCHANGE);
	x->is_unsent = false;
	if ((x->is_sent_whole ? io_send(&x->up->io, iov, n) : io_write(&x->up->io, iov, n)) < 0) {
		xfer_unsent(c, head, x->head_n);
		upstream_broken(x->up);
		return;
	}
	if (body > 0) {
		x->has_given_body = true;
		x->is_expecting = false;
		x->left -= body;
		x->is_sent_whole = x->left == 0;
		inbuf_consume(&c->in, body);
	}
	if (!x->is_sent_whole) {
		io_expect(&c->io);
		relay_request(c);
	}
}

/* May it be sent again, if no byte of an answer comes (promise 2)? */
static bool
is_repeatable(const struct xfer *x)
{
	return x->is_unsent || (x->is_idempotent && !x->has_given_body);
}

void
xfer_connected(struct conn *c)
{
	struct xfer *x = &c->x;

	send_head(c, x->head);
	if (x->head != NULL && !is_repeatable(x))
		head_free(c->w, x);
}

/* --- from a slot to a connection --- */

static void connect_failed(struct conn *c, struct instance *inst);
static void starve(struct conn *c, struct instance *inst);

/* Does it pass by itself? */
static bool
is_shortage(int code)
{
	return code == EMFILE || code == ENFILE || code == EADDRNOTAVAIL || code == ENOBUFS ||
	       code == ENOMEM;
}

static void
count_in_flight(struct conn *c)
{
	struct xfer *x = &c->x;

	if (x->is_counted || x->is_unseen)
		return;
	shard_in_flight(x->shard, c->w->now, 1);
	x->is_counted = true;
}

/* x has a slot of inst.  Its head is in w->out, or kept in x->head. */
static void
go(struct conn *c, struct instance *inst)
{
	struct worker *w = c->w;
	struct xfer *x = &c->x;
	struct upstream *u = x->needs_new ? NULL : upstream_take_idle(w, inst);

	count_in_flight(c);
	if (u != NULL) {
		if (x->waiter.has_permit) /* it has come too late to be of use */
			limiter_permit_back(inst);
		x->waiter.has_permit = false;
		upstream_attach(u, c);
		if (x->head == NULL && is_repeatable(x))
			head_keep(w, x, w->out);
		send_head(c, x->head != NULL ? x->head : w->out);
		if (x->head != NULL && !is_repeatable(x))
			head_free(w, x);
		return;
	}
	if (x->head == NULL)
		head_keep(w, x, w->out);
	if (!x->waiter.has_permit && instance_has_limit(inst)) {
		x->waiter.inst = instance_ref(inst);
		if (!limiter_permit(&x->waiter)) {
			set_state(c, XFER_PERMIT);
			notice_shed(w, inst);
			return;
		}
		instance_unref(&x->waiter.inst);
	}
	u = upstream_connect(w, inst);
	if (u == NULL) {
		if (is_shortage(errno))
			starve(c, inst);
		else
			connect_failed(c, inst);
		return;
	}
	u->has_permit = x->waiter.has_permit;
	x->waiter.has_permit = false;
	upstream_attach(u, c);
	set_state(c, XFER_CONNECTING);
}

/* No descriptor (or port) is left for it.  It keeps its slot and goes on as soon as a
 * connection of this worker comes free: to the instance, or any other. */
static void
starve(struct conn *c, struct instance *inst)
{
	struct worker *w = c->w;
	struct xfer *x = &c->x;

	log_warn_limited(NULL, "no descriptor is left for an instance", "errno=%d", errno);
	if (list_empty(&w->starved))
		upstream_shed_all(w);
	x->needs_new = false; /* whatever comes free */
	x->waiter.rev = inst->rev;
	x->waiter.inst = instance_ref(inst);
	x->waiter.is_paced = x->is_paced;
	set_state(c, XFER_STARVED);
	if (!loop_timer_pending(&w->feed_timer))
		loop_timer_set(&w->feed_timer, FEED_EVERY);
}

void
xfer_feed(struct worker *w)
{
	struct list_node *node;
	bool is_fed = true;

	while (is_fed && (node = list_first(&w->starved)) != NULL) {
		struct xfer *x = container_of(node, struct xfer, node);
		struct conn *c = xfer_conn(x);
		struct instance *inst = x->waiter.inst;

		x->waiter.inst = NULL;
		xfer_set_state(x, XFER_ROUTED);
		go(c, inst);
		instance_unref(&inst);
		is_fed = x->state != XFER_STARVED;
		if (!is_fed) { /* once more: it stays the first */
			list_remove(&w->starved, node);
			list_push_head(&w->starved, node);
		}
		conn_advance(c);
	}
	if (!list_empty(&w->starved) && !loop_timer_pending(&w->feed_timer))
		loop_timer_set(&w->feed_timer, FEED_EVERY);
}

/* connect(2) itself failed. */
static void
connect_failed(struct conn *c, struct instance *inst)
{
	struct xfer *x = &c->x;

	log_warn_limited(&inst->tag, "cannot connect", "address=%s", inst->address_text);
	if (x->waiter.has_permit)
		limiter_permit_back(inst);
	x->waiter.has_permit = false;
	pace_done(x, inst);
	limiter_give_back(inst);
	if (++x->tries < TRIES_MAX)
		xfer_admit(c, true);
	else
		xfer_refuse(c, OUT_UPSTREAM_FAILED, "no connection could be opened");
}

/* Is there another one that could take what this one did not? */
static bool
has_equal(const struct shard *s, const struct instance *inst)
{
	uint32_t i;

	for (i = 0; s->set != NULL && i < s->set->n; i++)
		if (s->set->v[i] != inst && instance_is_open(s->set->v[i]))
			return true;
	return false;
}

void
xfer_upstream_failed(struct conn *c, bool is_connect)
{
	struct xfer *x = &c->x;
	struct upstream *u = x->up;
	struct instance *inst = instance_ref(u->inst);
	bool was_reused = u->is_reused;
	bool may_repeat = is_connect || (is_repeatable(x) && x->head != NULL && u->in_n == 0 &&
					 !x->is_head_written);

	if (is_connect || (!was_reused && has_equal(x->shard, inst)))
		notice_refused(c->w, inst);
	log_debug(&inst->tag, "request failed", "connect=%d reused=%d again=%d", is_connect,
		  was_reused, may_repeat);
	let_go(c);
	if (may_repeat && (was_reused || is_connect || ++x->tries < TRIES_MAX)) {
		x->tries += is_connect && x->tries < UINT8_MAX;
		x->needs_new |= was_reused;
		metric_add(&x->shard->retries, 1);
		if (!is_connect) /* it was in flight: it may be parked anew */
			x->deadline_ns = c->w->now + x->route->limits->v.activation_timeout;
		xfer_admit(c, true);
	} else {
		xfer_refuse(c, OUT_UPSTREAM_FAILED, NULL);
	}
	instance_unref(&inst);
}

/* --- parking --- */

static void on_deadline(void *shard);

/* Count what it holds while it is parked.  A request that was here before (is_back) keeps
 * its place whatever the bounds say. */
static bool
hold(struct conn *c, bool is_back)
{
	struct bounds *b = c->w->bounds;
	uint32_t bytes = (uint32_t)(sizeof *c + c->x.head_n + c->in.n);

	if (!is_back && (atomic_load_explicit(&b->parked, memory_order_relaxed) >= b->max_parked ||
			 atomic_load_explicit(&b->parked_bytes, memory_order_relaxed) + bytes >
				 b->max_parked_bytes))
		return false;
	atomic_fetch_add_explicit(&b->parked, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&b->parked_bytes, bytes, memory_order_relaxed);
	c->x.held = bytes;
	return true;
}

/* One timer for all that are parked for one revision. */
static void
arm_deadline(struct shard *s, struct worker *w)
{
	struct list_node *node = list_first(&s->parked);

	if (!s->has_timer) {
		loop_timer_init(&s->deadline_timer, w->loop, on_deadline, s);
		s->has_timer = true;
	}
	if (node != NULL)
		loop_timer_set(&s->deadline_timer,
			       container_of(node, struct xfer, node)->deadline_ns - w->now);
}

static void
park(struct conn *c)
{
	struct worker *w = c->w;
	struct xfer *x = &c->x;

	x->is_cold = x->is_cold || !shard_has_open(x->shard);
	x->is_first = x->waiter.is_first;
	if (x->parked_ns == 0)
		x->parked_ns = w->now;
	head_park(w, x);
	inbuf_keep(&c->in);
	if (x->is_counted)
		shard_in_flight(x->shard, w->now, -1);
	set_state(c, XFER_PARKED);
	if (list_first(&x->shard->parked) == &x->node)
		arm_deadline(x->shard, w);
}

void
xfer_park_unrouted(struct conn *c, char *buf, size_t head_n)
{
	size_t n = head_n + c->in.n;

	c->in = (struct inbuf){.data = buf, .n = (uint32_t)n, .is_borrowed = true};
	if (!hold(c, false)) {
		inbuf_consume(&c->in, head_n);
		xfer_refuse(c, OUT_QUEUE_FULL, NULL);
		return;
	}
	inbuf_keep(&c->in);
	c->x.deadline_ns = c->w->now + c->w->conf->limits.activation_timeout;
	set_state(c, XFER_UNROUTED);
}

void
xfer_unrouted_again(struct conn *c)
{
	c->requests--; /* it is read again */
	xfer_set_state(&c->x, XFER_IDLE);
	conn_advance(c);
}

void
xfer_admit(struct conn *c, bool at_head)
{
	struct worker *w = c->w;
	struct xfer *x = &c->x;
	struct revision *rev = x->route->rev;
	struct failure *failed;
	struct instance *inst = at_head ? NULL
					: limiter_try_take(rev, x->shard->set,
							   (uint32_t)worker_random(w));
	uint32_t most = x->route->limits->v.max_parked;

	if (inst != NULL) {
		go(c, inst);
		return;
	}
	if (x->is_unseen && !shard_has_open(x->shard)) {
		xfer_refuse(c, OUT_NOT_ACTIVE, NULL);
		return;
	}
	if ((!at_head && most > 0 && limiter_parked(rev) >= most) || !hold(c, at_head)) {
		xfer_refuse(c, OUT_QUEUE_FULL, NULL);
		return;
	}
	x->waiter.is_unseen = x->is_unseen;
	inst = limiter_take_or_wait(rev, &x->waiter, at_head, w->now, &failed);
	if (failed != NULL) {
		unhold(c);
		refuse_failed(c, failed);
		failure_unref(&failed);
		return;
	}
	if (inst == NULL) {
		park(c);
		return;
	}
	unhold(c);
	x->is_paced = x->waiter.is_paced;
	go(c, inst);
	instance_unref(&inst);
}

static void
note_granted(struct conn *c)
{
	struct xfer *x = &c->x;

	x->granted_ns = c->w->now;
	metric_hist_add(&x->shard->parked_for, c->w->now - x->parked_ns);
}

static void
go_on_fd(struct conn *c, struct instance *inst, int fd)
{
	struct upstream *u = upstream_adopt(c->w, inst, fd);

	u->has_permit = c->x.waiter.has_permit;
	c->x.waiter.has_permit = false;
	upstream_attach(u, c);
	count_in_flight(c);
	xfer_connected(c);
}

/* With why nothing was started, where the autoscaler has said so. */
static void
refuse_unstarted(struct conn *c)
{
	struct failure *f = limiter_failure(c->x.route->rev);

	xfer_refuse(c, OUT_ACTIVATION_TIMEOUT, f == NULL ? NULL : f->message);
	failure_unref(&f);
}

static void
refuse_late(struct conn *c)
{
	struct xfer *x = &c->x;

	if (x->is_unseen && !shard_has_open(x->shard))
		xfer_refuse(c, OUT_NOT_ACTIVE, NULL);
	else if (x->tries > 0 ||
		 atomic_load_explicit(&x->shard->rev->is_external, memory_order_relaxed))
		xfer_refuse(c, OUT_UPSTREAM_FAILED, "no instance could be reached");
	else
		refuse_unstarted(c);
}

/* Granted too late, or a slot of an instance that is gone by now: to the next in line with
 * it.  False: it is good. */
static bool
decline(struct conn *c)
{
	struct xfer *x = &c->x;
	bool is_late = x->deadline_ns <= c->w->now;

	if (!is_late && !instance_is_closed_by(x->waiter.inst, SLOTS_UNREADY | SLOTS_STOPPING))
		return false;
	limiter_decline(&x->waiter);
	if (x->waiter.fd >= 0)
		close(x->waiter.fd);
	x->waiter.fd = -1;
	if (is_late)
		refuse_late(c);
	else
		xfer_admit(c, true);
	return true;
}

static void
granted_failure(struct conn *c)
{
	struct failure *f = limiter_failure(c->x.route->rev);

	refuse_failed(c, f);
	failure_unref(&f);
}

static void
granted(struct conn *c)
{
	struct xfer *x = &c->x;
	struct waiter *waiter = &x->waiter;
	struct instance *inst;
	bool was_parked = x->state == XFER_PARKED;
	int fd;

	xfer_set_state(x, XFER_ROUTED);
	if (waiter->is_failed) {
		granted_failure(c);
		return;
	}
	if (decline(c))
		return;
	inst = waiter->inst;
	fd = waiter->fd;
	waiter->inst = NULL;
	waiter->fd = -1;
	x->is_paced = x->is_paced || waiter->is_paced;
	if (was_parked)
		note_granted(c);
	if (fd >= 0)
		go_on_fd(c, inst, fd);
	else
		go(c, inst);
	instance_unref(&inst);
}

void
xfer_granted(struct waiter *waiter)
{
	struct conn *c = xfer_conn(container_of(waiter, struct xfer, waiter));

	granted(c);
	conn_advance(c);
}

static void
on_deadline(void *arg)
{
	struct shard *s = arg;
	struct list_node *node;
	int64_t now = clk_now();

	while ((node = list_first(&s->parked)) != NULL) {
		struct xfer *x = container_of(node, struct xfer, node);
		struct conn *c = xfer_conn(x);

		c->w->now = now;
		if (x->deadline_ns > now) {
			arm_deadline(s, c->w);
			break;
		}
		refuse_late(c);
		conn_advance(c);
	}
}

/* --- response heads --- */

void
xfer_interim_seen(struct conn *c, uint32_t status)
{
	head_free(c->w, &c->x); /* a byte of an answer has come: it is not sent again */
	if (!c->x.is_expecting || status != 100)
		return;
	c->x.is_expecting = false;
	c->since_ns = c->w->now; /* the body's time begins */
	conn_arm(c);
}

void
xfer_head_seen(struct conn *c)
{
	struct xfer *x = &c->x;

	pace_done(x, x->up->inst);
	if (x->is_cold)
		cold_note(c);
	head_free(c->w, x); /* it has been answered: it is not sent again */
}
