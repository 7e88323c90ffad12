/* Stories of objects that are not as we have made them: of other owners, edited by hand, or refused
 * by the API server. */
#include "test/unit/kn_story.h"
#include "test/unit/kn_world.h"

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_json.h"

static void
what_is_not_owned_stays(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	kn_world_apply(&w, KN_CONFIGURATION,
		       "{\"metadata\":{\"name\":\"hello\"},\"spec\":{\"template\":{\"spec\":{"
		       "\"containers\":[{\"image\":\"own:1\"}]}}}}");
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w),
			    "False NotOwned: There is an existing Configuration \"hello\" "
			    "that we do not own.");
	assert_null(kn_world_get(&w, KN_ROUTE, "hello"));
	kn_world_delete(&w, KN_CONFIGURATION, "hello");
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_close(&w);

	story_begin(&w);
	kn_world_apply(&w, KN_DEPLOYMENT,
		       "{\"metadata\":{\"name\":\"hello-00001-deployment\"},\"spec\":{}}");
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "False NotOwned: There is an existing Deployment "
			    "\"hello-00001-deployment\" that we do not own.");
	assert_null(kn_json_at(kn_world_get(&w, KN_DEPLOYMENT, "hello-00001-deployment"), "spec",
			       "template", NULL));
	kn_world_delete(&w, KN_DEPLOYMENT, "hello-00001-deployment");
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_close(&w);
}

/* A Service is deleted and made anew, while what the one before had is still there: that is no
 * mistake of anybody, and passes. */
static void
what_was_of_an_earlier_one(void **state)
{
	static const struct {
		enum kn_kind kind;
		const char *name, *owner; /* members of the reference but its uid */
		const char *condition;	  /* of the Service */
	} v[] = {
		{KN_CONFIGURATION, "hello",
		 "\"apiVersion\":\"serving.knative.dev/v1\",\"kind\":\"Service\",\"name\":\"hello\"",
		 "ConfigurationsReady"},
		{KN_ROUTE, "hello",
		 "\"apiVersion\":\"serving.knative.dev/v1\",\"kind\":\"Service\",\"name\":\"hello\"",
		 "RoutesReady"},
		{KN_REVISION, "hello-00001",
		 "\"apiVersion\":\"serving.knative.dev/v1\",\"kind\":\"Configuration\",\"name\":"
		 "\"hello\"",
		 "ConfigurationsReady"},
		{KN_DEPLOYMENT, "hello-00001-deployment",
		 "\"apiVersion\":\"serving.knative.dev/v1\",\"kind\":\"Revision\",\"name\":"
		 "\"hello-00001\"",
		 "ConfigurationsReady"},
		{KN_PLACEHOLDER, "hello",
		 "\"apiVersion\":\"serving.knative.dev/v1\",\"kind\":\"Route\",\"name\":\"hello\"",
		 "RoutesReady"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kn_world w;
		char *text = xasprintf("{\"metadata\":{\"name\":\"%s\",\"ownerReferences\":[{%s,"
				       "\"uid\":\"earlier\",\"controller\":true}]},\"spec\":{}}",
				       v[i].name, v[i].owner);

		story_begin(&w);
		kn_world_apply(&w, v[i].kind, text);
		story_service(&w, "app:1", "", NULL);
		kn_world_run(&w);
		assert_memory_equal(READY(&w), "Unknown", 7);
		assert_memory_equal(kn_world_condition(&w, KN_SERVICE, "hello", v[i].condition),
				    "Unknown", 7);
		kn_world_delete(&w, v[i].kind, v[i].name);
		kn_world_run(&w);
		assert_string_equal(READY(&w), "True");
		kn_world_close(&w);
		free(text);
	}
}

/* Somebody takes our reference off: what has none of ours is not ours, and stays as it is. */
static void
a_reference_that_is_taken_off(void **state)
{
	static const char none[] = "{\"metadata\":{\"ownerReferences\":null}}";
	struct kn_world w;
	unsigned writes_n;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	kn_world_patch(&w, KN_DEPLOYMENT, "hello-00001-deployment", none);
	kn_world_patch(&w, KN_PLACEHOLDER, "hello", none);
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "False NotOwned: There is an existing Deployment "
			    "\"hello-00001-deployment\" that we do not own.");
	assert_string_equal(kn_world_condition(&w, KN_ROUTE, "hello", "IngressReady"),
			    "False NotOwned: There is an existing placeholder Service \"hello\" "
			    "that we do not own.");
	kn_world_patch(&w, KN_DEPLOYMENT, "hello-00001-deployment", "{\"spec\":{\"paused\":true}}");
	writes_n = w.writes_n;
	kn_world_run(&w);
	assert_int_equal(w.writes_n, writes_n);
	kn_world_delete(&w, KN_DEPLOYMENT, "hello-00001-deployment");
	kn_world_delete(&w, KN_PLACEHOLDER, "hello");
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_patch(&w, KN_REVISION, "hello-00001", none);
	kn_world_run(&w);
	assert_memory_equal(READY(&w), "False RevisionFailed: Revision creation failed", 46);
	kn_world_patch(&w, KN_ROUTE, "hello", none);
	kn_world_run(&w);
	assert_memory_equal(kn_world_condition(&w, KN_SERVICE, "hello", "RoutesReady"),
			    "False NotOwned", 14);
	kn_world_patch(&w, KN_CONFIGURATION, "hello", none);
	kn_world_run(&w);
	assert_memory_equal(kn_world_condition(&w, KN_SERVICE, "hello", "ConfigurationsReady"),
			    "False NotOwned", 14);
	kn_world_close(&w);
}

/* Somebody edits what we have made: it is put back, but for what is not ours to say. */
static void
edits_by_hand_are_undone(void **state)
{
	static const char deployment[] = "hello-00001-deployment";
	struct kn_world w;
	const json_t *d, *s;

	(void)state;
	story_begin(&w);
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	kn_world_patch(
		&w, KN_DEPLOYMENT, deployment,
		"{\"metadata\":{\"labels\":{\"theirs\":\"x\"}},\"spec\":{\"replicas\":3,\"paused\":"
		"true,\"progressDeadlineSeconds\":1,\"template\":{\"metadata\":{\"annotations\":{"
		"\"kubectl.kubernetes.io/restartedAt\":\"now\"}},\"spec\":{\"nodeSelector\":{"
		"\"a\":\"b\"},\"containers\":[{\"name\":\"other\",\"image\":\"evil:1\"}]}}}}");
	kn_world_patch(&w, KN_PLACEHOLDER, "hello",
		       "{\"spec\":{\"externalName\":\"elsewhere\",\"selector\":{\"a\":\"b\"}}}");
	kn_world_run(&w);
	d = kn_json_at(kn_world_get(&w, KN_DEPLOYMENT, deployment), "spec", NULL);
	assert_int_equal(kn_json_number(d, "replicas", 0), 3);
	assert_null(json_object_get(d, "paused"));
	assert_int_equal(kn_json_number(d, "progressDeadlineSeconds", 0), 600);
	assert_string_equal(kn_json_text(d, "template", "metadata", "annotations",
					 "kubectl.kubernetes.io/restartedAt", NULL),
			    "now");
	d = kn_json_at(d, "template", "spec", NULL);
	assert_null(json_object_get(d, "nodeSelector"));
	assert_string_equal(
		kn_json_text(json_array_get(json_object_get(d, "containers"), 0), "image", NULL),
		"app:1");
	assert_string_equal(kn_json_text(kn_world_get(&w, KN_DEPLOYMENT, deployment), "metadata",
					 "labels", "theirs", NULL),
			    "x");
	s = kn_json_at(kn_world_get(&w, KN_PLACEHOLDER, "hello"), "spec", NULL);
	assert_string_equal(kn_json_text(s, "externalName", NULL),
			    "activator-local.activator.svc.cluster.local");
	assert_null(json_object_get(s, "selector"));
	assert_string_equal(READY(&w), "True");
	kn_world_close(&w);
}

static const char *
refuse_deployments(const struct kn_world *w, const struct kn_write *write)
{
	(void)w;
	return write->kind == KN_DEPLOYMENT ? "deployments.apps is forbidden" : NULL;
}

static void
a_refusal_is_shown(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	w.refuse = refuse_deployments;
	w.refuse_status = 403;
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	assert_string_equal(kn_world_condition(&w, KN_REVISION, "hello-00001", "Ready"),
			    "False Forbidden: cannot create Deployment \"hello-00001-deployment\": "
			    "deployments.apps is forbidden");
	w.refuse = NULL;
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_close(&w);
}

static const char *
refuse_deletes(const struct kn_world *w, const struct kn_write *write)
{
	(void)w;
	return write->verb == KN_DELETE ? "revisions is forbidden" : NULL;
}

/* What cannot be deleted is no matter of the one that it belongs to. */
static void
a_delete_that_is_refused(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	w.config->gc.max_non_active = 0;
	w.config->gc.min_non_active = 0;
	w.refuse = refuse_deletes;
	w.refuse_status = 403;
	story_service(&w, "app:1", "", NULL);
	kn_world_run(&w);
	story_service(&w, "app:2", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	story_service(&w, "app:3", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	assert_int_equal(kn_world_count(&w, KN_REVISION), 3);
	w.refuse = NULL;
	story_service(&w, "app:4", "", NULL);
	kn_world_run(&w);
	assert_int_equal(kn_world_count(&w, KN_REVISION), 1);
	kn_world_close(&w);
}

static const char *
refuse_routes(const struct kn_world *w, const struct kn_write *write)
{
	(void)w;
	return write->kind == KN_ROUTE && write->verb == KN_CREATE ? "no routes" : NULL;
}

/* The condition that says so is that of the child which is refused. */
static void
a_refusal_of_a_child(void **state)
{
	struct kn_world w;

	(void)state;
	story_begin(&w);
	w.refuse = refuse_routes;
	w.refuse_status = 403;
	story_service(&w, "missing:1", "", NULL);
	kn_world_run(&w);
	assert_memory_equal(kn_world_condition(&w, KN_SERVICE, "hello", "ConfigurationsReady"),
			    "False RevisionFailed", 20);
	assert_string_equal(kn_world_condition(&w, KN_SERVICE, "hello", "RoutesReady"),
			    "Unknown Forbidden: cannot create Route \"hello\": no routes");
	w.refuse = NULL;
	story_service(&w, "app:2", "", NULL);
	kn_world_run(&w);
	assert_string_equal(READY(&w), "True");
	kn_world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_owned_stays),
		cmocka_unit_test(what_was_of_an_earlier_one),
		cmocka_unit_test(a_reference_that_is_taken_off),
		cmocka_unit_test(edits_by_hand_are_undone),
		cmocka_unit_test(a_refusal_is_shown),
		cmocka_unit_test(a_delete_that_is_refused),
		cmocka_unit_test(a_refusal_of_a_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
