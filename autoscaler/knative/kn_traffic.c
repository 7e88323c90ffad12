#include "autoscaler/knative/kn_traffic.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "common/text.h"

/* --- lists of targets --- */

void
kn_targets_fini(struct kn_targets *t)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		free(t->v[i].tag);
		free(t->v[i].revision);
		free(t->v[i].configuration);
	}
	free(t->v);
	*t = (struct kn_targets){.n = 0};
}

void
kn_targets_add(struct kn_targets *t, const struct kn_target *from)
{
	t->v = xrealloc(t->v, (t->n + 1) * sizeof *t->v);
	t->v[t->n++] = (struct kn_target){.tag = xstrdup(from->tag),
					  .revision = xstrdup(from->revision),
					  .configuration = xstrdup(from->configuration),
					  .percent = from->percent,
					  .is_latest = from->is_latest};
}

static void
merge(struct kn_targets *t, const struct kn_target *from)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (strcmp(t->v[i].tag, from->tag) == 0 &&
		    strcmp(t->v[i].revision, from->revision) == 0 &&
		    t->v[i].is_latest == from->is_latest) {
			t->v[i].percent += from->percent;
			return;
		}
	kn_targets_add(t, from);
}

/* --- resolving --- */

struct resolution {
	const struct kn_context *ctx;
	const char *ns;
	const char *service; /* that owns the Route; "": none does */
	struct kn_plan *plan;
	struct kn_targets *targets;
	struct kn_traffic_problem *problem;
};

/* Of several problems the first counts, but one that does not pass goes before one that may.
 * message is taken over. */
static void
fail(struct resolution *r, enum kn_truth truth, const char *reason, char *message)
{
	struct kn_traffic_problem *p = r->problem;

	if (p->message != NULL && (p->truth == KN_FALSE || truth != KN_FALSE)) {
		free(message);
		return;
	}
	free(p->message);
	*p = (struct kn_traffic_problem){.truth = truth, .reason = reason, .message = message};
}

/* The document of the object, the caller's; NULL: there is none, or it is going. */
static json_t *
get(struct resolution *r, enum kn_kind kind, const char *name)
{
	const struct kn_object *o = kn_cache_find(r->ctx->cache, kind, r->ns, name);

	kn_plan_track(r->plan, kind, r->ns, name);
	return o == NULL || o->is_foreign || o->is_deleting ? NULL : kn_object_json(o);
}

static void
fail_missing_revision(struct resolution *r, const char *name)
{
	fail(r, KN_FALSE, "RevisionMissing",
	     xasprintf("Revision \"%s\" referenced in traffic not found.", name));
}

static void
fail_missing_configuration(struct resolution *r, const char *name)
{
	fail(r, KN_FALSE, "ConfigurationMissing",
	     xasprintf("Configuration \"%s\" referenced in traffic not found.", name));
}

/* A Route of a Service names Revisions of that Service alone. */
static bool
may_name(struct resolution *r, const json_t *revision, const char *name)
{
	const char *owner = kn_json_text(revision, "metadata", "labels", KN_LABEL_SERVICE, NULL);

	if (r->service[0] == '\0' || strcmp(owner, r->service) == 0)
		return true;
	fail(r, KN_FALSE, "RevisionNotOwned",
	     xasprintf("Revision \"%s\" belongs to Service \"%s\", not Service \"%s\".", name,
		       owner, r->service));
	return false;
}

static bool
has_configuration(struct resolution *r, const char *name)
{
	json_t *configuration;
	bool is_there;

	if (name[0] == '\0')
		return true;
	configuration = get(r, KN_CONFIGURATION, name);
	is_there = configuration != NULL;
	if (!is_there)
		fail_missing_configuration(r, name);
	json_decref(configuration);
	return is_there;
}

static void
take_revision(struct resolution *r, struct kn_target *t, const char *name)
{
	json_t *revision = get(r, KN_REVISION, name);
	const char *configuration = kn_json_text(revision, "metadata", "labels",
						 KN_LABEL_CONFIGURATION, NULL);

	if (revision == NULL) {
		fail_missing_revision(r, name);
		return;
	}
	t->revision = (char *)(uintptr_t)name;
	t->configuration = (char *)(uintptr_t)configuration;
	if (!may_name(r, revision, name) || !has_configuration(r, configuration))
		;
	else if (kn_is_ready(revision))
		merge(r->targets, t);
	else if (kn_is_failed(revision))
		fail(r, KN_FALSE, "RevisionMissing",
		     xasprintf("Revision \"%s\" failed to become ready.", name));
	else
		fail(r, KN_UNKNOWN, "RevisionMissing",
		     xasprintf("Revision \"%s\" is not yet ready.", name));
	json_decref(revision);
}

static void
take_latest(struct resolution *r, struct kn_target *t, const char *name,
	    const json_t *configuration)
{
	const char *latest = kn_json_text(configuration, "status", "latestReadyRevisionName", NULL);
	json_t *revision;

	if (latest[0] == '\0' && kn_is_failed(configuration)) {
		fail(r, KN_FALSE, "RevisionMissing",
		     xasprintf("Configuration \"%s\" does not have any ready Revision.", name));
		return;
	}
	if (latest[0] == '\0') {
		fail(r, KN_UNKNOWN, "RevisionMissing",
		     xasprintf("Configuration \"%s\" is waiting for a Revision to become ready.",
			       name));
		return;
	}
	revision = get(r, KN_REVISION, latest);
	t->revision = (char *)(uintptr_t)latest;
	t->configuration = (char *)(uintptr_t)name;
	if (revision == NULL)
		fail_missing_revision(r, latest);
	else
		merge(r->targets, t);
	json_decref(revision);
}

static void
take_configuration(struct resolution *r, struct kn_target *t, const char *name)
{
	json_t *configuration = get(r, KN_CONFIGURATION, name);

	if (configuration == NULL)
		fail_missing_configuration(r, name);
	else
		take_latest(r, t, name, configuration);
	json_decref(configuration);
}

static void
take_target(struct resolution *r, const json_t *spec)
{
	const char *revision = kn_json_text(spec, "revisionName", NULL);
	const char *configuration = kn_json_text(spec, "configurationName", NULL);
	struct kn_target t = {.tag = (char *)(uintptr_t)kn_json_text(spec, "tag", NULL),
			      .percent = kn_json_number(spec, "percent", 0),
			      .is_latest = revision[0] == '\0'};

	if (revision[0] != '\0')
		take_revision(r, &t, revision);
	else if (configuration[0] != '\0')
		take_configuration(r, &t, configuration);
	else
		fail(r, KN_FALSE, "RevisionMissing",
		     xstrdup("A traffic target names neither a Revision nor a Configuration."));
}

int
kn_traffic_resolve(const struct kn_context *ctx, const json_t *route, struct kn_plan *plan,
		   struct kn_targets *targets, struct kn_traffic_problem *problem)
{
	const json_t *traffic = kn_json_at(route, "spec", "traffic", NULL);
	struct resolution r = {
		.ctx = ctx,
		.ns = kn_json_text(route, "metadata", "namespace", NULL),
		.service = kn_json_text(route, "metadata", "labels", KN_LABEL_SERVICE, NULL),
		.plan = plan,
		.targets = targets,
		.problem = problem};
	size_t i;

	*targets = (struct kn_targets){.n = 0};
	*problem = (struct kn_traffic_problem){.message = NULL};
	for (i = 0; i < json_array_size(traffic); i++)
		take_target(&r, json_array_get(traffic, i));
	if (targets->n == 0 && problem->message == NULL)
		fail(&r, KN_FALSE, "RevisionMissing", xstrdup("The Route has no traffic targets."));
	if (problem->message == NULL)
		return 0;
	kn_targets_fini(targets);
	return -1;
}

/* --- as they were resolved --- */

static void
add_resolved(const struct kn_cache *cache, const char *ns, const json_t *entry,
	     struct kn_targets *targets)
{
	const char *name = kn_json_text(entry, "revisionName", NULL);
	const struct kn_object *o = kn_cache_find(cache, KN_REVISION, ns, name);
	json_t *revision = o == NULL || o->is_foreign ? NULL : kn_object_json(o);

	kn_targets_add(
		targets,
		&(struct kn_target){
			.tag = (char *)(uintptr_t)kn_json_text(entry, "tag", NULL),
			.revision = (char *)(uintptr_t)name,
			.configuration = (char *)(uintptr_t)kn_json_text(
				revision, "metadata", "labels", KN_LABEL_CONFIGURATION, NULL),
			.percent = kn_json_number(entry, "percent", 0),
			.is_latest = json_is_true(kn_json_at(entry, "latestRevision", NULL))});
	json_decref(revision);
}

void
kn_traffic_of_status(const struct kn_cache *cache, const char *ns, const json_t *status,
		     struct kn_targets *targets)
{
	const json_t *traffic = kn_json_at(status, "traffic", NULL);
	size_t i;

	*targets = (struct kn_targets){.n = 0};
	for (i = 0; i < json_array_size(traffic); i++)
		add_resolved(cache, ns, json_array_get(traffic, i), targets);
}
