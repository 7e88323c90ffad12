#include "activator/shard.h"

#include <stdlib.h>

#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/request_counts.h"

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

bool
shard_has_open(const struct shard *s)
{
	uint32_t i;

	for (i = 0; s->set != NULL && i < s->set->n; i++)
		if (instance_is_open(s->set->v[i]))
			return true;
	return false;
}

static uint32_t
get(const _Atomic uint32_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint32_t
requests(const struct shard *s)
{
	return get(&s->in_flight) + get(&s->parked_n);
}

/* Only the worker writes: the counter needs no atomic addition. */
static void
change(struct shard *s, _Atomic uint32_t *counter, int64_t now, int n)
{
	s->integral_ns += (double)requests(s) * (double)(now - s->changed_ns);
	s->waiting_ns += (double)get(&s->parked_n) * (double)(now - s->changed_ns);
	s->changed_ns = now;
	atomic_store_explicit(counter, (uint32_t)((int)get(counter) + n), memory_order_relaxed);
	s->peak = MAX(s->peak, requests(s));
}

void
shard_in_flight(struct shard *s, int64_t now, int n)
{
	change(s, &s->in_flight, now, n);
}

void
shard_parked(struct shard *s, int64_t now, int n)
{
	change(s, &s->parked_n, now, n);
}

struct request_counts *
shard_counts(struct shard *s)
{
	if (s->counts == NULL)
		s->counts = xcalloc(1, sizeof *s->counts);
	return s->counts;
}

/* How much the counter has grown since it was `counted`. */
static uint64_t
grown(const _Atomic uint64_t *counter, uint64_t *counted)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed), n = now - *counted;

	*counted = now;
	return n;
}

/* What the period adds, or NULL: nothing. */
static struct request_counts *
take_counts(struct shard *s)
{
	struct request_counts more = {
		.requests = grown(&s->requests, &s->counted.requests),
		.bytes_in = grown(&s->bytes_in, &s->counted.bytes_in),
		.bytes_out = grown(&s->bytes_out, &s->counted.bytes_out),
		.cold_starts = grown(&s->cold_starts, &s->counted.cold_starts),
	};
	struct request_counts *counts;

	if (!request_counts_is_empty(&more))
		request_counts_join(shard_counts(s), &more);
	counts = s->counts;
	s->counts = NULL;
	return counts;
}

static void
take_period(struct shard *s, struct shard_period *p, int64_t now)
{
	change(s, &s->in_flight, now, 0);
	*p = (struct shard_period){
		.rev = revision_ref(s->rev),
		.load_s = s->integral_ns / CLK_S,
		.waiting_s = s->waiting_ns / CLK_S,
		.peak = s->peak,
		.in_flight = get(&s->in_flight),
		.parked = get(&s->parked_n),
		.requests = s->period_requests,
		.completed = s->period_completed,
		.latency_s = s->period_latency_s,
		.tally = s->tally,
		.counts = take_counts(s),
		.cold_start = s->cold_start,
	};
	s->tally = NULL;
	s->cold_start = NULL;
	s->integral_ns = s->waiting_ns = 0;
	s->period_start_ns = now;
	s->peak = requests(s);
	s->period_requests = s->period_completed = 0;
	s->period_latency_s = 0;
}

void
shard_forget(struct worker *w, struct shard *s)
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
		bool is_idle = requests(s) == 0 && s->period_requests == 0 && s->integral_ns <= 0 &&
			       s->counts == NULL;

		p->period_ns = MAX(p->period_ns, now - s->period_start_ns);
		if (!is_idle) {
			take_period(s, &p->v[p->n++], now);
		} else if (s->set == NULL && list_empty(&s->parked)) {
			shard_forget(w, s);
		} else {
			s->period_start_ns = s->changed_ns = now;
		}
	}
}

struct instance_set *
shard_set(struct worker *w, struct revision *rev, struct instance_set *set)
{
	struct shard *s = shard_of(w, rev);
	struct instance_set *old = s->set;

	s->set = set->n > 0 ? instance_set_ref(set) : NULL;
	return old;
}
