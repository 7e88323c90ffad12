#include "activator/activation_span.h"

#include <stdlib.h>

#include "activator/access/access_log.h"
#include "activator/failure.h"
#include "activator/limiter.h"
#include "activator/revision.h"
#include "common/clk.h"
#include "common/metric.h"

struct activation_span {
	struct access_span_ref self, links[ACTIVATION_LINKS];
	uint64_t requests;
	int64_t first_ns; /* when the first of them joined */
};

static bool
is_any_open_locked(const struct revision *rev)
{
	uint32_t i;

	for (i = 0; rev->set != NULL && i < rev->set->n; i++)
		if (instance_is_open(rev->set->v[i]))
			return true;
	return false;
}

static struct activation_span *
begin_locked(struct revision *rev, const struct access_span_ref *fresh, int64_t now_ns)
{
	struct activation_span *s = xcalloc(1, sizeof *s);

	s->self = *fresh;
	s->first_ns = now_ns;
	atomic_store_explicit(&rev->activation_span, s, memory_order_release);
	return s;
}

bool
activation_span_join(struct revision *rev, const struct access_span_ref *request,
		     const struct access_span_ref *fresh, int64_t now_ns,
		     struct access_span_ref *out)
{
	struct activation_span *s;
	bool is_open;

	pthread_mutex_lock(&rev->lock);
	is_open = is_any_open_locked(rev);
	if (!is_open) {
		s = atomic_load_explicit(&rev->activation_span, memory_order_relaxed);
		if (s == NULL)
			s = begin_locked(rev, fresh, now_ns);
		if (s->requests < ACTIVATION_LINKS)
			s->links[s->requests] = *request;
		s->requests++;
		*out = s->self;
	}
	pthread_mutex_unlock(&rev->lock);
	return !is_open;
}

bool
activation_span_is_begun(const struct revision *rev)
{
	return atomic_load_explicit(&rev->activation_span, memory_order_acquire) != NULL;
}

bool
activation_span_copy(struct revision *rev, struct access_span_ref *self,
		     struct access_span_ref *links, size_t *n)
{
	const struct activation_span *s;

	pthread_mutex_lock(&rev->lock);
	s = atomic_load_explicit(&rev->activation_span, memory_order_relaxed);
	if (s != NULL) {
		*self = s->self;
		*n = (size_t)MIN(s->requests, (uint64_t)ACTIVATION_LINKS);
		memcpy(links, s->links, *n * sizeof *links);
	}
	pthread_mutex_unlock(&rev->lock);
	return s != NULL;
}

static struct activation_span *
take(struct revision *rev, uint32_t *wanted)
{
	struct activation_span *s;

	pthread_mutex_lock(&rev->lock);
	s = atomic_exchange_explicit(&rev->activation_span, NULL, memory_order_relaxed);
	*wanted = rev->wanted;
	pthread_mutex_unlock(&rev->lock);
	return s;
}

static void
write_span(struct access_ring *ring, const struct access_activation *v)
{
	char *out = access_ring_reserve(ring, access_span_activation_room(v));

	if (out == NULL)
		metric_add(&ring->lost, 1);
	else
		access_ring_commit(ring, (size_t)(access_span_put_activation(out, v) - out));
}

void
activation_span_put(struct revision *rev, struct access_ring *ring,
		    const struct activation_span_end *end)
{
	const struct activation *a = &rev->activation;
	const _Atomic int64_t *const ends[] = {
		[COLD_SIGNAL] = &a->signalled_ns,
		[COLD_ACK] = &a->acked_ns,
		[COLD_ADDRESS] = &a->addressed_ns,
		[COLD_CONNECT] = &a->connected_ns,
	};
	struct access_activation v = {
		.revision = access_text_of(rev->name),
		.outcome = access_text_of(end->outcome),
		.reason = access_text_of(end->reason),
		.instance = access_text_of(end->instance),
		.has_failed = end->reason != NULL,
	};
	struct activation_span *s = take(rev, &v.wanted);
	int64_t from_ns;
	size_t i;

	if (s == NULL)
		return;
	from_ns = end->began_ns == 0 ? s->first_ns : MIN(end->began_ns, s->first_ns);
	v.self = s->self;
	v.requests = s->requests;
	v.links = s->links;
	v.links_n = (size_t)MIN(s->requests, (uint64_t)ACTIVATION_LINKS);
	v.from_ns = MIN(from_ns, end->now_ns) + end->wall_minus_now_ns;
	v.upto_ns = end->now_ns + end->wall_minus_now_ns;
	for (i = 0; i < ARRAY_LEN(ends); i++) {
		int64_t ns = atomic_load_explicit(ends[i], memory_order_relaxed);

		v.ends_ns[i] = ns == 0 ? 0 : ns + end->wall_minus_now_ns;
	}
	write_span(ring, &v);
	free(s);
}

void
activation_span_look(struct revision *rev, const struct span_port *port, uint32_t demand,
		     int64_t wake_ns)
{
	struct activation_span_end end = {.began_ns = wake_ns};
	const struct instance *open;
	struct failure *f;

	if (port->log == NULL || !activation_span_is_begun(rev))
		return;
	end.now_ns = clk_now();
	end.wall_minus_now_ns = clk_wall() - end.now_ns;
	f = limiter_failure(rev);
	open = revision_first_open(rev);
	if (open != NULL) {
		end.outcome = "ready";
		end.instance = open->id;
	} else if (failure_is_refusing(f, end.now_ns)) {
		end.outcome = "failed";
		end.reason = f->message;
	} else if (demand == 0) {
		end.outcome = "given_up";
	}
	if (end.outcome != NULL) {
		activation_span_put(rev, port->ring, &end);
		access_log_announce(port->log, port->ring);
	}
	failure_unref(&f);
}
