/* kube_pods - watches on the pods of all workloads.  The selectors of the workloads of a namespace
 * are joined into few (kube_selector_cover()), and each of these has one watch.  A pod belongs to
 * the workload that owns it by its ownerReferences or, where these lead to none, to the one
 * whose selector matches.  An owned pod, too, belongs to a workload only if its selector matches.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_PODS_H
#define AUTOSCALER_KUBERNETES_KUBE_PODS_H

#include "common/base.h"

struct kube_pods; /* opaque */
struct kube_watch_shared;
struct kube_workload;
struct kube_workloads;

/* Both are borrowed. */
NODISCARD struct kube_pods *kube_pods_new(struct kube_watch_shared *, struct kube_workloads *);
void kube_pods_free(struct kube_pods **);

/* Begin and end watches, so that the pods of all workloads whose selectors are known are watched.
 */
void kube_pods_watch(struct kube_pods *);

/* Why the pods of a workload cannot be read; NULL: they can. */
const char *kube_pods_error(const struct kube_pods *, const struct kube_workload *);

/* As kube_watch_suspect(), for the watches in the namespace of a workload. */
void kube_pods_suspect(struct kube_pods *, const struct kube_workload *, int64_t since_ns);
/* As kube_watch_reconnect(), for all watches. */
void kube_pods_reconnect(struct kube_pods *, int64_t since_ns);

#endif
