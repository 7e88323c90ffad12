/* kn_route - a Route: it resolves the traffic to Revisions, keeps a placeholder Service for each of
 * the Route's names, which points clients in the cluster to the activators, and says when what it
 * wants is in use.
 *
 * What is to be in use is in status.url and status.traffic: the services for the activators are
 * made of these (kn_output.h), so that they go on while a target is missing, and after a restart.
 * IngressReady is True only when every activator has it in use.
 * Pure: a handler (kn.h). */
#ifndef AUTOSCALER_KNATIVE_KN_ROUTE_H
#define AUTOSCALER_KNATIVE_KN_ROUTE_H

#include "autoscaler/knative/kn.h"

void kn_route_reconcile(const struct kn_context *, const struct kn_object *, struct kn_plan *);

#endif
