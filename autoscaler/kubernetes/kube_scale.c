#include "autoscaler/kubernetes/kube_scale.h"

#include <stdio.h>
#include <stdlib.h>

#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_deletion_cost.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_report.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "autoscaler/kubernetes/kube_workload_json.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/random.h"

#define TIMEOUT_MOST (30 * CLK_S)
#define REFUSED_RETRY (5 * CLK_S)
#define GET_RETRY CLK_S

/* The path of the scale, and a query behind it; the caller's. */
static char *
path_of(const struct kube_workload *w, const char *query)
{
	return xasprintf("%s/namespaces/%s/%s/%s/scale%s", w->kind->path, w->ns, w->kind->plural,
			 w->name, query);
}

static struct kube_problem *
scale_error(struct kube_workload *w)
{
	if (w->scale_error == NULL)
		w->scale_error = xcalloc(1, sizeof *w->scale_error);
	return w->scale_error;
}

static void
clear_scale_error(struct kube_workload *w)
{
	free(w->scale_error);
	w->scale_error = NULL;
}

/* --- GET --- */

static void
take_get_refusal(struct kube_workload *w, const struct kube_answer *a)
{
	struct kube_problem *p;

	if (a->status != 403)
		return;
	p = scale_error(w);
	snprintf(p->reason, sizeof p->reason, "Forbidden");
	kube_http_explain(a, "get", "scale", w->kind->group, w->ns, p->message, sizeof p->message);
}

static void
on_get_answer(const struct kube_answer *a, void *arg)
{
	struct kube_workload *w = arg;
	struct kube_scale_fields scale;
	struct err e;

	w->get = NULL;
	if (a->status == 200 && kube_scale_fields_decode(&scale, a->body, a->n, &e) == 0) {
		kube_workload_set_selector(w, scale.selector);
		kube_workload_set_replicas(w, scale.replicas, scale.rv == NULL ? "" : scale.rv);
		clear_scale_error(w);
		kube_scale_fields_fini(&scale);
	} else if (a->status == 404) {
		kube_workload_gone(w);
	} else {
		w->is_get_due = true;
		w->get_at_ns = clk_now() + GET_RETRY;
		take_get_refusal(w, a);
	}
	kube_workload_changed(w);
}

static const struct kube_call_ops get_ops = {.on_done = on_get_answer};

/* Returns what kube_scale_step() does. */
static int64_t
get_if_due(struct kube_workload *w)
{
	struct kube_call call = {
		.method = "GET", .priority = KUBE_NORMAL, .timeout = KUBE_CALL_TIMEOUT};
	int64_t wait = w->get_at_ns - clk_now();
	char *path;

	if (!w->is_get_due || w->get != NULL || w->kind->plural == NULL)
		return 0;
	if (wait > 0)
		return wait;
	w->is_get_due = false;
	path = path_of(w, "");
	call.path = path;
	w->get = kube_http_call(w->all->http, &call, &get_ops, w);
	free(path);
	return 0;
}

/* --- PATCH --- */

static void
take_patch_refusal(struct kube_workload *w, const struct kube_answer *a)
{
	struct kube_problem *p = scale_error(w);
	char *resource = xasprintf("%s/scale", w->kind->plural);

	snprintf(p->reason, sizeof p->reason, "%s", a->reason[0] == '\0' ? "Refused" : a->reason);
	kube_http_explain(a, "patch", resource, w->kind->group, w->ns, p->message,
			  sizeof p->message);
	free(resource);
}

static void
take_patch_answer(struct kube_workload *w, const struct kube_answer *a, int64_t now)
{
	struct kube_scale_fields scale;
	struct err e;

	clear_scale_error(w);
	w->patch_failure = -1;
	w->is_staying_written = false;
	if (kube_scale_fields_decode(&scale, a->body, a->n, &e) < 0) {
		log_warn(NULL, "cannot decode the answer to a PATCH of the scale",
			 "revision=%s err=%s", w->revision, e.text);
		kube_replicas_patch_failed(&w->replicas, now, REFUSED_RETRY);
		return;
	}
	if (kube_replicas_patch_done(&w->replicas, (uint32_t)MAX(scale.replicas, 0),
				     scale.rv == NULL ? "" : scale.rv, now, random_u32()))
		kube_workload_scaled_by_other(w, w->replicas.patched);
	if (w->replicas.patched > 0)
		kube_report_woken(w, w->replicas.patched, w->asleep_ns);
	log_debug(NULL, "scale set", "revision=%s replicas=%lld took_ms=%.1f", w->revision,
		  (long long)scale.replicas, (double)(now - w->patch_ns) / CLK_MS);
	kube_scale_fields_fini(&scale);
}

/* One line for all tries in a row that fail in the same way. */
static void
log_patch_failure(struct kube_workload *w, const struct kube_answer *a, int64_t delay)
{
	if (w->patch_failure == a->status)
		return;
	w->patch_failure = a->status;
	log_warn(NULL, "cannot set the scale",
		 "revision=%s from=%u to=%u status=%d err=%s retry_ms=%lld", w->revision,
		 kube_replicas_current(&w->replicas), w->replicas.asked, a->status, a->message,
		 (long long)(delay / CLK_MS));
}

static bool
is_refusal(int status)
{
	return status >= 400 && status < 500 && status != 409 && status != 429 && status != 408;
}

static void
on_patch_answer(const struct kube_answer *a, void *arg)
{
	struct kube_workload *w = arg;
	int64_t now = clk_now(), delay;

	w->patch = NULL;
	w->is_patch_unanswered = a->status == 0;
	if (a->status == 200 || a->status == 201) {
		take_patch_answer(w, a, now);
	} else {
		delay = kube_http_delay(&w->replicas.retry, a);
		if (is_refusal(a->status)) {
			take_patch_refusal(w, a);
			delay = MAX(delay, REFUSED_RETRY);
		}
		log_patch_failure(w, a, delay);
		kube_replicas_patch_failed(&w->replicas, now, delay);
	}
	kube_workload_changed(w);
}

static const struct kube_call_ops patch_ops = {.on_done = on_patch_answer};

static void
patch(struct kube_workload *w, uint32_t n, int64_t now)
{
	bool is_more = n > kube_replicas_current(&w->replicas);
	char *path = path_of(w, "?fieldManager=" KUBE_FIELD_MANAGER);
	char *body = xasprintf("{\"spec\":{\"replicas\":%u}}", n);
	const struct kube_call call = {
		.method = "PATCH",
		.path = path,
		.type = KUBE_MERGE_PATCH,
		.body = body,
		.priority = is_more ? KUBE_WAKE : KUBE_NORMAL,
		/* Longer with each try: the server may be slow, not dead. */
		.timeout = MIN(KUBE_CALL_TIMEOUT << MIN(w->replicas.retry.tries, 8u),
			       TIMEOUT_MOST)};

	w->patch_ns = now;
	w->asleep_ns = w->report.zero_wall_ns == 0 ? 0 : clk_wall() - w->report.zero_wall_ns;
	kube_replicas_patch_sent(&w->replicas, n);
	w->patch = kube_http_call(w->all->http, &call, &patch_ops, w);
	kube_deletion_cost_stop(w);
	free(body);
	free(path);
}

/* --- both --- */

int64_t
kube_scale_step(struct kube_workload *w)
{
	int64_t now = clk_now(), wait = 0, get_wait = get_if_due(w);
	uint32_t n;

	if (kube_replicas_due(&w->replicas, now, &n, &wait)) {
		wait = kube_deletion_cost_wait(w, n, now);
		if (wait == 0)
			patch(w, n, now);
	} else {
		kube_deletion_cost_stop(w);
	}
	kube_deletion_cost_settle(w);
	return kube_workload_sooner(wait, get_wait);
}

void
kube_scale_cancel(struct kube_workload *w)
{
	kube_http_cancel(&w->patch);
	kube_http_cancel(&w->get);
}
