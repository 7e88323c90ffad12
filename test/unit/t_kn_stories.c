/* Whole stories of Services, Configurations, Revisions and their Deployments. */
#include "test/unit/kn_story.h"
#include "test/unit/kn_world.h"

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_revision.h"

static const char *
text_at(const struct kn_world *w, enum kn_kind kind, const char *name, const char *a, const char *b)
{
	return b == NULL ? kn_json_text(kn_world_get(w, kind, name), "status", a, NULL)
			 : kn_json_text(kn_world_get(w, kind, name), a, b, NULL);
}

static const char *
label(const struct kn_world *w, const char *revision, const char *key)
{
	return kn_json_text(kn_world_get(w, KN_REVISION, revision), "metadata", "labels", key,
			    NULL);
}

static const char *
annotation(const struct kn_world *w, enum kn_kind kind, const char *name, const char *key)
{
	return kn_json_text(kn_world_get(w, kind, name), "metadata", "annotations", key, NULL);
}

/* The autoscaler sees pods become ready, and then idle, before a handler is called. */
static void
a_revision_may_be_idle_before_it_is_seen_ready(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	w.desired = 0;
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "Unknown");
	w.most_ready = 1;
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Active"),
			    "False NoTraffic: The target is not receiving traffic.");
	kn_world_close(&w);
}

static void
a_service_becomes_ready(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_string_equal(kn_world_condition(&w, KN_SERVICE, "hello", "ConfigurationsReady"),
			    "True");
	assert_string_equal(kn_world_condition(&w, KN_SERVICE, "hello", "RoutesReady"), "True");
	assert_string_equal(text_at(&w, KN_SERVICE, "hello", "latestReadyRevisionName", NULL),
			    "hello-00001");
	assert_string_equal(text_at(&w, KN_SERVICE, "hello", "url", NULL),
			    "http://hello.default.svc.cluster.local");
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Active"), "True");
	assert_string_equal(label(&w, "hello-00001", KN_LABEL_GENERATION), "1");
	assert_string_equal(label(&w, "hello-00001", KN_LABEL_SERVICE), "hello");
	assert_string_equal(label(&w, "hello-00001", KN_LABEL_ROUTING_STATE), "active");
	assert_string_equal(annotation(&w, KN_REVISION, "hello-00001", KN_ANNOTATION_CREATOR),
			    "ann");
	assert_non_null(kn_world_get(&w, KN_DEPLOYMENT, "hello-00001-deployment"));
	/* Nobody but the user writes the spec, or a client would wait for ever. */
	assert_int_equal(
		kn_json_number(kn_json_at(kn_world_get(&w, KN_SERVICE, "hello"), "metadata", NULL),
			       "generation", 0),
		1);
	kn_world_close(&w);
}

static void
an_update_makes_a_revision(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	story_service(&w, "app:2", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_string_equal(text_at(&w, KN_SERVICE, "hello", "latestReadyRevisionName", NULL),
			    "hello-00002");
	assert_string_equal(label(&w, "hello-00001", KN_LABEL_ROUTING_STATE), "reserve");
	assert_string_equal(annotation(&w, KN_REVISION, "hello-00001", KN_ANNOTATION_ROUTES), "");
	assert_string_equal(label(&w, "hello-00002", KN_LABEL_ROUTING_STATE), "active");
	/* Traffic alone makes none; what it names is active again. */
	story_service(&w, "app:2", "",
		      "[{\"revisionName\":\"hello-00001\",\"percent\":50},{\"latestRevision\":true,"
		      "\"percent\":50}]");
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_int_equal(kn_world_count(&w, KN_REVISION), 2);
	assert_string_equal(label(&w, "hello-00001", KN_LABEL_ROUTING_STATE), "active");
	/* Two quick edits: the one in between is left out. */
	story_service(&w, "app:3", "", NULL);
	story_service(&w, "app:4", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_string_equal(text_at(&w, KN_SERVICE, "hello", "latestReadyRevisionName", NULL),
			    "hello-00003");
	assert_int_equal(kn_world_count(&w, KN_REVISION), 3);
	kn_world_close(&w);
}

static void
a_failing_revision_says_why(void **state)
{
	static const struct {
		const char *image, *type, *condition, *service;
	} v[] = {
		{"missing:1", "ResourcesAvailable",
		 "False ImagePullBackOff: Back-off pulling image",
		 "False RevisionFailed: Revision \"hello-00002\" failed with message: Back-off pulling "
		 "image."},
		{"crash:1", "ContainerHealthy",
		 "False ExitCode3: Container failed with: no such table",
		 "False RevisionFailed: Revision \"hello-00002\" failed with message: Container failed "
		 "with: no such table."},
		{"huge:1", "ResourcesAvailable",
		 "False Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
		 "False RevisionFailed: Revision \"hello-00002\" failed with message: 0/3 nodes are "
		 "available: 3 Insufficient cpu.."},
	};
	struct kn_world w;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		story_begin(&w);
		story_service(&w, "app:1", "", NULL);
		kn_world_run(&w);
		story_service(&w, v[i].image, "", NULL);
		kn_world_run(&w);
		assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00002", v[i].type),
				    v[i].condition);
		assert_string_equal(
			kn_world_condition(&w, KN_SERVICE, "hello", "ConfigurationsReady"),
			v[i].service);
		assert_string_equal(READY(&w), v[i].service);
		/* What served goes on. */
		assert_string_equal(
			text_at(&w, KN_SERVICE, "hello", "latestReadyRevisionName", NULL),
			"hello-00001");
		assert_string_equal(label(&w, "hello-00001", KN_LABEL_ROUTING_STATE), "active");
		story_service(&w, "app:2", "", NULL);
		kn_world_run(&w);
		assert_string_equal(READY(&w), "True");
		assert_string_equal(label(&w, "hello-00002", KN_LABEL_ROUTING_STATE), "reserve");
		kn_world_close(&w);
	}
}

static void
an_image_that_is_tried_again(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	w.is_pulling = true;
	story_service(&w, "missing:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "Unknown Deploying");
	w.is_pulling = false;
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "False ImagePullBackOff: Back-off pulling image");
	w.is_pulling = true;
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "False ImagePullBackOff: Back-off pulling image");
	kn_world_close(&w);
}

static void
a_quota_is_shown(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	w.quota = "pods \"x\" is forbidden: exceeded quota: q";
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "False FailedCreate: pods \"x\" is forbidden: exceeded quota: q");
	w.quota = NULL;
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_close(&w);
}

static void
names_by_the_user(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "\"name\":\"hello-one\",", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_string_equal(text_at(&w, KN_SERVICE, "hello", "latestReadyRevisionName", NULL),
			    "hello-one");
	story_service(&w, "app:2", "\"name\":\"hello-two\",", NULL);
	kn_world_run(&w);
	assert_string_equal(text_at(&w, KN_SERVICE, "hello", "latestReadyRevisionName", NULL),
			    "hello-two");
	assert_string_equal(label(&w, "hello-one", KN_LABEL_ROUTING_STATE), "reserve");
	/* Back to the first, by its name. */
	story_service(&w, "app:1", "\"name\":\"hello-one\",", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_string_equal(text_at(&w, KN_SERVICE, "hello", "latestReadyRevisionName", NULL),
			    "hello-one");
	assert_string_equal(text_at(&w, KN_SERVICE, "hello", "latestCreatedRevisionName", NULL),
			    "hello-one");
	assert_int_equal(kn_world_count(&w, KN_REVISION), 2);
	assert_string_equal(label(&w, "hello-two", KN_LABEL_ROUTING_STATE), "reserve");
	/* Other defaults do not make it another revision. */
	w.config->defaults.revision_timeout_s = 60;
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	/* The name of a revision that is another one. */
	story_service(&w, "app:3", "\"name\":\"hello-two\",", NULL);
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_CONFIGURATION, "hello", "Ready"),
			    "False RevisionFailed: Revision creation failed with message: "
			    "revisions.serving.knative.dev \"hello-two\" already exists.");
	assert_string_equal(
		kn_world_condition(&w, KN_SERVICE, "hello", "RoutesReady"),
		"False RevisionNameTaken: The revision name \"hello-two\" is taken by a "
		"conflicting Revision, so traffic will not be migrated");
	assert_string_equal(label(&w, "hello-one", KN_LABEL_ROUTING_STATE), "active");
	kn_world_close(&w);
}

static void
deletion_takes_all(void **state)
{
	struct kn_world w;
	enum kn_kind kind;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	kn_world_delete_foreground(&w, KN_CONFIGURATION, "hello");
	kn_world_delete_foreground(&w, KN_SERVICE, "hello");
	kn_world_run(&w);
	assert_int_equal(kn_world_count(&w, KN_REVISION), 1); /* its generation has risen */
	kn_world_collect(&w);
	kn_world_run(&w);
	for (kind = 0; kind < KN_KINDS_N; kind++)
		assert_int_equal(kn_world_count(&w, kind), 0);
	/* At once a Service of the same name, while the old Route is still going. */
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_close(&w);
}

static void
what_was_deleted_is_made_anew(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	kn_world_delete(&w, KN_REVISION, "hello-00001");
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_string_equal(label(&w, "hello-00001", KN_LABEL_GENERATION), "1");
	kn_world_delete(&w, KN_DEPLOYMENT, "hello-00001-deployment");
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_delete_foreground(&w, KN_REVISION, "hello-00001");
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_CONFIGURATION, "hello", "Ready"), "Unknown");
	kn_world_collect(&w);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_close(&w);
}

static void
metadata_goes_down(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	kn_world_patch(&w, KN_SERVICE, "hello",
		       "{\"metadata\":{\"labels\":{\"team\":\"a\"},\"annotations\":{\"note\":\"b\","
		       "\"serving.knative.dev/rollout-duration\":\"60s\"}}}");
	kn_world_run(&w);
	assert_string_equal(annotation(&w, KN_CONFIGURATION, "hello", "note"), "b");
	assert_string_equal(annotation(&w, KN_ROUTE, "hello", "note"), "b");
	assert_string_equal(
		annotation(&w, KN_CONFIGURATION, "hello", KN_ANNOTATION_ROLLOUT_DURATION), "");
	assert_string_equal(annotation(&w, KN_ROUTE, "hello", KN_ANNOTATION_ROLLOUT_DURATION),
			    "60s");
	assert_string_equal(annotation(&w, KN_CONFIGURATION, "hello", KN_ANNOTATION_ROUTES),
			    "hello");
	assert_string_equal(annotation(&w, KN_REVISION, "hello-00001", "note"), "");
	assert_int_equal(kn_world_count(&w, KN_REVISION), 1);
	kn_world_patch(
		&w, KN_SERVICE, "hello",
		"{\"metadata\":{\"labels\":{\"team\":null},\"annotations\":{\"note\":null}}}");
	kn_world_run(&w);
	assert_string_equal(annotation(&w, KN_CONFIGURATION, "hello", "note"), "");
	assert_string_equal(annotation(&w, KN_ROUTE, "hello", "note"), "");
	kn_world_close(&w);
}

static void
scaled_to_zero_it_stays_ready(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	w.desired = 0;
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Active"),
			    "False NoTraffic: The target is not receiving traffic.");
	w.desired = 2;
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Active"), "True");
	assert_int_equal(kn_json_number(kn_json_at(kn_world_get(&w, KN_REVISION, "hello-00001"),
						   "status", NULL),
					"actualReplicas", -1),
			 2);
	kn_world_close(&w);
}

static void
a_start_that_takes_too_long(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	w.has_kubelet = false;
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "Unknown");
	kn_world_wait(&w, 629);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "Unknown Deploying");
	kn_world_wait(&w, 2);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "False ProgressDeadlineExceeded: Initial scale was never achieved");
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Active"),
			    "False TimedOut: The target could not be activated.");
	assert_true(kn_revision_is_timed_out(kn_world_get(&w, KN_REVISION, "hello-00001")));
	w.has_kubelet = true;
	w.desired = 0;
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "False ProgressDeadlineExceeded: Initial scale was never achieved");
	/* A request starts it after all. */
	w.desired = 1;
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_false(kn_revision_is_timed_out(kn_world_get(&w, KN_REVISION, "hello-00001")));
	kn_world_close(&w);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *
deployed_image(const struct kn_world *w)
{
	const json_t *pod = kn_json_at(kn_world_get(w, KN_DEPLOYMENT, "hello-00001-deployment"),
				       "spec", "template", "spec", NULL);

	return kn_json_text(json_array_get(json_object_get(pod, "containers"), 0), "image", NULL);
}

static const char *
digest(const struct kn_world *w)
{
	const json_t *statuses = kn_json_at(kn_world_get(w, KN_REVISION, "hello-00001"), "status",
					    "containerStatuses", NULL);

	assert_string_equal(kn_json_text(json_array_get(statuses, 0), "name", NULL),
			    "user-container");
	return kn_json_text(json_array_get(statuses, 0), "imageDigest", NULL);
}

static void
a_digest_that_the_first_pod_ran(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	story_service(&w, "quay.io/a/app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(digest(&w), "");
	w.image_id = "docker-pullable://quay.io/a/app@sha256:" HEX;
	kn_world_run(&w);
	assert_string_equal(digest(&w), "quay.io/a/app@sha256:" HEX);
	assert_string_equal(deployed_image(&w), "quay.io/a/app:1"); /* it runs */
	w.desired = 0;
	kn_world_run(&w);
	assert_string_equal(deployed_image(&w), "quay.io/a/app@sha256:" HEX);
	assert_string_equal(READY(&w), "True");
	/* What runs later changes nothing. */
	w.image_id = "quay.io/a/app@sha256:1" HEX;
	w.desired = 1;
	kn_world_run(&w);
	assert_string_equal(digest(&w), "quay.io/a/app@sha256:" HEX);
	kn_world_close(&w);

	story_begin(&w);
	story_service(&w, "quay.io/a/app@sha256:" HEX, "", NULL);
	kn_world_run(&w);
	assert_string_equal(digest(&w), "quay.io/a/app@sha256:" HEX);
	kn_world_close(&w);
}

static void
annotations_with_a_mistake(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	kn_world_apply(&w, KN_CONFIGURATION,
		       "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"template\":{\"metadata\":{"
		       "\"annotations\":{\"autoscaling.knative.dev/min-scale\":\"-1\"}},\"spec\":{"
		       "\"containers\":[{\"image\":\"app:1\"}]}}}}");
	kn_world_run(&w);
	assert_memory_equal(kn_world_condition(&w, KN_REVISION, "c-00001", "Ready"),
			    "False InvalidAnnotation: ", 25);
	assert_int_equal(kn_world_count(&w, KN_DEPLOYMENT), 0);
	kn_world_patch(
		&w, KN_REVISION, "c-00001",
		"{\"metadata\":{\"annotations\":{\"autoscaling.knative.dev/min-scale\":\"0\"}}}");
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_CONFIGURATION, "c", "Ready"), "True");
	kn_world_close(&w);
}

static void
a_class_of_another_autoscaler(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	kn_world_apply(&w, KN_CONFIGURATION,
		       "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"template\":{\"metadata\":{"
		       "\"annotations\":{\"autoscaling.knative.dev/class\":"
		       "\"hpa.autoscaling.knative.dev\"}},\"spec\":{\"containers\":[{\"image\":"
		       "\"app:1\"}]}}}}");
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "c-00001", "Ready"), "True");
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "c-00001", "Active"),
			    "True ForeignClass: Another autoscaler is to scale the class "
			    "\"hpa.autoscaling.knative.dev\".");
	kn_world_close(&w);
}

/* Four edits of one Service, with the process killed after the n-th write of each. */
static char *
tell(unsigned dies_at, unsigned *writes)
{
	static const char *const images[] = {"app:1", "app:2", "missing:3", "app:4"};
	struct kn_world w;
	char *summary;
	size_t i;

	story_begin(&w);
	for (i = 0; i < ARRAY_LEN(images); i++) {
		story_service(&w, images[i], "", NULL);
		w.dies_at = dies_at > w.writes_n ? dies_at : 0;
		kn_world_run(&w);
	}
	*writes = w.writes_n;
	summary = kn_world_summary(&w);
	kn_world_close(&w);
	return summary;
}

static void
killed_at_any_write(void **state)
{
	unsigned writes, n, ignored;
	char *whole = tell(0, &writes), *killed;

	(void)state;
	assert_true(writes > 20);
	for (n = 1; n < writes; n++) {
		killed = tell(n, &ignored);
		assert_string_equal(killed, whole);
		free(killed);
	}
	free(whole);
}

static void
old_revisions_are_collected(void **state)
{
	struct kn_world w;
	char image[16];
	int i;

	(void)state;
	story_begin(&w);
	w.config->gc.min_non_active = 1;
	w.config->gc.max_non_active = 3;
	for (i = 0; i < 8; i++) {
		(void)snprintf(image, sizeof image, "app:%d", i);
		story_service(&w, image, "", NULL);
		kn_world_wait(&w, 10);
	}
	/* The active one and the three newest in reserve. */
	assert_int_equal(kn_world_count(&w, KN_REVISION), 4);
	assert_non_null(kn_world_get(&w, KN_REVISION, "hello-00005"));
	kn_world_patch(&w, KN_REVISION, "hello-00005",
		       "{\"metadata\":{\"annotations\":{\"serving.knative.dev/no-gc\":\"True\"}}}");
	kn_world_wait(&w, 49 * 3600);
	assert_int_equal(kn_world_count(&w, KN_REVISION), 3);
	assert_non_null(kn_world_get(&w, KN_REVISION, "hello-00005"));
	assert_non_null(kn_world_get(&w, KN_REVISION, "hello-00007"));
	assert_non_null(kn_world_get(&w, KN_REVISION, "hello-00008"));
	kn_world_close(&w);
}

static void
a_bare_configuration_and_route(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	kn_world_apply(&w, KN_CONFIGURATION,
		       "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"template\":{\"spec\":{"
		       "\"containers\":[{\"image\":\"app:1\"}]}}}}");
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_CONFIGURATION, "c", "Ready"), "True");
	assert_string_equal(label(&w, "c-00001", KN_LABEL_ROUTING_STATE), "pending");
	kn_world_apply(
		&w, KN_ROUTE,
		"{\"metadata\":{\"name\":\"r\"},\"spec\":{\"traffic\":[{\"configurationName\":"
		"\"c\",\"latestRevision\":true,\"percent\":100}]}}");
	kn_world_run(&w);
	assert_string_equal(label(&w, "c-00001", KN_LABEL_ROUTING_STATE), "active");
	assert_string_equal(annotation(&w, KN_CONFIGURATION, "c", KN_ANNOTATION_ROUTES), "r");
	assert_string_equal(annotation(&w, KN_REVISION, "c-00001", KN_ANNOTATION_ROUTES), "r");
	kn_world_apply(&w, KN_ROUTE,
		       "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"traffic\":[{\"revisionName\":"
		       "\"c-00001\",\"latestRevision\":false,\"percent\":100}]}}");
	kn_world_run(&w);
	assert_string_equal(annotation(&w, KN_REVISION, "c-00001", KN_ANNOTATION_ROUTES), "a,r");
	assert_string_equal(annotation(&w, KN_CONFIGURATION, "c", KN_ANNOTATION_ROUTES), "a,r");
	kn_world_delete(&w, KN_ROUTE, "a");
	kn_world_delete(&w, KN_ROUTE, "r");
	kn_world_run(&w);
	assert_string_equal(label(&w, "c-00001", KN_LABEL_ROUTING_STATE), "reserve");
	assert_string_equal(annotation(&w, KN_CONFIGURATION, "c", KN_ANNOTATION_ROUTES), "");
	kn_world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_becomes_ready),
		cmocka_unit_test(a_revision_may_be_idle_before_it_is_seen_ready),
		cmocka_unit_test(an_update_makes_a_revision),
		cmocka_unit_test(a_failing_revision_says_why),
		cmocka_unit_test(an_image_that_is_tried_again),
		cmocka_unit_test(a_quota_is_shown),
		cmocka_unit_test(names_by_the_user),
		cmocka_unit_test(deletion_takes_all),
		cmocka_unit_test(what_was_deleted_is_made_anew),
		cmocka_unit_test(metadata_goes_down),
		cmocka_unit_test(scaled_to_zero_it_stays_ready),
		cmocka_unit_test(a_start_that_takes_too_long),
		cmocka_unit_test(a_digest_that_the_first_pod_ran),
		cmocka_unit_test(annotations_with_a_mistake),
		cmocka_unit_test(a_class_of_another_autoscaler),
		cmocka_unit_test(killed_at_any_write),
		cmocka_unit_test(old_revisions_are_collected),
		cmocka_unit_test(a_bare_configuration_and_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
