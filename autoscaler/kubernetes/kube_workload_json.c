#include "autoscaler/kubernetes/kube_workload_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_fields.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_replicas.h"
#include "common/strbuf.h"

/* One element of matchExpressions as text. */
static void
add_expression(struct strbuf *out, const json_t *at)
{
	const char *key = kube_field_text_or_empty(at, "key"),
		   *op = kube_field_text_or_empty(at, "operator");
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

	return json_object_get(spec, "f:replicas") != NULL ||
	       kube_field_is(at, "subresource", "scale");
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
	const json_t *v = json_object_get(kube_event_meta(ev), "managedFields");
	size_t i;

	*a = (struct kube_author){.manager = ""};
	for (i = 0; i < json_array_size(v); i++) {
		const json_t *at = json_array_get(v, i);
		const char *time = kube_field_text_or_empty(at, "time");

		/* RFC 3339 in UTC sorts as text */
		if (!owns_replicas(at) || strcmp(time, a->time) < 0)
			continue;
		a->by_scale = kube_field_is(at, "subresource", "scale");
		snprintf(a->time, sizeof a->time, "%s", time);
		set_manager(a, kube_field_text_or_empty(at, "manager"));
	}
}

/* Absent counts are 0; a status of an older spec says nothing. */
static int64_t
counted_pods(const struct kube_event *ev)
{
	const json_t *status = json_object_get(ev->object, "status");
	int64_t observed = kube_field_number(status, "observedGeneration", -1);

	if (observed < kube_field_number(kube_event_meta(ev), "generation", 0))
		return -1;
	return kube_field_number(status, "replicas", 0);
}

void
kube_workload_fields_decode(const struct kube_event *ev, struct kube_workload_fields *w)
{
	const json_t *spec = json_object_get(ev->object, "spec");
	const json_t *v = json_object_get(json_object_get(ev->object, "status"), "conditions");
	size_t i;

	*w = (struct kube_workload_fields){
		.replicas = kube_field_number(spec, "replicas", 1),
		.pods_n = counted_pods(ev),
		.selector = selector_text(json_object_get(spec, "selector"))};
	for (i = 0; i < json_array_size(v); i++) {
		const json_t *at = json_array_get(v, i);

		if (!kube_field_is(at, "type", "ReplicaFailure") ||
		    !kube_field_is(at, "status", "True"))
			continue;
		w->failure_reason = kube_field_text_or_empty(at, "reason");
		w->failure_message = kube_field_text_or_empty(at, "message");
		w->failure_time = kube_field_text(at, "lastTransitionTime");
	}
}

void
kube_workload_fields_fini(struct kube_workload_fields *w)
{
	free(w->selector);
	w->selector = NULL;
}

int
kube_scale_fields_decode(struct kube_scale_fields *a, const char *text, size_t n, struct err *e)
{
	json_t *doc = kube_json_parse(text, n, e);

	*a = (struct kube_scale_fields){.replicas = 0};
	if (doc == NULL)
		return -1;
	if (!kube_field_is(doc, "kind", "Scale")) {
		json_decref(doc);
		return err_set(e, 0, "expected a Scale");
	}
	a->replicas = kube_field_number(json_object_get(doc, "spec"), "replicas", 0);
	a->rv = kube_field_copy(json_object_get(doc, "metadata"), "resourceVersion");
	a->selector = kube_field_copy(json_object_get(doc, "status"), "selector");
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
