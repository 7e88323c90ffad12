/* kube_object - a Deployment or a Service as the API server tells it, into what
 * kube_found wants to know of it.  Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_OBJECT_H
#define AUTOSCALER_KUBERNETES_KUBE_OBJECT_H

#include "autoscaler/kubernetes/kube_found.h"

struct kube_event;

/* o is the caller's, for kube_found_put() or kube_object_fini(). */
void kube_object_decode(const struct kube_event *, enum kube_object_kind, struct kube_object *o);

#endif
