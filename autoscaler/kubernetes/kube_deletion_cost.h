/* kube_deletion_cost - writes pod-deletion-costs before there are to be fewer pods.  Those that
 * shall go get the lowest, so that their controller takes them.  Those that stay get their
 * requests in flight, so that another client that scales down meanwhile takes the idle ones
 * (kube_cost.h says which of these, and how often).
 *
 * Best effort by nature: servers before 1.22 do not look at the cost, and whichever pod goes
 * instead shows a deletionTimestamp.  A cost that cannot be written holds up a scale-down for
 * no longer than the times below, and a scale-up not at all.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_DELETION_COST_H
#define AUTOSCALER_KUBERNETES_KUBE_DELETION_COST_H

#include "common/base.h"

struct kube_workload;

/* Before n replicas are set: write costs, and say how long to wait for them, ns; 0: set n
 * now. */
int64_t kube_deletion_cost_wait(struct kube_workload *, uint32_t n, int64_t now);

/* n has been set, or is not to be any more: wait for nothing, and cancel what is not written
 * yet of pods that stay. */
void kube_deletion_cost_stop(struct kube_workload *);

/* Take the mark off pods that were to go and have stayed. */
void kube_deletion_cost_settle(struct kube_workload *);

#endif
