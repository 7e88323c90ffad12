/* kn_service_conf - makes the description of one service (kn_output.h) of Knative's objects.
 * Pure, but for the log.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_SERVICE_CONF_H
#define AUTOSCALER_KNATIVE_KN_SERVICE_CONF_H

#include "autoscaler/knative/kn_output.h"

struct service_conf;
struct str_list;
struct strbuf;

/* The name of the service of a Configuration and a Route; the caller's. */
NODISCARD char *kn_service_conf_name(const char *ns, const char *name);

/* What the service is made of, but for its settings. */
struct kn_service_parts {
	const char *ns, *name;
	const struct kn_object *configuration, *route; /* NULL: there is none */
};

/* The service, the caller's.  Mistakes in annotations of ours are added to `mistakes`; these keys
 * are left out. */
NODISCARD struct service_conf *kn_service_conf_make(const struct kn_output_input *,
						    const struct kn_service_parts *,
						    struct strbuf *mistakes);
/* What is used of the Route: its hosts and its split, as text.  A change of it is one of what the
 * activators do.  domains: DomainMappings that lead to the Route. */
void kn_service_conf_text(const struct kn_output_input *, const struct kn_service_parts *,
			  const struct str_list *domains, struct strbuf *);
/* Is the Revision there to be served: not deleted, and with its Deployment? */
bool kn_service_conf_has(const struct kn_cache *, const struct kn_object *revision);

/* A service that has nothing but hosts, to claim them; the caller's. */
NODISCARD struct service_conf *kn_service_conf_claim(const char *name, const struct str_list *hosts,
						     const struct str_list *local_hosts);

#endif
