/* kn_buried - the objects that have gone, so that an answer that comes late does not bring one of
 * them back.  Those of the last minutes are kept.
 * Pure, but for the clock.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_BURIED_H
#define AUTOSCALER_KNATIVE_KN_BURIED_H

#include "autoscaler/knative/kn.h"
#include "common/hmap.h"

struct kn_buried {
	struct hmap now, before; /* uid to the last resourceVersion */
	int64_t since_ns;	 /* of `now` */
};

void kn_buried_init(struct kn_buried *);
void kn_buried_fini(struct kn_buried *);

/* The object has gone: by the watch, or by an answer of the server. */
void kn_buried_add(struct kn_buried *, const struct kn_object *);

/* Is the object, as it was in this version, one that has gone since?  One of a later version is
 * there: its label, by which it is watched, was taken off. */
bool kn_buried_has(const struct kn_buried *, const char *uid, const char *rv);

#endif
