#include "autoscaler/ctl_views.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/ctl_knative.h"
#include "autoscaler/facts.h"
#include "autoscaler/reconcile/hub.h"
#include "autoscaler/rollouts.h"
#include "autoscaler/services.h"
#include "autoscaler/share_view.h"
#include "autoscaler/versions/document.h"
#include "autoscaler/versions/store.h"
#include "common/clk.h"
#include "common/conf_tree.h"
#include "common/daemon.h"
#include "common/jput.h"
#include "common/settings.h"
#include "common/settings_claims.h"

static double
seconds_since(int64_t ns)
{
	return (double)((clk_now() - ns) / CLK_MS) / 1000;
}

/* A number that is negative where it is unknown. */
static void
put_known(struct jput *j, const char *key, double value, double factor)
{
	if (value < 0)
		jput_null(j, key);
	else
		jput_double(j, key, value * factor);
}

/* --- a revision --- */

static void
put_traffic(struct jput *j, const struct service_conf *service, const char *revision)
{
	uint64_t percent = 0, latest = 0;
	size_t i;

	for (i = 0; i < service->traffic_n; i++)
		if (strcmp(service->traffic[i].revision, revision) == 0) {
			percent += service->traffic[i].percent;
			latest += service->traffic[i].latest;
		}
	jput_u64(j, "percent", percent);
	jput_u64(j, "latest_percent", latest);
	jput_array(j, "tags");
	for (i = 0; i < service->traffic_n; i++)
		if (strcmp(service->traffic[i].revision, revision) == 0 &&
		    service->traffic[i].tag != NULL)
			jput_string(j, NULL, service->traffic[i].tag);
	jput_array_end(j);
}

static void
put_launch(struct jput *j, const struct revision_conf *conf)
{
	const struct launch *l = &conf->launch;

	jput_strings_if(j, "command", &l->command);
	jput_strings_if(j, "addresses", &l->addresses);
	jput_string_if(j, "deployment", l->deployment);
	jput_string_if(j, "workload", l->workload);
}

static void
put_settings(struct jput *j, const struct revision_conf *conf)
{
	jput_string_if(j, "directory", conf->launch.directory);
	jput_string_if(j, "user", conf->launch.user);
	jput_u64(j, "container_concurrency", conf->limits.container_concurrency);
	jput_double(j, "target", conf->scaling.target);
	jput_u64(j, "min_scale", conf->scaling.min_scale);
	jput_u64(j, "max_scale", conf->scaling.max_scale);
}

static void
put_instance(struct jput *j, const struct scaled_revision *rev, const struct scaled_instance *i)
{
	static const char *const names[] = {"starting", "ready", "stopping"};
	const char *state = names[i->state];

	if (i->state == INSTANCE_STARTING && instances_is_ready(i))
		state = "ready";
	jput_object(j, NULL);
	jput_string(j, "id", i->id);
	jput_string(j, "state", state);
	jput_string_if(j, "address", i->address);
	if (i->address != NULL && i->port > 0)
		jput_u64(j, "port", i->port);
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

	jput_array(j, "instances");
	for (i = 0; i < rev->instances.n; i++)
		put_instance(j, rev, &rev->instances.v[i]);
	jput_array_end(j);
}

static void
put_observed(struct jput *j, const struct scaled_revision *rev)
{
	uint32_t ready = instances_ready(&rev->instances);
	uint32_t live = instances_live(&rev->instances);

	jput_string(j, "state", scaled_state_name(rev));
	jput_u64(j, "ready", ready);
	jput_u64(j, "starting", live > ready ? live - ready : 0);
	jput_u64(j, "wanted", scaled_wanted(rev));
	jput_u64(j, "parked", reports_parked(&rev->reports));
	jput_u64(j, "in_flight", reports_in_flight(&rev->reports));
	put_known(j, "requests_per_second", reports_arrivals(&rev->reports), 1);
	put_known(j, "latency_ms", timing_latency_s(&rev->timing), 1000);
	if (scaled_is_decided(rev) && rev->why.n > 0) {
		jput_string(j, "rule", decide_rule_name(rev->wanted.rule));
		jput_string(j, "why", decide_rule_text(rev->wanted.rule));
	}
	if (rev->failure != NULL)
		jput_string(j, "failure", rev->failure->message);
	jput_string_if(j, "held_back", rev->held_back);
	jput_string_if(j, "held_by", scaled_holder(rev));
}

/* Why a rollout to it has gone back. */
static void
put_rejected(struct jput *j, const struct facts *f, const struct service_conf *service,
	     const char *revision)
{
	const struct stored_service *stored = services_source_of(f->services, service) ==
							      SERVICES_OF_STORE
						      ? version_store_find(f->store, service->name)
						      : NULL;
	const struct stored_revision *r = stored == NULL ? NULL
							 : stored_service_find(stored, revision);

	if (r != NULL)
		jput_string_if(j, "rejected", r->rejected);
}

static void
put_revision(struct jput *j, const struct facts *f, const struct service_conf *service,
	     const struct revision_conf *conf, bool is_whole)
{
	const struct scaled_revision *rev = reconcile_find(f->reconcile, conf->full_name);

	jput_object(j, NULL);
	jput_string(j, "name", conf->full_name);
	jput_string(j, "revision", conf->name);
	put_traffic(j, service, conf->name);
	put_launch(j, conf);
	if (rev != NULL)
		put_observed(j, rev);
	put_rejected(j, f, service, conf->name);
	if (is_whole)
		put_settings(j, conf);
	if (is_whole && services_source_of(f->services, service) == SERVICES_OF_FILE)
		jput_u64(j, "line", conf->line);
	if (is_whole && rev != NULL)
		put_instances(j, rev);
	if (is_whole)
		share_view_put(j, f->reconcile, conf->full_name);
	jput_object_end(j);
}

/* A revision that is kept to go back to. */
/* From the text that is stored: the revision has no settings. */
static void
put_stored_command(struct jput *j, const struct stored_revision *r)
{
	char *text = xasprintf("service \"s\" {\nrevision \"r\" {\n%s}\n}\n", r->body);
	struct settings_errors errors = {NULL, 0};
	struct conf_section *root = document_parse(r->name, text, strlen(text), &errors), *at;
	const struct conf_value *command;
	size_t i;

	at = root == NULL ? NULL : conf_section_at(root, IN_SERVICE, 0);
	at = at == NULL ? NULL : conf_section_at(at, IN_REVISION, 0);
	command = at == NULL ? NULL : conf_find(at, "command");
	if (command != NULL) {
		jput_array(j, "command");
		for (i = 0; i < command->n; i++)
			jput_string(j, NULL, command->texts[i]);
		jput_array_end(j);
	}
	settings_errors_free(&errors);
	conf_free(&root);
	free(text);
}

static void
put_inactive(struct jput *j, const struct stored_service *service, const struct stored_revision *r,
	     bool is_whole)
{
	char *name = xasprintf("%s/%s", service->name, r->name);

	jput_object(j, NULL);
	jput_string(j, "name", name);
	jput_string(j, "revision", r->name);
	jput_u64(j, "percent", 0);
	jput_u64(j, "latest_percent", 0);
	jput_array(j, "tags");
	jput_array_end(j);
	if (is_whole)
		put_stored_command(j, r);
	jput_string(j, "state", "inactive");
	jput_string_if(j, "rejected", r->rejected);
	jput_object_end(j);
	free(name);
}

/* --- a service --- */

void
ctl_put_service(struct jput *j, const struct facts *f, const struct service_conf *service,
		bool is_whole)
{
	static const char *const sources[] = {[SERVICES_OF_FILE] = "conf",
					      [SERVICES_OF_STORE] = "store",
					      [SERVICES_OF_KNATIVE] = "knative",
					      [SERVICES_FOUND] = "annotations"};
	enum services_source source = services_source_of(f->services, service);
	const struct stored_service *stored = source == SERVICES_OF_STORE
						      ? version_store_find(f->store, service->name)
						      : NULL;
	size_t i;

	jput_string(j, "name", service->name);
	jput_strings(j, "hosts", settings_hosts_shown(service));
	jput_strings_if(j, "local_hosts", &service->local_hosts);
	jput_strings_if(j, "paths", &service->paths);
	jput_string(j, "source", sources[source]);
	if (stored != NULL)
		jput_u64(j, "generation", stored->generation);
	if (source == SERVICES_OF_FILE) {
		jput_string(j, "file", services_settings(f->services)->file);
		jput_u64(j, "line", service->line);
	}
	if (source == SERVICES_OF_KNATIVE) {
		char *where = ctl_knative_where(service);

		jput_string(j, "changed_by", where);
		free(where);
	}
	jput_string_if(j, "owner", service->owner);
	jput_string_if(j, "cost_center", service->cost_center);
	if (stored != NULL && stored->rollout != NULL) {
		jput_object(j, "rollout");
		rollouts_put(f->rollouts, stored, j);
		jput_object_end(j);
	}
	jput_array(j, "revisions");
	for (i = 0; i < service->revisions_n; i++)
		put_revision(j, f, service, &service->revisions[i], is_whole);
	for (i = 0; stored != NULL && i < stored->n; i++)
		if (!stored_revision_is_active(&stored->v[i]))
			put_inactive(j, stored, &stored->v[i], is_whole);
	jput_array_end(j);
}

/* --- the autoscaler --- */

static void
put_activators(struct jput *j, struct hub *h)
{
	struct hub_peer *p = NULL;

	jput_array(j, "activators");
	while (h != NULL && (p = hub_next_activator(h, p)) != NULL) {
		jput_object(j, NULL);
		jput_string(j, "id", p->id);
		jput_i64(j, "pid", p->pid);
		jput_string_if(j, "version", p->version);
		jput_double(j, "connected_s", seconds_since(p->since_ns));
		jput_object_end(j);
	}
	jput_array_end(j);
}

static void
put_sums(struct jput *j, const struct reconcile *r)
{
	uint64_t revisions = 0, ready = 0, live = 0, parked = 0, in_flight = 0, failing = 0;
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(r, &at)) != NULL) {
		revisions++;
		ready += instances_ready(&rev->instances);
		live += instances_live(&rev->instances);
		parked += reports_parked(&rev->reports);
		in_flight += reports_in_flight(&rev->reports);
		failing += rev->failure != NULL && !rev->failure->is_parking;
	}
	jput_u64(j, "revisions", revisions);
	jput_u64(j, "failing", failing);
	jput_u64(j, "ready", ready);
	jput_u64(j, "starting", live > ready ? live - ready : 0);
	jput_u64(j, "parked", parked);
	jput_u64(j, "in_flight", in_flight);
}

void
ctl_put_status(struct jput *j, const struct facts *f)
{
	const struct settings *s = services_settings(f->services);

	jput_string(j, "id", f->id);
	jput_string(j, "version", daemon_version);
	jput_i64(j, "pid", getpid());
	jput_double(j, "uptime_s", seconds_since(f->started_ns));
	jput_string(j, "driver", f->driver);
	jput_string(j, "file", s->file);
	jput_i64(j, "generation", f->generation);
	jput_u64(j, "reloads", f->reloads.done);
	jput_u64(j, "reload_failures", f->reloads.failed);
	jput_bool(j, "stopping", f->is_stopping);
	jput_u64(j, "services", services_n(f->services));
	put_sums(j, f->reconcile);
	put_activators(j, f->hub);
}
