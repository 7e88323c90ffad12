#include "autoscaler/knative/kn_service.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_configuration.h"
#include "autoscaler/knative/kn_defaults.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_status.h"

#define CONFIGURATIONS_READY "ConfigurationsReady"
#define ROUTES_READY "RoutesReady"

static const char *const dependents[] = {CONFIGURATIONS_READY, ROUTES_READY, NULL};

/* One reconcile of a Service. */
struct service_reconcile {
	const struct kn_context *ctx;
	const struct kn_object *object;
	struct kn_plan *plan;
	const json_t *metadata, *spec; /* of its document */
	struct kn_status status;
};

/* A Configuration or Route of the Service's name. */
enum child_state {
	CHILD_OWN,
	CHILD_ABSENT,
	CHILD_LEAVING, /* it was, and is being deleted */
	CHILD_FOREIGN, /* it is something else's */
	CHILD_ORPHAN,  /* likewise, but it goes soon: it was an earlier Service's of the name */
};

struct service_child {
	enum child_state state;
	const struct kn_object *object;
	json_t *document; /* NULL: CHILD_ABSENT */
};

static void
child_open(struct service_reconcile *s, enum kn_kind kind, struct service_child *child)
{
	const struct kn_object *o = s->object;

	*child = (struct service_child){
		.object = kn_cache_find(s->ctx->cache, kind, o->ns, o->name)};
	kn_plan_track(s->plan, kind, o->ns, o->name);
	if (child->object == NULL) {
		child->state = CHILD_ABSENT;
		return;
	}
	child->document = kn_object_json(child->object);
	if (kn_is_owned(child->object, o))
		child->state = child->object->is_deleting ? CHILD_LEAVING : CHILD_OWN;
	else if (kn_is_leaving(child->object, o))
		child->state = CHILD_ORPHAN;
	else
		child->state = CHILD_FOREIGN;
}

static void
child_close(struct service_child *child)
{
	json_decref(child->document);
}

static void
mark_not_owned(struct service_reconcile *s, enum kn_kind kind, const struct service_child *child,
	       const char *condition)
{
	char *message = kn_not_owned_message(kind, s->object->name);

	kn_conditions_set(&s->status.conditions, condition,
			  child->state == CHILD_ORPHAN ? KN_UNKNOWN : KN_FALSE, "NotOwned",
			  message);
	free(message);
}

/* Labels and annotations of the Service, for a child. */
static json_t *
copy_labels(const struct service_reconcile *s)
{
	json_t *labels = json_object();

	kn_json_merge_texts(labels, json_object_get(s->metadata, "labels"));
	kn_json_set_text(labels, KN_LABEL_SERVICE, s->object->name);
	return labels;
}

static json_t *
copy_annotations(const struct service_reconcile *s)
{
	json_t *annotations = json_object();

	kn_json_merge_texts(annotations, json_object_get(s->metadata, "annotations"));
	kn_json_set(annotations, KN_ANNOTATION_LAST_APPLIED, NULL);
	return annotations;
}

/* --- the Configuration --- */

/* present: NULL where it is made anew. */
static void
set_configuration(const struct service_reconcile *s, json_t *configuration, const json_t *present)
{
	json_t *metadata = kn_json_child(configuration, "metadata");
	json_t *labels = copy_labels(s), *annotations = copy_annotations(s);
	char *routes = kn_names_with(
		kn_json_text(present, "metadata", "annotations", KN_ANNOTATION_ROUTES, NULL),
		s->object->name);

	kn_json_set_text(labels, KN_LABEL_SERVICE_UID, s->object->uid);
	kn_json_set(annotations, KN_ANNOTATION_ROLLOUT_DURATION, NULL);
	kn_json_set(annotations, KN_ANNOTATION_ROLLOUT_DURATION_OLD, NULL);
	kn_json_set_text(annotations, KN_ANNOTATION_ROUTES, routes);
	free(routes);
	kn_json_set(metadata, "labels", labels);
	kn_json_set(metadata, "annotations", annotations);
	kn_json_set(kn_json_child(configuration, "spec"), "template",
		    kn_json_copy(kn_json_at(s->spec, "template", NULL)));
}

static json_t *
new_child(const struct service_reconcile *s)
{
	json_t *child = json_pack("{s:{s:s, s:o}}", "metadata", "name", s->object->name,
				  "ownerReferences", kn_owner_references(s->object));

	CHECK(child != NULL);
	return child;
}

static void
create(struct service_reconcile *s, enum kn_kind kind, json_t *child)
{
	const char *name = kn_kind_names(kind)->kind;
	char *message = xasprintf("Created %s \"%s\"", name, s->object->name);

	kn_plan_create(s->plan, kind, s->object->ns, child);
	kn_plan_event(s->plan, false, "Created", message);
	free(message);
}

static bool
same_metadata(const json_t *a, const json_t *b)
{
	return kn_json_equal(kn_json_at(a, "metadata", "labels", NULL),
			     kn_json_at(b, "metadata", "labels", NULL)) &&
	       kn_json_equal(kn_json_at(a, "metadata", "annotations", NULL),
			     kn_json_at(b, "metadata", "annotations", NULL));
}

/* Create it, or change it to what the Service says.  True: that is in the plan, and its status
 * does not count until it has been. */
static bool
write_configuration(struct service_reconcile *s, const struct service_child *child)
{
	struct kn_parent parent = {s->object->ns, s->object->name};
	json_t *wanted;

	if (child->state == CHILD_ABSENT) {
		wanted = new_child(s);
		set_configuration(s, wanted, NULL);
		create(s, KN_CONFIGURATION, wanted);
		return true;
	}
	wanted = kn_json_copy(child->document);
	set_configuration(s, wanted, child->document);
	if (kn_defaults_same_template(kn_json_at(wanted, "spec", "template", NULL),
				      kn_json_at(child->document, "spec", "template", NULL),
				      s->ctx->config, &parent)) {
		/* The same revision, whichever of the two has its defaults written out. */
		kn_json_set(kn_json_child(wanted, "spec"), "template",
			    kn_json_copy(kn_json_at(child->document, "spec", "template", NULL)));
		if (same_metadata(wanted, child->document)) {
			json_decref(wanted);
			return false;
		}
		kn_plan_replace(s->plan, child->object, wanted);
		return !kn_is_observed(child->document);
	}
	kn_plan_replace(s->plan, child->object, wanted);
	return true;
}

static void
copy_condition(struct service_reconcile *s, const char *type, const json_t *child)
{
	const json_t *ready = kn_condition_find(kn_json_at(child, "status", NULL), KN_READY);

	if (ready != NULL)
		kn_conditions_set(&s->status.conditions, type,
				  kn_condition_truth(kn_json_at(child, "status", NULL), KN_READY),
				  kn_json_text(ready, "reason", NULL),
				  kn_json_text(ready, "message", NULL));
}

/* True: the Route may be looked at. */
static bool
reconcile_configuration(struct service_reconcile *s, const struct service_child *child)
{
	static const char *const fields[] = {"latestCreatedRevisionName", "latestReadyRevisionName",
					     NULL};
	const char *byo_name = kn_json_text(s->spec, "template", "metadata", "name", NULL);

	if (child->state == CHILD_FOREIGN || child->state == CHILD_ORPHAN) {
		mark_not_owned(s, KN_CONFIGURATION, child, CONFIGURATIONS_READY);
		return false;
	}
	if (child->state == CHILD_LEAVING || write_configuration(s, child) ||
	    !kn_is_observed(child->document)) {
		kn_conditions_set(&s->status.conditions, CONFIGURATIONS_READY, KN_UNKNOWN,
				  "OutOfDate",
				  "The Configuration is still working to reflect the latest "
				  "desired specification.");
		/* The Route is never pointed at a revision whose name may be taken. */
		return *byo_name == '\0';
	}
	kn_status_copy(&s->status, kn_json_at(child->document, "status", NULL), fields);
	copy_condition(s, CONFIGURATIONS_READY, child->document);
	return true;
}

/* --- the Route --- */

static json_t *
make_target(const struct service_reconcile *s, const json_t *from)
{
	const char *revision = kn_json_text(from, "revisionName", NULL);
	const json_t *latest = json_object_get(from, "latestRevision");
	json_t *target = json_object();

	kn_json_set_text(target, "tag", kn_json_text(from, "tag", NULL));
	kn_json_set_text(target, "revisionName", revision);
	if (*revision == '\0')
		kn_json_set_text(target, "configurationName", s->object->name);
	kn_json_set(target, "latestRevision",
		    json_boolean(json_is_boolean(latest) ? json_is_true(latest) : !*revision));
	kn_json_set_number(target, "percent", kn_json_number(from, "percent", 0));
	return target;
}

/* The Service's traffic; where it says nothing, all of it to the latest revision. */
static json_t *
make_traffic(const struct service_reconcile *s)
{
	const json_t *from = kn_json_at(s->spec, "traffic", NULL);
	json_t *traffic = json_array(), *all;
	size_t i;

	for (i = 0; i < json_array_size(from); i++)
		CHECK(json_array_append_new(traffic, make_target(s, json_array_get(from, i))) == 0);
	if (i == 0) {
		all = json_pack("{s:i}", "percent", 100);
		CHECK(json_array_append_new(traffic, make_target(s, all)) == 0);
		json_decref(all);
	}
	return traffic;
}

static void
set_route(const struct service_reconcile *s, json_t *route, const json_t *present)
{
	json_t *metadata = kn_json_child(route, "metadata");
	json_t *annotations = copy_annotations(s);

	kn_json_set_text(annotations, KN_ANNOTATION_ROLLOUT_STATE,
			 kn_json_text(present, "metadata", "annotations",
				      KN_ANNOTATION_ROLLOUT_STATE, NULL));
	kn_json_set(metadata, "labels", copy_labels(s));
	kn_json_set(metadata, "annotations", annotations);
	kn_json_set(kn_json_child(route, "spec"), "traffic", make_traffic(s));
}

/* As write_configuration(). */
static bool
write_route(struct service_reconcile *s, const struct service_child *child)
{
	json_t *wanted = child->state == CHILD_ABSENT ? new_child(s)
						      : kn_json_copy(child->document);
	bool is_same_spec;

	set_route(s, wanted, child->document);
	if (child->state == CHILD_ABSENT) {
		create(s, KN_ROUTE, wanted);
		return true;
	}
	is_same_spec = kn_json_equal(kn_json_at(wanted, "spec", NULL),
				     kn_json_at(child->document, "spec", NULL));
	if (is_same_spec && same_metadata(wanted, child->document))
		json_decref(wanted);
	else
		kn_plan_replace(s->plan, child->object, wanted);
	return !is_same_spec;
}

/* The percent of a revision and tag among targets, those that name the Configuration as its latest
 * ready revision; -1: there is no such target. */
static int64_t
percent_of(const json_t *targets, const char *revision, const char *tag, const char *latest_ready)
{
	int64_t sum = -1;
	size_t i;

	for (i = 0; i < json_array_size(targets); i++) {
		const json_t *target = json_array_get(targets, i);
		const char *name = kn_json_text(target, "revisionName", NULL);

		if (*kn_json_text(target, "configurationName", NULL) != '\0')
			name = latest_ready;
		if (strcmp(name, revision) == 0 &&
		    strcmp(kn_json_text(target, "tag", NULL), tag) == 0)
			sum = MAX(sum, 0) + kn_json_number(target, "percent", 0);
	}
	return sum;
}

/* Whether for each target of a there is as much in b. */
static bool
is_in(const json_t *a, const json_t *b, const char *latest_ready)
{
	size_t i;

	for (i = 0; i < json_array_size(a); i++) {
		const json_t *target = json_array_get(a, i);
		const char *name = kn_json_text(target, "revisionName", NULL);
		const char *tag = kn_json_text(target, "tag", NULL);

		if (*kn_json_text(target, "configurationName", NULL) != '\0')
			name = latest_ready;
		if (percent_of(a, name, tag, latest_ready) !=
		    percent_of(b, name, tag, latest_ready))
			return false;
	}
	return true;
}

/* A Route that is Ready may still be so for the revision before: its event and that of the
 * Configuration come in any order. */
static void
check_traffic(struct service_reconcile *s, const json_t *route)
{
	const json_t *wanted = kn_json_at(route, "spec", "traffic", NULL);
	const json_t *present = kn_json_at(route, "status", "traffic", NULL);
	const char *latest_ready = kn_json_text(s->status.status, "latestReadyRevisionName", NULL);

	if (kn_conditions_truth(&s->status.conditions, ROUTES_READY) != KN_TRUE)
		return;
	if (!is_in(wanted, present, latest_ready) || !is_in(present, wanted, latest_ready))
		kn_conditions_set(&s->status.conditions, ROUTES_READY, KN_UNKNOWN,
				  "TrafficNotMigrated",
				  "Traffic is not yet migrated to the latest revision.");
}

static void
reconcile_route(struct service_reconcile *s, const struct service_child *child)
{
	static const char *const fields[] = {"url", "address", "traffic", NULL};

	if (child->state == CHILD_FOREIGN || child->state == CHILD_ORPHAN) {
		mark_not_owned(s, KN_ROUTE, child, ROUTES_READY);
		return;
	}
	if (child->state == CHILD_LEAVING || write_route(s, child) ||
	    !kn_is_observed(child->document)) {
		kn_conditions_set(&s->status.conditions, ROUTES_READY, KN_UNKNOWN, "OutOfDate",
				  "The Route is still working to reflect the latest desired "
				  "specification.");
		return;
	}
	kn_status_copy(&s->status, kn_json_at(child->document, "status", NULL), fields);
	copy_condition(s, ROUTES_READY, child->document);
	check_traffic(s, child->document);
}

/* Does the Configuration name a revision that is something else's?  Then the Route stays. */
static bool
is_name_taken(struct service_reconcile *s, const struct service_child *configuration)
{
	const char *name = kn_json_text(configuration->document, "spec", "template", "metadata",
					"name", NULL);
	const struct kn_object *revision;
	char *message;

	if (configuration->state != CHILD_OWN || *name == '\0')
		return false;
	kn_plan_track(s->plan, KN_REVISION, s->object->ns, name);
	if (kn_configuration_find_named(s->ctx, configuration->object, configuration->document,
					&revision) != KN_NAME_TAKEN)
		return false;
	message = xasprintf("The revision name \"%s\" is taken by a conflicting Revision, so "
			    "traffic will not be migrated",
			    name);
	kn_conditions_set(&s->status.conditions, ROUTES_READY, KN_FALSE, "RevisionNameTaken",
			  message);
	free(message);
	return true;
}

/* --- the Service --- */

/* Show why the API server has refused a child. */
static void
show_failure(struct service_reconcile *s)
{
	const struct kn_failure *failure = s->ctx->failure;
	bool is_configuration = kn_failure_is_refusal(failure, KN_CONFIGURATION);
	char *message;

	if (!is_configuration && !kn_failure_is_refusal(failure, KN_ROUTE))
		return;
	message = kn_failure_explain(failure);
	kn_conditions_set(&s->status.conditions,
			  is_configuration ? CONFIGURATIONS_READY : ROUTES_READY, KN_UNKNOWN,
			  failure->reason, message);
	free(message);
}

void
kn_service_reconcile(const struct kn_context *ctx, const struct kn_object *o, struct kn_plan *plan)
{
	struct service_reconcile s = {.ctx = ctx, .object = o, .plan = plan};
	json_t *document = kn_object_json(o);
	struct service_child configuration, route;

	s.metadata = kn_json_at(document, "metadata", NULL);
	s.spec = kn_json_at(document, "spec", NULL);
	kn_status_open(&s.status, o, document, dependents);
	child_open(&s, KN_CONFIGURATION, &configuration);
	child_open(&s, KN_ROUTE, &route);
	if (reconcile_configuration(&s, &configuration) && !is_name_taken(&s, &configuration))
		reconcile_route(&s, &route);
	show_failure(&s);
	kn_status_close(&s.status, ctx, o, plan);
	child_close(&configuration);
	child_close(&route);
	json_decref(document);
}
