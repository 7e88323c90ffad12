/* kube_deletion_cost - before there are to be fewer pods, the pod-deletion-cost of those that shall
 * go is made the lowest, so that their controller takes them, and of those that stay it is
 * made their requests in flight, so that another hand that takes pods meanwhile takes the
 * idle ones (kube_cost.h says which of these, and how often).
 * Best effort by nature: servers before 1.22 do not look at the cost, and whoever goes
 * instead is seen by its deletionTimestamp.  What keeps a cost from being written holds up
 * nothing for longer than the patience below, and a wake-up not at all. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_impl.h"
#include "autoscaler/kubernetes/kube_json.h"
#include "common/clk.h"
#include "common/log.h"

/* Next to the lowest that there is, so that it is told from what others may set. */
#define COST_GOING "-2147483647"
#define GOING_PATIENCE CLK_S   /* until our watch shows it */
#define STAYING_PATIENCE CLK_S /* after that, until all are answered */

static bool
is_marked(const struct kube_pod *m)
{
	return m->cost != NULL && strcmp(m->cost, COST_GOING) == 0;
}

/* annotations: the members of a JSON object. */
static void
annotate(struct kube_pod *m, const char *annotations, enum kube_priority priority,
	 const struct kube_call_ops *ops)
{
	char *path = xasprintf("/api/v1/namespaces/%s/pods/%s", m->workload->ns, m->name);
	char *body = xasprintf("{\"metadata\":{\"annotations\":{%s}}}", annotations);
	const struct kube_call call = {.method = "PATCH",
				       .path = path,
				       .type = KUBE_MERGE_PATCH,
				       .body = body,
				       .priority = priority,
				       .timeout = KUBE_CALL_TIMEOUT};

	m->is_staying = priority == KUBE_SPARE;
	m->request = kube_http_call(m->workload->d->http, &call, ops, m);
	free(body);
	free(path);
}

/* A pod that is gone, or was changed by another, is no failure. */
static bool
has_failed(const struct kube_answer *a)
{
	return a->status != 404 && a->status != 409 && (a->status == 0 || a->status >= 300);
}

static void
log_failure(const struct kube_pod *m, const struct kube_answer *a)
{
	char why[600];

	if (a->status == 0)
		return; /* kube_http tells that the server does not answer */
	kube_http_explain(a, "patch", "pods", "", m->workload->ns, why, sizeof why);
	log_warn_limited(NULL, "pod-deletion-cost not set", "revision=%s pod=%s err=%s",
			 m->workload->revision, m->name, why);
}

/* --- those that shall go --- */

static void
on_going_answer(const struct kube_answer *a, void *arg)
{
	struct kube_pod *m = arg;

	m->request = NULL;
	m->is_marking = false;
	m->is_cost_refused = a->status != 200;
	if (has_failed(a))
		log_failure(m, a);
	kube_touch(m->workload);
}

static const struct kube_call_ops going_ops = {.on_done = on_going_answer};

/* cost: NULL takes it away.  It is somebody's number, hence digits; nothing to escape. */
static void
set_cost(struct kube_pod *m, const char *cost)
{
	const char *quote = cost == NULL ? "" : "\"";
	char *text = xasprintf("\"" KUBE_COST "\":%s%s%s", quote, cost == NULL ? "null" : cost,
			       quote);

	annotate(m, text, KUBE_NORMAL, &going_ops);
	free(text);
}

static void
mark(struct kube_pod *m)
{
	free(m->cost_before);
	m->cost_before = m->cost != NULL && strspn(m->cost, "-0123456789") == strlen(m->cost)
				 ? xstrdup(m->cost)
				 : NULL;
	m->is_cost_asked = m->is_marking = true;
	set_cost(m, COST_GOING);
}

/* Do all victims bear our mark, as far as they can? */
static bool
are_marked(struct kube_workload *f)
{
	struct list_node *node, *tmp;
	bool is_all = true;

	LIST_FOREACH(&f->pods, node, tmp) {
		struct kube_pod *m = container_of(node, struct kube_pod, node);

		if (!m->is_victim || m->is_deleting || is_marked(m) || m->is_cost_refused)
			continue;
		is_all = false;
		if (m->request == NULL && !m->is_cost_asked)
			mark(m);
	}
	return is_all;
}

/* Those that were to go and stayed are as good as any again. */
static void
unmark_survivors(struct kube_workload *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->pods, node, tmp) {
		struct kube_pod *m = container_of(node, struct kube_pod, node);

		if (is_marked(m) && !m->is_victim && !m->is_deleting && m->request == NULL &&
		    !m->is_cost_refused)
			set_cost(m, m->cost_before);
	}
}

/* Once there are as many as there should be, whoever of the victims stayed, stays. */
static void
forget_victims(struct kube_workload *f)
{
	struct list_node *node, *tmp;
	uint32_t live = 0;

	if (f->replicas.is_patching || kube_replicas_current(&f->replicas) != f->replicas.wanted)
		return;
	LIST_FOREACH(&f->pods, node, tmp)
		live += !container_of(node, struct kube_pod, node)->is_deleting;
	if (live > f->replicas.wanted)
		return;
	LIST_FOREACH(&f->pods, node, tmp)
		container_of(node, struct kube_pod, node)->is_victim = false;
}

/* --- those that stay --- */

/* What is not written yet will not be. */
static void
let_be(struct kube_workload *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->pods, node, tmp) {
		struct kube_pod *m = container_of(node, struct kube_pod, node);

		if (m->is_staying)
			kube_http_cancel(&m->request);
		m->is_staying = false;
	}
}

static void
on_staying_answer(const struct kube_answer *a, void *arg)
{
	struct kube_pod *m = arg;

	m->request = NULL;
	m->is_staying = false;
	if (has_failed(a)) { /* so would the others */
		log_failure(m, a);
		let_be(m->workload);
	}
	kube_touch(m->workload);
}

static const struct kube_call_ops staying_ops = {.on_done = on_staying_answer};

static void
set_stay(struct kube_pod *m, uint32_t cost)
{
	char *text = cost == 0 ? xstrdup("\"" KUBE_COST "\":null,\"" KUBE_COST_OURS "\":null")
			       : xasprintf("\"" KUBE_COST "\":\"%u\",\"" KUBE_COST_OURS "\":\"%u\"",
					   cost, cost);

	annotate(m, text, KUBE_SPARE, &staying_ops);
	free(text);
}

/* Once for each scale-down. */
static void
weigh_others(struct kube_workload *f, int64_t now)
{
	const struct driver *driver = &f->d->driver;
	size_t n = 0, i, most = kube_cost_budget_left(&f->cost_budget, now);
	struct list_node *node, *tmp;
	struct kube_cost_candidate *v;

	if (f->is_weighed || most == 0)
		return;
	f->is_weighed = true;
	v = xcalloc(f->pods.n + 1, sizeof *v);
	LIST_FOREACH(&f->pods, node, tmp) {
		struct kube_pod *m = container_of(node, struct kube_pod, node);

		if (m->is_deleting || m->request != NULL || m->is_victim ||
		    !kube_cost_is_ours(m->cost, m->cost_ours, &v[n].shown))
			continue;
		v[n].pod = m;
		v[n++].wanted = driver->ops->load(m->uid, driver->arg);
	}
	n = kube_cost_pick(v, n, most);
	kube_cost_budget_spend(&f->cost_budget, n, now);
	for (i = 0; i < n; i++)
		set_stay(v[i].pod, v[i].wanted);
	free(v);
}

static bool
are_weighed(const struct kube_workload *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->pods, node, tmp)
		if (container_of(node, struct kube_pod, node)->is_staying)
			return false;
	return true;
}

/* --- all of them --- */

int64_t
kube_deletion_cost_wait(struct kube_workload *f, uint32_t n, int64_t now)
{
	bool is_all_marked;

	if (n == 0 || n >= kube_replicas_current(&f->replicas) ||
	    strcmp(f->kind, "StatefulSet") == 0)
		return 0;
	if (f->costs_ns == 0)
		f->costs_ns = now;
	is_all_marked = are_marked(f);
	weigh_others(f, now);
	if (!is_all_marked && now < f->costs_ns + GOING_PATIENCE)
		return f->costs_ns + GOING_PATIENCE - now;
	if (f->marked_ns == 0)
		f->marked_ns = now;
	return are_weighed(f) ? 0 : MAX(f->marked_ns + STAYING_PATIENCE - now, 0);
}

void
kube_deletion_cost_stop(struct kube_workload *f)
{
	f->costs_ns = f->marked_ns = 0;
	let_be(f);
}

void
kube_deletion_cost_settle(struct kube_workload *f)
{
	forget_victims(f);
	unmark_survivors(f);
}
