#include "autoscaler/knative/kn_domain_mapping.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_domain.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_status.h"
#include "autoscaler/kube/kube_annotations.h"

#define CLAIMED "DomainClaimed"
#define RESOLVED "ReferenceResolved"
#define INGRESS "IngressReady"
#define CERTIFICATE "CertificateProvisioned"
static const char *const dependents[] = {CERTIFICATE, CLAIMED, INGRESS, RESOLVED, NULL};

const char *
kn_domain_mapping_route(const json_t *document)
{
	const json_t *ref = kn_json_at(document, "spec", "ref", NULL);
	const char *kind = kn_json_text(ref, "kind", NULL);
	const char *version = kn_json_text(ref, "apiVersion", NULL);
	const char *ns = kn_json_text(ref, "namespace", NULL);

	if (ns[0] != '\0' && strcmp(ns, kn_json_text(document, "metadata", "namespace", NULL)) != 0)
		return NULL;
	/* A Kubernetes Service is the placeholder of a Route, which has its name, or nothing of
	 * ours. */
	if (strcmp(kind, "Service") != 0 &&
	    (strcmp(kind, "Route") != 0 || strncmp(version, "serving.knative.dev/", 20) != 0))
		return NULL;
	return kn_json_text(ref, "name", NULL);
}

bool
kn_domain_mapping_goes_before(const struct kn_object *a, const struct kn_object *b)
{
	return a->created_s != b->created_s ? a->created_s < b->created_s
					    : strcmp(a->ns, b->ns) < 0;
}

static bool
ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), suffix_n = strlen(suffix);

	return n > suffix_n && strcmp(name + n - suffix_n, suffix) == 0;
}

char *
kn_domain_mapping_mistake(const struct kn_config *c, const struct settings *settings,
			  const struct kn_object *o)
{
	char *suffix = xasprintf(".svc.%s", c->cluster_domain);
	bool is_internal = ends_with(o->name, suffix) || ends_with(o->name, ".svc");

	free(suffix);
	if (is_internal || !kn_domain_is_host(o->name))
		return xstrdup("The name is no host name outside of the cluster's own domain.");
	if (!kube_annotations_may_claim(settings, o->ns, o->name))
		return xasprintf("host %s may not be claimed from namespace %s (allow_hosts)",
				 o->name, o->ns);
	return NULL;
}

char *
kn_domain_mapping_in_use(const struct kn_object *holder)
{
	return xasprintf("The domain name is already in use by another DomainMapping, of "
			 "namespace %s.",
			 holder->ns);
}

/* The one that has this name, of all namespaces; NULL: there is none. */
static const struct kn_object *
find_holder(const struct kn_context *ctx, const char *name)
{
	const struct kn_object *at = NULL, *holder = NULL;

	while ((at = kn_cache_next(ctx->cache, KN_DOMAIN_MAPPING, NULL, at)) != NULL) {
		char *mistake;

		if (strcmp(at->name, name) != 0 || at->is_deleting)
			continue;
		mistake = kn_domain_mapping_mistake(ctx->config, ctx->settings, at);
		if (mistake == NULL &&
		    (holder == NULL || kn_domain_mapping_goes_before(at, holder)))
			holder = at;
		free(mistake);
	}
	return holder;
}

/* --- the handler --- */

struct mapping {
	const struct kn_context *ctx;
	const struct kn_object *o;
	json_t *document;
	struct kn_plan *plan;
	struct kn_status s;
	bool is_claimed; /* nothing of the kind is in the way of its name */
};

static void
set(struct mapping *m, const char *type, enum kn_truth truth, const char *reason,
    const char *message)
{
	kn_conditions_set(&m->s.conditions, type, truth, reason, message);
}

static void
set_url(struct mapping *m)
{
	char *url = kn_domain_url(m->ctx->config, m->o->name, false);
	json_t *address = json_object();

	kn_json_set_text(m->s.status, "url", url);
	kn_json_set_text(address, "url", url);
	kn_json_set(m->s.status, "address", address);
	free(url);
}

/* Is the name free, and one that this one may have? */
static bool
claim(struct mapping *m)
{
	char *why = kn_domain_mapping_mistake(m->ctx->config, m->ctx->settings, m->o);
	const char *reason = "DomainClaimFailed";
	const struct kn_object *holder = why != NULL ? m->o : find_holder(m->ctx, m->o->name);

	if (holder != m->o) {
		kn_plan_track(m->plan, KN_DOMAIN_MAPPING, holder->ns, holder->name);
		reason = "DomainAlreadyClaimed";
		why = kn_domain_mapping_in_use(holder);
	}
	if (why == NULL)
		set(m, CLAIMED, KN_TRUE, NULL, NULL);
	else
		set(m, CLAIMED, KN_FALSE, reason, why);
	m->is_claimed = why == NULL;
	free(why);
	return m->is_claimed;
}

/* The Route that it leads to; NULL: there is none. */
static const struct kn_object *
resolve(struct mapping *m)
{
	const char *name = kn_domain_mapping_route(m->document);
	const struct kn_object *route = NULL;
	char *message;

	if (name != NULL) {
		kn_plan_track(m->plan, KN_ROUTE, m->o->ns, name);
		route = kn_cache_find(m->ctx->cache, KN_ROUTE, m->o->ns, name);
	}
	if (route != NULL && !route->is_deleting && !route->is_foreign) {
		set(m, RESOLVED, KN_TRUE, NULL, NULL);
		return route;
	}
	message = name == NULL ? xstrdup("expected a reference to a Service or Route of Knative in "
					 "the same namespace")
			       : xasprintf("services.serving.knative.dev \"%s\" not found", name);
	set(m, RESOLVED, KN_FALSE, "ResolveFailed", message);
	free(message);
	return NULL;
}

static bool
has_traffic(const struct kn_object *route)
{
	json_t *document = kn_object_json(route);
	bool has = json_array_size(kn_json_at(document, "status", "traffic", NULL)) > 0;

	json_decref(document);
	return has;
}

static void
set_ingress(struct mapping *m, const struct kn_object *route)
{
	const struct kn_facts *f = m->ctx->facts;
	const char *refusal = f->refusal == NULL
				      ? NULL
				      : f->refusal(f, KN_DOMAIN_MAPPING, m->o->ns, m->o->name);

	if (refusal != NULL && m->is_claimed)
		set(m, CLAIMED, KN_FALSE, "DomainClaimFailed", refusal);
	if (refusal == NULL && route != NULL && has_traffic(route) &&
	    kn_status_is_routed(&m->s, f, m->o->ns, route->name, INGRESS))
		set(m, INGRESS, KN_TRUE, NULL, NULL);
	else
		set(m, INGRESS, KN_UNKNOWN, "IngressNotConfigured",
		    "Ingress has not yet been reconciled.");
}

static void
set_certificate(struct mapping *m)
{
	if (kn_json_text(m->document, "spec", "tls", "secretName", NULL)[0] != '\0')
		set(m, CERTIFICATE, KN_TRUE, "CertificateExternallyProvided",
		    "The activators serve the certificates of their conf file");
	else
		set(m, CERTIFICATE, KN_TRUE, "TLSNotEnabled", "external-domain-tls is not enabled");
}

void
kn_domain_mapping_reconcile(const struct kn_context *ctx, const struct kn_object *o,
			    struct kn_plan *plan)
{
	struct mapping m = {.ctx = ctx, .o = o, .document = kn_object_json(o), .plan = plan};
	const struct kn_object *route;

	kn_status_open(&m.s, o, m.document, dependents);
	set_url(&m);
	set_certificate(&m);
	route = resolve(&m);
	set_ingress(&m, claim(&m) ? route : NULL);
	kn_status_close(&m.s, ctx, o, plan);
	json_decref(m.document);
}
