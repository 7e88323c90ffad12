#include "autoscaler/knative/kn.h"

#define SERVING "serving.knative.dev"

static const struct kn_kind_names names[KN_KINDS_N] = {
	[KN_SERVICE] = {SERVING "/v1", SERVING, "Service", "services", NULL, NULL},
	[KN_CONFIGURATION] = {SERVING "/v1", SERVING, "Configuration", "configurations", NULL,
			      NULL},
	[KN_REVISION] = {SERVING "/v1", SERVING, "Revision", "revisions", NULL, NULL},
	[KN_ROUTE] = {SERVING "/v1", SERVING, "Route", "routes", NULL, NULL},
	[KN_DOMAIN_MAPPING] = {SERVING "/v1beta1", SERVING, "DomainMapping", "domainmappings", NULL,
			       NULL},
	[KN_DEPLOYMENT] = {"apps/v1", "apps", "Deployment", "deployments", SERVING "/revision",
			   NULL},
	[KN_PLACEHOLDER] = {"v1", "", "Service", "services", SERVING "/route", NULL},
	[KN_CONFIG_MAP] = {"v1", "", "ConfigMap", "configmaps", NULL, "knative-serving"},
};

const struct kn_kind_names *
kn_kind_names(enum kn_kind kind)
{
	return &names[kind];
}
