/* shard - one worker's counting of one revision: requests in flight and parked,
 * integrated over time, so that the autoscaler gets averages and not samples. */
#include <stdlib.h>

#include "activator/plane.h"

struct shard *
shard_of(struct worker *w, struct revision *rev)
{
	struct shard *s = &rev->shards[w->index];

	if (!list_linked(&s->node)) {
		revision_ref(rev);
		list_push(&w->shards, &s->node);
		s->period_start_ns = s->changed_ns = w->now;
	}
	return s;
}

static void
count(struct shard *s, int64_t now)
{
	uint32_t n = s->in_flight + s->parked_n;

	s->integral_ns += (double)n * (double)(now - s->changed_ns);
	s->changed_ns = now;
}

void
shard_in_flight(struct shard *s, int64_t now, int n)
{
	count(s, now);
	s->in_flight = (uint32_t)((int)s->in_flight + n);
	s->peak = MAX(s->peak, s->in_flight + s->parked_n);
}

void
shard_parked(struct shard *s, int64_t now, int n)
{
	count(s, now);
	s->parked_n = (uint32_t)((int)s->parked_n + n);
	s->peak = MAX(s->peak, s->in_flight + s->parked_n);
}

static void
take_period(struct shard *s, struct shard_period *p, int64_t now)
{
	int64_t span = now - s->period_start_ns;

	count(s, now);
	*p = (struct shard_period){
		.rev = revision_ref(s->rev),
		.concurrency = span > 0 ? s->integral_ns / (double)span : 0,
		.peak = s->peak,
		.in_flight = s->in_flight,
		.parked = s->parked_n,
		.requests = s->period_requests,
		.completed = s->period_completed,
		.latency_s = s->period_latency_s,
	};
	s->integral_ns = 0;
	s->period_start_ns = now;
	s->peak = s->in_flight + s->parked_n;
	s->period_requests = s->period_completed = 0;
	s->period_latency_s = 0;
}

/* Nothing is left of it here; shard_of() lists it again. */
static void
forget(struct worker *w, struct shard *s)
{
	struct revision *rev = s->rev;

	if (s->has_timer)
		loop_timer_fini(&s->deadline_timer);
	s->has_timer = false;
	list_remove(&w->shards, &s->node);
	revision_unref(&rev);
}

void
shard_collect(struct worker *w, struct worker_period *p, int64_t now)
{
	struct list_node *node, *tmp;

	p->v = xcalloc(w->shards.n, sizeof *p->v);
	LIST_FOREACH(&w->shards, node, tmp) {
		struct shard *s = container_of(node, struct shard, node);
		bool is_idle = s->in_flight + s->parked_n == 0 && s->period_requests == 0 &&
			       s->integral_ns <= 0;

		p->period_ns = MAX(p->period_ns, now - s->period_start_ns);
		if (!is_idle) {
			take_period(s, &p->v[p->n++], now);
		} else if (s->set == NULL && list_empty(&s->parked)) {
			forget(w, s);
		} else {
			s->period_start_ns = s->changed_ns = now;
		}
	}
}

/* Is inst in set? */
static bool
holds(const struct instance_set *set, const struct instance *inst)
{
	uint32_t i;

	for (i = 0; set != NULL && i < set->n; i++)
		if (set->v[i] == inst)
			return true;
	return false;
}

void
shard_set(struct worker *w, struct revision *rev, struct instance_set *set)
{
	struct shard *s = shard_of(w, rev);
	struct instance_set *old = s->set;
	uint32_t i;

	s->set = set->n > 0 ? instance_set_ref(set) : NULL;
	for (i = 0; old != NULL && i < old->n; i++)
		if (!holds(set, old->v[i]))
			upstream_shed(w, old->v[i]);
	instance_set_unref(&old);
}
