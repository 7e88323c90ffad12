#include "autoscaler/kubernetes/kube_failure.h"

#include <stdio.h>
#include <string.h>

#define BACKOFF_FIRST (INT64_C(1) * 1000000000)
#define BACKOFF_MOST (INT64_C(60) * 1000000000)

static void
set(struct kube_trouble *t, const char *reason, const char *fmt_message)
{
	snprintf(t->reason, sizeof t->reason, "%s", reason);
	snprintf(t->message, sizeof t->message, "%s", fmt_message);
}

/* A container that ended, and is being, or will be, started again. */
static bool
is_crashing(const struct kube_pod_fields *p)
{
	return p->ended_reason != NULL && !p->is_ready;
}

static void
say_crash(const struct kube_pod_fields *p, const char *name, struct kube_trouble *t)
{
	char text[sizeof t->message];

	snprintf(text, sizeof text,
		 "container %s of pod %s ended with status %lld (%s), %u restarts",
		 p->ended_container, name, (long long)p->ended_code,
		 p->ended_reason[0] == '\0' ? "no reason given" : p->ended_reason, p->restarts);
	set(t, "CrashLoopBackOff", text);
}

bool
kube_failure_of_pod(const struct kube_pod_fields *p, const char *name, struct kube_trouble *t)
{
	char text[sizeof t->message];

	if (p->is_deleting || p->is_over)
		return false;
	if (p->waiting_reason != NULL && strcmp(p->waiting_reason, "CrashLoopBackOff") != 0) {
		snprintf(text, sizeof text, "pod %s: %s%s%s", name, p->waiting_reason,
			 p->waiting_message[0] == '\0' ? "" : ": ", p->waiting_message);
		set(t, p->waiting_reason, text);
		return true;
	}
	if (is_crashing(p)) {
		say_crash(p, name, t);
		return true;
	}
	if (p->waiting_reason != NULL) {
		snprintf(text, sizeof text, "pod %s: %s", name, p->waiting_message);
		set(t, p->waiting_reason, text);
		return true;
	}
	if (p->unscheduled_message == NULL)
		return false;
	snprintf(text, sizeof text, "pod %s cannot be placed: %s", name, p->unscheduled_message);
	set(t, "Unschedulable", text);
	return true;
}

bool
kube_failure_of_workload(const struct kube_workload_fields *w, struct kube_trouble *t)
{
	if (w->failure_reason == NULL)
		return false;
	set(t, w->failure_reason[0] == '\0' ? "ReplicaFailure" : w->failure_reason,
	    w->failure_message);
	return true;
}

void
kube_failure_init(struct kube_failure *f)
{
	*f = (struct kube_failure){.since_ns = 0};
	backoff_init(&f->backoff, BACKOFF_FIRST, BACKOFF_MOST);
}

bool
kube_failure_is_failed(const struct kube_failure *f)
{
	return f->until_ns != 0;
}

static bool
forgive(struct kube_failure *f)
{
	bool was_failed = f->until_ns != 0;

	f->since_ns = f->until_ns = 0;
	backoff_reset(&f->backoff);
	return was_failed;
}

bool
kube_failure_update(struct kube_failure *f, const struct kube_trouble *trouble, bool is_answering,
		    int64_t patience, int64_t now_ns, uint32_t random)
{
	if (is_answering)
		return forgive(f);
	if (trouble == NULL)
		f->since_ns = 0;
	else if (f->since_ns == 0)
		f->since_ns = now_ns;
	if (f->until_ns > now_ns)
		return false; /* told already, and it holds */
	if (trouble == NULL) {
		bool was_failed = f->until_ns != 0;

		f->until_ns = 0; /* the next request tries again; the back-off stays long */
		return was_failed;
	}
	if (f->until_ns == 0 && now_ns - f->since_ns < patience)
		return false;
	f->what = *trouble;
	f->until_ns = now_ns + backoff_next(&f->backoff, random);
	return true;
}

int64_t
kube_failure_due(const struct kube_failure *f, int64_t patience)
{
	if (f->until_ns != 0)
		return f->until_ns;
	return f->since_ns == 0 ? 0 : f->since_ns + patience;
}
