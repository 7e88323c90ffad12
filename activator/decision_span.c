#include "activator/decision_span.h"

#include <stdlib.h>

#include "activator/access/access_log.h"
#include "activator/failure.h"
#include "activator/limiter.h"
#include "activator/revision.h"
#include "activator/slots.h"
#include "common/clk.h"
#include "common/metric.h"
#include "common/random.h"

struct decision_span {
	struct access_span_ref self, activation, links[ACTIVATION_LINKS];
	size_t links_n;
	bool has_activation;
	char *rule, *why;
	uint32_t from, to;
	bool is_announced; /* the autoscaler has said since that it wants so many */
	int64_t began_ns;
};

static void
begin_trace(struct access_span_ref *ref)
{
	access_span_id(ref->trace, random_u64());
	access_span_id(ref->trace + SPAN_ID_SIZE, random_u64());
}

struct decision_span *
decision_span_begin(struct revision *rev, const struct msg_scaling *m)
{
	struct decision_span *d = xcalloc(1, sizeof *d);

	d->rule = xstrdup(m->rule);
	d->why = xstrdup(m->why);
	d->from = m->from;
	d->to = m->to;
	d->began_ns = clk_now();
	d->has_activation = activation_span_copy(rev, &d->activation, d->links, &d->links_n);
	if (d->has_activation)
		memcpy(d->self.trace, d->activation.trace, sizeof d->self.trace);
	else
		begin_trace(&d->self);
	access_span_id(d->self.span, random_u64());
	return d;
}

static uint32_t
answering(const struct revision *rev)
{
	struct list_node *node = rev->instances.head.next;
	uint32_t n = 0;

	for (; node != &rev->instances.head; node = node->next) {
		const struct instance *inst = container_of(node, struct instance, node);

		n += inst->state != INSTANCE_STOPPING &&
		     !instance_is_closed_by(inst, SLOTS_UNREADY);
	}
	return n;
}

static void
put(struct decision_span **dp, struct revision *rev, const struct span_port *port,
    const char *outcome, const char *reason)
{
	struct decision_span *d = *dp;
	int64_t now = clk_now(), wall_minus_now = clk_wall() - now;
	struct access_decision v = {.self = d->self,
				    .has_parent = d->has_activation,
				    .links = d->links,
				    .links_n = d->links_n,
				    .revision = access_text_of(rev->name),
				    .rule = access_text_of(d->rule),
				    .why = access_text_of(d->why),
				    .outcome = access_text_of(outcome),
				    .reason = access_text_of(reason),
				    .has_failed = reason != NULL,
				    .from = d->from,
				    .to = d->to,
				    .answering = answering(rev),
				    .from_ns = d->began_ns + wall_minus_now,
				    .upto_ns = now + wall_minus_now};
	char *out = access_ring_reserve(port->ring, access_span_decision_room(&v));

	memcpy(v.parent, d->activation.span, sizeof v.parent);
	if (out == NULL)
		metric_add(&port->ring->lost, 1);
	else
		access_ring_commit(port->ring, (size_t)(access_span_put_decision(out, &v) - out));
	access_log_announce(port->log, port->ring);
	*dp = NULL;
	free(d->rule);
	free(d->why);
	free(d);
}

void
decision_span_look(struct decision_span **dp, struct revision *rev, const struct span_port *port)
{
	struct decision_span *d = *dp;
	struct failure *f;
	uint32_t wanted;

	if (d == NULL)
		return;
	pthread_mutex_lock(&rev->lock);
	wanted = rev->wanted;
	pthread_mutex_unlock(&rev->lock);
	d->is_announced |= wanted >= d->to;
	f = limiter_failure(rev);
	if (answering(rev) >= d->to)
		put(dp, rev, port, "ready", NULL);
	else if (failure_is_refusing(f, clk_now()))
		put(dp, rev, port, "failed", f->message);
	else if (d->is_announced && wanted < d->to)
		decision_span_end(dp, rev, port, true);
	failure_unref(&f);
}

void
decision_span_end(struct decision_span **dp, struct revision *rev, const struct span_port *port,
		  bool is_superseded)
{
	if (*dp != NULL)
		put(dp, rev, port, is_superseded ? "superseded" : "unknown", NULL);
}
