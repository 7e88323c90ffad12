/* kube_act - what is changed in the cluster: the scale of a workload.  Before there are to
 * be fewer pods, kube_cost.c says which. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_impl.h"
#include "autoscaler/kubernetes/kube_json.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"

#define TIMEOUT_MOST (30 * CLK_S)
#define REFUSED_AGAIN (5 * CLK_S)

static void
take_refusal(struct kube_workload *f, const struct kube_answer *a)
{
	struct kube_trouble *t = &f->patch_trouble;
	char *resource = xasprintf("%s/scale", f->collection->kind->plural);

	snprintf(t->reason, sizeof t->reason, "%s", a->reason[0] == '\0' ? "Refused" : a->reason);
	kube_http_explain(a, "patch", resource, f->group, f->ns, t->message, sizeof t->message);
	free(resource);
}

static void
take_scale(struct kube_workload *f, const struct kube_answer *a, int64_t now)
{
	struct kube_scale_answer scale;
	struct err e;

	f->patch_trouble.reason[0] = '\0';
	f->is_weighed = false;
	if (kube_scale_decode(&scale, a->body, a->n, &e) < 0) {
		log_warn(NULL, "answer to a scale not understood", "revision=%s err=%s",
			 f->revision, e.text);
		kube_replicas_patch_failed(&f->replicas, now, REFUSED_AGAIN);
		return;
	}
	if (kube_replicas_patch_done(&f->replicas, (uint32_t)MAX(scale.replicas, 0),
				     scale.rv == NULL ? "" : scale.rv, now, random_u32()))
		log_warn(NULL, "someone else has scaled the workload",
			 "revision=%s workload=%s/%s to=%u ours=%u", f->revision, f->ns, f->name,
			 f->replicas.observed, f->replicas.wanted);
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
	struct kube_workload *f = arg;
	int64_t now = clk_now(), delay;

	f->patch = NULL;
	f->is_unanswered = a->status == 0;
	if (a->status == 200 || a->status == 201) {
		take_scale(f, a, now);
	} else {
		delay = kube_http_delay(&f->replicas.retry, a);
		if (is_refusal(a->status)) {
			take_refusal(f, a);
			delay = MAX(delay, REFUSED_AGAIN);
		}
		log_warn_limited(NULL, "scale not set",
				 "revision=%s status=%d err=%s retry_ms=%lld", f->revision,
				 a->status, a->message, (long long)(delay / CLK_MS));
		kube_replicas_patch_failed(&f->replicas, now, delay);
	}
	kube_touch(f);
}

static const struct kube_call_ops scale_ops = {.on_done = on_scale_answer};

static void
send_scale(struct kube_workload *f, uint32_t n, int64_t now)
{
	const struct kube_kind *k = f->collection->kind;
	bool is_more = n > kube_replicas_current(&f->replicas);
	char *path = xasprintf("%s/namespaces/%s/%s/%s/scale", k->path, f->ns, k->plural, f->name);
	char *body = xasprintf("{\"spec\":{\"replicas\":%u}}", n);
	const struct kube_call call = {
		.method = "PATCH",
		.path = path,
		.type = KUBE_MERGE_PATCH,
		.body = body,
		.priority = is_more ? KUBE_WAKE : KUBE_NORMAL,
		/* A server that is slow, not dead, gets its time. */
		.timeout = MIN(KUBE_CALL_TIMEOUT << MIN(f->replicas.retry.tries, 8u),
			       TIMEOUT_MOST)};

	f->patch_ns = now;
	kube_replicas_patch_sent(&f->replicas, n);
	f->patch = kube_http_call(f->d->http, &call, &scale_ops, f);
	kube_deletion_cost_stop(f);
	free(body);
	free(path);
}

static int64_t
sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

int64_t
kube_act(struct kube_workload *f)
{
	int64_t now = clk_now(), wait = 0, get = kube_collection_get_scale(f);
	uint32_t n;

	if (kube_replicas_due(&f->replicas, now, &n, &wait)) {
		wait = kube_deletion_cost_wait(f, n, now);
		if (wait == 0)
			send_scale(f, n, now);
	} else {
		kube_deletion_cost_stop(f);
	}
	kube_deletion_cost_settle(f);
	return sooner(wait, get);
}

void
kube_act_stop(struct kube_workload *f)
{
	kube_http_cancel(&f->patch);
	kube_http_cancel(&f->get);
}
