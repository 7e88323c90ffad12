/* kn_status - the status that a handler writes: it begins as that which the object has, and one
 * write has the conditions and the generation that they are about.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_STATUS_H
#define AUTOSCALER_KNATIVE_KN_STATUS_H

#include "autoscaler/knative/kn.h"
#include "autoscaler/knative/kn_conditions.h"

struct kn_status {
	json_t *document; /* the object's, borrowed */
	json_t *status;	  /* what is going to be written */
	struct kn_conditions conditions;
};

/* document: that of the object; it outlives the status.  dependents: as kn_conditions_open(). */
void kn_status_open(struct kn_status *, const struct kn_object *, json_t *document,
		    const char *const *dependents);
/* Add the status to the plan, behind the other writes.  After a failure it goes before them, so
 * that it is written even if they fail again. */
void kn_status_close(struct kn_status *, const struct kn_context *, const struct kn_object *,
		     struct kn_plan *);

/* Copy fields of another status, named up to a NULL; what that has not got is removed. */
void kn_status_copy(struct kn_status *, const json_t *from, const char *const *fields);

/* Is the Route in use, so that the condition `type` of this status, of a Route or of what leads to
 * it, is True? */
bool kn_status_is_routed(const struct kn_status *, const struct kn_facts *, const char *ns,
			 const char *route, const char *type);

/* Has the API server refused what the last plan asked for of an object of this kind, so that asking
 * again is of no use until something else changes?  (Conflicts and limits of rates pass by
 * themselves.)  The failure may be NULL. */
bool kn_failure_is_refusal(const struct kn_failure *, enum kn_kind);
/* What a condition says of it: "cannot create Deployment "x": MESSAGE".  The caller's. */
NODISCARD char *kn_failure_explain(const struct kn_failure *);

#endif
