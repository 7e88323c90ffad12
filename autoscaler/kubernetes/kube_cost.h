/* kube_cost - which pods that stay at a scale-down get a new pod-deletion-cost: the number of
 * their requests in flight, so that another client that scales down at the same moment, or
 * later, takes the idle ones.
 *
 * Kubernetes advises against writing costs often: each write is one to the API server, and an
 * event for each client that watches the pod.  Hence a pod is written only if it does not show its
 * number already (no cost counts as 0), those furthest from their number first, and no more pods of
 * a revision than its budget allows: KUBE_COST_BURST at once, and over time one in each
 * KUBE_COST_INTERVAL.  A burst covers all pods of a revision of usual size; of a larger one it
 * covers the busiest, and while at least that many pods stay none of these is taken.
 * A cost that another client has set stays.  A cost of ours is known by a second annotation, which
 * bears the same number.
 * Pure: the time (monotonic ns) is an argument. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_COST_H
#define AUTOSCALER_KUBERNETES_KUBE_COST_H

#include "common/base.h"

#define KUBE_COST_BURST 32
#define KUBE_COST_INTERVAL INT64_C(250000000) /* ns */

struct kube_cost_candidate {
	void *pod;		/* the caller's */
	uint32_t shown, wanted; /* costs */
};

/* Of the two annotations of a pod (NULL: none): whether its cost may be changed, and what it
 * is. */
bool kube_cost_is_ours(const char *cost, const char *ours, uint32_t *shown);

/* Move those that are to be written to the front; returns how many, at most `most`. */
size_t kube_cost_pick(struct kube_cost_candidate *, size_t n, size_t most);

/* The budget of one revision; {0} is a full one. */
struct kube_cost_budget {
	int64_t full_ns; /* when it will be full again */
};
size_t kube_cost_budget_left(const struct kube_cost_budget *, int64_t now_ns);
void kube_cost_budget_spend(struct kube_cost_budget *, size_t n, int64_t now_ns);

#endif
