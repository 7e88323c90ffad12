/* kube_problem - what keeps a workload from having pods, or a pod from running, as its status
 * says: a reason of one word and a message, as in a condition.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_PROBLEM_H
#define AUTOSCALER_KUBERNETES_KUBE_PROBLEM_H

#include "common/base.h"

struct kube_pod_fields;
struct kube_workload_fields;

/* Of the problems of several pods, that of the earliest kind counts. */
enum kube_problem_kind {
	KUBE_PROBLEM_NOW,     /* it may pass soon */
	KUBE_PROBLEM_MISTAKE, /* in what the user wrote: it does not pass by itself */
	KUBE_PROBLEM_PLACE,   /* no node has room for the pod: one may be coming */
	KUBE_PROBLEM_PAST,    /* a container that ended runs, or is being started, again */
};

struct kube_problem {
	enum kube_problem_kind kind;
	bool is_access;	 /* the driver cannot read or scale the workload */
	char reason[64]; /* "ImagePullBackOff"; "": there is no problem */
	char message[500];
	/* How old it was when it was read, as the object's conditions say; 0: they do not. */
	int64_t age_ns;
};

/* A problem of the kind KUBE_PROBLEM_NOW.  Both texts are cut to fit. */
void kube_problem_set(struct kube_problem *, const char *reason, const char *message);

/* false: there is none, the pod runs or is being started. */
bool kube_problem_of_pod(const struct kube_pod_fields *, const char *name, struct kube_problem *);
/* What its controller says: quota, admission.  false: nothing. */
bool kube_problem_of_workload(const struct kube_workload_fields *, struct kube_problem *);

#endif
