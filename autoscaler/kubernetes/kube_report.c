#include "autoscaler/kubernetes/kube_report.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/driver.h"
#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_recorder.h"
#include "autoscaler/kubernetes/kube_kind.h"
#include "autoscaler/kubernetes/kube_pod.h"
#include "autoscaler/kubernetes/kube_state.h"
#include "autoscaler/kubernetes/kube_workload.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/text.h"

#define SETTLE (500 * CLK_MS)	    /* a state that lasts for less is not written */
#define EVENT_REPEAT (600 * CLK_S)  /* an Event of the same cause is not repeated within it */
#define LONG_ASLEEP (3600 * CLK_S)  /* a wake after that is worth an Event */
#define REFUSED_RETRY (300 * CLK_S) /* the right may be granted meanwhile */

/* --- the state --- */

static const struct kube_problem *
failure_of(const struct kube_workload *w)
{
	return kube_failure_is_shown(&w->failure) ? &w->failure.problem : NULL;
}

static enum kube_state
state_of(const struct kube_workload *w)
{
	const struct kube_state_facts f = {.is_known = w->is_known_once && w->replicas.exists &&
						       !w->conf->scaling.dry_run,
					   .replicas = kube_replicas_current(&w->replicas),
					   .is_held = w->replicas.is_held,
					   .is_serving = kube_pods_are_serving(w),
					   .failure = failure_of(w)};

	return kube_state_of(&f);
}

/* The reason of the Event about a failure. */
static const char *
failure_event(const struct kube_workload *w)
{
	return kube_failure_is_failed(&w->failure) ? "ActivationFailed" : "ActivationDelayed";
}

/* Why it is in this state; the caller's.  A state is recorded again only if its cause differs:
 * so a failure is recorded after a delay of the same reason, as requests are refused from then
 * on. */
static char *
cause_of(const struct kube_workload *w, enum kube_state state)
{
	const char *author = kube_replicas_author(&w->replicas);

	if (state == KUBE_FAILING)
		return xasprintf("%s %s", failure_event(w), w->failure.problem.reason);
	return xstrdup(state == KUBE_HELD && author != NULL ? author : "");
}

/* --- Events --- */

static void
record(struct kube_workload *w, bool is_warning, const char *reason, const char *message)
{
	const struct kube_involved o = {.group = w->kind->group,
					.version = w->kind->version,
					.kind = w->kind->name,
					.ns = w->ns,
					.name = w->name,
					.uid = w->report.uid};

	if (w->report.uid != NULL)
		kube_recorder_add(w->all->recorder, &o, is_warning, reason, message);
}

static bool
is_repeated(struct kube_report_event *e, const char *cause)
{
	int64_t now = clk_now();

	if (text_equal(e->cause, cause) && now - e->at_ns < EVENT_REPEAT)
		return true;
	text_replace(&e->cause, cause);
	e->at_ns = now;
	return false;
}

static void
record_failure(struct kube_workload *w)
{
	const struct kube_problem *p = &w->failure.problem;
	char *text;

	if (is_repeated(&w->report.failing, w->report.cause))
		return;
	text = xasprintf("%s: %s", p->reason, p->message);
	record(w, true, failure_event(w), text);
	free(text);
}

static void
record_hold(struct kube_workload *w)
{
	const char *author = kube_replicas_author(&w->replicas);
	char *text;

	if (is_repeated(&w->report.held, w->report.cause))
		return;
	text = xasprintf("%s has set the replicas to %u, which is respected (foreign_scale)",
			 author == NULL ? "another client" : author, w->replicas.observed);
	record(w, true, "ScaleHeld", text);
	free(text);
}

void
kube_report_woken(struct kube_workload *w, uint32_t n, int64_t asleep_ns)
{
	char *text;

	if (asleep_ns < LONG_ASLEEP)
		return;
	text = xasprintf("scaled from 0 to %u, after %lld h without instances", n,
			 (long long)(asleep_ns / (3600 * CLK_S)));
	record(w, false, "Woken", text);
	free(text);
}

/* The readinessProbe may ask another port, or there may be none; a NetworkPolicy may be in the way.
 * Pods of one workload are likely to have the same trouble: one Event tells of it. */
static void
record_refusal(struct kube_workload *w, const struct kube_pod *pod)
{
	char *text;

	if (w->conf->scaling.dry_run || is_repeated(&w->report.refusing, ""))
		return;
	text = xasprintf("pod %s is Ready and refuses connections at %s port %u: does a container "
			 "listen there, and does a NetworkPolicy let the activator through?",
			 pod->name, pod->ip == NULL ? "its address" : pod->ip, (unsigned)pod->port);
	log_warn(NULL, "a pod is Ready and refuses connections",
		 "revision=%s pod=%s address=%s port=%u refused_ms=%lld", w->revision, pod->name,
		 pod->ip == NULL ? "" : pod->ip, (unsigned)pod->port,
		 (long long)((clk_now() - pod->refused_ns) / CLK_MS));
	record(w, true, "ConnectionRefused", text);
	free(text);
}

static bool
is_refusing(const struct kube_pod *pod)
{
	return pod->refused_ns != 0 && pod->is_ready && !pod->is_deleting && !pod->is_gone;
}

/* What an activator says counts as long as it is connected: it would say when the pod answers
 * again.  Returns after how long to call this again; 0: once something has changed. */
static int64_t
take_refusals(struct kube_workload *w, int64_t now_ns)
{
	const struct driver *d = w->all->driver;
	int64_t heard_ns = d->ops->heard_since == NULL ? 1 : d->ops->heard_since(d->arg);
	struct list_node *node, *tmp;
	int64_t wait = 0;

	LIST_FOREACH(&w->pods, node, tmp) {
		struct kube_pod *pod = container_of(node, struct kube_pod, node);
		int64_t left;

		if (!is_refusing(pod) || pod->is_refusal_seen || heard_ns == 0)
			continue;
		left = MAX(pod->refused_ns, heard_ns) + w->conf->launch.failure_patience - now_ns;
		if (left > 0) {
			wait = kube_workload_sooner(wait, left);
			continue;
		}
		pod->is_refusal_seen = true;
		record_refusal(w, pod);
	}
	return wait;
}

/* --- the annotation --- */

static void
take_written(struct kube_workload *w, const struct kube_answer *a)
{
	struct kube_event ev;
	struct err e;

	backoff_reset(&w->report.retry);
	text_replace(&w->report.shown, w->report.sent);
	if (kube_event_decode(&ev, a->body, a->n, true, &e) < 0)
		return; /* the watch will show it */
	text_replace(&w->report.shown_rv, ev.rv);
	kube_event_fini(&ev);
}

static void
take_refusal(struct kube_workload *w, const struct kube_answer *a)
{
	char **logged = &w->all->state_refusal;
	char why[600];

	kube_http_explain(a, "patch", w->kind->plural, w->kind->group, w->ns, why, sizeof why);
	if (!text_equal(*logged, why))
		log_warn(NULL, "cannot set the annotation " KUBE_STATE,
			 "revision=%s err=%s state_annotation=yes", w->revision, why);
	text_replace(logged, why);
}

static void
on_done(const struct kube_answer *a, void *arg)
{
	struct kube_workload *w = arg;
	bool is_refused = a->status >= 400 && a->status < 500 && a->status != 429;

	w->report.request = NULL;
	if (a->status == 200) {
		take_written(w, a);
	} else {
		if (is_refused && a->status != 404 && a->status != 409)
			take_refusal(w, a);
		w->report.retry_at_ns = clk_now() +
					(is_refused ? REFUSED_RETRY
						    : kube_http_delay(&w->report.retry, a));
	}
	kube_workload_changed(w);
}

static const struct kube_call_ops call_ops = {.on_done = on_done};

static char *
body_of(const char *state)
{
	struct strbuf b;
	struct jput j;

	strbuf_init(&b, 0);
	jput_init(&j, &b);
	jput_object(&j, NULL);
	jput_object(&j, "metadata");
	jput_object(&j, "annotations");
	jput_string(&j, KUBE_STATE, state);
	jput_object_end(&j);
	jput_object_end(&j);
	jput_object_end(&j);
	return strbuf_take(&b);
}

static void
write_state(struct kube_workload *w)
{
	char *path = xasprintf("%s/namespaces/%s/%s/%s?fieldManager=" KUBE_FIELD_MANAGER,
			       w->kind->path, w->ns, w->kind->plural, w->name);
	char *body;
	struct kube_call call = {.method = "PATCH",
				 .path = path,
				 .type = KUBE_MERGE_PATCH,
				 .priority = KUBE_SPARE,
				 .timeout = KUBE_CALL_TIMEOUT};

	free(w->report.sent);
	w->report.sent = kube_state_text(w->report.state, failure_of(w));
	call.body = body = body_of(w->report.sent);
	w->report.request = kube_http_call(w->all->http, &call, &call_ops, w);
	free(body);
	free(path);
}

static void
take_state(struct kube_workload *w, enum kube_state state, int64_t now_ns)
{
	struct kube_report *r = &w->report;
	char *cause = cause_of(w, state);

	if (state == r->state && text_equal(r->cause, cause)) {
		free(cause);
		return;
	}
	r->state = state;
	r->since_ns = now_ns;
	free(r->cause);
	r->cause = cause;
	if (state == KUBE_FAILING)
		record_failure(w);
	else if (state == KUBE_HELD)
		record_hold(w);
}

static int64_t
write_state_if_due(struct kube_workload *w, int64_t now)
{
	struct kube_report *r = &w->report;
	enum kube_state state = state_of(w);
	int64_t wait;

	take_state(w, state, now);
	if (state == KUBE_UNKNOWN || !w->conf->launch.state_annotation || r->request != NULL ||
	    w->kind->plural == NULL || kube_state_is(r->shown, state, failure_of(w)))
		return 0;
	wait = MAX(r->since_ns + SETTLE, r->retry_at_ns) - now;
	if (wait > 0)
		return wait;
	write_state(w);
	return 0;
}

int64_t
kube_report_step(struct kube_workload *w)
{
	int64_t now = clk_now();

	return kube_workload_sooner(take_refusals(w, now), write_state_if_due(w, now));
}

void
kube_report_cancel(struct kube_workload *w)
{
	kube_http_cancel(&w->report.request);
}
