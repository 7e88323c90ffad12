/* kn_routing - which Routes name a Revision or a Configuration, as their metadata says it (what
 * Knative calls the labeler): the annotation `routes`, and of Revisions the label `routingState`.
 *
 * The Route adds itself to what it names.  Revisions and Configurations take out Routes that are
 * gone, or name something else by now: so a Route needs no finalizer, and nobody looks through
 * all Revisions.
 * Pure. */
#ifndef AUTOSCALER_KNATIVE_KN_ROUTING_H
#define AUTOSCALER_KNATIVE_KN_ROUTING_H

#include <jansson.h>

#include "autoscaler/knative/kn.h"

/* For a Route's handler: add the Route to what its spec and this status name.  spec: its own;
 * status: what it is going to be. */
void kn_routing_add(const struct kn_context *, const struct kn_object *route, const json_t *spec,
		    const json_t *status, struct kn_plan *);

/* For a handler of Revisions or Configurations: take out Routes that do not name the object any
 * more, and track those that do.  A Route counts once it is Ready, or has failed: until then what
 * it named before may be serving. */
void kn_routing_leave(const struct kn_context *, const struct kn_object *, const json_t *document,
		      struct kn_plan *);

/* The routing state of a Revision (its document); "": it has none. */
const char *kn_routing_state(const json_t *revision);

#endif
