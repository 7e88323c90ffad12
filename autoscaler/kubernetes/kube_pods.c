#include "autoscaler/kubernetes/kube_pods.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_watch.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_pod.h"
#include "autoscaler/kubernetes/kube_pod_json.h"
#include "autoscaler/kubernetes/kube_selector.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "common/log.h"
#include "common/text.h"

#define SELECTOR_LONGEST 3000 /* bytes that, encoded in a query, any proxy passes */

struct kube_pods {
	struct kube_watch_shared *shared;
	struct kube_workloads *workloads;
	struct list namespaces;
};

struct pods_namespace {
	struct list_node node;
	struct kube_pods *pods;
	char *name;
	struct kube_pod_watch **watches; /* one for each selector */
	size_t n;
};

struct kube_pod_watch {
	struct pods_namespace *ns;
	char *labels;
	struct kube_watch *watch;
	bool is_synced;
	uint64_t list_seq; /* counts the lists that were begun */
	char *error;
};

/* --- whose pod it is --- */

static struct kube_workload *
find_workload(struct pods_namespace *ns, const char *group, const char *kind, const char *name)
{
	return kube_workloads_find(ns->pods->workloads, group, kind, ns->name, name);
}

/* The name of the Deployment of the ReplicaSet that owns the pod.  A Deployment names its
 * ReplicaSets after itself and the pod-template-hash; NULL: this one is not named so.  The
 * caller's. */
static char *
deployment_of(const struct kube_event *ev, const struct kube_pod_fields *f)
{
	const char *hash = kube_event_label(ev, "pod-template-hash");
	size_t n = strlen(f->owner_name), h = hash == NULL ? 0 : strlen(hash);

	if (h == 0 || n < h + 2 || strcmp(f->owner_name + n - h, hash) != 0 ||
	    f->owner_name[n - h - 1] != '-')
		return NULL;
	return xstrndup(f->owner_name, n - h - 1);
}

/* The workload whose selector matches, for a pod whose owner does not lead to one.
 * may_be_built_in false: the owner is an object that no revision names.  Only a workload of a
 * kind that is not built in can still be meant, as it may keep its pods under objects of its own.
 */
static struct kube_workload *
find_by_selector(struct pods_namespace *ns, const struct kube_event *ev, bool may_be_built_in)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&ns->pods->workloads->all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (w->selector != NULL && strcmp(w->ns, ns->name) == 0 &&
		    (may_be_built_in || !w->kind->is_built_in) &&
		    kube_selector_matches(w->selector, kube_event_label, ev))
			return w;
	}
	return NULL;
}

/* The owner takes precedence over selectors, which may match pods of other workloads.  A
 * ReplicaSet that is not named after a Deployment may still have one: a Deployment adopts each
 * ReplicaSet that its selector matches and that has no controller, whatever its name. */
static struct kube_workload *
owner_of(struct pods_namespace *ns, const struct kube_event *ev, const struct kube_pod_fields *f)
{
	bool is_set = strcmp(f->owner_kind, "ReplicaSet") == 0;
	char *deployment = is_set ? deployment_of(ev, f) : NULL;
	struct kube_workload *w = NULL;

	if (deployment != NULL)
		w = find_workload(ns, "apps", "Deployment", deployment);
	if (w == NULL && f->owner_kind[0] != '\0')
		w = find_workload(ns, "apps", f->owner_kind, f->owner_name);
	if (w == NULL)
		w = find_by_selector(ns, ev,
				     is_set ? deployment == NULL : f->owner_kind[0] == '\0');
	free(deployment);
	return w != NULL && w->selector != NULL &&
			       kube_selector_matches(w->selector, kube_event_label, ev)
		       ? w
		       : NULL;
}

/* --- a watch's upcalls --- */

static void
on_list_begin(void *arg)
{
	((struct kube_pod_watch *)arg)->list_seq++;
}

/* A pod whose workload has changed is marked gone, and freed when its old workload is reconciled.
 * The next event, or list, brings it as a new pod of the other workload. */
static void
take_pod(struct kube_pod_watch *pw, const struct kube_event *ev)
{
	struct kube_pod *pod = hmap_find(&pw->ns->pods->workloads->pods, ev->uid);
	struct kube_workload *w;
	struct kube_pod_fields f;

	kube_pod_fields_decode(ev, &f);
	w = owner_of(pw->ns, ev, &f);
	if (pod != NULL && (w != pod->workload || f.is_over))
		kube_pod_gone(pod);
	if (w == NULL || f.is_over || (pod != NULL && w != pod->workload))
		return;
	if (pod == NULL)
		pod = kube_pod_new(w, ev);
	pod->watch = pw;
	pod->list_seq = pw->list_seq;
	kube_pod_update(pod, ev, &f);
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	struct kube_pod_watch *pw = arg;
	struct kube_pod *pod;

	if (ev->type != KUBE_DELETED) {
		take_pod(pw, ev);
		return;
	}
	/* Selectors of two watches may cover one pod: only the watch that showed it last may end
	 * it. */
	pod = hmap_find(&pw->ns->pods->workloads->pods, ev->uid);
	if (pod != NULL && pod->watch == pw)
		kube_pod_gone(pod);
}

static void
mark_all(struct pods_namespace *ns, bool are_complete)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&ns->pods->workloads->all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (strcmp(w->ns, ns->name) != 0)
			continue;
		if (are_complete && w->is_selector_used)
			w->are_pods_complete = true;
		kube_workload_changed(w);
	}
}

static bool
are_all_synced(const struct pods_namespace *ns)
{
	size_t i;

	for (i = 0; i < ns->n; i++)
		if (!ns->watches[i]->is_synced)
			return false;
	return true;
}

/* Pods that the list of pw, which is complete now, did not have are gone; with_orphans: so are
 * those whose watch has ended. */
static void
sweep(struct pods_namespace *ns, const struct kube_pod_watch *pw, bool with_orphans)
{
	struct list_node *node, *tmp, *node2, *tmp2;

	LIST_FOREACH(&ns->pods->workloads->all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (strcmp(w->ns, ns->name) != 0)
			continue;
		LIST_FOREACH(&w->pods, node2, tmp2) {
			struct kube_pod *pod = container_of(node2, struct kube_pod, node);

			if (pod->watch == NULL ? with_orphans
					       : pod->watch == pw && pod->list_seq != pw->list_seq)
				kube_pod_gone(pod);
		}
	}
}

static void
on_list_end(void *arg)
{
	struct kube_pod_watch *pw = arg;
	bool are_complete;

	pw->is_synced = true;
	are_complete = are_all_synced(pw->ns);
	sweep(pw->ns, pw, are_complete);
	mark_all(pw->ns, are_complete);
}

static void
on_error(const char *why, void *arg)
{
	struct kube_pod_watch *pw = arg;

	if (why != NULL && pw->error == NULL)
		log_warn(NULL, "cannot watch pods", "namespace=%s err=%s", pw->ns->name, why);
	text_replace(&pw->error, why);
	mark_all(pw->ns, false);
}

static const struct kube_watch_ops watch_ops = {on_list_begin, on_event, on_list_end, on_error};

/* --- the watches of a namespace --- */

static struct kube_pod_watch *
watch_new(struct pods_namespace *ns, const char *labels)
{
	struct kube_pod_watch *pw = xcalloc(1, sizeof *pw);
	const struct kube_watch_conf conf = {.group_path = "/api/v1",
					     .group = "",
					     .plural = "pods",
					     .ns = ns->name,
					     .labels = labels};

	pw->ns = ns;
	pw->labels = xstrdup(labels);
	pw->watch = kube_watch_new(ns->pods->shared, &conf, &watch_ops, pw);
	return pw;
}

/* Its pods stay, without a watch, until all watches of the namespace have been listed. */
static void
watch_free(struct kube_pod_watch *pw)
{
	struct list_node *node, *tmp, *node2, *tmp2;

	LIST_FOREACH(&pw->ns->pods->workloads->all, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		LIST_FOREACH(&w->pods, node2, tmp2) {
			struct kube_pod *pod = container_of(node2, struct kube_pod, node);

			if (pod->watch == pw)
				pod->watch = NULL;
		}
	}
	kube_watch_free(&pw->watch);
	free(pw->error);
	free(pw->labels);
	free(pw);
}

/* All watches begin anew, also those whose selector stays. */
static void
set_watches(struct pods_namespace *ns, char **labels, size_t n)
{
	size_t i;

	for (i = 0; i < ns->n; i++)
		watch_free(ns->watches[i]);
	free(ns->watches);
	ns->watches = n == 0 ? NULL : xcalloc(n, sizeof(struct kube_pod_watch *));
	ns->n = n;
	for (i = 0; i < n; i++)
		ns->watches[i] = watch_new(ns, labels[i]);
}

static bool
has_watches(const struct pods_namespace *ns, char **labels, size_t n)
{
	size_t i;

	for (i = 0; i < n && n == ns->n; i++)
		if (strcmp(ns->watches[i]->labels, labels[i]) != 0)
			return false;
	return n == ns->n;
}

static void
namespace_free(struct pods_namespace *ns)
{
	set_watches(ns, NULL, 0);
	list_remove(&ns->pods->namespaces, &ns->node);
	free(ns->name);
	free(ns);
}

/* If a workload is new (its selector is not used yet), its pods may have been shown before and
 * ignored: then all watches of the namespace list again. */
static void
plan(struct pods_namespace *ns)
{
	struct list *workloads = &ns->pods->workloads->all;
	const struct kube_selector **v = xcalloc(workloads->n + 1, sizeof *v);
	struct list_node *node, *tmp;
	size_t v_n = 0, n, i;
	bool is_new = false;
	char **labels;

	LIST_FOREACH(workloads, node, tmp) {
		struct kube_workload *w = container_of(node, struct kube_workload, node);

		if (w->selector == NULL || strcmp(w->ns, ns->name) != 0)
			continue;
		v[v_n++] = w->selector;
		is_new |= !w->is_selector_used;
		w->is_selector_used = true;
	}
	labels = kube_selector_cover(v, v_n, SELECTOR_LONGEST, &n);
	if (is_new || !has_watches(ns, labels, n))
		set_watches(ns, labels, n);
	for (i = 0; i < n; i++)
		free(labels[i]);
	free(labels);
	free(v);
	if (ns->n == 0)
		namespace_free(ns);
}

/* --- all namespaces --- */

static struct pods_namespace *
find_namespace(const struct kube_pods *pods, const char *name)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&pods->namespaces, node, tmp) {
		struct pods_namespace *ns = container_of(node, struct pods_namespace, node);

		if (strcmp(ns->name, name) == 0)
			return ns;
	}
	return NULL;
}

static void
need_namespace(struct kube_pods *pods, const char *name)
{
	struct pods_namespace *ns;

	if (find_namespace(pods, name) != NULL)
		return;
	ns = xcalloc(1, sizeof *ns);
	ns->pods = pods;
	ns->name = xstrdup(name);
	list_push(&pods->namespaces, &ns->node);
}

void
kube_pods_watch(struct kube_pods *pods)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&pods->workloads->all, node, tmp)
		need_namespace(pods, container_of(node, struct kube_workload, node)->ns);
	LIST_FOREACH(&pods->namespaces, node, tmp)
		plan(container_of(node, struct pods_namespace, node));
}

const char *
kube_pods_error(const struct kube_pods *pods, const struct kube_workload *w)
{
	const struct pods_namespace *ns = find_namespace(pods, w->ns);
	size_t i;

	for (i = 0; ns != NULL && i < ns->n; i++)
		if (ns->watches[i]->error != NULL)
			return ns->watches[i]->error;
	return NULL;
}

void
kube_pods_suspect(struct kube_pods *pods, const struct kube_workload *w, int64_t since_ns)
{
	const struct pods_namespace *ns = find_namespace(pods, w->ns);
	size_t i;

	for (i = 0; ns != NULL && i < ns->n; i++)
		kube_watch_suspect(ns->watches[i]->watch, since_ns);
}

void
kube_pods_reconnect(struct kube_pods *pods, int64_t since_ns)
{
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&pods->namespaces, node, tmp) {
		struct pods_namespace *ns = container_of(node, struct pods_namespace, node);

		for (i = 0; i < ns->n; i++)
			kube_watch_reconnect(ns->watches[i]->watch, since_ns);
	}
}

struct kube_pods *
kube_pods_new(struct kube_watch_shared *shared, struct kube_workloads *workloads)
{
	struct kube_pods *pods = xcalloc(1, sizeof *pods);

	pods->shared = shared;
	pods->workloads = workloads;
	list_init(&pods->namespaces);
	return pods;
}

void
kube_pods_free(struct kube_pods **pp)
{
	struct kube_pods *pods = *pp;
	struct list_node *node, *tmp;

	*pp = NULL;
	if (pods == NULL)
		return;
	LIST_FOREACH(&pods->namespaces, node, tmp)
		namespace_free(container_of(node, struct pods_namespace, node));
	free(pods);
}
