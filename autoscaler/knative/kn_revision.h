/* kn_revision - a Revision: it keeps a Deployment, and its status says whether that has had as
 * many ready pods as the Revision is to start with, and if not, why.
 *
 * What was reached once stays reached: a Revision that was scaled to zero is Ready.
 * Pure: a handler (kn.h). */
#ifndef AUTOSCALER_KNATIVE_KN_REVISION_H
#define AUTOSCALER_KNATIVE_KN_REVISION_H

#include <jansson.h>

#include "autoscaler/knative/kn.h"

void kn_revision_reconcile(const struct kn_context *, const struct kn_object *, struct kn_plan *);

/* Have as many instances as it starts with been ready, once?  (Of a Revision's document.) */
bool kn_revision_is_initialized(const json_t *revision);
/* Have they not been within the progress deadline?  Then nothing is to be started for it until a
 * request comes. */
bool kn_revision_is_timed_out(const json_t *revision);

/* The number of instances that it starts with, by its annotation or the config. */
int64_t kn_revision_initial_scale(const struct kn_config *, const json_t *revision);

#endif
