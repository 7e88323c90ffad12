/* kube_found - the services that the driver finds by itself: first those of annotations, then those
 * of Knative's objects, whichever came first.  What two of them claim, or the conf file and one of
 * them, the first has. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_FOUND_H
#define AUTOSCALER_KUBERNETES_KUBE_FOUND_H

#include "common/base.h"

struct kn_controllers;
struct kube_services;
struct service_conf;
struct settings;

struct kube_found {
	struct service_conf *array, *before; /* what was returned last, and before that */
	uint64_t serial;		     /* of what was returned last */
};

/* driver_class.services.  services, knative: NULL where they are not read. */
const struct service_conf *kube_found_get(struct kube_found *, struct kube_services *,
					  struct kn_controllers *, const struct settings *,
					  size_t *n);
void kube_found_fini(struct kube_found *);

#endif
