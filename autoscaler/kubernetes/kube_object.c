#include "autoscaler/kubernetes/kube_object.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_fields.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_state.h"
#include "common/text.h"

#define LABELS_MOST 1000 /* of one object; the rest is passed over, to bound memory */

static const json_t *
at_path(const json_t *at, const char *const *keys)
{
	for (; *keys != NULL; keys++)
		at = json_object_get(at, *keys);
	return at;
}

static char *
text_at(const json_t *at, const char *key)
{
	const char *text = json_string_value(json_object_get(at, key));

	return xstrdup(text == NULL ? "" : text);
}

static void
take_labels(const json_t *map, struct kube_object *o)
{
	json_t *all = (json_t *)(uintptr_t)map;
	void *at = json_object_iter(all);

	o->labels = xcalloc(MIN(json_object_size(map), (size_t)LABELS_MOST) + 1, sizeof *o->labels);
	for (; at != NULL && o->labels_n < LABELS_MOST; at = json_object_iter_next(all, at)) {
		const char *value = json_string_value(json_object_iter_value(at));

		o->labels[o->labels_n++] = (struct kube_label){xstrdup(json_object_iter_key(at)),
							       xstrdup(value == NULL ? "" : value)};
	}
}

static void
take_annotations(const struct kube_event *ev, struct kube_object *o)
{
	static const char prefix[] = KUBE_ANNOTATION_PREFIX;
	const char *key, *value;
	void *at = NULL;

	while (kube_event_next_annotation(ev, &at, &key, &value)) {
		if (strncmp(key, prefix, sizeof prefix - 1) != 0 || strcmp(key, KUBE_STATE) == 0)
			continue;
		o->annotations = xrealloc(o->annotations,
					  (o->annotations_n + 1) * sizeof *o->annotations);
		o->annotations[o->annotations_n++] = (struct kube_annotation){
			xstrdup(key + sizeof prefix - 1), xstrdup(value)};
	}
}

static bool
is_one_of(const char *text, const char *a, const char *b)
{
	return text != NULL && (strcmp(text, a) == 0 || strcmp(text, b) == 0);
}

/* The only port, or the one named "http", "h2c" or "grpc"; NULL: there is no such. */
static const json_t *
main_port(const json_t *ports)
{
	size_t i;

	if (json_array_size(ports) == 1)
		return json_array_get(ports, 0);
	for (i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		const char *name = json_string_value(json_object_get(port, "name"));

		if (is_one_of(name, "http", "h2c") || is_one_of(name, "grpc", "grpc"))
			return port;
	}
	return NULL;
}

/* Its targetPort, a number or a name, which defaults to its own number.  The caller's. */
static char *
target_port(const json_t *port)
{
	const json_t *target = json_object_get(port, "targetPort");

	if (json_is_string(target))
		return xstrdup(json_string_value(target));
	if (!json_is_integer(target) || json_integer_value(target) == 0)
		target = json_object_get(port, "port");
	if (!json_is_integer(target))
		return NULL;
	return xasprintf("%lld", (long long)json_integer_value(target));
}

/* A port that speaks HTTP/2 says so by its appProtocol, or by its name: as if an annotation had. */
static void
take_protocol(const json_t *port, struct kube_object *o)
{
	const char *protocol = json_string_value(json_object_get(port, "appProtocol"));
	const char *name = json_string_value(json_object_get(port, "name"));
	size_t i;

	for (i = 0; i < o->annotations_n; i++)
		if (strcmp(o->annotations[i].name, "protocol") == 0)
			return;
	if (protocol == NULL ? !is_one_of(name, "h2c", "grpc")
			     : !is_one_of(protocol, "kubernetes.io/h2c", "grpc"))
		return;
	o->annotations = xrealloc(o->annotations, (o->annotations_n + 1) * sizeof *o->annotations);
	o->annotations[o->annotations_n++] = (struct kube_annotation){xstrdup("protocol"),
								      xstrdup("h2c")};
}

/* Does this entry of managedFields own an annotation that makes a service? */
static bool
owns_annotations(const json_t *entry)
{
	static const char *const annotations[] = {"fieldsV1", "f:metadata", "f:annotations", NULL};
	static const char prefix[] = "f:" KUBE_ANNOTATION_PREFIX;
	json_t *all = (json_t *)(uintptr_t)at_path(entry, annotations);
	void *at = json_object_iter(all);

	for (; at != NULL; at = json_object_iter_next(all, at)) {
		const char *key = json_object_iter_key(at);

		if (strncmp(key, prefix, sizeof prefix - 1) == 0 &&
		    strcmp(key, "f:" KUBE_STATE) != 0)
			return true;
	}
	return false;
}

/* The newest of them. */
static void
take_author(const struct kube_event *ev, struct kube_object *o)
{
	const json_t *v = json_object_get(kube_event_meta(ev), "managedFields");
	const char *newest = "";
	size_t i;

	for (i = 0; i < json_array_size(v); i++) {
		const json_t *at = json_array_get(v, i);
		const char *time = kube_field_text_or_empty(at, "time");

		if (!owns_annotations(at) || strcmp(time, newest) < 0)
			continue;
		newest = time; /* RFC 3339 in UTC sorts as text */
		text_replace(&o->author, kube_field_text(at, "manager"));
	}
}

void
kube_object_decode(const struct kube_event *ev, enum kube_object_kind kind, struct kube_object *o)
{
	static const char *const labels[] = {"spec", "template", "metadata", "labels", NULL};
	static const char *const selector[] = {"spec", "selector", NULL};
	static const char *const ports[] = {"spec", "ports", NULL};

	*o = (struct kube_object){.kind = kind,
				  .ns = xstrdup(ev->ns),
				  .name = xstrdup(ev->name),
				  .uid = xstrdup(ev->uid)};
	o->created = text_at(json_object_get(ev->object, "metadata"), "creationTimestamp");
	take_annotations(ev, o);
	take_author(ev, o);
	take_labels(at_path(ev->object, kind == KUBE_DEPLOYMENT ? labels : selector), o);
	if (kind == KUBE_SERVICE) {
		const json_t *port = main_port(at_path(ev->object, ports));

		o->port = target_port(port);
		if (kube_annotations_have_host(o->annotations, o->annotations_n))
			take_protocol(port, o);
	}
}

const char *
kube_object_kind_name(enum kube_object_kind kind)
{
	return kind == KUBE_DEPLOYMENT ? "Deployment" : "Service";
}

void
kube_object_fini(struct kube_object *o)
{
	size_t i;

	for (i = 0; i < o->annotations_n; i++) {
		free(o->annotations[i].name);
		free(o->annotations[i].value);
	}
	for (i = 0; i < o->labels_n; i++) {
		free(o->labels[i].key);
		free(o->labels[i].value);
	}
	free(o->annotations);
	free(o->labels);
	free(o->port);
	free(o->author);
	free(o->created);
	free(o->uid);
	free(o->name);
	free(o->ns);
	*o = (struct kube_object){.ns = NULL};
}

bool
kube_object_equal(const struct kube_object *a, const struct kube_object *b)
{
	size_t i;

	if (a->annotations_n != b->annotations_n || a->labels_n != b->labels_n ||
	    !text_equal(a->uid, b->uid) || !text_equal(a->created, b->created) ||
	    !text_equal(a->port, b->port))
		return false;
	for (i = 0; i < a->annotations_n; i++)
		if (!text_equal(a->annotations[i].name, b->annotations[i].name) ||
		    !text_equal(a->annotations[i].value, b->annotations[i].value))
			return false;
	for (i = 0; i < a->labels_n; i++)
		if (!text_equal(a->labels[i].key, b->labels[i].key) ||
		    !text_equal(a->labels[i].value, b->labels[i].value))
			return false;
	return true;
}

bool
kube_object_selects(const struct kube_object *service, const struct kube_object *deployment)
{
	size_t i, k;

	for (i = 0; i < service->labels_n; i++) {
		for (k = 0; k < deployment->labels_n; k++)
			if (text_equal(service->labels[i].key, deployment->labels[k].key) &&
			    text_equal(service->labels[i].value, deployment->labels[k].value))
				break;
		if (k == deployment->labels_n)
			return false;
	}
	return service->labels_n > 0;
}
