/* kn_domain_mapping - a DomainMapping: its name is one more host of a Route.  Of several with the
 * same name, in different namespaces, the oldest has it.
 * Pure: a handler (kn.h). */
#ifndef AUTOSCALER_KNATIVE_KN_DOMAIN_MAPPING_H
#define AUTOSCALER_KNATIVE_KN_DOMAIN_MAPPING_H

#include "autoscaler/knative/kn.h"

struct json_t;

void kn_domain_mapping_reconcile(const struct kn_context *, const struct kn_object *,
				 struct kn_plan *);

/* The name of the Route that it (its document) leads to; borrowed from the document.  NULL: it
 * leads to something else. */
const char *kn_domain_mapping_route(const struct json_t *document);
/* The one that has this name, of all namespaces. */
const struct kn_object *kn_domain_mapping_holder(const struct kn_cache *, const char *name);

#endif
