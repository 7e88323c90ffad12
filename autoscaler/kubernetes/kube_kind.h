/* kube_kind - the kinds of workloads, and how the API's paths name them.  The kinds of group
 * apps are built in.  Of any other the server's discovery document is read, and read again
 * with a back-off until it has the kind with a scale subresource.
 * Kinds are few, and stay until the driver closes.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_KIND_H
#define AUTOSCALER_KUBERNETES_KUBE_KIND_H

#include "common/base.h"

struct kube_http;
struct loop;

struct kube_kind {
	char *group, *version, *name; /* "apps", "v1", "Deployment" */
	char *path;		      /* "/apis/apps/v1" */
	char *plural;		      /* "deployments"; NULL: not known yet */
	bool is_built_in;	      /* the object itself shows its replicas and its selector */
	bool has_ordinals;	      /* StatefulSet: pods go from the highest ordinal down */
	char *error;		      /* why it cannot be scaled; NULL: it can, or not known yet */
};

struct kube_kinds; /* opaque */

/* Called when the plural or the error of a kind has changed.  Never from within a call. */
typedef void kube_kind_fn(const struct kube_kind *, void *arg);

/* http is borrowed. */
NODISCARD struct kube_kinds *kube_kinds_new(struct loop *, struct kube_http *,
					    kube_kind_fn *on_change, void *arg);
void kube_kinds_free(struct kube_kinds **);

/* Borrowed until kube_kinds_free(). */
const struct kube_kind *kube_kinds_get(struct kube_kinds *, const char *group, const char *version,
				       const char *name);

#endif
