/* kube_cost - which of the pods that stay at a scale-down get another pod-deletion-cost:
 * the number of requests in flight there, so that a hand that is not ours, and takes pods
 * at the same moment or later, takes the idle ones.
 *
 * Kubernetes warns of costs that are written often: each is a write to the API server and
 * news to all who watch the pod.  Hence a pod is written only where it does not show its
 * number already (none is as good as 0), those that are the furthest from it first, and of
 * one revision no more than a budget allows: KUBE_COST_BURST at once, and over time one for
 * each KUBE_COST_INTERVAL.  KUBE_COST_BURST covers a revision of usual size whole; of a larger
 * one its busiest pods: whoever leaves that many takes none of these.
 * A cost that somebody else has set is theirs: we know ours by a second annotation, which
 * bears the same number.
 * Pure: the time (monotonic ns) is an argument. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_COST_H
#define AUTOSCALER_KUBERNETES_KUBE_COST_H

#include "common/base.h"

#define KUBE_COST_BURST 32
#define KUBE_COST_INTERVAL INT64_C(250000000)

struct kube_cost_candidate {
	void *pod;		/* the caller's */
	uint32_t shown, wanted; /* costs */
};

/* Of the annotations that a pod shows (NULL: none): whether its cost is ours to set, and
 * what it is. */
bool kube_cost_is_ours(const char *cost, const char *ours, uint32_t *shown);

/* Put first those that are to be written, at most `most`; returns how many that are. */
size_t kube_cost_pick(struct kube_cost_candidate *, size_t n, size_t most);

/* What one revision may write.  {0} is a budget that nothing was taken from. */
struct kube_cost_budget {
	int64_t free_ns; /* when it will be whole again */
};
size_t kube_cost_budget_left(const struct kube_cost_budget *, int64_t now_ns);
void kube_cost_budget_spend(struct kube_cost_budget *, size_t n, int64_t now_ns);

#endif
