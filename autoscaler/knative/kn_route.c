#include "autoscaler/knative/kn_route.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_domain.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_names.h"
#include "autoscaler/knative/kn_placeholder.h"
#include "autoscaler/knative/kn_rollout.h"
#include "autoscaler/knative/kn_routing.h"
#include "autoscaler/knative/kn_service_conf.h"
#include "autoscaler/knative/kn_status.h"
#include "autoscaler/knative/kn_traffic.h"
#include "autoscaler/knative/kn_values.h"
#include "autoscaler/kube/kube_annotations.h"
#include "common/str_list.h"
#include "common/strbuf.h"
#include "common/text.h"

#define SECOND INT64_C(1000000000)
#define ROLLOUT_LONGEST_S INT64_C(31536000)

#define ASSIGNED "AllTrafficAssigned"
#define CERTIFICATE "CertificateProvisioned"
#define INGRESS "IngressReady"
static const char *const dependents[] = {ASSIGNED, CERTIFICATE, INGRESS, NULL};

/* A name of the Route: its own, or that of a tag. */
struct route_name {
	char *tag;  /* "": its own */
	char *name; /* of the placeholder Service */
	char *url;
};

struct route {
	const struct kn_context *ctx;
	const struct kn_object *o;
	json_t *document;
	struct kn_plan *plan;
	struct kn_status s;
	struct kn_targets targets; /* as they are to be in use */
	struct route_name *names;  /* the first is its own */
	size_t names_n;
	bool is_rolling_out;
	char *waits_for, *aborted; /* a rollout that is judged: for people; NULL: nothing */
};

/* --- names --- */

/* Is a name for clients in the cluster alone?  The label is the Route's, or that of the name's own
 * placeholder. */
static bool
is_local(const struct route *r, const char *name)
{
	const json_t *labels = kn_json_at(r->document, "metadata", "labels", NULL);
	const struct kn_object *o;
	json_t *service;
	bool is;

	if (kn_domain_is_local(r->ctx->config, labels))
		return true;
	o = kn_cache_find(r->ctx->cache, KN_PLACEHOLDER, r->o->ns, name);
	if (o == NULL || !kn_is_owned(o, r->o))
		return false;
	service = kn_object_json(o);
	is = kn_domain_labels_are_local(kn_json_at(service, "metadata", "labels", NULL));
	json_decref(service);
	return is;
}

/* -1: why says which name it cannot have. */
static int
add_name(struct route *r, const char *tag, struct strbuf *why)
{
	char *name = kn_domain_name(r->ctx->config, r->o->name, tag, why), *host = NULL;
	bool local = name != NULL && is_local(r, name);

	if (name != NULL)
		host = kn_domain_host(r->ctx->config, kn_json_at(r->document, "metadata", NULL),
				      name, local, why);
	if (host == NULL) {
		free(name);
		return -1;
	}
	r->names = xrealloc(r->names, (r->names_n + 1) * sizeof *r->names);
	r->names[r->names_n++] = (struct route_name){
		.tag = xstrdup(tag),
		.name = name,
		.url = kn_domain_url(r->ctx->config, host, local)};
	free(host);
	return 0;
}

static const struct route_name *
find_name(const struct route *r, const char *tag)
{
	size_t i;

	for (i = 0; i < r->names_n; i++)
		if (strcmp(r->names[i].tag, tag) == 0)
			return &r->names[i];
	return NULL;
}

/* Its own name, and those of its tags. */
static int
add_names(struct route *r, struct strbuf *why)
{
	const json_t *traffic = kn_json_at(r->document, "spec", "traffic", NULL);
	size_t i;

	if (add_name(r, "", why) < 0)
		return -1;
	for (i = 0; i < json_array_size(traffic); i++) {
		const char *tag = kn_json_text(json_array_get(traffic, i), "tag", NULL);

		if (find_name(r, tag) == NULL && add_name(r, tag, why) < 0)
			return -1;
	}
	return 0;
}

/* --- the rollout --- */

static int64_t
rollout_duration(const struct route *r)
{
	const json_t *annotations = kn_json_at(r->document, "metadata", "annotations", NULL);
	const char *text = kn_json_text(annotations, KN_ANNOTATION_ROLLOUT_DURATION, NULL);
	int64_t ns, s = r->ctx->config->network.rollout_duration_s;

	if (text[0] == '\0')
		text = kn_json_text(annotations, KN_ANNOTATION_ROLLOUT_DURATION_OLD, NULL);
	if (text[0] != '\0' && kn_value_duration(text, &ns) == 0 && ns > 0)
		s = ns / SECOND;
	return MIN(s, ROLLOUT_LONGEST_S);
}

/* The state of the rollout is an annotation of the Route, while there is one. */
static void
plan_annotation(struct route *r, const struct kn_rollout *rollout)
{
	const char *old = kn_json_text(r->document, "metadata", "annotations",
				       KN_ANNOTATION_ROLLOUT_STATE, NULL);
	bool is_kept = r->is_rolling_out || kn_rollout_rejected(rollout) != NULL;
	char *text = is_kept ? kn_rollout_format(rollout) : xstrdup("");
	json_t *patch;

	if (strcmp(old, text) != 0) {
		patch = json_object();
		CHECK(json_object_set_new(
			      kn_json_child(kn_json_child(patch, "metadata"), "annotations"),
			      KN_ANNOTATION_ROLLOUT_STATE,
			      is_kept ? json_string(text) : json_null()) == 0);
		kn_plan_patch(r->plan, r->o, patch);
	}
	free(text);
}

static bool
is_routed(const struct route *r)
{
	const struct kn_facts *f = r->ctx->facts;

	return f->is_routed(f, r->o->ns, r->o->name);
}

/* Is this split, and nothing else, in use?  Then the status says it already. */
static bool
is_split_used(const struct route *r, const struct kn_rollout *rollout,
	      const struct kn_targets *last)
{
	size_t i, k, at = 0, sum = 0;

	for (i = 0; i < rollout->n; i++)
		sum += rollout->v[i].n;
	for (i = 0; i < last->n; i++)
		sum -= last->v[i].is_latest;
	if (sum != 0)
		return false;
	for (i = 0; i < rollout->n; i++)
		for (k = 0; k < rollout->v[i].n; k++, at++) {
			while (at < last->n && !last->v[at].is_latest)
				at++;
			if (at == last->n ||
			    strcmp(last->v[at].revision, rollout->v[i].revisions[k].name) != 0 ||
			    last->v[at].percent != rollout->v[i].revisions[k].percent)
				return false;
		}
	return is_routed(r);
}

/* --- a rollout that is judged --- */

static const char *
annotation_of(const struct route *r, const char *key)
{
	return kn_json_text(r->document, "metadata", "annotations", key, NULL);
}

/* "NS.CONFIGURATION/REVISION"; the caller's. */
static char *
full_name(const struct route *r, const struct kn_rollout_part *p, size_t i)
{
	char *service = kn_service_conf_name(r->o->ns, p->configuration);
	char *revision = kube_annotations_revision(p->revisions[i].name);
	char *name = xasprintf("%s/%s", service, revision);

	free(revision);
	free(service);
	return name;
}

static void
judge_part(struct route *r, struct kn_rollout_part *p)
{
	char *key = xasprintf("%s/%s %s %s", r->o->ns, r->o->name, p->configuration, p->tag);
	char *name = full_name(r, p, p->n - 1), *why = NULL;
	struct rollout_question q = {.key = key,
				     .revision = name,
				     .percent = (uint32_t)p->revisions[p->n - 1].percent,
				     .abort_if = annotation_of(r, KN_ANNOTATION_ABORT_IF),
				     .min_requests = annotation_of(r, KN_ANNOTATION_MIN_REQUESTS)};
	struct str_list others = {.n = 0};
	size_t i;

	for (i = 0; i + 1 < p->n; i++)
		str_list_take(&others, full_name(r, p, i));
	q.others = others.v;
	q.others_n = others.n;
	p->verdict = r->ctx->facts->verdict(r->ctx->facts, &q, &why);
	if (p->verdict == ROLLOUT_MUST_END) {
		free(p->why);
		p->why = xasprintf("%s at %u %%: %s", p->revisions[p->n - 1].name, q.percent,
				   why == NULL ? "" : why);
		kn_plan_event(r->plan, true, "RolloutAborted", p->why);
	} else if (p->verdict == ROLLOUT_MUST_WAIT) {
		text_replace(&r->waits_for,
			     why != NULL ? why
					 : "the newest one has not answered enough requests "
					   "well enough yet");
	}
	kn_plan_again(r->plan, SECOND);
	str_list_fini(&others);
	free(why);
	free(name);
	free(key);
}

static void
judge(struct route *r, struct kn_rollout *before)
{
	size_t i;

	if (annotation_of(r, KN_ANNOTATION_ABORT_IF)[0] == '\0') {
		kn_rollout_forgive(before);
		return;
	}
	for (i = 0; i < before->n && r->ctx->facts->verdict != NULL; i++)
		if (before->v[i].n > 1)
			judge_part(r, &before->v[i]);
}

static void
note_rejected(struct route *r, const struct kn_rollout *now)
{
	const struct kn_rollout_part *p = kn_rollout_rejected(now);

	if (p != NULL)
		r->aborted = xasprintf("The rollout was aborted, and %s has the requests: %s",
				       p->revisions[p->n - 1].name, p->why);
}

static void
roll_out(struct route *r)
{
	const json_t *annotation = kn_json_at(r->document, "metadata", "annotations",
					      KN_ANNOTATION_ROLLOUT_STATE, NULL);
	int64_t now_ns = r->ctx->wall_s * SECOND, next_ns;
	struct kn_rollout before, now;
	struct kn_targets last;
	bool is_used;

	kn_traffic_of_status(r->ctx->cache, r->o->ns, kn_json_at(r->document, "status", NULL),
			     &last);
	kn_rollout_before(&before, json_string_value(annotation), r->ctx->cache, r->o->ns, &last);
	is_used = annotation != NULL && is_split_used(r, &before, &last);
	judge(r, &before);
	next_ns = kn_rollout_step(&now, &before, &r->targets, rollout_duration(r), is_used, now_ns);
	r->is_rolling_out = kn_rollout_is_going_on(&now);
	if (next_ns > 0)
		kn_plan_again(r->plan, MAX(next_ns - now_ns, SECOND / 10));
	note_rejected(r, &now);
	plan_annotation(r, &now);
	kn_rollout_fini(&now);
	kn_targets_fini(&last);
}

/* --- the status --- */

static json_t *
make_traffic(const struct route *r)
{
	json_t *traffic = json_array();
	size_t i;

	for (i = 0; i < r->targets.n; i++) {
		const struct kn_target *t = &r->targets.v[i];
		json_t *entry = json_object();

		kn_json_set_text(entry, "tag", t->tag);
		kn_json_set_text(entry, "revisionName", t->revision);
		kn_json_set_number(entry, "percent", t->percent);
		kn_json_set(entry, "latestRevision", json_boolean(t->is_latest));
		if (t->tag[0] != '\0')
			kn_json_set_text(entry, "url", find_name(r, t->tag)->url);
		CHECK(json_array_append_new(traffic, entry) == 0);
	}
	return traffic;
}

static void
set_address(struct route *r)
{
	char *host = kn_domain_local_host(r->ctx->config, r->o->ns, r->o->name);
	char *url = kn_domain_url(r->ctx->config, host, true);
	json_t *address = json_object();

	kn_json_set_text(address, "url", url);
	kn_json_set(r->s.status, "address", address);
	free(url);
	free(host);
}

/* Does the status that the cluster has say the same of what is to be in use? */
static bool
is_said(const struct route *r)
{
	const json_t *present = kn_json_at(r->document, "status", NULL);

	return kn_json_equal(json_object_get(present, "url"),
			     json_object_get(r->s.status, "url")) &&
	       kn_json_equal(json_object_get(present, "traffic"),
			     json_object_get(r->s.status, "traffic"));
}

static void
set(struct route *r, const char *type, enum kn_truth truth, const char *reason, const char *message)
{
	kn_conditions_set(&r->s.conditions, type, truth, reason, message);
}

static void
set_in_progress(struct route *r)
{
	static const char usual[] = "A gradual rollout of the latest revision(s) is in progress.";
	char *message = r->waits_for == NULL ? xstrdup(usual)
					     : xasprintf("%s It waits: %s", usual, r->waits_for);

	set(r, INGRESS, KN_UNKNOWN, "RolloutInProgress", message);
	free(message);
}

static void
set_ingress(struct route *r, const struct kn_placeholders *placeholders)
{
	const struct kn_facts *f = r->ctx->facts;
	const char *refusal = f->refusal == NULL ? NULL
						 : f->refusal(f, KN_ROUTE, r->o->ns, r->o->name);
	char *message;

	if (placeholders->not_owned != NULL) {
		message = xasprintf(
			"There is an existing placeholder Service \"%s\" that we do not own.",
			placeholders->not_owned);
		set(r, INGRESS, KN_FALSE, "NotOwned", message);
		free(message);
	} else if (refusal != NULL && is_said(r)) {
		set(r, INGRESS, KN_FALSE, "ReconcileIngressFailed", refusal);
	} else if (r->is_rolling_out) {
		set_in_progress(r);
	} else if (r->aborted != NULL) {
		set(r, INGRESS, KN_FALSE, "RolloutAborted", r->aborted);
	} else if (placeholders->missing == 0 && is_said(r) &&
		   kn_status_is_routed(&r->s, f, r->o->ns, r->o->name, INGRESS)) {
		set(r, INGRESS, KN_TRUE, NULL, NULL);
	} else if (kn_failure_is_refusal(r->ctx->failure, KN_PLACEHOLDER)) {
		message = kn_failure_explain(r->ctx->failure);
		set(r, INGRESS, KN_UNKNOWN, "IngressNotConfigured", message);
		free(message);
	} else {
		set(r, INGRESS, KN_UNKNOWN, "IngressNotConfigured",
		    "Ingress has not yet been reconciled.");
	}
}

static void
set_certificate(struct route *r)
{
	const json_t *labels = kn_json_at(r->document, "metadata", "labels", NULL);

	set(r, CERTIFICATE, KN_TRUE, "TLSNotEnabled",
	    kn_domain_is_local(r->ctx->config, labels) ? "TLS is not enabled for cluster-local"
						       : "external-domain-tls is not enabled");
}

/* A new generation is not in use before that was found. */
static void
begin_generation(struct route *r)
{
	const json_t *present = kn_json_at(r->document, "status", NULL);

	if (kn_json_number(present, "observedGeneration", -1) != r->o->generation)
		set(r, INGRESS, KN_UNKNOWN, "IngressNotConfigured",
		    "Ingress has not yet been reconciled.");
}

/* --- all of it --- */

/* The status is written first, so that the activators begin while the other writes are under way.
 */
static void
close_status(struct route *r)
{
	json_t *status = json_incref(r->s.status);

	kn_status_close(&r->s, r->ctx, r->o, r->plan);
	kn_routing_add(r->ctx, r->o, kn_json_at(r->document, "spec", NULL), status, r->plan);
	json_decref(status);
}

/* All targets are resolved. */
static void
assign(struct route *r)
{
	char **names = xcalloc(r->names_n, sizeof *names);
	struct kn_placeholders placeholders;
	size_t i;

	for (i = 0; i < r->names_n; i++)
		names[i] = r->names[i].name;
	roll_out(r);
	kn_json_set(r->s.status, "traffic", make_traffic(r));
	set_address(r);
	set(r, ASSIGNED, KN_TRUE, NULL, NULL);
	kn_placeholder_look(r->ctx, r->o, names, r->names_n, r->plan, &placeholders);
	set_ingress(r, &placeholders);
	close_status(r);
	kn_placeholder_plan(r->ctx, r->o, r->document, names, r->names_n, r->plan);
	free(names);
}

static void
refuse(struct route *r, enum kn_truth truth, const char *reason, const char *message)
{
	set(r, ASSIGNED, truth, reason, message);
	close_status(r);
}

static void
resolve(struct route *r)
{
	struct kn_traffic_problem problem;

	kn_json_set_text(r->s.status, "url", r->names[0].url);
	if (kn_traffic_resolve(r->ctx, r->document, r->plan, &r->targets, &problem) == 0)
		assign(r);
	else
		refuse(r, problem.truth, problem.reason, problem.message);
	free(problem.message);
}

void
kn_route_reconcile(const struct kn_context *ctx, const struct kn_object *o, struct kn_plan *plan)
{
	struct route r = {.ctx = ctx, .o = o, .document = kn_object_json(o), .plan = plan};
	struct strbuf why;
	size_t i;

	strbuf_init(&why, 0);
	kn_status_open(&r.s, o, r.document, dependents);
	begin_generation(&r);
	set_certificate(&r);
	if (add_names(&r, &why) < 0)
		refuse(&r, KN_FALSE, "ErrorConfig", strbuf_str(&why));
	else
		resolve(&r);
	for (i = 0; i < r.names_n; i++) {
		free(r.names[i].tag);
		free(r.names[i].name);
		free(r.names[i].url);
	}
	free(r.names);
	kn_targets_fini(&r.targets);
	free(r.waits_for);
	free(r.aborted);
	strbuf_fini(&why);
	json_decref(r.document);
}
