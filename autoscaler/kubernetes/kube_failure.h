/* kube_failure - when the instances of a revision cannot be started, and what is said of
 * it: trouble that lasts for `patience` becomes a failure, which is told for a back-off
 * and longer as long as the trouble lasts, and is forgiven when an instance answers.
 *
 *	fine --trouble for patience--> failed(until) --trouble still there--> failed(longer)
 *	  ^------ until is over, and no trouble ------┘
 *
 * Pure: the time (monotonic ns) and the random number are arguments. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_FAILURE_H
#define AUTOSCALER_KUBERNETES_KUBE_FAILURE_H

#include "autoscaler/kubernetes/kube_json.h"
#include "common/backoff.h"

struct kube_trouble {
	char reason[64]; /* one word: ImagePullBackOff; "": none */
	char message[500];
};

/* What a pod is in trouble with.  false: with nothing; it runs, or is on its way. */
bool kube_failure_of_pod(const struct kube_pod_fields *, const char *name, struct kube_trouble *);
/* What keeps a workload from having pods: quota, admission. */
bool kube_failure_of_workload(const struct kube_workload_fields *, struct kube_trouble *);

struct kube_failure {
	struct backoff backoff;
	int64_t since_ns; /* of the trouble; 0: there is none */
	int64_t until_ns; /* failed until then at least; 0: not failed */
	struct kube_trouble what;
};

void kube_failure_init(struct kube_failure *);
/* What there is now: trouble (NULL: none), and whether an instance answers.  True: what is
 * to be told has changed. */
bool kube_failure_update(struct kube_failure *, const struct kube_trouble *, bool is_answering,
			 int64_t patience, int64_t now_ns, uint32_t random);
bool kube_failure_is_failed(const struct kube_failure *);
/* When to look again though nothing has happened; 0: never. */
int64_t kube_failure_due(const struct kube_failure *, int64_t patience);

#endif
