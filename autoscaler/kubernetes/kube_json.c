#include "autoscaler/kubernetes/kube_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "autoscaler/kubernetes/kube_replicas.h"
#include "common/clk.h"
#include "common/grpc_health.h"
#include "common/strbuf.h"
#include "common/text.h"

/* --- fields --- */

static const char *
text_of(const json_t *at, const char *key)
{
	return json_string_value(json_object_get(at, key));
}

static const char *
text_or_empty(const json_t *at, const char *key)
{
	const char *text = text_of(at, key);

	return text == NULL ? "" : text;
}

static bool
is_text(const json_t *at, const char *key, const char *expected)
{
	return strcmp(text_or_empty(at, key), expected) == 0;
}

static int64_t
number_of(const json_t *at, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(at, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

static char *
copy_of(const json_t *at, const char *key)
{
	return text_copy(text_of(at, key));
}

static json_t *
parse(const char *text, size_t n, struct err *e)
{
	json_error_t why;
	json_t *doc = json_loadb(text, n, JSON_ALLOW_NUL, &why);

	/* Objects of kinds that are not built in may have integers above INT64_MAX.  Nothing that
	 * is read of them is a number. */
	if (doc == NULL && json_error_code(&why) == json_error_numeric_overflow)
		doc = json_loadb(text, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);
	if (doc == NULL)
		(void)err_set(e, 0, "invalid JSON: %s", why.text);
	return doc;
}

/* --- events --- */

static int
type_of(const char *name)
{
	static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static void
take_meta(struct kube_event *ev)
{
	const json_t *meta = json_object_get(ev->object, "metadata");
	const json_t *notes = json_object_get(meta, "annotations");

	ev->name = text_or_empty(meta, "name");
	ev->ns = text_or_empty(meta, "namespace");
	ev->uid = text_or_empty(meta, "uid");
	ev->rv = text_or_empty(meta, "resourceVersion");
	ev->is_initial_end = ev->type == KUBE_BOOKMARK &&
			     is_text(notes, "k8s.io/initial-events-end", "true");
	ev->code = number_of(ev->object, "code", 0);
	ev->reason = text_or_empty(ev->object, "reason");
	ev->message = text_or_empty(ev->object, "message");
}

int
kube_event_decode(struct kube_event *ev, const char *text, size_t n, bool is_item, struct err *e)
{
	int type = KUBE_ADDED;

	*ev = (struct kube_event){.doc = parse(text, n, e)};
	if (ev->doc == NULL)
		return -1;
	ev->object = ev->doc;
	if (!is_item) {
		type = type_of(text_or_empty(ev->doc, "type"));
		ev->object = json_object_get(ev->doc, "object");
	}
	if (type < 0 || !json_is_object(ev->object)) {
		kube_event_fini(ev);
		return err_set(e, 0, "expected an event with a type and an object");
	}
	ev->type = (enum kube_event_type)type;
	take_meta(ev);
	return 0;
}

void
kube_event_fini(struct kube_event *ev)
{
	json_decref(ev->doc);
	*ev = (struct kube_event){.doc = NULL};
}

void
kube_object_name(const char *text, size_t n, char *name, size_t size)
{
	static const char metadata[] = "\"metadata\"", key[] = "\"name\":\"";
	const char *end = text + n, *from = memmem(text, n, metadata, sizeof metadata - 1);
	size_t k = 0;

	name[0] = '\0';
	from = from == NULL ? NULL : memmem(from, (size_t)(end - from), key, sizeof key - 1);
	if (from == NULL)
		return;
	for (from += sizeof key - 1; from < end && *from != '"' && k + 1 < size; from++)
		name[k++] = *from;
	name[k] = '\0';
}

static const json_t *
meta_of(const struct kube_event *ev)
{
	return json_object_get(ev->object, "metadata");
}

const char *
kube_event_label(const void *event, const char *key)
{
	return text_of(json_object_get(meta_of(event), "labels"), key);
}

const char *
kube_event_annotation(const struct kube_event *ev, const char *key)
{
	return text_of(json_object_get(meta_of(ev), "annotations"), key);
}

bool
kube_event_next_annotation(const struct kube_event *ev, void **at, const char **key,
			   const char **value)
{
	json_t *all = json_object_get(meta_of(ev), "annotations");

	do {
		*at = *at == NULL ? json_object_iter(all) : json_object_iter_next(all, *at);
		if (*at == NULL)
			return false;
		*key = json_object_iter_key(*at);
		*value = json_string_value(json_object_iter_value(*at));
	} while (*value == NULL);
	return true;
}

/* --- pods: owner and status --- */

static void
take_owner(const struct kube_event *ev, struct kube_pod_fields *p)
{
	const json_t *owners = json_object_get(meta_of(ev), "ownerReferences");
	size_t i;

	p->owner_kind = p->owner_name = "";
	for (i = 0; i < json_array_size(owners); i++) {
		const json_t *at = json_array_get(owners, i);

		if (!json_is_true(json_object_get(at, "controller")))
			continue;
		p->owner_kind = text_or_empty(at, "kind");
		p->owner_name = text_or_empty(at, "name");
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
		const char *at = text_of(json_object_get(state, "running"), "startedAt");

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

	p->is_ready = is_text(condition, "status", "True");
	p->was_ready = !p->is_ready && start != NULL &&
		       strcmp(text_or_empty(condition, "lastTransitionTime"), start) > 0;
}

static void
take_conditions(const json_t *status, struct kube_pod_fields *p)
{
	const json_t *v = json_object_get(status, "conditions");
	size_t i;

	for (i = 0; i < json_array_size(v); i++) {
		const json_t *at = json_array_get(v, i);

		if (is_text(at, "type", "Ready"))
			take_ready(status, at, p);
		if (is_text(at, "type", "PodScheduled") && is_text(at, "status", "False") &&
		    is_text(at, "reason", "Unschedulable"))
			p->unscheduled_message = text_or_empty(at, "message");
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
	const char *reason = text_or_empty(waiting, "reason");
	bool is_waiting = waiting != NULL && !is_starting(reason);
	bool is_past = !is_waiting && ended == NULL;

	if (ended != NULL && number_of(ended, "exitCode", 0) == 0)
		return;
	if (ended == NULL)
		ended = json_object_get(json_object_get(at, "lastState"), "terminated");
	if (ended == NULL && !is_waiting)
		return;
	if (p->trouble_container != NULL && (is_past || !p->is_trouble_past))
		return;
	p->trouble_container = text_or_empty(at, "name");
	p->is_trouble_past = is_past;
	p->waiting_reason = is_waiting ? reason : NULL;
	p->waiting_message = text_or_empty(waiting, "message");
	p->ended_reason = ended == NULL ? NULL : text_or_empty(ended, "reason");
	p->ended_code = number_of(ended, "exitCode", 0);
}

static void
take_container(const json_t *at, struct kube_pod_fields *p)
{
	int64_t restarts = number_of(at, "restartCount", 0);

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
	const char *ip = text_of(status, "podIP");

	if (ip == NULL)
		ip = text_of(json_array_get(json_object_get(status, "podIPs"), 0), "ip");
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
	p->is_deleting = text_of(meta_of(ev), "deletionTimestamp") != NULL;
	p->is_over = is_text(status, "phase", "Failed") || is_text(status, "phase", "Succeeded");
}

/* --- pods: port and probes --- */

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
		if (is_text(json_array_get(v, i), "name", name))
			return port_number(number_of(json_array_get(v, i), "containerPort", 0));
	return 0;
}

static bool
has_port(const json_t *container, uint16_t port)
{
	const json_t *v = json_object_get(container, "ports");
	size_t i;

	for (i = 0; i < json_array_size(v); i++)
		if (number_of(json_array_get(v, i), "containerPort", 0) == port)
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
			port = port_number(number_of(json_array_get(v, j), "containerPort", 0));
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
	const char *path = text_or_empty(action, "path"), *scheme = text_or_empty(action, "scheme");
	uint16_t port = probe_port(action, container);
	struct strbuf out;
	size_t i;

	if (port == 0 || !is_printable(path, false) || text_of(action, "host") != NULL ||
	    (scheme[0] != '\0' && strcmp(scheme, "HTTP") != 0))
		return NULL;
	strbuf_init(&out, 4096);
	strbuf_addf(&out, "http://:%u%s%s", port, path[0] == '/' ? "" : "/", path);
	for (i = 0; i < json_array_size(headers); i++) {
		const char *name = text_or_empty(json_array_get(headers, i), "name");
		const char *value = text_or_empty(json_array_get(headers, i), "value");

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
	const char *service = text_or_empty(action, "service");
	uint16_t port = port_number(number_of(action, "port", 0));

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
	if (tcp != NULL && text_of(tcp, "host") == NULL && probe_port(tcp, container) != 0)
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
		if (is_text(json_array_get(v, i), "name", text_or_empty(container, "name")))
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

		if (is_text(at, "type", "Ready") && is_text(at, "status", "False"))
			return text_of(at, "lastTransitionTime");
	}
	return NULL;
}

/* --- workloads --- */

/* One element of matchExpressions as text. */
static void
add_expression(struct strbuf *out, const json_t *at)
{
	const char *key = text_or_empty(at, "key"), *op = text_or_empty(at, "operator");
	const json_t *values = json_object_get(at, "values");
	size_t i;

	if (strcmp(op, "DoesNotExist") == 0)
		strbuf_adds(out, "!");
	strbuf_adds(out, key);
	if (strcmp(op, "In") != 0 && strcmp(op, "NotIn") != 0)
		return;
	strbuf_adds(out, strcmp(op, "In") == 0 ? " in (" : " notin (");
	for (i = 0; i < json_array_size(values); i++) {
		const char *value = json_string_value(json_array_get(values, i));

		strbuf_addf(out, "%s%s", i == 0 ? "" : ",", value == NULL ? "" : value);
	}
	strbuf_adds(out, ")");
}

/* A selector as text; NULL: it selects nothing. */
static char *
selector_text(const json_t *selector)
{
	const json_t *labels = json_object_get(selector, "matchLabels"), *value;
	const json_t *more = json_object_get(selector, "matchExpressions");
	struct strbuf out;
	const char *key;
	size_t i;

	if (json_object_size(labels) == 0 && json_array_size(more) == 0)
		return NULL;
	strbuf_init(&out, KUBE_SELECTOR_MOST);
	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
		strbuf_addf(&out, "%s%s=%s", out.len == 0 ? "" : ",", key,
			    json_is_string(value) ? json_string_value(value) : "");
	for (i = 0; i < json_array_size(more); i++) {
		if (out.len > 0)
			strbuf_adds(&out, ",");
		add_expression(&out, json_array_get(more, i));
	}
	return strbuf_take(&out);
}

/* Whether this entry of managedFields is of a manager that owns the replicas. */
static bool
owns_replicas(const json_t *at)
{
	const json_t *spec = json_object_get(json_object_get(at, "fieldsV1"), "f:spec");

	return json_object_get(spec, "f:replicas") != NULL || is_text(at, "subresource", "scale");
}

/* In the controller manager only the controller of HorizontalPodAutoscalers writes to scales. */
static void
set_manager(struct kube_author *a, const char *manager)
{
	bool is_hpa = a->by_scale && strcmp(manager, "kube-controller-manager") == 0;

	snprintf(a->manager, sizeof a->manager, "%s%s", manager,
		 is_hpa ? " (HorizontalPodAutoscaler)" : "");
}

void
kube_author_decode(const struct kube_event *ev, struct kube_author *a)
{
	const json_t *v = json_object_get(meta_of(ev), "managedFields");
	size_t i;

	*a = (struct kube_author){.manager = ""};
	for (i = 0; i < json_array_size(v); i++) {
		const json_t *at = json_array_get(v, i);
		const char *time = text_or_empty(at, "time");

		/* RFC 3339 in UTC sorts as text */
		if (!owns_replicas(at) || strcmp(time, a->time) < 0)
			continue;
		a->by_scale = is_text(at, "subresource", "scale");
		snprintf(a->time, sizeof a->time, "%s", time);
		set_manager(a, text_or_empty(at, "manager"));
	}
}

/* Absent counts are 0; a status of an older spec says nothing. */
static int64_t
counted_pods(const struct kube_event *ev)
{
	const json_t *status = json_object_get(ev->object, "status");
	int64_t observed = number_of(status, "observedGeneration", -1);

	if (observed < number_of(meta_of(ev), "generation", 0))
		return -1;
	return number_of(status, "replicas", 0);
}

void
kube_workload_fields_decode(const struct kube_event *ev, struct kube_workload_fields *w)
{
	const json_t *spec = json_object_get(ev->object, "spec");
	const json_t *v = json_object_get(json_object_get(ev->object, "status"), "conditions");
	size_t i;

	*w = (struct kube_workload_fields){
		.replicas = number_of(spec, "replicas", 1),
		.pods_n = counted_pods(ev),
		.selector = selector_text(json_object_get(spec, "selector"))};
	for (i = 0; i < json_array_size(v); i++) {
		const json_t *at = json_array_get(v, i);

		if (!is_text(at, "type", "ReplicaFailure") || !is_text(at, "status", "True"))
			continue;
		w->failure_reason = text_or_empty(at, "reason");
		w->failure_message = text_or_empty(at, "message");
		w->failure_time = text_of(at, "lastTransitionTime");
	}
}

void
kube_workload_fields_fini(struct kube_workload_fields *w)
{
	free(w->selector);
	w->selector = NULL;
}

/* --- times --- */

/* RFC 3339, in whole seconds since 1970; 0: it is no such time. */
static int64_t
time_of(const char *text)
{
	struct tm tm = {.tm_year = 0};
	const char *end = text == NULL ? NULL : strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t seconds = end == NULL ? 0 : (int64_t)timegm(&tm);
	unsigned hours, minutes;
	char sign, more;

	if (end == NULL)
		return 0;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (strcmp(end, "Z") == 0)
		return seconds;
	if (sscanf(end, "%c%2u:%2u%c", &sign, &hours, &minutes, &more) != 3 ||
	    (sign != '+' && sign != '-'))
		return 0;
	return seconds - (sign == '+' ? 1 : -1) * (int64_t)(hours * 3600 + minutes * 60);
}

int64_t
kube_time_age(const char *time, int64_t wall_ns)
{
	int64_t seconds = time_of(time);

	return seconds == 0 ? 0 : MAX(wall_ns - seconds * CLK_S, 0);
}

/* --- answers --- */

int
kube_scale_fields_decode(struct kube_scale_fields *a, const char *text, size_t n, struct err *e)
{
	json_t *doc = parse(text, n, e);

	*a = (struct kube_scale_fields){.replicas = 0};
	if (doc == NULL)
		return -1;
	if (!is_text(doc, "kind", "Scale")) {
		json_decref(doc);
		return err_set(e, 0, "expected a Scale");
	}
	a->replicas = number_of(json_object_get(doc, "spec"), "replicas", 0);
	a->rv = copy_of(json_object_get(doc, "metadata"), "resourceVersion");
	a->selector = copy_of(json_object_get(doc, "status"), "selector");
	json_decref(doc);
	return 0;
}

void
kube_scale_fields_fini(struct kube_scale_fields *a)
{
	free(a->rv);
	free(a->selector);
	a->rv = a->selector = NULL;
}

/* What is missing in an ExecCredential; NULL: nothing. */
static const char *
credential_mistake(const json_t *doc, const char *api_version, const struct kube_credential *c)
{
	if (!is_text(doc, "kind", "ExecCredential"))
		return "expected kind ExecCredential";
	if (!is_text(doc, "apiVersion", api_version))
		return "expected the apiVersion of the kubeconfig";
	if (c->token == NULL && c->cert == NULL)
		return "expected status.token or status.clientCertificateData";
	if ((c->cert == NULL) != (c->key == NULL))
		return "expected status.clientCertificateData together with clientKeyData";
	return NULL;
}

int
kube_credential_decode(struct kube_credential *c, const char *text, size_t n,
		       const char *api_version, struct err *e)
{
	json_t *doc = parse(text, n, e);
	const json_t *status = json_object_get(doc, "status");
	const char *expires = text_of(status, "expirationTimestamp"), *mistake;

	*c = (struct kube_credential){.token = NULL};
	if (doc == NULL)
		return -1;
	c->token = copy_of(status, "token");
	c->cert = copy_of(status, "clientCertificateData");
	c->key = copy_of(status, "clientKeyData");
	c->expires_wall_ns = time_of(expires) * CLK_S;
	mistake = credential_mistake(doc, api_version, c);
	if (mistake == NULL && expires != NULL && c->expires_wall_ns == 0)
		mistake = "expected a time of RFC 3339 in status.expirationTimestamp";
	json_decref(doc);
	if (mistake == NULL)
		return 0;
	kube_credential_fini(c);
	return err_set(e, 0, "its output is no ExecCredential: %s", mistake);
}

void
kube_credential_fini(struct kube_credential *c)
{
	free(c->token);
	free(c->cert);
	free(c->key);
	*c = (struct kube_credential){.token = NULL};
}

int
kube_list_decode(const char *text, size_t n, char **rv, char **next, struct err *e)
{
	json_t *doc = parse(text, n, e);

	*rv = *next = NULL;
	if (doc == NULL)
		return -1;
	*rv = copy_of(doc, "resourceVersion");
	if (text_or_empty(doc, "continue")[0] != '\0')
		*next = copy_of(doc, "continue");
	json_decref(doc);
	return 0;
}

void
kube_status_decode(const char *text, size_t n, char **reason, char **message, int64_t *retry_s)
{
	json_t *doc = parse(text, n, NULL);

	*reason = *message = NULL;
	*retry_s = 0;
	if (doc != NULL && is_text(doc, "kind", "Status")) {
		*reason = copy_of(doc, "reason");
		*message = copy_of(doc, "message");
		*retry_s = number_of(json_object_get(doc, "details"), "retryAfterSeconds", 0);
	}
	json_decref(doc);
}

char *
kube_plural_decode(const char *text, size_t n, const char *kind, bool *is_scaled)
{
	json_t *doc = parse(text, n, NULL);
	const json_t *v = json_object_get(doc, "resources");
	char *plural = NULL, *scale;
	size_t i;

	*is_scaled = false;
	for (i = 0; i < json_array_size(v) && plural == NULL; i++) {
		const json_t *at = json_array_get(v, i);

		if (is_text(at, "kind", kind) && strchr(text_or_empty(at, "name"), '/') == NULL)
			plural = copy_of(at, "name");
	}
	scale = plural == NULL ? NULL : xasprintf("%s/scale", plural);
	for (i = 0; i < json_array_size(v) && scale != NULL; i++)
		*is_scaled |= is_text(json_array_get(v, i), "name", scale);
	free(scale);
	json_decref(doc);
	return plural;
}
