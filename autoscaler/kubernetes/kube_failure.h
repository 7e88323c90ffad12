/* kube_failure - when a problem becomes a failure, in which requests of the revision are refused
 * instead of being held.
 *
 * A problem that lasts for `patience` is a failure, for the time of one back-off.  If there is
 * still a problem then, the failure goes on for a longer back-off; otherwise it ends.
 *
 * A container that ended and runs again (KUBE_PROBLEM_PAST) is starting: that begins no failure,
 * and prolongs none.  But it does not prove that the trouble is over, and neither does an
 * instance that answers: it may listen and then crash.  So the time of the trouble counts on from
 * where it began, and so does the back-off: if the container ends again, that is a failure at
 * once.  Only an instance that has answered for KUBE_FAILURE_STEADY ends the trouble.
 *
 * A pod that cannot be placed (KUBE_PROBLEM_PLACE) is shown at once, and requests stay held.
 * Pure: the time (monotonic ns) and the random number are arguments. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_FAILURE_H
#define AUTOSCALER_KUBERNETES_KUBE_FAILURE_H

#include "autoscaler/kubernetes/kube_problem.h"
#include "common/backoff.h"

#define KUBE_FAILURE_NEVER INT64_MAX /* a patience: the problem is no failure, however long */
#define KUBE_FAILURE_STEADY (INT64_C(60) * 1000000000)

struct kube_failure {
	struct backoff backoff;
	int64_t trouble_since_ns; /* 0: there is no trouble */
	int64_t serving_since_ns; /* an instance answers; 0: none does */
	int64_t due_ns;		  /* the problem is a failure then; 0: no time is known */
	int64_t until_ns;	  /* failed until then at least; 0: not failed */
	bool is_waiting;	  /* not failed, but `problem` is to be shown */
	struct kube_problem problem;
};

void kube_failure_init(struct kube_failure *);

/* The current state: the problem (NULL: none), its patience, and whether an instance answers.
 * True: the failure has begun, ended, or been prolonged. */
bool kube_failure_update(struct kube_failure *, const struct kube_problem *, bool is_serving,
			 int64_t patience, int64_t now_ns, uint32_t random);
bool kube_failure_is_failed(const struct kube_failure *);
/* It has failed, or waits for a node: `problem` says why. */
bool kube_failure_is_shown(const struct kube_failure *);

/* The problem of the next kube_failure_update() has lasted for age_ns already. */
void kube_failure_has_lasted(struct kube_failure *, int64_t age_ns, int64_t now_ns);

/* When to call kube_failure_update() again although nothing happens; 0: never. */
int64_t kube_failure_due(const struct kube_failure *);

#endif
