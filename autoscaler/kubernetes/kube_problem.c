#include "autoscaler/kubernetes/kube_problem.h"

#include <stdio.h>
#include <string.h>

#include "autoscaler/kubernetes/kube_pod_json.h"
#include "autoscaler/kubernetes/kube_workload_json.h"

void
kube_problem_set(struct kube_problem *p, const char *reason, const char *message)
{
	p->kind = KUBE_PROBLEM_NOW;
	snprintf(p->reason, sizeof p->reason, "%s", reason);
	snprintf(p->message, sizeof p->message, "%s", message);
}

static void
set_ended(const struct kube_pod_fields *f, const char *name, struct kube_problem *p)
{
	char text[sizeof p->message];

	snprintf(text, sizeof text,
		 "container %s of pod %s ended with status %lld (%s), %u restarts",
		 f->trouble_container, name, (long long)f->ended_code,
		 f->ended_reason[0] == '\0' ? "no reason given" : f->ended_reason, f->restarts);
	kube_problem_set(p, "CrashLoopBackOff", text);
}

static void
set_waiting(const struct kube_pod_fields *f, const char *name, struct kube_problem *p)
{
	char text[sizeof p->message];

	snprintf(text, sizeof text, "pod %s: %s%s%s", name, f->waiting_reason,
		 f->waiting_message[0] == '\0' ? "" : ": ", f->waiting_message);
	kube_problem_set(p, f->waiting_reason, text);
}

static void
set_unscheduled(const struct kube_pod_fields *f, const char *name, struct kube_problem *p)
{
	char text[sizeof p->message];

	snprintf(text, sizeof text, "pod %s cannot be placed: %s", name, f->unscheduled_message);
	kube_problem_set(p, "Unschedulable", text);
	p->kind = KUBE_PROBLEM_PLACE;
}

bool
kube_problem_of_pod(const struct kube_pod_fields *f, const char *name, struct kube_problem *p)
{
	bool is_back_off = f->waiting_reason != NULL &&
			   strcmp(f->waiting_reason, "CrashLoopBackOff") == 0;

	if (f->is_deleting || f->is_over || f->is_ready)
		return false;
	if (f->trouble_container == NULL && f->unscheduled_message == NULL)
		return false;
	if (f->trouble_container == NULL)
		set_unscheduled(f, name, p);
	else if (f->ended_reason != NULL && (is_back_off || f->waiting_reason == NULL))
		set_ended(f, name, p);
	else
		set_waiting(f, name, p);
	if (f->is_trouble_past)
		p->kind = KUBE_PROBLEM_PAST;
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
