/* kube_found - the services that annotated objects make: which hold, which are refused, and
 * why.
 *
 * Objects are looked at in the order of their creation, behind the conf file: of two that
 * claim one place, or one Deployment, the first holds.  One whose annotations are changed
 * to something that cannot hold keeps what it had.  The outcome hangs on the objects
 * alone, not on the order in which they were told of (but for what was kept).
 * No I/O.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_FOUND_H
#define AUTOSCALER_KUBERNETES_KUBE_FOUND_H

#include "autoscaler/kubernetes/kube_annotations.h"

struct kube_label {
	char *key, *value;
};

enum kube_object_kind { KUBE_DEPLOYMENT, KUBE_SERVICE };

/* What matters of a Deployment or a Service. */
struct kube_object {
	enum kube_object_kind kind;
	char *ns, *name, *uid;
	char *created; /* RFC 3339, in UTC: sorts as text */
	struct kube_annotation *annotations;
	size_t annotations_n;
	struct kube_label *labels; /* Deployment: of its pods.  Service: its selector */
	size_t labels_n;
	char *port; /* Service: where pods are to be reached, as far as it says; else NULL */
};
void kube_object_fini(struct kube_object *);
const char *kube_object_kind_name(enum kube_object_kind);

struct kube_found; /* opaque */

NODISCARD struct kube_found *kube_found_new(void);
void kube_found_free(struct kube_found **);

/* It is there, and like that; what it holds is taken over.  True: the services may have
 * changed by it. */
bool kube_found_put(struct kube_found *, struct kube_object *);
/* As above: it is gone. */
bool kube_found_remove(struct kube_found *, enum kube_object_kind, const char *ns,
		       const char *name);

/* Objects of a kind in a namespace are told of anew, as a whole: those that were not put
 * between begin and end are removed at the end. */
void kube_found_begin(struct kube_found *, enum kube_object_kind, const char *ns);
bool kube_found_end(struct kube_found *, enum kube_object_kind, const char *ns);

/* What holds with these settings (whose services come first): *n services, in the order
 * of creation.  Borrowed until the call after the next. */
const struct service_conf *kube_found_services(struct kube_found *, const struct settings *,
					       size_t *n);

struct kube_refusal {
	const struct kube_object *object;
	const char *why;
};
/* The next one that has not been told, in no order; false: there is none.  It counts as
 * told from then on, until the reason is another one.  Borrowed until the next call of
 * anything. */
bool kube_found_refusal(struct kube_found *, struct kube_refusal *);

#endif
