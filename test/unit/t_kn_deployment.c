/* kn_defaults, kn_deployment and kn_image. */
#include "test/unit/unit.h"

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_defaults.h"
#include "autoscaler/knative/kn_deployment.h"
#include "autoscaler/knative/kn_image.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"

static const struct kn_parent parent = {"ns", "hello"};

/* --- defaults --- */

/* The spec with defaults filled in, as text with its members sorted; "'" stands for '"'.  For
 * free(). */
static char *
filled(const struct kn_config *config, const char *text)
{
	char *copy = xstrdup(text), *c, *out;
	json_error_t error;
	json_t *spec;

	for (c = copy; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	spec = json_loads(copy, 0, &error);
	if (spec == NULL)
		fail_msg("%s: %s", copy, error.text);
	free(copy);
	kn_defaults_apply(spec, config, &parent);
	assert_true(kn_defaults_are_applied(spec) ||
		    json_array_size(json_object_get(spec, "containers")) > 1);
	out = json_dumps(spec, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(spec);
	for (c = out; *c != '\0'; c++)
		if (*c == '"')
			*c = '\'';
	return out;
}

static void
check_filled(const struct kn_config *config, const char *text, const char *wanted)
{
	char *out = filled(config, text);

	if (strstr(out, wanted) == NULL)
		fail_msg("%s:\nexpected %s\ngot %s", text, wanted, out);
	free(out);
}

static void
what_is_absent_is_filled_in(void **state)
{
	static const struct {
		const char *spec, *wanted;
	} v[] = {
		/* what kn sends of a plain image */
		{"{'containers':[{'name':'','image':'a','resources':{}}]}",
		 "{'containerConcurrency':0,'containers':[{'image':'a','name':'user-container',"
		 "'readinessProbe':{'successThreshold':1,'tcpSocket':{'port':0}},'resources':{}}],"
		 "'enableServiceLinks':false,'timeoutSeconds':300}"},
		{"{'timeoutSeconds':0,'containers':[{}]}", "'timeoutSeconds':300"},
		{"{'timeoutSeconds':400,'containers':[{}]}", "'responseStartTimeoutSeconds':300"},
		{"{'timeoutSeconds':400,'responseStartTimeoutSeconds':7,'containers':[{}]}",
		 "'responseStartTimeoutSeconds':7"},
		{"{'containerConcurrency':5,'containers':[{}]}", "'containerConcurrency':5"},
		{"{'containers':[{'name':'mine'}]}", "'name':'mine'"},
		{"{'containers':[{'ports':[{'containerPort':1}]},{}]}",
		 "'name':'user-container-0'"},
		{"{'containers':[{'ports':[{'containerPort':1}]},{}]}",
		 "'name':'user-container-1'"},
		{"{'containers':[{'ports':[{'containerPort':1}]},{'name':'user-container-0'}]}",
		 "'name':'user-container-1','ports'"},
		{"{'containers':[{}],'initContainers':[{'image':'i'}]}",
		 "'initContainers':[{'image':'i','name':'init-container'}]"},
		{"{'containers':[{'readinessProbe':{'httpGet':{'path':'/'},'periodSeconds':5}}]}",
		 "'readinessProbe':{'failureThreshold':3,'httpGet':{'path':'/'},'periodSeconds':5,"
		 "'successThreshold':1,'timeoutSeconds':1}"},
		/* a sidecar has no probe by default */
		{"{'containers':[{'name':'a','ports':[{'containerPort':1}]},{'name':'b'}]}",
		 "{'name':'b','resources':{}}"},
		{"{'containers':[{'volumeMounts':[{'name':'s'},{'name':'e'}]}],'volumes':[{'name':'s',"
		 "'secret':{}},{'name':'e','emptyDir':{}}]}",
		 "'volumeMounts':[{'name':'s','readOnly':true},{'name':'e'}]"},
		{"{'enableServiceLinks':true,'containers':[{}]}", "'enableServiceLinks':true"},
	};
	struct kn_config *config = kn_config_new(NULL);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++)
		check_filled(config, v[i].spec, v[i].wanted);
	config->defaults.idle_timeout_s = 20;
	config->defaults.container_concurrency = 9;
	config->defaults.enable_service_links = KN_LINKS_ON;
	free(config->defaults.cpu_request);
	config->defaults.cpu_request = xstrdup("100m");
	free(config->defaults.container_name_template);
	config->defaults.container_name_template = xstrdup("c-{{.Name}}-{{ .Namespace }}");
	check_filled(config, "{'containers':[{}]}", "'idleTimeoutSeconds':20");
	check_filled(config, "{'containers':[{}]}", "'containerConcurrency':9");
	check_filled(config, "{'containers':[{}]}", "'enableServiceLinks':true");
	check_filled(config, "{'containers':[{}]}", "'requests':{'cpu':'100m'}");
	check_filled(config, "{'containers':[{'resources':{'requests':{'cpu':'2'}}}]}",
		     "'requests':{'cpu':'2'}");
	check_filled(config, "{'containers':[{}]}", "'name':'c-hello-ns'");
	config->features.secure_pod_defaults = KN_ENABLED;
	check_filled(config, "{'containers':[{'ports':[{'containerPort':80}]}]}",
		     "'securityContext':{'allowPrivilegeEscalation':false,'capabilities':{'add':["
		     "'NET_BIND_SERVICE'],'drop':['ALL']},'runAsNonRoot':true,'seccompProfile':{"
		     "'type':'RuntimeDefault'}}");
	kn_config_free(&config);
}

static void
the_same_with_and_without_defaults(void **state)
{
	struct kn_config *config = kn_config_new(NULL);
	json_t *a = json_loads("{\"spec\":{\"containers\":[{\"image\":\"a\"}]}}", 0, NULL);
	json_t *b = json_deep_copy(a);

	(void)state;
	kn_defaults_apply(json_object_get(b, "spec"), config, &parent);
	assert_true(kn_defaults_same_template(a, b, config, &parent));
	kn_json_set_number(json_object_get(b, "spec"), "timeoutSeconds", 7);
	assert_false(kn_defaults_same_template(a, b, config, &parent));
	assert_false(kn_defaults_same_template(NULL, b, config, &parent));
	assert_true(kn_defaults_same_template(NULL, NULL, config, &parent));
	json_decref(a);
	json_decref(b);
	kn_config_free(&config);
}

/* --- the Deployment --- */

#define REVISION(spec)                                                                                        \
	"{\"metadata\":{\"name\":\"hello-00001\",\"uid\":\"u1\",\"labels\":{\"serving.knative.dev/service\":" \
	"\"hello\",\"serving.knative.dev/configuration\":\"hello\",\"serving.knative.dev/routingState\":"     \
	"\"active\",\"serving.knative.dev/route\":\"hello\",\"team\":\"a\"},\"annotations\":{"                \
	"\"autoscaling.knative.dev/min-scale\":\"1\",\"serving.knative.dev/routes\":\"hello\","               \
	"\"serving.knative.dev/creator\":\"ann\"}},\"spec\":" spec "}"

struct made {
	struct kn_config *config;
	struct kn_context ctx;
	struct kn_object object;
	json_t *revision, *deployment;
};

static void
make(struct made *m, const char *text)
{
	json_error_t error;

	*m = (struct made){.config = kn_config_new(NULL), .revision = json_loads(text, 0, &error)};
	if (m->revision == NULL)
		fail_msg("%s: %s", text, error.text);
	m->ctx = (struct kn_context){.config = m->config, .kubernetes_minor = 34};
	m->object = (struct kn_object){
		.kind = KN_REVISION, .ns = "ns", .name = "hello-00001", .uid = "u1"};
	m->deployment = kn_deployment_make(&m->ctx, &m->object, m->revision, 1);
}

static void
made_fini(struct made *m)
{
	json_decref(m->deployment);
	json_decref(m->revision);
	kn_config_free(&m->config);
}

static json_t *
pod(const struct made *m)
{
	return kn_json_at(m->deployment, "spec", "template", "spec", NULL);
}

static json_t *
container(const struct made *m, size_t i)
{
	return json_array_get(kn_json_at(pod(m), "containers", NULL), i);
}

static void
check_json(const json_t *value, const char *wanted)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY), *c;

	for (c = text; *c != '\0'; c++)
		if (*c == '"')
			*c = '\'';
	assert_string_equal(text, wanted);
	free(text);
}

static void
what_a_deployment_says(void **state)
{
	struct made m;

	(void)state;
	make(&m, REVISION("{\"timeoutSeconds\":300,\"containerConcurrency\":1,\"containers\":[{"
			  "\"name\":\"user-container\",\"image\":\"a\",\"env\":[{\"name\":\"X\","
			  "\"value\":\"y\"}],\"readinessProbe\":{\"tcpSocket\":{\"port\":0},"
			  "\"successThreshold\":1}}]}"));
	assert_string_equal(kn_json_text(m.deployment, "metadata", "name", NULL),
			    "hello-00001-deployment");
	check_json(kn_json_at(m.deployment, "spec", "selector", NULL),
		   "{'matchLabels':{'serving.knative.dev/revisionUID':'u1'}}");
	check_json(kn_json_at(m.deployment, "spec", "template", "metadata", "labels", NULL),
		   "{'app':'hello-00001','serving.knative.dev/configuration':'hello',"
		   "'serving.knative.dev/revision':'hello-00001',"
		   "'serving.knative.dev/revisionUID':'u1','serving.knative.dev/service':'hello',"
		   "'team':'a'}");
	check_json(kn_json_at(m.deployment, "spec", "template", "metadata", "annotations", NULL),
		   "{'kubectl.kubernetes.io/default-container':'user-container',"
		   "'serving.knative.dev/creator':'ann'}");
	check_json(
		container(&m, 0),
		"{'env':[{'name':'X','value':'y'},{'name':'PORT','value':'8080'},{'name':"
		"'K_REVISION','value':'hello-00001'},{'name':'K_CONFIGURATION','value':'hello'},{"
		"'name':'K_SERVICE','value':'hello'}],'image':'a','lifecycle':{'preStop':{'sleep':"
		"{'seconds':2}}},'name':'user-container','ports':[{'containerPort':8080,'name':"
		"'user-port','protocol':'TCP'}],'readinessProbe':{'periodSeconds':1,"
		"'successThreshold':1,'tcpSocket':{'port':8080}},'terminationMessagePolicy':"
		"'FallbackToLogsOnError'}");
	assert_int_equal(kn_json_number(pod(&m), "terminationGracePeriodSeconds", 0), 300);
	assert_non_null(kn_json_at(pod(&m), "affinity", "podAntiAffinity", NULL));
	assert_null(json_object_get(pod(&m), "containerConcurrency"));
	assert_null(json_object_get(pod(&m), "timeoutSeconds"));
	assert_int_equal(kn_json_number(kn_json_at(m.deployment, "spec", NULL),
					"progressDeadlineSeconds", 0),
			 600);
	made_fini(&m);
}

static void
ports_and_probes(void **state)
{
	struct made m;

	(void)state;
	make(&m,
	     REVISION(
		     "{\"timeoutSeconds\":2,\"containerConcurrency\":0,\"containers\":[{\"name\":"
		     "\"side\",\"image\":\"s\"},{\"name\":\"main\",\"image\":\"m\",\"ports\":[{"
		     "\"name\":\"h2c\",\"containerPort\":9000}],\"readinessProbe\":{\"httpGet\":{"
		     "\"port\":7000,\"path\":\"/ok\"},\"periodSeconds\":3},\"livenessProbe\":{"
		     "\"httpGet\":{\"port\":1234}},\"startupProbe\":{\"tcpSocket\":{\"port\":\"h2c\"}"
		     "}}]}"));
	assert_null(json_object_get(container(&m, 0), "ports"));
	assert_int_equal(json_array_size(json_object_get(container(&m, 0), "env")), 3);
	check_json(json_object_get(container(&m, 1), "ports"),
		   "[{'containerPort':9000,'name':'user-port','protocol':'TCP'}]");
	check_json(json_object_get(container(&m, 1), "readinessProbe"),
		   "{'httpGet':{'path':'/ok','port':7000},'periodSeconds':3}");
	check_json(json_object_get(container(&m, 1), "livenessProbe"), "{'httpGet':{'port':9000}}");
	check_json(json_object_get(container(&m, 1), "startupProbe"),
		   "{'tcpSocket':{'port':'user-port'}}");
	/* The sleep is shorter than the grace time. */
	check_json(json_object_get(container(&m, 1), "lifecycle"),
		   "{'preStop':{'sleep':{'seconds':1}}}");
	made_fini(&m);
}

static void
a_server_without_the_sleep_action(void **state)
{
	json_t *old;
	struct made m;

	(void)state;
	make(&m, REVISION("{\"containers\":[{\"image\":\"a\"}]}"));
	m.ctx.kubernetes_minor = 29;
	old = kn_deployment_make(&m.ctx, &m.object, m.revision, 1);
	json_decref(m.deployment);
	m.deployment = old;
	assert_null(json_object_get(container(&m, 0), "lifecycle"));
	/* A Revision by hand gets what is absent. */
	assert_string_equal(kn_json_text(container(&m, 0), "name", NULL), "user-container");
	assert_int_equal(kn_json_number(pod(&m), "terminationGracePeriodSeconds", 0), 300);
	made_fini(&m);
}

static void
later_defaults_change_nothing(void **state)
{
	json_t *again;
	struct made m;

	(void)state;
	make(&m, REVISION("{\"containers\":[{\"image\":\"a\"}]}"));
	kn_defaults_apply(json_object_get(m.revision, "spec"), m.config, &parent);
	again = kn_deployment_make(&m.ctx, &m.object, m.revision, 1);
	m.config->defaults.memory_limit = xstrdup("1Gi");
	json_decref(m.deployment);
	m.deployment = kn_deployment_make(&m.ctx, &m.object, m.revision, 5);
	assert_null(kn_deployment_change(again, m.deployment));
	json_decref(again);
	made_fini(&m);
}

static void
a_change_leaves_what_is_others(void **state)
{
	json_t *present, *changed;
	struct made m;

	(void)state;
	make(&m, REVISION("{\"containers\":[{\"image\":\"a\"}]}"));
	present = json_deep_copy(m.deployment);
	kn_json_set_number(json_object_get(present, "spec"), "replicas", 7);
	kn_json_set_text(kn_json_at(present, "metadata", "labels", NULL), "theirs", "x");
	kn_json_set_text(kn_json_at(present, "metadata", "labels", NULL), KN_LABEL_ROUTE, "old");
	kn_json_set_text(kn_json_at(present, "spec", "template", "metadata", "annotations", NULL),
			 "kubectl.kubernetes.io/restartedAt", "now");
	assert_null(kn_deployment_change(present, m.deployment));
	kn_json_set_text(kn_json_at(m.revision, "metadata", "labels", NULL), "team", "b");
	json_decref(m.deployment);
	m.deployment = kn_deployment_make(&m.ctx, &m.object, m.revision, 1);
	changed = kn_deployment_change(present, m.deployment);
	assert_non_null(changed);
	assert_int_equal(kn_json_number(kn_json_at(changed, "spec", NULL), "replicas", 0), 7);
	assert_string_equal(kn_json_text(changed, "metadata", "labels", "theirs", NULL), "x");
	assert_string_equal(kn_json_text(changed, "metadata", "labels", KN_LABEL_ROUTE, NULL), "");
	assert_string_equal(kn_json_text(changed, "metadata", "labels", "team", NULL), "b");
	assert_string_equal(kn_json_text(changed, "spec", "template", "metadata", "annotations",
					 "kubectl.kubernetes.io/restartedAt", NULL),
			    "now");
	json_decref(changed);
	json_decref(present);
	made_fini(&m);
}

static void
digests_and_deadlines(void **state)
{
	struct made m;

	(void)state;
	make(&m,
	     "{\"metadata\":{\"annotations\":{\"serving.knative.dev/progress-deadline\":\"5s\"}},"
	     "\"spec\":{\"containers\":[{\"image\":\"a:1\"}]},\"status\":{\"containerStatuses\":[{"
	     "\"name\":\"user-container\",\"imageDigest\":\"a@sha256:1\"}]}}");
	assert_string_equal(kn_json_text(container(&m, 0), "image", NULL), "a@sha256:1");
	assert_int_equal(kn_json_number(kn_json_at(m.deployment, "spec", NULL),
					"progressDeadlineSeconds", 0),
			 5);
	made_fini(&m);
}

/* --- images --- */

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
images_and_what_runs_of_them(void **state)
{
	static const struct {
		const char *image, *id, *pinned; /* without the digest; NULL: not pinned */
	} v[] = {
		{"nginx", "docker.io/library/nginx@sha256:" HEX, "nginx"},
		{"nginx:1.2", "docker-pullable://nginx@sha256:" HEX, "nginx"},
		{"docker.io/a/b:x", "index.docker.io/a/b@sha256:" HEX, "docker.io/a/b"},
		{"localhost:5000/a:1", "localhost:5000/a@sha256:" HEX, "localhost:5000/a"},
		{"localhost/a", "localhost/a@sha256:" HEX, "localhost/a"},
		{"gcr.io/a/b/c", "gcr.io/a/b/c@sha256:" HEX, "gcr.io/a/b/c"},
		/* imported by hand; another repository; no digest; a registry that is not asked */
		{"a:1", "docker.io/library/import-2026-11-30@sha256:" HEX, NULL},
		{"gcr.io/a/b", "gcr.io/a/c@sha256:" HEX, NULL},
		{"a:1", "sha256:" HEX, NULL},
		{"a:1", "a@sha256:12", NULL},
		{"a:1", "", NULL},
		{"ko.local/a:1", "ko.local/a@sha256:" HEX, NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		char *pinned = kn_image_pin(v[i].image, v[i].id, "kind.local,ko.local");
		char *wanted = v[i].pinned == NULL ? NULL
						   : xasprintf("%s@sha256:" HEX, v[i].pinned);

		if (wanted == NULL)
			assert_null(pinned);
		else
			assert_string_equal(pinned, wanted);
		free(wanted);
		free(pinned);
	}
	assert_true(kn_image_has_digest("a@sha256:" HEX));
	assert_false(kn_image_has_digest("a@sha256:" HEX "0"));
	assert_false(kn_image_has_digest("a:1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_absent_is_filled_in),
		cmocka_unit_test(the_same_with_and_without_defaults),
		cmocka_unit_test(what_a_deployment_says),
		cmocka_unit_test(ports_and_probes),
		cmocka_unit_test(a_server_without_the_sleep_action),
		cmocka_unit_test(later_defaults_change_nothing),
		cmocka_unit_test(a_change_leaves_what_is_others),
		cmocka_unit_test(digests_and_deadlines),
		cmocka_unit_test(images_and_what_runs_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
