#include "autoscaler/knative/kn_revision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_annotations.h"
#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_deployment.h"
#include "autoscaler/knative/kn_image.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_routing.h"
#include "autoscaler/knative/kn_status.h"
#include "autoscaler/knative/kn_time.h"
#include "autoscaler/knative/kn_values.h"
#include "common/strbuf.h"

#define RESOURCES "ResourcesAvailable"
#define HEALTHY "ContainerHealthy"
#define ACTIVE "Active"

#define DEPLOYING "Deploying"
#define TIMED_OUT "TimedOut"
/* After the progress deadline the Deployment's controller may take so long to say so. */
#define DEADLINE_SLACK_S 30
#define NS_PER_S INT64_C(1000000000)

static const char *const dependents[] = {RESOURCES, HEALTHY, NULL};

/* One reconcile of a Revision. */
struct revision_reconcile {
	const struct kn_context *ctx;
	const struct kn_object *object;
	struct kn_plan *plan;
	json_t *document;
	struct kn_status status;

	const struct kn_object *deployment; /* NULL: there is none */
	json_t *deployment_document;
	struct kn_revision_facts facts;
	int64_t replicas, available; /* of the Deployment: wanted; able to serve */
	int64_t ready;		     /* pods */
	int64_t threshold;	     /* as many ready pods are the beginning */
	bool is_reserve, is_initialized;
};

/* --- what is known --- */

bool
kn_revision_is_initialized(const json_t *revision)
{
	return strcmp(kn_json_text(revision, "status", "annotations", KN_ANNOTATION_INITIALIZED,
				   NULL),
		      "true") == 0;
}

bool
kn_revision_is_timed_out(const json_t *revision)
{
	const json_t *active = kn_condition_find(kn_json_at(revision, "status", NULL), ACTIVE);

	return !kn_revision_is_initialized(revision) &&
	       strcmp(kn_json_text(active, "reason", NULL), TIMED_OUT) == 0;
}

/* A number of the annotation, in either spelling, or else of the config. */
static int64_t
annotated(const json_t *revision, const char *key, const char *old_key, int64_t otherwise)
{
	const json_t *annotations = kn_json_at(revision, "metadata", "annotations", NULL);
	const char *text = kn_json_text(annotations, key, NULL);
	int64_t number;

	if (*text == '\0')
		text = kn_json_text(annotations, old_key, NULL);
	return kn_value_int(text, 0, INT32_MAX, &number) == 0 ? number : otherwise;
}

int64_t
kn_revision_initial_scale(const struct kn_config *config, const json_t *revision)
{
	int64_t n = annotated(revision, KN_AUTOSCALING "initial-scale",
			      KN_AUTOSCALING "initialScale", config->autoscaler.initial_scale);

	/* The annotation may say 0 only where the cluster allows it. */
	return n == 0 && !config->autoscaler.allow_zero_initial_scale ? 1 : n;
}

static int64_t
threshold_of(const struct revision_reconcile *r)
{
	const struct kn_config *config = r->ctx->config;
	int64_t least = annotated(r->document, KN_AUTOSCALING "min-scale",
				  KN_AUTOSCALING "minScale", config->autoscaler.min_scale);

	if (r->is_reserve)
		least = 0;
	if (r->is_initialized)
		return MAX(least, 1);
	return MAX(least, kn_revision_initial_scale(config, r->document));
}

static void
revision_open(struct revision_reconcile *r)
{
	const struct kn_facts *facts = r->ctx->facts;
	char *name = kn_deployment_name(r->object->name);
	const json_t *status;

	r->deployment = kn_cache_find(r->ctx->cache, KN_DEPLOYMENT, r->object->ns, name);
	kn_plan_track(r->plan, KN_DEPLOYMENT, r->object->ns, name);
	if (r->deployment != NULL)
		r->deployment_document = kn_object_json(r->deployment);
	if (!facts->revision(facts, r->object->ns, name, &r->facts))
		r->facts = (struct kn_revision_facts){.actual = -1, .desired = -1, .ready = -1};
	free(name);
	status = kn_json_at(r->deployment_document, "status", NULL);
	r->replicas = kn_json_number(kn_json_at(r->deployment_document, "spec", NULL), "replicas",
				     r->deployment == NULL ? 0 : 1);
	r->available = kn_json_number(status, "availableReplicas", 0);
	/* The pods say it sooner than the Deployment. */
	r->ready = MAX(kn_json_number(status, "readyReplicas", 0),
		       r->facts.is_known ? r->facts.ready : 0);
	r->is_reserve = strcmp(kn_routing_state(r->document), KN_RESERVE) == 0;
	r->is_initialized = kn_revision_is_initialized(r->document);
	r->threshold = threshold_of(r);
}

static void
mark(struct revision_reconcile *r, const char *type, enum kn_truth truth, const char *reason,
     const char *message)
{
	kn_conditions_set(&r->status.conditions, type, truth, reason, message);
}

static bool
is_false(const struct revision_reconcile *r, const char *type)
{
	return kn_conditions_truth(&r->status.conditions, type) == KN_FALSE;
}

static const json_t *
annotations_of(const struct revision_reconcile *r)
{
	return kn_json_at(r->document, "metadata", "annotations", NULL);
}

/* --- the Deployment --- */

/* Until there is one of its own. */
static void
mark_deploying(struct revision_reconcile *r)
{
	const struct kn_failure *failure = r->ctx->failure;
	char *message;

	mark(r, HEALTHY, KN_UNKNOWN, DEPLOYING, NULL);
	if (kn_failure_is_refusal(failure, KN_DEPLOYMENT)) {
		message = kn_failure_explain(failure);
		mark(r, RESOURCES, KN_FALSE, failure->reason, message);
		free(message);
	} else {
		mark(r, RESOURCES, KN_UNKNOWN, DEPLOYING, NULL);
	}
	mark(r, ACTIVE, KN_UNKNOWN, DEPLOYING, NULL);
}

/* True: the annotations have a mistake, which a condition shows; nothing is started. */
static bool
has_mistake(struct revision_reconcile *r)
{
	struct strbuf why;
	bool is_good;

	strbuf_init(&why, 0);
	is_good = kn_annotations_check(r->ctx->config, annotations_of(r), &why);
	if (!is_good)
		mark(r, RESOURCES, KN_FALSE, "InvalidAnnotation", strbuf_str(&why));
	strbuf_fini(&why);
	return !is_good;
}

static void
create_deployment(struct revision_reconcile *r)
{
	mark_deploying(r);
	if (has_mistake(r))
		return;
	/* A Revision in reserve starts nothing before a Route names it. */
	kn_plan_create(r->plan, KN_DEPLOYMENT, r->object->ns,
		       kn_deployment_make(r->ctx, r->object, r->document,
					  r->is_reserve ? 0
							: kn_revision_initial_scale(r->ctx->config,
										    r->document)));
}

/* Is the Deployment as it should be, but that it names images by their tags? */
static bool
is_up_to_date_but_for_digests(const struct revision_reconcile *r)
{
	json_t *document = kn_json_copy(r->document), *wanted, *changed;
	json_t *status = kn_json_child(document, "status");

	kn_json_set(status, "containerStatuses", NULL);
	kn_json_set(status, "initContainerStatuses", NULL);
	wanted = kn_deployment_make(r->ctx, r->object, document, r->replicas);
	changed = kn_deployment_change(r->deployment_document, wanted);
	json_decref(changed);
	json_decref(wanted);
	json_decref(document);
	return changed == NULL;
}

/* A digest that has become known is put there once no pod runs: no pod is replaced for it. */
static void
update_deployment(struct revision_reconcile *r)
{
	json_t *wanted, *changed;

	if (r->deployment->is_deleting)
		return;
	wanted = kn_deployment_make(r->ctx, r->object, r->document, r->replicas);
	changed = kn_deployment_change(r->deployment_document, wanted);
	if (changed != NULL && (r->replicas == 0 || !is_up_to_date_but_for_digests(r)))
		kn_plan_replace(r->plan, r->deployment, changed);
	else
		json_decref(changed);
	json_decref(wanted);
}

/* --- ResourcesAvailable and ContainerHealthy --- */

static const json_t *
deployment_condition(const struct revision_reconcile *r, const char *type)
{
	return kn_condition_find(kn_json_at(r->deployment_document, "status", NULL), type);
}

static void
mark_by(struct revision_reconcile *r, const json_t *condition, enum kn_truth truth)
{
	mark(r, RESOURCES, truth, kn_json_text(condition, "reason", NULL),
	     kn_json_text(condition, "message", NULL));
}

/* What the Deployment's own conditions say. */
static void
reflect_deployment(struct revision_reconcile *r)
{
	const json_t *status = kn_json_at(r->deployment_document, "status", NULL);
	const json_t *failure = deployment_condition(r, "ReplicaFailure");
	const json_t *progressing = deployment_condition(r, "Progressing");
	enum kn_truth truth = kn_condition_truth(status, "Progressing");

	if (kn_condition_truth(status, "ReplicaFailure") == KN_TRUE)
		mark_by(r, failure, KN_FALSE);
	else if (progressing == NULL)
		mark(r, RESOURCES, KN_UNKNOWN, DEPLOYING, NULL);
	else if (truth == KN_TRUE)
		mark(r, RESOURCES, KN_TRUE, NULL, NULL);
	else
		mark_by(r, progressing, truth);
}

static bool
is_past_deadline(const struct revision_reconcile *r)
{
	const json_t *progressing = deployment_condition(r, "Progressing");

	return strcmp(kn_json_text(progressing, "status", NULL), "False") == 0 &&
	       strcmp(kn_json_text(progressing, "reason", NULL), "ProgressDeadlineExceeded") == 0;
}

/* A reason to wait that does not pass by itself.  ErrImagePull, which a kubelet says while it
 * tries, is not among them: it becomes ImagePullBackOff, or passes. */
static bool
is_mistake(const char *reason)
{
	static const char *const mistakes[] = {"ImagePullBackOff",     "ErrImageNeverPull",
					       "InvalidImageName",     "CreateContainerConfigError",
					       "CreateContainerError", "RunContainerError"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(mistakes); i++)
		if (strcmp(reason, mistakes[i]) == 0)
			return true;
	return false;
}

/* The condition that says so, where the image could not be pulled and is being tried again: that
 * is no other state.  NULL: it is not so. */
static const json_t *
find_image_failure(const struct revision_reconcile *r)
{
	const json_t *before = kn_condition_find(kn_json_at(r->document, "status", NULL),
						 RESOURCES);

	if (strcmp(r->facts.waiting_reason, "ErrImagePull") != 0 ||
	    strcmp(kn_json_text(before, "status", NULL), "False") != 0 ||
	    strcmp(kn_json_text(before, "reason", NULL), "ImagePullBackOff") != 0)
		return NULL;
	return before;
}

static void
mark_waiting(struct revision_reconcile *r)
{
	const struct kn_revision_facts *f = &r->facts;
	const json_t *before = find_image_failure(r);

	if (before != NULL)
		mark_by(r, before, KN_FALSE);
	else if (is_past_deadline(r) || (!r->is_initialized && is_mistake(f->waiting_reason)))
		mark(r, RESOURCES, KN_FALSE, f->waiting_reason, f->waiting_message);
}

static void
mark_ended(struct revision_reconcile *r)
{
	const struct kn_revision_facts *f = &r->facts;
	const char *text = f->ended_message == NULL ? "" : f->ended_message;
	char reason[40], *message;

	if (*text == '\0' && f->ended_code == 0)
		text = "container exited with no error";
	(void)snprintf(reason, sizeof reason, "ExitCode%lld", (long long)f->ended_code);
	message = xasprintf("Container failed with: %s", text);
	mark(r, HEALTHY, KN_FALSE, reason, message);
	free(message);
}

/* What the pods say, where there should be some and none is able to serve.  Before a Revision has
 * ever been ready a mistake is shown at once, later only once the Deployment has given up. */
static void
reflect_pods(struct revision_reconcile *r)
{
	const struct kn_revision_facts *f = &r->facts;

	if (!f->is_known || r->replicas == 0 || r->available > 0 || r->ready > 0)
		return;
	if (f->unscheduled != NULL)
		mark(r, RESOURCES, KN_FALSE, "Unschedulable", f->unscheduled);
	if (f->ended_reason != NULL)
		mark_ended(r);
	else if (f->waiting_reason != NULL)
		mark_waiting(r);
}

/* Seconds since it began to start: while Active is Unknown it is at it. */
static int64_t
starting_s(const struct revision_reconcile *r)
{
	const json_t *active = kn_condition_find(r->status.status, ACTIVE);
	int64_t since_s = kn_time_parse(kn_json_text(active, "lastTransitionTime", NULL));

	if (strcmp(kn_json_text(active, "status", NULL), "Unknown") != 0 || since_s == -1)
		return 0;
	return MAX(r->ctx->wall_s - since_s, 0); /* written by a clock that was ahead */
}

/* The end of waiting for a first start; true: it has come, or had come before. */
static bool
has_timed_out(struct revision_reconcile *r)
{
	int64_t deadline_s = kn_progress_deadline_s(r->ctx, r->document) + DEADLINE_SLACK_S;
	int64_t past_s = starting_s(r);

	if (r->is_initialized || r->is_reserve || r->replicas == 0)
		return !r->is_initialized && kn_revision_is_timed_out(r->document) && r->ready == 0;
	if (kn_revision_is_timed_out(r->document) || past_s > deadline_s)
		return true;
	kn_plan_again(r->plan, (deadline_s - past_s + 1) * NS_PER_S);
	return false;
}

static void
set_initialized(struct revision_reconcile *r)
{
	r->is_initialized = true;
	kn_json_set_text(kn_json_child(r->status.status, "annotations"), KN_ANNOTATION_INITIALIZED,
			 "true");
}

static void
reflect_resources(struct revision_reconcile *r)
{
	bool is_unavailable;

	/* Why it did not start stays to be read. */
	if (kn_revision_is_timed_out(r->document) && r->replicas == 0 && r->ready == 0)
		return;
	reflect_deployment(r);
	if (r->ready > 0)
		mark(r, HEALTHY, KN_TRUE, NULL, NULL);
	else if (kn_conditions_truth(&r->status.conditions, HEALTHY) == KN_UNKNOWN)
		mark(r, HEALTHY, KN_UNKNOWN, DEPLOYING, NULL);
	reflect_pods(r);
	/* They may have become idle, and gone, before this call. */
	if (!r->is_initialized && MAX(r->ready, r->facts.most_ready) >= r->threshold)
		set_initialized(r);
	is_unavailable = is_false(r, RESOURCES) || is_false(r, HEALTHY);
	if (r->is_initialized && !is_unavailable) {
		mark(r, RESOURCES, KN_TRUE, NULL, NULL);
		mark(r, HEALTHY, KN_TRUE, NULL, NULL);
	} else if (!r->is_initialized && has_timed_out(r)) {
		if (!is_unavailable)
			mark(r, RESOURCES, KN_FALSE, "ProgressDeadlineExceeded",
			     "Initial scale was never achieved");
		mark(r, ACTIVE, KN_FALSE, TIMED_OUT, "The target could not be activated.");
	} else if (kn_conditions_truth(&r->status.conditions, RESOURCES) == KN_TRUE) {
		mark(r, RESOURCES, KN_UNKNOWN, DEPLOYING, NULL);
	}
}

/* --- Active, and the numbers --- */

/* Another autoscaler's: whether it runs is all that is known. */
static void
mark_foreign_class(struct revision_reconcile *r)
{
	const char *class = kn_json_text(annotations_of(r), KN_AUTOSCALING "class", NULL);
	char *message;

	if (*class == '\0')
		class = r->ctx->config->autoscaler.pod_autoscaler_class;
	message = xasprintf("Another autoscaler is to scale the class \"%s\".", class);
	mark(r, ACTIVE, r->ready > 0 ? KN_TRUE : KN_UNKNOWN, "ForeignClass", message);
	free(message);
}

/* After a start of this process less may be known than before: what was active stays so. */
static bool
is_still_active(const struct revision_reconcile *r)
{
	return kn_conditions_truth(&r->status.conditions, ACTIVE) == KN_TRUE &&
	       (!r->facts.is_known || r->ready + r->facts.unasked >= MAX(r->threshold, 1));
}

static void
reflect_activity(struct revision_reconcile *r)
{
	int64_t wanted = r->facts.is_known && r->facts.desired >= 0 ? r->facts.desired
								    : r->replicas;

	if (!r->is_initialized && has_timed_out(r))
		return;
	if (kn_annotations_is_foreign(r->ctx->config, annotations_of(r)))
		mark_foreign_class(r);
	else if (wanted == 0)
		mark(r, ACTIVE, KN_FALSE, "NoTraffic", "The target is not receiving traffic.");
	else if (r->ready < MAX(r->threshold, 1) && !is_still_active(r))
		mark(r, ACTIVE, KN_UNKNOWN, "Queued",
		     "Requests to the target are being buffered as resources are provisioned.");
	else
		mark(r, ACTIVE, KN_TRUE, NULL, NULL);
}

static void
reflect_numbers(struct revision_reconcile *r)
{
	int64_t before = kn_json_number(r->status.status, "actualReplicas", 0);
	int64_t least = r->facts.ready;

	if (r->facts.is_known && least >= 0)
		kn_json_set_number(r->status.status, "actualReplicas",
				   MIN(MAX(before, least), least + r->facts.unasked));
	if (r->facts.is_known && r->facts.desired >= 0)
		kn_json_set_number(r->status.status, "desiredReplicas", r->facts.desired);
}

/* --- images --- */

/* What runs in the container, by the status of a pod; NULL: not known. */
static const char *
running_image(const struct revision_reconcile *r, const char *container)
{
	size_t i;

	for (i = 0; r->facts.is_known && i + 1 < r->facts.images_n; i += 2)
		if (strcmp(r->facts.images[i], container) == 0)
			return r->facts.images[i + 1];
	return NULL;
}

/* The reference by digest of what the container runs.  before: its entry in the status.  Registries
 * are not asked, which would take the credentials of users: it is what the first pod has pulled.
 * The caller's; NULL: not known. */
static char *
digest_of(const struct revision_reconcile *r, const json_t *container, const json_t *before)
{
	const char *image = kn_json_text(container, "image", NULL);
	const char *known = kn_json_text(before, "imageDigest", NULL);
	const char *running = running_image(r, kn_json_text(container, "name", NULL));

	if (kn_image_has_digest(image))
		return xstrdup(image);
	if (*known != '\0')
		return xstrdup(known);
	return running == NULL
		       ? NULL
		       : kn_image_pin(image, running,
				      r->ctx->config->deployment.registries_skipping_tag_resolving);
}

/* {name, imageDigest} of each container. */
static json_t *
make_images(const struct revision_reconcile *r, const char *containers, const char *statuses)
{
	const json_t *from = kn_json_at(r->document, "spec", containers, NULL);
	const json_t *before = kn_json_at(r->document, "status", statuses, NULL);
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < json_array_size(from); i++) {
		const json_t *container = json_array_get(from, i);
		char *digest = digest_of(r, container, json_array_get(before, i));
		json_t *one = json_object();

		kn_json_set_text(one, "name", kn_json_text(container, "name", NULL));
		kn_json_set_text(one, "imageDigest", digest);
		CHECK(json_array_append_new(list, one) == 0);
		free(digest);
	}
	return list;
}

static void
reflect_images(struct revision_reconcile *r)
{
	const json_t *init = kn_json_at(r->document, "spec", "initContainers", NULL);

	kn_json_set(r->status.status, "containerStatuses",
		    make_images(r, "containers", "containerStatuses"));
	kn_json_set(r->status.status, "initContainerStatuses",
		    json_array_size(init) > 0
			    ? make_images(r, "initContainers", "initContainerStatuses")
			    : NULL);
}

/* --- the Revision --- */

static void
mark_not_owned(struct revision_reconcile *r)
{
	char *message = kn_not_owned_message(KN_DEPLOYMENT, r->deployment->name);

	mark(r, HEALTHY, KN_UNKNOWN, DEPLOYING, NULL);
	mark(r, RESOURCES, KN_FALSE, "NotOwned", message);
	mark(r, ACTIVE, KN_UNKNOWN, DEPLOYING, NULL);
	free(message);
}

static void
note_ready(struct revision_reconcile *r, bool was_ready)
{
	if (!was_ready && kn_conditions_truth(&r->status.conditions, RESOURCES) == KN_TRUE &&
	    kn_conditions_truth(&r->status.conditions, HEALTHY) == KN_TRUE)
		kn_plan_event(r->plan, false, "RevisionReady",
			      "Revision becomes ready upon all resources being ready");
}

void
kn_revision_reconcile(const struct kn_context *ctx, const struct kn_object *o, struct kn_plan *plan)
{
	struct revision_reconcile r = {
		.ctx = ctx, .object = o, .plan = plan, .document = kn_object_json(o)};

	kn_routing_leave(ctx, o, r.document, plan);
	kn_status_open(&r.status, o, r.document, dependents);
	revision_open(&r);
	reflect_images(&r);
	if (r.deployment == NULL) {
		create_deployment(&r);
	} else if (!kn_is_owned(r.deployment, o)) {
		if (kn_is_leaving(r.deployment, o))
			mark_deploying(&r);
		else
			mark_not_owned(&r);
	} else {
		update_deployment(&r);
		reflect_resources(&r);
		reflect_activity(&r);
		reflect_numbers(&r);
	}
	note_ready(&r, kn_is_ready(r.document));
	kn_status_close(&r.status, ctx, o, plan);
	json_decref(r.deployment_document);
	json_decref(r.document);
}
