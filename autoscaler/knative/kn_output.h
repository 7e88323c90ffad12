/* kn_output - the services for the activators: the Revisions of each Configuration, and the hosts
 * and the split of each Route.
 *
 * The service "NS.NAME" has the Revisions of the Configuration NAME, and the hosts and the traffic
 * of the Route NAME; either may be missing.  The traffic of a Route may go to Revisions of other
 * services: so each Revision is scaled once, whatever Routes name it, and keeps its name.
 * Hosts that two want: those of Routes themselves come first, the older Route before the younger;
 * then those of tags, likewise; then DomainMappings (kn_holders.h).
 * A Route's hosts and split are what its status says (kn_route.h).  No I/O, but for the log.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_OUTPUT_H
#define AUTOSCALER_KNATIVE_KN_OUTPUT_H

#include "autoscaler/knative/kn.h"

struct kn_output; /* opaque */
struct service_conf;

struct kn_output_input {
	const struct kn_cache *cache;
	const struct kn_config *config;
	const struct settings *settings;
};

/* What services of other sources, and those before, have claimed. */
struct kn_claims {
	/* Claim all that is the service's alone: its name, its hosts with their paths, its
	 * workloads. owner: how messages call it.  NULL: it is done.  Else nothing is claimed, and
	 * the text, the caller's, says what is taken, and by what. */
	char *(*take)(const struct kn_claims *, const struct service_conf *, const char *owner);
	void *arg;
};

NODISCARD struct kn_output *kn_output_new(void);
void kn_output_free(struct kn_output **);

/* The *n services; borrowed until the second call after this one.  serial: of this call; greater
 * than that of each before. */
const struct service_conf *kn_output_services(struct kn_output *, const struct kn_output_input *,
					      const struct kn_claims *, uint64_t serial, size_t *n);

/* Would kn_output_services() return what it has returned last?  false before its first call. Cheap:
 * only objects whose resourceVersion has changed are read. */
bool kn_output_is_current(struct kn_output *, const struct kn_output_input *);

/* Of the call of kn_output_services() since which this Route's hosts and split are as they are; 0:
 * it knows no such Route. */
uint64_t kn_output_serial(const struct kn_output *, const char *ns, const char *route);

/* Are the hosts and the split that the cache has of a Route those of kn_output_services(), and have
 * they been so since the call with this serial? */
bool kn_output_is_routed(struct kn_output *, const struct kn_output_input *, const char *ns,
			 const char *route, uint64_t serial);

/* Why a Route, or a DomainMapping, is not served, or not at all of its tags' hosts, by the last
 * kn_output_services(); borrowed until the next.  NULL: it is. */
const char *kn_output_refusal(const struct kn_output *, enum kn_kind, const char *ns,
			      const char *name);
/* One of which that has changed, and was not returned before; borrowed likewise.  false: there is
 * none. */
bool kn_output_next_refusal(struct kn_output *, enum kn_kind *, const char **ns, const char **name);

#endif
