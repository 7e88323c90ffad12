/* kn_configuration - a Configuration: each generation of it has a Revision, which is made of its
 * template.  Its status names the newest Revision, and the newest that has been ready.
 * Pure: a handler (kn.h). */
#ifndef AUTOSCALER_KNATIVE_KN_CONFIGURATION_H
#define AUTOSCALER_KNATIVE_KN_CONFIGURATION_H

#include <jansson.h>

#include "autoscaler/knative/kn.h"

void kn_configuration_reconcile(const struct kn_context *, const struct kn_object *,
				struct kn_plan *);

enum kn_name_state {
	KN_NAME_NONE,	 /* the template gives no name */
	KN_NAME_FREE,	 /* there is no Revision of the name */
	KN_NAME_OURS,	 /* it is the Revision of the template */
	KN_NAME_LEAVING, /* it is another Revision, which goes soon (kn_is_leaving()) */
	KN_NAME_TAKEN,	 /* it is another Revision */
};

/* The Revision that a template names; *revision: NULL unless it is ours.  document: the
 * Configuration's. */
enum kn_name_state kn_configuration_find_named(const struct kn_context *, const struct kn_object *,
					       const json_t *document,
					       const struct kn_object **revision);

#endif
