#include "activator/reroute.h"

#include "activator/access_note.h"
#include "activator/conn.h"
#include "activator/dispatch.h"
#include "activator/shard.h"
#include "activator/worker_impl.h"
#include "common/request_counts.h"

/* -> ROUTED, and on from there. */
static void
move(struct xfer *x, const struct route_service *service, const struct route_revision *route)
{
	struct worker *w = x->w;
	struct snapshot *old = x->snapshot;

	xfer_let_go(x);
	shard_counts(x->shard)->ends[REQUEST_MOVED]++;
	if (x->note.data != NULL)
		access_note_rerouted(x);
	x->snapshot = snapshot_ref(w->snapshot);
	x->service = service;
	x->route = route;
	x->shard = shard_of(w, route->rev);
	metric_add(&x->shard->requests, 1);
	x->shard->period_requests += !x->is_serve_only;
	snapshot_unref(&old);
	dispatch_admit(x, true);
}

static void
reroute(struct xfer *x)
{
	struct worker *w = x->w;
	const struct route_service *service;
	const struct route_revision *route = routes_pick(w->snapshot->routes, x->service->name,
							 worker_random(w), &service);

	if (route == NULL)
		xfer_refuse(x, OUT_NO_ROUTE, "the service was removed");
	else
		move(x, service, route);
	conn_advance(x);
}

static struct xfer *
first_parked(const struct shard *s)
{
	struct list_node *node = list_first(&s->parked);

	return node == NULL ? NULL : container_of(node, struct xfer, node);
}

void
reroute_parked(struct worker *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->shards, node, tmp) {
		const struct shard *s = container_of(node, struct shard, node);
		struct xfer *x = first_parked(s);

		/* All that are parked at a revision belong to one service. */
		if (x == NULL || routes_leads_to(w->snapshot->routes, x->service->name, s->rev))
			continue;
		for (; x != NULL; x = first_parked(s))
			reroute(x);
	}
}
