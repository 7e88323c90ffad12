/* kube_failure - when a problem becomes a failure, in which requests of the revision are refused
 * instead of being held.
 *
 * A problem that lasts for `patience` is a failure, for the time of one back-off.  If there is
 * still a problem then, the failure goes on for a longer back-off; else it ends, and if the
 * problem comes again the back-off goes on from there.  An instance that answers ends a failure
 * at once, and its back-off begins anew.
 * Pure: the time (monotonic ns) and the random number are arguments. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_FAILURE_H
#define AUTOSCALER_KUBERNETES_KUBE_FAILURE_H

#include "autoscaler/kubernetes/kube_problem.h"
#include "common/backoff.h"

struct kube_failure {
	struct backoff backoff;
	int64_t problem_since_ns; /* 0: there is no problem */
	int64_t until_ns;	  /* failed until then at least; 0: not failed */
	struct kube_problem problem;
};

void kube_failure_init(struct kube_failure *);

/* What holds now: the problem (NULL: none), and whether an instance answers.  True: the
 * failure has begun, ended, or been prolonged. */
bool kube_failure_update(struct kube_failure *, const struct kube_problem *, bool is_answering,
			 int64_t patience, int64_t now_ns, uint32_t random);
bool kube_failure_is_failed(const struct kube_failure *);

/* The problem that kube_failure_update() is told of next has been there for age_ns already. */
void kube_failure_has_lasted(struct kube_failure *, int64_t age_ns, int64_t now_ns);

/* When kube_failure_update() is to be called again although nothing happens; 0: never. */
int64_t kube_failure_due(const struct kube_failure *, int64_t patience);

#endif
