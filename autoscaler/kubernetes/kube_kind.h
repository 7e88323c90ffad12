/* kube_kind - the kinds of workloads, and their names in paths of the API.  Those of the group
 * apps are built in.  For any other kind the server's discovery document is read, with a
 * back-off until it lists the kind with a scale subresource.
 * Kinds are few, and are kept until the driver closes.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_KIND_H
#define AUTOSCALER_KUBERNETES_KUBE_KIND_H

#include "common/base.h"

struct kube_http;
struct loop;

struct kube_kind {
	char *group, *version, *name; /* "apps", "v1", "Deployment" */
	char *path;		      /* "/apis/apps/v1" */
	char *plural;		      /* "deployments"; NULL: not known yet */
	bool is_built_in;	      /* the object itself has spec.replicas and spec.selector */
	bool has_ordinals;	      /* StatefulSet: the pod with the highest ordinal goes first */
	char *error; /* why it cannot be scaled; NULL: it can, or is not known yet */
};

struct kube_kinds; /* opaque */

/* The plural or the error of a kind has changed.  Never called from within kube_kinds_get(). */
typedef void kube_kind_fn(const struct kube_kind *, void *arg);

/* http is borrowed. */
NODISCARD struct kube_kinds *kube_kinds_new(struct loop *, struct kube_http *,
					    kube_kind_fn *on_change, void *arg);
void kube_kinds_free(struct kube_kinds **);

/* Borrowed until kube_kinds_free(). */
const struct kube_kind *kube_kinds_get(struct kube_kinds *, const char *group, const char *version,
				       const char *name);

#endif
