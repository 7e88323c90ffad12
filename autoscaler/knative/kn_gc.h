/* kn_gc - deletes Revisions that no Route has named for long (ConfigMap config-gc).
 * Pure. */
#ifndef AUTOSCALER_KNATIVE_KN_GC_H
#define AUTOSCALER_KNATIVE_KN_GC_H

#include <jansson.h>

#include "autoscaler/knative/kn.h"

/* Plan the deletion of Revisions of a Configuration (its document too): of those in reserve, the
 * ones that are stale, and of the rest the ones above the most that are to be kept; the longest
 * inactive first.  The latest Revision, the latest ready one, and one with the annotation no-gc
 * always stay. */
void kn_gc_collect(const struct kn_context *, const struct kn_object *configuration,
		   const json_t *document, struct kn_plan *);

#endif
