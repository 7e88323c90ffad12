/* kube_annotated - the services that annotated objects make: which hold, which are refused, and
 * why.
 *
 * Objects are looked at in the order of their creation, behind the conf file: of two that
 * claim one place, or one Deployment, the first holds.  One whose annotations are changed
 * to something that cannot hold keeps what it had.  The outcome hangs on the objects
 * alone, not on the order in which they were told of (but for what was kept).
 * No I/O.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_ANNOTATED_H
#define AUTOSCALER_KUBERNETES_KUBE_ANNOTATED_H

#include "autoscaler/kubernetes/kube_object.h"
#include "common/settings.h"

struct kube_annotated; /* opaque */

NODISCARD struct kube_annotated *kube_annotated_new(void);
void kube_annotated_free(struct kube_annotated **);

/* It is there, and like that; what it holds is taken over.  True: the services may have
 * changed by it. */
bool kube_annotated_put(struct kube_annotated *, struct kube_object *);
/* As above: it is gone. */
bool kube_annotated_remove(struct kube_annotated *, enum kube_object_kind, const char *ns,
			   const char *name);

/* Objects of a kind in a namespace are told of anew, as a whole: those that were not put
 * between begin and end are removed at the end. */
void kube_annotated_list_begin(struct kube_annotated *, enum kube_object_kind, const char *ns);
bool kube_annotated_list_end(struct kube_annotated *, enum kube_object_kind, const char *ns);

/* What holds with these settings (whose services come first): *n services, in the order
 * of creation.  Borrowed until the call after the next. */
const struct service_conf *kube_annotated_services(struct kube_annotated *, const struct settings *,
						   size_t *n);

struct kube_refusal {
	const struct kube_object *object;
	const char *why;
};
/* The next one that has not been told, in no order; false: there is none.  It counts as
 * told from then on, until the reason is another one.  Borrowed until the next call of
 * anything. */
bool kube_annotated_next_refusal(struct kube_annotated *, struct kube_refusal *);

#endif
