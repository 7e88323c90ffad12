#include "activator/status.h"

#include <string.h>
#include <unistd.h>

#include "activator/bounds.h"
#include "activator/failure.h"
#include "activator/limiter.h"
#include "activator/metrics.h"
#include "activator/probe.h"
#include "activator/registry.h"
#include "activator/worker.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/jput.h"
#include "common/reload.h"
#include "common/strbuf.h"

static double
seconds(int64_t ns)
{
	return (double)(ns / CLK_MS) / 1000;
}

static void
put_closed_by(struct jput *j, const struct instance *inst)
{
	static const struct {
		uint64_t why;
		const char *name;
	} reasons[] = {
		{SLOTS_UNREADY, "does_not_answer"},
		{SLOTS_STOPPING, "stopping"},
		{SLOTS_DRAIN, "drain"},
		{SLOTS_REV_DRAIN, "drain_of_revision"},
	};
	size_t i;

	jput_array(j, "closed_by");
	for (i = 0; i < ARRAY_LEN(reasons); i++)
		if (instance_is_closed_by(inst, reasons[i].why))
			jput_string(j, NULL, reasons[i].name);
	jput_array_end(j);
}

static void
put_instance(struct jput *j, const struct instance *inst)
{
	static const char *const states[] = {[INSTANCE_STARTING] = "starting",
					     [INSTANCE_READY] = "ready",
					     [INSTANCE_STOPPING] = "stopping"};
	int64_t busy = atomic_load_explicit(&inst->busy_until, memory_order_relaxed) - clk_now();

	jput_object(j, NULL);
	jput_string(j, "id", inst->id);
	jput_string(j, "address", instance_address(inst)->text);
	jput_string(j, "state", states[inst->state]);
	jput_bool(j, "open", instance_is_open(inst));
	put_closed_by(j, inst);
	jput_bool(j, "probed", inst->probe != NULL);
	jput_u64(j, "in_flight", instance_in_flight(inst));
	if (busy > 0)
		jput_double(j, "busy_s", seconds(busy));
	if (instance_has_limit(inst)) {
		jput_u64(j, "connections", permits_count(slots_read(&inst->conns)));
		jput_u64(j, "share", slots_limit(slots_read(&inst->slots)));
	}
	jput_object_end(j);
}

static void
put_instances(struct jput *j, const struct revision *rev)
{
	struct list_node *node, *tmp;

	jput_array(j, "instances");
	LIST_FOREACH(&rev->instances, node, tmp)
		put_instance(j, container_of(node, struct instance, node));
	jput_array_end(j);
}

/* The requests that the workers report to the autoscaler; serve_only ones are not. */
static void
put_reported(struct jput *j, const struct revision *rev)
{
	uint64_t in_flight = 0, parked = 0;
	unsigned i;

	for (i = 0; i < rev->workers_n; i++) {
		in_flight += atomic_load_explicit(&rev->shards[i].in_flight, memory_order_relaxed);
		parked += atomic_load_explicit(&rev->shards[i].parked_n, memory_order_relaxed);
	}
	jput_object(j, "reported");
	jput_u64(j, "in_flight", in_flight);
	jput_u64(j, "parked", parked);
	jput_object_end(j);
}

/* `queued` and `free_slots` are both above 0 only for the moment in which a slot is granted. */
static void
put_queue(struct jput *j, struct revision *rev)
{
	uint32_t limit = rev->limits->v.container_concurrency;
	struct limiter_count n;

	limiter_count(rev, &n);
	jput_u64(j, "container_concurrency", limit);
	jput_u64(j, "queued", n.queued);
	jput_u64(j, "in_flight", n.slots);
	jput_u64(j, "in_flight_most", n.slots_most); /* at one instance */
	jput_u64(j, "free_slots", n.free_slots);     /* one an instance without limit */
	jput_u64(j, "released", n.paced);	     /* paced, response head not seen */
	if (limit > 0) {
		jput_u64(j, "connections", n.conns);
		jput_u64(j, "connections_most", n.conns_most); /* to one instance */
		jput_u64(j, "waiting_for_connection", n.permits_queued);
	}
	put_reported(j, rev);
}

/* Why the revision cannot be started: it has failed, or there is no room for it now. */
static void
put_failure(struct jput *j, struct revision *rev)
{
	struct failure *f = limiter_failure(rev);

	if (f == NULL)
		return;
	if (f->is_parking) {
		jput_string(j, "held_back", f->message);
	} else {
		jput_object(j, "failure");
		jput_string(j, "reason", f->reason);
		jput_string(j, "message", f->message);
		jput_double(j, "retry_after_s", seconds(MAX(f->until_ns - clk_now(), 0)));
		jput_object_end(j);
	}
	failure_unref(&f);
}

static void
put_revision(struct jput *j, struct revision *rev)
{
	uint32_t cold_ms = atomic_load_explicit(&rev->cold_start_ms, memory_order_relaxed);

	jput_object(j, NULL);
	jput_string(j, "name", rev->name);
	jput_u64(j, "wanted", rev->wanted); /* no lock: only this thread writes it */
	jput_bool(j, "external", atomic_load_explicit(&rev->is_external, memory_order_relaxed));
	if (rev->pace > 0)
		jput_u64(j, "pace", rev->pace);
	if (cold_ms > 0)
		jput_u64(j, "cold_start_ms", cold_ms);
	put_queue(j, rev);
	put_failure(j, rev);
	put_instances(j, rev);
	jput_object_end(j);
}

const char *const status_params[] = {"revision", NULL};

void
status_answer(struct admin_request *req, const struct metrics_source *s)
{
	const char *only = req->param(req, "revision");
	struct strbuf *b = req->body;
	struct revision *rev;
	struct jput j;
	size_t at = 0;

	if (only != NULL && registry_find_revision(s->registry, only) == NULL) {
		req->status = 404;
		strbuf_adds(b, "no such revision; /status without ?revision= lists all\n");
		return;
	}
	req->content_type = "application/json";
	jput_init(&j, b);
	jput_object(&j, NULL);
	jput_string(&j, "version", daemon_version);
	jput_double(&j, "uptime_s", seconds(clk_now() - s->started_ns));
	jput_u64(&j, "workers", s->workers_n);
	reload_put(&j, &s->reloads);
	jput_bool(&j, "draining", s->is_draining);
	jput_i64(&j, "pid", getpid());
	jput_u64(&j, "older_processes", s->elders_n);
	jput_bool(&j, "link_up", s->is_link_up);
	if (registry_is_described(s->registry))
		jput_i64(&j, "generation", registry_generation(s->registry));
	jput_u64(&j, "parked", bounds_parked(s->bounds));
	jput_u64(&j, "parked_bytes", bounds_parked_bytes(s->bounds));
	jput_u64(&j, "probed", prober_probed(s->prober));
	jput_array(&j, "revisions");
	while ((rev = registry_next_revision(s->registry, &at)) != NULL)
		if (only == NULL || strcmp(only, rev->name) == 0)
			put_revision(&j, rev);
	jput_array_end(&j);
	jput_object_end(&j);
	strbuf_adds(b, "\n");
}
