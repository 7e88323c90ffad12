#include "autoscaler/knative/kn_routing.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_conditions.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_time.h"

const char *
kn_routing_state(const json_t *revision)
{
	return kn_json_text(revision, "metadata", "labels", KN_LABEL_ROUTING_STATE, NULL);
}

static const char *
routes_of(const json_t *document)
{
	return kn_json_text(document, "metadata", "annotations", KN_ANNOTATION_ROUTES, NULL);
}

/* Patch the annotation, and of a Revision the state that follows from it. */
static void
patch_routes(const struct kn_context *ctx, const struct kn_object *o, const json_t *document,
	     const char *routes, struct kn_plan *plan)
{
	const char *state = *routes != '\0' ? KN_ACTIVE : KN_RESERVE;
	json_t *metadata = json_object(), *annotations = kn_json_child(metadata, "annotations");
	char now[KN_TIME_SIZE];

	if (strcmp(routes, routes_of(document)) != 0)
		kn_json_set(annotations, KN_ANNOTATION_ROUTES,
			    *routes != '\0' ? json_string(routes) : json_null());
	if (o->kind == KN_REVISION && strcmp(kn_routing_state(document), state) != 0) {
		kn_json_set_text(kn_json_child(metadata, "labels"), KN_LABEL_ROUTING_STATE, state);
		kn_json_set_text(annotations, KN_ANNOTATION_STATE_MODIFIED,
				 kn_time_format(ctx->wall_s, now));
	}
	if (json_object_size(annotations) > 0)
		kn_plan_patch(plan, o, json_pack("{s:O}", "metadata", metadata));
	json_decref(metadata);
}

/* --- what a Route names --- */

static void
add_to(const struct kn_context *ctx, const struct kn_object *o, const json_t *document,
       const char *route, struct kn_plan *plan)
{
	char *routes;

	if (o->is_deleting)
		return;
	routes = kn_names_with(routes_of(document), route);
	patch_routes(ctx, o, document, routes, plan);
	free(routes);
}

/* Where one object is named twice, it is patched once. */
static bool
is_patched(const struct kn_plan *plan, const struct kn_object *o)
{
	size_t i;

	for (i = 0; i < plan->writes_n; i++)
		if (plan->writes[i].verb == KN_PATCH && plan->writes[i].kind == o->kind &&
		    strcmp(plan->writes[i].name, o->name) == 0)
			return true;
	return false;
}

/* The name of the Configuration that has made the Revision, whatever a label says; "": none has. */
static const char *
configuration_of(const struct kn_cache *cache, const struct kn_object *revision)
{
	const struct kn_object *owner = *revision->owner_uid == '\0'
						? NULL
						: kn_cache_find_uid(cache, revision->owner_uid);

	return owner == NULL || owner->kind != KN_CONFIGURATION ? "" : owner->name;
}

static void add_to_configuration(const struct kn_context *ctx, const struct kn_object *route,
				 const char *name, bool is_latest, struct kn_plan *plan);

static void
add_to_revision(const struct kn_context *ctx, const struct kn_object *route, const char *name,
		bool with_configuration, struct kn_plan *plan)
{
	const struct kn_object *o = kn_cache_find(ctx->cache, KN_REVISION, route->ns, name);
	json_t *document;

	kn_plan_track(plan, KN_REVISION, route->ns, name);
	if (o == NULL)
		return;
	document = kn_object_json(o);
	if (!is_patched(plan, o))
		add_to(ctx, o, document, route->name, plan);
	if (with_configuration)
		add_to_configuration(ctx, route, configuration_of(ctx->cache, o), false, plan);
	json_decref(document);
}

/* is_latest: the Route names the newest Revision, so that one counts as named before it is
 * ready. */
static void
add_to_configuration(const struct kn_context *ctx, const struct kn_object *route, const char *name,
		     bool is_latest, struct kn_plan *plan)
{
	const struct kn_object *o = kn_cache_find(ctx->cache, KN_CONFIGURATION, route->ns, name);
	json_t *document;
	const char *latest;

	if (*name == '\0')
		return;
	kn_plan_track(plan, KN_CONFIGURATION, route->ns, name);
	if (o == NULL)
		return;
	document = kn_object_json(o);
	if (!is_patched(plan, o))
		add_to(ctx, o, document, route->name, plan);
	latest = kn_json_text(document, "status", "latestCreatedRevisionName", NULL);
	if (is_latest && *latest != '\0')
		add_to_revision(ctx, route, latest, false, plan);
	json_decref(document);
}

static void
add_targets(const struct kn_context *ctx, const struct kn_object *route, const json_t *targets,
	    struct kn_plan *plan)
{
	size_t i;

	for (i = 0; i < json_array_size(targets); i++) {
		const json_t *target = json_array_get(targets, i);
		const char *revision = kn_json_text(target, "revisionName", NULL);

		if (*revision != '\0')
			add_to_revision(ctx, route, revision, true, plan);
		add_to_configuration(ctx, route, kn_json_text(target, "configurationName", NULL),
				     true, plan);
	}
}

void
kn_routing_add(const struct kn_context *ctx, const struct kn_object *route, const json_t *spec,
	       const json_t *status, struct kn_plan *plan)
{
	add_targets(ctx, route, kn_json_at(status, "traffic", NULL), plan);
	add_targets(ctx, route, kn_json_at(spec, "traffic", NULL), plan);
}

/* --- what is not named any more --- */

/* A Revision or a Configuration that looks at its Routes. */
struct named {
	const struct kn_context *ctx;
	const struct kn_object *object;
	const char *configuration; /* a Revision's; "": unknown */
	json_t *configuration_document;
	bool is_latest; /* a Revision that is, or is going to be, its Configuration's newest */
};

static void
named_open(struct named *n, const struct kn_context *ctx, const struct kn_object *o,
	   const json_t *document)
{
	const struct kn_object *configuration;

	*n = (struct named){.ctx = ctx, .object = o, .configuration = ""};
	if (o->kind != KN_REVISION)
		return;
	n->configuration = configuration_of(ctx->cache, o);
	configuration = kn_cache_find(ctx->cache, KN_CONFIGURATION, o->ns, n->configuration);
	if (configuration == NULL)
		return;
	n->configuration_document = kn_object_json(configuration);
	n->is_latest = strcmp(kn_json_text(n->configuration_document, "status",
					   "latestCreatedRevisionName", NULL),
			      o->name) == 0 ||
		       kn_revision_generation(document) == configuration->generation ||
		       !kn_is_observed(n->configuration_document);
}

/* Does one of the targets name the object? */
static bool
is_among(const struct named *n, const json_t *targets)
{
	size_t i;

	for (i = 0; i < json_array_size(targets); i++) {
		const json_t *target = json_array_get(targets, i);
		const char *revision = kn_json_text(target, "revisionName", NULL);
		const char *configuration = kn_json_text(target, "configurationName", NULL);
		const struct kn_object *o;

		if (n->object->kind == KN_REVISION) {
			if (strcmp(revision, n->object->name) == 0 ||
			    (n->is_latest && *configuration != '\0' &&
			     strcmp(configuration, n->configuration) == 0))
				return true;
			continue;
		}
		o = kn_cache_find(n->ctx->cache, KN_REVISION, n->object->ns, revision);
		if (strcmp(configuration, n->object->name) == 0 ||
		    (o != NULL && kn_is_owned(o, n->object)))
			return true;
	}
	return false;
}

/* A Service makes its Route after its Configuration, and has the Route's name there from the
 * beginning. */
static bool
is_expected(const struct named *n, const json_t *document, const char *route)
{
	if (n->object->kind == KN_REVISION)
		return kn_names_has(routes_of(n->configuration_document), route);
	return strcmp(kn_json_text(document, "metadata", "labels", KN_LABEL_SERVICE, NULL),
		      route) == 0;
}

static bool
stays(const struct named *n, const json_t *document, const char *name)
{
	const struct kn_object *route = kn_cache_find(n->ctx->cache, KN_ROUTE, n->object->ns, name);
	json_t *route_document;
	bool is_settled, is_named;

	if (route == NULL || route->is_deleting)
		return is_expected(n, document, name);
	if (n->object->kind == KN_CONFIGURATION && is_expected(n, document, name))
		return true; /* its Service would put it back */
	route_document = kn_object_json(route);
	is_settled = kn_is_ready(route_document) || kn_is_failed(route_document);
	is_named = is_among(n, kn_json_at(route_document, "spec", "traffic", NULL)) ||
		   is_among(n, kn_json_at(route_document, "status", "traffic", NULL));
	json_decref(route_document);
	return is_named || !is_settled;
}

void
kn_routing_leave(const struct kn_context *ctx, const struct kn_object *o, const json_t *document,
		 struct kn_plan *plan)
{
	char *names = xstrdup(routes_of(document)), *at = names, *name;
	char *routes = xstrdup(names), *fewer;
	struct named n;

	named_open(&n, ctx, o, document);
	while ((name = strsep(&at, ",")) != NULL) {
		if (*name == '\0')
			continue;
		kn_plan_track(plan, KN_ROUTE, o->ns, name);
		if (stays(&n, document, name))
			continue;
		fewer = kn_names_without(routes, name);
		free(routes);
		routes = fewer;
	}
	if (strcmp(routes, routes_of(document)) != 0)
		patch_routes(ctx, o, document, routes, plan);
	json_decref(n.configuration_document);
	free(routes);
	free(names);
}
