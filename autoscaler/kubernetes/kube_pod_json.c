#include "autoscaler/kubernetes/kube_pod_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_fields.h"
#include "autoscaler/kube/kube_json.h"
#include "common/grpc_health.h"
#include "common/str_list.h"
#include "common/strbuf.h"

/* --- owner and status --- */

static void
take_owner(const struct kube_event *ev, struct kube_pod_fields *p)
{
	const json_t *owners = json_object_get(kube_event_meta(ev), "ownerReferences");
	size_t i;

	p->owner_kind = p->owner_name = "";
	for (i = 0; i < json_array_size(owners); i++) {
		const json_t *at = json_array_get(owners, i);

		if (!json_is_true(json_object_get(at, "controller")))
			continue;
		p->owner_kind = kube_field_text_or_empty(at, "kind");
		p->owner_name = kube_field_text_or_empty(at, "name");
	}
}

/* When the last of its containers was started, as RFC 3339 text; NULL: not all of them run. */
static const char *
last_start(const json_t *status)
{
	const json_t *v = json_object_get(status, "containerStatuses");
	const char *last = NULL;
	size_t i;

	for (i = 0; i < json_array_size(v); i++) {
		const json_t *state = json_object_get(json_array_get(v, i), "state");
		const char *at = kube_field_text(json_object_get(state, "running"), "startedAt");

		if (at == NULL)
			return NULL;
		if (last == NULL || strcmp(at, last) > 0) /* in UTC they sort as text */
			last = at;
	}
	return last;
}

static void
take_ready(const json_t *status, const json_t *condition, struct kube_pod_fields *p)
{
	const char *start = last_start(status);

	p->is_ready = kube_field_is(condition, "status", "True");
	p->was_ready = !p->is_ready && start != NULL &&
		       strcmp(kube_field_text_or_empty(condition, "lastTransitionTime"), start) > 0;
}

static void
take_conditions(const json_t *status, struct kube_pod_fields *p)
{
	const json_t *v = json_object_get(status, "conditions");
	size_t i;

	for (i = 0; i < json_array_size(v); i++) {
		const json_t *at = json_array_get(v, i);

		if (kube_field_is(at, "type", "Ready"))
			take_ready(status, at, p);
		if (kube_field_is(at, "type", "PodScheduled") &&
		    kube_field_is(at, "status", "False") &&
		    kube_field_is(at, "reason", "Unschedulable"))
			p->unscheduled_message = kube_field_text_or_empty(at, "message");
	}
}

/* A container that waits for such a reason is being started. */
static bool
is_starting(const char *reason)
{
	return strcmp(reason, "ContainerCreating") == 0 || strcmp(reason, "PodInitializing") == 0 ||
	       reason[0] == '\0';
}

/* The trouble of a container.  One that waits to be started, that runs, or that has completed is
 * in none, whatever happened before. */
static void
take_trouble(const json_t *at, struct kube_pod_fields *p)
{
	const json_t *state = json_object_get(at, "state");
	const json_t *waiting = json_object_get(state, "waiting");
	const json_t *ended = json_object_get(state, "terminated");
	const char *reason = kube_field_text_or_empty(waiting, "reason");
	bool is_waiting = waiting != NULL && !is_starting(reason);
	bool is_past = !is_waiting && ended == NULL;

	if (ended != NULL && kube_field_number(ended, "exitCode", 0) == 0)
		return;
	if (ended == NULL)
		ended = json_object_get(json_object_get(at, "lastState"), "terminated");
	if (ended == NULL && !is_waiting)
		return;
	if (p->trouble_container != NULL && (is_past || !p->is_trouble_past))
		return;
	p->trouble_container = kube_field_text_or_empty(at, "name");
	p->is_trouble_past = is_past;
	p->waiting_reason = is_waiting ? reason : NULL;
	p->waiting_message = kube_field_text_or_empty(waiting, "message");
	p->ended_reason = ended == NULL ? NULL : kube_field_text_or_empty(ended, "reason");
	p->ended_message = kube_field_text_or_empty(ended, "message");
	p->ended_code = kube_field_number(ended, "exitCode", 0);
}

static void
take_container(const json_t *at, struct kube_pod_fields *p)
{
	int64_t restarts = kube_field_number(at, "restartCount", 0);

	p->restarts += restarts > 0 && restarts < INT32_MAX ? (uint32_t)restarts : 0;
	take_trouble(at, p);
}

static void
take_containers(const json_t *status, const char *key, struct kube_pod_fields *p)
{
	const json_t *v = json_object_get(status, key);
	size_t i;

	for (i = 0; i < json_array_size(v); i++)
		take_container(json_array_get(v, i), p);
}

static const char *
ip_of(const json_t *status)
{
	const char *ip = kube_field_text(status, "podIP");

	if (ip == NULL)
		ip = kube_field_text(json_array_get(json_object_get(status, "podIPs"), 0), "ip");
	return ip == NULL || ip[0] == '\0' ? NULL : ip;
}

void
kube_pod_fields_decode(const struct kube_event *ev, struct kube_pod_fields *p)
{
	const json_t *status = json_object_get(ev->object, "status");

	*p = (struct kube_pod_fields){.ip = ip_of(status)};
	take_owner(ev, p);
	take_conditions(status, p);
	take_containers(status, "initContainerStatuses", p);
	take_containers(status, "containerStatuses", p);
	p->cost = kube_event_annotation(ev, KUBE_COST);
	p->cost_ours = kube_event_annotation(ev, KUBE_COST_OURS);
	p->is_deleting = kube_field_text(kube_event_meta(ev), "deletionTimestamp") != NULL;
	p->is_over = kube_field_is(status, "phase", "Failed") ||
		     kube_field_is(status, "phase", "Succeeded");
}

/* --- images --- */

#define IMAGES_MOST 32	   /* containers; the rest is passed over, to bound memory */
#define IMAGE_LONGEST 1024 /* bytes of a name and a reference */

/* Add those of one list of statuses.  False: one of them is not known. */
static bool
add_images(const json_t *statuses, char **found, size_t *n)
{
	size_t i;

	for (i = 0; i < json_array_size(statuses); i++) {
		const json_t *at = json_array_get(statuses, i);
		const char *name = kube_field_text_or_empty(at, "name");
		const char *image = kube_field_text_or_empty(at, "imageID");

		if (*image == '\0' || strlen(name) + strlen(image) > IMAGE_LONGEST ||
		    *n + 2 > 2 * IMAGES_MOST)
			return false;
		found[(*n)++] = (char *)(uintptr_t)name;
		found[(*n)++] = (char *)(uintptr_t)image;
	}
	return true;
}

void
kube_event_images(const struct kube_event *ev, struct str_list *l)
{
	const json_t *status = json_object_get(ev->object, "status");
	char *found[2 * IMAGES_MOST];
	size_t n = 0;

	if (add_images(json_object_get(status, "initContainerStatuses"), found, &n) &&
	    add_images(json_object_get(status, "containerStatuses"), found, &n))
		str_list_set(l, found, n);
}

/* --- port and probes --- */

static uint16_t
port_number(int64_t n)
{
	return n > 0 && n <= UINT16_MAX ? (uint16_t)n : 0;
}

/* The containerPort of that name in one container; 0: none. */
static uint16_t
named_port(const json_t *container, const char *name)
{
	const json_t *v = json_object_get(container, "ports");
	size_t i;

	for (i = 0; i < json_array_size(v); i++)
		if (kube_field_is(json_array_get(v, i), "name", name))
			return port_number(
				kube_field_number(json_array_get(v, i), "containerPort", 0));
	return 0;
}

static bool
has_port(const json_t *container, uint16_t port)
{
	const json_t *v = json_object_get(container, "ports");
	size_t i;

	for (i = 0; i < json_array_size(v); i++)
		if (kube_field_number(json_array_get(v, i), "containerPort", 0) == port)
			return true;
	return false;
}

static const json_t *
containers_of(const struct kube_event *ev)
{
	return json_object_get(json_object_get(ev->object, "spec"), "containers");
}

/* The containerPort, where all containers together have one; else 0. */
static uint16_t
only_port(const json_t *containers, const json_t **container)
{
	uint16_t port = 0;
	size_t i, j, n = 0;

	for (i = 0; i < json_array_size(containers); i++) {
		const json_t *at = json_array_get(containers, i);
		const json_t *v = json_object_get(at, "ports");

		for (j = 0; j < json_array_size(v); j++, n++) {
			port = port_number(
				kube_field_number(json_array_get(v, j), "containerPort", 0));
			*container = at;
		}
	}
	return n == 1 ? port : 0;
}

static uint16_t
find_named(const json_t *containers, const char *name, const json_t **container)
{
	uint16_t port = 0;
	size_t i;

	for (i = 0; i < json_array_size(containers) && port == 0; i++) {
		*container = json_array_get(containers, i);
		port = named_port(*container, name);
	}
	return port;
}

/* The port, and the container that has it. */
static uint16_t
find_port(const struct kube_event *ev, const char *port, const json_t **container)
{
	const json_t *containers = containers_of(ev);
	uint16_t number;
	char *end;
	size_t i;

	if (port == NULL) {
		number = only_port(containers, container);
		return number != 0 ? number : find_named(containers, "http", container);
	}
	number = port_number(strtol(port, &end, 10));
	if (number == 0 || *end != '\0') /* a name, even "80-tcp" */
		return find_named(containers, port, container);
	*container = json_array_get(containers, 0);
	for (i = 0; i < json_array_size(containers); i++)
		if (has_port(json_array_get(containers, i), number)) {
			*container = json_array_get(containers, i);
			break;
		}
	return number;
}

uint16_t
kube_event_port(const struct kube_event *ev, const char *port)
{
	const json_t *container;

	return find_port(ev, port, &container);
}

/* The container that serves; NULL: it cannot be determined. */
static const json_t *
serving_container(const struct kube_event *ev, const char *port)
{
	const json_t *container = NULL;

	return find_port(ev, port, &container) == 0 ? NULL : container;
}

static bool
has_probe(const json_t *container, const char *which)
{
	return json_is_object(json_object_get(container, which));
}

bool
kube_event_has_probe(const struct kube_event *ev, const char *port)
{
	const json_t *container = serving_container(ev, port);

	return has_probe(container, "readinessProbe") || has_probe(container, "startupProbe");
}

/* A probe's port, by number, by name, or by a number as text; 0: there is none. */
static uint16_t
probe_port(const json_t *action, const json_t *container)
{
	const json_t *v = json_object_get(action, "port");
	const char *text = json_string_value(v);
	uint16_t port;
	char *end;

	if (json_is_integer(v))
		return port_number(json_integer_value(v));
	if (text == NULL)
		return 0;
	port = named_port(container, text);
	if (port == 0) {
		port = port_number(strtol(text, &end, 10));
		port = *end == '\0' ? port : 0;
	}
	return port;
}

static bool
is_printable(const char *s, bool may_blank)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f || (*s == ' ' && !may_blank))
			return false;
	return true;
}

/* "http://:8081/healthz", and a line "name: value" for each header; NULL: the activator cannot
 * send it.  It cannot send HTTPS, as it speaks no TLS to instances. */
static char *
http_probe(const json_t *action, const json_t *container)
{
	const json_t *headers = json_object_get(action, "httpHeaders");
	const char *path = kube_field_text_or_empty(action, "path"),
		   *scheme = kube_field_text_or_empty(action, "scheme");
	uint16_t port = probe_port(action, container);
	struct strbuf out;
	size_t i;

	if (port == 0 || !is_printable(path, false) || kube_field_text(action, "host") != NULL ||
	    (scheme[0] != '\0' && strcmp(scheme, "HTTP") != 0))
		return NULL;
	strbuf_init(&out, 4096);
	strbuf_addf(&out, "http://:%u%s%s", port, path[0] == '/' ? "" : "/", path);
	for (i = 0; i < json_array_size(headers); i++) {
		const char *name = kube_field_text_or_empty(json_array_get(headers, i), "name");
		const char *value = kube_field_text_or_empty(json_array_get(headers, i), "value");

		if (name[0] == '\0' || !is_printable(name, false) || !is_printable(value, true) ||
		    strbuf_addf(&out, "\n%s: %s", name, value) < 0) {
			strbuf_fini(&out);
			return NULL;
		}
	}
	return strbuf_take(&out);
}

/* "grpc://:9000/NAME"; NULL: the activator cannot send it. */
static char *
grpc_probe(const json_t *action)
{
	const char *service = kube_field_text_or_empty(action, "service");
	uint16_t port = port_number(kube_field_number(action, "port", 0));

	if (port == 0 || !is_printable(service, true) || strlen(service) > GRPC_HEALTH_NAME_MOST)
		return NULL;
	return xasprintf("grpc://:%u%s%s", port, service[0] == '\0' ? "" : "/", service);
}

/* The line that says how long the pod lets its probe take; text is taken over. */
static char *
with_timeout(char *text, const json_t *probe)
{
	json_int_t seconds = json_integer_value(json_object_get(probe, "timeoutSeconds"));
	char *with;

	if (text == NULL || seconds <= 0)
		return text;
	with = xasprintf("%s\nx-activator-timeout: %lld", text,
			 (long long)MIN(seconds, (json_int_t)86400) * 1000);
	free(text);
	return with;
}

/* NULL: the activator cannot send it. */
static char *
probe_text(const json_t *container, const char *which)
{
	const json_t *probe = json_object_get(container, which);
	const json_t *http = json_object_get(probe, "httpGet");
	const json_t *tcp = json_object_get(probe, "tcpSocket");
	const json_t *grpc = json_object_get(probe, "grpc");

	if (http != NULL)
		return with_timeout(http_probe(http, container), probe);
	if (grpc != NULL)
		return with_timeout(grpc_probe(grpc), probe);
	if (tcp != NULL && kube_field_text(tcp, "host") == NULL && probe_port(tcp, container) != 0)
		return xasprintf("tcp://:%u", probe_port(tcp, container));
	return NULL;
}

/* The kubelet's startupProbe of the container has succeeded since it was started. */
static bool
has_started(const struct kube_event *ev, const json_t *container)
{
	const json_t *v = json_object_get(json_object_get(ev->object, "status"),
					  "containerStatuses");
	size_t i;

	for (i = 0; i < json_array_size(v); i++)
		if (kube_field_is(json_array_get(v, i), "name",
				  kube_field_text_or_empty(container, "name")))
			return json_is_true(json_object_get(json_array_get(v, i), "started"));
	return false;
}

char *
kube_event_probe(const struct kube_event *ev, const char *port)
{
	const json_t *container = serving_container(ev, port);
	bool has_readiness = has_probe(container, "readinessProbe");
	bool has_startup = has_probe(container, "startupProbe") && !has_started(ev, container);
	char *startup = probe_text(container, "startupProbe");
	char *readiness = probe_text(container, "readinessProbe");
	char *text;

	if ((has_startup && startup == NULL) || (has_readiness && readiness == NULL))
		text = xstrdup("ready");
	else if (has_startup && has_readiness)
		text = xasprintf("%s\n\n%s", startup, readiness);
	else if (has_startup || has_readiness)
		text = xstrdup(has_startup ? startup : readiness);
	else
		text = xstrdup("tcp");
	free(readiness);
	free(startup);
	return text;
}

const char *
kube_event_unready_time(const struct kube_event *ev)
{
	const json_t *v = json_object_get(json_object_get(ev->object, "status"), "conditions");
	size_t i;

	for (i = 0; i < json_array_size(v); i++) {
		const json_t *at = json_array_get(v, i);

		if (kube_field_is(at, "type", "Ready") && kube_field_is(at, "status", "False"))
			return kube_field_text(at, "lastTransitionTime");
	}
	return NULL;
}
