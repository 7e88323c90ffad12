/* kube_services - services that come from annotations.  It watches the Deployments and Services
 * of the namespaces that the conf file admits (kube_namespaces.h), passes them to kube_annotated.c,
 * which makes services of them, and creates an Event about each object that is refused. Thread: the
 * autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_SERVICES_H
#define AUTOSCALER_KUBERNETES_KUBE_SERVICES_H

#include "common/settings.h"

struct kube_collections;
struct kube_kinds;
struct kube_namespaces;
struct kube_recorder;
struct kube_services; /* opaque */
struct kube_watch_shared;

/* All are borrowed. */
struct kube_services_conf {
	struct kube_watch_shared *shared;
	struct kube_kinds *kinds;
	struct kube_collections *collections;
	struct kube_recorder *recorder;
	struct kube_namespaces *namespaces;
	/* The services are described already: until the namespaces are listed, they have none. */
	bool is_known;
};

/* on_change: the services, or the collections that kube_services_need() names, may have changed.
 * It is called from the loop, never from within a call. */
NODISCARD struct kube_services *kube_services_new(const struct kube_services_conf *,
						  void (*on_change)(void *), void *arg);
void kube_services_free(struct kube_services **);

/* Between kube_collections_begin() and kube_collections_end(): the Deployments of all these
 * namespaces are needed.  A namespace that is new counts once it is listed; the others go on. */
void kube_services_need(struct kube_services *);

/* driver_class.services */
const struct service_conf *kube_services_get(struct kube_services *, const struct settings *,
					     size_t *n);

/* As kube_watch_reconnect(), for its own watches. */
void kube_services_reconnect(struct kube_services *, int64_t since_ns);

#endif
