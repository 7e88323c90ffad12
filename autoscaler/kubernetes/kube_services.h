/* kube_services - the services that annotations make: which namespaces are looked at, what
 * their Deployments and Services say, and an Event on the object that is refused.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_SERVICES_H
#define AUTOSCALER_KUBERNETES_KUBE_SERVICES_H

#include "common/settings.h"

struct kube_driver;
struct kube_services; /* opaque */

/* By the keys namespaces and namespace_selector; the driver is borrowed, and its
 * on_services told when something has changed. */
NODISCARD struct kube_services *kube_services_new(struct kube_driver *);
void kube_services_free(struct kube_services **);

/* Within kube_collections_begin() and _end(): the collections whose Deployments are looked at. */
void kube_services_need(struct kube_services *);

/* driver_class.services */
const struct service_conf *kube_services_get(struct kube_services *, const struct settings *,
					     size_t *n);

/* As kube_watch_check(), for all watches that are its own. */
void kube_services_check(struct kube_services *, int64_t since_ns);

#endif
