/* kube_scale - requests to the scale subresource of a workload.  PATCH sets its replicas, once
 * kube_deletion_cost.c has said which pods go first; GET reads them and the selector where the
 * object itself does not show these.  kube_replicas.c says when a PATCH is due and what its
 * answer means.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_SCALE_H
#define AUTOSCALER_KUBERNETES_KUBE_SCALE_H

#include "common/base.h"

struct kube_workload;

/* Send what is due.  Nanoseconds until it wants to be called again; 0: not for the time's
 * sake. */
int64_t kube_scale_step(struct kube_workload *);

/* Cancel what is under way. */
void kube_scale_cancel(struct kube_workload *);

#endif
