#include "autoscaler/knative/kn_placeholder.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_spec.h"
#include "common/settings.h"

/* Clients in the cluster that ask ROUTE.NS.svc come to this port. */
#define PORT 80
#define PORT_NAME "http2"

/* The name that placeholders lead to; the caller's. */
static char *
address_of(const struct kn_context *ctx)
{
	const char *given = ctx->settings->autoscaler.knative_address;

	return given != NULL
		       ? xstrdup(given)
		       : xasprintf("activator-local.activator.svc.%s", ctx->config->cluster_domain);
}

static json_t *
make_spec(const struct kn_context *ctx)
{
	char *address = address_of(ctx);
	json_t *spec = json_object(), *port = json_object(), *ports = json_array();

	kn_json_set_text(spec, "type", "ExternalName");
	kn_json_set_text(spec, "externalName", address);
	kn_json_set_text(spec, "sessionAffinity", "None");
	kn_json_set_text(port, "name", PORT_NAME);
	kn_json_set_number(port, "port", PORT);
	kn_json_set_number(port, "targetPort", PORT);
	kn_json_set_text(port, "appProtocol", "kubernetes.io/h2c");
	CHECK(json_array_append_new(ports, port) == 0);
	kn_json_set(spec, "ports", ports);
	free(address);
	return spec;
}

/* The Route's own without those that are about the Route alone. */
static json_t *
make_metadata(const struct kn_object *route, const json_t *document)
{
	json_t *metadata = json_object(), *labels, *annotations;

	labels = kn_json_child(metadata, "labels");
	kn_json_merge_texts(labels, kn_json_at(document, "metadata", "labels", NULL));
	kn_json_set(labels, KN_LABEL_VISIBILITY, NULL);
	kn_json_set_text(labels, KN_LABEL_ROUTE, route->name);
	annotations = kn_json_child(metadata, "annotations");
	kn_json_merge_texts(annotations, kn_json_at(document, "metadata", "annotations", NULL));
	kn_json_set(annotations, KN_ANNOTATION_LAST_APPLIED, NULL);
	kn_json_set(annotations, KN_ANNOTATION_ROLLOUT_STATE, NULL);
	return metadata;
}

static void
plan_create(const struct kn_object *route, const char *name, const json_t *metadata,
	    const json_t *spec, struct kn_plan *plan)
{
	json_t *service = json_object(), *own = kn_json_copy(metadata);

	kn_json_set_text(own, "name", name);
	kn_json_set(own, "ownerReferences", kn_owner_references(route));
	kn_json_set(service, "metadata", own);
	kn_json_set(service, "spec", kn_json_copy(spec));
	kn_plan_create(plan, KN_PLACEHOLDER, route->ns, service);
}

/* The spec, and null for each further member that the Service has.  The caller's. */
static json_t *
spec_patch(const json_t *present, const json_t *spec)
{
	json_t *patch = kn_json_copy(spec);
	const json_t *value;
	const char *name;

	KN_EACH_MEMBER(present, name, value)
	if (json_object_get(spec, name) == NULL)
		kn_json_set(patch, name, json_null());
	(void)value;
	return patch;
}

static void
plan_update(const struct kn_object *o, const json_t *metadata, const json_t *spec,
	    struct kn_plan *plan)
{
	json_t *service = kn_object_json(o), *patch = json_object();
	const json_t *present = kn_json_at(service, "spec", NULL);

	if (!kn_spec_has_metadata(kn_json_at(service, "metadata", NULL), metadata))
		kn_json_set(patch, "metadata", kn_json_copy(metadata));
	if (!kn_spec_holds(present, spec))
		kn_json_set(patch, "spec", spec_patch(present, spec));
	if (json_object_size(patch) > 0)
		kn_plan_patch(plan, o, patch);
	else
		json_decref(patch);
	json_decref(service);
}

static bool
is_among(const char *name, char *const *names, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Delete those of names that the Route has no longer. */
static void
plan_deletes(const struct kn_context *ctx, const struct kn_object *route, char *const *names,
	     size_t n, struct kn_plan *plan)
{
	const struct kn_object *o = NULL;

	while ((o = kn_cache_next_owned(ctx->cache, KN_PLACEHOLDER, route->uid, o)) != NULL)
		if (!o->is_deleting && !is_among(o->name, names, n))
			kn_plan_delete(plan, o);
}

void
kn_placeholder_look(const struct kn_context *ctx, const struct kn_object *route, char *const *names,
		    size_t n, struct kn_plan *plan, struct kn_placeholders *state)
{
	size_t i;

	*state = (struct kn_placeholders){.missing = 0};
	for (i = 0; i < n; i++) {
		const struct kn_object *o = kn_cache_find(ctx->cache, KN_PLACEHOLDER, route->ns,
							  names[i]);

		kn_plan_track(plan, KN_PLACEHOLDER, route->ns, names[i]);
		if (o == NULL || o->is_deleting)
			state->missing++;
		else if (kn_is_owned(o, route))
			continue;
		else if (kn_is_leaving(o, route))
			state->missing++;
		else
			state->not_owned = o->name;
	}
}

void
kn_placeholder_plan(const struct kn_context *ctx, const struct kn_object *route,
		    const json_t *document, char *const *names, size_t n, struct kn_plan *plan)
{
	json_t *metadata = make_metadata(route, document), *spec = make_spec(ctx);
	size_t i;

	for (i = 0; i < n; i++) {
		const struct kn_object *o = kn_cache_find(ctx->cache, KN_PLACEHOLDER, route->ns,
							  names[i]);

		if (o == NULL)
			plan_create(route, names[i], metadata, spec, plan);
		else if (!o->is_deleting && kn_is_owned(o, route))
			plan_update(o, metadata, spec, plan);
	}
	plan_deletes(ctx, route, names, n, plan);
	json_decref(metadata);
	json_decref(spec);
}
