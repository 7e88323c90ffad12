#include "autoscaler/kubernetes/kube_view.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kubernetes/kube_collection.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_pod.h"
#include "autoscaler/kubernetes/kube_pods.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "common/clk.h"
#include "common/random.h"
#include "common/settings.h"

/* --- failure --- */

static bool
is_absent(const struct kube_workload *w)
{
	return kube_collection_is_synced(w->collection) && !w->replicas.exists && w->get == NULL &&
	       !w->is_get_due;
}

/* What keeps the driver from reading or scaling it. */
static bool
find_access_problem(const struct kube_workload *w, const struct kube_pods *pods,
		    struct kube_problem *p)
{
	const char *collection_error = kube_collection_error(w->collection);
	const char *pods_error = kube_pods_error(pods, w);
	char *text;

	if (w->kind->error != NULL)
		kube_problem_set(p, "NoSuchKind", w->kind->error);
	else if (collection_error != NULL)
		kube_problem_set(p, "NotReadable", collection_error);
	else if (pods_error != NULL)
		kube_problem_set(p, "NotReadable", pods_error);
	else if (is_absent(w)) {
		text = xasprintf("there is no %s %s in namespace %s", w->kind->name, w->name,
				 w->ns);
		kube_problem_set(p, "NotFound", text);
		free(text);
	} else if (w->scale_error != NULL)
		*p = *w->scale_error;
	else
		return false;
	return true;
}

static bool
find_problem(const struct kube_workload *w, const struct kube_pods *pods, struct kube_problem *p)
{
	struct list_node *node, *tmp;
	bool is_found = false;

	if (find_access_problem(w, pods, p)) {
		p->is_access = true;
		return true;
	}
	if (kube_replicas_current(&w->replicas) == 0)
		return false;
	if (w->problem != NULL) {
		*p = *w->problem;
		return true;
	}
	LIST_FOREACH(&w->pods, node, tmp) {
		const struct kube_pod *pod = container_of(node, struct kube_pod, node);

		if (pod->problem == NULL || pod->is_deleting)
			continue;
		if (!is_found || pod->problem->kind < p->kind)
			*p = *pod->problem;
		is_found = true;
	}
	return is_found;
}

/* How long a problem may last before it is a failure. */
static int64_t
patience_of(const struct kube_workload *w, const struct kube_problem *p)
{
	const struct launch *l = &w->conf->launch;

	if (p->kind == KUBE_PROBLEM_MISTAKE)
		return 0;
	if (p->kind != KUBE_PROBLEM_PLACE)
		return l->failure_patience;
	return l->unschedulable_patience == 0 ? KUBE_FAILURE_NEVER : l->unschedulable_patience;
}

/* Returns what kube_view_show() does. */
static int64_t
update_failure(struct kube_workload *w, const struct kube_pods *pods)
{
	int64_t now = clk_now(), due;
	struct kube_problem p = {.age_ns = 0};
	bool is_problem = find_problem(w, pods, &p);

	/* What this process has not seen begin has lasted since the object says so.  Of anything
	 * later our own clock counts. */
	if (is_problem && p.kind != KUBE_PROBLEM_PAST && !w->is_known_once)
		kube_failure_has_lasted(&w->failure, p.age_ns, now);
	kube_failure_update(&w->failure, is_problem ? &p : NULL, kube_pods_are_serving(w),
			    patience_of(w, &p), now, random_u32());
	due = kube_failure_due(&w->failure);
	return due == 0 ? 0 : MAX(due - now, CLK_MS);
}

/* --- view --- */

static bool
is_known(const struct kube_workload *w)
{
	if (!kube_collection_is_synced(w->collection) || w->is_get_due || w->get != NULL)
		return w->is_known_once;
	return !w->replicas.exists || w->are_pods_complete;
}

static enum instance_state
state_of(const struct kube_pod *pod)
{
	if (pod->is_deleting)
		return INSTANCE_STOPPING;
	/* Without a readinessProbe Ready means that a container runs, not that it listens. */
	return pod->is_ready && (pod->has_probe || pod->is_answering) ? INSTANCE_READY
								      : INSTANCE_STARTING;
}

static void
fill_instances(struct kube_workload *w)
{
	struct list_node *node, *tmp;
	size_t n = 0;

	w->view = xrealloc(w->view, (w->pods.n + 1) * sizeof *w->view);
	LIST_FOREACH(&w->pods, node, tmp) {
		struct kube_pod *pod = container_of(node, struct kube_pod, node);

		w->view[n++] = (struct driver_instance){
			.id = pod->uid,
			.address = pod->port == 0 ? NULL : pod->ip,
			.port = pod->port,
			.probe = pod->probe,
			.state = state_of(pod),
			.started_ns = pod->started_ns,
			.removal_order = w->kind->has_ordinals ? pod->ordinal + 1 : 0,
			.cpu_s = -1,
		};
	}
}

static void
show(struct kube_workload *w)
{
	int64_t left = w->failure.until_ns - clk_now();
	struct msg_failure failure = {.reason = w->failure.problem.reason,
				      .message = w->failure.problem.message,
				      .retry_after_ms = (MAX(left, 0) + CLK_MS - 1) / CLK_MS,
				      .is_parking = !kube_failure_is_failed(&w->failure),
				      .is_outage = w->failure.problem.is_access};
	struct driver_view v = {.revision = w->revision,
				.n = w->pods.n,
				.has_scale = w->replicas.exists,
				.scale = kube_replicas_current(&w->replicas),
				.is_held = w->replicas.is_held,
				.held_by = kube_replicas_author(&w->replicas),
				.overruled_n = w->replicas.overruled_n,
				.overruled_scale = w->replicas.overruled};

	fill_instances(w);
	v.v = w->view;
	v.is_known = w->is_known_once = is_known(w);
	v.failure = kube_failure_is_shown(&w->failure) ? &failure : NULL;
	kube_replicas_shown(&w->replicas);
	w->all->driver->ops->on_view(&v, w->all->driver->arg);
}

int64_t
kube_view_show(struct kube_workload *w, const struct kube_pods *pods)
{
	int64_t wait = update_failure(w, pods);

	show(w);
	return wait;
}
