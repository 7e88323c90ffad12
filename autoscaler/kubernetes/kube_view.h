/* kube_view - what the driver shows of a workload: its instances, its replicas, and a failure
 * where something keeps them from starting for too long.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_VIEW_H
#define AUTOSCALER_KUBERNETES_KUBE_VIEW_H

#include "common/base.h"

struct kube_pods;
struct kube_workload;

/* Calls on_view of the driver's ops.  Nanoseconds until it wants to be called again; 0: not
 * for the time's sake. */
int64_t kube_view_show(struct kube_workload *, const struct kube_pods *);

#endif
