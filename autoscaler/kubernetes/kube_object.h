/* kube_object - what the driver reads of a Deployment or a Service to make a service of it:
 * its annotations, and the labels by which a Service finds its Deployment.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_OBJECT_H
#define AUTOSCALER_KUBERNETES_KUBE_OBJECT_H

#include "autoscaler/kube/kube_annotations.h"

struct kube_event;

struct kube_label {
	char *key, *value;
};

enum kube_object_kind { KUBE_DEPLOYMENT, KUBE_SERVICE };

struct kube_object {
	enum kube_object_kind kind;
	char *ns, *name, *uid;
	char *created;			     /* creationTimestamp (RFC 3339, UTC): sorts as text */
	struct kube_annotation *annotations; /* those with our prefix */
	size_t annotations_n;
	struct kube_label *labels; /* a Deployment's pod template's; a Service's selector */
	size_t labels_n;
	char *author; /* the field manager that has set these annotations last; NULL: unknown */
	char *port;   /* a Service's targetPort, a number or a name; NULL: it names none */
};

/* o is the caller's, for kube_object_fini(). */
void kube_object_decode(const struct kube_event *, enum kube_object_kind, struct kube_object *o);
void kube_object_fini(struct kube_object *);

/* "Deployment", "Service". */
const char *kube_object_kind_name(enum kube_object_kind);

/* Whether the two say the same, in the same order, whatever their names and authors. */
bool kube_object_equal(const struct kube_object *, const struct kube_object *);

/* Whether the selector of a Service selects the pods of a Deployment. */
bool kube_object_selects(const struct kube_object *service, const struct kube_object *deployment);

#endif
