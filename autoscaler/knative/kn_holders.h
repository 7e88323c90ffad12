/* kn_holders - which DomainMapping holds its name, and which names lead to which Route.  Of several
 * with the same name, in different namespaces, the oldest that may have it holds it.
 * Pure.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_HOLDERS_H
#define AUTOSCALER_KNATIVE_KN_HOLDERS_H

#include "autoscaler/knative/kn_output.h"

struct kn_holders; /* opaque */
struct kn_refusals;
struct str_list;

NODISCARD struct kn_holders *kn_holders_new(void);
void kn_holders_free(struct kn_holders **);

/* Be as the cache is now.  Cheap where no DomainMapping has changed. */
void kn_holders_update(struct kn_holders *, const struct kn_output_input *);

/* The names that are held and lead to the Route, in the order in which they came; borrowed until
 * the next update that changes something. */
const struct str_list *kn_holders_names(const struct kn_holders *, const char *ns,
					const char *route);

/* Refuse all that may not have their name, or do not hold it. */
void kn_holders_refuse(const struct kn_holders *, struct kn_refusals *);

#endif
