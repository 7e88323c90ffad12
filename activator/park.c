#include "activator/park.h"

#include "activator/access_note.h"
#include "activator/codec.h"
#include "activator/conn.h"
#include "activator/shard.h"
#include "activator/worker_impl.h"
#include "common/clk.h"

static void on_deadline(void *shard);

/* s->parked is kept in the order of deadlines (xfer_set_state()): set the timer for the first. */
static void
arm_deadline(struct shard *s, struct worker *w)
{
	struct xfer *x = container_of(list_first(&s->parked), struct xfer, node);

	if (!s->has_timer)
		loop_timer_init(&s->deadline_timer, w->loop, on_deadline, s);
	s->has_timer = true;
	loop_timer_set(&s->deadline_timer, x->deadline_ns - w->now);
}

static void
on_deadline(void *arg)
{
	struct shard *s = arg;
	struct list_node *node;
	int64_t now = clk_now();

	while ((node = list_first(&s->parked)) != NULL) {
		struct xfer *x = container_of(node, struct xfer, node);
		struct worker *w = x->w;

		w->now = now;
		if (x->deadline_ns > now) {
			arm_deadline(s, w);
			break;
		}
		w->on_late(x); /* takes it off the list */
	}
}

void
park_queued(struct xfer *x)
{
	struct worker *w = x->w;

	x->is_cold = x->is_cold || !shard_has_open(x->shard);
	x->is_first = x->waiter.is_first; /* is not changed while it is queued */
	if (x->parked_ns == 0)
		x->parked_ns = w->now;
	if (x->is_cold && x->note.data != NULL)
		access_note_asks(x);
	headbuf_set_exact(&x->head, &w->heads, x->head.data != NULL ? x->head.data : w->write_buf,
			  x->head_n);
	x->conn->codec->keep(x);
	if (x->is_counted) /* from here on it counts as parked */
		shard_in_flight(x->shard, w->now, -1);
	xfer_set_state(x, XFER_PARKED);
	if (list_first(&x->shard->parked) == &x->node)
		arm_deadline(x->shard, w);
}

void
park_unrouted(struct xfer *x, char *buf, size_t head_n)
{
	x->head_n = (uint32_t)head_n;
	if (!xfer_hold(x, false)) {
		xfer_refuse(x, OUT_QUEUE_FULL, NULL);
		return;
	}
	x->conn->codec->unread_head(x, buf, head_n);
	x->deadline_ns = x->w->now + x->w->conf->limits.activation_timeout;
	xfer_set_state(x, XFER_UNROUTED);
}

void
park_unrouted_end(struct xfer *x)
{
	access_note_drop(x); /* its revision may have another access log */
	xfer_set_state(x, XFER_NEW);
}
