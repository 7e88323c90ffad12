#include "autoscaler/knative/kn_configuration.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_defaults.h"
#include "autoscaler/knative/kn_gc.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_routing.h"
#include "autoscaler/knative/kn_status.h"
#include "autoscaler/knative/kn_time.h"

static const char *const no_dependents[] = {NULL};

/* One reconcile of a Configuration. */
struct configuration_reconcile {
	const struct kn_context *ctx;
	const struct kn_object *object;
	struct kn_plan *plan;
	json_t *document;
	const json_t *template; /* of document */
	const char *name;	/* that the template gives; "": none */
	struct kn_status status;
};

/* --- the Revision of the present generation --- */

/* Is the Revision what the template would make?  After a name was set back to that of an older
 * Revision, the status has said so. */
static bool
is_of_template(const struct kn_context *ctx, const struct kn_object *o, const json_t *document,
	       const struct kn_object *revision)
{
	const json_t *template = kn_json_at(document, "spec", "template", NULL);
	struct kn_parent parent = {o->ns, o->name};
	json_t *found, *wanted;
	bool is_same;

	if (kn_is_observed(document) &&
	    strcmp(kn_json_text(document, "status", "latestCreatedRevisionName", NULL),
		   revision->name) == 0)
		return true;
	found = kn_object_json(revision);
	is_same = kn_revision_generation(found) == o->generation;
	if (!is_same) {
		wanted = kn_json_copy(kn_json_at(template, "spec", NULL));
		if (wanted != NULL)
			kn_defaults_apply(wanted, ctx->config, &parent);
		is_same = kn_json_equal(wanted, kn_json_at(found, "spec", NULL));
		json_decref(wanted);
	}
	json_decref(found);
	return is_same;
}

enum kn_name_state
kn_configuration_find_named(const struct kn_context *ctx, const struct kn_object *o,
			    const json_t *document, const struct kn_object **revision)
{
	const char *name = kn_json_text(document, "spec", "template", "metadata", "name", NULL);
	const struct kn_object *found;

	*revision = NULL;
	if (*name == '\0')
		return KN_NAME_NONE;
	found = kn_cache_find(ctx->cache, KN_REVISION, o->ns, name);
	if (found == NULL)
		return KN_NAME_FREE;
	if (!kn_is_owned(found, o) && kn_is_leaving(found, o))
		return KN_NAME_LEAVING;
	if (!kn_is_owned(found, o) || !is_of_template(ctx, o, document, found))
		return KN_NAME_TAKEN;
	*revision = found;
	return KN_NAME_OURS;
}

/* Like kn_configuration_find_named(), for a Revision that has its name from its generation. */
static enum kn_name_state
find_numbered(const struct configuration_reconcile *c, const struct kn_object **revision)
{
	char *name = kn_revision_name(c->object->name, c->object->generation);
	const struct kn_object *found = kn_cache_find(c->ctx->cache, KN_REVISION, c->object->ns,
						      name);
	enum kn_name_state state = KN_NAME_TAKEN;
	json_t *document;

	free(name);
	*revision = NULL;
	if (found == NULL)
		return KN_NAME_FREE;
	if (!kn_is_owned(found, c->object))
		return kn_is_leaving(found, c->object) ? KN_NAME_LEAVING : KN_NAME_TAKEN;
	document = kn_object_json(found);
	if (kn_revision_generation(document) == c->object->generation) {
		*revision = found;
		state = KN_NAME_OURS;
	}
	json_decref(document);
	return state;
}

static void
set_label(json_t *labels, const char *key, const char *value)
{
	if (*value != '\0')
		kn_json_set_text(labels, key, value);
}

static json_t *
make_labels(const struct configuration_reconcile *c, bool is_routed)
{
	const json_t *own = kn_json_at(c->document, "metadata", "labels", NULL);
	json_t *labels = json_object();
	char number[24];

	kn_json_merge_texts(labels, kn_json_at(c->template, "metadata", "labels", NULL));
	(void)snprintf(number, sizeof number, "%lld", (long long)c->object->generation);
	kn_json_set_text(labels, KN_LABEL_CONFIGURATION, c->object->name);
	kn_json_set_text(labels, KN_LABEL_CONFIGURATION_UID, c->object->uid);
	kn_json_set_text(labels, KN_LABEL_GENERATION, number);
	set_label(labels, KN_LABEL_SERVICE, kn_json_text(own, KN_LABEL_SERVICE, NULL));
	set_label(labels, KN_LABEL_SERVICE_UID, kn_json_text(own, KN_LABEL_SERVICE_UID, NULL));
	kn_json_set_text(labels, KN_LABEL_ROUTING_STATE, is_routed ? KN_ACTIVE : KN_PENDING);
	return labels;
}

static json_t *
make_annotations(const struct configuration_reconcile *c, const char *routes)
{
	const json_t *own = kn_json_at(c->document, "metadata", "annotations", NULL);
	json_t *annotations = json_object();
	char now[KN_TIME_SIZE];

	kn_json_merge_texts(annotations, kn_json_at(c->template, "metadata", "annotations", NULL));
	set_label(annotations, KN_ANNOTATION_CREATOR,
		  kn_json_text(own, KN_ANNOTATION_MODIFIER, NULL));
	set_label(annotations, KN_ANNOTATION_ROUTES, routes);
	kn_json_set_text(annotations, KN_ANNOTATION_STATE_MODIFIED,
			 kn_time_format(c->ctx->wall_s, now));
	return annotations;
}

static json_t *
make_revision(const struct configuration_reconcile *c, const char *name)
{
	const char *routes = kn_json_text(c->document, "metadata", "annotations",
					  KN_ANNOTATION_ROUTES, NULL);
	struct kn_parent parent = {c->object->ns, c->object->name};
	json_t *spec = kn_json_copy(kn_json_at(c->template, "spec", NULL)), *revision;

	if (spec == NULL)
		spec = json_object();
	kn_defaults_apply(spec, c->ctx->config, &parent);
	revision = json_pack("{s:{s:s, s:o, s:o, s:o}, s:o}", "metadata", "name", name, "labels",
			     make_labels(c, *routes != '\0'), "annotations",
			     make_annotations(c, routes), "ownerReferences",
			     kn_owner_references(c->object), "spec", spec);
	CHECK(revision != NULL);
	return revision;
}

static void
create_revision(struct configuration_reconcile *c, const char *name)
{
	char *message = xasprintf("Created Revision \"%s\"", name);

	kn_plan_create(c->plan, KN_REVISION, c->object->ns, make_revision(c, name));
	kn_plan_event(c->plan, false, "Created", message);
	free(message);
}

/* --- conditions --- */

static void
mark_creation_failed(struct configuration_reconcile *c, const char *why)
{
	char *message = xasprintf("Revision creation failed with message: %s.", why);

	kn_conditions_set(&c->status.conditions, KN_READY, KN_FALSE, "RevisionFailed", message);
	free(message);
}

static void
mark_name_taken(struct configuration_reconcile *c, const char *name)
{
	char *why = xasprintf("revisions.serving.knative.dev \"%s\" already exists", name);

	mark_creation_failed(c, why);
	free(why);
}

static void
note(struct configuration_reconcile *c, bool is_warning, const char *reason, const char *format,
     const char *revision)
{
	char *message;

	message = xasprintf("%s \"%s\"%s", format, revision, is_warning ? " has failed" : "");
	kn_plan_event(c->plan, is_warning, reason, message);
	free(message);
}

static void
mark_failed(struct configuration_reconcile *c, const char *name, const json_t *revision)
{
	const json_t *ready = kn_condition_find(kn_json_at(revision, "status", NULL), KN_READY);
	bool was_ready = strcmp(kn_json_text(c->status.status, "latestReadyRevisionName", NULL),
				name) == 0;
	char *message = xasprintf("Revision \"%s\" failed with message: %s.", name,
				  kn_json_text(ready, "message", NULL));
	const json_t *before = kn_condition_find(kn_json_at(c->document, "status", NULL), KN_READY);

	kn_conditions_set(&c->status.conditions, KN_READY, KN_FALSE, "RevisionFailed", message);
	if (strcmp(kn_json_text(before, "message", NULL), message) != 0)
		note(c, true, was_ready ? "LatestReadyFailed" : "LatestCreatedFailed",
		     was_ready ? "Latest ready revision" : "Latest created revision", name);
	free(message);
}

/* --- the newest Revision that is ready --- */

/* The generation of the Revision that is the latest ready one so far; 0: there is none. */
static int64_t
latest_ready_generation(const struct configuration_reconcile *c)
{
	const char *name = kn_json_text(c->document, "status", "latestReadyRevisionName", NULL);
	const struct kn_object *found = kn_cache_find(c->ctx->cache, KN_REVISION, c->object->ns,
						      name);
	json_t *document;
	int64_t generation;

	if (found == NULL || !kn_is_owned(found, c->object))
		return 0;
	document = kn_object_json(found);
	generation = kn_revision_generation(document);
	json_decref(document);
	return generation;
}

/* The ready Revision of the newest generation, none older than the latest ready one so far: what
 * is served moves forward only.  A name that was set back goes before all.  NULL: there is none. */
static const struct kn_object *
find_latest_ready(const struct configuration_reconcile *c)
{
	int64_t newest = latest_ready_generation(c);
	const struct kn_object *best = NULL, *o = NULL;

	while ((o = kn_cache_next_owned(c->ctx->cache, KN_REVISION, c->object->uid, o)) != NULL) {
		json_t *document;
		int64_t generation;

		if (o->is_deleting)
			continue;
		document = kn_object_json(o);
		generation = kn_revision_generation(document);
		if (kn_is_ready(document)) {
			if (*c->name != '\0' && strcmp(o->name, c->name) == 0) {
				json_decref(document);
				return o;
			}
			if (generation >= newest && generation <= c->object->generation) {
				newest = generation;
				best = o;
			}
		}
		json_decref(document);
	}
	return best;
}

static void
set_latest_ready(struct configuration_reconcile *c)
{
	const struct kn_object *ready = find_latest_ready(c);
	const char *before = kn_json_text(c->document, "status", "latestReadyRevisionName", NULL);

	if (ready == NULL || strcmp(before, ready->name) == 0)
		return;
	if (*before == '\0')
		kn_plan_event(c->plan, false, "ConfigurationReady", "Configuration becomes ready");
	note(c, false, "LatestReadyUpdate", "LatestReadyRevisionName updated to", ready->name);
	kn_json_set_text(c->status.status, "latestReadyRevisionName", ready->name);
}

/* What the Revision of the present generation makes of the status. */
static void
reflect(struct configuration_reconcile *c, const struct kn_object *latest)
{
	json_t *revision = kn_object_json(latest);
	enum kn_truth truth = kn_condition_truth(kn_json_at(revision, "status", NULL), KN_READY);
	const char *ready;

	kn_json_set_text(c->status.status, "latestCreatedRevisionName", latest->name);
	if (truth == KN_FALSE)
		mark_failed(c, latest->name, revision);
	set_latest_ready(c);
	ready = kn_json_text(c->status.status, "latestReadyRevisionName", NULL);
	if (truth == KN_TRUE && strcmp(ready, latest->name) == 0)
		kn_conditions_set(&c->status.conditions, KN_READY, KN_TRUE, NULL, NULL);
	else if (truth != KN_FALSE && strcmp(ready, latest->name) != 0)
		kn_conditions_set(&c->status.conditions, KN_READY, KN_UNKNOWN, NULL, NULL);
	json_decref(revision);
}

/* A Revision of the present generation is going to be there, under this name. */
static void
reflect_new(struct configuration_reconcile *c, const char *name)
{
	if (kn_failure_is_refusal(c->ctx->failure, KN_REVISION)) {
		mark_creation_failed(c, c->ctx->failure->message);
		return;
	}
	if (c->ctx->failure == NULL)
		kn_json_set_text(c->status.status, "latestCreatedRevisionName", name);
	kn_conditions_set(&c->status.conditions, KN_READY, KN_UNKNOWN, NULL, NULL);
}

static void
reconcile_revision(struct configuration_reconcile *c)
{
	char *name = *c->name != '\0' ? xstrdup(c->name)
				      : kn_revision_name(c->object->name, c->object->generation);
	const struct kn_object *revision;
	enum kn_name_state state = kn_configuration_find_named(c->ctx, c->object, c->document,
							       &revision);

	if (state == KN_NAME_NONE)
		state = find_numbered(c, &revision);
	kn_plan_track(c->plan, KN_REVISION, c->object->ns, name);
	if (state == KN_NAME_TAKEN) {
		mark_name_taken(c, name);
	} else if (state == KN_NAME_OURS && !revision->is_deleting) {
		reflect(c, revision);
	} else {
		/* One that goes is made anew once it is gone. */
		reflect_new(c, name);
		if (state == KN_NAME_FREE)
			create_revision(c, name);
	}
	free(name);
}

void
kn_configuration_reconcile(const struct kn_context *ctx, const struct kn_object *o,
			   struct kn_plan *plan)
{
	struct configuration_reconcile c = {
		.ctx = ctx, .object = o, .plan = plan, .document = kn_object_json(o)};

	c.template = kn_json_at(c.document, "spec", "template", NULL);
	c.name = kn_json_text(c.template, "metadata", "name", NULL);
	kn_routing_leave(ctx, o, c.document, plan);
	kn_status_open(&c.status, o, c.document, no_dependents);
	reconcile_revision(&c);
	kn_status_close(&c.status, ctx, o, plan);
	kn_gc_collect(ctx, o, c.document, plan);
	json_decref(c.document);
}
