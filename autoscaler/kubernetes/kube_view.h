/* kube_view - the driver_view of a workload: its instances, its replicas and, where a problem has
 * kept instances from starting for too long, a failure.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_VIEW_H
#define AUTOSCALER_KUBERNETES_KUBE_VIEW_H

#include "common/base.h"

struct kube_pods;
struct kube_workload;

/* Pass the view to on_view of the driver's ops.  Returns after how many ns to call it again; 0:
 * once the workload has changed. */
int64_t kube_view_show(struct kube_workload *, const struct kube_pods *);

#endif
