/* kube_deletion_cost - writes pod-deletion-costs before a scale-down.  Pods that are to go (the
 * victims) get the lowest cost as a mark, so that their controller deletes these.  Pods that stay
 * get the number of their requests in flight, so that another client that scales down at the
 * same time takes the idle ones (kube_cost.h says which of them, and how often).
 *
 * This is best effort: servers before 1.22 ignore the cost, and the controller may delete other
 * pods.  Costs that cannot be written delay a scale-down by two seconds at most, and a scale-up
 * not at all.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_DELETION_COST_H
#define AUTOSCALER_KUBERNETES_KUBE_DELETION_COST_H

#include "common/base.h"

struct kube_workload;

/* Before n replicas are set: write costs.  Returns how long to wait for them, ns; 0: set n now. */
int64_t kube_deletion_cost_wait(struct kube_workload *, uint32_t n, int64_t now);

/* The replicas have been set, or are not to be set any more: cancel the costs of pods that stay
 * that are not written yet. */
void kube_deletion_cost_stop(struct kube_workload *);

/* Take the mark off pods that are no victims any more. */
void kube_deletion_cost_settle(struct kube_workload *);

#endif
