/* kn_placeholder - the Services of a Route: one with its name, and one for each of its tags, so
 * that clients in the cluster find them by DNS.  They are of type ExternalName, and lead to the
 * Service of the activators. Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_PLACEHOLDER_H
#define AUTOSCALER_KNATIVE_KN_PLACEHOLDER_H

#include "autoscaler/knative/kn.h"

/* What is the matter with the placeholders of a Route. */
struct kn_placeholders {
	size_t missing;	       /* that are to be made */
	const char *not_owned; /* name of one that is another's; borrowed; NULL: there is none */
};

/* The Route is to have a placeholder of each of these names.  Look for them, and track them. */
void kn_placeholder_look(const struct kn_context *, const struct kn_object *route,
			 char *const *names, size_t n, struct kn_plan *, struct kn_placeholders *);
/* Add to the plan what is missing, differs, or is too much.  document: the Route's.  Labels and
 * annotations are only ever added. */
void kn_placeholder_plan(const struct kn_context *, const struct kn_object *route,
			 const struct json_t *document, char *const *names, size_t n,
			 struct kn_plan *);

#endif
