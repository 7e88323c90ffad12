#include "autoscaler/knative/kn_defaults.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "common/strbuf.h"

json_t *
kn_serving_container(const json_t *spec)
{
	const json_t *containers = kn_json_at(spec, "containers", NULL);
	size_t i;

	if (json_array_size(containers) == 1)
		return json_array_get(containers, 0);
	for (i = 0; i < json_array_size(containers); i++) {
		json_t *container = json_array_get(containers, i);

		if (json_array_size(json_object_get(container, "ports")) > 0)
			return container;
	}
	return NULL;
}

int64_t
kn_user_port(const json_t *spec)
{
	const json_t *ports = kn_json_at(kn_serving_container(spec), "ports", NULL);
	int64_t port = kn_json_number(json_array_get(ports, 0), "containerPort", 0);

	return port == 0 ? KN_USER_PORT : port;
}

/* --- timeouts and limits --- */

static bool
is_absent(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return value == NULL || json_is_null(value);
}

static void
apply_timeouts(json_t *spec, const struct kn_defaults_config *d)
{
	int64_t timeout_s = kn_json_number(spec, "timeoutSeconds", 0);

	if (timeout_s == 0) {
		timeout_s = d->revision_timeout_s;
		kn_json_set_number(spec, "timeoutSeconds", timeout_s);
	}
	/* A default that is not below the whole timeout would change nothing. */
	if (is_absent(spec, "idleTimeoutSeconds") && d->idle_timeout_s != 0 &&
	    d->idle_timeout_s < timeout_s)
		kn_json_set_number(spec, "idleTimeoutSeconds", d->idle_timeout_s);
	if (is_absent(spec, "responseStartTimeoutSeconds") && d->response_start_timeout_s != 0 &&
	    d->response_start_timeout_s < timeout_s)
		kn_json_set_number(spec, "responseStartTimeoutSeconds",
				   d->response_start_timeout_s);
	if (is_absent(spec, "containerConcurrency"))
		kn_json_set_number(spec, "containerConcurrency", d->container_concurrency);
}

/* --- names of containers --- */

static bool
is_name_taken(const json_t *spec, const char *name)
{
	static const char *const lists[] = {"containers", "initContainers"};
	size_t i, k;

	for (k = 0; k < ARRAY_LEN(lists); k++) {
		const json_t *list = kn_json_at(spec, lists[k], NULL);

		for (i = 0; i < json_array_size(list); i++)
			if (strcmp(kn_json_text(json_array_get(list, i), "name", NULL), name) == 0)
				return true;
	}
	return false;
}

/* The template's text with {{.Name}} and {{.Namespace}} filled in.  The caller's. */
static char *
expand(const char *template, const struct kn_parent *parent)
{
	struct strbuf out;

	strbuf_init(&out, 0);
	while (*template != '\0') {
		char field[16];
		int n = 0;

		if (sscanf(template, "{{ .%15[A-Za-z] }}%n", field, &n) != 1 || n == 0) {
			(void)strbuf_add(&out, template ++, 1);
			continue;
		}
		template += n;
		if (strcmp(field, "Name") == 0)
			(void)strbuf_adds(&out, parent->name);
		else if (strcmp(field, "Namespace") == 0)
			(void)strbuf_adds(&out, parent->ns);
	}
	return strbuf_take(&out);
}

/* Name the containers of a list that have no name: `name`, or where there are several or it is
 * taken, `name`-0, `name`-1 … */
static void
apply_names(json_t *spec, const char *list_name, const char *template,
	    const struct kn_parent *parent)
{
	const json_t *list = kn_json_at(spec, list_name, NULL);
	char *name = expand(template, parent);
	unsigned number = 0;
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		json_t *container = json_array_get(list, i);
		char *own = NULL;

		if (*kn_json_text(container, "name", NULL) != '\0')
			continue;
		if (json_array_size(list) == 1 && !is_name_taken(spec, name))
			own = xstrdup(name);
		while (own == NULL) {
			char suffix[16];

			(void)snprintf(suffix, sizeof suffix, "-%u", number++);
			own = kn_child_name(name, suffix);
			if (is_name_taken(spec, own)) {
				free(own);
				own = NULL;
			}
		}
		kn_json_set_text(container, "name", own);
		free(own);
	}
	free(name);
}

/* --- containers --- */

static void
apply_quantity(json_t *resources, const char *kind, const char *what, const char *quantity)
{
	json_t *list;

	if (quantity == NULL)
		return;
	list = kn_json_child(resources, kind);
	if (is_absent(list, what))
		kn_json_set_text(list, what, quantity);
}

static void
apply_resources(json_t *container, const struct kn_defaults_config *d)
{
	json_t *resources = kn_json_child(container, "resources");

	apply_quantity(resources, "requests", "cpu", d->cpu_request);
	apply_quantity(resources, "limits", "cpu", d->cpu_limit);
	apply_quantity(resources, "requests", "memory", d->memory_request);
	apply_quantity(resources, "limits", "memory", d->memory_limit);
	apply_quantity(resources, "requests", "ephemeral-storage", d->ephemeral_storage_request);
	apply_quantity(resources, "limits", "ephemeral-storage", d->ephemeral_storage_limit);
}

static bool
has_handler(const json_t *probe)
{
	static const char *const handlers[] = {"httpGet", "tcpSocket", "exec", "grpc"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(handlers); i++)
		if (!is_absent(probe, handlers[i]))
			return true;
	return false;
}

static void
apply_if_zero(json_t *object, const char *key, int64_t value)
{
	if (kn_json_number(object, key, 0) == 0)
		kn_json_set_number(object, key, value);
}

/* periodSeconds 0 stands for probes as fast as can be; it stays. */
static void
apply_readiness(json_t *container, bool is_serving)
{
	json_t *probe = json_object_get(container, "readinessProbe");

	if (is_serving) {
		probe = kn_json_child(container, "readinessProbe");
		if (!has_handler(probe))
			kn_json_set_number(kn_json_child(probe, "tcpSocket"), "port", 0);
	}
	if (!json_is_object(probe))
		return;
	apply_if_zero(probe, "successThreshold", 1);
	if (kn_json_number(probe, "periodSeconds", 0) != 0) {
		apply_if_zero(probe, "failureThreshold", 3);
		apply_if_zero(probe, "timeoutSeconds", 1);
	}
}

static bool
is_writable_volume(const json_t *spec, const char *name)
{
	const json_t *volumes = kn_json_at(spec, "volumes", NULL);
	size_t i;

	for (i = 0; i < json_array_size(volumes); i++) {
		const json_t *volume = json_array_get(volumes, i);

		if (strcmp(kn_json_text(volume, "name", NULL), name) == 0)
			return !is_absent(volume, "emptyDir") ||
			       !is_absent(volume, "persistentVolumeClaim") ||
			       !is_absent(volume, "ephemeral");
	}
	return false;
}

static void
apply_mounts(const json_t *spec, json_t *container)
{
	const json_t *mounts = kn_json_at(container, "volumeMounts", NULL);
	size_t i;

	for (i = 0; i < json_array_size(mounts); i++) {
		json_t *mount = json_array_get(mounts, i);

		if (!is_writable_volume(spec, kn_json_text(mount, "name", NULL)))
			kn_json_set(mount, "readOnly", json_true());
	}
}

static bool
needs_low_port(const json_t *container)
{
	const json_t *ports = kn_json_at(container, "ports", NULL);
	size_t i;

	for (i = 0; i < json_array_size(ports); i++)
		if (kn_json_number(json_array_get(ports, i), "containerPort", KN_USER_PORT) < 1024)
			return true;
	return false;
}

/* Feature secure-pod-defaults: what Kubernetes's profile "restricted" asks for. */
static void
apply_security(const json_t *spec, json_t *container)
{
	const json_t *pod = kn_json_at(spec, "securityContext", NULL);
	json_t *own = kn_json_child(container, "securityContext");

	if (is_absent(own, "allowPrivilegeEscalation"))
		kn_json_set(own, "allowPrivilegeEscalation", json_false());
	if (*kn_json_text(pod, "seccompProfile", "type", NULL) == '\0' &&
	    *kn_json_text(own, "seccompProfile", "type", NULL) == '\0')
		kn_json_set_text(kn_json_child(own, "seccompProfile"), "type", "RuntimeDefault");
	if (is_absent(own, "capabilities")) {
		json_t *capabilities = kn_json_child(own, "capabilities");

		kn_json_set(capabilities, "drop", json_pack("[s]", "ALL"));
		if (needs_low_port(container))
			kn_json_set(capabilities, "add", json_pack("[s]", "NET_BIND_SERVICE"));
	}
	if (is_absent(pod, "runAsNonRoot") && is_absent(own, "runAsNonRoot"))
		kn_json_set(own, "runAsNonRoot", json_true());
}

static void
apply_service_links(json_t *spec, enum kn_service_links links)
{
	if (is_absent(spec, "enableServiceLinks") && links != KN_LINKS_OF_CLUSTER)
		kn_json_set(spec, "enableServiceLinks", json_boolean(links == KN_LINKS_ON));
}

void
kn_defaults_apply(json_t *spec, const struct kn_config *config, const struct kn_parent *parent)
{
	const struct kn_defaults_config *d = &config->defaults;
	const json_t *containers = kn_json_at(spec, "containers", NULL);
	const json_t *init = kn_json_at(spec, "initContainers", NULL);
	bool is_secure = config->features.secure_pod_defaults == KN_ENABLED;
	size_t i;

	apply_timeouts(spec, d);
	apply_service_links(spec, d->enable_service_links);
	apply_names(spec, "containers", d->container_name_template, parent);
	apply_names(spec, "initContainers", d->init_container_name_template, parent);
	for (i = 0; i < json_array_size(containers); i++) {
		json_t *container = json_array_get(containers, i);

		apply_resources(container, d);
		apply_readiness(container, container == kn_serving_container(spec));
		apply_mounts(spec, container);
		if (is_secure)
			apply_security(spec, container);
	}
	for (i = 0; is_secure && i < json_array_size(init); i++)
		apply_security(spec, json_array_get(init, i));
}

bool
kn_defaults_are_applied(const json_t *spec)
{
	const json_t *containers = kn_json_at(spec, "containers", NULL);
	size_t i;

	for (i = 0; i < json_array_size(containers); i++)
		if (*kn_json_text(json_array_get(containers, i), "name", NULL) == '\0')
			return false;
	return kn_json_number(spec, "timeoutSeconds", 0) != 0 &&
	       !is_absent(spec, "containerConcurrency") &&
	       has_handler(kn_json_at(kn_serving_container(spec), "readinessProbe", NULL));
}

bool
kn_defaults_same_template(const json_t *a, const json_t *b, const struct kn_config *config,
			  const struct kn_parent *parent)
{
	json_t *x, *y;
	bool is_same;

	if (kn_json_equal(a, b))
		return true;
	if (!json_is_object(a) || !json_is_object(b))
		return false;
	x = kn_json_copy(a);
	y = kn_json_copy(b);
	kn_defaults_apply(kn_json_child(x, "spec"), config, parent);
	kn_defaults_apply(kn_json_child(y, "spec"), config, parent);
	is_same = kn_json_equal(x, y);
	json_decref(x);
	json_decref(y);
	return is_same;
}
