/* kube_annotated - the Deployments and Services of the namespaces that are watched, and the
 * services that their annotations ask for: which hold, which are refused, and why.
 *
 * Services of the conf file come first, then objects in the order of their creation: of two
 * that claim the same host and path, or the same Deployment, the older one holds.  An object
 * whose annotations are changed to something that cannot hold keeps the service that it had.
 * Apart from that the result depends on the objects alone, not on the order in which events
 * about them came.
 *
 * Deployments of a namespace that name the same service (activator.dev/service) make it together, a
 * revision each.  The keys of the service are those of its leader, the oldest of them that names a
 * host.  A split takes effect once the percents sum to 100: until then the one before stays, as two
 * objects cannot be changed at once.  Where there is none before, or one of the Deployments has
 * gone, they share in proportion to their percents. No I/O.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_ANNOTATED_H
#define AUTOSCALER_KUBERNETES_KUBE_ANNOTATED_H

#include "autoscaler/kubernetes/kube_object.h"
#include "common/settings.h"

struct kube_annotated; /* opaque */

NODISCARD struct kube_annotated *kube_annotated_new(void);
void kube_annotated_free(struct kube_annotated **);

/* The object exists, and says this; takes what *o owns.  True: the services may have changed. */
bool kube_annotated_put(struct kube_annotated *, struct kube_object *o);
/* It exists no more; returns the same. */
bool kube_annotated_remove(struct kube_annotated *, enum kube_object_kind, const char *ns,
			   const char *name);

/* A list of all objects of a kind in a namespace begins, and ends: those that were not put in
 * between are removed at its end.  Returns the same. */
void kube_annotated_list_begin(struct kube_annotated *, enum kube_object_kind, const char *ns);
bool kube_annotated_list_end(struct kube_annotated *, enum kube_object_kind, const char *ns);

/* The *n services that hold beside those of the settings, in the order of creation.  Borrowed
 * until the second call after this one. */
const struct service_conf *kube_annotated_services(struct kube_annotated *, const struct settings *,
						   size_t *n);

struct kube_refusal {
	const struct kube_object *object;
	const char *why;
};
/* A refusal that was not returned before, in no order; false: there is none.  Of one object the
 * next is returned when its reason has changed.  Borrowed until the next call of anything. */
bool kube_annotated_next_refusal(struct kube_annotated *, struct kube_refusal *);

#endif
