/* kube_act - what is changed in the cluster: the scale of a workload, and, before there
 * are to be fewer pods, the pod-deletion-cost of those that shall go, so that its
 * controller takes them.  Best effort by nature: servers before 1.21 do not look at the
 * cost, and whoever goes instead is seen by its deletionTimestamp.
 * The others keep the cost that they have, and are not given their requests in flight for
 * one: that would be a write for each pod and change of load (Kubernetes asks not to make
 * costs of metrics, for its API server's sake), old before it is read, and would move
 * nobody, since exactly those that bear our mark are asked to go. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube_impl.h"
#include "autoscaler/kube_json.h"
#include "common/clk.h"
#include "common/log.h"

#define COST_KEY "controller.kubernetes.io/pod-deletion-cost"
/* Next to the lowest that there is, so that it is told from what others may set. */
#define COST_OURS "-2147483647"
#define COST_PATIENCE CLK_S /* until our watch shows it */
#define TIMEOUT_MOST (30 * CLK_S)
#define REFUSED_AGAIN (5 * CLK_S)
#define MERGE_PATCH "application/merge-patch+json"

/* --- costs --- */

static bool
is_victim(const struct kube_fleet *f, const struct kube_member *m)
{
	size_t i;

	for (i = 0; f->victims != NULL && f->victims[i] != NULL; i++)
		if (strcmp(f->victims[i], m->uid) == 0)
			return true;
	return false;
}

static bool
is_marked(const struct kube_member *m)
{
	return m->cost != NULL && strcmp(m->cost, COST_OURS) == 0;
}

static void
on_cost_answer(const struct kube_answer *a, void *arg)
{
	struct kube_member *m = arg;
	char why[600];

	m->request = NULL;
	m->is_cost_refused = a->status != 200;
	if (a->status >= 300 && a->status != 404 && a->status != 409) {
		kube_http_explain(a, "patch", "pods", "", m->fleet->ns, why, sizeof why);
		log_warn_limited(NULL, "pod-deletion-cost not set", "revision=%s pod=%s err=%s",
				 m->fleet->revision, m->name, why);
	}
	kube_touch(m->fleet);
}

static const struct kube_call_ops cost_ops = {.on_done = on_cost_answer};

/* cost: NULL takes it away.  It is somebody's number, hence digits; nothing to escape. */
static void
set_cost(struct kube_member *m, const char *cost)
{
	const char *quote = cost == NULL ? "" : "\"";
	char *path = xasprintf("/api/v1/namespaces/%s/pods/%s", m->fleet->ns, m->name);
	char *body = xasprintf("{\"metadata\":{\"annotations\":{\"" COST_KEY "\":%s%s%s}}}", quote,
			       cost == NULL ? "null" : cost, quote);
	const struct kube_call call = {.method = "PATCH",
				       .path = path,
				       .type = MERGE_PATCH,
				       .body = body,
				       .priority = KUBE_NORMAL,
				       .timeout = KUBE_CALL_TIMEOUT};

	m->request = kube_http_call(m->fleet->d->http, &call, &cost_ops, m);
	free(body);
	free(path);
}

static void
mark(struct kube_member *m)
{
	free(m->cost_before);
	m->cost_before = m->cost != NULL && strspn(m->cost, "-0123456789") == strlen(m->cost)
				 ? xstrdup(m->cost)
				 : NULL;
	set_cost(m, COST_OURS);
}

/* Those that were to go and stayed are as good as any again. */
static void
unmark_survivors(struct kube_fleet *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->members, node, tmp) {
		struct kube_member *m = container_of(node, struct kube_member, node);

		if (is_marked(m) && !is_victim(f, m) && !m->is_deleting && m->request == NULL &&
		    !m->is_cost_refused)
			set_cost(m, m->cost_before);
	}
}

/* Do all victims bear our mark, as far as they can? */
static bool
are_marked(struct kube_fleet *f)
{
	struct list_node *node, *tmp;
	bool is_all = true;

	LIST_FOREACH(&f->members, node, tmp) {
		struct kube_member *m = container_of(node, struct kube_member, node);

		if (!is_victim(f, m) || m->is_deleting || is_marked(m) || m->is_cost_refused)
			continue;
		is_all = false;
		if (m->request == NULL && !m->is_cost_asked)
			mark(m);
		m->is_cost_asked = true;
	}
	return is_all;
}

/* Before n, which is fewer: 0 where the victims are marked, or have been waited for long
 * enough; else how long they still are. */
static int64_t
wait_for_marks(struct kube_fleet *f, uint32_t n, int64_t now)
{
	if (n == 0 || n >= kube_scale_now(&f->scale) || f->victims == NULL ||
	    strcmp(f->kind, "StatefulSet") == 0)
		return 0;
	if (are_marked(f))
		return 0;
	if (f->costs_ns == 0)
		f->costs_ns = now;
	return MAX(f->costs_ns + COST_PATIENCE - now, 0);
}

/* There are as many as there should be: whoever of the victims stayed, stays. */
static void
forget_victims(struct kube_fleet *f)
{
	struct list_node *node, *tmp;
	uint32_t live = 0;
	size_t i;

	if (f->victims == NULL || f->scale.is_sending || kube_scale_now(&f->scale) != f->scale.wish)
		return;
	LIST_FOREACH(&f->members, node, tmp)
		live += !container_of(node, struct kube_member, node)->is_deleting;
	if (live > f->scale.wish)
		return;
	for (i = 0; f->victims[i] != NULL; i++)
		free(f->victims[i]);
	free(f->victims);
	f->victims = NULL;
}

/* --- scale --- */

static void
take_refusal(struct kube_fleet *f, const struct kube_answer *a)
{
	struct kube_trouble *t = &f->patch_trouble;
	char *resource = xasprintf("%s/scale", f->place->kind->plural);

	snprintf(t->reason, sizeof t->reason, "%s", a->reason[0] == '\0' ? "Refused" : a->reason);
	kube_http_explain(a, "patch", resource, f->group, f->ns, t->message, sizeof t->message);
	free(resource);
}

static void
take_scale(struct kube_fleet *f, const struct kube_answer *a, int64_t now)
{
	struct kube_scale_answer scale;
	struct err e;

	f->patch_trouble.reason[0] = '\0';
	if (kube_scale_decode(&scale, a->body, a->n, &e) < 0) {
		log_warn(NULL, "answer to a scale not understood", "revision=%s err=%s",
			 f->revision, e.text);
		kube_scale_failed(&f->scale, now, REFUSED_AGAIN);
		return;
	}
	if (kube_scale_answered(&f->scale, (uint32_t)MAX(scale.replicas, 0),
				scale.rv == NULL ? "" : scale.rv, now, kube_http_random()))
		log_warn(NULL, "someone else has scaled the workload",
			 "revision=%s workload=%s/%s to=%u ours=%u", f->revision, f->ns, f->name,
			 f->scale.seen, f->scale.wish);
	log_debug(NULL, "scale set", "revision=%s replicas=%lld took_ms=%.1f", f->revision,
		  (long long)scale.replicas, (double)(now - f->patch_ns) / CLK_MS);
	kube_scale_answer_fini(&scale);
}

static bool
is_refusal(int status)
{
	return status >= 400 && status < 500 && status != 409 && status != 429 && status != 408;
}

static void
on_scale_answer(const struct kube_answer *a, void *arg)
{
	struct kube_fleet *f = arg;
	int64_t now = clk_now(), delay;

	f->patch = NULL;
	f->is_unanswered = a->status == 0;
	if (a->status == 200 || a->status == 201) {
		take_scale(f, a, now);
	} else {
		delay = kube_http_delay(&f->scale.retry, a);
		if (is_refusal(a->status)) {
			take_refusal(f, a);
			delay = MAX(delay, REFUSED_AGAIN);
		}
		log_warn_limited(NULL, "scale not set",
				 "revision=%s status=%d err=%s retry_ms=%lld", f->revision,
				 a->status, a->message, (long long)(delay / CLK_MS));
		kube_scale_failed(&f->scale, now, delay);
	}
	kube_touch(f);
}

static const struct kube_call_ops scale_ops = {.on_done = on_scale_answer};

static void
send_scale(struct kube_fleet *f, uint32_t n, int64_t now)
{
	const struct kube_kind *k = f->place->kind;
	bool is_more = n > kube_scale_now(&f->scale);
	char *path = xasprintf("%s/namespaces/%s/%s/%s/scale", k->path, f->ns, k->plural, f->name);
	char *body = xasprintf("{\"spec\":{\"replicas\":%u}}", n);
	const struct kube_call call = {
		.method = "PATCH",
		.path = path,
		.type = MERGE_PATCH,
		.body = body,
		.priority = is_more ? KUBE_WAKE : KUBE_NORMAL,
		/* A server that is slow, not dead, gets its time. */
		.timeout = MIN(KUBE_CALL_TIMEOUT << MIN(f->scale.retry.tries, 8u), TIMEOUT_MOST)};

	f->costs_ns = 0;
	f->patch_ns = now;
	kube_scale_sent(&f->scale, n);
	f->patch = kube_http_call(f->d->http, &call, &scale_ops, f);
	free(body);
	free(path);
}

static int64_t
sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

int64_t
kube_act(struct kube_fleet *f)
{
	int64_t now = clk_now(), wait = 0, get = kube_place_get_scale(f);
	uint32_t n;

	if (kube_scale_next(&f->scale, now, &n, &wait)) {
		wait = wait_for_marks(f, n, now);
		if (wait == 0)
			send_scale(f, n, now);
	}
	forget_victims(f);
	unmark_survivors(f);
	return sooner(wait, get);
}

void
kube_act_stop(struct kube_fleet *f)
{
	kube_http_cancel(&f->patch);
	kube_http_cancel(&f->get);
}
