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

/* The first request parked at the revision whose service leads no requests there any more; NULL:
 * there is none.  Those of one service mostly follow one another. */
static struct xfer *
first_astray(const struct worker *w, const struct shard *s)
{
	const struct route_service *right = NULL;
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->parked, node, tmp) {
		struct xfer *x = container_of(node, struct xfer, node);

		if (x->service == right)
			continue;
		if (!routes_leads_to(w->snapshot->routes, x->service->name, s->rev))
			return x;
		right = x->service;
	}
	return NULL;
}

void
reroute_parked(struct worker *w)
{
	struct list_node *node, *tmp;
	struct xfer *x;

	LIST_FOREACH(&w->shards, node, tmp) {
		const struct shard *s = container_of(node, struct shard, node);

		while ((x = first_astray(w, s)) != NULL)
			reroute(x);
	}
}
