/* kn_service - a Service: it keeps a Configuration and a Route of its own name, and its status is
 * made of theirs.  It never writes into the Service but its status.
 * Pure: a handler (kn.h). */
#ifndef AUTOSCALER_KNATIVE_KN_SERVICE_H
#define AUTOSCALER_KNATIVE_KN_SERVICE_H

#include "autoscaler/knative/kn.h"

void kn_service_reconcile(const struct kn_context *, const struct kn_object *, struct kn_plan *);

#endif
