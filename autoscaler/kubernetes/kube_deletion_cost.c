#include "autoscaler/kubernetes/kube_deletion_cost.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_pod.h"
#include "autoscaler/kubernetes/kube_pod_json.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "common/clk.h"
#include "common/log.h"

/* The mark.  One above the lowest int32, which others might set. */
#define COST_GOING "-2147483647"
#define GOING_PATIENCE CLK_S   /* for the watch to show the marks */
#define STAYING_PATIENCE CLK_S /* then for the answers to the other costs */

static bool
is_marked(const struct kube_pod *pod)
{
	return pod->cost.shown != NULL && strcmp(pod->cost.shown, COST_GOING) == 0;
}

/* annotations: the members of a JSON object. */
static void
annotate(struct kube_pod *pod, const char *annotations, enum kube_priority priority,
	 const struct kube_call_ops *ops)
{
	char *path = xasprintf("/api/v1/namespaces/%s/pods/%s?fieldManager=" KUBE_FIELD_MANAGER,
			       pod->workload->ns, pod->name);
	char *body = xasprintf("{\"metadata\":{\"annotations\":{%s}}}", annotations);
	const struct kube_call call = {.method = "PATCH",
				       .path = path,
				       .type = KUBE_MERGE_PATCH,
				       .body = body,
				       .priority = priority,
				       .timeout = KUBE_CALL_TIMEOUT};

	pod->cost.request = kube_http_call(pod->workload->all->http, &call, ops, pod);
	free(body);
	free(path);
}

/* A pod that is gone, or was changed by another client, is no failure. */
static bool
has_failed(const struct kube_answer *a)
{
	return a->status != 404 && a->status != 409 && (a->status == 0 || a->status >= 300);
}

static void
log_failure(const struct kube_pod *pod, const struct kube_answer *a)
{
	char why[600];

	if (a->status == 0)
		return; /* kube_http has logged that the server does not answer */
	kube_http_explain(a, "patch", "pods", "", pod->workload->ns, why, sizeof why);
	log_warn_limited(NULL, "cannot set pod-deletion-cost", "revision=%s pod=%s err=%s",
			 pod->workload->revision, pod->name, why);
}

/* --- pods that go --- */

static void
on_going_answer(const struct kube_answer *a, void *arg)
{
	struct kube_pod *pod = arg;

	pod->cost.request = NULL;
	pod->cost.is_marking = false;
	pod->cost.is_mark_refused = a->status != 200;
	if (has_failed(a))
		log_failure(pod, a);
	kube_workload_changed(pod->workload);
}

static const struct kube_call_ops going_ops = {.on_done = on_going_answer};

/* cost: digits, with nothing to escape; NULL removes the annotation. */
static void
set_cost(struct kube_pod *pod, const char *cost)
{
	const char *quote = cost == NULL ? "" : "\"";
	char *text = xasprintf("\"" KUBE_COST "\":%s%s%s", quote, cost == NULL ? "null" : cost,
			       quote);

	pod->cost.is_staying = false;
	annotate(pod, text, KUBE_NORMAL, &going_ops);
	free(text);
}

static void
mark(struct kube_pod *pod)
{
	const char *shown = pod->cost.shown;

	free(pod->cost.before);
	pod->cost.before = shown != NULL && strspn(shown, "-0123456789") == strlen(shown)
				   ? xstrdup(shown)
				   : NULL;
	pod->cost.is_mark_sent = pod->cost.is_marking = true;
	set_cost(pod, COST_GOING);
}

/* Returns whether all victims bear the mark, apart from those whose mark was refused. */
static bool
mark_victims(struct kube_workload *w)
{
	struct list_node *node, *tmp;
	bool is_all = true;

	LIST_FOREACH(&w->pods, node, tmp) {
		struct kube_pod *pod = container_of(node, struct kube_pod, node);

		if (!pod->is_victim || pod->is_deleting || is_marked(pod) ||
		    pod->cost.is_mark_refused)
			continue;
		is_all = false;
		if (pod->cost.request == NULL && !pod->cost.is_mark_sent)
			mark(pod);
	}
	return is_all;
}

static void
unmark_others(struct kube_workload *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->pods, node, tmp) {
		struct kube_pod *pod = container_of(node, struct kube_pod, node);

		if (is_marked(pod) && !pod->is_victim && !pod->is_deleting &&
		    pod->cost.request == NULL && !pod->cost.is_mark_refused)
			set_cost(pod, pod->cost.before);
	}
}

/* Once the scale-down is over, a victim that is still there stays. */
static void
forget_victims(struct kube_workload *w)
{
	struct list_node *node, *tmp;
	uint32_t live = 0;

	if (w->replicas.is_patching || kube_replicas_current(&w->replicas) != w->replicas.wanted)
		return;
	LIST_FOREACH(&w->pods, node, tmp)
		live += !container_of(node, struct kube_pod, node)->is_deleting;
	if (live > w->replicas.wanted)
		return;
	LIST_FOREACH(&w->pods, node, tmp)
		container_of(node, struct kube_pod, node)->is_victim = false;
}

/* --- pods that stay --- */

static void
cancel_staying(struct kube_workload *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->pods, node, tmp) {
		struct kube_pod *pod = container_of(node, struct kube_pod, node);

		if (pod->cost.is_staying)
			kube_http_cancel(&pod->cost.request);
		pod->cost.is_staying = false;
	}
}

static void
on_staying_answer(const struct kube_answer *a, void *arg)
{
	struct kube_pod *pod = arg;

	pod->cost.request = NULL;
	pod->cost.is_staying = false;
	if (has_failed(a)) { /* the others would fail, too */
		log_failure(pod, a);
		cancel_staying(pod->workload);
	}
	kube_workload_changed(pod->workload);
}

static const struct kube_call_ops staying_ops = {.on_done = on_staying_answer};

static void
set_staying(struct kube_pod *pod, uint32_t cost)
{
	char *text = cost == 0 ? xstrdup("\"" KUBE_COST "\":null,\"" KUBE_COST_OURS "\":null")
			       : xasprintf("\"" KUBE_COST "\":\"%u\",\"" KUBE_COST_OURS "\":\"%u\"",
					   cost, cost);

	pod->cost.is_staying = true;
	annotate(pod, text, KUBE_SPARE, &staying_ops);
	free(text);
}

/* Once for each scale-down. */
static void
write_staying(struct kube_workload *w, int64_t now)
{
	const struct driver *driver = w->all->driver;
	size_t n = 0, i, most = kube_cost_budget_left(&w->cost_budget, now);
	struct list_node *node, *tmp;
	struct kube_cost_candidate *v;

	if (w->is_staying_written || most == 0)
		return;
	w->is_staying_written = true;
	v = xcalloc(w->pods.n + 1, sizeof *v);
	LIST_FOREACH(&w->pods, node, tmp) {
		struct kube_pod *pod = container_of(node, struct kube_pod, node);

		if (pod->is_deleting || pod->cost.request != NULL || pod->is_victim ||
		    !kube_cost_is_ours(pod->cost.shown, pod->cost.ours, &v[n].shown))
			continue;
		v[n].pod = pod;
		v[n++].wanted = driver->ops->load(pod->uid, driver->arg);
	}
	n = kube_cost_pick(v, n, most);
	kube_cost_budget_spend(&w->cost_budget, n, now);
	for (i = 0; i < n; i++)
		set_staying(v[i].pod, v[i].wanted);
	free(v);
}

static bool
is_staying_answered(const struct kube_workload *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->pods, node, tmp)
		if (container_of(node, struct kube_pod, node)->cost.is_staying)
			return false;
	return true;
}

/* --- all of them --- */

int64_t
kube_deletion_cost_wait(struct kube_workload *w, uint32_t n, int64_t now)
{
	bool is_all_marked;

	if (n == 0 || n >= kube_replicas_current(&w->replicas) || w->kind->has_ordinals)
		return 0;
	if (w->going_since_ns == 0)
		w->going_since_ns = now;
	is_all_marked = mark_victims(w);
	write_staying(w, now);
	if (!is_all_marked && now < w->going_since_ns + GOING_PATIENCE)
		return w->going_since_ns + GOING_PATIENCE - now;
	if (w->staying_since_ns == 0)
		w->staying_since_ns = now;
	return is_staying_answered(w) ? 0 : MAX(w->staying_since_ns + STAYING_PATIENCE - now, 0);
}

void
kube_deletion_cost_stop(struct kube_workload *w)
{
	w->going_since_ns = w->staying_since_ns = 0;
	cancel_staying(w);
}

void
kube_deletion_cost_settle(struct kube_workload *w)
{
	forget_victims(w);
	unmark_others(w);
}
