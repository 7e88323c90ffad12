#include "autoscaler/status.h"

#include "autoscaler/facts.h"
#include "autoscaler/reconcile/drain.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/reconcile/swaps.h"
#include "autoscaler/share_view.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/jput.h"
#include "common/strbuf.h"

const char *const status_params[] = {"revision", NULL};

static const char *const state_names[] = {"starting", "ready", "stopping"};

static double
seconds_since(int64_t ns)
{
	return (double)((clk_now() - ns) / CLK_MS) / 1000;
}

static void
put_activators(struct jput *j, const struct facts *f)
{
	struct hub_peer *p = NULL;

	jput_array(j, "activators");
	while ((p = hub_next_activator(f->hub, p)) != NULL) {
		jput_object(j, NULL);
		jput_string(j, "id", p->id);
		jput_string_if(j, "version", p->version);
		jput_double(j, "connected_s", seconds_since(p->since_ns));
		jput_u64(j, "messages", p->lines);
		jput_i64(j, "generation", swaps_used(f->swaps, p->serial));
		jput_bool(j, "silent", reconcile_is_silent(f->reconcile, p->id));
		jput_object_end(j);
	}
	jput_array_end(j);
}

static void
put_instance(struct jput *j, const struct scaled_revision *rev, const struct scaled_instance *i)
{
	jput_object(j, NULL);
	jput_string(j, "id", i->id);
	jput_string_if(j, "address", i->address);
	if (i->address != NULL)
		jput_u64(j, "port", i->port);
	jput_string(j, "state", state_names[i->state]);
	jput_bool(j, "answers", i->is_answering);
	jput_u64(j, "in_flight", reports_at_instance(&rev->reports, i->id));
	if (i->started_ns > 0)
		jput_double(j, "age_s", seconds_since(i->started_ns));
	if (i->cpu_s >= 0)
		jput_double(j, "cpu_s", i->cpu_s);
	if (i->memory_bytes > 0)
		jput_u64(j, "memory_bytes", i->memory_bytes);
	jput_object_end(j);
}

static void
put_instances(struct jput *j, const struct scaled_revision *rev)
{
	size_t i;

	if (!rev->is_known) {
		jput_null(j, "instances");
		return;
	}
	jput_array(j, "instances");
	for (i = 0; i < rev->instances.n; i++)
		put_instance(j, rev, &rev->instances.v[i]);
	jput_array_end(j);
}

static void
put_drains(struct jput *j, struct scaled_revision *rev)
{
	static const char *const names[] = {"asked", "drained", "issued"};
	struct list_node *node, *tmp;

	jput_array(j, "drains");
	LIST_FOREACH(&rev->drains, node, tmp) {
		const struct drain_request *d = container_of(node, struct drain_request, node);

		jput_object(j, NULL);
		jput_string(j, "token", d->token);
		jput_string_if(j, "instance", d->instance);
		jput_string(j, "state", names[d->state]);
		jput_u64(j, "unanswered", drain_owing(d));
		jput_double(j, "age_s", seconds_since(d->begun_ns));
		jput_object_end(j);
	}
	jput_array_end(j);
}

static void
put_failure(struct jput *j, const struct scaled_revision *rev)
{
	if (rev->failure == NULL)
		return;
	jput_object(j, "failure");
	jput_string(j, "reason", rev->failure->reason);
	jput_string(j, "message", rev->failure->message);
	jput_double(j, "age_s", seconds_since(rev->failed_ns));
	jput_object_end(j);
}

/* What was learned of idle times, in words; nothing where keep_warm = fixed. */
static void
put_keep_warm(struct jput *j, const struct scaled_revision *rev)
{
	struct strbuf text;

	strbuf_init(&text, 0);
	brain_explain_idleness(rev->brain, &text);
	if (text.len > 0)
		jput_string(j, "keep_warm", strbuf_str(&text));
	strbuf_fini(&text);
}

static void
put_decision(struct jput *j, const struct scaled_revision *rev)
{
	jput_u64(j, "claimed", rev->wanted.claim);
	jput_u64(j, "wanted", rev->wanted.n);
	jput_u64(j, "scale_sent", rev->scale_sent);
	jput_u64(j, "surge", rev->surge);
	if (rev->has_scale)
		jput_u64(j, "scale", rev->scale);
	if (rev->hold.is_on)
		jput_u64(j, "held", rev->hold.n);
	jput_string_if(j, "held_by", scaled_holder(rev));
	jput_string_if(j, "held_back", rev->held_back);
	jput_string(j, "rule", decide_rule_name(rev->wanted.rule));
	jput_string(j, "why", decide_rule_text(rev->wanted.rule));
	put_keep_warm(j, rev);
	jput_u64(j, "decided", rev->decided.wanted);
	jput_string(j, "decided_rule", decide_rule_name(rev->decided.rule));
	jput_bool(j, "panicking", rev->decided.is_panicking);
	jput_double(j, "target", rev->decided.target);
	jput_bool(j, "dry_run", scaled_is_dry(rev));
	if (scaled_is_dry(rev))
		jput_u64(j, "would_want", rev->dryrun.n);
}

static void
put_observed(struct jput *j, const struct scaled_revision *rev)
{
	struct decide_view view;

	scaled_fill_view(rev, &view, false, clk_now());
	jput_u64(j, "ready", view.ready);
	jput_u64(j, "starting", view.starting);
	jput_u64(j, "parked", view.parked);
	jput_u64(j, "in_flight", view.in_flight);
	jput_double(j, "stable", view.has_stable ? view.stable : -1);
	jput_double(j, "panic", view.has_panic ? view.panic : -1);
	jput_double(j, "latency_s", view.latency_s);
	jput_double(j, "start_s", view.start_s);
	jput_double(j, "busy_lease_s", view.busy_lease_s);
}

static void
put_revision(struct jput *j, const struct reconcile *r, struct scaled_revision *rev)
{
	jput_object(j, NULL);
	jput_string(j, "name", scaled_name(rev));
	jput_string(j, "state", scaled_state_name(rev));
	jput_bool(j, "external", rev->is_external);
	jput_bool(j, "leaving", rev->is_leaving);
	if (scaled_is_decided(rev))
		put_decision(j, rev);
	put_observed(j, rev);
	put_instances(j, rev);
	share_view_put(j, r, scaled_name(rev));
	put_drains(j, rev);
	put_failure(j, rev);
	jput_object_end(j);
}

static void
put_revisions(struct jput *j, const struct reconcile *r, const char *only)
{
	struct scaled_revision *rev;
	size_t at = 0;

	jput_array(j, "revisions");
	if (only != NULL && (rev = reconcile_find(r, only)) != NULL)
		put_revision(j, r, rev);
	while (only == NULL && (rev = reconcile_next(r, &at)) != NULL)
		put_revision(j, r, rev);
	jput_array_end(j);
}

void
status_answer(struct admin_request *req, const struct facts *f)
{
	const char *name = req->param(req, "revision");
	struct jput j;

	if (name != NULL && reconcile_find(f->reconcile, name) == NULL) {
		req->status = 404;
		strbuf_adds(req->body, "no such revision; /status without ?revision= lists all\n");
		return;
	}
	req->content_type = "application/json";
	jput_init(&j, req->body);
	jput_object(&j, NULL);
	jput_string(&j, "id", f->id);
	jput_string(&j, "version", daemon_version);
	jput_string(&j, "driver", f->driver);
	jput_double(&j, "uptime_s", seconds_since(f->started_ns));
	jput_i64(&j, "generation", f->generation);
	reload_put(&j, &f->reloads);
	jput_bool(&j, "stopping", f->is_stopping);
	jput_i64(&j, "routed_generation", f->swaps->routed);
	put_activators(&j, f);
	put_revisions(&j, f->reconcile, name);
	jput_object_end(&j);
	strbuf_adds(req->body, "\n");
}
