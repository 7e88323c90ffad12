#include "autoscaler/kubernetes/kube_problem.h"

#include <stdio.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_json.h"

void
kube_problem_set(struct kube_problem *p, const char *reason, const char *message)
{
	snprintf(p->reason, sizeof p->reason, "%s", reason);
	snprintf(p->message, sizeof p->message, "%s", message);
}

/* A container that has ended, and is being, or will be, started again. */
static bool
is_crashing(const struct kube_pod_fields *f)
{
	return f->ended_reason != NULL && !f->is_ready;
}

static void
set_crash(const struct kube_pod_fields *f, const char *name, struct kube_problem *p)
{
	char text[sizeof p->message];

	snprintf(text, sizeof text,
		 "container %s of pod %s ended with status %lld (%s), %u restarts",
		 f->ended_container, name, (long long)f->ended_code,
		 f->ended_reason[0] == '\0' ? "no reason given" : f->ended_reason, f->restarts);
	kube_problem_set(p, "CrashLoopBackOff", text);
}

bool
kube_problem_of_pod(const struct kube_pod_fields *f, const char *name, struct kube_problem *p)
{
	char text[sizeof p->message];

	if (f->is_deleting || f->is_over)
		return false;
	if (f->waiting_reason != NULL && strcmp(f->waiting_reason, "CrashLoopBackOff") != 0) {
		snprintf(text, sizeof text, "pod %s: %s%s%s", name, f->waiting_reason,
			 f->waiting_message[0] == '\0' ? "" : ": ", f->waiting_message);
		kube_problem_set(p, f->waiting_reason, text);
		return true;
	}
	if (is_crashing(f)) {
		set_crash(f, name, p);
		return true;
	}
	if (f->waiting_reason != NULL) {
		snprintf(text, sizeof text, "pod %s: %s", name, f->waiting_message);
		kube_problem_set(p, f->waiting_reason, text);
		return true;
	}
	if (f->unscheduled_message == NULL)
		return false;
	snprintf(text, sizeof text, "pod %s cannot be placed: %s", name, f->unscheduled_message);
	kube_problem_set(p, "Unschedulable", text);
	return true;
}

bool
kube_problem_of_workload(const struct kube_workload_fields *f, struct kube_problem *p)
{
	if (f->failure_reason == NULL)
		return false;
	kube_problem_set(p, f->failure_reason[0] == '\0' ? "ReplicaFailure" : f->failure_reason,
			 f->failure_message);
	return true;
}
