/* kn_foreign - the objects that are in the way of ours, and that no watch shows
 * (kn_object.is_foreign). Each 30 s those are read again that something still waits for, and the
 * others are forgotten. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_FOREIGN_H
#define AUTOSCALER_KNATIVE_KN_FOREIGN_H

#include "autoscaler/knative/kn.h"

struct kn_foreign; /* opaque */
struct kube_http;
struct loop;

struct kn_foreign_ops {
	/* Does something wait for this object to change or to go? */
	bool (*is_tracked)(const struct kn_object *, void *arg);
	/* One is like that now; it is to be put into the cache. */
	void (*on_read)(enum kn_kind, const struct json_t *object, void *arg);
};

/* All are borrowed.  What has gone is removed from the cache. */
NODISCARD struct kn_foreign *kn_foreign_new(struct loop *, struct kube_http *, struct kn_cache *,
					    const struct kn_foreign_ops *, void *arg);
/* Cancels what is being read. */
void kn_foreign_free(struct kn_foreign **);

/* The cache has a foreign object. */
void kn_foreign_follow(struct kn_foreign *);

#endif
