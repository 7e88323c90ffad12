#include "autoscaler/knative/kn_deployment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_defaults.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_spec.h"
#include "autoscaler/knative/kn_values.h"

/* Seconds between a pod's deletion and its SIGTERM, so that every activator has seen the deletion
 * and sends nothing new. */
#define PRE_STOP_SLEEP_S 2
#define SLEEP_ACTION_MINOR 30 /* Kubernetes 1.30 knows lifecycle.preStop.sleep by default */

/* --- labels and annotations --- */

static json_t *
make_labels(const struct kn_object *revision, const json_t *document)
{
	json_t *labels = json_object();

	kn_json_merge_texts(labels, kn_json_at(document, "metadata", "labels", NULL));
	kn_json_set(labels, KN_LABEL_ROUTE, NULL);
	kn_json_set(labels, KN_LABEL_ROUTING_STATE, NULL);
	kn_json_set_text(labels, KN_LABEL_REVISION, revision->name);
	kn_json_set_text(labels, KN_LABEL_REVISION_UID, revision->uid);
	if (json_object_get(labels, KN_LABEL_APP) == NULL)
		kn_json_set_text(labels, KN_LABEL_APP, revision->name);
	return labels;
}

/* Those of the Revision that change what runs; what may be edited later is left out, and so are
 * ours, which would make a service of the Deployment itself. */
static json_t *
make_annotations(const json_t *document)
{
	static const char *const excluded[] = {KN_ANNOTATION_LAST_PINNED, KN_ANNOTATION_NO_GC,
					       KN_ANNOTATION_STATE_MODIFIED, KN_ANNOTATION_ROUTES};
	const json_t *from = kn_json_at(document, "metadata", "annotations", NULL), *value;
	json_t *annotations = json_object();
	const char *key;
	size_t i;

	kn_json_merge_texts(annotations, from);
	KN_EACH_MEMBER(from, key, value)
	if (strncmp(key, KN_AUTOSCALING, sizeof KN_AUTOSCALING - 1) == 0 ||
	    strncmp(key, KN_OURS, sizeof KN_OURS - 1) == 0)
		kn_json_set(annotations, key, NULL);
	(void)value;
	for (i = 0; i < ARRAY_LEN(excluded); i++)
		kn_json_set(annotations, excluded[i], NULL);
	return annotations;
}

/* --- containers --- */

/* A port that is 0, absent or (of a liveness probe) any other becomes the user's. */
static void
set_probe_port(json_t *handler, int64_t user_port, bool is_any)
{
	const json_t *port = json_object_get(handler, "port");

	if (!json_is_object(handler))
		return;
	if (is_any || port == NULL || json_is_null(port) ||
	    (json_is_integer(port) && json_integer_value(port) == 0) ||
	    (json_is_string(port) && json_string_length(port) == 0))
		kn_json_set_number(handler, "port", user_port);
}

static void
set_probe_ports(json_t *probe, int64_t user_port, bool is_any)
{
	set_probe_port(json_object_get(probe, "httpGet"), user_port, is_any);
	set_probe_port(json_object_get(probe, "tcpSocket"), user_port, is_any);
	set_probe_port(json_object_get(probe, "grpc"), user_port, false);
}

/* The port has one name in every pod, so a probe that names the port by the user's name for it
 * would find none. */
static void
rename_probe_port(json_t *probe, const char *user_name)
{
	static const char *const handlers[] = {"httpGet", "tcpSocket"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(handlers); i++)
		if (*user_name != '\0' &&
		    strcmp(kn_json_text(probe, handlers[i], "port", NULL), user_name) == 0)
			kn_json_set_text(json_object_get(probe, handlers[i]), "port",
					 KN_USER_PORT_NAME);
}

/* Probes of the serving container.  periodSeconds 0 means as often as can be, which for a
 * kubelet is each second; the activator's own probes are faster. */
static void
make_serving_probes(json_t *container, int64_t port, const char *port_name, bool keeps_ports)
{
	json_t *readiness = json_object_get(container, "readinessProbe");
	json_t *liveness = json_object_get(container, "livenessProbe");
	json_t *startup = json_object_get(container, "startupProbe");

	if (json_is_object(readiness) && kn_json_number(readiness, "periodSeconds", 0) == 0)
		kn_json_set_number(readiness, "periodSeconds", 1);
	set_probe_ports(readiness, port, false);
	rename_probe_port(readiness, port_name);
	set_probe_ports(liveness, port, !keeps_ports);
	rename_probe_port(liveness, port_name);
	set_probe_ports(startup, port, false);
	rename_probe_port(startup, port_name);
}

static void
add_env(json_t *container, const char *name, const char *value)
{
	json_t *env = json_object_get(container, "env");

	if (!json_is_array(env)) {
		env = json_array();
		kn_json_set(container, "env", env);
	}
	CHECK(json_array_append_new(env, json_pack("{s:s, s:s}", "name", name, "value", value)) ==
	      0);
}

/* grace_s: of the pod; the sleep is a part of it. */
static void
add_sleep(json_t *container, int64_t grace_s)
{
	int64_t sleep_s = MIN(PRE_STOP_SLEEP_S, grace_s / 2);

	if (sleep_s > 0)
		kn_json_set(container, "lifecycle",
			    json_pack("{s:{s:{s:I}}}", "preStop", "sleep", "seconds",
				      (json_int_t)sleep_s));
}

/* What each container gets. */
static void
make_container(const struct kn_context *ctx, json_t *container, const struct kn_object *revision,
	       const json_t *pod, const json_t *labels)
{
	add_env(container, "K_REVISION", revision->name);
	add_env(container, "K_CONFIGURATION", kn_json_text(labels, KN_LABEL_CONFIGURATION, NULL));
	add_env(container, "K_SERVICE", kn_json_text(labels, KN_LABEL_SERVICE, NULL));
	if (*kn_json_text(container, "terminationMessagePolicy", NULL) == '\0')
		kn_json_set_text(container, "terminationMessagePolicy", "FallbackToLogsOnError");
	if (ctx->kubernetes_minor >= SLEEP_ACTION_MINOR)
		add_sleep(container, kn_json_number(pod, "terminationGracePeriodSeconds", 0));
}

static void
make_serving(const struct kn_context *ctx, json_t *container, int64_t port)
{
	const json_t *ports = json_object_get(container, "ports");
	char *port_name = xstrdup(kn_json_text(json_array_get(ports, 0), "name", NULL));
	char text[24];

	(void)snprintf(text, sizeof text, "%lld", (long long)port);
	kn_json_set(container, "ports",
		    json_pack("[{s:s, s:I, s:s}]", "name", KN_USER_PORT_NAME, "containerPort",
			      (json_int_t)port, "protocol", "TCP"));
	add_env(container, "PORT", text);
	make_serving_probes(container, port, port_name,
			    ctx->config->features.multi_container_probing == KN_ENABLED);
	free(port_name);
}

/* The digest that the Revision's status has for the container, or else what the user wrote. */
static void
set_image(json_t *container, const json_t *statuses, size_t i)
{
	const char *digest = kn_json_text(json_array_get(statuses, i), "imageDigest", NULL);

	if (*digest != '\0')
		kn_json_set_text(container, "image", digest);
}

static void
make_containers(const struct kn_context *ctx, json_t *pod, const struct kn_object *revision,
		const json_t *document)
{
	const json_t *labels = kn_json_at(document, "metadata", "labels", NULL);
	const json_t *containers = kn_json_at(pod, "containers", NULL);
	const json_t *init = kn_json_at(pod, "initContainers", NULL);
	const json_t *serving = kn_serving_container(pod);
	int64_t port = kn_user_port(pod);
	size_t i;

	for (i = 0; i < json_array_size(containers); i++) {
		json_t *container = json_array_get(containers, i);

		if (container == serving)
			make_serving(ctx, container, port);
		make_container(ctx, container, revision, pod, labels);
		set_image(container, kn_json_at(document, "status", "containerStatuses", NULL), i);
	}
	for (i = 0; i < json_array_size(init); i++)
		set_image(json_array_get(init, i),
			  kn_json_at(document, "status", "initContainerStatuses", NULL), i);
}

/* --- the pod --- */

static void
spread_over_nodes(json_t *pod, const char *revision)
{
	json_t *term = json_pack("{s:s, s:{s:{s:s}}}", "topologyKey", "kubernetes.io/hostname",
				 "labelSelector", "matchLabels", KN_LABEL_REVISION, revision);
	json_t *affinity = json_pack("{s:{s:[{s:i, s:o}]}}", "podAntiAffinity",
				     "preferredDuringSchedulingIgnoredDuringExecution", "weight",
				     100, "podAffinityTerm", term);

	kn_json_set(pod, "affinity", affinity);
}

static json_t *
make_pod_spec(const struct kn_context *ctx, const struct kn_object *revision,
	      const json_t *document)
{
	static const char *const ours[] = {"containerConcurrency", "timeoutSeconds",
					   "responseStartTimeoutSeconds", "idleTimeoutSeconds"};
	json_t *pod = kn_json_copy(kn_json_at(document, "spec", NULL));
	struct kn_parent parent = {revision->ns, revision->name};
	int64_t timeout_s;
	size_t i;

	if (pod == NULL)
		pod = json_object();
	if (!kn_defaults_are_applied(pod)) /* of a Revision that a user has made */
		kn_defaults_apply(pod, ctx->config, &parent);
	timeout_s = kn_json_number(pod, "timeoutSeconds", 0);
	for (i = 0; i < ARRAY_LEN(ours); i++)
		kn_json_set(pod, ours[i], NULL);
	kn_json_set_number(pod, "terminationGracePeriodSeconds", timeout_s);
	make_containers(ctx, pod, revision, document);
	if (ctx->config->deployment.default_affinity == KN_AFFINITY_SPREAD_OVER_NODES &&
	    json_object_get(pod, "affinity") == NULL)
		spread_over_nodes(pod, revision->name);
	return pod;
}

static json_t *
make_template(const struct kn_context *ctx, const struct kn_object *revision,
	      const json_t *document)
{
	json_t *pod = make_pod_spec(ctx, revision, document);
	json_t *annotations = make_annotations(document), *template;

	kn_json_set_text(annotations, KN_ANNOTATION_DEFAULT_CONTAINER,
			 kn_json_text(kn_serving_container(pod), "name", NULL));
	template = json_pack("{s:{s:o, s:o}, s:o}", "metadata", "labels",
			     make_labels(revision, document), "annotations", annotations, "spec",
			     pod);
	CHECK(template != NULL);
	return template;
}

/* --- the Deployment --- */

int64_t
kn_progress_deadline_s(const struct kn_context *ctx, const json_t *revision)
{
	const char *text = kn_json_text(revision, "metadata", "annotations",
					KN_ANNOTATION_PROGRESS_DEADLINE, NULL);
	int64_t ns;

	if (kn_value_duration(text, &ns) == 0 && ns >= 0)
		return ns / 1000000000;
	return ctx->config->deployment.progress_deadline_s;
}

/* A label that differs when anything else of the Deployment does (FNV-1a of its text). */
static void
set_hash(json_t *deployment)
{
	char *text = json_dumps(deployment, JSON_COMPACT | JSON_SORT_KEYS), label[16];
	uint32_t hash = 2166136261U;
	const char *c;

	CHECK(text != NULL);
	for (c = text; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619U;
	free(text);
	(void)snprintf(label, sizeof label, "%08x", hash);
	kn_json_set_text(json_object_get(json_object_get(deployment, "metadata"), "labels"),
			 KN_LABEL_DEPLOYMENT_HASH, label);
}

json_t *
kn_deployment_make(const struct kn_context *ctx, const struct kn_object *revision,
		   const json_t *document, int64_t replicas)
{
	char *name = kn_deployment_name(revision->name);
	json_t *metadata, *spec, *deployment;

	metadata = json_pack("{s:s, s:o, s:o, s:o}", "name", name, "labels",
			     make_labels(revision, document), "annotations",
			     make_annotations(document), "ownerReferences",
			     kn_owner_references(revision));
	spec = json_pack(
		"{s:{s:{s:s}}, s:I, s:i, s:{s:s, s:{s:i}}, s:o}", "selector", "matchLabels",
		KN_LABEL_REVISION_UID, revision->uid, "progressDeadlineSeconds",
		(json_int_t)MAX(kn_progress_deadline_s(ctx, document), 1), "revisionHistoryLimit",
		0, "strategy", "type", "RollingUpdate", "rollingUpdate", "maxUnavailable", 0,
		"template", make_template(ctx, revision, document));
	free(name);
	CHECK(metadata != NULL && spec != NULL);
	deployment = json_pack("{s:o, s:o}", "metadata", metadata, "spec", spec);
	CHECK(deployment != NULL);
	set_hash(deployment);
	kn_json_set_number(spec, "replicas", replicas); /* not in the hash: it changes */
	return deployment;
}

/* Whether a label or annotation is ours to set and to remove. */
static bool
is_ours(const char *key)
{
	return strcmp(key, KN_LABEL_APP) == 0 || strstr(key, "knative.dev/") != NULL;
}

/* What others have set beside ours, and then ours. */
static json_t *
merge_metadata(const json_t *present, const json_t *wanted)
{
	json_t *merged = json_object();
	const json_t *value;
	const char *key;

	KN_EACH_MEMBER(present, key, value)
	if (!is_ours(key) && json_is_string(value))
		kn_json_set(merged, key, json_string(json_string_value(value)));
	kn_json_merge_texts(merged, wanted);
	return merged;
}

static void
merge_into(json_t *metadata, const json_t *present, const json_t *wanted)
{
	static const char *const maps[] = {"labels", "annotations"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(maps); i++)
		kn_json_set(metadata, maps[i],
			    merge_metadata(json_object_get(present, maps[i]),
					   json_object_get(wanted, maps[i])));
}

json_t *
kn_deployment_change(const json_t *present, const json_t *wanted)
{
	const json_t *old = kn_json_at(present, "spec", NULL);
	const json_t *metadata = kn_json_at(present, "metadata", NULL);
	const json_t *wanted_metadata = kn_json_at(wanted, "metadata", NULL);
	json_t *spec = kn_json_copy(kn_json_at(wanted, "spec", NULL)), *changed;

	kn_json_set(spec, "replicas", kn_json_copy(json_object_get(old, "replicas")));
	kn_json_set(spec, "selector", kn_json_copy(json_object_get(old, "selector")));
	if (kn_spec_has_metadata(metadata, wanted_metadata) && kn_spec_holds(old, spec)) {
		json_decref(spec);
		return NULL;
	}
	changed = kn_json_copy(present);
	merge_into(kn_json_child(kn_json_child(spec, "template"), "metadata"),
		   kn_json_at(old, "template", "metadata", NULL),
		   kn_json_at(wanted, "spec", "template", "metadata", NULL));
	merge_into(kn_json_child(changed, "metadata"), metadata, wanted_metadata);
	kn_json_set(changed, "spec", spec);
	return changed;
}
