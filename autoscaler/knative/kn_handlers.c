#include "autoscaler/knative/kn_handlers.h"

#include "autoscaler/knative/kn_configuration.h"
#include "autoscaler/knative/kn_domain_mapping.h"
#include "autoscaler/knative/kn_revision.h"
#include "autoscaler/knative/kn_route.h"
#include "autoscaler/knative/kn_service.h"

const struct kn_handlers kn_handlers = {.v = {[KN_SERVICE] = kn_service_reconcile,
					      [KN_CONFIGURATION] = kn_configuration_reconcile,
					      [KN_REVISION] = kn_revision_reconcile,
					      [KN_ROUTE] = kn_route_reconcile,
					      [KN_DOMAIN_MAPPING] = kn_domain_mapping_reconcile}};
