/* kube_scale - requests to the scale subresource of a workload.  A PATCH sets its replicas; before
 * a scale-down it waits for kube_deletion_cost.c.  A GET reads replicas and selector of kinds that
 * are not built in.  kube_replicas.c says when a PATCH is due, and what its answer means.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_SCALE_H
#define AUTOSCALER_KUBERNETES_KUBE_SCALE_H

#include "common/base.h"

struct kube_workload;

/* Send the requests that are due.  Returns after how many ns to call it again; 0: once the
 * workload has changed. */
int64_t kube_scale_step(struct kube_workload *);

/* Cancel its requests. */
void kube_scale_cancel(struct kube_workload *);

#endif
