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
/* Does a come before b, where both have one name?  The older one does, then the one whose namespace
 * comes first. */
bool kn_domain_mapping_goes_before(const struct kn_object *a, const struct kn_object *b);
/* Why it may not have its name, whoever else has it; the caller's.  NULL: it may. */
NODISCARD char *kn_domain_mapping_mistake(const struct kn_config *, const struct settings *,
					  const struct kn_object *);
/* That another one holds its name, in words; the caller's. */
NODISCARD char *kn_domain_mapping_in_use(const struct kn_object *holder);

#endif
